"""Defences side by side: what each one keeps, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from course_lib import machine
from course_lib.batching import check_texts
from course_lib.classifier.data import as_labels
from course_lib.defenses.answers import Classifier, check_classifier
from course_lib.errors import BadInput


class Report(Protocol):
    """What the table reads of an attack's report."""

    @property
    def accuracy_under_attack(self) -> float: ...
    @property
    def queries_per_text(self) -> float: ...


class AnyAttack(Protocol):
    """What the table asks of an attack."""

    def run(self, classifier: Any, texts: Sequence[str], labels: ArrayLike, seed: int = 0) -> Report: ...


def defence_table(
    classifiers: Mapping[str, Classifier],
    attacks: Mapping[str, AnyAttack],
    texts: Sequence[str],
    labels: ArrayLike,
    *,
    training_cost: Mapping[str, float] | None = None,
    left_out: Collection[tuple[str, str]] = (),
    seed: int = 0,
) -> pd.DataFrame:
    """Every classifier under every attack, each attack run anew against each classifier.

    A text that fools one model says little of a defence that it was not made for, so no attacked text is handed on.

    Args:
        classifiers: by name, the undefended one first.
        attacks: by name.
        texts: n strings.
        labels: their n true labels.
        training_cost: of each classifier, in what unit one likes, such as multiples of the usual training.
        left_out: pairs (classifier, attack) that cannot be run, such as an attack by gradients on an ensemble.
        seed: of the attacks.

    Returns:
        One row a classifier, its name as index. accuracy (on the texts as they are); `under X` (accuracy under the
        attack X) and `queries of X` (mean a text), not numbers where left out; inference_cost (time to answer the
        texts, the first classifier's being 1); training_cost where given.

    Raises:
        BadInput: no classifier or no text, one that is not fitted, a name in `left_out` or `training_cost` that is not
            there or lacks; and what an attack raises.
    """
    texts = check_texts(texts)
    wanted = as_labels(labels, len(texts), "labels")
    _check_names(classifiers, attacks, training_cost, left_out)
    rows = {}
    for name, classifier in classifiers.items():
        check_classifier(classifier, name)
        seconds, accuracy = _asked(classifier, texts, wanted)
        rows[name] = {"accuracy": accuracy}
        for title, attack in attacks.items():
            skipped = (name, title) in left_out
            report = None if skipped else attack.run(classifier, texts, wanted, seed)
            rows[name][f"under {title}"] = report.accuracy_under_attack if report else math.nan
            rows[name][f"queries of {title}"] = report.queries_per_text if report else math.nan
        rows[name]["inference_cost"] = seconds
        if training_cost is not None:
            rows[name]["training_cost"] = training_cost[name]
    table = pd.DataFrame.from_dict(rows, orient="index")
    table["inference_cost"] /= table["inference_cost"].iloc[0]
    return table.rename_axis("classifier")


def _asked(classifier: Classifier, texts: list[str], labels: Any) -> tuple[float, float]:
    """(seconds for all texts, the faster of two times; accuracy)."""
    times = []
    for _ in range(2):  # the first call of a model may be slower
        with machine.stopwatch() as seconds:
            answers = classifier.classes_[classifier.predict_proba(texts).argmax(1)]
        times += seconds
    return min(times), float(np.mean(answers == labels))


def _check_names(
    classifiers: Mapping[str, Any],
    attacks: Mapping[str, Any],
    training_cost: Mapping[str, float] | None,
    left_out: Collection[tuple[str, str]],
) -> None:
    if not classifiers:
        raise BadInput("there is no classifier", "give at least one, the undefended one first")
    if training_cost is not None and set(training_cost) != set(classifiers):
        raise BadInput(f"training_cost is of {sorted(training_cost)}", f"give one of each of {sorted(classifiers)}")
    for pair in left_out:
        if pair not in {(name, title) for name in classifiers for title in attacks}:
            raise BadInput(f"left_out holds {pair!r}", "give pairs (classifier, attack) of names that are there")
