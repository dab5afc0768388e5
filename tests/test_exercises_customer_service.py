"""Customer service: other right answers pass, sly ones do not, and the desk of the build works."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest
from answers import SEED, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st

from course_lib.evaluation import nearest_similarity, threshold_for_coverage
from course_lib.exercises import reference
from course_lib.exercises.topics import customer_service

# ---------------------------------------------------------------- other right answers


def split_by_counts(groups: list[str], order: list[str], fraction: float) -> np.ndarray:
    counts, taken, rows = Counter(groups), set(), 0
    for group in order:
        if rows < fraction * len(groups) - 1e-9:
            taken.add(group)
            rows += counts[group]
    return np.array([group in taken for group in groups])


def threshold_by_search(validation: Any, test: Any, coverage: float) -> tuple[float, float]:
    threshold = max(t for t in validation if np.mean(validation >= t) >= coverage)
    return threshold, float(np.mean(test >= threshold))


def threshold_of_the_library(validation: Any, test: Any, coverage: float) -> list[float]:
    threshold = threshold_for_coverage(validation, coverage)
    return [threshold, np.mean(np.array(test) >= threshold)]


def bm25_in_loops(query: list[str], passages: list[list[str]], k1: float = 1.2, b: float = 0.75) -> list[float]:
    mean = sum(map(len, passages)) / len(passages)
    scores = []
    for passage in passages:
        norm, score = k1 * (1 - b + b * len(passage) / mean), 0.0
        for word in query:
            n = sum(word in other for other in passages)
            f = passage.count(word)
            score += float(np.log1p((len(passages) - n + 0.5) / (n + 0.5))) * f * (k1 + 1) / (f + norm)
        scores.append(score)
    return scores


def expand_by_regex(template: str, slots: dict[str, list[str]]) -> list[str]:
    template = re.sub(r"\{(\w+)\}", lambda slot: f"({'|'.join(slots[slot[1]])})", template)
    found, done = [template], False
    while not done:
        pairs = [(text, re.search(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]", text)) for text in found]
        done = all(group is None for _, group in pairs)
        found = list(itertools.chain.from_iterable(_one_group(text, group) for text, group in pairs))
    return sorted({re.sub(" +", " ", text).strip() for text in found})


def _one_group(text: str, group: re.Match[str] | None) -> list[str]:
    if group is None:
        return [text]
    options = [*group[2].split("|"), ""] if group[1] is None else group[1].split("|")
    return [text[: group.start()] + option + text[group.end() :] for option in options]


def answer_by_sorting(question: str, passages: Any, scores: Any, minimum: float) -> tuple[Any, Any]:
    score, best = max((score, -place) for place, score in enumerate(scores))
    if score < minimum:
        return (None, None)
    title, sentences = passages[-best]
    shared = {s: len({*s.lower().split()} & {*question.lower().split()}) for s in sentences}
    return max(sentences, key=shared.get), title  # type: ignore[arg-type]


class DeskWithLibrary(customer_service.Desk):
    def fit(self, texts: list[str], intents: list[str], validation: list[str]) -> Any:
        self.known, self.intents = self.embed(texts), list(intents)
        self.threshold = threshold_for_coverage(nearest_similarity(self.embed(validation), self.known), self.coverage)
        return self


RIGHT: dict[str, list[Answer]] = {
    "group_split": [split_by_counts],
    "coverage_threshold": [threshold_by_search, threshold_of_the_library],
    "bm25_scores": [bm25_in_loops],
    "expand_template": [expand_by_regex],
    "answer_with_source": [answer_by_sorting],
    "Desk": [DeskWithLibrary],
}
WORDS = st.lists(st.sampled_from("abcd"), min_size=1, max_size=6)
DRAWN = {
    "bm25_scores": st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=5), st.floats(0.1, 3), st.floats(0, 1)),
    "coverage_threshold": st.builds(
        lambda draw, c: (draw.random(16), draw.random(9), c), SEED, st.sampled_from([0.25, 0.5, 0.75, 1.0])
    ),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "group_split": [("for group in order:", "for group in order[:2]:"), ("names == group", "names >= group")],
    "coverage_threshold": [("accepted - 1]", "min(accepted - 1, 14)]"), ("test >= threshold", "test >= 0.5")],
    "bm25_scores": [("passage.count(word)", "min(2, passage.count(word))"), ("k1 + 1", "2.2")],
    "expand_template": [("slots[inside]", "slots[inside][:1]"), ("+ option +", "+ option.split(' ')[0] +")],
    "answer_with_source": [("scores[best] < minimum", "scores[best] < 2"), ("], title", "], 'Kettle'")],
    "Desk": [("self.coverage * len", "0.8 * len"), ("embed, answer, coverage", "embed, lambda t: (t, t), coverage")],
}  # fmt: skip
MISTAKES: Mistakes = {
    "group_split": [(lambda groups, order, fraction: [0] * len(groups), "boolean array")],
    "expand_template": [(lambda template, slots: [template], "The result should be")],
}
TestExercises = judged((*customer_service.EXERCISES, *customer_service.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- texts


def test_the_worked_examples_of_the_tasks() -> None:
    split = reference.group_split(["a", "a", "b", "b", "c"], ["b", "c", "a"], 0.4)
    assert split.tolist() == [False, False, True, True, False]
    scores = np.array([0.9, 0.2, 0.8, 0.5]), np.array([0.6, 0.5, 0.1, 0.95])
    assert reference.coverage_threshold(*scores, 0.75) == pytest.approx((0.5, 0.75))
    expected = ["please turn off", "please turn on", "turn off", "turn on"]
    assert reference.expand_template("[please] turn (on|off)", {}) == expected
