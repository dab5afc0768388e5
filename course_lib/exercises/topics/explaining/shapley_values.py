"""Exercise: what each player adds, averaged over all orders in which the players could come.

Shapley 1953, A Value for n-Person Games; Lundberg and Lee 2017, A Unified Approach to Interpreting Model Predictions,
equation 4 (arXiv:1705.07874). The library's version: `course_lib.explain.shapley_values`, from a table of all values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from math import comb, factorial
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same

Value = Callable[[frozenset[int]], float]


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
    """A game was asked for a player that it does not have."""


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


def _case(*table: float) -> Case:
    game = Game(table)
    return {"value": game, "n": game.players}


def _cases() -> list[Case]:
    random = np.random.default_rng(8)
    return [
        _case(0.5, 0.5, 0.1, 0.7),  # "not", "bad"
        _case(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0),  # each adds the same wherever it comes
        _case(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 6.0),  # all three are needed
        _case(0.25, 0.75, 0.5, 0.25, 0.5, 1.0, 0.75, 0.5),
        _case(0.25, 0.875),  # one player did it all
        _case(*random.integers(-4, 9, size=8) / 8),
        _case(*random.integers(-4, 9, size=16) / 8),
        _case(0.5, 0.5, 0.5, 0.5),  # nobody does anything
        _case(*random.integers(-4, 9, size=16) / 8),
        _case(0.0, -0.5, 0.25, 0.0, 0.25, -0.75, 0.5, 0.0),  # the whole reaches what nobody reaches
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    values, game = as_numbers(got), case["value"]
    assert values is not None
    change = game.table[-1] - game.table[0]
    if not np.isclose(values.sum(), change, rtol=1e-5, atol=1e-6):
        return (
            f"Shapley values sum to what all players reach together less what nobody reaches, {change:.6g} here. "
            f"Yours sum to {round(float(values.sum()), 9) + 0.0:.6g}."
        )
    player = int(np.flatnonzero(~np.isclose(values, expected, rtol=1e-5, atol=1e-6))[0])
    return f"The sum is right, but player {player} should get {expected[player]:.6g}, not {values[player]:.6g}."


def _without(player: int, n: int) -> list[frozenset[int]]:
    """All coalitions that the player is not in."""
    kept = [frozenset(i for i in range(n) if code >> i & 1) for code in range(2**n)]
    return [others for others in kept if player not in others]


def _weight(size: int, n: int) -> float:
    return 1 / (n * comb(n - 1, size))


def _weighted(weight: Callable[[int, int], float]) -> Answer:
    """An answer with other weights, made of (size of the coalition, n)."""

    def answer(value: Value, n: int) -> Any:
        return np.array(
            [sum(weight(len(s), n) * (value(s | {i}) - value(s)) for s in _without(i, n)) for i in range(n)]
        )

    return answer


def _added(gain: Callable[[float, float], float]) -> Answer:
    """An answer with another gain, made of (value with the player, value without)."""

    def answer(value: Value, n: int) -> Any:
        return np.array(
            [sum(_weight(len(s), n) * gain(value(s | {i}), value(s)) for s in _without(i, n)) for i in range(n)]
        )

    return answer


def _ordered(orders: Callable[[int], list[tuple[int, ...]]]) -> Answer:
    """An answer that averages over some orders alone."""

    def answer(value: Value, n: int) -> Any:
        values, chosen = np.zeros(n), orders(n)
        for order in chosen:
            for place, player in enumerate(order):
                values[player] += value(frozenset(order[: place + 1])) - value(frozenset(order[:place]))
        return values / len(chosen)

    return answer


def _finished(finish: Callable[[Any, Value, int], Any]) -> Answer:
    """An answer that does something more, or other, to the right values: finish(values, value, n)."""

    def answer(value: Value, n: int) -> Any:
        return finish(shapley_values(value, n), value, n)

    return answer


def _gain_at(value: Value, player: int, others: frozenset[int]) -> float:
    return value(others | {player}) - value(others)


def _rest(player: int, n: int) -> frozenset[int]:
    return frozenset(range(n)) - {player}


_banzhaf = _weighted(lambda size, n: 1 / 2 ** (n - 1))
_over_all_coalitions = _weighted(lambda size, n: 1 / 2**n)
_not_divided = _weighted(lambda size, n: factorial(size) * factorial(n - size - 1))
_n_too_many = _weighted(lambda size, n: factorial(size) * factorial(n - size - 1) / factorial(n - 1))
_one_too_many = _weighted(lambda size, n: factorial(size) * factorial(n - size) / factorial(n))
_sizes_alone = _weighted(lambda size, n: 1 / n)
_summed = _weighted(lambda size, n: 1.0)
_empty_skipped = _weighted(lambda size, n: _weight(size, n) if size else 0.0)
_last_skipped = _weighted(lambda size, n: _weight(size, n) if size < n - 1 else 0.0)
_left_out = _weighted(lambda size, n: float(size == n - 1))
_alone = _weighted(lambda size, n: float(size == 0))
_first_and_last = _weighted(lambda size, n: ((size == 0) + (size == n - 1)) / 2)
_turned_round = _added(lambda after, before: before - after)
_not_compared = _added(lambda after, before: after)
_sizes_of_gains = _added(lambda after, before: abs(after - before))
_one_order = _ordered(lambda n: [tuple(range(n))])
_there_and_back = _ordered(lambda n: [tuple(range(n)), tuple(range(n))[::-1]])
_equal_parts = _finished(lambda values, value, n: np.full(n, values.sum() / n))
_shares = _finished(lambda values, value, n: values / values.sum())
_base_in_front = _finished(lambda values, value, n: np.array([value(frozenset()), *values]))
_as_dict = _finished(lambda values, value, n: dict(enumerate(values.tolist())))


def _empty_is_zero(value: Value, n: int) -> Any:
    return shapley_values(lambda players: value(players) if players else 0.0, n)


def _counted_from_one(value: Value, n: int) -> Any:
    return shapley_values(lambda players: value(frozenset(i + 1 for i in players)), n)


def _banzhaf_scaled(value: Value, n: int) -> Any:
    values = _banzhaf(value, n)
    return values / values.sum() * (value(frozenset(range(n))) - value(frozenset()))


EXERCISE = Exercise(
    reference=shapley_values,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _left_out,
            "You only ask what is lost when a player leaves the whole. That is occlusion: let it come in all orders.",
        ),
        WrongFunction(_alone, "You only ask what each player adds to nobody. Add it to every coalition of the others."),
        WrongFunction(
            _first_and_last,
            "You take the mean of coming first and of coming last. The places between them count as well.",
        ),
        WrongFunction(
            _banzhaf,
            "All coalitions have the same weight: these are Banzhaf values. Small and large coalitions are few, so "
            "each of them counts more.",
        ),
        WrongFunction(
            _banzhaf_scaled,
            "You stretch values with equal weights until the sum is right. The weights themselves should depend on "
            "the size.",
        ),
        WrongFunction(
            _over_all_coalitions,
            "You divide by all 2^n coalitions. Half of them hold the player already, and the weights depend on the "
            "size.",
        ),
        WrongFunction(_summed, "You add all gains up without weights. The weights of a player's gains sum to 1."),
        WrongFunction(
            _sizes_alone, "Each coalition has the weight 1 / n. Divide it among the coalitions of equal size."
        ),
        WrongFunction(_not_divided, "You do not divide by n!, the number of all orders."),
        WrongFunction(_n_too_many, "You divide by (n - 1)! in the place of n!, so everything is n times too large."),
        WrongFunction(
            _one_too_many, "Your weight has (n - |S|)! in it. Player i itself is not behind: (n - |S| - 1)!."
        ),
        WrongFunction(_empty_skipped, "The empty coalition is missing. A player may come first."),
        WrongFunction(_last_skipped, "The coalition of all others is missing. A player may come last."),
        WrongFunction(
            _turned_round, "Your signs are turned round. A gain is the value with the player less that without."
        ),
        WrongFunction(
            _not_compared, "You add up values with the player. Subtract what the coalition reaches without it."
        ),
        WrongFunction(_sizes_of_gains, "You take absolute values. A player that does harm has a negative value."),
        WrongFunction(_one_order, "This is one order, 0, 1, 2 and so on. Take the mean over all orders."),
        WrongFunction(
            _there_and_back,
            "These are two orders, there and back. It is exact where only pairs work together, and here more do.",
        ),
        WrongFunction(_equal_parts, "Everybody gets the same. The sum is right, but who did it is what is asked."),
        WrongFunction(
            _empty_is_zero,
            "You take 0 for the value of nobody. Ask the game: value(frozenset()) may be something else.",
        ),
        WrongFunction(_base_in_front, "The value of nobody stands in front of your values. Give the n players' alone."),
        WrongFunction(_shares, "You divide by the sum. The values keep the unit of the game, and the sum may be 0."),
        WrongFunction(_as_dict, "This is a dict from player to value. Give an array, player 0 first."),
        WrongFunction(_counted_from_one, "You count the players from 1. They are 0 to n - 1."),
    ),
)
