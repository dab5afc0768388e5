"""A model that may decline: which inputs to answer, what that costs in coverage, and what is unlike all training data.

Geifman and El-Yaniv (2017), Selective Classification for Deep Neural Networks (arXiv:1705.08500).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.evaluation.inputs import Floats, numbers, same_length
from course_lib.evaluation.intervals import wilson_interval


def threshold_for_coverage(scores: ArrayLike, coverage: float) -> float:
    """The largest threshold with which at least this fraction of the scores is accepted (score >= threshold).

    Choose it on validation data. On other data the coverage differs, and that is worth measuring.

    Raises:
        BadInput: nothing there, a score that is not finite, or a coverage outside (0, 1].
    """
    values = np.sort(numbers(scores, "scores"))[::-1]
    if not 0 < coverage <= 1:
        raise BadInput(f"coverage is {coverage}", "use a fraction above 0, up to 1")
    kept = int(np.ceil(coverage * len(values) - 1e-9))
    return float(values[max(kept, 1) - 1])


def risk_coverage(scores: ArrayLike, correct: ArrayLike, coverages: ArrayLike | None = None) -> pd.DataFrame:
    """Accuracy among the inputs that the model is surest of, for each coverage.

    Args:
        scores: (n,) higher means surer.
        correct: (n,) whether the prediction is right.
        coverages: fractions of the inputs that are answered; 0.05, 0.10, ..., 1 when left out.

    Returns:
        One row a coverage: `coverage` (with ties it may be above what was asked), `accuracy`, `low` and `high` of its
        95 % interval (Wilson), and the `threshold`.

    Raises:
        BadInput: as in `threshold_for_coverage`, or lengths that differ.
    """
    values, right = numbers(scores, "scores"), np.asarray(correct, dtype=bool)
    same_length(len(values), right, "entries of correct")
    rows = []
    for wanted in np.linspace(0.05, 1, 20) if coverages is None else np.atleast_1d(coverages):
        threshold = threshold_for_coverage(values, float(wanted))
        kept = values >= threshold
        accuracy = wilson_interval(int(right[kept].sum()), int(kept.sum()))
        rows.append((kept.mean(), accuracy.estimate, accuracy.low, accuracy.high, threshold))
    return pd.DataFrame(rows, columns=["coverage", "accuracy", "low", "high", "threshold"])


def nearest_similarity(vectors: ArrayLike, training_vectors: ArrayLike, chunk: int = 1024) -> Floats:
    """Cosine similarity of each vector to the nearest training vector: low where nothing like it was trained on.

    Args:
        vectors: (n, width).
        training_vectors: (m, width).
        chunk: rows that are compared at once; memory is chunk x m numbers.

    Returns:
        (n,) from -1 to 1.

    Raises:
        BadInput: shapes that do not fit, nothing to compare with, or a vector of length 0.
    """
    ours, theirs = _unit_rows(vectors, "vectors"), _unit_rows(training_vectors, "training_vectors")
    if ours.shape[1] != theirs.shape[1]:
        raise BadInput(f"vectors of {ours.shape[1]} and {theirs.shape[1]} numbers", "use one encoder for both")
    parts = [(ours[start : start + chunk] @ theirs.T).max(axis=1) for start in range(0, len(ours), chunk)]
    return np.concatenate(parts).astype(np.float64)


def _unit_rows(vectors: ArrayLike, name: str) -> np.ndarray:
    rows = np.asarray(vectors)
    if rows.ndim != 2 or not len(rows) or not np.isfinite(rows).all():
        raise BadInput(f"{name} has the shape {rows.shape} or numbers that are not finite", "give one vector a row")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise BadInput(f"row {int(np.argmin(lengths))} of {name} has the length 0", "drop empty texts first")
    return np.asarray(rows / lengths)
