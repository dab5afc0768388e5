"""Exercise: the share of predictions that are right."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, same


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """The share of positions, between 0 and 1, at which prediction and label are the same class."""
    return float(np.mean(predictions == labels))


def _cases() -> list[Case]:
    random = np.random.default_rng(1)
    pairs = [
        ([1, 0, 1, 1], [1, 0, 0, 1]),
        ([0, 0, 0], [1, 0, 0]),  # the hits are all of class 0
        ([1, 1, 1, 0, 0], [1, 1, 0, 1, 1]),
        ([2, 0, 1, 2, 2, 0], [2, 2, 1, 0, 1, 0]),  # three classes: 2 for 0 is one mistake, not two
        ([1], [0]),
        ([0, 1], [0, 1]),
        (random.integers(0, 3, 70), random.integers(0, 3, 70)),
    ]
    return [{"predictions": np.array(one), "labels": np.array(other)} for one, other in pairs]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if not 0 <= float(got) <= 1:
        return "A share lies between 0 and 1; yours does not."
    return None if same(expected, got) else "The share is off."


def _per_cent(predictions: np.ndarray, labels: np.ndarray) -> float:
    return 100 * float(np.mean(predictions == labels))


def _count(predictions: np.ndarray, labels: np.ndarray) -> int:
    return int(np.sum(predictions == labels))


def _share_wrong(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(predictions != labels))


def _whole_division(predictions: np.ndarray, labels: np.ndarray) -> int:
    return int(np.sum(predictions == labels)) // len(labels)


def _positive_hits(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean((predictions == 1) & (labels == 1)))


def _precision(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(labels[predictions == 1] == 1))


def _recall(predictions: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(predictions[labels == 1] == 1))


def _by_distance(predictions: np.ndarray, labels: np.ndarray) -> float:
    return 1 - float(np.mean(np.abs(predictions - labels)))


def _rounded(predictions: np.ndarray, labels: np.ndarray) -> float:
    return round(float(np.mean(predictions == labels)), 2)


def _each(predictions: np.ndarray, labels: np.ndarray) -> Any:
    return predictions == labels


def _same_totals(predictions: np.ndarray, labels: np.ndarray) -> float:
    return 1 - abs(float(predictions.mean() - labels.mean()))


EXERCISE = Exercise(
    reference=accuracy,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_per_cent, "These are per cent. A share lies between 0 and 1: leave out the 100."),
        WrongFunction(_count, "This is how many are right. Divide by how many there are."),
        WrongFunction(_share_wrong, "This is the share of mistakes. Count where the two agree."),
        WrongFunction(_whole_division, "`//` cuts off everything behind the point. Divide with `/`."),
        WrongFunction(
            _positive_hits, "Only hits of class 1 are counted. A text of class 0 that is called 0 is right too."
        ),
        WrongFunction(_precision, "This is precision: only the texts called 1 are looked at. Look at all of them."),
        WrongFunction(_recall, "This is recall: only the texts labelled 1 are looked at. Look at all of them."),
        WrongFunction(
            _by_distance,
            "You take the distance between class numbers. Classes are names: 2 for 0 is one mistake, not two.",
        ),
        WrongFunction(_rounded, "You round. Give the exact share, and round when you print it."),
        WrongFunction(_each, "This says for each text whether it is right. One number is wanted: the mean."),
        WrongFunction(
            _same_totals,
            "You compare the averages of both arrays. Two mistakes that cancel out are still two mistakes.",
        ),
    ),
)
