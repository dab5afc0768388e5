"""What a classifier learns from, checked: labels, soft labels, ratings."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.errors import BadInput


def encode(labels: ArrayLike, n: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Classes, sorted, and each label's place among them."""
    classes, codes = np.unique(as_labels(labels, n, "labels"), return_inverse=True)
    if len(classes) < 2:
        raise BadInput(f"all {n} labels are {classes.tolist()}: one class only", "give texts of two classes or more")
    return classes, codes.astype(np.int64)


def as_labels(labels: ArrayLike, n: int, name: str) -> NDArray[Any]:
    if labels is None:
        raise BadInput(f"{name} is None: y is required", "give one label for each text")
    array = np.asarray(labels)
    if array.dtype == object and all(isinstance(label, str) for label in array.tolist()):
        array = array.astype(str)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    _same_length(array, n, name)
    missing = [i for i, label in enumerate(array.tolist()) if label is None or label != label]
    if missing:
        raise BadInput(
            f"{name}[{missing[0]}] is missing (and {len(missing) - 1} more)", "drop these rows or label them"
        )
    if array.dtype.kind == "f" and not (array == np.round(array)).all():
        raise BadInput(f"Unknown label type: {name} hold real numbers such as {array[0]}", "use head='regression'")
    if array.dtype == object:
        raise BadInput(f"{name} mix types: {sorted({type(x).__name__ for x in array.tolist()})}", "use one type")
    return array


def finite(values: ArrayLike, n: int, name: str) -> NDArray[np.float32]:
    if values is None:
        raise BadInput(f"{name} is None", "give one number for each text")
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} are not numbers: {error}", "regression needs real numbers") from error
    _same_length(array, n, name)
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise BadInput(f"{name}[{bad[0]}] is {array[bad[0]]}", "drop the rows without a finite number")
    return array


def probabilities(values: ArrayLike, n: int, classes: int) -> NDArray[np.float32]:
    array = np.asarray(values, dtype=np.float32)
    if array.shape != (n, classes):
        raise BadInput(f"soft_labels has shape {array.shape}", f"give shape ({n}, {classes}): texts by classes")
    if not np.isfinite(array).all() or (array < 0).any() or abs(array.sum(1) - 1).max() > 1e-4:
        raise BadInput("soft_labels holds rows that are not probabilities", "make each row >= 0 with sum 1")
    return array


def _same_length(array: NDArray[Any], n: int, name: str) -> None:
    if array.ndim != 1 or len(array) != n:
        raise BadInput(f"{n} texts, but {name} has shape {array.shape}", "give exactly one for each text")
    if n == 0:
        raise BadInput("there is no text to learn from", "give at least two texts of different classes")
