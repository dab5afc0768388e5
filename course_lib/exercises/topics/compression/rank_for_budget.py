"""Exercise: how thin the two factors of a matrix have to be.

The library's version: `course_lib.compression.lowrank.rank_for`, which takes the shape and the number of weights
allowed, and refuses (BadInput) where not even rank 1 fits; here rank 1 is taken then, and its count tells.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import kind, plain

Pair = tuple[int, int]


def rank_for_budget(out: int, inputs: int, share: float) -> tuple[int, int]:
    """The largest rank whose factors hold at most share * out * inputs weights, and how many they hold."""
    rank = share * out * inputs / (out + inputs)
    rank = int(rank + 1e-9)  # 56.99999999999999 means 57
    rank = max(1, min(rank, out, inputs))
    return rank, rank * (out + inputs)


def _cases() -> list[Case]:
    given = [
        (4, 12, 0.5),  # 1.5: cut down
        (8, 8, 0.5),
        (12, 4, 0.7),  # 2.1
        (100, 300, 0.25),  # 18.75
        (384, 1536, 0.5),  # the feed-forward matrices of the course's encoder
        (1536, 384, 0.1),
        (384, 384, 1.0),  # all of the weights: half of the full rank
        (200, 200, 0.57),  # 57 exactly, but 0.57 * 200 * 200 / 400 is 56.99999999999999
        (6, 6, 0.1),  # not even rank 1 fits
        (1, 5, 0.9),
        (8, 8, 3.0),  # more room than the full rank needs
        (10, 4, 2.5),
    ]
    return [dict(zip(("out", "inputs", "share"), one, strict=True)) for one in given]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    pair = plain(got)
    if not isinstance(pair, list) or len(pair) != 2:
        return f"The result should be a pair, the rank and the number of weights, but it is {kind(got)}."
    for name, part in zip(("rank", "number of weights"), pair, strict=True):
        if not _is_whole(part):
            return f"The {name} should be a whole number, but it is {kind(part)}."
    rank, count = pair
    out, inputs, share = case["out"], case["inputs"], case["share"]
    if not 1 <= rank <= min(out, inputs):
        return f"A matrix of {out} by {inputs} has a rank from 1 to {min(out, inputs)}; yours is {rank}."
    if rank != expected[0]:
        held, fits = rank * (out + inputs), "that is more than" if rank > expected[0] else "a larger rank fits in"
        return f"With rank {rank} the factors hold {held} weights; {fits} {share:g} * {out * inputs}."
    return None if count == expected[1] else f"Rank {rank} is right, but its factors do not hold {count} weights."


def _ranked(rank: Callable[[int, int, float], Any]) -> Answer:
    """An answer with another quotient, rounded and kept between 1 and the full rank in the right way."""

    def answer(out: int, inputs: int, share: float) -> Pair:
        found = max(1, min(int(rank(out, inputs, share) + 1e-9), out, inputs))
        return found, found * (out + inputs)

    return answer


def _bounded(rank: Callable[[float, int, int], int]) -> Answer:
    """An answer with the right quotient; `rank` makes a whole number of (quotient, out, inputs)."""

    def answer(out: int, inputs: int, share: float) -> Pair:
        found = rank(share * out * inputs / (out + inputs), out, inputs)
        return found, found * (out + inputs)

    return answer


def _counted(count: Callable[[int, int, int, float], Any]) -> Answer:
    """An answer with the right rank and another count, made of (rank, out, inputs, share)."""

    def answer(out: int, inputs: int, share: float) -> Any:
        rank = rank_for_budget(out, inputs, share)[0]
        return rank, count(rank, out, inputs, share)

    return answer


def _kept(rank: float, out: int, inputs: int) -> int:
    return int(max(1, min(rank, out, inputs)))


_share_of_rank = _ranked(lambda out, inputs, share: share * min(out, inputs))
_left_factor = _ranked(lambda out, inputs, share: share * inputs)
_right_factor = _ranked(lambda out, inputs, share: share * out)
_as_if_square = _ranked(lambda out, inputs, share: share * min(out, inputs) / 2)
_with_diagonal = _ranked(lambda out, inputs, share: share * out * inputs / (out + inputs + 1))
_share_that_goes = _ranked(lambda out, inputs, share: (1 - share) * out * inputs / (out + inputs))
_all_of_it = _ranked(lambda out, inputs, share: out * inputs / (out + inputs))
_root = _ranked(lambda out, inputs, share: (share * out * inputs) ** 0.5)
_to_the_nearest = _bounded(lambda rank, out, inputs: _kept(round(rank), out, inputs))
_upwards = _bounded(lambda rank, out, inputs: _kept(np.ceil(rank - 1e-9), out, inputs))
_strictly_less = _bounded(lambda rank, out, inputs: _kept(np.ceil(rank - 1e-9) - 1, out, inputs))
_cut_by_rounding = _bounded(lambda rank, out, inputs: _kept(rank, out, inputs))
_may_be_zero = _bounded(lambda rank, out, inputs: min(int(rank + 1e-9), out, inputs))
_without_end = _bounded(lambda rank, out, inputs: max(1, int(rank + 1e-9)))
_wider_side = _bounded(lambda rank, out, inputs: max(1, min(int(rank + 1e-9), max(out, inputs))))
_budget_as_count = _counted(lambda rank, out, inputs, share: int(share * out * inputs + 1e-9))
_one_factor_counted = _counted(lambda rank, out, inputs, share: rank * out)
_product_counted = _counted(lambda rank, out, inputs, share: out * inputs)
_multiplied_count = _counted(lambda rank, out, inputs, share: rank * out * rank * inputs)
_saved = _counted(lambda rank, out, inputs, share: out * inputs - rank * (out + inputs))
_as_share = _counted(lambda rank, out, inputs, share: rank * (out + inputs) / (out * inputs))


def _rank_alone(out: int, inputs: int, share: float) -> int:
    return rank_for_budget(out, inputs, share)[0]


def _exchanged(out: int, inputs: int, share: float) -> Any:
    return rank_for_budget(out, inputs, share)[::-1]


def _as_floats(out: int, inputs: int, share: float) -> Any:
    rank, count = rank_for_budget(out, inputs, share)
    return float(rank), float(count)


def _not_cut(out: int, inputs: int, share: float) -> Any:
    rank = max(1.0, min(share * out * inputs / (out + inputs), out, inputs))
    return rank, rank * (out + inputs)


EXERCISE = Exercise(
    reference=rank_for_budget,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _share_of_rank,
            "You take a share of the full rank. Two factors of half the rank of a square hold as much as the square.",
        ),
        WrongFunction(_left_factor, "You count the factor (out, rank) alone. The other one takes room, too."),
        WrongFunction(_right_factor, "You count the factor (rank, inputs) alone. The other one takes room, too."),
        WrongFunction(_as_if_square, "You count as if both sides were as short as the shorter one. Use out + inputs."),
        WrongFunction(
            _with_diagonal,
            "You count the singular values as a third factor. They are multiplied into one of the two.",
        ),
        WrongFunction(_share_that_goes, "`share` is what may stay. You use it as what goes."),
        WrongFunction(_all_of_it, "The share has no effect. This is the rank that saves nothing."),
        WrongFunction(_root, "You take the root of the budget. Divide it by out + inputs instead."),
        WrongFunction(_to_the_nearest, "You round to the nearest rank, which may be above the budget. Cut down."),
        WrongFunction(_upwards, "You round up, and then the factors hold more than they may. Cut down."),
        WrongFunction(_strictly_less, "Where the budget fits exactly you stay one below. It may be used up."),
        WrongFunction(_cut_by_rounding, "You cut 56.99999999999999 down to 56. Add 1e-9 first."),
        WrongFunction(_may_be_zero, "The rank may become 0. It is at least 1."),
        WrongFunction(
            _without_end, "The rank may be above the smaller side of the matrix. More than that is of no use."
        ),
        WrongFunction(_wider_side, "You stop at the longer side of the matrix. Its rank ends at the shorter one."),
        WrongFunction(_budget_as_count, "The second number is the budget. Give what the factors really hold."),
        WrongFunction(_one_factor_counted, "The second number counts one factor. Count both."),
        WrongFunction(_product_counted, "The second number is that of the whole matrix. Count the two factors."),
        WrongFunction(_multiplied_count, "You multiply the sizes of the two factors. Add them."),
        WrongFunction(_saved, "The second number is what is saved. Give what the factors hold."),
        WrongFunction(_as_share, "The second number is a share. Give the number of weights."),
        WrongFunction(_rank_alone, "This is the rank alone. Give the number of weights as well, as a pair."),
        WrongFunction(_exchanged, "The pair is the wrong way round. The rank comes first."),
        WrongFunction(_as_floats, "The numbers are right, but they are floats. A rank counts columns: make it an int."),
        WrongFunction(_not_cut, "The rank is not a whole number. Cut it down."),
    ),
)
