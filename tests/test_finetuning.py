"""Recipes and studies: what is learned from what, and that each answers what it promises. All on toy corpora."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import Interrupted
from safetensors.torch import load_file
from torch import Tensor, nn

from course_lib import assets, corpora, evaluation, finetuning, machine, plots
from course_lib.classifier import TextClassifier
from course_lib.corpora import NAMES
from course_lib.errors import BadInput, CheckpointError
from course_lib.experiments import Experiment, Run
from course_lib.finetuning import RECIPES, Recipe, fit_recipe, recipe, recipe_cost, recipes, studies
from course_lib.training import LogEntry, TrainingConfig

GOOD = ("superb", "lovely", "charming", "brilliant", "moving")
BAD = ("dreadful", "boring", "stupid", "awful", "clumsy")
# Every default is written out: the course's recipes may be tuned without a change here.
TOY = Recipe(
    "toy",
    TrainingConfig(epochs=1, batch_size=8, learning_rate=1e-3, precision="float32"),
    sharpness=2.0,
    dropout=0.0,
)
LONGER = replace(TOY, training=replace(TOY.training, epochs=8, learning_rate=1e-3))


def toy(name: str, rows: int = 60) -> pd.DataFrame:
    """A corpus in which one word decides; a fifth of it is test, a tenth validation."""
    texts = [
        f"{'a' if i % 3 else 'the most'} {(BAD, GOOD)[i % 2][i // 6 % 5]} thing in {name} {i}" for i in range(rows)
    ]
    frame = pd.DataFrame({"text": texts, "label": [i % 2 for i in range(rows)]})
    frame["rating"] = [(2 * (i % 2) - 1) * (1.0 + i % 3) for i in range(rows)]
    frame["split"] = ["test" if i % 5 == 0 else "validation" if i % 10 == 1 else "train" for i in range(rows)]
    return frame


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """Toy corpora, a toy lexicon, the tiny encoder in the course's place; counts which parts were asked for."""
    frames, asked = {name: toy(name) for name in NAMES}, []

    def part(name: str, split: str, limit: int | None = None) -> pd.DataFrame:
        asked.append((name, split, limit))
        assert limit is None or limit >= 1, "as the real one"
        frame = frames[name]
        return frame[frame["split"] == split].head(limit or len(frame)).reset_index(drop=True)

    def classifier(encoder: str = "tiny", **parameters: Any) -> TextClassifier:
        return TextClassifier(encoder, **parameters)

    real = recipes.estimator
    tiny_estimator = lambda chosen, seed, encoder="tiny": real(chosen, seed, "tiny")  # noqa: E731
    monkeypatch.setattr(corpora, "load", lambda name: frames[name].copy())
    monkeypatch.setattr(corpora, "part", part)
    monkeypatch.setattr(recipes, "estimator", tiny_estimator)
    monkeypatch.setattr(studies, "estimator", tiny_estimator)
    classifier.from_pretrained = TextClassifier.from_pretrained  # type: ignore[attr-defined]
    monkeypatch.setattr(studies, "TextClassifier", classifier)
    monkeypatch.setattr(machine, "peak_flops", lambda kind=None: 1e11)
    monkeypatch.setitem(RECIPES, "default", replace(TOY, name="default"))
    # Only the runs move: with COURSE_CACHE the encoder would have to be fetched again.
    monkeypatch.setattr(assets, "cache_folder", lambda: tmp_path / "cache")
    return SimpleNamespace(frames=frames, asked=asked)


def weights(classifier: TextClassifier) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in classifier.module_.state_dict().items()}


def farthest(left: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)


def learned(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Every call of `fit` from here on."""
    met: list[dict[str, Any]] = []
    real = TextClassifier.fit

    def fit(self: TextClassifier, texts: Any, labels: Any, **rest: Any) -> TextClassifier:
        met.append({"texts": texts, "labels": labels, "parameters": self.get_params(), **rest})
        return real(self, texts, labels, **rest)

    monkeypatch.setattr(TextClassifier, "fit", fit)
    return met


# ---- recipes -------------------------------------------------------------------------------------------------


def test_recipes_by_name() -> None:
    assert {"quick", "default", "best"} <= set(RECIPES)
    assert all(recipe(name).name == name for name in RECIPES)


@pytest.mark.parametrize("name", ["", "Default", "worst", None], ids=repr)
def test_unknown_recipe(name: Any) -> None:
    with pytest.raises(BadInput, match=f"no recipe {name!r}") as caught:
        recipe(name)
    assert all(known in caught.value.fix for known in RECIPES)


def test_estimator_follows_the_recipe() -> None:
    made = recipes.estimator(replace(TOY, dropout=0.3), seed=7)
    wanted = TextClassifier("course", training=replace(TOY.training, seed=7), dropout=0.3)
    assert made.get_params() == wanted.get_params()


def test_cost_grows_with_members_in_time_alone(small: SimpleNamespace) -> None:
    one, three = (recipe_cost(replace(TOY, members=n), small.frames["news"]) for n in (1, 3))
    assert three.seconds == pytest.approx(3 * one.seconds) and one.seconds > 0
    assert three.bytes == one.bytes


# ---- what is learned from ------------------------------------------------------------------------------------


def test_ratings_become_soft_labels() -> None:
    frame = toy("x")
    rows = frame[frame["split"] == "train"]
    made = recipes.material(TOY, frame)
    assert made.texts == rows["text"].tolist() and made.labels.tolist() == rows["label"].tolist()
    assert made.soft_labels is not None
    expected = [1 / (1 + math.exp(-2.0 * rating)) for rating in rows["rating"]]
    assert made.soft_labels[:, 1].tolist() == pytest.approx(expected, abs=1e-6)
    assert made.soft_labels.sum(1) == pytest.approx(np.ones(len(rows)))


def test_sharpness_0_learns_labels_alone() -> None:
    made = recipes.material(replace(TOY, sharpness=0.0), toy("x"))
    assert made.soft_labels is None and len(made.texts) == 42


@pytest.mark.parametrize("gap", ["no column", "all", "one"])
def test_unrated_rows_are_learned_by_label(gap: str) -> None:
    frame = toy("x")
    if gap == "no column":
        frame = frame.drop(columns="rating")
    else:
        frame.loc[frame.index if gap == "all" else [2], "rating"] = np.nan
    made = recipes.material(TOY, frame)
    assert made.soft_labels is None and made.texts == frame.loc[frame["split"] == "train", "text"].tolist()


@pytest.mark.parametrize(
    "labels_of", [lambda stars: stars >= 3, lambda stars: stars % 3], ids=["stars-from-1-to-5", "three-classes"]
)
def test_ratings_that_do_not_fit_the_labels_are_refused(labels_of: Callable[[Any], Any]) -> None:
    frame = toy("x")
    frame["rating"] = [1.0 + i % 5 for i in range(len(frame))]
    frame["label"] = labels_of(frame["rating"]).astype(int)
    with pytest.raises(BadInput, match="ratings do not fit their labels") as caught:
        recipes.material(TOY, frame)
    assert "above 0" in caught.value.fix


def test_a_few_odd_ratings_pass() -> None:
    frame = toy("x")
    frame.loc[2, "rating"] *= -1
    assert frame.loc[2, "split"] == "train"
    assert recipes.material(TOY, frame).labels[0] == frame.loc[2, "label"]


def test_a_limit_takes_rows_in_hash_order() -> None:
    """The file of movie reviews begins with positive ones: its first 2,000 rows would teach one class."""
    frame = corpora.load("movie_reviews")
    training = frame[frame["split"] == "train"]
    assert training["label"][:2000].mean() > 0.9
    limited = recipes._limited(frame, 2000)
    parts = {split: rows for split, rows in limited.groupby("split")}
    assert set(parts["train"]["text"]) == set(corpora.part("movie_reviews", "train", 2000)["text"])
    assert 0.45 < parts["train"]["label"].mean() < 0.55
    for split in ("validation", "test"):
        assert parts[split].equals(frame[frame["split"] == split])
    assert recipes._limited(frame, None) is frame and recipes._limited(frame, len(frame)) is frame


# ---- fitting a recipe ----------------------------------------------------------------------------------------


def test_learns_the_training_part_and_looks_at_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    met, frame, rows = learned(monkeypatch), toy("x"), []
    fitted = fit_recipe(replace(TOY, train_rows=20), frame, seed=3, encoder="tiny", callbacks=[rows.append])
    (call,) = met
    assert len(call["texts"]) == 20 and set(call["texts"]) < set(frame.loc[frame["split"] == "train", "text"])
    held_out = frame[frame["split"] == "validation"]
    assert call["validation"][0] == held_out["text"].tolist()
    assert call["validation"][1].tolist() == held_out["label"].tolist()
    assert call["parameters"]["training"] == replace(TOY.training, seed=3)
    assert fitted.history_.rows == rows and "validation_accuracy" in rows[-1]


def test_what_is_learned_is_found_again() -> None:
    frame = toy("x", rows=150)
    test = frame[frame["split"] == "test"]
    assert fit_recipe(LONGER, frame, encoder="tiny").score(test["text"].tolist(), test["label"]) > 0.9


def test_without_validation_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = toy("x")
    fitted = fit_recipe(TOY, frame[frame["split"] != "validation"], encoder="tiny")
    assert not fitted.history_.column("validation_loss")[0]


def test_two_members_give_the_mean_of_their_weights() -> None:
    frame = toy("x")
    together = fit_recipe(replace(TOY, members=2), frame, seed=4, encoder="tiny")
    rows, held_out = recipes.material(TOY, frame), frame[frame["split"] == "validation"]
    members = []
    for order_seed in (4000, 4001):
        training = replace(TOY.training, seed=4, order_seed=order_seed)
        alone = TextClassifier("tiny", training=training, dropout=TOY.dropout)
        alone.fit(
            rows.texts, rows.labels, soft_labels=rows.soft_labels,
            validation=(held_out["text"].tolist(), held_out["label"].to_numpy()),
        )  # fmt: skip
        members.append(weights(alone))
    mean = {name: (members[0][name] + members[1][name]) / 2 for name in members[0]}
    assert farthest(weights(together), mean) < 1e-6
    assert farthest(members[0], members[1]) > 1e-4, "two different runs"


def test_only_classes_that_have_words_are_named() -> None:
    """The labels 0 and 1 of any task are not "negative" and "positive"; those of the course's corpora are."""
    frame = toy("x")
    assert fit_recipe(TOY, frame, encoder="tiny").class_names_ == ["0", "1"]
    frame.attrs["classes"] = corpora.load("movie_reviews").attrs["classes"]
    assert fit_recipe(TOY, frame, encoder="tiny").class_names_ == ["negative", "positive"]


def test_seed_decides() -> None:
    frame = toy("x")
    ends = [weights(fit_recipe(TOY, frame, seed=seed, encoder="tiny")) for seed in (0, 0, 1)]
    assert farthest(ends[0], ends[1]) == 0
    assert farthest(ends[0], ends[2]) > 1e-4


def as_classifier(module: nn.Module) -> Any:
    return SimpleNamespace(module_=module)


def test_soup_by_hand() -> None:
    modules = [nn.BatchNorm1d(2) for _ in range(3)]
    for value, module in enumerate(modules):
        module.weight.data.fill_(value)
        module.num_batches_tracked.fill_(10 + value)
    first = as_classifier(modules[0])
    assert recipes.soup([first, *map(as_classifier, modules[1:])]) is first
    assert modules[0].weight.tolist() == [1.0, 1.0]
    assert modules[0].num_batches_tracked == 10, "counts have no mean"
    assert modules[2].weight.tolist() == [2.0, 2.0]


def test_soup_of_one_is_itself() -> None:
    module = nn.Linear(3, 2)
    before = module.weight.detach().clone()
    recipes.soup([as_classifier(module)])
    assert torch.equal(module.weight, before)


def cut_at(member: int, step: int) -> Callable[[LogEntry], None]:
    """A callback that breaks off at a step of a member (0, 1, ...)."""
    finished = 0

    def callback(row: LogEntry) -> None:
        nonlocal finished
        if finished == member and row["step"] == step:
            raise Interrupted
        finished += "validation_loss" in row and row["step"] == row["total_steps"]

    return callback


def test_an_interrupted_recipe_goes_on_where_it_was(tmp_path: Path) -> None:
    chosen = replace(TOY, members=2, dropout=0.1, training=replace(TOY.training, epochs=4))
    frame, rows = toy("x"), []
    whole = weights(fit_recipe(chosen, frame, encoder="tiny"))
    with pytest.raises(Interrupted):
        fit_recipe(chosen, frame, encoder="tiny", checkpoints=tmp_path, every=7, callbacks=[cut_at(1, 20)])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["member-0", "member-1"]
    resumed = fit_recipe(chosen, frame, encoder="tiny", checkpoints=tmp_path, every=7, callbacks=[rows.append])
    assert farthest(weights(resumed), whole) == 0
    # 6 steps an epoch, 24 in all: member 0 was done, member 1 went on from step 14.
    assert [row["step"] for row in rows] == [18, 20, 24, 24]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda chosen, frame: (chosen, frame.assign(label=1 - frame["label"], rating=-frame["rating"])), "labels"),
        (lambda chosen, frame: (chosen, frame.assign(text=frame["text"] + "!")), "texts"),
        (lambda chosen, frame: (replace(chosen, dropout=0.2), frame), "dropout"),
        (lambda chosen, frame: (replace(chosen, training=replace(chosen.training, epochs=4)), frame), "epochs"),
    ],
    ids=["labels", "texts", "dropout", "epochs"],
)
def test_checkpoints_of_another_recipe_or_corpus_are_refused(
    change: Callable[[Recipe, pd.DataFrame], tuple[Recipe, pd.DataFrame]], named: str, tmp_path: Path
) -> None:
    chosen, frame = replace(TOY, training=replace(TOY.training, epochs=2)), toy("x")
    with pytest.raises(Interrupted):
        fit_recipe(chosen, frame, encoder="tiny", checkpoints=tmp_path, every=5, callbacks=[cut_at(0, 6)])
    other, changed = change(chosen, frame)
    with pytest.raises(CheckpointError, match=named):
        fit_recipe(other, changed, encoder="tiny", checkpoints=tmp_path, every=5)


def test_a_file_of_ones_own_without_ratings(tmp_path: Path) -> None:
    words = {"bad": BAD[0], "good": GOOD[0], "so-so": "ordinary"}
    with open(tmp_path / "mine.csv", "w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(["text", "label"])
        lines.writerows([f"a {word} film, number {n}", label] for n in range(60) for label, word in words.items())
    frame = corpora.from_csv(tmp_path / "mine.csv")
    assert recipes.material(TOY, frame).soft_labels is None
    fitted = fit_recipe(LONGER, frame, encoder="tiny")
    test = frame[frame["split"] == "test"]
    assert fitted.classes_.tolist() == [0, 1, 2] and fitted.class_names_ == ["bad", "good", "so-so"]
    assert fitted.score(test["text"].tolist(), test["label"]) > 0.8


# ---- the experiment, and the course's own model --------------------------------------------------------------


def test_finetune_saves_the_model_and_its_logits(
    small: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    met = learned(monkeypatch)
    result = finetuning.finetune({"data": "news", "recipe": "default", "seed": 1}, tmp_path)
    assert set(result) == {"test_accuracy", "test_rows", "training_seconds", "peak_bytes", "history"}
    assert json.loads(json.dumps(result)) == result
    assert result["test_rows"] == 12 and result["training_seconds"] > 0 and result["peak_bytes"] > 1e8
    assert result["history"]["rows"]
    test = small.frames["news"].query("split == 'test'")
    logits = load_file(tmp_path / "test.safetensors")["logits"].numpy()
    loaded = TextClassifier.from_pretrained(tmp_path / "model")
    assert loaded.decision_logits(test["text"].tolist()) == pytest.approx(logits, abs=1e-5)
    assert result["test_accuracy"] == (logits.argmax(1) == test["label"].to_numpy()).mean()
    (call,) = met
    assert not set(test["text"]) & {*call["texts"], *call["validation"][0]}, "the test part is for the last figure"
    assert call["parameters"]["training"].seed == 1


def test_the_experiment_saves_what_it_reports(small: SimpleNamespace, tmp_path: Path) -> None:
    config = {"data": "news", "recipe": "quick", "seed": 1}
    result = finetuning.finetune(config, tmp_path)
    test = small.frames["news"].query("split == 'test'")
    saved = TextClassifier.from_pretrained(tmp_path / "model")
    assert result["test_accuracy"] == saved.score(test["text"].tolist(), test["label"])
    assert finetuning.finetune.cost is not None
    assert finetuning.finetune.cost(config) < finetuning.finetune.cost(config | {"recipe": "best"})


# ---- studies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "batch_size", "epochs"),
    [(1, 32, 8), (100, 32, 8), (400, 32, 8), (500, 32, 6), (1000, 32, 3), (2000, 32, 2), (10**6, 32, 2), (0, 32, 8),
     (500, 16, 3)],
)  # fmt: skip
def test_epochs_by_hand(labels: int, batch_size: int, epochs: int) -> None:
    assert studies.epochs_for(labels, batch_size) == epochs


@settings(deadline=None)
@given(st.integers(1, 20_000), st.sampled_from([8, 16, 32, 64]))
def test_small_sets_get_a_fixed_number_of_steps(labels: int, batch_size: int) -> None:
    epochs = studies.epochs_for(labels, batch_size)
    assert 2 <= epochs <= 8
    assert epochs == 2 or epochs * labels <= 100 * batch_size
    assert studies.epochs_for(labels + 1, batch_size) <= epochs


def is_accuracy(value: Any, rows: int) -> bool:
    """A share of so many rows."""
    return isinstance(value, float) and 0 <= value <= 1 and abs(value * rows - round(value * rows)) < 1e-6


def test_label_curve(small: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    met = learned(monkeypatch)
    result = studies.label_curve({"labels": 16, "encoder": "scratch", "seed": 2}, tmp_path)
    assert set(result) == {"test_accuracy", "test_rows"} and result["test_rows"] == 12
    assert is_accuracy(result["test_accuracy"], 12)
    (call,) = met
    assert len(call["texts"]) == 16 and call["soft_labels"].shape == (16, 2)
    assert (call["parameters"]["training"].seed, call["parameters"]["training"].epochs) == (2, 8)
    assert small.asked == [("movie_reviews", "train", 16), ("movie_reviews", "test", None)]


def test_linear_probe_study(small: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With vectors that hold the answer the probe is right everywhere; it never sees the test part while fitting."""
    met: list[list[str]] = []

    def vectors(texts: list[str]) -> np.ndarray:
        met.append(texts)
        return np.array([[float(any(word in text for word in GOOD)), 1.0] for text in texts], dtype=np.float32)

    monkeypatch.setattr(studies, "sentence_vectors", vectors)
    found = studies.linear_probe_study({"labels": 30}, tmp_path)
    assert found == {"test_accuracy": 1.0, "test_rows": 12, "right": [1] * 12}
    assert [len(texts) for texts in met] == [30, 12]


@pytest.fixture
def heads(small: SimpleNamespace, tmp_path: Path) -> dict[str, dict[str, Any]]:
    kinds = ("classification", "regression", "multitask", "lora", "probe")
    return {kind: studies.head_study({"kind": kind, "labels": 16, "seed": 0}, tmp_path) for kind in kinds}


def test_head_study(heads: dict[str, dict[str, Any]], small: SimpleNamespace) -> None:
    for kind, result in heads.items():
        rated = {"correlation"} if kind in ("regression", "multitask") else set()
        assert set(result) == {"validation_accuracy", "trained_weights", "seconds"} | rated, kind
        assert is_accuracy(result["validation_accuracy"], 6) and result["seconds"] > 0
        assert -1 <= result.get("correlation", 0) <= 1
    trained = {kind: result["trained_weights"] for kind, result in heads.items()}
    hidden = 64  # of the tiny encoder, which has 2 layers
    assert trained["probe"] == 2 * hidden + 2
    assert trained["lora"] == trained["probe"] + 2 * 2 * (2 * 8 * hidden)  # layers x (query, value) x two matrices
    assert trained["classification"] - trained["regression"] == hidden + 1
    assert trained["multitask"] - trained["classification"] == hidden + 1
    assert not [part for part in small.asked if part[1] == "test"], "heads are compared on validation rows"


def test_learning_curves(small: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(studies, "_VALIDATION_ROWS", 4)
    config = {"labels": 40, "epochs": 3, "learning_rate": 1e-3, "seed": 0}
    rows = studies.learning_curves(config, tmp_path)["history"]["rows"]
    assert [row["epoch"] for row in rows if "validation_accuracy" in row] == [1, 2, 3]
    assert all(is_accuracy(row["validation_accuracy"], 4) for row in rows if "validation_accuracy" in row)
    assert max(row["learning_rate"] for row in rows if "loss" in row) <= 1e-3
    assert json.loads(json.dumps(rows)) == rows


def test_label_noise_study(small: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The right labels are flipped; one rater contradicts where the corpus says so; the test labels are untouched."""
    met, frame = learned(monkeypatch), small.frames["movie_reviews"]
    frame["opposed"] = [1.0 if i % 4 == 0 else 0.0 for i in range(len(frame))]
    rows = frame[frame["split"] == "train"].head(16)
    config = {"method": "fine-tuned", "labels": 16, "noise": [0.0, 1.0, "one rater"], "seeds": 2}
    found = studies.label_noise_study(config, tmp_path)["trainings"]
    flipped = [[0.0] * 16, [1.0] * 16, rows["opposed"].tolist()]
    assert [one["label_errors"] for one in found] == [np.mean(flips) for flips in flipped for _ in range(2)]
    for call, flips in zip(met, [flips for flips in flipped for _ in range(2)], strict=True):
        assert (call["labels"] != rows["label"]).tolist() == [bool(one) for one in flips]
    assert [call["parameters"]["training"].seed for call in met] == [0, 1] * 3
    monkeypatch.setattr(
        studies, "sentence_vectors", lambda texts: np.array([[float(any(w in t for w in GOOD))] for t in texts])
    )
    probe = {**config, "method": "linear probe", "noise": [0.0, 1.0], "seeds": 1}
    result = studies.label_noise_study(probe, tmp_path)
    table = studies.label_noise_study.rows([Run("", probe, result, 1.0, "computed")])
    assert table["test_accuracy"].tolist() == [1.0, 0.0] and table["noise"].tolist() == [0.0, 1.0]


def test_lora_study(small: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    met = learned(monkeypatch)
    low, whole = (studies.lora_study({"labels": 16, "rank": rank, "seed": 1}, tmp_path) for rank in (4, 0))
    assert low["trained_weights"] < 0.1 * whole["trained_weights"]
    assert [call["parameters"]["lora_rank"] for call in met] == [4, 0]
    assert [call["parameters"]["training"].learning_rate for call in met] == [studies.LORA_RATE, 1e-3]
    for result in (low, whole):
        assert len(result["right"]) == 12 and result["test_accuracy"] == np.mean(result["right"])


@pytest.mark.parametrize(
    ("study", "less", "more"),
    [
        (studies.label_curve, {"labels": 100, "encoder": "course", "seed": 0}, {"labels": 1600}),
        (studies.linear_probe_study, {"labels": 100}, {"labels": 400}),
        (studies.head_study, {"kind": "probe", "labels": 16, "seed": 0}, {"kind": "lora"}),
        (studies.learning_curves, {"labels": 16, "epochs": 1, "learning_rate": 1e-4, "seed": 0}, {"epochs": 3}),
        (studies.label_noise_study, {"method": "linear probe", "labels": 16, "noise": [0], "seeds": 1}, {"labels": 32}),
        (studies.label_noise_study, {"method": "fine-tuned", "labels": 16, "noise": [0], "seeds": 1}, {"seeds": 2}),
        (studies.lora_study, {"labels": 16, "rank": 4, "seed": 0}, {"labels": 160}),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_more_work_is_forecast_to_take_longer(study: Experiment, less: dict[str, Any], more: dict[str, Any]) -> None:
    assert study.cost is not None and 0 < study.cost(less) < study.cost(less | more)


def test_tables_of_studies() -> None:
    def made(name: str, config: dict[str, Any], result: dict[str, Any]) -> Run:
        return Run(name, config, result, 1.0, "computed")

    history = {"rows": [{"step": 10, "loss": 0.6}, {"step": 13, "validation_accuracy": 0.8, "validation_loss": 0.4}]}
    curves = studies.learning_curves.rows([made("", {"learning_rate": 1e-4, "epochs": 1}, {"history": history})])
    assert curves["step"].tolist() == [10, 13]
    assert curves["train_loss"].tolist()[0] == 0.6 and pd.isna(curves["train_loss"][1])
    assert pd.isna(curves["validation_accuracy"][0]) and curves["validation_accuracy"][1] == 0.8
    assert (curves[["learning_rate", "epochs"]] == [1e-4, 1]).all(axis=None)
    plain = studies.linear_probe_study.rows([made("", {"labels": 100}, {"test_accuracy": 0.7, "right": [1, 0]})])
    assert list(plain) == ["labels", "test_accuracy", "run_seconds", "source"]


def test_label_efficiency_averages_seeds_and_adds_the_whole_run() -> None:
    curve = pd.DataFrame(
        [
            {"encoder": "course", "labels": 100, "seed": 0, "test_accuracy": 0.70, "test_rows": 1000},
            {"encoder": "course", "labels": 100, "seed": 1, "test_accuracy": 0.74, "test_rows": 1000},
            {"encoder": "scratch", "labels": 100, "seed": 0, "test_accuracy": 0.50, "test_rows": 1000},
        ]
    )
    probes = pd.DataFrame([{"labels": 100, "test_accuracy": 0.65, "test_rows": 1000}])
    whole = Run("finetune", {}, {"test_accuracy": 0.87, "test_rows": 1000}, 1.0, "computed")
    table = finetuning.as_label_efficiency(curve, probes, whole, labels=8000)
    rows = {(row.method, row.labels): row for row in table.itertuples()}
    assert rows["pretrained, fine-tuned", 100].accuracy == pytest.approx(0.72)
    assert rows["pretrained, fine-tuned", 8000].accuracy == 0.87
    assert set(table["method"]) == {"pretrained, fine-tuned", "same architecture, from scratch", "linear probe"}
    expected = evaluation.wilson_interval(650, 1000)
    assert (rows["linear probe", 100].low, rows["linear probe", 100].high) == (expected.low, expected.high)
    assert plots.label_efficiency(table).get_lines()
