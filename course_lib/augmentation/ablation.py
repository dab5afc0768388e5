"""Ablation of augmentation: test accuracy with and without it, at the same number of optimizer steps.

Without augmentation the n training sentences are seen in E epochs. With it there is one rewrite of each, and the 2 n
sentences are seen in E / 2 epochs: the same number of steps, of sentences in each step, and of sentences in all. The
one difference is whether a sentence is seen again as it was or as a rewrite. A gain from longer training is excluded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_lib import corpora
from course_lib.augmentation.context import contextual
from course_lib.augmentation.dataset import Augmented, augment
from course_lib.augmentation.mixup import Mixup
from course_lib.augmentation.noise import PunctuationInsertion, TypoNoise
from course_lib.augmentation.operations import (
    Operation,
    RandomDeletion,
    RandomInsertion,
    RandomSwap,
    SynonymReplacement,
    eda,
)
from course_lib.errors import BadInput
from course_lib.evaluation import over_seeds
from course_lib.experiments import experiment
from course_lib.finetuning import recipe
from course_lib.finetuning.recipes import estimator
from course_lib.finetuning.studies import epochs_for

BATCH = 25  # divides 100, 500 and 2,000: then twice the sentences are exactly twice the steps
NONE = "none"
OPERATIONS: dict[str, Callable[[], Operation]] = {
    "eda": eda,
    "synonyms": SynonymReplacement,
    "insertion": RandomInsertion,
    "swap": RandomSwap,
    "deletion": RandomDeletion,
    "aeda": PunctuationInsertion,
    "typo": TypoNoise,
}
CONTEXTUAL = "contextual"  # its judge is fitted on the training sentences
LOSS_WRAPPERS = {"mixup": Mixup()}
METHODS = (NONE, *OPERATIONS, CONTEXTUAL, *LOSS_WRAPPERS)


def _sentences_seen(config: Mapping[str, Any]) -> float:
    """Training sentences of all epochs; a predicted one counts a quarter, and a rewrite by a language model two."""
    rewritten = 2.0 * config["labels"] if config["method"] == CONTEXTUAL else 0.0
    trained: float = config["labels"] * epochs_of(config["labels"])
    return trained + 2100 / 4 + rewritten


@experiment(
    "augmentation_study",
    cost=_sentences_seen,
    tolerance={"test_accuracy": 0.05, "copies": 3},
    data=("course_encoder", "sentiment_ratings", "wordnet", "course-words"),
)
def augmentation_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: test accuracy with `labels` movie sentences, rewritten by `method` (one of `METHODS`), and `seed`.

    `labels` is cut to whole batches of 25, so that both sides take the same steps. The seed is also that of the
    rewrites. `copies` in the result is the number of rows that were rewritten.
    """
    method = config["method"]
    if method not in METHODS:
        raise BadInput(f"method is {method!r}", f"use one of {', '.join(METHODS)}")
    rows = training_rows(config["labels"])
    texts, labels = rows["text"].tolist(), rows["label"].to_numpy()
    chosen = recipe("default")
    soft = corpora.soft_labels(rows["rating"].to_numpy(), chosen.sharpness)
    epochs, origin, copies = epochs_of(len(rows)), np.arange(len(rows)), 0
    if method in OPERATIONS or method == CONTEXTUAL:
        operation = contextual(texts, labels) if method == CONTEXTUAL else OPERATIONS[method]()
        made = augment(texts, labels, operation, seed=config["seed"])
        texts, origin = one_rewrite_each(made)
        epochs, copies = epochs // 2, len(made.texts) - made.originals
    classifier = estimator(chosen, config["seed"])
    classifier.training = replace(chosen.training, seed=config["seed"], epochs=epochs, batch_size=batch_of(len(rows)))
    classifier.fit(texts, labels[origin], soft_labels=soft[origin], loss_wrapper=LOSS_WRAPPERS.get(method))
    test = corpora.part("movie_reviews", "test")
    right = classifier.predict(test["text"].tolist()) == test["label"].to_numpy()
    steps = int(classifier.history_.rows[-1]["total_steps"])
    return {"test_accuracy": float(right.mean()), "test_rows": len(test), "steps": steps, "copies": copies}


def training_rows(labels: int) -> pd.DataFrame:
    """The first sentences of the training part in hash order, in whole batches; all of them if there are fewer.

    Raises:
        BadInput: fewer than 2 labels.
    """
    if isinstance(labels, bool) or not isinstance(labels, int) or labels < 2:
        raise BadInput(f"labels is {labels!r}", "use a whole number, 2 or more")
    rows = corpora.part("movie_reviews", "train", limit=labels)
    return rows.head(len(rows) // batch_of(len(rows)) * batch_of(len(rows)))


def batch_of(rows: int) -> int:
    """Sentences of a step."""
    return min(BATCH, rows)


def epochs_of(rows: int) -> int:
    """Epochs of a run without rewrites: as in `finetuning.label_curve`, made even."""
    epochs = epochs_for(rows, batch_of(rows))
    return epochs - epochs % 2


def one_rewrite_each(made: Augmented) -> tuple[list[str], NDArray[np.int64]]:
    """The originals, then one more row for each, its rewrite or, where there is none, the original again; origins."""
    n = made.originals
    second = dict(enumerate(made.texts[:n])) | dict(zip(made.origin[n:].tolist(), made.texts[n:], strict=True))
    return [*made.texts[:n], *second.values()], np.tile(np.arange(n), 2)


def as_gains(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy of each size and method, and its gain over none, paired by seed, with Student's 95 % interval.

    The interval is over the seeds, not over the test sentences. With one common seed it is missing (NaN).

    Args:
        runs: the table of `augmentation_study`: labels, method, seed, test_accuracy.

    Returns:
        labels, method, seeds, accuracy (0 to 1), gain, low, high (points); the rows of `none` have a gain of 0.

    Raises:
        BadInput: a column is missing, a run occurs twice, or a method has no seed in common with none.
    """
    missing = [name for name in ("labels", "method", "seed", "test_accuracy") if name not in runs]
    if missing:
        raise BadInput(f"the runs have no column {missing[0]!r}", "pass the table of augmentation_study")
    if runs.duplicated(["labels", "method", "seed"]).any():
        raise BadInput("the runs hold one labels, method and seed twice", "pass each run once")
    rows = []
    for labels, group in runs.groupby("labels"):
        table = group.pivot(index="seed", columns="method", values="test_accuracy")
        rows += [_gain(int(labels), table, method) for method in METHODS if method in table]
    return pd.DataFrame(rows)


def _gain(labels: int, accuracy: pd.DataFrame, method: str) -> dict[str, Any]:
    if NONE not in accuracy or not (common := accuracy[[NONE, method]].dropna().index).size:
        raise BadInput(f"{labels} labels: {method} has no seed in common with none", "run none with the same seeds")
    points = 100 * (accuracy.loc[common, method] - accuracy.loc[common, NONE]).to_numpy()
    mean = float(accuracy.loc[common, method].mean())
    row = {"labels": labels, "method": method, "seeds": len(points), "accuracy": mean, "gain": float(points.mean())}
    if len(points) < 2:
        return row | {"low": np.nan, "high": np.nan}
    interval = over_seeds(points)
    return row | {"low": interval.low, "high": interval.high}
