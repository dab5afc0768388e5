"""Exercise: gradients along the line from a baseline to the input.

Sundararajan, Taly and Yan 2017, Axiomatic Attribution for Deep Networks, equations 1 and 3 (arXiv:1703.01365), with the
middles of the parts where the paper takes their right ends. The library's version:
`course_lib.explain.gradients.integrated_gradients` with `rule="riemann"`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same

Gradient = Callable[[np.ndarray], np.ndarray]


def integrated_gradients(
    gradient: "Callable[[np.ndarray], np.ndarray]",
    x: np.ndarray,
    baseline: np.ndarray,
    steps: int,
) -> np.ndarray:
    """Attributions in the shape of x: (x - baseline) times the mean gradient on the line between them,
    taken at the middles of so many equal steps."""
    difference = x - baseline
    total = np.zeros(x.shape)
    for step in range(steps):
        share = (step + 0.5) / steps
        total += gradient(baseline + share * difference)
    attributions: np.ndarray = difference * total / steps
    return attributions


class WrongShape(ValueError):
    """A gradient was asked at something that is not one point."""


def _all_multiplied(x: np.ndarray) -> np.ndarray:
    """Each number's slope is the product of the others."""
    flat = x.ravel()
    others = [np.delete(flat, i).prod() for i in range(flat.size)]
    return np.array(others).reshape(x.shape)


_SLOPES: dict[str, tuple[Callable[[np.ndarray], Any], Gradient]] = {
    "2 * sum of x": (lambda x: 2 * x.sum(), lambda x: np.full(x.shape, 2.0)),
    "sum of x^3": (lambda x: (x**3).sum(), lambda x: 3 * x**2),
    "product of x": (lambda x: x.prod(), _all_multiplied),
    "sigmoid of 4 * sum of x": (
        lambda x: 1 / (1 + np.exp(-4 * x.sum())),
        lambda x: np.full(x.shape, 4 / (2 + np.exp(4 * x.sum()) + np.exp(-4 * x.sum()))),
    ),
    "(sum of x)^2": (lambda x: x.sum() ** 2, lambda x: np.full(x.shape, 2 * x.sum())),
    "sum of sin(3 * x)": (lambda x: np.sin(3 * x).sum(), lambda x: 3 * np.cos(3 * x)),
}


@dataclass(frozen=True)
class Slope:
    """The gradient of a function of one array, at one point at a time.

    Args:
        function: what it is the gradient of; a key of the table above.
        shape: of a point.
    """

    function: str
    shape: tuple[int, ...]

    def __call__(self, point: Any) -> np.ndarray:
        """In the shape of the point.

        Raises:
            WrongShape: that is not one point.
        """
        given = np.asarray(point, dtype=float)
        if given.shape != self.shape:
            raise WrongShape(f"gradient takes one point, of shape {self.shape}, not {given.shape}")
        return _SLOPES[self.function][1](given)

    def height(self, point: np.ndarray) -> float:
        """The function itself."""
        return float(_SLOPES[self.function][0](point))

    def __repr__(self) -> str:
        return f"<gradient of {self.function}>"


def _case(function: str, x: Any, baseline: Any, steps: int) -> Case:
    point, start = np.array(x, dtype=float), np.array(baseline, dtype=float)
    return {"gradient": Slope(function, point.shape), "x": point, "baseline": start, "steps": steps}


def _cases() -> list[Case]:
    random = np.random.default_rng(9)
    return [
        _case("sum of x^3", [2.0], [0.0], 2),
        _case("2 * sum of x", [1.0, -2.0, 0.5], [0.0, 1.0, 0.5], 3),  # the same slope everywhere
        _case("product of x", [2.0, 3.0], [0.0, 0.0], 1),
        _case("product of x", [2.0, -1.0, 0.5], [1.0, 1.0, 1.0], 4),
        _case("sigmoid of 4 * sum of x", [1.0, 0.5, -0.25], [-0.5, 0.0, 0.0], 8),  # flat at both ends
        _case("(sum of x)^2", [[1.0, -0.5], [2.0, 0.25]], [[0.5, 0.0], [0.0, 0.25]], 2),
        _case("sum of sin(3 * x)", random.normal(size=(3, 2)), random.normal(size=(3, 2)), 5),
        _case("sum of x^3", random.normal(size=(2, 2)), random.normal(size=(2, 2)), 20),
        _case("sum of x^3", [0.5, -1.0], [0.5, -1.0], 3),  # the input is the baseline
        _case("sum of sin(3 * x)", [1.5, -0.5, 1.0], [0.0, 0.0, 0.0], 1),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    numbers = as_numbers(got)
    assert numbers is not None
    x, baseline, gradient = case["x"], case["baseline"], case["gradient"]
    if (stays := (x == baseline) & (numbers != 0)).any():
        return (
            f"Where the input is equal to the baseline nothing was added, so the attribution is 0. "
            f"Yours is {numbers[stays][0]:.6g} there."
        )
    change = gradient.height(x) - gradient.height(baseline)
    if abs(numbers.sum() - change) > abs(expected.sum() - change) + 1e-5:
        return (
            f"From the baseline to x the function changes by {change:.6g}. The attributions should sum to about this "
            f"({expected.sum():.6g} with these steps); yours sum to {numbers.sum():.6g}."
        )
    place = [int(i) for i in np.argwhere(~np.isclose(numbers, expected, rtol=1e-5, atol=1e-6))[0]]
    where = place[0] if len(place) == 1 else tuple(place)
    return f"Position {where} holds {numbers[tuple(place)]:.6g}; it should hold {expected[tuple(place)]:.6g}."


def _mean_gradient(gradient: Gradient, points: list[Any]) -> Any:
    return np.mean([gradient(point) for point in points], axis=0)


def _line(x: Any, baseline: Any, shares: Any) -> list[Any]:
    return [baseline + share * (x - baseline) for share in shares]


def _middles(steps: int) -> Any:
    return (np.arange(steps) + 0.5) / steps


def _at(shares: Callable[[int], Any]) -> Answer:
    """An answer with other points of the line: the shares of the way, made of steps."""

    def answer(gradient: Gradient, x: np.ndarray, baseline: np.ndarray, steps: int) -> Any:
        return (x - baseline) * _mean_gradient(gradient, _line(x, baseline, shares(steps)))

    return answer


def _along(point: Callable[[Any, Any, float], Any]) -> Answer:
    """An answer with the right shares on another line: a point of (x, baseline, share)."""

    def answer(gradient: Gradient, x: np.ndarray, baseline: np.ndarray, steps: int) -> Any:
        points = [point(x, baseline, share) for share in _middles(steps)]
        return (x - baseline) * _mean_gradient(gradient, points)

    return answer


def _made_of(finish: Callable[[Any, Any, Any, int], Any]) -> Answer:
    """An answer with the right mean gradient: finish(mean, x, baseline, steps)."""

    def answer(gradient: Gradient, x: np.ndarray, baseline: np.ndarray, steps: int) -> Any:
        mean = _mean_gradient(gradient, _line(x, baseline, _middles(steps)))
        return finish(mean, x, baseline, steps)

    return answer


_at_the_input = _at(lambda steps: [1.0])
_at_the_baseline = _at(lambda steps: [0.0])
_halfway = _at(lambda steps: [0.5])
_left_ends = _at(lambda steps: np.arange(steps) / steps)
_right_ends = _at(lambda steps: (np.arange(steps) + 1) / steps)
_from_end_to_end = _at(lambda steps: np.linspace(0, 1, steps))
_both_ends = _at(lambda steps: np.linspace(0, 1, steps + 1))
_without_ends = _at(lambda steps: np.arange(1, steps + 1) / (steps + 1))
_fifty_steps = _at(lambda steps: _middles(50))
_one_step_more = _at(lambda steps: _middles(steps + 1))
_one_step_missing = _at(lambda steps: _middles(steps)[:-1] if steps > 1 else _middles(1))
_from_zero = _along(lambda x, baseline, share: share * x)
_beyond = _along(lambda x, baseline, share: x + share * (x - baseline))
_not_let_go = _along(lambda x, baseline, share: baseline + share * x)
_mean_alone = _made_of(lambda mean, x, baseline, steps: mean)
_times_input = _made_of(lambda mean, x, baseline, steps: mean * x)
_sum_of_gradients = _made_of(lambda mean, x, baseline, steps: (x - baseline) * mean * steps)
_turned_round = _made_of(lambda mean, x, baseline, steps: (baseline - x) * mean)
_absolute = _made_of(lambda mean, x, baseline, steps: np.abs((x - baseline) * mean))
_distance = _made_of(lambda mean, x, baseline, steps: np.abs(x - baseline) * mean)
_one_number = _made_of(lambda mean, x, baseline, steps: ((x - baseline) * mean).sum())
_shares = _made_of(lambda mean, x, baseline, steps: (x - baseline) * mean / np.abs((x - baseline) * mean).sum())


def _trapezoid(gradient: Gradient, x: np.ndarray, baseline: np.ndarray, steps: int) -> Any:
    rows = np.array([gradient(point) for point in _line(x, baseline, np.linspace(0, 1, steps + 1))])
    return (x - baseline) * (rows[1:] + rows[:-1]).mean(axis=0) / 2


def _gradient_times_input(gradient: Gradient, x: np.ndarray, baseline: np.ndarray, steps: int) -> Any:
    return x * gradient(x)


def _all_at_once(gradient: Gradient, x: np.ndarray, baseline: np.ndarray, steps: int) -> Any:
    return (x - baseline) * np.mean(gradient(np.array(_line(x, baseline, _middles(steps)))), axis=0)


EXERCISE = Exercise(
    reference=integrated_gradients,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_gradient_times_input, "This is gradient times input. Ask for gradients along the line."),
        WrongFunction(_at_the_input, "You ask for the gradient at the input alone. A sure model is flat there."),
        WrongFunction(_at_the_baseline, "You ask for the gradient at the baseline alone. Go along the whole line."),
        WrongFunction(_halfway, "You ask for one gradient, halfway. There should be as many as steps."),
        WrongFunction(_left_ends, "You take the left end of each part, the baseline among them. Take its middle."),
        WrongFunction(_right_ends, "You take the right end of each part, as the paper does. Take its middle here."),
        WrongFunction(
            _from_end_to_end, "np.linspace(0, 1, steps) has both ends in it. Take the middles: (k + 0.5) / steps."
        ),
        WrongFunction(_both_ends, "You take the mean of steps + 1 points, both ends among them. Take the middles."),
        WrongFunction(_trapezoid, "This is the trapezoid rule. Ask at the middles of the parts."),
        WrongFunction(
            _without_ends, "Your points are k / (steps + 1). The middles of the parts are (k + 0.5) / steps."
        ),
        WrongFunction(_fifty_steps, "You always go in 50 steps. Use the argument steps."),
        WrongFunction(_one_step_more, "You go in one step too many. range(steps) counts from 0."),
        WrongFunction(_one_step_missing, "The last step is missing. range(steps) ends at steps - 1 already."),
        WrongFunction(_from_zero, "Your line begins at 0. It should begin at the baseline."),
        WrongFunction(_beyond, "Your line begins at x and leads away from the baseline. It should lead from it to x."),
        WrongFunction(
            _not_let_go, "Your line ends at baseline + x. Multiply the share by x - baseline, and it ends at x."
        ),
        WrongFunction(_mean_alone, "This is the mean gradient. Multiply it by x - baseline."),
        WrongFunction(
            _times_input, "You multiply by x. The way is x - baseline, which is x for a baseline of 0 alone."
        ),
        WrongFunction(_sum_of_gradients, "You add the gradients up. Divide by the number of steps."),
        WrongFunction(_turned_round, "Your signs are turned round. The way is x - baseline."),
        WrongFunction(_absolute, "You take absolute values. What lowers the function has a negative attribution."),
        WrongFunction(_distance, "You multiply by the distance |x - baseline|. Keep the sign of the way."),
        WrongFunction(_one_number, "This is the sum of all attributions. Give one for each number of x."),
        WrongFunction(_shares, "You divide by the sum. Attributions are in the unit of the function."),
        WrongFunction(_all_at_once, "You ask for all points at once. The gradient takes one point at a time."),
    ),
)
