"""What is trained, on what, and how: three recipes, from a quick look to the best that we found."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from course_lib import corpora, machine
from course_lib.checkpoints import CheckpointFolder
from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput
from course_lib.experiments import experiment
from course_lib.training import Callback, TrainingConfig


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune, by name.

    Attributes:
        name: `quick`, `default` or `best`.
        training: the hyper-parameters.
        sharpness: steepness of the soft label sigmoid(sharpness * rating); 0 trains on the labels themselves.
        members: runs from the same start whose weights are averaged (a soup: Wortsman et al. 2022, arXiv:2203.05482).
        dropout: of encoder and head.
        train_rows: at most so many rows of the corpus; None is all.
        max_length: tokens of a text that the classifier reads.
    """

    name: str
    training: TrainingConfig
    sharpness: float = 1.0
    members: int = 1
    dropout: float = 0.0
    train_rows: int | None = None
    max_length: int = 128


RECIPES = {
    "quick": Recipe("quick", TrainingConfig(epochs=1), train_rows=2000),
    "default": Recipe("default", TrainingConfig(epochs=2)),
    "best": Recipe("best", TrainingConfig(epochs=2), members=2),
}


def recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        BadInput: there is none.
    """
    if name not in RECIPES:
        raise BadInput(f"there is no recipe {name!r}", f"use one of {', '.join(RECIPES)}")
    return RECIPES[name]


@dataclass(frozen=True)
class Material:
    """Texts with labels and, where people rated them, soft labels."""

    texts: list[str]
    labels: np.ndarray[Any, np.dtype[Any]]
    soft_labels: np.ndarray[Any, np.dtype[np.float32]] | None


def material(chosen: Recipe, frame: pd.DataFrame) -> Material:
    """The training rows of `frame`; rated ones (`rating` without gaps) have soft labels.

    Raises:
        BadInput: the ratings speak of other classes than the labels.
    """
    rows = frame[frame["split"] == "train"]
    soft = None
    if chosen.sharpness and "rating" in rows and not rows["rating"].isna().any():
        _check_ratings(rows)
        soft = corpora.soft_labels(rows["rating"].to_numpy(), chosen.sharpness)
    return Material(rows["text"].tolist(), rows["label"].to_numpy(), soft)


def _check_ratings(rows: pd.DataFrame) -> None:
    """A soft label is the chance of class 1, so ratings above 0 must mean class 1, but for a few odd rows."""
    odd = (rows["rating"] * (2 * rows["label"] - 1) < 0) | (rows["label"] > 1)
    if odd.mean() > 0.1 or rows["label"].max() > 1:
        raise BadInput(
            f"{odd.sum()} of {len(rows)} ratings do not fit their labels: {rows['rating'][odd].iloc[0]} with label "
            f"{rows['label'][odd].iloc[0]}",
            "shift the ratings so that those of label 1 are above 0 and those of label 0 below, or leave them out",
        )


def estimator(chosen: Recipe, seed: int, encoder: str = "course") -> TextClassifier:
    """The unfitted classifier of a recipe."""
    return TextClassifier(
        encoder,
        training=replace(chosen.training, seed=seed),
        max_length=chosen.max_length,
        dropout=chosen.dropout,
    )


def fit_recipe(
    chosen: Recipe,
    frame: pd.DataFrame,
    *,
    seed: int = 0,
    encoder: str = "course",
    callbacks: Sequence[Callback] = (),
    checkpoints: Path | None = None,
    every: int = 100,
) -> TextClassifier:
    """Trains a recipe on the training rows of a corpus (columns `text, label, split` and, if rated, `rating`).

    Args:
        chosen: the recipe.
        frame: a corpus; only rows whose split is `train` are learned, `validation` is measured after each epoch. Where
            `attrs["classes"]` has the classes in words, they become the classifier's `class_names`.
        seed: of head, order and dropout.
        encoder: as for `TextClassifier`.
        callbacks: called with every row of the history.
        checkpoints: folder for checkpoints (one sub-folder a member); resumes what it finds there.
        every: steps between two checkpoints.
    """
    rows = material(chosen, _limited(frame, chosen.train_rows))
    held_out = frame[frame["split"] == "validation"]
    validation = (held_out["text"].tolist(), held_out["label"].to_numpy()) if len(held_out) else None
    fitted = []
    for member in range(chosen.members):
        classifier = estimator(chosen, seed, encoder)
        order_seed = None if chosen.members == 1 else seed * 1000 + member
        classifier.training = replace(classifier.training or TrainingConfig(), order_seed=order_seed)
        classifier.class_names = _class_names(frame, rows)
        folder = CheckpointFolder(checkpoints / f"member-{member}", every) if checkpoints else None
        classifier.fit(
            rows.texts, rows.labels, soft_labels=rows.soft_labels, validation=validation, callbacks=callbacks,
            checkpoints=folder,
        )  # fmt: skip
        fitted.append(classifier)
    return soup(fitted)


def _class_names(frame: pd.DataFrame, rows: Material) -> list[str] | None:
    """The words of the classes that the training rows hold, if the corpus has some."""
    words = frame.attrs.get("classes")
    return [str(words[label]) for label in np.unique(rows.labels)] if words else None


def soup(classifiers: Sequence[TextClassifier]) -> TextClassifier:
    """The classifier whose weights are the mean of the others' (which must have started from the same weights)."""
    first = classifiers[0]
    states = [classifier.module_.state_dict() for classifier in classifiers]
    with torch.no_grad():
        for name, tensor in first.module_.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(torch.stack([state[name] for state in states]).mean(0))
    return first


def _limited(frame: pd.DataFrame, rows: int | None) -> pd.DataFrame:
    """All rows but the training rows beyond the first `rows` in hash order: files may be sorted by label."""
    training = frame.loc[frame["split"] == "train", "text"]
    if rows is None or rows >= len(training):
        return frame
    order = np.argsort([corpora.hash_fraction(text) for text in training], kind="stable")
    return frame.drop(training.index[order[rows:]])


def recipe_cost(chosen: Recipe, frame: pd.DataFrame, encoder: str = "course") -> machine.Cost:
    """What `fit_recipe` will take here."""
    rows = material(chosen, _limited(frame, chosen.train_rows))
    return estimator(chosen, 0, encoder).fit_cost(rows.texts) * chosen.members


SENTIMENT = {"data": "movie_reviews", "recipe": "default", "seed": 0}  # the run that made the shipped `sentiment`


def _sentences_seen(config: Mapping[str, Any]) -> float:
    """Training sentences of all epochs and members."""
    chosen, frame = recipe(config["recipe"]), corpora.load(config["data"])
    rows = int((frame["split"] == "train").sum())
    return chosen.members * chosen.training.epochs * min(rows, chosen.train_rows or rows)


@experiment(
    "finetune",
    cost=_sentences_seen,
    tolerance={"test_accuracy": 0.012, "training_seconds": np.inf, "peak_bytes": np.inf},
    data=("course_encoder", "sentiment_ratings"),
)
def finetune(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: one recipe on one corpus; saves the model, the logits of its test part and the history.

    `config` holds `data`, `recipe` (a name) and `seed`. The test part is touched here and nowhere before.
    """
    frame, chosen = corpora.load(config["data"]), recipe(config["recipe"])
    started = time.perf_counter()
    with machine.PeakMemory() as peak:
        classifier = fit_recipe(chosen, frame, seed=config["seed"])
    seconds = time.perf_counter() - started
    classifier.save(folder / "model")
    test = frame[frame["split"] == "test"]
    logits = classifier.decision_logits(test["text"].tolist())
    save_file({"logits": torch.from_numpy(logits)}, folder / "test.safetensors")
    right = logits.argmax(1) == test["label"].to_numpy()
    return {
        "test_accuracy": float(right.mean()),
        "test_rows": len(test),
        "training_seconds": seconds,
        "peak_bytes": peak.bytes,
        "history": classifier.history_.to_dict(),
    }
