"""Exercise: do two explanations put the words in the same order?

Spearman's rank correlation, as Adebayo et al. 2018, Sanity Checks for Saliency Maps, section 3 (arXiv:1810.03292), use
it between explanations of a trained and of a randomised model. The library's version:
`course_lib.explain.rank_correlation`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, brief, same


def rank_agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two arrays (n,): equal scores share a mean rank; nan where all are equal."""

    def ranks(scores: np.ndarray) -> np.ndarray:
        below = (scores[:, None] > scores).sum(axis=1)
        equal = (scores[:, None] == scores).sum(axis=1)  # itself among them
        shared: np.ndarray = below + (equal + 1) / 2
        return shared

    mine, theirs = ranks(one), ranks(other)
    mine, theirs = mine - mine.mean(), theirs - theirs.mean()
    spread = np.sqrt((mine**2).sum() * (theirs**2).sum())
    return float((mine * theirs).sum() / spread) if spread > 0 else float("nan")


def _case(one: Any, other: Any) -> Case:
    return {"one": np.array(one, dtype=float), "other": np.array(other, dtype=float)}


def _cases() -> list[Case]:
    random = np.random.default_rng(11)
    wide = random.normal(size=6)
    return [
        _case([0.3, 0.1, 0.2], [5.0, 1.0, 1.0]),  # two are equal
        _case([0.5, -0.2, 0.1, 0.0], [0.4, -0.3, 0.2, 0.1]),  # the same order
        _case([1.0, 2.0, 3.0, 50.0], [4.0, 3.0, 2.0, 1.0]),  # the opposite order
        _case([0.1, 0.1, 0.1], [0.3, 0.2, 0.1]),  # nothing to put in order
        _case([0.9, -0.8, 0.1, 0.0, 0.3], [-0.2, 0.7, 0.0, 0.1, 0.6]),
        _case([0.0, 0.0, 0.0, 1.0, 1.0, 2.0], [1.0, 0.0, 0.0, 3.0, 2.0, 2.0]),
        _case(wide, np.exp(3 * wide) + random.normal(size=6)),
        _case(random.integers(0, 4, size=9), random.integers(-2, 2, size=9)),
        _case(random.normal(size=12), random.normal(size=12)),
        _case([0.2, 0.1], [0.0, 0.0]),
        _case([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),  # both
        _case([0.7], [0.4]),  # one word has no order
        _case(random.permutation(7), [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 1.0]),
    ]


def _ranks(scores: Any) -> Any:
    """From 1 on; equal scores share their mean rank."""
    table = np.asarray(scores)[:, None]
    return (table > scores).sum(axis=1) + ((table == scores).sum(axis=1) + 1) / 2


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    number = as_numbers(got)
    if number is None or number.ndim:
        return array_problem(0.0, got)
    if same(expected, float(number)):
        return None
    if np.isnan(expected):
        return (
            f"Where all scores of one array are equal, there is no order to compare: nan is asked, "
            f"and you give {float(number):.6g}."
        )
    if not np.isfinite(number):
        return "The result is nan or infinity, but both arrays have an order."
    if abs(float(number)) > 1 + 1e-9:
        return f"A correlation lies between -1 and 1. Yours is {float(number):.6g}."
    shown = " and ".join(brief(_ranks(scores)) for scores in case.values())
    return f"The ranks are {shown}. Their correlation is {expected:.6g}, not {float(number):.6g}."


def _correlation(one: Any, other: Any) -> float:
    """Pearson's; nan where one does not vary."""
    mine, theirs = one - np.mean(one), other - np.mean(other)
    spread = np.sqrt((mine**2).sum() * (theirs**2).sum())
    return float((mine * theirs).sum() / spread) if spread > 1e-12 else float("nan")


def _ranked(ranks: Callable[[Any], Any]) -> Answer:
    """An answer with other ranks; nan where it should be."""

    def answer(one: np.ndarray, other: np.ndarray) -> float:
        found = _correlation(ranks(one), ranks(other))
        return found if np.ptp(one) > 0 and np.ptp(other) > 0 else float("nan")

    return answer


def _made_of(finish: Callable[[float], Any]) -> Answer:
    """An answer that does something more to the right one."""

    def answer(one: np.ndarray, other: np.ndarray) -> Any:
        return finish(rank_agreement(one, other))

    return answer


def _between(compare: Callable[[Any, Any], Any]) -> Answer:
    """An answer that compares the right ranks in another way; nan where it should be."""

    def answer(one: np.ndarray, other: np.ndarray) -> Any:
        if np.ptp(one) == 0 or np.ptp(other) == 0:
            return float("nan")
        return compare(_ranks(one), _ranks(other))

    return answer


def _places(scores: Any) -> Any:
    return np.argsort(scores, kind="stable")


def _squares(mine: Any, theirs: Any) -> float:
    n = len(mine)
    return float(1 - 6 * ((mine - theirs) ** 2).sum() / (n * (n**2 - 1)))


_scores_themselves = _ranked(lambda scores: scores)
_order_as_ranks = _ranked(_places)
_ties_by_place = _ranked(lambda scores: _places(_places(scores)))
_smallest_rank = _ranked(lambda scores: (scores[:, None] > scores).sum(axis=1))
_largest_rank = _ranked(lambda scores: (scores[:, None] >= scores).sum(axis=1))
_dense = _ranked(lambda scores: np.unique(scores, return_inverse=True)[1])
_sizes = _ranked(lambda scores: _ranks(np.abs(scores)))
_signs = _ranked(np.sign)
_zero_for_nan = _made_of(lambda found: 0.0 if np.isnan(found) else found)
_one_for_nan = _made_of(lambda found: 1.0 if np.isnan(found) else found)
_no_sign = _made_of(abs)
_squared = _made_of(lambda found: found**2)
_turned_round = _made_of(lambda found: -found)
_from_0_to_1 = _made_of(lambda found: (found + 1) / 2)
_distance = _made_of(lambda found: 1 - found)
_formula = _between(_squares)
_not_centred = _between(lambda mine, theirs: float(mine @ theirs / np.sqrt((mine @ mine) * (theirs @ theirs))))
_covariance = _between(lambda mine, theirs: float(((mine - mine.mean()) * (theirs - theirs.mean())).mean()))
_unlike_spreads = _between(lambda mine, theirs: _correlation(mine, theirs) * len(mine) / (len(mine) - 1))
_equal_ranks = _between(lambda mine, theirs: float((mine == theirs).mean()))
_table = _between(lambda mine, theirs: np.corrcoef(mine, theirs))


def _one_ranked(one: np.ndarray, other: np.ndarray) -> float:
    return _correlation(_ranks(one), other)


def _pairs(one: np.ndarray, other: np.ndarray) -> float:
    """Kendall's tau-b."""
    mine, theirs = (np.sign(scores[:, None] - scores) for scores in (one, other))
    spread = np.sqrt((mine**2).sum() * (theirs**2).sum())
    return float((mine * theirs).sum() / spread) if spread > 0 else float("nan")


def _only_if_both(one: np.ndarray, other: np.ndarray) -> float:
    constant = np.ptp(one) == 0, np.ptp(other) == 0
    return 0.0 if any(constant) and not all(constant) else rank_agreement(one, other)


EXERCISE = Exercise(
    reference=rank_agreement,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_scores_themselves, "This is the correlation of the scores. Replace them by their ranks first."),
        WrongFunction(_one_ranked, "You rank the first array only. Rank both."),
        WrongFunction(_order_as_ranks, "argsort gives places, not ranks. The word in the first place may rank last."),
        WrongFunction(
            _ties_by_place, "Of equal scores, the later one ranks higher with you. They share the mean of their ranks."
        ),
        WrongFunction(_smallest_rank, "Equal scores get the smallest of their ranks. Take the mean of these ranks."),
        WrongFunction(_largest_rank, "Equal scores get the largest of their ranks. Take the mean of these ranks."),
        WrongFunction(
            _dense, "Equal scores take up one rank only with you. Two that share the ranks 1 and 2 have 1.5 each."
        ),
        WrongFunction(_formula, "1 - 6 sum d^2 / (n (n^2 - 1)) holds without ties alone. Correlate the ranks instead."),
        WrongFunction(_sizes, "You rank the sizes of the scores. A score of -0.8 is the lowest here: keep the signs."),
        WrongFunction(_signs, "You compare the signs of the scores alone. Compare their ranks."),
        WrongFunction(_pairs, "You count pairs in the same order: this is Kendall's tau. Correlate the ranks."),
        WrongFunction(_equal_ranks, "You count the words of equal rank. A rank that is hardly off should still count."),
        WrongFunction(_not_centred, "You do not subtract the mean rank, so even opposite orders seem alike."),
        WrongFunction(_covariance, "This is the covariance of the ranks. Divide by both spreads."),
        WrongFunction(
            _unlike_spreads, "You divide once by n - 1 and once by n. Use the same for the covariance and the spreads."
        ),
        WrongFunction(_no_sign, "You take the absolute value. The opposite order gives -1."),
        WrongFunction(_squared, "This is the square of the correlation. Give the correlation itself."),
        WrongFunction(_turned_round, "The sign is turned round. Rank both arrays in the same direction."),
        WrongFunction(_from_0_to_1, "You map the correlation to 0 to 1. It goes from -1 to 1."),
        WrongFunction(_distance, "This is 1 less the correlation, a distance. Give the correlation."),
        WrongFunction(_zero_for_nan, "Without an order you give 0. That would say: the orders have nothing in common."),
        WrongFunction(_one_for_nan, "Without an order you give 1. That would say: the orders are the same."),
        WrongFunction(
            _only_if_both, "You give nan only if neither array has an order. One without an order is enough for nan."
        ),
        WrongFunction(_table, "This is the whole table of correlations. Take the one beside the diagonal."),
    ),
)
