"""Recommendation: other right answers pass, sly ones do not, and the references are what the library computes."""

from __future__ import annotations

from typing import Any

import numpy as np
from answers import SEED, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st

from course_lib.cases import recommendation as case
from course_lib.evaluation.ranking import target_ranks
from course_lib.exercises import reference
from course_lib.exercises.topics import recommendation

# ---------------------------------------------------------------- other right answers


def last_rows_by_sorting(people: np.ndarray, times: np.ndarray) -> np.ndarray:
    order = np.lexsort((np.arange(len(people)), times, people))
    last = np.append(people[order][1:] != people[order][:-1], True)
    held_out = np.zeros(len(people), dtype=bool)
    held_out[order[last]] = True
    return held_out


def last_rows_in_a_loop(people: np.ndarray, times: np.ndarray) -> list[bool]:
    latest: dict[int, int] = {}
    for row, (person, time) in enumerate(zip(people.tolist(), times.tolist(), strict=True)):
        if person not in latest or time >= times[latest[person]]:
            latest[person] = row
    return [row in latest.values() for row in range(len(people))]


def mask_in_a_copy(ids: np.ndarray, draws: np.ndarray, fraction: float, mask_id: int) -> Any:
    inputs, targets = ids.copy(), np.full_like(ids, -100)
    for place in np.argwhere(draws < fraction):
        row, column = place
        if ids[row, column]:
            inputs[row, column], targets[row, column] = mask_id, ids[row, column]
    return [inputs, targets]


def hits_by_counting_places(scores: np.ndarray, targets: np.ndarray, k: int) -> list[float]:
    """Each place that the target can have is equally likely."""
    found = []
    for row, target in zip(scores.tolist(), targets.tolist(), strict=True):
        first = sum(score > row[target] for score in row)
        places = range(first, first + row.count(row[target]))
        found.append(sum(place < k for place in places) / len(places))
    return found


def library_hits(scores: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    return target_ranks(scores, targets).hits(k)


def ease_column_by_column(seen: np.ndarray, l2: float) -> np.ndarray:
    """A ridge regression of each film on the others."""
    weights = np.zeros((seen.shape[1], seen.shape[1]))
    for film in range(seen.shape[1]):
        others = np.delete(np.arange(seen.shape[1]), film)
        x = seen[:, others]
        weights[others, film] = np.linalg.solve(x.T @ x + l2 * np.eye(len(others)), x.T @ seen[:, film])
    return weights


def top_by_sorting_a_list(scores: np.ndarray, seen: np.ndarray, k: int) -> list[list[int]]:
    rows = zip(scores.tolist(), seen.tolist(), strict=True)
    return [sorted((f for f in range(len(row)) if not old[f]), key=lambda f, row=row: -row[f])[:k] for row, old in rows]


class ByHand:
    def __init__(self, seen: np.ndarray, l2: float) -> None:
        self.weights = ease_column_by_column(seen, l2)

    def recommend(self, seen: np.ndarray, k: int) -> list[list[int]]:
        return top_by_sorting_a_list(seen.dot(self.weights), seen, k)

    def hit_rate(self, seen: np.ndarray, targets: np.ndarray, k: int) -> float:
        hits = [target in row for row, target in zip(self.recommend(seen, k), targets, strict=True)]
        return sum(hits) / len(hits)


RIGHT: dict[str, list[Answer]] = {
    "last_rows": [last_rows_by_sorting, last_rows_in_a_loop],
    "expected_hits": [hits_by_counting_places, library_hits],
    "mask_films": [mask_in_a_copy],
    "ease_weights": [ease_column_by_column],
    "top_unseen": [top_by_sorting_a_list],
    "FilmRecommender": [ByHand],
}
DRAWN = {
    "last_rows": SEED.map(lambda random: (random.integers(0, 5, 20), random.integers(0, 6, 20))),
    "expected_hits": st.builds(
        lambda random, k: (random.integers(0, 4, (6, 8)).astype(float), random.integers(0, 8, 6), k),
        *(SEED, st.integers(1, 7)),
    ),
    "ease_weights": SEED.map(lambda random: ((random.random((12, 5)) < 0.4).astype(float), 1.5)),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "last_rows": [("times[rows].max()]", "times[rows].max()][:2]"), ("latest[-1]", "latest[min(1, len(latest) - 1)]")],
    "expected_hits": [("/ tied, 0, 1)", "/ tied, 0, 1) * (k > 1)"), ("above) / tied", "above) / np.minimum(tied, 3)")],
    "mask_films": [("ids != 0", "ids > 2"), ("-100)", "-100 + 0 * ids)[: len(ids)] - (ids == 5)")],
    "ease_weights": [("l2 * np.eye", "min(l2, 5.0) * np.eye"), ("-np.diag(inverse)", "-np.diag(inverse).max()")],
    "top_unseen": [("seen > 0", "(seen > 0) & (scores < 2)"), ("[:, :k]", "[:, : min(k, 2)]")],
    "FilmRecommender": [("[:, None]", "[:, None] * 1 + (k > 4)"), ("seen, l2)", "seen[:30], l2)")],
}
MISTAKES: Mistakes = {
    "last_rows": [(lambda people, times: ~last_rows_by_sorting(people, times), "The number at [0] should be")],
    "mask_films": [(lambda ids, draws, fraction, mask_id: ids, "a pair")],
    "expected_hits": [(lambda scores, targets, k: scores, "in the shape (1,)")],
}
TestExercises = judged((*recommendation.EXERCISES, *recommendation.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- texts, and the library


def test_the_worked_examples_of_the_tasks() -> None:
    marks = reference.last_rows(np.array([1, 2, 1, 2]), np.array([5, 6, 9, 3]))
    assert marks.tolist() == [False, True, True, False]
    assert reference.expected_hits(np.array([[3.0, 1, 1, 1, 1]]), np.array([1]), 2).tolist() == [0.25]
    assert library_hits(np.zeros((1, 1682)), np.array([3]), 10) == 10 / 1682


def test_ease_is_the_librarys() -> None:
    histories = [np.array(films) for films in ([0, 1, 2], [1, 2], [3, 0], [4, 2, 1])]
    seen = case.seen_matrix(histories, 5)
    expected = case.ease(histories, 5, l2=2.0)(histories)
    np.testing.assert_allclose(seen @ reference.ease_weights(seen, 2.0), expected)
