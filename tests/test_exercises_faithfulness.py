"""Faithfulness: other right answers pass, sly ones do not, references agree with the library and scipy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from answers import SEED, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from toy_games import tangled

from course_lib import explain
from course_lib.exercises import reference
from course_lib.exercises.catalogue import find
from course_lib.exercises.topics import faithfulness
from course_lib.exercises.topics.faithfulness import NotWords, ToyClassifier

# ---------------------------------------------------------------- other right answers


def fall_by_pairs(scores: np.ndarray, predict: Callable[..., float], words: list[str], share: float) -> float:
    order = sorted(range(len(words)), key=lambda i: (-scores[i], i))
    gone = math.ceil(round(share * len(words), 6))
    left = list(words)
    for i in sorted(order[:gone], reverse=True):
        del left[i]
    return predict(words) - predict(left)


def agreement_by_scipy(one: np.ndarray, other: np.ndarray) -> Any:
    return spearmanr(one, other).statistic if np.ptp(one) * np.ptp(other) > 0 else np.nan


def agreement_of_the_library(one: np.ndarray, other: np.ndarray) -> float:
    return explain.rank_correlation(one, other)


RIGHT: dict[str, list[Answer]] = {
    "comprehensiveness": [fall_by_pairs],
    "rank_agreement": [agreement_by_scipy, agreement_of_the_library],
}
PAIRS = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=12)
TOY = find("comprehensiveness").cases()[0]["predict"]
DRAWN = {
    "comprehensiveness": st.builds(
        lambda random, words, share: (random.integers(-2, 3, len(words)) / 4, TOY, words, share),
        *(
            SEED,
            st.lists(st.sampled_from(["good", "dull", "not", "very", "film"])),
            st.sampled_from([0.1, 0.3, 0.5, 1]),
        ),
    ),
    "rank_agreement": PAIRS.map(lambda pairs: tuple(np.array(pairs, dtype=float).T)),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "comprehensiveness": [
        ("ceil(share", "ceil(min(share, 0.5)"),
        ("ceil(share", "ceil(max(share, 0.26)"),
        ("argsort(-scores", "argsort(-np.maximum(scores, 0)"),
        ("argsort(-scores", "argsort(-scores.round()"),
        lambda scores, predict, words, share: max(fall_by_pairs(scores, predict, words, share), -0.1),
        lambda scores, predict, words, share: min(fall_by_pairs(scores, predict, words, share), 0.4),
        lambda scores, predict, words, share: fall_by_pairs(scores, predict, words, share) if words else math.nan,
        ("- predict(rest)", "- predict(sorted(rest))"),
    ],
    "rank_agreement": [
        lambda one, other: agreement_by_scipy(one.round(1), other),
        lambda one, other: agreement_by_scipy(one[:9], other[:9]),
        lambda one, other: agreement_by_scipy(np.maximum(one, 0), np.maximum(other, 0)),
        lambda one, other: agreement_by_scipy(one, other) if len(one) > 2 else 0.0,
        lambda one, other: agreement_by_scipy(one, other) if len(one) > 1 else 1.0,
        lambda one, other: 1.0 if one.tolist() == other.tolist() else agreement_by_scipy(one, other),
        lambda one, other: agreement_by_scipy(one, rankdata(other, method="ordinal")),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones

MISTAKES: Mistakes = {
    "comprehensiveness": [
        (lambda *given: 7, "differ by no more than 1, but your result is 7."),
        (lambda *given: fall_by_pairs(*given[:3], 0.4), "with the share 0.3. It looks as if 2 do."),
        (lambda *given: 0.5, "gives 0.851953. The result should be 0.289776, not 0.5."),
    ],
    "rank_agreement": [
        (lambda one, other: 2.0, "A correlation lies between -1 and 1. Yours is 2."),
        (lambda one, other: math.nan, "The result is nan or infinity, but both arrays have an order."),
        (('float("nan")', "0.5"), "return nan, not 0.5."),
        (lambda one, other: 0.1, "are [3, 1, 2] and [3, 1.5, 1.5]. Their correlation is 0.866025"),
    ],
}

TestExercises = judged(faithfulness.EXERCISES, RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- what the learners' functions are called with


def test_the_toy_classifier_depends_on_the_order() -> None:
    model = find("comprehensiveness").cases()[0]["predict"]
    assert repr(model) == "<p(positive)>"
    assert model == find("comprehensiveness").cases()[0]["predict"]
    assert model([]) == 0.5
    assert model(["not", "good"]) == pytest.approx(1 - model(["good"]))
    assert model(["very", "nice"]) == model(["good"]) == ToyClassifier((("good", 1.5),))(("a", "good"))
    for wrong in ("good film", [1, 2]):
        with pytest.raises(NotWords, match="predict takes a list of words"):
            model(wrong)


# ---------------------------------------------------------------- references against the library


@pytest.mark.parametrize("share", [0.01, 0.2, 0.34, 0.5, 1.0])
def test_comprehensiveness_is_that_of_the_library(share: float) -> None:
    texts = ["one little film that nobody has seen", "good", "very good film thing", "..."]
    model = tangled()

    def predict(words: Sequence[str]) -> float:
        return float(model.predict_proba([" ".join(words)])[0, 1])

    scored = explain.explain(model, texts, "occlusion", target="yes")
    theirs = explain.comprehensiveness(model, scored, shares=[share])
    ours = [reference.comprehensiveness(s.scores, predict, [w.text for w in s.tokens], share) for s in scored]
    assert ours == pytest.approx(theirs.tolist(), abs=1e-12)
    assert len(set(ours)) > 2


# ---------------------------------------------------------------- what the texts say


def test_the_worked_examples_of_the_tasks() -> None:
    said = {"a good film": 0.9, "a film": 0.6}
    scores, words = np.array([0, 0.4, 0.1]), ["a", "good", "film"]
    fall = reference.comprehensiveness(scores, lambda some: said[" ".join(some)], words, 0.3)
    assert fall == pytest.approx(0.3)
    assert 0.28 * 25 == 7.000000000000001
    assert round(reference.rank_agreement(np.array([0.3, 0.1, 0.2]), np.array([5, 1, 1])), 3) == 0.866
    assert [rankdata([0.3, 0.1, 0.2]).tolist(), rankdata([5, 1, 1]).tolist()] == [[3, 1, 2], [3, 1.5, 1.5]]
