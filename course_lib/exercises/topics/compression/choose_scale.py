"""Exercise: how wide the steps of the grid are, for each output channel of a weight.

Krishnamoorthi 2018, Quantizing deep convolutional networks for efficient inference (arXiv:1806.08342),
compares one scale a matrix with one a channel. The library's version: `course_lib.compression.uniform.grid_of` with
`axis=0`; it gives zeros the scale 1, as ONNX Runtime does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers


def choose_scale(weight: np.ndarray, bits: int) -> np.ndarray:
    """One symmetric scale for each row of weight (out, in), as (out, 1); a row of zeros gets 1."""
    largest = np.abs(weight).max(axis=1, keepdims=True)
    high = 2 ** (bits - 1) - 1
    scale: np.ndarray = np.where(largest > 0, largest / high, 1.0)
    return scale


def _case(weight: Any, bits: int) -> Case:
    return {"weight": np.array(weight, dtype=float), "bits": bits}


def _cases() -> list[Case]:
    random = np.random.default_rng(2)
    small = random.normal(size=(3, 4)) * np.array([[1.0], [1e-5], [40.0]])  # rows of very different size
    return [
        _case([[1.27, -0.5], [0.2, -2.54]], 8),
        _case([[0.0, 0.0], [-14.0, 3.5]], 4),  # a row of zeros
        _case([[-3.0, -1.0, -2.0], [0.5, 0.25, 1.0]], 2),
        _case(random.normal(size=(3, 3)), 8),  # square: the shape does not tell rows from columns
        _case(random.normal(size=(2, 5)), 8),
        _case(random.normal(size=(5, 2)), 4),
        _case(small, 8),
        _case(np.zeros((2, 3)), 8),
        _case([[0.0, -0.7, 0.0, 0.1]], 3),
        _case([[0.1, 0.2, -0.1, 0.3, -0.6]], 6),  # the largest stands last
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" What becomes of a row of zeros?" if "nan" in problem else "")
    scales = as_numbers(got)
    assert scales is not None
    if (scales <= 0).any():
        row = int(np.argwhere(scales <= 0)[0][0])
        return f"The scale of row {row} is {scales[row, 0]:g}. The values are divided by it, so it has to be above 0."
    for row, (wanted, found) in enumerate(zip(expected[:, 0], scales[:, 0], strict=True)):
        if not np.isclose(found, wanted, rtol=1e-5, atol=0):
            largest = np.abs(case["weight"][row]).max()
            return f"Row {row} reaches to {largest:.6g}, so its scale is {wanted:.6g}. Yours is {found:.6g}."
    return None


def _from(largest: Answer, divisor: Callable[[int], float] = lambda bits: 2 ** (bits - 1) - 1) -> Answer:
    """An answer with another `largest` (weight -> (out, 1)), or divided by another number, of the bits."""

    def answer(weight: np.ndarray, bits: int) -> Any:
        size = largest(weight)
        return np.where(size != 0, size / divisor(bits), 1.0)

    return answer


def _sizes(weight: Any) -> Any:
    return np.abs(weight).max(axis=1, keepdims=True)


def _alone(number: Any, weight: Any) -> Any:
    """One number for all rows."""
    return np.full((len(weight), 1), number)


_whole_matrix = _from(lambda weight: _alone(np.abs(weight).max(), weight))
_columns = _from(lambda weight: np.abs(weight).max(axis=0, keepdims=True))
_columns_upright = _from(lambda weight: np.abs(weight).max(axis=0)[:, None])
_flat = _from(lambda weight: np.abs(weight).max(axis=1))
_one_number = _from(lambda weight: np.abs(weight).max())
_sign_kept = _from(lambda weight: weight.max(axis=1, keepdims=True))
_smallest_size = _from(lambda weight: np.abs(weight).min(axis=1, keepdims=True))
_mean_size = _from(lambda weight: np.abs(weight).mean(axis=1, keepdims=True))
_length = _from(lambda weight: np.sqrt((weight**2).sum(axis=1, keepdims=True)))
_one_too_many = _from(_sizes, lambda bits: 2 ** (bits - 1))
_half_more = _from(_sizes, lambda bits: 2 ** (bits - 1) - 0.5)
_sign_bit = _from(_sizes, lambda bits: 2**bits - 1)
_always_eight = _from(_sizes, lambda bits: 127)
_not_divided = _from(_sizes, lambda bits: 1)
_from_end_to_end = _from(
    lambda weight: weight.max(axis=1, keepdims=True) - weight.min(axis=1, keepdims=True), lambda bits: 2**bits - 2
)


def _turned_over(weight: np.ndarray, bits: int) -> Any:
    return 1 / choose_scale(weight, bits)


def _zero_for_zeros(weight: np.ndarray, bits: int) -> Any:
    return _sizes(weight) / (2 ** (bits - 1) - 1)


def _zeros_take_one(weight: np.ndarray, bits: int) -> Any:
    size = _sizes(weight)
    return np.where(size > 0, size, 1.0) / (2 ** (bits - 1) - 1)


def _at_least_one(weight: np.ndarray, bits: int) -> Any:
    return np.maximum(_zero_for_zeros(weight, bits), 1.0)


EXERCISE = Exercise(
    reference=choose_scale,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_whole_matrix, "All rows share the scale of the largest one. Take the maximum of each row."),
        WrongFunction(_columns, "This is one scale for each column, an input. Take the maximum along axis 1."),
        WrongFunction(_columns_upright, "You take the maximum of the columns and set it upright. Rows are wanted."),
        WrongFunction(
            _flat, "The shape is (out,). Keep the second axis, (out, 1), or the rows do not meet their scale."
        ),
        WrongFunction(_one_number, "This is one number for the whole matrix. Each row gets its own."),
        WrongFunction(_sign_kept, "A negative number is never the largest with you. Take the absolute value first."),
        WrongFunction(_smallest_size, "You take the smallest number of the row. Then nearly all others are clipped."),
        WrongFunction(
            _mean_size, "You take the mean size of the row. What is larger would be clipped: take the maximum."
        ),
        WrongFunction(_length, "You take the length of the row as a vector. Its largest number is wanted."),
        WrongFunction(
            _one_too_many,
            "You divide by 2^(bits-1), so the highest integer is never used. Divide by one less: 127 for 8 bits.",
        ),
        WrongFunction(
            _half_more,
            "You divide by 127.5 for 8 bits, as torchao does, whose grid has one more integer. Ours ends at 127.",
        ),
        WrongFunction(_sign_bit, "You divide by 2^bits - 1. One bit is needed for the sign."),
        WrongFunction(_always_eight, "You always divide by 127. That is right for 8 bits alone."),
        WrongFunction(_not_divided, "This is the largest number itself. Divide it by the highest integer."),
        WrongFunction(
            _from_end_to_end,
            "You measure from the smallest to the largest number. A symmetric grid reaches equally far on both sides.",
        ),
        WrongFunction(_turned_over, "This is 1 / scale. The scale is the width of a step, and small."),
        WrongFunction(_zero_for_zeros, "A row of zeros gets the scale 0, or nearly 0. Give it 1: 0 / 0 would be nan."),
        WrongFunction(
            _zeros_take_one,
            "A row of zeros gets 1 divided by the highest integer. Its scale itself should be 1.",
        ),
        WrongFunction(_at_least_one, "No scale is below 1 with you. Only a row of zeros gets 1."),
    ),
)
