"""What a classifier is given, checked before long work begins, and the loss that its targets make."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from reprlib import repr as shortened
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from course_lib.batching import Batch, check_texts
from course_lib.errors import BadInput
from course_lib.text.classifiers import columns_of
from course_lib.training import LogEntry, TrainingConfig

HEADS = ("classification", "regression", "multitask")
PRECISIONS = ("float32", "auto")
Loss = Callable[[nn.Module, Batch], Tensor]  # the mean loss of a batch
LossWrapper = Callable[[Loss], Loss]  # another loss made of the usual one: adversarial training, mixup


# ---- parameters --------------------------------------------------------------------------------------------------


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _is_names(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len({str(name) for name in value}) == len(value)


_SWITCH: tuple[Callable[[Any], bool], str] = (lambda value: value in (False, True), "use True or False")
# For each parameter of a `TextClassifier`: what it must be, and how to correct it.
PARAMETERS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "encoder": (lambda value: isinstance(value, (str, os.PathLike)), "give 'course', a folder or a hub name"),
    "head": (lambda value: value in HEADS, f"use one of {', '.join(HEADS)}"),
    "training": (lambda value: value is None or isinstance(value, TrainingConfig), "give a TrainingConfig, or None"),
    "frozen_encoder": _SWITCH,
    "lora_rank": (lambda value: _is_whole(value, 0), "use 0 for none, or 4 to 64"),
    "frozen_embeddings": _SWITCH,
    "max_length": (lambda value: _is_whole(value, 3), "use 3 or more: [CLS], a token, [SEP]"),
    "dropout": (lambda value: isinstance(value, Real) and 0 <= float(value) < 1, "use a number from 0 to below 1"),
    "precision": (lambda value: value in PRECISIONS, f"use one of {', '.join(PRECISIONS)}"),
    "warm_start": _SWITCH,
    "class_names": (lambda value: value is None or _is_names(value), "give one different name for each class, or None"),
}


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raises BadInput for the first parameter that no classifier can have."""
    for name, value in parameters.items():
        if name not in PARAMETERS:
            raise BadInput(f"there is no parameter {name!r}", f"the parameters are {', '.join(PARAMETERS)}")
        allowed, fix = PARAMETERS[name]
        if not allowed(value):
            raise BadInput(f"{name} is {value!r}", fix)
    if parameters.get("lora_rank") and parameters.get("frozen_encoder"):
        raise BadInput(
            f"lora_rank is {parameters['lora_rank']} and frozen_encoder is True",
            "choose one: low-rank updates change the encoder, which a linear probe leaves as it is",
        )


# ---- targets -----------------------------------------------------------------------------------------------------

_KINDS = {  # bool first, which Python takes for an int
    "truth values": (bool, np.bool_),
    "whole numbers": (int, np.integer),
    "real numbers": (float, np.floating),
    "text": (str,),
}
_EXACT = 2**53  # from here on, whole numbers are not all different in float64


def targets(
    head: str,
    n: int,
    labels: ArrayLike,
    soft_labels: ArrayLike | None,
    ratings: ArrayLike | None,
    known: NDArray[Any] | None = None,
) -> tuple[NDArray[Any] | None, dict[str, Tensor]]:
    """The classes (None for regression) and the targets of n texts by name.

    The classes are sorted, or `known` where a fitted model is trained further.
    """
    if head == "regression":
        if soft_labels is not None or ratings is not None:
            raise BadInput("head is 'regression': its numbers are the labels", "give fit(texts, numbers), no more")
        return None, {"ratings": torch.from_numpy(finite(labels, n, "labels"))}
    classes, codes = encode(labels, n, known)
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
    return texts, torch.from_numpy(columns_of(classes, labels, len(texts), "validation labels"))


def encode(labels: ArrayLike, n: int, known: NDArray[Any] | None = None) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The classes, sorted or in the order of `known`, and the column of each label."""
    array = as_labels(labels, n, "labels")
    classes, codes = np.unique(array, return_inverse=True)
    if len(classes) < 2:
        raise BadInput(f"all {n} labels are {classes.tolist()}: one class only", "give texts of two classes or more")
    if known is None:
        return classes, codes.astype(np.int64)
    if set(known.tolist()) != set(classes.tolist()):
        raise BadInput(
            f"warm_start goes on with the classes {known.tolist()}, the labels hold {classes.tolist()}",
            "give labels of the same classes, or set warm_start=False for a new head",
        )
    return known, columns_of(known, array, n)


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
    if kinds == {"whole numbers"} and not -(2**63) <= min(values) <= max(values) < 2**63:
        large = max(values, key=abs)
        raise BadInput(f"{name} hold {large}, which 64 bits do not hold", "give these labels as text: map(str, labels)")
    if kinds == {"real numbers"}:
        odd = [value for value in values if not np.isfinite(value) or value != round(value)]
        if odd:
            raise BadInput(f"Unknown label type: {name} hold real numbers such as {odd[0]}", "use head='regression'")
        if abs(large := max(values, key=abs)) >= _EXACT:
            raise BadInput(
                f"{name} hold {large:.0f} as a real number, in which its neighbours are the same number",
                "read the labels as whole numbers or as text",
            )
    if kinds == {"text"} and any(value.endswith("\0") for value in values):
        raise BadInput(f"{name} hold text that ends in a NUL character, which NumPy drops", "remove these characters")
    return np.asarray(values)


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


# ---- loss --------------------------------------------------------------------------------------------------------


def task_loss(targets: Mapping[str, Tensor], classes: int) -> Loss:
    """The mean loss of a batch: cross-entropy over the first `classes` outputs, mean squared error of the last one.

    It is multiplied by the batch's weight.

    Args:
        targets: `labels`, instead of them `soft_labels`, and `ratings`, each where it is learned; on the device.
        classes: 0 for regression.
    """
    wanted = targets.get("soft_labels", targets.get("labels"))
    ratings = targets.get("ratings")

    def loss_of(module: nn.Module, batch: Batch) -> Tensor:
        output = module(batch.input_ids, batch.attention_mask).float()
        loss: Tensor = output.new_zeros(())
        if wanted is not None:
            loss = loss + F.cross_entropy(output[:, :classes], wanted[batch.index])
        if ratings is not None:
            loss = loss + F.mse_loss(output[:, -1], ratings[batch.index])
        return loss * batch.weight

    return loss_of


def validation_metrics(output: Float[Tensor, "n outputs"], labels: Tensor, classes: int) -> LogEntry:
    """Loss and accuracy on validation data; for regression (`classes` 0) the mean squared error."""
    if not classes:
        return {"validation_loss": F.mse_loss(output[:, 0], labels).item()}
    logits = output[:, :classes]
    accuracy = (logits.argmax(-1) == labels).float().mean().item()
    return {"validation_loss": F.cross_entropy(logits, labels).item(), "validation_accuracy": accuracy}
