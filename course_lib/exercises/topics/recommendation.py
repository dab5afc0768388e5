"""Recommendation: leave-last-out, masked films, hits with ties; the build is a recommender by EASE."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Arguments, Case, Exercise
from course_lib.exercises.values import judge_array, pair_problem

# ---------------- the split: the last film of each person
# Kang and McAuley 2018 (arXiv:1808.09781), section IV-A. The library's version: `cases.recommendation.leave_last_out`.


def last_rows(people: np.ndarray, times: np.ndarray) -> np.ndarray:
    """True for the latest row of each person, (rows,); of equal times, for the one that is further down."""
    held_out = np.zeros(len(people), dtype=bool)
    for person in np.unique(people):
        rows = np.flatnonzero(people == person)
        latest = rows[times[rows] == times[rows].max()]
        held_out[latest[-1]] = True
    return held_out


def _a_random_row(people: np.ndarray, times: np.ndarray) -> np.ndarray:
    random, held_out = np.random.default_rng(0), np.zeros(len(people), dtype=bool)
    for person in np.unique(people):
        held_out[random.choice(np.flatnonzero(people == person))] = True
    return held_out


def _last_rows_cases() -> list[Arguments]:
    random = np.random.default_rng(0)
    return [
        ([7, 7, 7], [30, 10, 20]),
        ([1, 2, 1, 2], [5, 6, 9, 3]),
        ([4, 4, 4, 9], [8, 8, 2, 1]),  # a tie
        ([3, 1, 3, 1, 3, 1], [10, 10, 10, 10, 4, 4]),
        (random.integers(0, 6, 40), random.integers(0, 12, 40)),
        (random.integers(100, 103, 30), random.permutation(30)),
    ]


# ---------------- training: masked films
# Sun et al. 2019, BERT4Rec (arXiv:1904.06690), section 3.6.


def mask_films(
    ids: np.ndarray,
    draws: np.ndarray,
    fraction: float,
    mask_id: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Inputs with [MASK] where draws are below the fraction, and targets with -100 where there is no loss."""
    masked = (draws < fraction) & (ids != 0)
    inputs = np.where(masked, mask_id, ids)
    targets = np.where(masked, ids, -100)
    return inputs, targets


def _masks_in_place(ids: np.ndarray, draws: np.ndarray, fraction: float, mask_id: int) -> tuple[np.ndarray, np.ndarray]:
    masked = (draws < fraction) & (ids != 0)
    ids = np.where(masked, mask_id, ids)
    return ids, np.where(masked, ids, -100)


def _mask_cases() -> list[Arguments]:
    random = np.random.default_rng(1)
    cases: list[Arguments] = [
        ([[5, 8, 2, 0]], [[0.9, 0.1, 0.6, 0.05]], 0.3, 99),
        ([[1, 2], [3, 0]], [[0.4, 0.1], [0.2, 0.9]], 0.5, 10),
        ([[6, 7, 9]], [[0.3, 0.2, 0.8]], 0.3, 20),
    ]
    for rows, length in ((3, 6), (5, 9)):
        ids = random.integers(1, 40, (rows, length)) * (np.arange(length) < random.integers(2, length, (rows, 1)))
        cases.append((ids, random.random((rows, length)), 0.4, 41))
    return cases


def _judge_masks(case: Case, expected: Any, got: Any) -> str | None:
    names = ("inputs", "targets")
    if problem := pair_problem(names, expected, got):
        return problem
    for name, wanted, part in zip(names, expected, got, strict=True):
        if problem := judge_array(case, wanted, part):
            return f"{name}: {problem}"
    return None


# ---------------- the measure: hits with ties
# The library's version: `evaluation.ranking.target_ranks(...).hits(k)`.


def expected_hits(scores: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    """Probability that the target is among the first k, with ties in random order, (rows,)."""
    right = scores[np.arange(len(scores)), targets][:, None]
    above = (scores > right).sum(axis=1)
    tied = (scores == right).sum(axis=1)  # the target is one of them
    return np.asarray(np.clip((k - above) / tied, 0, 1))


def _by_argsort(scores: np.ndarray, targets: np.ndarray, k: int) -> np.ndarray:
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.asarray((first == targets[:, None]).any(axis=1), dtype=float)


def _hits_cases() -> list[Arguments]:
    random = np.random.default_rng(2)
    return [
        ([[0.9, 0.5, 0.7, 0.1]], [2], 2),
        ([[3.0, 1.0, 1.0, 1.0, 1.0]], [1], 2),
        ([[0.0, 0.0, 0.0, 0.0]], [3], 1),
        ([[2.0, 2.0, 1.0], [2.0, 2.0, 1.0]], [1, 2], 2),
        ([[5.0, 4.0, 4.0, 3.0], [5.0, 4.0, 4.0, 3.0]], [3, 2], 3),
        (random.integers(0, 3, (12, 9)).astype(float), random.integers(0, 9, 12), 4),
        (random.normal(size=(10, 7)), random.integers(0, 7, 10), 3),
    ]


EXERCISES = (
    Exercise(last_rows, _last_rows_cases, judge_array),
    Exercise(expected_hits, _hits_cases, judge_array),
    Exercise(mask_films, _mask_cases, _judge_masks),
)


# ================ the build: a recommender by EASE ================
# Steck 2019 (arXiv:1905.03375). The library's version: `cases.recommendation.ease`.


def ease_weights(seen: np.ndarray, l2: float) -> np.ndarray:
    """EASE: weights (films, films) with a diagonal of 0; column j predicts film j from the other films."""
    inverse = np.linalg.inv(seen.T @ seen + l2 * np.eye(seen.shape[1]))
    weights: np.ndarray = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def _seen(people: int, films: int) -> np.ndarray:
    return (np.random.default_rng(people).random((people, films)) < 0.4).astype(float)


def _ease_cases() -> list[Arguments]:
    return [([[1.0, 1.0], [1.0, 0.0]], 1.0), (_seen(6, 3), 0.5), (_seen(30, 5), 3.0), (_seen(20, 8), 20.0)]


def top_unseen(scores: np.ndarray, seen: np.ndarray, k: int) -> np.ndarray:
    """Numbers of the k unseen films with the highest scores, best first: (people, k)."""
    allowed = np.where(seen > 0, -np.inf, scores)
    ranked = np.argsort(-allowed, axis=1)
    return np.asarray(ranked[:, :k])


def _top_cases() -> list[Arguments]:
    random = np.random.default_rng(4)
    return [
        ([[0.1, 0.9, 0.5, 0.3]], [[0, 1, 0, 0]], 2),
        ([[-0.5, -0.2, -0.9], [3.0, 2.0, 1.0]], [[0, 1, 0], [1, 0, 0]], 1),
        (random.normal(size=(5, 9)), (random.random((5, 9)) < 0.4).astype(float), 3),
        (random.normal(size=(8, 40)), (random.random((8, 40)) < 0.4).astype(float), 6),
    ]


class FilmRecommender:
    """A recommender that learns the weights of EASE from a matrix of 0 and 1 (people, films)."""

    def __init__(self, seen: np.ndarray, l2: float) -> None:
        """Learns the weights."""
        self.weights = ease_weights(seen, l2)

    def recommend(self, seen: np.ndarray, k: int) -> np.ndarray:
        """The k best unseen films of each row, best first: (people, k)."""
        return top_unseen(seen @ self.weights, seen, k)

    def hit_rate(self, seen: np.ndarray, targets: np.ndarray, k: int) -> float:
        """Fraction of the people whose target is among their k recommendations, of all films."""
        found = self.recommend(seen, k) == np.asarray(targets)[:, None]
        return float(found.any(axis=1).mean())


def _run_recommender(answer: Answer, seen: np.ndarray, targets: np.ndarray, l2: float, k: int) -> np.ndarray:
    """The recommendations for three people, then the hit rate of all."""
    known = seen.copy()
    known[np.arange(len(seen)), targets] = 0
    model = answer(known, l2)
    recommended, rate = model.recommend(known[:3], k), model.hit_rate(known, targets, k)
    return np.append(np.asarray(recommended, dtype=float).ravel(), rate)


def _recommender_cases() -> list[Arguments]:
    return [  # nobody has fewer than k unseen films, or two of equal scores
        (seen, seen.argmax(axis=1), l2, k)
        for seen, l2, k in ((_seen(8, 8), 1.0, 2), (_seen(38, 12), 2.0, 3), (_seen(60, 15), 8.0, 5))
    ]


BUILD = (
    Exercise(ease_weights, _ease_cases, judge_array),
    Exercise(top_unseen, _top_cases, judge_array),
    Exercise(FilmRecommender, _recommender_cases, judge_array, run=_run_recommender),
)
