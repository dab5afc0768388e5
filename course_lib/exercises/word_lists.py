"""Results that are lists of words: taking lists, tuples and arrays alike, and saying where they are something else."""

from __future__ import annotations

from typing import Any

from course_lib.exercises.values import kind, plain


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
