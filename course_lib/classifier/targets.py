"""What a classifier learns from, checked: labels, soft labels, ratings."""

from __future__ import annotations

from collections.abc import Sequence
from reprlib import repr as shortened
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from course_lib.batching import check_texts
from course_lib.errors import BadInput

HEADS = ("classification", "regression", "multitask")
_KINDS = {  # bool first, which Python takes for an int
    "truth values": (bool, np.bool_),
    "numbers": (int, float, np.integer, np.floating),
    "text": (str,),
}


def targets(
    head: str, n: int, labels: ArrayLike, soft_labels: ArrayLike | None, ratings: ArrayLike | None
) -> tuple[NDArray[Any] | None, dict[str, Tensor]]:
    """The classes, sorted (None for regression), and what each of n texts is to give, by name."""
    if head == "regression":
        if soft_labels is not None or ratings is not None:
            raise BadInput("head is 'regression': its numbers are the labels", "give fit(texts, numbers), no more")
        return None, {"ratings": torch.from_numpy(finite(labels, n, "labels"))}
    classes, codes = encode(labels, n)
    wanted = {"labels": torch.from_numpy(codes)}
    if soft_labels is not None:
        wanted["soft_labels"] = torch.from_numpy(probabilities(soft_labels, n, len(classes)))
    if head == "multitask":
        if ratings is None:
            raise BadInput("head is 'multitask', but ratings is None", "give fit(..., ratings=real numbers)")
        wanted["ratings"] = torch.from_numpy(finite(ratings, n, "ratings"))
    elif ratings is not None:
        raise BadInput(f"ratings are given, but head is {head!r}", "use head='multitask', or leave them out")
    return classes, wanted


def held_out(
    validation: tuple[Sequence[str], ArrayLike] | None, classes: NDArray[Any] | None
) -> tuple[list[str], Tensor] | None:
    """Texts and encoded labels to validate on; real numbers where `classes` is None."""
    if validation is None:
        return None
    if not isinstance(validation, (tuple, list)) or len(validation) != 2:
        raise BadInput(f"validation is {shortened(validation)}", "give a pair: validation=(texts, labels)")
    texts = check_texts(validation[0], "validation texts")
    if classes is None:
        return texts, torch.from_numpy(finite(validation[1], len(texts), "validation labels"))
    labels = as_labels(validation[1], len(texts), "validation labels")
    unknown = sorted(set(labels.tolist()) - set(classes.tolist()))
    if unknown:
        raise BadInput(f"validation labels hold {shortened(unknown)}, which training never saw", "check the split")
    return texts, torch.from_numpy(np.searchsorted(classes, labels))


def encode(labels: ArrayLike, n: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Classes, sorted, and each label's place among them."""
    classes, codes = np.unique(as_labels(labels, n, "labels"), return_inverse=True)
    if len(classes) < 2:
        raise BadInput(f"all {n} labels are {classes.tolist()}: one class only", "give texts of two classes or more")
    return classes, codes.astype(np.int64)


def as_labels(labels: ArrayLike, n: int, name: str) -> NDArray[Any]:
    """The labels as one kind of thing, (n,): text, truth values or whole numbers, none of them missing."""
    if labels is None:
        raise BadInput(f"{name} is None: y is required", "give one label for each text")
    # As objects first: NumPy would turn [1, "a"] and ["a", nan] into text without a word.
    array = np.asarray(labels, dtype=None if hasattr(labels, "dtype") else object)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    _same_length(array, n, name)
    values = array.tolist()
    missing = [i for i, label in enumerate(values) if _is_missing(label)]
    if missing:
        raise BadInput(
            f"{name}[{missing[0]}] is missing: {values[missing[0]]!r} (and {len(missing) - 1} more)",
            "drop these rows or label them",
        )
    kinds = {_kind(kind) for kind in set(map(type, values))}
    if len(kinds) > 1:
        raise BadInput(f"{name} mix types: {', '.join(sorted(kinds))}", "use one type for all")
    if not kinds <= set(_KINDS):
        raise BadInput(f"Unknown label type: {name} hold {shortened(values[0])}", "use text, whole numbers or booleans")
    array = np.asarray(values)
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.round(array))).all():
        odd = next(value for value in values if not np.isfinite(value) or value != round(value))
        raise BadInput(f"Unknown label type: {name} hold real numbers such as {odd}", "use head='regression'")
    return array


def _kind(of: type) -> str:
    return next((name for name, types in _KINDS.items() if issubclass(of, types)), of.__name__)


def _is_missing(label: Any) -> bool:
    """None, NaN, and pandas' NA, which is no value that could be compared."""
    return label is None or type(label).__name__ == "NAType" or bool(label != label)


def finite(values: ArrayLike, n: int, name: str) -> NDArray[np.float32]:
    """Real numbers, (n,), all finite."""
    if values is None:
        raise BadInput(f"{name} is None", "give one number for each text")
    array = _numbers(values, name)
    _same_length(array, n, name)
    bad = np.flatnonzero(~np.isfinite(array))
    if len(bad):
        raise BadInput(f"{name}[{bad[0]}] is {array[bad[0]]}", "drop the rows without a finite number")
    return array


def probabilities(values: ArrayLike, n: int, classes: int) -> NDArray[np.float32]:
    """Soft labels, (n, classes), whose rows sum to 1."""
    array = _numbers(values, "soft_labels")
    if array.shape != (n, classes):
        raise BadInput(f"soft_labels has shape {array.shape}", f"give shape ({n}, {classes}): texts by classes")
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0)).all(1) | ~(abs(array.sum(1) - 1) <= 1e-4))
    if len(bad):
        row = array[bad[0]].tolist()
        raise BadInput(f"soft_labels[{bad[0]}] is {row}: no probabilities", "make each row >= 0 with sum 1")
    return array


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float32]:
    try:
        return np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} are not numbers: {shortened(values)} ({error})", "give real numbers") from error


def _same_length(array: NDArray[Any], n: int, name: str) -> None:
    if array.ndim == 0:
        raise BadInput(f"{name} is {shortened(array.item())}: no list", "give a list with one for each text")
    if array.ndim != 1 or len(array) != n:
        raise BadInput(f"{n} texts, but {name} has shape {array.shape}", "give exactly one for each text")
    if n == 0:
        raise BadInput(f"there is no text to go with {name}", "give at least two texts of different classes")
