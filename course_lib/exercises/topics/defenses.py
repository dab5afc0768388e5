"""Defenses: a vote of several models."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import (
    array_problem,
    as_numbers,
    as_whole_numbers,
    plain,
)

# ---------------- several models vote, and a tie is settled by how sure they are
# Dietterich 2000, Ensemble Methods in Machine Learning, section 1 (Multiple Classifier Systems), for why votes help;
# Ye et al. 2020, SAFER (arXiv:2005.14424), for a vote as a defence of text classifiers.


def majority_vote(probabilities: np.ndarray) -> np.ndarray:
    """Classes (n,) with the most votes, from probabilities (members, n, classes); larger sums settle ties."""
    classes = probabilities.shape[2]
    votes = np.eye(classes)[probabilities.argmax(axis=2)]  # (members, n, classes): a 1 for the likeliest
    counts = votes.sum(axis=0)
    tied = counts == counts.max(axis=1, keepdims=True)
    winners: np.ndarray = np.where(tied, probabilities.sum(axis=0), -1).argmax(axis=1)
    return winners


def _drawn_members(seed: int, members: int, n: int, classes: int) -> Arguments:
    return (np.random.default_rng(seed).dirichlet(np.ones(classes), (members, n)),)


def _texts(*texts: list[list[float]]) -> Arguments:
    """A case from one table (members, classes) for each text."""
    return (np.stack([np.array(text) for text in texts], axis=1),)


def _majority_vote_cases() -> list[Arguments]:
    two_against_one = [[0.6, 0.4], [0.6, 0.4], [0.05, 0.95]]
    three_against_two = [[0.51, 0.49]] * 3 + [[0.05, 0.95]] * 2
    tie = [[0.625, 0.375], [0.125, 0.875]]
    third_is_sure = [[0.5, 0.1, 0.4], [0.1, 0.5, 0.4], [0.45, 0.1, 0.45 - 1e-3], [0.1, 0.46, 0.44]]
    return [
        _texts(two_against_one, [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]),
        _texts(three_against_two, three_against_two[::-1]),
        _texts(tie, tie[::-1], [[0.75, 0.25], [0.375, 0.625]]),
        _texts(third_is_sure),  # a tie of 0 and 1; the sum of 2 is the largest, but nobody votes for it
        _texts([[0.4, 0.35, 0.25], [0.3, 0.5, 0.2], [0.38, 0.02, 0.6]]),  # three classes, one vote each
        _texts([[0.75, 0.25], [0.25, 0.75]]),  # votes and sums tied: the smallest class
        _texts([[0.1, 0.2, 0.7]], [[0.6, 0.3, 0.1]]),  # one member
        _texts([[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.1, 0.5, 0.4], [0.0, 0.3, 0.7], [0.0, 0.48, 0.52]]),  # 2, 1 and 2
        _texts([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3], [0.0, 0.9, 0.1], [0.3, 0.0, 0.7], [0.1, 0.2, 0.7]]),
        _texts([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7], [0.1, 0.1, 0.8], [0.8, 0.2, 0.0]]),
        _drawn_members(1, 3, 3, 3),  # all sizes alike: the shape tells nothing
        _drawn_members(2, 4, 12, 3),
        _drawn_members(3, 6, 12, 2),
        _drawn_members(4, 5, 15, 4),
    ]


def _judge_majority_vote(case: Case, expected: Any, got: Any) -> str | None:
    numbers = as_numbers(got)
    if numbers is None or numbers.shape != expected.shape or not np.isfinite(numbers).all():
        return array_problem(expected, got)
    if as_whole_numbers(plain(got)) is None:
        return "The classes should be whole numbers."
    wrong = np.flatnonzero(numbers != expected)
    if not wrong.size:
        return None
    text, table = int(wrong[0]), case["probabilities"][:, int(wrong[0])]
    votes = np.bincount(table.argmax(axis=1), minlength=table.shape[1])
    shown = ", ".join(f"class {c}: {count}" for c, count in enumerate(votes))
    tie = " (a tie)" if (votes == votes.max()).sum() > 1 else ""
    return f"Text {text} has these votes{tie}: {shown}. Your class {int(numbers[text])} should be {expected[text]}."


EXERCISES = (Exercise(majority_vote, _majority_vote_cases, _judge_majority_vote),)
