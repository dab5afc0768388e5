"""How good: accuracy, F1, confusion, calibration and likelihood in one record; models side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from sklearn import metrics

from course_lib.errors import BadInput
from course_lib.evaluation.calibration import calibration
from course_lib.evaluation.inputs import codes, numbers, probability_rows, same_length
from course_lib.evaluation.intervals import Interval, bootstrap, paired_bootstrap


@dataclass(frozen=True)
class Evaluation:
    """What a test set says about a classifier.

    Attributes:
        n: number of sentences.
        accuracy: share of right predictions with its 95 % bootstrap interval.
        f1: macro F1: mean over the classes that occur, each counting the same.
        confusion: (classes, classes) counts; rows are the truth, columns the prediction.
        classes: the class of each row and column.
        ece: expected calibration error with 15 bins, in [0, 1].
        brier: half the squared distance of probabilities and truth, in [0, 1]; 0.25 is guessing between two.
        log_loss: mean of -log p(truth) in nats; 0.693 is guessing between two.
    """

    n: int
    accuracy: Interval
    f1: float
    confusion: list[list[int]]
    classes: list[Any]
    ece: float
    brier: float
    log_loss: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        a = self.accuracy
        return (
            f"accuracy {a.estimate:.1%} [{a.low:.1%}, {a.high:.1%}] on {self.n:,} sentences, "
            f"F1 {self.f1:.3f}, ECE {self.ece:.3f}, Brier {self.brier:.3f}, log loss {self.log_loss:.3f}"
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
    return Evaluation(
        n=len(rows),
        accuracy=bootstrap(predicted == truth, seed=seed),
        f1=float(metrics.f1_score(truth, predicted, average="macro")),
        confusion=metrics.confusion_matrix(truth, predicted, labels=columns).tolist(),
        classes=columns if classes is None else [_plain(name) for name in classes],
        ece=calibration(rows, truth).ece,
        brier=float(((rows - np.eye(len(columns))[truth]) ** 2).sum(axis=1).mean() / 2),
        log_loss=float(metrics.log_loss(truth, rows, labels=columns)),
    )


def comparison(correct: Mapping[str, ArrayLike], against: str | None = None) -> pd.DataFrame:
    """Several models on the same sentences, and what each gains over one of them.

    Args:
        correct: model name -> (n,) 1 where its prediction was right, 0 where wrong.
        against: the model that the others are held against; the first one where left out.

    Returns:
        One row for each model, in the given order: model, n, accuracy, low, high, and gain, gain_low,
        gain_high (the paired difference to `against`); shares, not percent.

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


def regression_report(predicted: ArrayLike, rating: ArrayLike) -> dict[str, float]:
    """Predicted against human ratings.

    Args:
        predicted: (n,) on the scale of the ratings, at least three.
        rating: (n,) the mean human rating.

    Returns:
        pearson and spearman (correlations in [-1, 1]), mae (mean absolute error in rating points) and r2
        (share of the variance explained; below 0 is worse than always saying the mean).

    Raises:
        BadInput: lengths differ, fewer than three rows, values that are not finite, or a constant column.
    """
    guess, truth = numbers(predicted, "predicted"), numbers(rating, "rating")
    same_length(len(guess), truth, "ratings")
    for name, column in (("predicted", guess), ("rating", truth)):
        if len(column) < 3 or np.ptp(column) == 0:
            raise BadInput(
                f"{name} has {len(column)} values from {column.min():.3g} to {column.max():.3g}",
                "pass three or more rows with different values: a constant has no correlation with anything",
            )
    return {
        "pearson": float(stats.pearsonr(guess, truth).statistic),
        "spearman": float(stats.spearmanr(guess, truth).statistic),
        "mae": float(metrics.mean_absolute_error(truth, guess)),
        "r2": float(metrics.r2_score(truth, guess)),
    }


def _triple(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


def _plain(name: Any) -> Any:
    """numpy scalars as Python's own, which JSON can hold."""
    return name.item() if isinstance(name, np.generic) else name
