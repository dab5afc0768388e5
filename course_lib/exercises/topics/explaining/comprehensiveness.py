"""Exercise: what is lost when the words that an explanation calls important are taken away.

DeYoung et al. 2020, ERASER: A Benchmark to Evaluate Rationalized NLP Models, equation 1 (arXiv:1911.03429), for one
share of the words. The library's version, `course_lib.explain.comprehensiveness`, takes the mean over several shares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same

Predict = Callable[[list[str]], float]


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
    """A model of words was asked about something else."""


@dataclass(frozen=True)
class Mood:
    """A model of a few words that feels the order: p(positive) is the sigmoid of their summed weights.

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


def _case(text: str, scores: Any, share: float) -> Case:
    mood = Mood(tuple(_WEIGHTS.items()))
    return {"scores": np.array(scores, dtype=float), "predict": mood, "words": text.split(), "share": share}


def _cases() -> list[Case]:
    return [
        _case("a good film", [0.0, 0.4, 0.1], 0.3),
        _case("a good film", [0.0, 0.4, 0.1], 0.5),  # 1.5 words: two
        _case("nice film good cast", [0.2, 0.2, 0.2, 0.2], 0.5),  # all are equal
        _case("fine film but slow", [0.3, 0.05, 0.0, -0.5], 0.25),  # the largest number is a negative one
        _case("good film good cast", [0.1, 0.0, 0.6, 0.2], 0.25),  # one word twice, and one of them goes
        _case("not bad but dull", [0.5, -0.1, 0.0, -0.4], 0.25),  # "bad" remains, and nothing turns it round
        _case("film not dull", [0.1, 0.3, 0.2], 1.0),  # nothing remains
        _case("slow dull film nice", [0.3, 0.9, -0.2, -0.1], 0.5),  # misled: without them it rises
        _case("good nice fine", [-0.3, -0.1, -0.2], 0.4),  # no score is above 0
        _case(_LONG, (7 * np.arange(25) + 10) % 25, 0.28),  # 0.28 * 25 is 7.000000000000001
        _case("nice very good film very nice cast", [0.3, 0.1, 0.05, 0.4, 0.0, 0.2, 0.35], 0.4),  # three go
        _case("not film good", [0.0, 0.4, 0.1], 0.3),  # its neighbours come together
        _case("good bad film cast", [0.0, 0.0, 0.0, -1.0], 0.25),
        _case("slow but nice cast", [0.3, 0.0, 0.2, 0.1], 0.75),
        _case("bad", [2.0], 0.1),
        _case("", [], 0.5),
    ]


def _gone(words: Sequence[str], share: float) -> int:
    return int(np.ceil(share * len(words) - 1e-9))


def _kept(words: list[str], top: Any) -> list[str]:
    chosen = {int(i) for i in top}
    return [word for i, word in enumerate(words) if i not in chosen]


def _best(scores: Any) -> Any:
    return np.argsort(-scores, kind="stable")


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    number, words, predict = as_numbers(got), case["words"], case["predict"]
    assert number is not None
    if not -1 <= float(number) <= 1:
        return f"Two probabilities differ by no more than 1, but your result is {float(number):.6g}."
    gone, order = _gone(words, case["share"]), _best(case["scores"])
    for others in range(1, len(words) + 1):
        if others != gone and same(predict(words) - predict(_kept(words, order[:others])), got):
            return (
                f"Of {len(words)} words {gone} should go with the share {case['share']:g}. It looks as if {others} do."
            )
    return f"The whole gives {predict(words):.6g}. The result should be {expected:.6g}, not {float(number):.6g}."


def _ordered(order: Callable[[Any], Any]) -> Answer:
    """An answer in which the words go in another order, made of the scores."""

    def answer(scores: np.ndarray, predict: Predict, words: list[str], share: float) -> float:
        return predict(words) - predict(_kept(words, order(scores)[: _gone(words, share)]))

    return answer


def _counted(count: Callable[[int, float], int]) -> Answer:
    """An answer in which another number of words goes, made of (n, share)."""

    def answer(scores: np.ndarray, predict: Predict, words: list[str], share: float) -> float:
        return predict(words) - predict(_kept(words, _best(scores)[: count(len(words), share)]))

    return answer


def _removed(remove: Callable[[list[str], list[int]], list[str]]) -> Answer:
    """An answer that takes the right words away in another way: remove(words, places of the top, best first)."""

    def answer(scores: np.ndarray, predict: Predict, words: list[str], share: float) -> float:
        return predict(words) - predict(remove(words, _best(scores)[: _gone(words, share)].tolist()))

    return answer


def _compared(compare: Callable[[float, float], Any]) -> Answer:
    """An answer that compares the whole and the rest in another way."""

    def answer(scores: np.ndarray, predict: Predict, words: list[str], share: float) -> Any:
        return compare(predict(words), predict(_kept(words, _best(scores)[: _gone(words, share)])))

    return answer


def _popped(words: list[str], top: list[int]) -> list[str]:
    """Taken out one after another, by places that no longer hold."""
    left = list(words)
    for place in top:
        left.pop(place)
    return left


_lowest = _ordered(lambda scores: np.argsort(scores, kind="stable"))
_largest_size = _ordered(lambda scores: np.argsort(-np.abs(scores), kind="stable"))
_last_of_equals = _ordered(lambda scores: np.argsort(scores, kind="stable")[::-1])
_from_the_front = _ordered(lambda scores: np.arange(len(scores)))
_ranks_as_places = _ordered(lambda scores: np.argsort(_best(scores), kind="stable"))
_positive_only = _ordered(lambda scores: [i for i in _best(scores) if scores[i] > 0])
_cut_down = _counted(lambda n, share: int(share * n + 1e-9))
_at_least_one = _counted(lambda n, share: max(1, int(share * n + 1e-9)))
_to_the_nearest = _counted(lambda n, share: round(share * n))
_rounded_up_too_far = _counted(lambda n, share: int(np.ceil(share * n)))
_one_more = _counted(lambda n, share: int(share * n + 1e-9) + 1)
_best_word = _counted(lambda n, share: 1)
_share_that_stays = _counted(lambda n, share: n - int(np.ceil(share * n - 1e-9)))
_every_occurrence = _removed(lambda words, top: [word for word in words if word not in {words[i] for i in top}])
_blanked = _removed(lambda words, top: ["[MASK]" if i in top else word for i, word in enumerate(words)])
_stale_places = _removed(_popped)
_sufficiency = _removed(lambda words, top: [words[i] for i in sorted(top)])
_turned_round = _compared(lambda whole, rest: rest - whole)
_rest_alone = _compared(lambda whole, rest: rest)
_size_alone = _compared(lambda whole, rest: abs(whole - rest))
_relative = _compared(lambda whole, rest: (whole - rest) / whole)


def _all_equal_ones(scores: np.ndarray, predict: Predict, words: list[str], share: float) -> float:
    if not words:
        return 0.0
    edge = np.sort(scores)[::-1][_gone(words, share) - 1]
    return predict(words) - predict([word for word, score in zip(words, scores, strict=True) if score < edge])


def _promised(scores: np.ndarray, predict: Predict, words: list[str], share: float) -> float:
    return float(scores[_best(scores)[: _gone(words, share)]].sum())


def _one_at_a_time(scores: np.ndarray, predict: Predict, words: list[str], share: float) -> float:
    return sum(predict(words) - predict(_kept(words, [i])) for i in _best(scores)[: _gone(words, share)])


def _by_falling_score(scores: np.ndarray, predict: Predict, words: list[str], share: float) -> float:
    rest = [words[i] for i in _best(scores)[_gone(words, share) :]]
    return predict(words) - predict(rest)


EXERCISE = Exercise(
    reference=comprehensiveness,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_lowest, "You take the lowest scores away. The highest should go."),
        WrongFunction(_largest_size, "You rank by size, so a word that speaks against the class goes. Keep the sign."),
        WrongFunction(_last_of_equals, "Of equal scores the last goes first with you. The first one should."),
        WrongFunction(_from_the_front, "You take the first words of the text. The scores have no effect."),
        WrongFunction(
            _ranks_as_places, "You use ranks as places. One argsort gives places, the second one gives ranks."
        ),
        WrongFunction(
            _positive_only, "You never take a word whose score is not above 0. The number of words is fixed."
        ),
        WrongFunction(
            _all_equal_ones, "You take all words at the threshold, so too many go. Part equal ones by place."
        ),
        WrongFunction(_cut_down, "You round the number of words down. Round it up."),
        WrongFunction(_at_least_one, "You round down, but to 1 at least. Round up, for all shares."),
        WrongFunction(_to_the_nearest, "You round to the nearest number of words. Round up."),
        WrongFunction(_rounded_up_too_far, "7.000000000000001 words become 8 with you. Take 1e-9 off first."),
        WrongFunction(_one_more, "You cut down and add 1, so a whole number of words becomes one more."),
        WrongFunction(_best_word, "Only one word goes, whatever the share."),
        WrongFunction(_share_that_stays, "`share` is what goes. With you so many stay, and the others go."),
        WrongFunction(_every_occurrence, "A word that stands twice goes twice. Take places away, not words."),
        WrongFunction(
            _blanked, "You put something in the place of a word. Leave it out: its neighbours come together."
        ),
        WrongFunction(_by_falling_score, "The rest is in the order of the scores. Leave it in the order of the text."),
        WrongFunction(
            _stale_places, "After the first word is out, the places of the others have moved. Choose all, then remove."
        ),
        WrongFunction(_sufficiency, "You ask about the top words alone: this is sufficiency. Ask about the rest."),
        WrongFunction(_turned_round, "Your sign is turned round. Take the whole less the rest."),
        WrongFunction(_rest_alone, "This is what the rest gives. Subtract it from what the whole gives."),
        WrongFunction(_size_alone, "You take the absolute value. Below 0 means that the model is surer without them."),
        WrongFunction(_relative, "You divide by the probability of the whole. The plain difference is asked."),
        WrongFunction(_promised, "You add up the scores. They only promise a fall: ask the model."),
        WrongFunction(_one_at_a_time, "You remove one word at a time and add up. Remove all of them together."),
    ),
)
