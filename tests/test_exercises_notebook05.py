"""Exercises of notebook 05: other right answers pass, sly ones do not, references agree with torch and the attacks."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from answers import judging
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.attacks.attack import AttackState
from course_lib.attacks.greedy import Greedy
from course_lib.attacks.problem import QueryResult
from course_lib.attacks.report import AttackReport, AttackResult
from course_lib.defenses.ensembles import Ensemble
from course_lib.exercises import check, reference
from course_lib.exercises.catalogue import find
from course_lib.exercises.topics import adversarial
from course_lib.exercises.topics.adversarial import ToyClassifier
from course_lib.text.document import Document

# ---------------------------------------------------------------- alternative right answers


def fgsm_by_torch(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> Any:
    place, slope = torch.from_numpy(embedding), torch.from_numpy(gradient)
    if norm == "linf":
        return place + epsilon * slope.sign()
    length = torch.linalg.vector_norm(slope)
    return place if length == 0 else place + epsilon * slope / length


def fgsm_in_loops(embedding: Any, gradient: Any, epsilon: float, norm: str) -> list[list[float]]:
    length = math.sqrt(sum(g * g for row in gradient for g in row))

    def direction(g: float) -> float:
        if g == 0:
            return 0.0
        return math.copysign(1, g) if norm == "linf" else g / length

    return [
        [x + epsilon * direction(g) for x, g in zip(xs, gs, strict=True)]
        for xs, gs in zip(embedding, gradient, strict=True)
    ]


def hotflip_by_differences(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    scores = np.einsum("th,tvh->tv", gradient, table[None] - table[ids][:, None])
    return np.where(np.arange(len(table)) == ids[:, None], -np.inf, scores)


def hotflip_in_loops(gradient: Any, table: Any, ids: Any) -> list[list[float]]:
    return [
        [-math.inf if new == old else float(np.dot(table[new] - table[old], slope)) for new in range(len(table))]
        for slope, old in zip(gradient, ids, strict=True)
    ]


def greedy_in_loops(words: list[str], candidates: list[list[str]], score: Any, threshold: float = 0.5) -> list[str]:
    weights = {}
    for i in range(len(words)):
        rest = words.copy()
        del rest[i]
        weights[i] = score(rest)
    now, best = words.copy(), score(words)
    while weights and best <= threshold:
        place = max(weights, key=weights.__getitem__)
        del weights[place]
        winner = now[place]
        for word in candidates[place]:
            tried = score([*now[:place], word, *now[place + 1 :]])
            if tried > best:
                best, winner = tried, word
        now[place] = winner
    return now


def greedy_by_arrays(words: list[str], candidates: list[list[str]], score: Any, threshold: float = 0.5) -> Any:
    importance = np.array([score(words[:i] + words[i + 1 :]) for i in range(len(words))])
    current = tuple(words)
    for i in np.argsort(-importance, kind="stable"):
        if score(list(current)) > threshold:
            return current
        texts = [current] + [(*current[:i], word, *current[i + 1 :]) for word in candidates[i]]
        current = texts[int(np.argmax([score(list(text)) for text in texts]))]
    return current


def rate_in_a_loop(labels: Any, before: Any, after: Any) -> float:
    outcomes = [wrong != label for label, right, wrong in zip(labels, before, after, strict=True) if right == label]
    return sum(outcomes) / len(outcomes) if outcomes else math.nan


def rate_by_mean(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Any:
    attacked = np.flatnonzero(before == labels)
    return np.mean(after[attacked] != labels[attacked])  # the mean of nothing is nan


def vote_by_fractions(probabilities: np.ndarray) -> np.ndarray:
    """As the course's Ensemble: all probabilities together weigh less than one vote."""
    members, _, classes = probabilities.shape
    counts = (probabilities.argmax(2)[..., None] == np.arange(classes)).sum(0)
    return (counts + probabilities.sum(axis=0) / (members + 1)).argmax(axis=1).astype(np.int32)


def vote_in_loops(probabilities: np.ndarray) -> list[int]:
    winners = []
    for text in range(probabilities.shape[1]):
        table = probabilities[:, text]
        votes = Counter(int(row.argmax()) for row in table)
        most = max(votes.values())
        leaders = sorted(c for c in votes if votes[c] == most)
        winners.append(max(leaders, key=lambda c: sum(row[c] for row in table)))
    return winners


RIGHT: dict[str, list[Callable[..., Any]]] = {
    "attack_success_rate": [rate_in_a_loop, rate_by_mean],
    "greedy_search": [greedy_in_loops, greedy_by_arrays],
    "hotflip_scores": [hotflip_by_differences, hotflip_in_loops],
    "fgsm": [fgsm_by_torch, fgsm_in_loops],
    "majority_vote": [vote_by_fractions, vote_in_loops],
}

# ---------------------------------------------------------------- sly answers, right on most cases


def greedy_twice(words: list[str], candidates: list[list[str]], score: Any, threshold: float = 0.5) -> list[str]:
    """Goes through the words a second time, so a word may be exchanged twice."""
    once = greedy_in_loops(words, candidates, score, threshold)
    return greedy_in_loops(once, candidates, score, threshold)


def exhaustive(words: list[str], candidates: list[list[str]], score: Any, threshold: float = 0.5) -> list[str]:
    """The text with the fewest exchanges that passes the threshold, else the best of all."""
    choices = [[word, *others] for word, others in zip(words, candidates, strict=True)]
    texts = sorted(itertools.product(*choices), key=lambda text: sum(map(str.__ne__, text, words)))
    passing = [text for text in texts if score(list(text)) > threshold]
    return list(passing[0] if passing else max(texts, key=lambda text: score(list(text))))


def two_candidates_at_most(words: list[str], candidates: list[list[str]], score: Any, threshold: float = 0.5) -> Any:
    return greedy_in_loops(words, [one[:2] for one in candidates], score, threshold)


SLY: dict[str, list[Callable[..., Any]]] = {
    "attack_success_rate": [
        lambda labels, before, after: round(rate_in_a_loop(labels, before, after), 2),
        lambda labels, before, after: rate_in_a_loop(labels > 0, before > 0, after > 0),
        lambda labels, before, after: np.nan_to_num(rate_by_mean(labels, before, after), nan=0.0),
        lambda labels, before, after: np.nan_to_num(rate_by_mean(labels, before, after), nan=0.5),
        lambda labels, before, after: [rate_in_a_loop(labels, before, after)],
        lambda labels, before, after: str(rate_in_a_loop(labels, before, after)),
        lambda labels, before, after: rate_in_a_loop(labels[:20], before[:20], after[:20]),
        lambda labels, before, after: rate_in_a_loop(before, labels, after) if len(labels) < 4 else 0.75,
        lambda labels, before, after: min(rate_in_a_loop(labels, before, after), 0.9),
    ],
    "greedy_search": [
        greedy_twice,
        exhaustive,
        two_candidates_at_most,
        lambda words, candidates, score, threshold=0.5: greedy_in_loops(words, candidates, score, threshold - 1e-9),
        lambda words, candidates, score, threshold=0.5: greedy_in_loops(words, candidates, score, min(threshold, 0.5)),
        lambda words, candidates, score, threshold=0.5: greedy_in_loops(words, candidates, score, max(threshold, 0.5)),
        lambda words, candidates, score, threshold=0.5: greedy_in_loops(words, candidates, score, threshold)[::-1],
        lambda words, candidates, score, threshold=0.5: words,
        lambda words, candidates, score, threshold=0.5: [(words, score(words))],
    ],
    "hotflip_scores": [
        lambda gradient, table, ids: np.nan_to_num(hotflip_by_differences(gradient, table, ids), neginf=-1e9),
        lambda gradient, table, ids: hotflip_by_differences(gradient, table, ids).round(2),
        lambda gradient, table, ids: np.maximum(hotflip_by_differences(gradient, table, ids), -1),
        lambda gradient, table, ids: hotflip_by_differences(gradient[::-1], table, ids),
        lambda gradient, table, ids: hotflip_by_differences(gradient, table, np.sort(ids)),
        lambda gradient, table, ids: hotflip_by_differences(gradient, table, ids)[:1],
        lambda gradient, table, ids: hotflip_by_differences(gradient, table, ids) + 5e-6,
        lambda gradient, table, ids: np.full((len(ids), len(table)), -np.inf),
    ],
    "fgsm": [
        lambda x, g, epsilon, norm: fgsm_by_torch(x, g, 0.1, norm),
        lambda x, g, epsilon, norm: fgsm_by_torch(x, g, min(epsilon, 1), norm),
        lambda x, g, epsilon, norm: fgsm_by_torch(x, g, epsilon, norm).round(decimals=2),
        lambda x, g, epsilon, norm: fgsm_by_torch(x, np.where(abs(g) < 1e-6, 0, g), epsilon, norm),
        lambda x, g, epsilon, norm: (
            x + epsilon * np.where(g >= 0, 1, -1) if norm == "linf" else fgsm_in_loops(x, g, epsilon, norm)
        ),
        lambda x, g, epsilon, norm: fgsm_by_torch(x, g, epsilon, norm)[:1],
        lambda x, g, epsilon, norm: fgsm_by_torch(x, g, epsilon, norm).T,
        lambda x, g, epsilon, norm: fgsm_by_torch(np.maximum(x, -1), g, epsilon, norm),
    ],
    "majority_vote": [
        lambda p: vote_by_fractions(p[:3]),
        lambda p: vote_by_fractions(p[:, :, :2]),
        lambda p: vote_by_fractions(p.round(1)),
        lambda p: vote_by_fractions(p)[::-1],
        lambda p: vote_by_fractions(p).astype(float),
        lambda p: vote_by_fractions(p)[:, None],
        lambda p: vote_by_fractions(p).astype(bool),
        lambda p: [str(c) for c in vote_by_fractions(p)],
        lambda p: ((p.argmax(2)[..., None] == np.arange(p.shape[2])).sum(0) + p.sum(0)).argmax(1),
    ],
}


# ---------------------------------------------------------------- mistakes in other words than the stored ones


def each_token_its_own(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> Any:
    slope = torch.from_numpy(gradient)
    if norm == "linf":
        return torch.from_numpy(embedding) + epsilon * slope.sign()
    return torch.from_numpy(embedding) + epsilon * torch.nn.functional.normalize(slope, dim=1)


def minus_the_step(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> Any:
    return 2 * embedding - np.array(fgsm_in_loops(embedding, gradient, epsilon, norm))


def own_token_at_zero(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return np.nan_to_num(hotflip_by_differences(gradient, table, ids), neginf=0.0)


def columns_forbidden(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    scores = np.einsum("th,tvh->tv", gradient, table[None] - table[ids][:, None])
    return np.where(np.isin(np.arange(len(table)), ids), -np.inf, scores)


def from_left_to_right(words: list[str], candidates: list[list[str]], score: Any, threshold: float = 0.5) -> list[str]:
    now = list(words)
    for place, choices in enumerate(candidates):
        if score(now) > threshold:
            return now
        options = [now, *([*now[:place], word, *now[place + 1 :]] for word in choices)]
        now = options[int(np.argmax([score(one) for one in options]))]
    return now


def without_end(words: list[str], candidates: list[list[str]], score: Any, threshold: float = 0.5) -> list[str]:
    return greedy_in_loops(words, candidates, score, 1.0)


def fallen_accuracy(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    return float(((before == labels).astype(int) - (after == labels)).sum() / len(labels))


def averaged(probabilities: np.ndarray) -> list[int]:
    return [int(np.argmax(table.sum(axis=0))) for table in np.swapaxes(probabilities, 0, 1)]


def first_of_the_counts(probabilities: np.ndarray) -> np.ndarray:
    votes = probabilities.argmax(axis=2).T
    return np.array([np.bincount(row).argmax() for row in votes])


MISTAKES: list[tuple[Callable[..., Any], str, str]] = [
    (each_token_its_own, "fgsm", "each token has its own length"),
    (minus_the_step, "fgsm", "You step downhill"),
    (own_token_at_zero, "hotflip_scores", "A token may stay itself, with the score 0"),
    (columns_forbidden, "hotflip_scores", "forbidden in every place"),
    (from_left_to_right, "greedy_search", "from left to right"),
    (without_end, "greedy_search", "You do not stop"),
    (fallen_accuracy, "attack_success_rate", "the fall of the accuracy"),
    (averaged, "majority_vote", "You average the probabilities"),
    (first_of_the_counts, "majority_vote", "A tie goes to the smallest class"),
]

(
    test_all_exercises_are_there,
    test_other_right_answers_pass,
    test_sly_wrong_answers_do_not_pass,
    test_a_mistake_written_in_another_way_is_recognised,
    test_references_agree_with_other_right_answers,
) = judging(adversarial.EXERCISES, RIGHT, SLY, MISTAKES, {})


def test_the_judges_say_what_they_see() -> None:
    long = check.fgsm(lambda x, g, epsilon, norm: x + 2 * epsilon * np.sign(g))
    assert long.message.startswith("The largest change of a number is 0.2; epsilon is 0.1."), long
    still = check.fgsm(lambda x, g, epsilon, norm: x + epsilon if not g.any() else fgsm_by_torch(x, g, epsilon, norm))
    assert still.message.startswith("With a gradient of zero no direction leads uphill"), still
    invented = check.greedy_search(lambda words, candidates, score, threshold: [*words[:-1], "terrible"])
    assert "At place 3 stands 'terrible', which is not among the candidates" in invented.message
    shorter = check.greedy_search(lambda words, candidates, score, threshold: words[1:])
    assert shorter.message.startswith("The result has 3 words; it should have 4."), shorter
    half = check.greedy_search(
        lambda words, candidates, score, threshold: [*words[:-1], *(candidates[-1][:1] if words else [])]
    )
    assert half.message.startswith("The score ends at"), half
    none = check.attack_success_rate(lambda *given: 0.0 if math.isnan(rate_in_a_loop(*given)) else rate_by_mean(*given))
    assert none.message.startswith("Where none was attacked you give 0."), none
    rate = check.attack_success_rate(lambda labels, before, after: 0.8)
    assert rate.message.startswith("Of 5 texts, 4 were right before. The rate should be 0.75, not 0.8."), rate
    tie = check.majority_vote(lambda p: np.where(p.shape[1] == 3, 1 - vote_by_fractions(p), vote_by_fractions(p)))
    assert tie.message.startswith("Text 0 has these votes (a tie): class 0: 1, class 1: 1."), tie
    clear = check.majority_vote(lambda p: 0 * vote_by_fractions(p) + 1)
    assert clear.message.startswith("Text 0 has these votes: class 0: 2, class 1: 1. Your class 1 should be 0."), clear


@pytest.mark.parametrize("shift", [2e-6, 5e-6, 2e-5, 1.0])
def test_a_score_that_is_hardly_off_is_refused_with_its_place(shift: float) -> None:
    """Close to the tolerance the judge must neither pass nor fail itself."""

    def off(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
        scores = hotflip_by_differences(gradient * np.array([0.0, 1.0] + [1.0] * (table.shape[1] - 2)), table, ids)
        return scores + shift

    verdict = check.hotflip_scores(off)
    assert verdict.message.startswith("The shape is right, but the score at place 0 for token"), verdict


def test_the_model_of_opinions_is_shown_alike_in_every_run() -> None:
    score = find("greedy_search").cases()[0]["score"]
    assert repr(score) == "<1 - p(positive)>"
    assert score == find("greedy_search").cases()[0]["score"]
    assert score([]) == 0.5
    assert score(["not", "good"]) == pytest.approx(1 - score(["good"]))
    assert ToyClassifier((("good", 1.25),), label=0)(["good"]) == pytest.approx(1 - score(["good"]))


# ---------------------------------------------------------------- references against torch and the course's attacks

SIZES = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(0, 10**6))


@given(SIZES, st.floats(0.01, 2), st.sampled_from(["linf", "l2"]))
@settings(deadline=None)
def test_fgsm_goes_so_far_and_no_other_step_gains_more(sizes: tuple[int, int, int], epsilon: float, norm: str) -> None:
    tokens, hidden, seed = sizes
    random = np.random.default_rng(seed)
    embedding, gradient = random.normal(size=(2, tokens, hidden))
    step = reference.fgsm(embedding, gradient, epsilon, norm) - embedding
    order = np.inf if norm == "linf" else 2
    assert np.linalg.norm(step.ravel(), order) == pytest.approx(epsilon)
    others = random.normal(size=(20, tokens * hidden))
    others *= epsilon / np.linalg.norm(others, order, axis=1, keepdims=True)
    assert (others @ gradient.ravel()).max() <= np.sum(step * gradient) + 1e-9


def test_fgsm_raises_a_real_loss() -> None:
    torch.manual_seed(0)
    head, embedding = torch.nn.Linear(6, 2), torch.randn(4, 6, requires_grad=True)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(head(rows.mean(0, keepdim=True)), torch.tensor([1]))

    before = loss(embedding)
    before.backward()
    for norm in ("linf", "l2"):
        assert embedding.grad is not None
        moved = reference.fgsm(embedding.detach().numpy(), embedding.grad.numpy(), 0.1, norm)
        assert loss(torch.from_numpy(moved)).item() > before.item()


@given(st.integers(1, 5), st.integers(2, 7), st.integers(1, 4), st.integers(0, 10**6))
@settings(deadline=None)
def test_hotflip_is_exact_for_a_loss_without_curvature(tokens: int, vocabulary: int, hidden: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    gradient, table = random.normal(size=(tokens, hidden)), random.normal(size=(vocabulary, hidden))
    ids = random.integers(0, vocabulary, tokens)
    scores = reference.hotflip_scores(gradient, table, ids)

    def loss(of: Any) -> float:
        return float(np.sum(gradient * table[of]))

    for place, token in itertools.product(range(tokens), range(vocabulary)):
        flipped = ids.copy()
        flipped[place] = token
        expected = -np.inf if token == ids[place] else loss(flipped) - loss(ids)
        assert scores[place, token] == pytest.approx(expected)


def searched_by_the_course(words: list[str], candidates: list[list[str]], score: Any, threshold: float) -> list[str]:
    """What `Greedy("deletion")` finds when it is asked in this exercise's terms."""
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


def test_greedy_search_is_that_of_the_course() -> None:
    random, weights = np.random.default_rng(0), find("greedy_search").cases()[0]["score"].weights
    known = [word for word, _ in weights] + ["not", "not", "a", "so"]
    compared = changed = 0
    while compared < 150:
        words = random.choice(known, random.integers(1, 7)).tolist()
        candidates = [random.choice(known, random.integers(0, 4)).tolist() for _ in words]
        score = ToyClassifier(weights, int(random.integers(0, 2)))
        if score(words) > 0.5:
            continue  # the course's engine skips these
        found = reference.greedy_search(words, candidates, score)
        assert found == searched_by_the_course(words, candidates, score, 0.5)
        compared, changed = compared + 1, changed + (found != words)
    assert changed > 75


def test_an_attack_never_ends_lower_and_stops_as_soon_as_it_may() -> None:
    random, weights = np.random.default_rng(1), find("greedy_search").cases()[0]["score"].weights
    known = [word for word, _ in weights] + ["not"]
    for _ in range(100):
        words = random.choice(known, 5).tolist()
        candidates = [random.choice(known, 2).tolist() for _ in words]
        score, threshold = ToyClassifier(weights), float(random.choice([0.3, 0.5, 0.8]))
        found = reference.greedy_search(words, candidates, score, threshold)
        assert score(found) >= score(words)
        assert all(new == old or new in ones for new, old, ones in zip(found, words, candidates, strict=True))
        if score(words) > threshold:
            assert found == words


def test_the_number_of_questions() -> None:
    """One for the text, one for each word, one for each candidate: the quiz's 181 for 20 words with 8 candidates."""
    asked = 0

    def score(words: list[str]) -> float:
        nonlocal asked
        asked += 1
        return 0.1

    words, candidates = ["w"] * 20, [[f"c{i}" for i in range(8)]] * 20
    assert reference.greedy_search(words, candidates, score) == words
    assert asked == 181 == 1 + 20 + 20 * 8
    assert pytest.approx(1.2e19, rel=0.02) == 9**20


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=1))
@settings(deadline=None)
def test_the_success_rate_is_that_of_the_course(rows: list[tuple[int, int, int]]) -> None:
    def result(label: int, before: int, after: int) -> AttackResult:
        status = "skipped" if before != label else "succeeded" if after != label else "failed"
        return AttackResult("", "", status, label, before, after, 1, 1, ())

    report = AttackReport("toy", tuple(result(*row) for row in rows), 0.0, 0.0, 0)
    labels, before, after = np.array(rows).T
    assert reference.attack_success_rate(labels, before, after) == pytest.approx(report.success_rate, nan_ok=True)


@dataclass(frozen=True)
class Told:
    """A classifier that answers with given probabilities, (n, classes)."""

    table: np.ndarray

    @property
    def classes_(self) -> np.ndarray:
        return np.arange(self.table.shape[1])

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        return self.table[: len(texts)]

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        return self.predict_proba(texts).argmax(1)


@given(st.integers(1, 6), st.integers(1, 8), st.integers(2, 4), st.integers(0, 10**6))
@settings(deadline=None)
def test_the_vote_is_that_of_the_course(members: int, n: int, classes: int, seed: int) -> None:
    tables = np.random.default_rng(seed).dirichlet(np.ones(classes), (members, n))
    ensemble = Ensemble([Told(table) for table in tables], how="vote")
    assert reference.majority_vote(tables).tolist() == ensemble.predict([f"text {i}" for i in range(n)]).tolist()


@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 10**6))
@settings(deadline=None)
def test_the_order_of_the_members_does_not_matter(members: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    tables = random.dirichlet(np.ones(classes), (members, 5))
    votes = reference.majority_vote(tables)
    assert votes.tolist() == reference.majority_vote(tables[random.permutation(members)]).tolist()
    own = tables.argmax(axis=2)
    assert all((own[:, text] == winner).any() for text, winner in enumerate(votes)), "somebody voted for the winner"


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
