"""Faithful explanations: what deletion shows, and whether two explanations agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import array_problem, as_numbers, brief, numbers_of, same

# ---------------- what is lost when the words that an explanation calls important are taken away
# DeYoung et al. 2020, ERASER: A Benchmark to Evaluate Rationalized NLP Models, equation 1 (arXiv:1911.03429), for
# one share of the words. The library's version, `course_lib.explain.comprehensiveness`, takes the mean over several
# shares.


def comprehensiveness(
    scores: np.ndarray,
    predict: "Callable[[list[str]], float]",
    words: list[str],
    share: float,
) -> float:
    """How far predict(words) falls without the words of the highest scores (n,), a share of n, rounded up."""
    gone = int(np.ceil(share * len(words) - 1e-9))  # 7.000000000000001 means 7
    order = np.argsort(-scores, kind="stable")  # the highest first; equal ones in the text's order
    top = set(order[:gone].tolist())
    rest = [word for i, word in enumerate(words) if i not in top]
    return predict(words) - predict(rest)


class NotWords(TypeError):
    """A model of words was queried with something else."""


@dataclass(frozen=True)
class ToyClassifier:
    """A model of a few words that depends on their order: p(positive) is the sigmoid of their summed weights.

    "not" turns the next word round, and "very" doubles it.
    """

    weights: tuple[tuple[str, float], ...]

    def __call__(self, words: Sequence[str]) -> float:
        """p(positive).

        Raises:
            NotWords: a string, or something else than words in a row.
        """
        if isinstance(words, str) or not all(isinstance(word, str) for word in words):
            raise NotWords(f"predict takes a list of words, not {words!r}")
        known, total = dict(self.weights), 0.0
        for before, word in zip(["", *words], words, strict=False):
            total += known.get(word, 0.0) * {"not": -1.0, "very": 2.0}.get(before, 1.0)
        return float(1 / (1 + np.exp(-total)))

    def __repr__(self) -> str:
        return "<p(positive)>"


_WEIGHTS = {"good": 1.5, "fine": 1.0, "nice": 0.75, "film": 0.25, "cast": 0.5, "slow": -0.75, "bad": -1.5, "dull": -2.0}


_LONG = "a good film with a fine cast but slow and dull in places and not very nice to look at for a very long time"


def _comprehensiveness_cases() -> list[Arguments]:
    rows: list[tuple[str, Any, float]] = [
        ("a good film", [0.0, 0.4, 0.1], 0.3),
        ("a good film", [0.0, 0.4, 0.1], 0.5),  # 1.5 words: two
        ("nice film good cast", [0.2, 0.2, 0.2, 0.2], 0.5),  # all are equal
        ("fine film but slow", [0.3, 0.05, 0.0, -0.5], 0.25),  # the largest number is a negative one
        ("good film good cast", [0.1, 0.0, 0.6, 0.2], 0.25),  # one word twice, and one of them goes
        ("not bad but dull", [0.5, -0.1, 0.0, -0.4], 0.25),  # "bad" remains, and nothing turns it round
        ("film not dull", [0.1, 0.3, 0.2], 1.0),  # nothing remains
        ("slow dull film nice", [0.3, 0.9, -0.2, -0.1], 0.5),  # misled: without them it rises
        ("good nice fine", [-0.3, -0.1, -0.2], 0.4),  # no score is above 0
        (_LONG, (7 * np.arange(25) + 10) % 25, 0.28),  # 0.28 * 25 is 7.000000000000001
        ("nice very good film very nice cast", [0.3, 0.1, 0.05, 0.4, 0.0, 0.2, 0.35], 0.4),  # three go
        ("not film good", [0.0, 0.4, 0.1], 0.3),  # its neighbours come together
        ("good bad film cast", [0.0, 0.0, 0.0, -1.0], 0.25),
        ("slow but nice cast", [0.3, 0.0, 0.2, 0.1], 0.75),
        ("bad", [2.0], 0.1),
        ("", [], 0.5),
    ]
    model = ToyClassifier(tuple(_WEIGHTS.items()))
    return [(np.array(scores, dtype=float), model, text.split(), share) for text, scores, share in rows]


def _gone(words: Sequence[str], share: float) -> int:
    return int(np.ceil(share * len(words) - 1e-9))


def _kept(words: list[str], top: Any) -> list[str]:
    chosen = {int(i) for i in top}
    return [word for i, word in enumerate(words) if i not in chosen]


def _best(scores: Any) -> Any:
    return np.argsort(-scores, kind="stable")


def _judge_comprehensiveness(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    number, words, predict = numbers_of(got), case["words"], case["predict"]
    if not -1 <= float(number) <= 1:
        return f"Two probabilities differ by no more than 1, but your result is {float(number):.6g}."
    gone, order = _gone(words, case["share"]), _best(case["scores"])
    for others in range(1, len(words) + 1):
        if others != gone and same(predict(words) - predict(_kept(words, order[:others])), got):
            return (
                f"Of {len(words)} words {gone} should go with the share {case['share']:g}. It looks as if {others} do."
            )
    return f"The whole gives {predict(words):.6g}. The result should be {expected:.6g}, not {float(number):.6g}."


def _stale_places(scores: np.ndarray, predict: ToyClassifier, words: list[str], share: float) -> float:
    rest = list(words)
    for place in _best(scores)[: _gone(words, share)]:
        rest.pop(place)
    return predict(words) - predict(rest)


# ---------------- do two explanations put the words in the same order?
# Spearman's rank correlation, as Adebayo et al. 2018, Sanity Checks for Saliency Maps, section 3 (arXiv:1810.03292),
# use it between explanations of a trained and of a randomised model. The library's version:
# `course_lib.explain.rank_correlation`.


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


def _rank_agreement_cases() -> list[Arguments]:
    random = np.random.default_rng(11)
    wide = random.normal(size=6)
    return [
        ([0.3, 0.1, 0.2], [5.0, 1.0, 1.0]),  # two are equal
        ([0.5, -0.2, 0.1, 0.0], [0.4, -0.3, 0.2, 0.1]),  # the same order
        ([1.0, 2.0, 3.0, 50.0], [4.0, 3.0, 2.0, 1.0]),  # the opposite order
        ([0.1, 0.1, 0.1], [0.3, 0.2, 0.1]),  # nothing to put in order
        ([0.9, -0.8, 0.1, 0.0, 0.3], [-0.2, 0.7, 0.0, 0.1, 0.6]),
        ([0.0, 0.0, 0.0, 1.0, 1.0, 2.0], [1.0, 0.0, 0.0, 3.0, 2.0, 2.0]),
        (wide, np.exp(3 * wide) + random.normal(size=6)),
        (random.integers(0, 4, size=9).astype(float), random.integers(-2, 2, size=9).astype(float)),
        (random.normal(size=12), random.normal(size=12)),
        ([0.2, 0.1], [0.0, 0.0]),
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),  # both
        ([0.7], [0.4]),  # one word has no order
        (random.permutation(np.arange(7.0)), [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 1.0]),
    ]


def _ranks(scores: Any) -> Any:
    """From 1 on; equal scores share their mean rank."""
    table = np.asarray(scores)[:, None]
    return (table > scores).sum(axis=1) + ((table == scores).sum(axis=1) + 1) / 2


def _judge_rank_agreement(case: Case, expected: Any, got: Any) -> str | None:
    number = as_numbers(got)
    if number is None or number.ndim:
        return array_problem(0.0, got)
    if same(expected, float(number)):
        return None
    if np.isnan(expected):
        return (
            f"Where all scores of one array are equal, there is no order to compare: return nan, "
            f"not {float(number):.6g}."
        )
    if not np.isfinite(number):
        return "The result is nan or infinity, but both arrays have an order."
    if abs(float(number)) > 1 + 1e-9:
        return f"A correlation lies between -1 and 1. Yours is {float(number):.6g}."
    shown = " and ".join(brief(_ranks(scores)) for scores in case.values())
    return f"The ranks are {shown}. Their correlation is {expected:.6g}, not {float(number):.6g}."


EXERCISES = (
    Exercise(comprehensiveness, _comprehensiveness_cases, _judge_comprehensiveness),
    Exercise(rank_agreement, _rank_agreement_cases, _judge_rank_agreement),
)
