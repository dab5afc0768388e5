"""Exercise: layer normalisation (Ba, Kiros and Hinton 2016, section 3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, same


def layer_norm(x: np.ndarray, gain: np.ndarray, bias: np.ndarray, eps: float = 1e-12) -> np.ndarray:
    """Bring each row of x (n, hidden) to mean 0, variance 1; then times gain, plus bias, both (hidden,)."""
    mean = x.mean(axis=1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=1, keepdims=True)
    normed: np.ndarray = gain * (x - mean) / np.sqrt(variance + eps) + bias
    return normed


def _case(x: Any, gain: Any, bias: Any, **eps: float) -> Case:
    return {"x": np.array(x), "gain": np.array(gain), "bias": np.array(bias), **eps}


def _cases() -> list[Case]:
    random = np.random.default_rng(3)
    return [
        _case([[1.0, 3.0]], [1.0, 1.0], [0.0, 0.0]),  # [-1, 1]
        _case([[0.0, 0.0, 6.0], [1.0, 2.0, 3.0]], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]),
        _case([[1.0, 3.0], [8.0, 2.0]], [2.0, 0.5], [10.0, -1.0]),
        _case([[0.0, 2.0, 4.0, 2.0]], [1.0, 1.0, 3.0, 1.0], [0.0, 1.0, 0.0, 0.0], eps=0.5),  # a large eps shows
        _case([[5.0, 5.0], [0.0, 4.0]], [1.0, 2.0], [0.5, 0.25], eps=1e-3),  # no spread at all in the first row
        _case(random.normal(5, 3, size=(3, 3)), random.normal(size=3), random.normal(size=3), eps=1e-5),
        _case(random.normal(-1, 0.1, size=(5, 8)), random.normal(size=8), random.normal(size=8), eps=1e-2),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
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


EXERCISE = Exercise(
    reference=layer_norm,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _over_rows,
            "You normalise down the columns (axis 0). That is batch norm. Each token stands in a row: axis 1.",
        ),
        WrongFunction(_over_the_table, "You use the mean and variance of the whole table. Each row has its own."),
        WrongFunction(
            _of_a_sample,
            "Your variance divides by n - 1. (torch.var does that.) Divide by n, the number of columns.",
        ),
        WrongFunction(_eps_outside, "The eps stands beside the root. It belongs under it, added to the variance."),
        WrongFunction(
            _without_eps, "The eps has no effect, so a row of equal numbers gives 0/0. Add it to the variance."
        ),
        WrongFunction(_fixed_eps, "The eps is always 1e-12. Use the argument."),
        WrongFunction(_by_variance, "You divide by the variance. Divide by its root."),
        WrongFunction(
            _not_centred,
            "The mean is not subtracted. (That is RMS norm, which some models use.) Centre each row first.",
        ),
        WrongFunction(_spread_only, "The spread is right, but the mean stays in the numbers. Subtract it first."),
        WrongFunction(_centred_only, "The rows are centred, but their spread is not brought to 1."),
        WrongFunction(_without_gain, "The gain has no effect. Multiply by it."),
        WrongFunction(_without_bias, "The bias has no effect. Add it at the end."),
        WrongFunction(_neither, "Gain and bias have no effect. Multiply by the one, then add the other."),
        WrongFunction(_bias_first, "You add the bias before the gain multiplies it. Multiply first, then add."),
        WrongFunction(_exchanged, "Gain and bias have changed places."),
    ),
)
