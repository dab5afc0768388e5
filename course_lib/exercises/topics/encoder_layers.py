"""What an encoder has beside attention: positions and layer norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise
from course_lib.exercises.values import array_problem, as_numbers, same

# ---------------- sinusoidal positional encoding (Vaswani et al. 2017, section 3.5)


def positional_encoding(seq: int, hidden: int) -> np.ndarray:
    """A table (seq, hidden), hidden even: sines in the even columns, cosines in the odd ones."""
    places = np.arange(seq)[:, None]
    rates = 10000.0 ** (-np.arange(0, hidden, 2) / hidden)  # one for each pair of columns, from fast to slow
    table = np.empty((seq, hidden))
    table[:, 0::2] = np.sin(places * rates)
    table[:, 1::2] = np.cos(places * rates)
    return table


def _positional_encoding_cases() -> list[Case]:
    sizes = [(2, 4), (3, 2), (1, 6), (4, 4), (5, 8), (40, 12), (3, 64)]
    return [{"seq": seq, "hidden": hidden} for seq, hidden in sizes]


def _judge_positional_encoding(case: Case, expected: Any, got: Any) -> str | None:
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


# ---------------- layer normalisation (Ba, Kiros and Hinton 2016, section 3)


def layer_norm(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> np.ndarray:
    """Bring each row of x (n, hidden) to mean 0, variance 1; then times gain, plus bias, both (hidden,)."""
    mean = x.mean(axis=1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=1, keepdims=True)
    normed: np.ndarray = gain * (x - mean) / np.sqrt(variance + eps) + bias
    return normed


def _layer_norm_case(x: Any, gain: Any, bias: Any, **eps: float) -> Case:
    return {"x": np.array(x), "gain": np.array(gain), "bias": np.array(bias), **eps}


def _layer_norm_cases() -> list[Case]:
    random = np.random.default_rng(3)
    return [
        _layer_norm_case([[1.0, 3.0]], [1.0, 1.0], [0.0, 0.0]),  # [-1, 1]
        _layer_norm_case([[0.0, 0.0, 6.0], [1.0, 2.0, 3.0]], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]),
        _layer_norm_case([[1.0, 3.0], [8.0, 2.0]], [2.0, 0.5], [10.0, -1.0]),
        _layer_norm_case(
            [[0.0, 2.0, 4.0, 2.0]], [1.0, 1.0, 3.0, 1.0], [0.0, 1.0, 0.0, 0.0], eps=0.5
        ),  # a large eps shows
        _layer_norm_case(
            [[5.0, 5.0], [0.0, 4.0]], [1.0, 2.0], [0.5, 0.25], eps=1e-3
        ),  # no spread at all in the first row
        _layer_norm_case(random.normal(5, 3, size=(3, 3)), random.normal(size=3), random.normal(size=3), eps=1e-5),
        _layer_norm_case(random.normal(-1, 0.1, size=(5, 8)), random.normal(size=8), random.normal(size=8), eps=1e-2),
    ]


def _judge_layer_norm(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Did you divide by 0?" if "nan" in problem else "")
    if same(expected, got):
        return None
    row = int(np.argwhere(~np.isclose(np.asarray(got, dtype=float), expected, rtol=1e-5, atol=1e-6))[0][0])
    return f"Row {row} is off."


def _scaled(x: np.ndarray, axis: int | None, eps: float, ddof: int = 0) -> Any:
    mean = x.mean(axis=axis, keepdims=True)
    return (x - mean) / np.sqrt(x.var(axis=axis, keepdims=True, ddof=ddof) + eps)


def _over_rows(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * _scaled(x, 0, eps) + bias


def _over_the_table(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * _scaled(x, None, eps) + bias


def _of_a_sample(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * _scaled(x, 1, eps, ddof=1) + bias


def _eps_outside(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * (x - x.mean(axis=1, keepdims=True)) / (x.std(axis=1, keepdims=True) + eps) + bias


def _without_eps(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True) + bias


def _fixed_eps(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * _scaled(x, 1, 1e-12) + bias


def _by_variance(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * (x - x.mean(axis=1, keepdims=True)) / (x.var(axis=1, keepdims=True) + eps) + bias


def _not_centred(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * x / np.sqrt((x**2).mean(axis=1, keepdims=True) + eps) + bias


def _spread_only(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * x / np.sqrt(x.var(axis=1, keepdims=True) + eps) + bias


def _centred_only(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * (x - x.mean(axis=1, keepdims=True)) + bias


def _without_gain(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return _scaled(x, 1, eps) + bias


def _without_bias(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * _scaled(x, 1, eps)


def _neither(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return _scaled(x, 1, eps)


def _bias_first(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return gain * (_scaled(x, 1, eps) + bias)


def _exchanged(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> Any:
    return bias * _scaled(x, 1, eps) + gain


EXERCISES = (
    Exercise(positional_encoding, _positional_encoding_cases, _judge_positional_encoding),
    Exercise(layer_norm, _layer_norm_cases, _judge_layer_norm),
)
