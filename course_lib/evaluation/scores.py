"""How good: accuracy, F1, confusion, calibration and likelihood in one record; models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn import metrics

from course_lib.errors import BadInput
from course_lib.evaluation.calibration import calibration
from course_lib.evaluation.inputs import codes, probability_rows, same_length
from course_lib.evaluation.intervals import Interval, bootstrap, paired_bootstrap

UNBALANCED = 0.8  # accuracy of the most frequent class from which accuracy alone misleads


@dataclass(frozen=True)
class Evaluation:
    """The figures of a classifier on a test set.

    Attributes:
        n: number of sentences.
        accuracy: fraction of right predictions with its 95 % bootstrap interval.
        f1: macro F1: mean over the classes that occur, each counting the same.
        confusion: (classes, classes) counts; rows are the truth, columns the prediction.
        classes: the class of each row and column.
        ece: expected calibration error with 15 bins, in [0, 1].
        brier: half the squared distance of probabilities and truth, in [0, 1]; 0.25 is guessing between two.
        log_loss: mean of -log p(truth) in nats; 0.693 is guessing between two.
        majority: the accuracy of always predicting the most frequent class.
        recall: for each class, the fraction of its sentences that were predicted as such; None where it has none.
        balanced_accuracy: mean recall of the classes that occur; 0.5 is guessing between two.
    """

    n: int
    accuracy: Interval
    f1: float
    confusion: list[list[int]]
    classes: list[Any]
    ece: float
    brier: float
    log_loss: float
    majority: float
    recall: list[float | None]
    balanced_accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        a = self.accuracy
        text = (
            f"accuracy {a.estimate:.1%} [{a.low:.1%}, {a.high:.1%}] on {self.n:,} sentences, "
            f"F1 {self.f1:.3f}, ECE {self.ece:.3f}, Brier {self.brier:.3f}, log loss {self.log_loss:.3f}"
        )
        if self.majority < UNBALANCED and 0 not in self.recall:
            return text
        recalls = ", ".join(
            f"{name} {recall:.1%}" for name, recall in zip(self.classes, self.recall, strict=True) if recall is not None
        )
        return (
            f"{text}\nunbalanced: always the most frequent class has accuracy {self.majority:.1%}; "
            f"balanced accuracy {self.balanced_accuracy:.1%}, recall by class: {recalls}"
        )


def evaluate(
    probabilities: ArrayLike, labels: ArrayLike, classes: Sequence[Any] | None = None, seed: int = 0
) -> Evaluation:
    """Measure a classifier's probabilities against the truth.

    Args:
        probabilities: (n, classes), rows sum to 1.
        labels: (n,) names out of `classes`, or column numbers where `classes` is None.
        classes: the class of each column (the classifier's `classes_`).
        seed: of the bootstrap.

    Raises:
        BadInput: lengths differ, rows do not sum to 1, NaN, unknown labels, or nothing there.
    """
    rows = probability_rows(probabilities)
    same_length(len(rows), labels)
    truth = codes(labels, classes, rows.shape[1])
    predicted = rows.argmax(axis=1)
    columns = list(range(rows.shape[1]))
    confusion = metrics.confusion_matrix(truth, predicted, labels=columns)
    counts = confusion.sum(axis=1)
    recall = [float(confusion[i, i] / counts[i]) if counts[i] else None for i in columns]
    return Evaluation(
        n=len(rows),
        accuracy=bootstrap(predicted == truth, seed=seed),
        f1=float(metrics.f1_score(truth, predicted, average="macro")),
        confusion=confusion.tolist(),
        classes=columns if classes is None else [_plain(name) for name in classes],
        ece=calibration(rows, truth).ece,
        brier=float(((rows - np.eye(len(columns))[truth]) ** 2).sum(axis=1).mean() / 2),
        log_loss=float(metrics.log_loss(truth, rows, labels=columns)),
        majority=float(counts.max() / len(rows)),
        recall=recall,
        balanced_accuracy=float(np.mean([one for one in recall if one is not None])),
    )


def comparison(correct: Mapping[str, ArrayLike], against: str | None = None) -> pd.DataFrame:
    """Several models on the same sentences, and what each gains over one of them.

    Args:
        correct: model name -> (n,) 1 where its prediction was right, 0 where wrong.
        against: the model that the others are held against; the first one where left out.

    Returns:
        One row for each model, in the given order: model, n, accuracy, low, high, and gain, gain_low,
        gain_high (the paired difference to `against`); fractions, not percent.

    Raises:
        BadInput: no models, `against` is none of them, or lengths differ.
    """
    base = next(iter(correct), "") if against is None else against
    if base not in correct:
        raise BadInput(f"{base!r} is none of the models {list(correct)}", "pass at least one model, and its own name")
    rows = []
    for model, right in correct.items():
        level, gain = bootstrap(right), paired_bootstrap(right, correct[base])
        rows.append([model, len(np.asarray(right)), *_triple(level), *_triple(gain)])
    names = ["model", "n", "accuracy", "low", "high", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(rows, columns=names)


def _triple(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


def _plain(name: Any) -> Any:
    """numpy scalars as Python's own, which JSON can hold."""
    return name.item() if isinstance(name, np.generic) else name
