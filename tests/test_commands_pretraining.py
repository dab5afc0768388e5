"""`pretrain` and `fill`: what they print, what they leave behind, and what they refuse."""

import json
from dataclasses import replace

import pytest
import torch
from command_runs import interrupt_command_at, told
from safetensors.torch import load_file

from course_lib.commands import main
from course_lib.encoder import EncoderConfig
from course_lib.pretraining import recipes
from course_lib.pretraining.recipes import PretrainingRecipe
from course_lib.training import TrainingConfig

SHAPE = EncoderConfig(
    vocab_size=1000, hidden_size=32, n_layers=1, n_heads=2, intermediate_size=64, max_positions=32
)  # fmt: skip
SMALL = PretrainingRecipe(
    "small", SHAPE, "mlm+nsp", length=32, batch_tokens=512, tokens=512 * 24, sources=("news",),
    training=TrainingConfig(learning_rate=3e-3, precision="float32"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(recipes.RECIPES, "small", SMALL)


def pretrain(*more: str) -> int:
    return main(["pretrain", "--preset", "small", "--json", *more])


def test_pretrain_tells_what_it_has_done(capsys, tmp_path):
    assert pretrain("--out", str(tmp_path / "m")) == 0
    result = told(capsys)
    assert result["tokens"] == 512 * 24 and result["steps"] == 24 and result["objective"] == "mlm+nsp"
    assert len(result["curve"]) == 8 and result["curve"][-1]["tokens"] == result["tokens"]
    assert result["held_out_loss"] < 7.5 and 0 <= result["held_out_top1"] <= 1
    assert 0.2 < result["held_out_next_sentence"] < 0.8
    assert result["below_unigram_entropy"] == (result["held_out_loss"] < result["unigram_entropy"])
    assert 0 < result["share_of_peak"] < 1 and result["tokens_per_second"] > 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m"]


@pytest.mark.parametrize("kind", ["mlm", "causal"])
def test_other_objectives(kind, capsys):
    assert pretrain("--objective", kind, "--tokens", "8192") == 0
    result = told(capsys)
    assert result["held_out_next_sentence"] is None and (result["bits_per_character"] is None) == (kind == "mlm")


def test_minutes_become_tokens(capsys):
    assert pretrain("--minutes", "0.02") == 0
    result = told(capsys)
    assert result["tokens"] % 512 == 0 and 0.2 < result["training_seconds"] < 5


def test_a_broken_off_run_goes_on_and_ends_in_the_same_weights(capsys, tmp_path, monkeypatch):
    options = ["--checkpoint-every", "3"]
    assert pretrain("--out", str(tmp_path / "whole"), *options) == 0
    with monkeypatch.context() as patch:
        interrupt_command_at(10, patch)
        assert pretrain("--out", str(tmp_path / "m"), *options) == 130
    assert not (tmp_path / "m").exists() and (tmp_path / ".m.checkpoints").is_dir()
    assert pretrain("--out", str(tmp_path / "m"), *options) == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "m"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert not (tmp_path / ".m.checkpoints").exists()


def test_a_run_of_other_minutes_is_not_continued(capsys, tmp_path, monkeypatch):
    options = ["--out", str(tmp_path / "m"), "--checkpoint-every", "3"]
    with monkeypatch.context() as patch:
        interrupt_command_at(10, patch)
        assert pretrain("--minutes", "0.05", *options) == 130
    assert len(list((tmp_path / ".m.checkpoints").glob("step-*"))) == 2
    assert pretrain("--minutes", "0.1", *options) == 1
    assert "began with 0.05" in capsys.readouterr().err
    assert pretrain("--mask-rate", "0.3", "--minutes", "0.05", *options) == 1
    assert "'recipe.masking.rate': (0.15, 0.3)" in capsys.readouterr().err


def test_fill_answers_with_the_saved_model(capsys, tmp_path):
    pretrain("--out", str(tmp_path / "m"))
    capsys.readouterr()
    assert main(["fill", "--json", "--model", str(tmp_path / "m"), "--top", "3", "the [MASK] of the [MASK]"]) == 0
    (row,) = told(capsys)["texts"]
    assert [len(mask) for mask in row["masks"]] == [3, 3]
    assert all(0 <= candidate["probability"] <= 1 for mask in row["masks"] for candidate in mask)


def test_fill_lets_a_causal_model_go_on(capsys, tmp_path):
    pretrain("--objective", "causal", "--out", str(tmp_path / "g"))
    capsys.readouterr()
    assert main(["fill", "--model", str(tmp_path / "g"), "--tokens", "4", "the president"]) == 0
    written = capsys.readouterr().out.strip()
    assert written.startswith("the president") and len(written) > len("the president")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["pretrain", "--preset", "giant"], "no pretraining recipe 'giant'"),
        (["pretrain", "--preset", "small", "--minutes", "-1"], "--minutes is -1"),
        (["pretrain", "--preset", "small", "--mask-rate", "1.5"], "rate is 1.5"),
        (["pretrain", "--preset", "small", "--checkpoint-every", "-2"], "--checkpoint-every is -2"),
        (["fill", "--model", "nowhere", "a [MASK]"], "no language model 'nowhere'"),
        (["fill", "--model", "nowhere", "--top", "0", "a [MASK]"], "--top is 0"),
    ],
)
def test_bad_options_say_what_is_wrong(arguments, words, capsys):
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert words in said.err and said.out == ""


def test_a_place_that_holds_something_else_is_refused_before_the_training(capsys, tmp_path):
    (tmp_path / "thesis.txt").write_text("years", encoding="utf-8")
    assert main(["pretrain", "--preset", "small", "--out", str(tmp_path)]) == 1
    assert "is no language model of the course" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_refused_before_the_training(capsys):
    assert main(["pretrain", "--preset", "small", "--checkpoint-every", "0", "--out", "/dev/full/model"]) == 1
    said = capsys.readouterr().err
    assert "--out" in said and "steps: about" not in said


def test_what_it_will_cost_is_said_first(capsys):
    assert pretrain() == 0
    assert "12,288 tokens in 24 steps: about " in capsys.readouterr().err


def test_shorter_rows_than_the_first_ones(monkeypatch, capsys):
    monkeypatch.setitem(recipes.RECIPES, "small", replace(SMALL, first_lengths=(8, 16)))
    assert pretrain("--length", "16") == 0 and told(capsys)["steps"] == 24


def test_the_figures_of_a_run_stand_beside_its_weights(capsys, tmp_path):
    assert pretrain("--out", str(tmp_path / "m"), "--optimizer", "muon") == 0
    result = told(capsys)
    kept = json.loads((tmp_path / "m" / "figures.json").read_text())
    assert kept == {name: value for name, value in result.items() if name in kept} and "held_out_loss" in kept
    assert [row["step"] for row in kept["beginning"]] == [10, 20, 24]
