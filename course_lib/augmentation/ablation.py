"""Ablation of augmentation: test accuracy with and without it, at the same amount of training.

The pretrained encoder: without augmentation the n training sentences are seen in E epochs. With it there is one rewrite
of each, and the 2 n sentences are seen in E / 2 epochs: the same number of steps, of sentences in each step, and of
sentences in all. The one difference is whether a sentence is seen again as it was or as a rewrite. A gain from longer
training is excluded. The small models (`few_label_study`) get several copies, with the same steps or the same weight.

There the seed also draws the training sentences; the encoder always has the first ones in hash order.
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
from course_lib.augmentation.small_models import BATCH, fit_cnn, fit_probe, fit_tfidf
from course_lib.classifier import sentence_vectors
from course_lib.errors import BadInput
from course_lib.evaluation import over_seeds
from course_lib.experiments import Run, experiment
from course_lib.finetuning import recipe
from course_lib.finetuning.recipes import estimator
from course_lib.finetuning.studies import epochs_for

COPIES = 8  # of a sentence, for the small models; Wei & Zou advise 8 to 16 for up to 2,000 sentences
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

# The runs that ship with the course.
ENCODER_RUNS = [
    {"labels": 100, "method": method, "seed": seed} for seed in range(5) for method in (NONE, "eda", CONTEXTUAL)
]
TFIDF_RUNS = [
    {"model": "tfidf", "labels": labels, "method": method, "seeds": 20}
    for labels in (50, 100) for method in (NONE, "eda", "synonyms", "deletion", "swap", "aeda")
]  # fmt: skip
CNN_RUNS = [
    {"model": "cnn", "labels": 200, "method": method, "steps": steps, "seeds": 5}
    for method, steps in ((NONE, 40), (NONE, 360), ("eda", 360), ("synonyms", 360))
]
PROBE_RUNS = [{"labels": 300, "seeds": 5}]


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

    `labels` is cut to whole batches of 25, so that both sides take the same steps. `copies` in the result is the number
    of rows that were rewritten.
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


def training_rows(labels: int, seed: int = 0) -> pd.DataFrame:
    """Sentences of the training part in hash order, in whole batches: the first ones for seed 0, then the next ones.

    Raises:
        BadInput: fewer than 2 labels.
    """
    if isinstance(labels, bool) or not isinstance(labels, int) or labels < 2:
        raise BadInput(f"labels is {labels!r}", "use a whole number, 2 or more")
    every = corpora.part("movie_reviews", "train")
    count = min(labels, len(every))
    chosen = np.arange(seed * count, (seed + 1) * count) % len(every)
    return every.iloc[chosen[: count // batch_of(count) * batch_of(count)]]


@experiment(
    "few_label_study",
    cost=lambda config: config["seeds"] * (config["labels"] + 500),
    table=lambda runs: pd.concat([_accuracies(run) for run in runs], ignore_index=True),
    tolerance={"test_accuracy": 0.03},
    data=("sentiment_ratings", "wordnet"),
)
def few_label_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: test accuracies of a small `model` (`tfidf` or `cnn`) with `labels` sentences, for several `seeds`.

    `method` is `none` or one of the operations that need no language model; each sentence gets eight copies. A network
    takes `steps` steps.
    """
    test = corpora.part("movie_reviews", "test")
    texts, labels = test["text"].tolist(), test["label"].to_numpy()
    accuracies = []
    for seed in range(config["seeds"]):
        operation = None if config["method"] == NONE else OPERATIONS[config["method"]]()
        made = _copies(training_rows(config["labels"], seed), operation, COPIES, seed)
        small = fit_tfidf(made, texts) if config["model"] == "tfidf" else fit_cnn(made, texts, config["steps"], seed)
        accuracies.append(float((small == labels).mean()))
    return {"test_accuracy": accuracies, "test_rows": len(test)}


@experiment(
    "probe_study",
    cost=lambda config: 1000 + 3 * config["seeds"] * config["labels"],
    table=lambda runs: pd.concat([pd.DataFrame(run.result["rows"]) for run in runs], ignore_index=True),
    tolerance={"test_accuracy": 0.02, "typo_accuracy": 0.02},
    data=("course_encoder", "sentiment_ratings", "wordnet"),
)
def probe_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: the pretrained encoder, untrained further, with a logistic regression on its sentence vectors.

    For each of `seeds` seeds there are `labels` sentences, and one copy of each: none, EDA's, or one with typing errors
    in 30 % of the words. Accuracy on 400 test sentences, and on the same sentences with such errors.
    """
    test, noise = corpora.part("movie_reviews", "test", 400), TypoNoise(0.3)
    texts, labels = test["text"].tolist(), test["label"].to_numpy()
    test_vectors = sentence_vectors([*texts, *noise(texts, seed=99)])
    rows = []
    for seed in range(config["seeds"]):
        some = training_rows(config["labels"], seed)
        for method, operation in ((NONE, None), ("eda", eda()), ("typo", noise)):
            made = _copies(some, operation, 1, seed)
            right = (fit_probe(made).predict(test_vectors) == np.tile(labels, 2)).reshape(2, -1).mean(1).tolist()
            fixed = {"labels": config["labels"], "method": method, "seed": seed}
            rows.append(fixed | {"test_accuracy": right[0], "typo_accuracy": right[1]})
    return {"rows": rows}


def _copies(rows: pd.DataFrame, operation: Operation | None, copies: int, seed: int) -> Augmented:
    texts, labels = rows["text"].tolist(), rows["label"].to_numpy()
    if operation is None:
        return Augmented(texts, labels, np.arange(len(rows)), len(rows), 0)
    return augment(texts, labels, operation, copies, seed)


def _accuracies(run: Run) -> pd.DataFrame:
    """A row for each seed: the configuration, seed, test_accuracy."""
    fixed = {name: value for name, value in run.config.items() if name != "seeds"}
    return (
        pd.DataFrame({"test_accuracy": run.result["test_accuracy"]}).assign(**fixed).rename_axis("seed").reset_index()
    )


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


def paired_gains(runs: pd.DataFrame) -> pd.DataFrame:
    """The gain of each run over the run without augmentation that has the same number of labels and the same seed.

    Args:
        runs: labels, method, seed, test_accuracy, as a table of `augmentation_study` has them.

    Returns:
        labels, method, seed, gain (percentage points); none of the rows is of `none`.

    Raises:
        BadInput: a column is missing, a run occurs twice, or a method has no seed in common with none.
    """
    missing = [name for name in ("labels", "method", "seed", "test_accuracy") if name not in runs]
    if missing:
        raise BadInput(f"the runs have no column {missing[0]!r}", "pass the table of augmentation_study")
    if runs.duplicated(["labels", "method", "seed"]).any():
        raise BadInput("the runs hold one labels, method and seed twice", "pass each run once")
    none = runs[runs["method"] == NONE].set_index(["labels", "seed"])["test_accuracy"].rename("without")
    pairs = runs[runs["method"] != NONE].join(none, on=["labels", "seed"])
    pairs["gain"] = 100 * (pairs["test_accuracy"] - pairs["without"])
    for (labels, method), group in pairs.groupby(["labels", "method"]):
        if group["gain"].isna().all():
            raise BadInput(f"{labels} labels: {method} has no seed in common with none", "run none with the same seeds")
    return pairs.dropna(subset="gain")[["labels", "method", "seed", "gain"]]


def as_gains(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy of each size and method, and its gain over none, paired by seed, with Student's 95 % interval.

    The interval is over the seeds, not over the test sentences. With one common seed it is missing (NaN).

    Args:
        runs: as for `paired_gains`.

    Returns:
        labels, method, seeds, accuracy (0 to 1), gain, low, high (points); the rows of `none` have a gain of 0.

    Raises:
        BadInput: as `paired_gains` does.
    """
    gains, rows = paired_gains(runs), []
    for labels, group in runs.groupby("labels"):
        for method in [one for one in METHODS if (group["method"] == one).any()]:
            accuracy = group[group["method"] == method].set_index("seed")["test_accuracy"]
            mine = gains[(gains["labels"] == labels) & (gains["method"] == method)].set_index("seed")["gain"]
            mine = mine if method != NONE else 0 * accuracy
            row = {"labels": int(labels), "method": method, "seeds": len(mine), "accuracy": accuracy[mine.index].mean()}
            found = over_seeds(mine) if len(mine) > 1 else None
            ends = (found.low, found.high) if found else (np.nan, np.nan)
            rows.append(row | {"gain": float(mine.mean()), "low": ends[0], "high": ends[1]})
    return pd.DataFrame(rows)
