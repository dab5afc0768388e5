"""Faithfulness: other right answers pass, sly ones do not, references agree with the library and scipy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from answers import SEED, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from toy_games import tangled

from course_lib import explain
from course_lib.exercises import reference
from course_lib.exercises.catalogue import find
from course_lib.exercises.topics import faithfulness
from course_lib.exercises.topics.faithfulness import NotWords, ToyClassifier, ToyLogOdds

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


def interval_by_loop(one: np.ndarray, other: np.ndarray, draws: np.ndarray) -> list[float]:
    means = sorted(float(np.mean([one[i] - other[i] for i in row])) for row in draws)
    low, high = (np.interp(q * (len(means) - 1), range(len(means)), means) for q in (0.025, 0.975))
    return [float(np.mean(one) - np.mean(other)), float(low), float(high)]


def ranking_by_pandas(words: list[list[str]], scores: list[np.ndarray], least: int) -> list[tuple[str, float]]:
    rows = [(i, *pair) for i, (names, numbers) in enumerate(zip(words, scores, strict=True))
            for pair in zip(names, numbers, strict=True)]  # fmt: skip
    totals = pd.DataFrame(rows, columns=["text", "word", "score"]).groupby(["word", "text"])["score"].sum()
    table = totals.groupby("word").agg(["mean", "size"]).query("size >= @least")
    table = table.assign(size=table["mean"].abs()).sort_values("size", ascending=False, kind="stable")
    return list(table["mean"].items())


def effect_one_by_one(log_odds: Callable[..., Any], texts: list[str], word: str) -> list[float]:
    effects = []
    for text in texts:
        words = text.split()
        if word in words:
            rest = " ".join(w for w in words if w != word)
            effects.append(log_odds([text])[0] - log_odds([rest])[0])
        else:
            words.insert(len(words) // 2, word)
            effects.append(log_odds([" ".join(words)])[0] - log_odds([text])[0])
    return effects


def harm_by_probabilities(log_odds: Callable[..., Any], texts: list[str], labels: np.ndarray, word: str) -> Any:
    harm = []
    for text, label in zip(texts, labels, strict=True):
        if word in text.split():
            p = [1 / (1 + np.exp(-log_odds([some])[0])) for some in (text, " ".join(set_aside(text, word)))]
            loss = [-np.log(q if label else 1 - q) for q in p]
            harm.append(loss[0] - loss[1])
    return np.array(harm)


def set_aside(text: str, word: str) -> list[str]:
    return [other for other in text.split() if other != word]


def holm_by_loop(harms: list[np.ndarray], signs: np.ndarray) -> list[float]:
    p_values = [(1 + sum(float(row[: len(harm)] @ harm) >= float(harm.sum()) for row in signs)) / (1 + len(signs))
                for harm in harms]  # fmt: skip
    adjusted, largest = [0.0] * len(harms), 0.0
    for rank, at in enumerate(sorted(range(len(harms)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(harms) - rank) * p_values[at]))
        adjusted[at] = largest
    return adjusted


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """The q for which (hits / n - q)^2 = z^2 q (1 - q) / n."""
    low, high = np.sort(np.roots([1 + z**2 / n, -2 * hits / n - z**2 / n, (hits / n) ** 2]).real)
    return float(low), float(high)


def rate_by_roots(words: list[list[str]], scores: list[np.ndarray], word: str) -> list[float]:
    hits = []
    for names, numbers in zip(words, scores, strict=True):
        if word in names:
            highest = max(numbers)
            hits.append({names[i] for i, number in enumerate(numbers) if number == highest} == {word})
    return [float(np.mean(hits)), *wilson(sum(hits), len(hits))]


RIGHT: dict[str, list[Answer]] = {
    "comprehensiveness": [fall_by_pairs],
    "paired_interval": [interval_by_loop],
    "rank_agreement": [agreement_by_scipy, agreement_of_the_library],
    "rank_words": [ranking_by_pandas],
    "counterfactual_effect": [effect_one_by_one],
    "shortcut_harm": [harm_by_probabilities],
    "prove": [holm_by_loop],
    "detection_rate": [rate_by_roots],
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
    "prove": st.builds(
        lambda random, sizes: (
            [random.integers(-8, 9, size) / 4 for size in sizes], random.choice([-1, 1], size=(59, 6))
        ),
        *(SEED, st.lists(st.integers(0, 6), min_size=1, max_size=5)),
    ),
}  # fmt: skip

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
    "paired_interval": [
        lambda one, other, draws: interval_by_loop(one, other, draws[:50]),
        lambda one, other, draws: interval_by_loop(one[:9], other[:9], np.minimum(draws, 8)),
        ("[0.025, 0.975]", "[0.03, 0.97]"),
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
    "rank_words": [
        ("float(number)", "round(float(number), 1)"),
        ("-abs(pair[1]), pair[0]", "-abs(pair[1]), pair[1]"),
        lambda words, scores, least: ranking_by_pandas(words, scores, least)[:5],
        lambda words, scores, least: ranking_by_pandas(words, scores, max(least, 2)),
    ],
    "counterfactual_effect": [
        ("len(words) // 2", "(len(words) + 1) // 2"),
        ("len(words) // 2", "min(len(words) // 2, 1)"),
        ("other != word", 'other != word and other != word + "s"'),
    ],
    "shortcut_harm": [
        ("np.logaddexp(0, -side * present)", "np.maximum(0, -side * present)"),
        ("if word in text.split()", "if word in text.split()[:3]"),
        ("counterfactual_effect(log_odds, held, word)", "np.abs(counterfactual_effect(log_odds, held, word))"),
    ],
    "prove": [
        ("signs[:, : len(harm)]", "signs[:50, : len(harm)]"),
        ("signs[:, : len(harm)] @ harm", "signs[:, -len(harm) or 12 :] @ harm"),
        ("np.minimum(1,", "np.minimum(0.999,"),
        lambda harms, signs: holm_by_loop(harms[:3], signs) + [1.0] * (len(harms) - 3),
    ],
    "detection_rate": [
        ("z**2 / (4 * n**2)", "z**2 / (4 * n)"),
        ("1.96", "2"),
        lambda words, scores, word: rate_by_roots(words, [np.round(some) for some in scores], word),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones

MISTAKES: Mistakes = {
    "paired_interval": [(lambda *given: (0.0, 0.0, 0.0), "The mean difference should be")],
    "rank_words": [
        (lambda *given: {}, "a list of pairs"),
        (lambda *given: [(1.0, "good")], "a word and a number, in this order"),
        (lambda *given: [("kettle", 1.0)], "'kettle' is in fewer than 1 texts, or in none."),
        (lambda *given: [("good", 0.5)], "'bad' is in 1 texts or more, but not in your list."),
        (("-abs(pair[1]), pair[0]", "pair[0]"), "The order should be ['bad', 'good', 'film']."),
    ],
    "counterfactual_effect": [(lambda *given: np.zeros(len(given[1])), "The effect of 'kettle' on 'good kettle film'")],
    "shortcut_harm": [(("np.logaddexp(0, -side * absent)", "0"), "You return the loss with the word only.")],
    "prove": [
        (lambda harms, signs: np.zeros(len(harms)), "Yours of word 0 is 0."),
        (lambda harms, signs: np.full(len(harms), 0.5), "The adjusted p-value of word 0 should be 0.4, not 0.5."),
    ],
    "detection_rate": [(lambda *given: (1.0, 0.0, 1.0), "The lower end should be")],
    "comprehensiveness": [
        (lambda *given: 7, "differ by no more than 1, but your result is 7."),
        (
            lambda *given: fall_by_pairs(*given[:3], 0.4),
            "With the share 0.3, 1 of 3 words should be removed. You seem to remove 2.",
        ),
        (lambda *given: 0.5, "All words give 0.851953. The result should be 0.289776, not 0.5."),
    ],
    "rank_agreement": [
        (lambda one, other: 2.0, "A correlation lies between -1 and 1. Yours is 2."),
        (lambda one, other: math.nan, "The result is nan or infinity, but both arrays have an order."),
        (('float("nan")', "0.5"), "return nan, not 0.5."),
        (lambda one, other: 0.1, "are [3, 1, 2] and [3, 1.5, 1.5]. Their correlation is 0.866025"),
    ],
}

TestExercises = judged((*faithfulness.EXERCISES, *faithfulness.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

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


def test_the_toy_model_of_the_build_depends_on_the_place() -> None:
    model = find("shortcut_harm").cases()[0]["log_odds"]
    assert isinstance(model, ToyLogOdds) and repr(model) == "<log-odds of positive>"
    assert model(["", "good", "film good", "unknown"]).tolist() == [0, 1.5, 0.25 + 1.5 * 1.25, 0]
    for wrong in ("good film", [["good", "film"]]):
        with pytest.raises(NotWords, match="log_odds takes a list of strings"):
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
    assert round(reference.rank_agreement(np.array([0.3, 0.1, 0.2]), np.array([5, 1, 1])), 3) == 0.866
    assert [rankdata([0.3, 0.1, 0.2]).tolist(), rankdata([5, 1, 1]).tolist()] == [[3, 1, 2], [3, 1.5, 1.5]]
