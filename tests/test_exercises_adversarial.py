"""Adversarial examples: other right answers pass, sly ones do not, references agree with torch and the attacks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from answers import SEED, SIZES, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st

from course_lib.attacks.attack import AttackState
from course_lib.attacks.greedy import Greedy
from course_lib.attacks.problem import QueryResult
from course_lib.attacks.report import AttackReport, AttackResult
from course_lib.defenses.ensembles import Ensemble
from course_lib.exercises import check, reference
from course_lib.exercises.catalogue import find
from course_lib.exercises.topics import adversarial, defenses
from course_lib.exercises.topics.adversarial import ToyClassifier
from course_lib.text.document import Document

# ---------------------------------------------------------------- other right answers


def rate_in_a_loop(labels: Any, before: Any, after: Any) -> float:
    outcomes = [wrong != label for label, right, wrong in zip(labels, before, after, strict=True) if right == label]
    return sum(outcomes) / len(outcomes) if outcomes else math.nan


def rate_of_the_course(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    def result(label: int, before: int, after: int) -> AttackResult:
        status = "skipped" if before != label else "succeeded" if after != label else "failed"
        return AttackResult("", "", status, label, before, after, 1, 1, ())

    return AttackReport("toy", tuple(map(result, labels, before, after)), 0.0, 0.0, 0).success_rate


def greedy_of_the_course(words: list[str], candidates: list[list[str]], score: Any, threshold: float = 0.5) -> Any:
    """What `Greedy("deletion")` finds when it is queried in this exercise's terms."""
    if not words or score(words) > threshold:  # the course skips these
        return words
    document = Document.of(" ".join(words))
    problem: Any = SimpleNamespace(
        original=document,
        score=score(words),
        positions=lambda _: list(range(len(words))),
        candidates=lambda current, place: [current.replace(place, word) for word in candidates[place]],
    )
    state = AttackState(document, 0, np.zeros(2, np.float32), problem.score, skipped=False)
    state.start(Greedy("deletion").queries(problem))
    while state.query:
        scores = np.array([score(list(one.words)) for one in state.query.documents])
        state.receive(QueryResult(scores, scores > threshold, []), len(scores), None)
    return list(state.best.words)


def hotflip_by_differences(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    scores = np.einsum("th,tvh->tv", gradient, table[None] - table[ids][:, None])
    return np.where(np.arange(len(table)) == ids[:, None], -np.inf, scores)


def fgsm_by_torch(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> Any:
    place, slope = torch.from_numpy(embedding), torch.from_numpy(gradient)
    if norm == "linf":
        return place + epsilon * slope.sign()
    length = torch.linalg.vector_norm(slope)
    return place if length == 0 else place + epsilon * slope / length


def vote_by_fractions(probabilities: np.ndarray) -> np.ndarray:
    """All probabilities together weigh less than one vote."""
    members, _, classes = probabilities.shape
    counts = (probabilities.argmax(2)[..., None] == np.arange(classes)).sum(0)
    return (counts + probabilities.sum(axis=0) / (members + 1)).argmax(axis=1).astype(np.int32)


@dataclass(frozen=True)
class Told:
    """A classifier with given probabilities, (n, classes)."""

    table: np.ndarray

    @property
    def classes_(self) -> np.ndarray:
        return np.arange(self.table.shape[1])

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        return self.table[: len(texts)]

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        return self.predict_proba(texts).argmax(1)


def vote_of_the_course(probabilities: np.ndarray) -> np.ndarray:
    ensemble = Ensemble([Told(table) for table in probabilities], how="vote")
    return ensemble.predict([f"text {i}" for i in range(probabilities.shape[1])])


RIGHT: dict[str, list[Answer]] = {
    "attack_success_rate": [rate_in_a_loop, rate_of_the_course],
    "greedy_search": [greedy_of_the_course],
    "hotflip_scores": [hotflip_by_differences],
    "fgsm": [fgsm_by_torch],
    "majority_vote": [vote_by_fractions, vote_of_the_course],
}
WEIGHTS = find("greedy_search").cases()[0]["score"].weights
KNOWN = [word for word, _ in WEIGHTS] + ["not", "not", "a", "so"]


def drawn_search(random: np.random.Generator, n: int, label: int, threshold: float) -> tuple[Any, ...]:
    candidates = [random.choice(KNOWN, random.integers(0, 4)).tolist() for _ in range(n)]
    return random.choice(KNOWN, n).tolist(), candidates, ToyClassifier(WEIGHTS, label), threshold


DRAWN = {
    "attack_success_rate": st.builds(lambda random, n: tuple(random.integers(0, 3, (3, n))), SEED, SIZES),
    "greedy_search": st.builds(drawn_search, SEED, SIZES, st.integers(0, 1), st.sampled_from([0.3, 0.5, 0.8])),
    "hotflip_scores": st.builds(
        lambda random, n, vocabulary, hidden: (
            random.normal(size=(n, hidden)),
            random.normal(size=(vocabulary, hidden)),
            random.integers(0, vocabulary, n),
        ),
        *(SEED, SIZES, SIZES, SIZES),
    ),
    "fgsm": st.builds(
        lambda random, n, hidden, *rest: (*random.normal(size=(2, n, hidden)), *rest),
        *(SEED, SIZES, SIZES, st.floats(0.01, 2), st.sampled_from(["linf", "l2"])),
    ),
    "majority_vote": st.builds(
        lambda random, members, n, classes: (random.dirichlet(np.ones(classes), (members, n)),),
        *(SEED, SIZES, SIZES, st.integers(2, 4)),
    ),
}

# ---------------------------------------------------------------- sly answers, right on most cases


def exhaustive(words: list[str], candidates: list[list[str]], score: Any, threshold: float = 0.5) -> list[str]:
    """The text with the fewest exchanges that passes the threshold, else the best of all."""
    choices = [[word, *others] for word, others in zip(words, candidates, strict=True)]
    texts = sorted(itertools.product(*choices), key=lambda text: sum(map(str.__ne__, text, words)))
    passing = [text for text in texts if score(list(text)) > threshold]
    return list(passing[0] if passing else max(texts, key=lambda text: score(list(text))))


SLY: dict[str, list[Answer | Edit]] = {
    "attack_success_rate": [
        lambda labels, before, after: rate_in_a_loop(labels > 0, before > 0, after > 0),
        ('float("nan")', "0.5"),
        lambda labels, before, after: rate_in_a_loop(labels[:20], before[:20], after[:20]),
        lambda labels, before, after: rate_in_a_loop(before, labels, after) if len(labels) < 4 else 0.75,
        lambda labels, before, after: min(rate_in_a_loop(labels, before, after), 0.9),
    ],
    "greedy_search": [
        exhaustive,
        lambda words, *given: reference.greedy_search(reference.greedy_search(words, *given), *given),
        ("for word in candidates[i]", "for word in candidates[i][:2]"),
        ("best_score > threshold", "best_score > threshold - 1e-9"),
        ("best_score > threshold", "best_score > min(threshold, 0.5)"),
        ("best_score > threshold", "best_score > max(threshold, 0.5)"),
        ("return best", "return words"),
    ],
    "hotflip_scores": [
        ("= -np.inf", "= -1e9"),
        ("gradient @", "gradient[::-1] @"),
        ("toward[places, ids]", "toward[places, np.sort(ids)]"),
        ("return scores", "return np.maximum(scores, -1)"),
        ("return scores", "return scores + 5e-6"),
        ("return scores", "return np.full(scores.shape, -np.inf)"),
    ],
    "fgsm": [
        ("epsilon * direction", "0.1 * direction"),
        ("epsilon * direction", "min(epsilon, 1) * direction"),
        ("np.sign(gradient)", "np.sign(np.where(abs(gradient) < 1e-6, 0, gradient))"),
        ("np.sign(gradient)", "np.where(gradient >= 0, 1, -1)"),
        ("embedding + epsilon", "np.maximum(embedding, -1) + epsilon"),
    ],
    "majority_vote": [
        lambda p: vote_by_fractions(p[:3]),
        lambda p: vote_by_fractions(p[:, :, :2]),
        lambda p: vote_by_fractions(p.round(1)),
        ("return winners", "return winners.astype(float)"),
        ("return winners", "return winners[:, None]"),
        ("return winners", "return winners.astype(bool)"),
        ("return winners", "return (counts + probabilities.sum(axis=0)).argmax(axis=1)"),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def columns_forbidden(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    scores = np.einsum("th,tvh->tv", gradient, table[None] - table[ids][:, None])
    return np.where(np.isin(np.arange(len(table)), ids), -np.inf, scores)


def fallen_accuracy(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    return float(((before == labels).astype(int) - (after == labels)).sum() / len(labels))


def averaged(probabilities: np.ndarray) -> list[int]:
    return [int(np.argmax(table.sum(axis=0))) for table in np.swapaxes(probabilities, 0, 1)]


def first_candidates(words: list[str], candidates: list[list[str]], score: Any, threshold: float) -> list[str]:
    return [*words[:-1], *(candidates[-1][:1] if words else [])]


MISTAKES: Mistakes = {
    "attack_success_rate": [
        (fallen_accuracy, "the drop in accuracy"),
        (lambda *given: 0.8, "4 were right before. The rate should be 0.75, not 0.8."),
    ],
    "greedy_search": [
        (lambda words, *rest: [*words[:-1], "odder"], "Place 3 holds 'odder', which is not among"),
        (lambda words, *rest: words[1:], "The result has 3 words; it should have 4."),
        (first_candidates, "The score ends at"),
    ],
    "hotflip_scores": [(columns_forbidden, "forbidden in every place")],
    "fgsm": [
        (lambda x, g, epsilon, norm: x + 2 * epsilon * np.sign(g), "change of a number is 0.2; epsilon is 0.1."),
        (("else np.zeros_like(gradient)", "else 1"), "With a gradient of zero no direction leads"),
    ],
    "majority_vote": [
        (averaged, "You average the probabilities"),
        (lambda p: 0 * vote_by_fractions(p) + 1, "votes: class 0: 2, class 1: 1. Your class 1 should be 0."),
        (
            lambda p: np.where(p.shape[1] == 3, 1 - vote_by_fractions(p), vote_by_fractions(p)),
            "Text 0 has these votes (a tie): class 0: 1, class 1: 1.",
        ),
    ],
}

TestExercises = judged((*adversarial.EXERCISES, *defenses.EXERCISES), RIGHT, SLY, MISTAKES, DRAWN)


@pytest.mark.parametrize("shift", [2e-6, 5e-6, 2e-5, 1.0])
def test_a_score_that_is_hardly_off_is_refused_with_its_place(shift: float) -> None:
    """Close to the tolerance the judge must neither pass nor fail itself."""

    def off(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
        scores = hotflip_by_differences(gradient * np.array([0.0, 1.0] + [1.0] * (table.shape[1] - 2)), table, ids)
        return scores + shift

    verdict = check.hotflip_scores(off)
    assert verdict.message.startswith("The shape is right, but the score at place 0 for token"), verdict


def test_the_toy_classifier_is_shown_alike_in_every_run() -> None:
    score = find("greedy_search").cases()[0]["score"]
    assert repr(score) == "<1 - p(positive)>"
    assert score == find("greedy_search").cases()[0]["score"]
    assert score([]) == 0.5
    assert score(["not", "good"]) == pytest.approx(1 - score(["good"]))
    assert ToyClassifier((("good", 1.25),), label=0)(["good"]) == pytest.approx(1 - score(["good"]))


# ---------------------------------------------------------------- what references promise


def test_the_number_of_queries() -> None:
    """One for the text, one for each word, one for each candidate: the quiz's 181 for 20 words with 8 candidates."""
    queries = 0

    def score(words: list[str]) -> float:
        nonlocal queries
        queries += 1
        return 0.1

    words, candidates = ["w"] * 20, [[f"c{i}" for i in range(8)]] * 20
    assert reference.greedy_search(words, candidates, score) == words
    assert queries == 181 == 1 + 20 + 20 * 8
    assert pytest.approx(1.2e19, rel=0.02) == 9**20


def test_the_worked_examples_of_the_tasks() -> None:
    place, slope = np.array([[1.0, 2.0]]), np.array([[3.0, -4.0]])
    np.testing.assert_allclose(reference.fgsm(place, slope, 0.1, "linf"), [[1.1, 1.9]])
    np.testing.assert_allclose(reference.fgsm(place, slope, 0.1, "l2"), [[1.06, 1.92]])
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    scores = reference.hotflip_scores(np.array([[1.0, 3.0]]), corners, np.array([1]))
    assert scores.tolist() == [[-1.0, -np.inf, 5.0]]
    labels, before, after = np.array([[1, 1, 0, 0, 1], [1, 1, 0, 1, 1], [0, 1, 1, 1, 0]])
    assert reference.attack_success_rate(labels, before, after) == 0.75
    tables = np.array([[[0.6, 0.4]], [[0.6, 0.4]], [[0.05, 0.95]]])
    assert reference.majority_vote(tables).tolist() == [0]
    assert tables[:, 0].sum(axis=0).argmax() == 1
    assert reference.majority_vote(tables[[0, 2]]).tolist() == [1]
