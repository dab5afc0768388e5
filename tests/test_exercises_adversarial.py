"""Adversarial examples: other right answers pass, sly ones do not, references agree with torch and the attacks."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from answers import SEED, SIZES, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st

from course_lib.attacks import Attack, Greedy, Substitutes, Transformation, Untargeted
from course_lib.attacks.report import AttackReport, AttackResult
from course_lib.exercises import check, reference
from course_lib.exercises.catalogue import find
from course_lib.exercises.topics import adversarial
from course_lib.exercises.topics.adversarial import ToyModel
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


def hotflip_by_differences(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    scores = np.einsum("th,tvh->tv", gradient, table[None] - table[ids][:, None])
    return np.where(np.arange(len(table)) == ids[:, None], -np.inf, scores)


def fgsm_by_torch(embedding: np.ndarray, gradient: np.ndarray, epsilon: float, norm: str) -> Any:
    x, g = torch.from_numpy(embedding), torch.from_numpy(gradient)
    if norm == "linf":
        return x + epsilon * g.sign()
    length = torch.linalg.vector_norm(g)
    return x if length == 0 else x + epsilon * g / length


class GoalOneByOne:
    """One text after another, until the budget ends."""

    def __init__(self, model: Any, label: Any, query_budget: int = 200) -> None:
        self.model, self.label, self.query_budget, self.num_queries = model, label, query_budget, 0

    def get_results(self, texts: list[str]) -> list[Any]:
        results = []
        for text in texts:
            if self.num_queries == self.query_budget:
                break
            self.num_queries += 1
            row = dict(zip(self.model.classes_.tolist(), self.model.predict_proba([text])[0], strict=True))
            results.append([1.0 - row[self.label], max(row, key=lambda name: row[name]) != self.label])
        return results


class TyposInASet:
    def get_replacement_words(self, word: str) -> list[str]:
        first, inner, last = word[:1], list(word[1:-1]), word[1:][-1:]
        made = [inner[:i] + inner[i + 1 :] for i in range(len(inner))]
        made += [inner[:i] + inner[i : i + 2][::-1] + inner[i + 2 :] for i in range(len(inner) - 1)]
        return sorted({first + "".join(middle) + last for middle in made} - {word})

    def __call__(self, words: list[str], index: int) -> list[list[str]]:
        texts = [list(words) for _ in self.get_replacement_words(words[index])]
        for text, new in zip(texts, self.get_replacement_words(words[index]), strict=True):
            text[index] = new
        return texts


class ConstraintsInALoop:
    def __init__(self, stopwords: set[str], min_length: int = 4, max_percent: float = 0.25) -> None:
        self.rules = (stopwords, min_length, max_percent)

    def modifiable_indices(self, original: list[str], current: list[str]) -> Any:
        indices = []
        for i in range(len(original)):
            letters = "".join(filter(str.isalpha, original[i].lower()))
            if len(letters) < self.rules[1] or letters in self.rules[0] or original[i] != current[i]:
                continue
            indices.append(i)
        return np.array(indices, dtype=int)

    def allows(self, original: list[str], current: list[str]) -> Any:
        changed = np.sum(np.array(original) != np.array(current))
        return changed <= 1 or changed <= np.floor(self.rules[2] * len(original))


def greedy_by_arrays(original: list[str], goal: Any, transformation: Any, constraints: Any) -> Any:
    ((score, won),) = goal.get_results([" ".join(original)])
    words = list(original)
    if won:
        return words, won
    indices = constraints.modifiable_indices(words, words)
    without = goal.get_results([" ".join(w for j, w in enumerate(words) if j != i) for i in indices])
    for rank in np.argsort([-value for value, _ in without], kind="stable"):
        texts = [one for one in transformation(words, indices[rank]) if constraints.allows(original, one)]
        found = goal.get_results([" ".join(text) for text in texts])
        values = np.array([value + 10 * succeeded for value, succeeded in found])
        if len(values) and values.max() > score:
            top = int(values.argmax())
            words, score = texts[top], found[top][0]
            if found[top][1]:
                return words, True
    return words, False


RIGHT: dict[str, list[Answer]] = {
    "attack_success_rate": [rate_in_a_loop, rate_of_the_course],
    "hotflip_scores": [hotflip_by_differences],
    "fgsm": [fgsm_by_torch],
    "UntargetedClassification": [GoalOneByOne],
    "WordSwapTypos": [TyposInASet],
    "Constraints": [ConstraintsInALoop],
    "greedy_word_swap_wir": [greedy_by_arrays],
}
KNOWN = [*adversarial._WORD_WEIGHTS, "not", "not", "a", "so"]


def drawn_search(random: np.random.Generator, n: int, neutral: bool, budget: int, fraction: float) -> tuple[Any, ...]:
    candidates = {i: " ".join(random.choice(KNOWN, random.integers(0, 4))) for i in range(n)}
    text, label = " ".join(random.choice(KNOWN, n)), str(random.choice(["positive", "negative"]))
    return adversarial._search_case(text, candidates, label, neutral, budget, fraction, ("a", "so"))


def drawn_texts(random: np.random.Generator, n: int, most: float) -> tuple[Any, ...]:
    words = random.choice(["The", "film,", "is", "(great)", "don't", "2", "odd", "so-so"], n)
    texts = [" ".join(np.where(random.random(n) < 0.3, "x", words)) for _ in range(3)]
    return ["the", "film"], int(random.integers(1, 5)), most, " ".join(words), texts


DRAWN = {
    "attack_success_rate": st.builds(lambda random, n: tuple(random.integers(0, 3, (3, n))), SEED, SIZES),
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
    "WordSwapTypos": st.builds(lambda word: ([word, "a", word], 2), st.text("aab,'", min_size=1, max_size=7)),
    "Constraints": st.builds(drawn_texts, SEED, SIZES, st.sampled_from([0.1, 0.25, 0.5])),
    "greedy_word_swap_wir": st.builds(
        drawn_search, SEED, SIZES, st.booleans(), st.sampled_from([1, 3, 9, 99]), st.sampled_from([0.25, 0.5, 1.0])
    ),
}

# ---------------------------------------------------------------- sly answers, right on most cases


SLY: dict[str, list[Answer | Edit]] = {
    "attack_success_rate": [
        lambda labels, before, after: rate_in_a_loop(labels > 0, before > 0, after > 0),
        ('float("nan")', "0.5"),
        lambda labels, before, after: rate_in_a_loop(labels[:20], before[:20], after[:20]),
        lambda labels, before, after: rate_in_a_loop(before, labels, after) if len(labels) < 4 else 0.75,
        lambda labels, before, after: min(rate_in_a_loop(labels, before, after), 0.9),
    ],
    "hotflip_scores": [
        ("= -np.inf", "= -1e9"),
        ("gradient @", "gradient[::-1] @"),
        ("toward[positions, ids]", "toward[positions, np.sort(ids)]"),
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
    "UntargetedClassification": [
        ("self.query_budget, self.num_queries = query_budget, 0", "self.query_budget, self.num_queries = 10, 0"),
        ("texts[: self.query_budget - self.num_queries]", "texts[: self.query_budget - self.num_queries - 1]"),
        ("            return []\n", "            return self.model.predict_proba(['x']) is None or []\n"),
        ("self.model.predict_proba(texts)", "self.model.predict_proba(texts + texts)[: len(texts)]"),
        ("scores = 1 - probabilities[:, self.column]", "scores = (1 - probabilities[:, self.column]).round(3)"),
        ("!= self.column", "== 1 - self.column"),
    ],
    "WordSwapTypos": [
        ("swaps + deletions", "(swaps + deletions)[:5]"),
        ("if new != word", "if new != word and len(word) > 3"),
        ("*words[:index], new", "new, *words[:index]"),
    ],
    "Constraints": [
        ("c.isalpha()", "c != ','"),
        ("len(word) >= self.min_length", "len(word) >= min(self.min_length, 4)"),
        ("max(1, int(", "max(2, int("),
        ("int(self.max_percent * len(original))", "round(self.max_percent * len(original))"),
        ("self.max_percent * len(original)", "0.25 * len(original)"),
    ],
    "greedy_word_swap_wir": [
        ("constraints.allows(original, words)", "constraints.allows(best, words)"),
        ("strict=False), key=lambda pair: -pair[0])", "strict=False), reverse=True)"),
        ("if found:", "if found or len(candidates) == 0:"),
        ("(succeeded, score) > (found, best_score)", "(succeeded, score) > (False, best_score)"),
        ("indices(original, original)", "indices(original, original)[:3]"),
        ("return best, found", "return best, best_score > 0.5"),
        ("        results = goal", "        goal.get_results(['x'])\n        results = goal"),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def columns_forbidden(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    scores = np.einsum("th,tvh->tv", gradient, table[None] - table[ids][:, None])
    return np.where(np.isin(np.arange(len(table)), ids), -np.inf, scores)


def fallen_accuracy(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> float:
    return float(((before == labels).astype(int) - (after == labels)).sum() / len(labels))


MISTAKES: Mistakes = {
    "attack_success_rate": [
        (fallen_accuracy, "the drop in accuracy"),
        (lambda *given: 0.8, "4 were correct before. The rate should be 0.75, not 0.8."),
    ],
    "hotflip_scores": [(columns_forbidden, "forbidden at every position")],
    "fgsm": [
        (lambda x, g, epsilon, norm: x + 2 * epsilon * np.sign(g), "change of a number is 0.2; epsilon is 0.1."),
        (("else np.zeros_like(gradient)", "else 1"), "If the gradient is zero, no direction raises the loss"),
    ],
    "UntargetedClassification": [
        (("self.num_queries += len(texts)", "self.num_queries += 2"), "num_queries should be [3] after the calls"),
        (("def get_results", "def results"), "Your UntargetedClassification has no attribute 'get_results'."),
        (("list(zip(scores.tolist(), succeeded.tolist(), strict=True))", "scores"), "should return a list with one"),
    ],
    "WordSwapTypos": [
        (("swaps + deletions", "[*swaps, word[::-1]]"), "'mlif', which is none of the results"),
        (("[*words[:index], new, *words[index + 1 :]]", '" ".join(words)'), "each a list of words"),
    ],
    "Constraints": [
        (("word not in self.stopwords", "i != 1"), "the modifiable indices should be [1, 4, 5, 8], not [4, 5, 8]"),
        (("return changed <=", "return changed and changed <="), "allows should return True, not False"),
    ],
    "greedy_word_swap_wir": [
        (lambda original, *parts: (original[1:], False), "The search should end with"),
        (("return best, found", "return best"), "should return a pair"),
        (("best, found = original,", "best, found = original[::-1][: original.reverse()],"), "changes the list of the"),
    ],
}

TestExercises = judged((*adversarial.EXERCISES, *adversarial.BUILD), RIGHT, SLY, MISTAKES, DRAWN)


@pytest.mark.parametrize("shift", [2e-6, 5e-6, 2e-5, 1.0])
def test_a_score_that_is_hardly_off_is_refused_with_its_place(shift: float) -> None:
    """Close to the tolerance the judge must neither pass nor fail itself."""

    def off(gradient: np.ndarray, table: np.ndarray, ids: np.ndarray) -> np.ndarray:
        scores = hotflip_by_differences(gradient * np.array([0.0, 1.0] + [1.0] * (table.shape[1] - 2)), table, ids)
        return scores + shift

    verdict = check.hotflip_scores(off)
    assert verdict.message.startswith("The shape is right, but the score at position 0 for token"), verdict


# ---------------------------------------------------------------- what references promise


def test_the_number_of_queries() -> None:
    """One for the text, one for each word, one for each candidate: the quiz's 181 for 20 words with 8 candidates."""
    candidates = dict.fromkeys(range(20), " ".join(f"c{i}" for i in range(8)))
    candidates[0] = "great " * 8
    case = adversarial._search_case(" ".join(["superb"] + ["w"] * 19), candidates, query_budget=999)
    _, succeeded, queries = adversarial._run_search(reference.greedy_word_swap_wir, *case)
    assert not succeeded and queries == 181 == 1 + 20 + 20 * 8
    assert pytest.approx(1.2e19, rel=0.02) == 9**20


@dataclass(frozen=True)
class Listed(Transformation, Substitutes):
    """The candidates of a case, for the course's attack."""

    candidates: dict[int, str]

    def prepare(self, victim: Any, documents: Sequence[Document]) -> list[Substitutes]:
        return [self] * len(documents)

    def words(self, document: Document, position: int, rng: random.Random) -> list[str]:
        return self.candidates.get(position, "").split()


def test_the_build_finds_what_the_course_finds() -> None:
    """`Greedy("deletion")` makes the same queries and finds the same texts."""
    tried = 0
    for case in find("greedy_word_swap_wir").cases():
        if not case["candidates"] or len(case["classes"]) > 2 or case["query_budget"] < 99 or case["max_percent"] < 1:
            continue
        attack = Attack("course", Untargeted(), Listed(case["candidates"]), Greedy("deletion"))
        model = ToyModel(case["classes"], [-1.0, 1.0])
        (result,) = attack.run(model, [case["text"]], [case["label"]]).results
        words, succeeded, queries = adversarial._run_search(reference.greedy_word_swap_wir, *case.values())
        assert succeeded == (result.after != case["label"]) and queries == result.queries
        if succeeded:
            assert " ".join(words) == result.adversarial
        tried += 1
    assert tried > 10


def test_the_worked_examples_of_the_tasks() -> None:
    x, g = np.array([[1.0, 2.0]]), np.array([[3.0, -4.0]])
    np.testing.assert_allclose(reference.fgsm(x, g, 0.1, "linf"), [[1.1, 1.9]])
    np.testing.assert_allclose(reference.fgsm(x, g, 0.1, "l2"), [[1.06, 1.92]])
    assert reference.WordSwapTypos().get_replacement_words("good") == ["god"]
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    scores = reference.hotflip_scores(np.array([[1.0, 3.0]]), corners, np.array([1]))
    assert scores.tolist() == [[-1.0, -np.inf, 5.0]]
    labels, before, after = np.array([[1, 1, 0, 0, 1], [1, 1, 0, 1, 1], [0, 1, 1, 1, 0]])
    assert reference.attack_success_rate(labels, before, after) == 0.75
