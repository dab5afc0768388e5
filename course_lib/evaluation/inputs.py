"""What the measures accept, checked once and in one place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_lib.errors import BadInput

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

ROW_SUM_TOLERANCE = 1e-3  # float32 softmax over a few classes is off by 1e-7; bf16 by a few 1e-3 is worth knowing


def numbers(values: ArrayLike, name: str, shape: str = "one number for each sentence") -> Floats:
    """Values as a float64 vector.

    Raises:
        BadInput: nothing there, not numbers, more than one axis, or a value that is not finite.
    """
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} holds something that is not a number ({error})", f"pass {shape}") from error
    if vector.ndim != 1 or not len(vector):
        raise BadInput(f"{name} has the shape {vector.shape}", f"pass {shape}, at least one")
    reject_not_finite(vector, name)
    return vector


def reject_not_finite(array: Floats, name: str) -> None:
    """Raises BadInput that names the first NaN or infinity."""
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise BadInput(
            f"{name} holds {array[place]} at {list(place)} ({len(bad)} such values in all)",
            "look for a diverged training (learning rate too high) or drop these rows first",
        )


def table(values: ArrayLike, name: str) -> Floats:
    """Probabilities or logits as a float64 matrix (n, classes), finite, with at least two columns.

    Raises:
        BadInput: another shape, nothing there, or a value that is not finite.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] == 0 or matrix.shape[1] < 2:
        raise BadInput(
            f"{name} has the shape {matrix.shape}",
            "pass one row for each sentence and one column for each class (two or more)",
        )
    reject_not_finite(matrix, name)
    return matrix


def probability_rows(values: ArrayLike) -> Floats:
    """Probabilities (n, classes) whose rows sum to 1, made exact to float64.

    Raises:
        BadInput: a value outside [0, 1], a row that does not sum to 1 (are these logits?), or a bad shape.
    """
    rows = table(values, "probabilities")
    outside = np.argwhere((rows < 0) | (rows > 1 + ROW_SUM_TOLERANCE))
    if len(outside):
        row, column = outside[0]
        raise BadInput(
            f"probabilities[{row}, {column}] is {rows[row, column]:.4g}, outside [0, 1]",
            "pass predict_proba, not logits; softmax turns logits into probabilities",
        )
    sums = rows.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1) > ROW_SUM_TOLERANCE)
    if len(off):
        raise BadInput(
            f"row {off[0]} of probabilities sums to {sums[off[0]]:.4g}, not to 1",
            "pass one column for each class, all classes of the model",
        )
    return np.asarray(rows / sums[:, None])


def same_length(n: int, labels: Any, name: str = "labels") -> None:
    """As many labels as rows.

    Raises:
        BadInput: the two lengths differ.
    """
    if len(labels) != n:
        raise BadInput(
            f"there are {n} rows of predictions and {len(labels)} {name}",
            f"predict on the very same sentences that the {name} belong to, in the same order",
        )


def codes(labels: ArrayLike, classes: Sequence[Any] | None, n_classes: int) -> Codes:
    """Labels as column numbers 0..n_classes-1.

    Args:
        labels: (n,) names out of `classes`, or column numbers where `classes` is None.
        classes: the class of each column, in order (a classifier's `classes_`).
        n_classes: number of columns of the predictions.

    Raises:
        BadInput: a label that is missing (NaN) or is no class, or not one class for each column.
    """
    names = list(range(n_classes)) if classes is None else list(classes)
    if len(names) != n_classes or len(set(names)) != n_classes:
        raise BadInput(
            f"there are {n_classes} columns and the classes {names}",
            "pass the classifier's classes_: one different name for each column",
        )
    found = pd.Index(names).get_indexer(pd.Index(np.asarray(labels)))
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        raise BadInput(
            f"label {np.asarray(labels)[unknown[0]]!r} in row {unknown[0]} is none of the classes {names}",
            "correct or drop that row, or pass the classes that the model was trained on",
        )
    return np.asarray(found, dtype=np.int64)
