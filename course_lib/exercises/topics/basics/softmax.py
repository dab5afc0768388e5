"""Exercise: softmax of a batch of logits, safe for large ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (n, classes) into probabilities (n, classes): each row adds up to 1."""
    shifted = logits - logits.max(axis=1, keepdims=True)  # the largest of each row is now 0
    powers = np.exp(shifted)
    probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _cases() -> list[Case]:
    random = np.random.default_rng(0)
    tables = [
        np.array([[0.0, np.log(3.0)], [2.0, 2.0]]),
        np.array([[-1.0, 0.5, 2.0], [3.0, -2.0, 0.0], [0.0, 0.0, 1.0]]),  # square: the axis cannot be guessed
        np.array([[1.0], [-5.0]]),
        np.array([[3, 1, 2, 0]]),  # whole numbers
        np.array([[1000.0, 1001.0], [1000.0, 1000.0]]),
        np.array([[-1000.0, -1001.0]]),
        np.array([[1000.0, 0.0, -1000.0]]),  # only the largest logit is safe to subtract
        np.array([[1000.0, 999.0], [-1000.0, -999.0]]),  # one maximum for all rows is not enough
        random.normal(scale=3.0, size=(5, 4)),
    ]
    return [{"logits": table} for table in tables]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        overflow = " Did exp() overflow?" if "nan" in problem else ""
        return problem + overflow
    numbers = as_numbers(got)
    assert numbers is not None
    if (numbers < 0).any():
        return "There is a probability below 0."
    for row, total in enumerate(numbers.sum(axis=1)):
        if not np.isclose(total, 1.0, atol=1e-5):
            return f"Row {row} adds up to {total:.6g}, not to 1."
    return None if same(expected, got) else "Each row adds up to 1, but the probabilities are off."


def _without_maximum(logits: np.ndarray) -> Any:
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def _over_columns(logits: np.ndarray) -> Any:
    return softmax(logits.T).T


def _over_the_table(logits: np.ndarray) -> Any:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _one_maximum(logits: np.ndarray) -> Any:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum(axis=1, keepdims=True)


def _row_maximum_table_sum(logits: np.ndarray) -> Any:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum()


def _without_exp(logits: np.ndarray) -> Any:
    return logits / logits.sum(axis=1, keepdims=True)


def _logarithms(logits: np.ndarray) -> Any:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _one_by_one(logits: np.ndarray) -> Any:
    return 1 / (1 + np.exp(-logits))


def _not_divided(logits: np.ndarray) -> Any:
    return np.exp(logits - logits.max(axis=1, keepdims=True))


EXERCISE = Exercise(
    reference=softmax,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _without_maximum,
            "The formula is right, but exp() overflows or vanishes for large logits. "
            "Subtract the maximum of each row first.",
        ),
        WrongFunction(_over_columns, "Each column adds up to 1. Each row should: work along axis 1."),
        WrongFunction(
            _over_the_table,
            "You divide by the sum of the whole table. Each row needs its own sum.",
        ),
        WrongFunction(
            _one_maximum,
            "You subtract the maximum of the whole table, so a row far below it becomes 0/0. "
            "Each row needs its own maximum.",
        ),
        WrongFunction(
            _row_maximum_table_sum,
            "The maximum is taken row by row, but the sum is that of the whole table. Sum along axis 1 too.",
        ),
        WrongFunction(_without_exp, "You divide the logits themselves. Take exp() of them first."),
        WrongFunction(_logarithms, "These are logarithms of probabilities. Leave out the last log()."),
        WrongFunction(
            _one_by_one,
            "Each logit goes through a sigmoid on its own. In softmax the classes of a row share one sum.",
        ),
        WrongFunction(_not_divided, "These are the powers. They are not yet divided by the sum of their row."),
    ),
)
