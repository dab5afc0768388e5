"""What augmentation is worth: test accuracy with and without, at the same number of optimizer steps.

A fair comparison spends as much on both sides. Without augmentation the n training sentences are seen in E epochs.
With it there is one rewrite of each, and the 2 n sentences are seen in E / 2 epochs: the same number of steps, of
sentences in each step, and of sentences in all. What differs is only whether a sentence is met again as it was or as
a rewrite. A gain that comes from training longer is none of augmentation's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_lib import corpora, experiments, machine
from course_lib.augmentation.context import contextual
from course_lib.augmentation.marks import PunctuationInsertion, TypoNoise
from course_lib.augmentation.mixup import Mixup
from course_lib.augmentation.operation import Operation, changes
from course_lib.augmentation.sets import augment
from course_lib.augmentation.words import RandomDeletion, RandomInsertion, RandomSwap, SynonymReplacement, eda
from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput
from course_lib.evaluation import over_seeds
from course_lib.finetuning import recipe
from course_lib.finetuning.recipes import estimator
from course_lib.finetuning.studies import epochs_for

BATCH = 25  # divides 100, 500 and 2,000: then twice the sentences are exactly twice the steps
NONE = "none"
# Method -> what it makes of texts with these texts and labels in hand.
OPERATIONS: dict[str, Callable[[Sequence[str], Sequence[Any]], Operation]] = {
    "eda": lambda texts, labels: eda(),
    "synonyms": lambda texts, labels: SynonymReplacement(),
    "insertion": lambda texts, labels: RandomInsertion(),
    "swap": lambda texts, labels: RandomSwap(),
    "deletion": lambda texts, labels: RandomDeletion(),
    "aeda": lambda texts, labels: PunctuationInsertion(),
    "typo": lambda texts, labels: TypoNoise(),
    "contextual": lambda texts, labels: contextual(texts, labels),
}
ADVERSARIES = {"mixup": Mixup()}
METHODS = (NONE, *OPERATIONS, *ADVERSARIES)


def worth_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: test accuracy with `labels` movie sentences, rewritten by `method` (one of `METHODS`), and `seed`.

    `labels` is cut to whole batches of 25, so that both sides take the same steps. The seed is that of the rewrites,
    too. `copies` in the result says how many of the rows were really rewritten.
    """
    rows, method = training_rows(config["labels"]), checked_method(config["method"])
    texts, labels = rows["text"].tolist(), rows["label"].to_numpy()
    chosen = recipe("default")
    soft = corpora.soft_labels(rows["rating"].to_numpy(), chosen.sharpness)
    epochs, seen, copies = looks(len(rows)), np.arange(len(rows)), 0
    if method in OPERATIONS:
        made = augment(texts, labels, OPERATIONS[method](texts, labels.tolist()), seed=config["seed"])
        texts, seen = filled(made.texts, made.origin, len(rows))
        epochs, copies = epochs // 2, len(made.texts) - made.originals
    classifier = estimator(chosen, config["seed"])
    classifier.training = replace(chosen.training, seed=config["seed"], epochs=epochs, batch_size=batch_of(len(rows)))
    classifier.fit(texts, labels[seen], soft_labels=soft[seen], adversary=ADVERSARIES.get(method))
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


def looks(rows: int) -> int:
    """How often each sentence is seen in a run: as in `finetuning.label_curve`, made even."""
    epochs = epochs_for(rows, batch_of(rows))
    return epochs - epochs % 2


def filled(texts: Sequence[str], origin: NDArray[np.int64], rows: int) -> tuple[list[str], NDArray[np.int64]]:
    """Exactly one more row for each original: its rewrite or, where there is none, the original again.

    Args:
        texts: the originals, then the rewrites.
        origin: which original each of them comes from.
        rows: how many originals there are.
    """
    copy = {int(source): text for source, text in zip(origin[rows:], texts[rows:], strict=True)}
    originals = list(texts[:rows])
    return originals + [copy.get(row, text) for row, text in enumerate(originals)], np.tile(np.arange(rows), 2)


def checked_method(method: Any) -> str:
    """Raises BadInput for a method that there is not."""
    if method not in METHODS:
        raise BadInput(f"method is {method!r}", f"use one of {', '.join(METHODS)}")
    return str(method)


def study_cost(config: dict[str, Any]) -> machine.Cost:
    """What one run takes here: training, test predictions and, for `contextual`, the language model."""
    rows = training_rows(config["labels"])["text"].tolist()
    test = corpora.part("movie_reviews", "test")["text"].tolist()
    classifier = estimator(recipe("default"), 0)
    training = replace(recipe("default").training, epochs=looks(len(rows)), batch_size=batch_of(len(rows)))
    classifier.training = training
    cost = classifier.fit_cost(rows) + classifier.predict_cost(test)
    if checked_method(config["method"]) == "contextual":
        cost = cost + contextual_cost(classifier, rows)
    return cost


def contextual_cost(classifier: TextClassifier, texts: Sequence[str]) -> machine.Cost:
    """Of one rewrite of each text by the language model on the course encoder: a row for each masked word.

    A row is dearer than a prediction by the word head (a product with 30,522 word vectors for one token of a row) and
    the last layer, which is computed for every token: by a fifth, counted for rows of 27 tokens.
    """
    masked = np.mean([changes(0.15, len(text.split())) for text in texts])
    return classifier.predict_cost(texts) * (1.2 * float(masked))


def study(configs: Sequence[dict[str, Any]], show: bool = True) -> pd.DataFrame:
    """One row a run, made now or stored before: its configuration, its result, `seconds`, `expected_seconds`, `stored`.

    Prints first, to standard error, what the missing runs will cost here.
    """
    if show:
        print(forecast(configs), file=sys.stderr)
    runs = [experiments.run(worth_study, c, cost=partial(study_cost, c), show=False) for c in configs]
    return pd.DataFrame([facts_of(run) for run in runs])


def facts_of(run: experiments.Run) -> dict[str, Any]:
    """A run as a row of a table."""
    times = {"seconds": run.seconds, "expected_seconds": run.expected_seconds, "stored": run.stored}
    return {**run.config, **run.result, **times}


def forecast(configs: Sequence[dict[str, Any]]) -> str:
    """One sentence on what these runs will take here and now."""
    return experiments.forecast(worth_study, list(configs), study_cost)


def as_gains(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean accuracy of each size and method, and its gain over none, paired by seed, with Student's 95 % interval.

    The interval tells luck of the seeds, not of the test sentences. With one common seed it is missing (NaN).

    Args:
        runs: of `worth_study`: labels, method, seed, test_accuracy.

    Returns:
        labels, method, seeds, accuracy (0 to 1), gain, low, high (points); the rows of `none` have a gain of 0.

    Raises:
        BadInput: a column is missing, a run stands there twice, or a method has no seed in common with none.
    """
    missing = [name for name in ("labels", "method", "seed", "test_accuracy") if name not in runs]
    if missing:
        raise BadInput(f"the runs have no column {missing[0]!r}", "pass what augmentation.study gives")
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
