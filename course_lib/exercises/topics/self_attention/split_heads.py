"""Exercise: one wide vector per token becomes a narrow one for each head."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, same


def split_heads(x: np.ndarray, n_heads: int) -> np.ndarray:
    """Turn x (seq, hidden) into (n_heads, seq, hidden / n_heads), a block of columns for each head."""
    seq, hidden = x.shape
    heads: np.ndarray = x.reshape(seq, n_heads, hidden // n_heads).transpose(1, 0, 2)
    return heads


def _cases() -> list[Case]:
    sizes = [(2, 4, 2), (3, 6, 3), (3, 6, 2), (4, 4, 4), (5, 8, 1), (6, 12, 3), (4, 16, 4)]
    tables = [np.arange(seq * hidden).reshape(seq, hidden) for seq, hidden, _ in sizes]
    return [{"x": table, "n_heads": heads} for table, (_, _, heads) in zip(tables, sizes, strict=True)]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    head, token, column = np.argwhere(np.asarray(got, dtype=float) != expected)[0]
    return f"The shape is right, but head {head} has a wrong number for token {token}, in its column {column}."


def _reshaped(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(n_heads, len(x), -1)


def _not_transposed(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(len(x), n_heads, -1)


def _every_other_column(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(len(x), -1, n_heads).transpose(2, 0, 1)


def _cuts_the_text(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(n_heads, -1, x.shape[1])


def _turned(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(len(x), n_heads, -1).transpose(1, 2, 0)


def _heads_of_that_width(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(len(x), -1, n_heads).transpose(1, 0, 2)


def _all_transposed(x: np.ndarray, n_heads: int) -> Any:
    return x.reshape(len(x), n_heads, -1).T


def _first_block_for_all(x: np.ndarray, n_heads: int) -> Any:
    return np.stack([x[:, : x.shape[1] // n_heads]] * n_heads)


def _copied(x: np.ndarray, n_heads: int) -> Any:
    return np.stack([x] * n_heads)


def _backwards(x: np.ndarray, n_heads: int) -> Any:
    return split_heads(x, n_heads)[::-1]


EXERCISE = Exercise(
    reference=split_heads,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _reshaped,
            "A reshape alone mixes tokens: head 0 gets whole tokens, not a part of each. Cut the rows, then transpose.",
        ),
        WrongFunction(_not_transposed, "The rows are cut, but the tokens come first. Put the heads first: transpose."),
        WrongFunction(
            _every_other_column,
            "Each head gets every n-th column, as cards are dealt. It should get a block of neighbouring columns.",
        ),
        WrongFunction(_cuts_the_text, "You cut the text into pieces. Cut the columns: each head sees all tokens."),
        WrongFunction(_turned, "Within each head rows and columns are exchanged. One row for each token is wanted."),
        WrongFunction(
            _heads_of_that_width,
            "You take n_heads as the width of a head. It is how many heads there are.",
        ),
        WrongFunction(_all_transposed, "`.T` turns all three axes round. Exchange the first two only."),
        WrongFunction(_first_block_for_all, "All heads get the first block. Head h gets the h-th."),
        WrongFunction(_copied, "Each head gets the whole row. Cut it: together the heads are as wide as the row."),
        WrongFunction(_backwards, "The heads stand in the wrong order. Head 0 has the first columns."),
    ),
)
