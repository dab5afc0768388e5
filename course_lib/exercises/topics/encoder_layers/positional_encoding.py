"""Exercise: sinusoidal positional encoding (Vaswani et al. 2017, section 3.5)."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same


def positional_encoding(seq: int, hidden: int) -> np.ndarray:
    """A table (seq, hidden), hidden even: sines in the even columns, cosines in the odd ones."""
    places = np.arange(seq)[:, None]
    rates = 10000.0 ** (-np.arange(0, hidden, 2) / hidden)  # one for each pair of columns, from fast to slow
    table = np.empty((seq, hidden))
    table[:, 0::2] = np.sin(places * rates)
    table[:, 1::2] = np.cos(places * rates)
    return table


def _cases() -> list[Case]:
    sizes = [(2, 4), (3, 2), (1, 6), (4, 4), (5, 8), (40, 12), (3, 64)]
    return [{"seq": seq, "hidden": hidden} for seq, hidden in sizes]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    numbers = as_numbers(got)
    assert numbers is not None
    if (abs(numbers) > 1 + 1e-6).any():
        return "A sine lies between -1 and 1; one of your numbers does not."
    if same(expected, got):
        return None
    row, column = np.argwhere(~np.isclose(numbers, expected, rtol=1e-5, atol=1e-6))[0]
    return f"The first number that is off stands in row {row}, column {column}."


def _table(angles: Any, even: Any = np.sin, odd: Any = np.cos) -> Any:
    """Sines and cosines of angles (seq, hidden / 2), side by side."""
    return np.stack([even(angles), odd(angles)], axis=2).reshape(len(angles), -1)


def _angles(seq: int, hidden: int, first: int = 0, base: float = 10000.0, power: float = -2.0) -> Any:
    return np.arange(first, seq + first)[:, None] * base ** (power * np.arange(hidden // 2) / hidden)


def _halves(seq: int, hidden: int) -> Any:
    angles = _angles(seq, hidden)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def _cosine_first(seq: int, hidden: int) -> Any:
    return _table(_angles(seq, hidden), np.cos, np.sin)


def _sines_only(seq: int, hidden: int) -> Any:
    return _table(_angles(seq, hidden), np.sin, np.sin)


def _from_one(seq: int, hidden: int) -> Any:
    return _table(_angles(seq, hidden, first=1))


def _pair_number(seq: int, hidden: int) -> Any:
    return _table(_angles(seq, hidden, power=-1.0))


def _twice(seq: int, hidden: int) -> Any:
    return _table(_angles(seq, hidden, power=-4.0))


def _column_by_column(seq: int, hidden: int) -> Any:
    angles = np.arange(seq)[:, None] * 10000.0 ** (-np.arange(hidden) / hidden)
    return np.where(np.arange(hidden) % 2 == 0, np.sin(angles), np.cos(angles))


def _growing(seq: int, hidden: int) -> Any:
    return _table(_angles(seq, hidden, power=2.0))


def _thousand(seq: int, hidden: int) -> Any:
    return _table(_angles(seq, hidden, base=1000.0))


def _natural(seq: int, hidden: int) -> Any:
    return _table(_angles(seq, hidden, base=float(np.e)))


def _degrees(seq: int, hidden: int) -> Any:
    return _table(np.deg2rad(_angles(seq, hidden)))


def _to_the_last(seq: int, hidden: int) -> Any:
    pairs = hidden // 2
    return _table(np.arange(seq)[:, None] * 10000.0 ** (-np.arange(pairs) / max(1, pairs - 1)))


def _turned(seq: int, hidden: int) -> Any:
    return positional_encoding(seq, hidden).T


def _by_hidden(seq: int, hidden: int) -> Any:
    return _table(np.arange(seq)[:, None] / (10000.0 * 2 * np.arange(1, hidden // 2 + 1) / hidden))


EXERCISE = Exercise(
    reference=positional_encoding,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _halves,
            "All sines stand in the left half, all cosines in the right one. (Some libraries do that.) Here they take "
            "turns, column by column.",
        ),
        WrongFunction(
            _cosine_first, "The cosines stand in the even columns. There the sines belong: row 0 begins with 0."
        ),
        WrongFunction(_sines_only, "There are no cosines. The odd columns hold the cosine of the same angle."),
        WrongFunction(_from_one, "The places begin with 1. The first row is place 0."),
        WrongFunction(
            _pair_number,
            "The exponent lacks the 2: it is 2i / hidden, where i numbers the pairs of columns.",
        ),
        WrongFunction(
            _twice,
            "The exponent is doubled once too often. `np.arange(0, hidden, 2)` already holds 2i.",
        ),
        WrongFunction(
            _column_by_column,
            "Each column has a wave length of its own. A sine and the cosine beside it share one.",
        ),
        WrongFunction(_growing, "The waves get faster from left to right. Divide the place by the power of 10000."),
        WrongFunction(_thousand, "The base is 1000. It should be 10000."),
        WrongFunction(_natural, "The base is e. `np.exp` alone will not do: the base is 10000."),
        WrongFunction(_degrees, "You turn the angles into radians. They are radians already."),
        WrongFunction(_to_the_last, "Your exponent runs up to 1. It is 2i / hidden, which stays below 1."),
        WrongFunction(_turned, "Rows and columns are exchanged. One row for each place is wanted."),
        WrongFunction(_by_hidden, "You multiply by 2i / hidden. It is an exponent: 10000 to that power."),
    ),
)
