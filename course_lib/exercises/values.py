"""Compares and shows what a learner's function returns: arrays, lists, tuples, words and numbers alike."""

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


def judge_array(case: Any, expected: Any, got: Any) -> str | None:
    """`array_problem`, or the first number that is wrong: the `judge` of an exercise that returns an array."""
    if problem := array_problem(expected, got):
        return problem
    right, found = np.asarray(expected), numbers_of(got)
    wrong = np.argwhere(~np.isclose(found, right, rtol=RELATIVE, atol=ABSOLUTE))
    if not len(wrong):
        return None
    place = tuple(wrong[0].tolist())
    at = f" at {list(place)}" if place else ""
    return f"The number{at} should be {right[place]:.6g}, not {found[place]:.6g}."


def pair_problem(names: tuple[str, str], expected: Any, got: Any) -> str | None:
    """What is wrong with the form of a pair of arrays or numbers of these names. None if nothing."""
    if not isinstance(got, tuple | list) or len(got) != 2:
        return f"The result should be a pair, {names[0]} and {names[1]}, but it is {kind(got)}."
    for name, wanted, part in zip(names, expected, got, strict=True):
        if problem := array_problem(wanted, part):
            return f"{name}: {problem}"
    return None


def floats_problem(names: tuple[str, str], got: Any, because: str) -> str | None:
    """The first of two arrays that holds floats. None if both hold whole numbers or truth values."""
    floats = [name for name, part in zip(names, got, strict=True) if np.asarray(plain(part)).dtype.kind == "f"]
    return f"{floats[0]} holds floats. {because}" if floats else None


def sum_problem(rows: np.ndarray, of: str = "") -> str | None:
    """The first row that does not add up to 1. None if all do."""
    for row, total in enumerate(rows.sum(axis=1)):
        if not np.isclose(total, 1.0, atol=1e-5):
            return f"Row {row}{of} adds up to {total:.6g}, not to 1."
    return None


def numbers_of(value: Any) -> np.ndarray:
    """The value as a float64 array, where `array_problem` found nothing wrong with it."""
    numbers = as_numbers(value)
    assert numbers is not None
    return numbers


def as_words(value: Any) -> list[str] | None:
    """A flat list (tuple, array) of strings as a list, or None."""
    items = plain(value)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        return None
    return items


def words_problem(value: Any) -> str | None:
    """What a message says of a value that is no list of words; None if it is one."""
    items = plain(value)
    if not isinstance(items, list):
        return f"The result should be a list of words, but it is {kind(value)}."
    strange = [item for item in items if not isinstance(item, str)]
    return f"The result should be a list of words, but it holds {kind(strange[0])}." if strange else None


def first_difference(expected: list[str], got: list[str]) -> str | None:
    """`Place 2 holds 'good'; it should hold 'film'.`, or None where two lists of the same length are alike."""
    for place, (wanted, found) in enumerate(zip(expected, got, strict=True)):
        if wanted != found:
            return f"Place {place} holds {found!r}; it should hold {wanted!r}."
    return None
