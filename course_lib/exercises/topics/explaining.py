"""Which words a prediction rests on, and how far to believe it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import array_problem, numbers_of, same

# ---------------- how much each text with words missing counts when LIME fits its line
# Ribeiro et al. 2016, "Why Should I Trust You?", section 3.3 (arXiv:1602.04938), with the distance and the root of
# the `lime` package. The library's version: `course_lib.explain.kernel`.


def lime_weights(samples: np.ndarray, width: float = 25.0) -> np.ndarray:
    """Weights (rows,) of samples (rows, n) that hold 1 where a word stays; the whole text has weight 1."""
    kept = samples.sum(axis=1)
    cosine = np.sqrt(kept / samples.shape[1])  # kept / (sqrt(kept) * sqrt(n)), and 0 where nothing is kept
    distance = 100 * (1 - cosine)
    weights: np.ndarray = np.sqrt(np.exp(-(distance**2) / width**2))
    return weights


def _lime_weights_cases() -> list[Arguments]:
    random = np.random.default_rng(7)
    return [
        ([[1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0]],),
        ([[1, 1], [0, 0]],),  # nothing is left of the second
        ([[1, 0, 1], [1, 1, 1], [0, 0, 1]], 25.0),  # square, and the whole text is not the first
        ([[1, 1, 1, 0, 1], [0, 0, 1, 0, 0]], 60.0),
        ([[0, 0, 0], [0, 1, 0]], 40.0),
        (random.integers(0, 2, size=(6, 8)), 15.0),
        (random.integers(0, 2, size=(5, 12)),),
        ([[1], [0]], 50.0),
        ([[1, 0, 1, 1, 0, 1, 1, 1, 1]], 5.0),
    ]


def _judge_lime_weights(case: Case, expected: Any, got: Any) -> str | None:
    samples = case["samples"]
    if problem := array_problem(expected, got):
        nothing = "nan" in problem and not samples.any(axis=1).all()
        return problem + (" What becomes of a row of zeros, which has the length 0?" if nothing else "")
    weights = numbers_of(got)
    for row, (wanted, found) in enumerate(zip(expected, weights, strict=True)):
        if np.isclose(found, wanted, rtol=1e-5, atol=1e-8):
            continue
        kept, n = int(samples[row].sum()), samples.shape[1]
        if not -1e-9 <= found <= 1 + 1e-9:
            return f"Row {row} has the weight {found:.6g}. A weight is between 0 and 1, and 1 for the whole text."
        return f"Row {row} keeps {kept} of {n} words. Its weight should be {wanted:.6g}, not {found:.6g}."
    return None


# ---------------- what each player adds, averaged over all orders in which the players could come
# Shapley 1953, A Value for n-Person Games; Lundberg and Lee 2017, A Unified Approach to Interpreting Model
# Predictions, equation 4 (arXiv:1705.07874). The library's version: `course_lib.explain.shapley_values`, from a table
# of all values.


def shapley_values(value: "Callable[[frozenset[int]], float]", n: int) -> np.ndarray:
    """Shapley values (n,) of the players 0 to n - 1; value(frozenset of players) says what these reach."""
    factorials = [1]
    for k in range(1, n + 1):
        factorials.append(factorials[-1] * k)
    coalitions = [frozenset(i for i in range(n) if code >> i & 1) for code in range(2**n)]
    values = np.zeros(n)
    for player in range(n):
        for others in coalitions:
            if player not in others:
                orders = factorials[len(others)] * factorials[n - len(others) - 1]  # with exactly these before it
                values[player] += orders / factorials[n] * (value(others | {player}) - value(others))
    return values


class NoSuchPlayer(LookupError):
    """A game was queried for a player that it does not have."""


@dataclass(frozen=True)
class Game:
    """A game of n players: what every coalition reaches, by a table.

    Args:
        table: 2^n values; in the place of number k stands that of the players whose bits are 1 in k.
    """

    table: tuple[float, ...]

    @property
    def players(self) -> int:
        """Their number, n."""
        return len(self.table).bit_length() - 1

    def __call__(self, coalition: Collection[int]) -> float:
        """The value of a coalition.

        Raises:
            NoSuchPlayer: somebody in it is none of 0 to n - 1.
        """
        for player in coalition:
            if player not in range(self.players):
                raise NoSuchPlayer(f"the players are 0 to {self.players - 1}, and there is no {player}")
        return self.table[sum(1 << int(player) for player in set(coalition))]

    def __repr__(self) -> str:
        names = [",".join(str(i) for i in range(self.players) if k >> i & 1) for k in range(len(self.table))]
        return "<" + ", ".join(f"v({name})={v:g}" for name, v in zip(names, self.table, strict=True)) + ">"


def _shapley_values_cases() -> list[Arguments]:
    random = np.random.default_rng(8)
    tables = [
        (0.5, 0.5, 0.1, 0.7),  # "not", "bad"
        (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),  # each adds the same wherever it comes
        (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 6.0),  # all three are needed
        (0.25, 0.75, 0.5, 0.25, 0.5, 1.0, 0.75, 0.5),
        (0.25, 0.875),  # one player did it all
        random.integers(-4, 9, size=8) / 8,
        random.integers(-4, 9, size=16) / 8,
        (0.5, 0.5, 0.5, 0.5),  # nobody does anything
        random.integers(-4, 9, size=16) / 8,
        (0.0, -0.5, 0.25, 0.0, 0.25, -0.75, 0.5, 0.0),  # the whole reaches what nobody reaches
    ]
    games = [Game(tuple(table)) for table in tables]
    return [(game, game.players) for game in games]


def _judge_shapley_values(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    values, game = numbers_of(got), case["value"]
    change = game.table[-1] - game.table[0]
    if not np.isclose(values.sum(), change, rtol=1e-5, atol=1e-6):
        return (
            f"Shapley values sum to what all players reach together less what nobody reaches, {change:.6g} here. "
            f"Yours sum to {round(float(values.sum()), 9) + 0.0:.6g}."
        )
    player = int(np.flatnonzero(~np.isclose(values, expected, rtol=1e-5, atol=1e-6))[0])
    return f"The sum is right, but player {player} should get {expected[player]:.6g}, not {values[player]:.6g}."


# ---------------- gradients along the line from a baseline to the input
# Sundararajan, Taly and Yan 2017, Axiomatic Attribution for Deep Networks, equations 1 and 3 (arXiv:1703.01365),
# with the middles of the parts where the paper takes their right ends. The library's version:
# `course_lib.explain.gradients.integrated_gradients` with `rule="riemann"`.


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
    """The gradient was queried at something that is not one point."""


def _all_multiplied(x: np.ndarray) -> np.ndarray:
    """Each partial derivative is the product of the other numbers."""
    flat = x.ravel()
    others = [np.delete(flat, i).prod() for i in range(flat.size)]
    return np.array(others).reshape(x.shape)


_FUNCTIONS: dict[str, tuple[Callable[[np.ndarray], Any], Callable[[np.ndarray], np.ndarray]]] = {
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
class GradientFunction:
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
        return _FUNCTIONS[self.function][1](given)

    def value(self, point: np.ndarray) -> float:
        """The function itself."""
        return float(_FUNCTIONS[self.function][0](point))

    def __repr__(self) -> str:
        return f"<gradient of {self.function}>"


def _integrated_gradients_cases() -> list[Arguments]:
    random = np.random.default_rng(9)
    rows: list[tuple[str, Any, Any, int]] = [
        ("sum of x^3", [2.0], [0.0], 2),
        ("2 * sum of x", [1.0, -2.0, 0.5], [0.0, 1.0, 0.5], 3),  # the same slope everywhere
        ("product of x", [2.0, 3.0], [0.0, 0.0], 1),
        ("product of x", [2.0, -1.0, 0.5], [1.0, 1.0, 1.0], 4),
        ("sigmoid of 4 * sum of x", [1.0, 0.5, -0.25], [-0.5, 0.0, 0.0], 8),  # flat at both ends
        ("(sum of x)^2", [[1.0, -0.5], [2.0, 0.25]], [[0.5, 0.0], [0.0, 0.25]], 2),
        ("sum of sin(3 * x)", random.normal(size=(3, 2)), random.normal(size=(3, 2)), 5),
        ("sum of x^3", random.normal(size=(2, 2)), random.normal(size=(2, 2)), 20),
        ("sum of x^3", [0.5, -1.0], [0.5, -1.0], 3),  # the input is the baseline
        ("sum of sin(3 * x)", [1.5, -0.5, 1.0], [0.0, 0.0, 0.0], 1),
    ]
    return [(GradientFunction(function, np.shape(x)), x, baseline, steps) for function, x, baseline, steps in rows]


def _judge_integrated_gradients(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    numbers = numbers_of(got)
    x, baseline, gradient = case["x"], case["baseline"], case["gradient"]
    if (stays := (x == baseline) & (numbers != 0)).any():
        return (
            f"Where the input is equal to the baseline nothing was added, so the attribution is 0. "
            f"Yours is {numbers[stays][0]:.6g} there."
        )
    change = gradient.value(x) - gradient.value(baseline)
    if abs(numbers.sum() - change) > abs(expected.sum() - change) + 1e-5:
        return (
            f"From the baseline to x the function changes by {change:.6g}. The attributions should sum to about this "
            f"({expected.sum():.6g} with these steps); yours sum to {numbers.sum():.6g}."
        )
    place = [int(i) for i in np.argwhere(~np.isclose(numbers, expected, rtol=1e-5, atol=1e-6))[0]]
    where = place[0] if len(place) == 1 else tuple(place)
    return f"Position {where} holds {numbers[tuple(place)]:.6g}; it should hold {expected[tuple(place)]:.6g}."


EXERCISES = (
    Exercise(lime_weights, _lime_weights_cases, _judge_lime_weights),
    Exercise(shapley_values, _shapley_values_cases, _judge_shapley_values),
    Exercise(integrated_gradients, _integrated_gradients_cases, _judge_integrated_gradients),
)
