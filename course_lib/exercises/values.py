"""Comparing and showing what a learner's function gives: arrays, lists, tuples and numbers alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

RELATIVE, ABSOLUTE = 1e-5, 1e-6  # wide enough for an answer in float32, too narrow for a rounded one
WIDEST = 160  # characters of a value in a message


def plain(value: Any) -> Any:
    """Arrays and tensors become (nested) lists, tuples become lists; the rest stays."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(one) is type(other) and bool(one == other)


def same(one: Any, other: Any) -> bool:
    """True where two results say the same; a list equals an array with the same numbers, nan equals nan."""
    return _same(plain(one), plain(other))


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_brief, value)) + "]"
    if isinstance(value, set | frozenset):  # sorted: the order of a set of strings changes from run to run
        return "{" + ", ".join(sorted(map(_brief, value))) + "}"
    return repr(value)


def brief(value: Any) -> str:
    """A value on one short line: six digits, no more than WIDEST characters, the same in every run."""
    text = _brief(plain(value)).replace("\n", " ")
    return text if len(text) <= WIDEST else text[: WIDEST - 4] + " ..."


def kind(value: Any) -> str:
    """How a message names the type of a value: "a list", "an array of shape (2, 3)"."""
    shape = getattr(value, "shape", None)
    if shape is not None and len(shape) > 0:
        return f"an array of shape {tuple(shape)}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def as_numbers(value: Any) -> np.ndarray | None:
    """The value as a float64 array, or None where it is not made of numbers or has ragged rows."""
    try:
        array = np.asarray(plain(value))
    except (TypeError, ValueError):
        return None
    return array.astype(np.float64) if array.dtype.kind in "biuf" else None


def as_whole_numbers(value: Any) -> list[int] | None:
    """A flat list (array, tuple, range) of whole numbers as ints, or None. Bools and 2.0 are not taken."""
    items = list(value) if isinstance(value, range) else plain(value)
    if not isinstance(items, list) or any(isinstance(i, bool) or not isinstance(i, int) for i in items):
        return None
    return items


def array_problem(expected: Any, got: Any) -> str | None:
    """What is wrong with the form of `got`: not numbers, another shape, nan or infinity. None if nothing."""
    numbers = as_numbers(got)
    wanted = "one number" if np.ndim(expected) == 0 else f"numbers in the shape {np.shape(expected)}"
    if numbers is None:
        return f"The result should be {wanted}, but it is {kind(got)}."
    if numbers.shape != np.shape(expected):
        found = "one number" if numbers.ndim == 0 else f"of shape {numbers.shape}"
        return f"The result should be {wanted}, but it is {found}."
    if not np.isfinite(numbers).all():
        return "The result holds nan or infinity."
    return None
