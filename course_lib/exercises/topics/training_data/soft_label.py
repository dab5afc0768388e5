"""Exercise: a target that says how sure the raters were."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, same


def soft_label(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    """Turn mean ratings (n,) from -4 to 4 into targets (n, 2): columns negative and positive."""
    positive = 1 / (1 + np.exp(-sharpness * ratings))
    return np.stack([1 - positive, positive], axis=1)


def _cases() -> list[Case]:
    third = np.log(3.0)
    random = np.random.default_rng(2)
    return [
        {"ratings": np.array([0.0, third / 2]), "sharpness": 2.0},
        {"ratings": np.array([third, -third, 0.0]), "sharpness": 1.0},
        {"ratings": np.array([1.5])},  # the default
        {"ratings": np.array([-4.0, 4.0]), "sharpness": 0.5},
        {"ratings": np.array([-0.2, 0.1, 0.3]), "sharpness": 6.0},
        {"ratings": random.uniform(-4, 4, 8), "sharpness": 1.3},
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    numbers = as_numbers(got)
    assert numbers is not None
    if (numbers < 0).any() or (numbers > 1).any():
        return "A probability lies between 0 and 1; one of yours does not."
    for row, total in enumerate(numbers.sum(axis=1)):
        if not np.isclose(total, 1.0, atol=1e-5):
            return f"Row {row} adds up to {total:.6g}, not to 1."
    return None if same(expected, got) else "Each row adds up to 1, but the probabilities are off."


def _rows(positive: np.ndarray) -> np.ndarray:
    return np.stack([1 - positive, positive], axis=1)


def _sigmoid(x: np.ndarray) -> Any:
    return 1 / (1 + np.exp(-x))


def _swapped(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return soft_label(-ratings, sharpness)


def _divided(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return _rows(_sigmoid(ratings / sharpness))


def _no_sharpness(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return _rows(_sigmoid(ratings))


def _fixed_sharpness(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return _rows(_sigmoid(2 * ratings))


def _power(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return _rows(_sigmoid(ratings) ** sharpness)


def _scaled_outside(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return _rows(sharpness * _sigmoid(ratings))


def _straight_line(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return _rows((ratings + 4) / 8)


def _hard(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return _rows((ratings > 0).astype(float))


def _one_column(ratings: np.ndarray, sharpness: float = 2.0) -> Any:
    return _sigmoid(sharpness * ratings)


def _two_rows(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return soft_label(ratings, sharpness).T


def _softmax_of_both(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return _rows(_sigmoid(2 * sharpness * ratings))


def _hyperbolic(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    return _rows(np.tanh(sharpness * ratings))


EXERCISE = Exercise(
    reference=soft_label,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _swapped,
            "Good ratings come out as negative. The first column is negative, the second positive; "
            "look at the minus sign too.",
        ),
        WrongFunction(_divided, "You divide by the sharpness. Multiply: a larger one makes harder labels."),
        WrongFunction(_no_sharpness, "The sharpness has no effect. Multiply the ratings by it first."),
        WrongFunction(_fixed_sharpness, "The sharpness is always 2. Use the argument."),
        WrongFunction(_power, "You raise the sigmoid to a power. The sharpness belongs inside the sigmoid."),
        WrongFunction(_scaled_outside, "The sharpness stands outside the sigmoid, so p leaves [0, 1]. Put it inside."),
        WrongFunction(_straight_line, "This is a straight line from -4 to 4. Use the sigmoid."),
        WrongFunction(_hard, "These are hard labels, 0 or 1. A soft label says how sure it is."),
        WrongFunction(_one_column, "This is one number per text. Two columns are wanted: 1 - p and p."),
        WrongFunction(_two_rows, "This has two rows. Stack along axis 1 to get one row per text."),
        WrongFunction(
            _softmax_of_both,
            "This is twice as sharp as asked: a softmax over [-x, x] is a sigmoid of 2x.",
        ),
        WrongFunction(_hyperbolic, "tanh runs from -1 to 1. The sigmoid runs from 0 to 1."),
    ),
)
