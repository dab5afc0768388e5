"""The models that come with the course: small enough, described truly by their cards, made by the command in these."""

import argparse
import json
import re
import shlex

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib import assets, corpora, finetuning, machine
from course_lib.classifier import TextClassifier, shipped_model_folder, shipped_models
from course_lib.classifier import shipped as shipped_models_module
from course_lib.commands import pretrain as command
from course_lib.defenses import NormalizedClassifier, load
from course_lib.encoder import difference
from course_lib.errors import BadInput, CorruptAsset
from course_lib.pretraining import LanguageModel, held_out_batches, material_of, measure, pretrain
from course_lib.pretraining.language_model import SHIPPED, shipped, shipped_folder

LANGUAGE_CARDS = {name: f"{folder.replace('-', '_')}.md" for name, folder in SHIPPED.items()}
MOST_BYTES = {"tiny-bert": 12_000_000, "course": 3_000_000}
CLASSIFIERS = {"sentiment": TextClassifier, "defended": NormalizedClassifier}
MODELS = sorted(shipped())


class Enough(Exception):
    """Ends a run that has shown what it should."""


def card(name: str) -> str:
    return (assets.data_folder() / "cards" / LANGUAGE_CARDS[name]).read_text(encoding="utf-8")


def figures(name: str) -> dict:
    return json.loads((shipped_folder(name) / command.FIGURES).read_text(encoding="utf-8"))


def recipe_of(name: str):
    """The recipe that the command in the card asks for."""
    line = re.search(r"python -m course_lib pretrain (.+)", card(name))
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.recipe_of(parser.parse_args(shlex.split(line[1])))


def test_models_are_shipped() -> None:
    assert "course" in MODELS and set(MODELS) <= set(MOST_BYTES)


@pytest.mark.parametrize("name", MODELS)
def test_size(name: str) -> None:
    files = [file for file in shipped_folder(name).iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES[name]
    assert not [file for file in files if file.suffix in {".bin", ".pt", ".pkl"}]


@pytest.mark.parametrize("name", MODELS)
def test_the_card_tells_the_figures_of_the_run(name: str) -> None:
    told, text = figures(name), card(name)
    for word in ("CC BY-SA 4.0", "Wikipedia", "American Presidency Project", "How it may mislead"):
        assert word in text, word
    wanted = [f"{told['held_out_top1']:.1%}".replace("%", " %"), f"{told['held_out_loss']:.2f}", f"{told['tokens']:,}"]
    wanted += [f"| {point['tokens']:,} | {point['loss']:.2f} |" for point in told["curve"]]
    assert [part for part in wanted if part not in text] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_command_in_the_card_begins_as_its_run_did(name: str) -> None:
    """Twenty steps. Another processor adds up in another order: the losses agree to 0.02."""
    recipe, rows = recipe_of(name), []

    def note(row: dict[str, float]) -> None:
        rows.append(row)
        if len(rows) == 2:
            raise Enough

    assert recipe.steps == figures(name)["steps"]
    with pytest.raises(Enough):
        pretrain(recipe, callbacks=[note])
    begun = figures(name)["beginning"][:2]
    assert [row["step"] for row in rows] == [row["step"] for row in begun] == [10, 20]
    assert [row["loss"] for row in rows] == pytest.approx([row["loss"] for row in begun], abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_held_out_figures_are_found_again(name: str) -> None:
    """On a quarter of the text that the card's figure is of."""
    recipe = recipe_of(name)
    batches = [batch.to(machine.device()) for batch in held_out_batches(recipe, material_of(recipe), 16_384)]
    found = measure(LanguageModel.from_pretrained(name).model, batches)
    spread = 3 * (found.top1 * (1 - found.top1) / found.predicted) ** 0.5
    assert found.top1 == pytest.approx(figures(name)["held_out_top1"], abs=spread)


@pytest.mark.parametrize("name", MODELS)
def test_it_fills_in_what_every_speech_says(name: str) -> None:
    assert LanguageModel.from_pretrained(name).fill("the president of the united [MASK]", 1)[0][0][0] == "states"


# ---- fine-tuned models, as differences to the course encoder -----------------------------------------------------


def measured(name: str) -> dict:
    return json.loads((shipped_model_folder(name) / "figures.json").read_text(encoding="utf-8"))


def test_all_that_ships_is_small() -> None:
    assert shipped_models() == sorted(CLASSIFIERS)
    sizes = {file: file.stat().st_size for file in (assets.data_folder() / "checkpoints").rglob("*") if file.is_file()}
    assert all(size <= 4e6 for size in sizes.values()) and sum(sizes.values()) <= 20e6
    assert {file.suffix for file in sizes} <= {".json", ".safetensors"}


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_fine_tuned_model_is_as_good_as_its_card_says(name: str) -> None:
    """Measured again on the whole test part; another processor may turn a few close sentences."""
    test, told = corpora.part("movie_reviews", "test"), measured(name)
    model = load(name)
    assert isinstance(model, CLASSIFIERS[name]) and len(test) == told["test_rows"]
    assert model.score(test["text"].tolist(), test["label"].to_numpy()) == pytest.approx(
        told["test_accuracy"], abs=0.002
    )
    assert told["test_accuracy"] >= told["test_accuracy_before"] - 0.003
    text = (assets.data_folder() / "cards" / f"{name}.md").read_text(encoding="utf-8")
    for word in ("test_accuracy", "test_accuracy_before", "same_label"):
        assert f"{100 * told[word]:.1f} %" in text, word
    assert "How it may mislead" in text


def test_the_full_model_is_that_of_the_shipped_run() -> None:
    run = finetuning.finetune.shipped(finetuning.SENTIMENT)
    assert run is not None
    assert measured("sentiment")["test_accuracy_before"] == pytest.approx(run.result["test_accuracy"], abs=1e-3)


def test_a_shipped_model_is_an_ordinary_classifier(tmp_path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = TextClassifier.from_pretrained("sentiment")
    texts = corpora.part("movie_reviews", "test", 8)["text"].tolist()
    folder = model.save(tmp_path / "model")
    plain, tokenizer = (kind.from_pretrained(folder) for kind in (AutoModelForSequenceClassification, AutoTokenizer))
    with torch.inference_mode():
        logits = plain.eval()(**tokenizer(texts, padding=True, return_tensors="pt")).logits.numpy()
    assert np.allclose(logits, model.decision_logits(texts), atol=1e-4)
    assert np.allclose(TextClassifier.from_pretrained(folder).decision_logits(texts), logits, atol=1e-4)
    assert model.encoder == "course" and model.class_names_ == ["negative", "positive"]


def test_a_difference_is_kept_up_to_its_bits(tmp_path, monkeypatch) -> None:
    """A model moved away from the encoder comes back, but for words that its texts do not hold."""
    model = TextClassifier.from_pretrained("sentiment")
    monkeypatch.setattr(shipped_models_module, "_checkpoints", lambda: tmp_path)
    before = {name: tensor.clone() for name, tensor in model.module_.state_dict().items()}
    texts = ["a good film", "a bad film"]
    shipped_models_module.save_difference(model, tmp_path / "again", texts)
    assert shipped_models() == ["again"]
    again = TextClassifier.from_pretrained("again").module_.state_dict()
    query = "bert.encoder.layer.2.attention.self.query.weight"
    assert torch.allclose(again[query], before[query], atol=1e-4), "what has four levels keeps them"
    assert torch.allclose(again["classifier.weight"], before["classifier.weight"], atol=1e-3)
    words = "bert.embeddings.word_embeddings.weight"
    moved = (again[words] - before[words]).abs().amax(1) > 1e-4
    assert not moved[model.tokenizer_("good film")["input_ids"]].any() and moved.any()
    (tmp_path / "again" / shipped_models_module.FILE).write_bytes(b"cut")
    with pytest.raises(CorruptAsset, match="again cannot be loaded"):
        TextClassifier.from_pretrained("again")
    with pytest.raises(BadInput, match="no fitted BERT classifier"):
        shipped_models_module.save_difference(TextClassifier(), tmp_path / "none", texts)


@given(st.sampled_from([1, 2]), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_codes_are_packed_and_unpacked(bits: int, groups: int, seed: int) -> None:
    codes = torch.randint(0, 2**bits, (groups, 16), generator=torch.Generator().manual_seed(seed)).to(torch.uint8)
    stored = difference.packed(codes, bits)
    assert len(stored) == codes.numel() * bits // 8
    assert torch.equal(difference.unpacked(stored, bits).reshape(codes.shape), codes)


def test_levels_worked_by_hand() -> None:
    groups = torch.tensor([[-1.5, -0.5, 0.5, 1.5], [-3.0, 1.0, -1.0, 3.0]])
    scales, codes = difference.quantized(groups, 2)
    assert codes.tolist() == [[0, 1, 2, 3], [0, 2, 1, 3]] and torch.allclose(
        scales, torch.tensor([1.0, 2.0]), rtol=0.06
    )
    scales, codes = difference.quantized(groups, 1)
    assert codes.tolist() == [[0, 0, 1, 1], [0, 1, 0, 1]] and scales.tolist() == [1.0, 2.0]
