"""Exercise: how much each text with words missing counts when LIME fits its line.

Ribeiro et al. 2016, "Why Should I Trust You?", section 3.3 (arXiv:1602.04938), with the distance and the root of the
`lime` package. The library's version: `course_lib.explain.kernel`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers


def lime_weights(samples: np.ndarray, width: float = 25.0) -> np.ndarray:
    """Weights (rows,) of samples (rows, n) that hold 1 where a word stays; the whole text has weight 1."""
    kept = samples.sum(axis=1)
    cosine = np.sqrt(kept / samples.shape[1])  # kept / (sqrt(kept) * sqrt(n)), and 0 where nothing is kept
    distance = 100 * (1 - cosine)
    weights: np.ndarray = np.sqrt(np.exp(-(distance**2) / width**2))
    return weights


def _case(samples: Any, **width: float) -> Case:
    return {"samples": np.array(samples), **width}


def _cases() -> list[Case]:
    random = np.random.default_rng(7)
    return [
        _case([[1, 1, 1, 1], [1, 0, 0, 0], [0, 1, 1, 0]]),
        _case([[1, 1], [0, 0]]),  # nothing is left of the second
        _case([[1, 0, 1], [1, 1, 1], [0, 0, 1]], width=25.0),  # square, and the whole text is not the first
        _case([[1, 1, 1, 0, 1], [0, 0, 1, 0, 0]], width=60.0),
        _case([[0, 0, 0], [0, 1, 0]], width=40.0),
        _case(random.integers(0, 2, size=(6, 8)), width=15.0),
        _case(random.integers(0, 2, size=(5, 12))),
        _case([[1], [0]], width=50.0),
        _case([[1, 0, 1, 1, 0, 1, 1, 1, 1]], width=5.0),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    samples = case["samples"]
    if problem := array_problem(expected, got):
        nothing = "nan" in problem and not samples.any(axis=1).all()
        return problem + (" What becomes of a row of zeros, which has the length 0?" if nothing else "")
    weights = as_numbers(got)
    assert weights is not None
    for row, (wanted, found) in enumerate(zip(expected, weights, strict=True)):
        if np.isclose(found, wanted, rtol=1e-5, atol=1e-8):
            continue
        kept, n = int(samples[row].sum()), samples.shape[1]
        if not -1e-9 <= found <= 1 + 1e-9:
            return f"Row {row} has the weight {found:.6g}. A weight is between 0 and 1, and 1 for the whole text."
        return f"Row {row} keeps {kept} of {n} words. Its weight should be {wanted:.6g}, not {found:.6g}."
    return None


def _cosine(samples: Any) -> Any:
    return np.sqrt(samples.sum(axis=1) / samples.shape[1])


def _kernel(distance: Any, width: float) -> Any:
    return np.sqrt(np.exp(-(distance**2) / width**2))


def _measured(distance: Answer) -> Answer:
    """An answer with the right kernel over another distance, made of the samples."""

    def answer(samples: np.ndarray, width: float = 25.0) -> Any:
        return _kernel(distance(samples), width)

    return answer


def _shaped(kernel: Callable[[Any, float], Any]) -> Answer:
    """An answer with the right distance and another kernel, made of (distance, width)."""

    def answer(samples: np.ndarray, width: float = 25.0) -> Any:
        return kernel(100 * (1 - _cosine(samples)), width)

    return answer


def _divided(samples: Any) -> Any:
    """Cosine similarity as its formula says; 0 / 0 where nothing is kept."""
    return samples.sum(axis=1) / (np.linalg.norm(samples, axis=1) * np.sqrt(samples.shape[1]))


def _to_first(samples: Any) -> Any:
    sizes = np.linalg.norm(samples, axis=1)
    products, lengths = samples @ samples[0], sizes * sizes[0]
    return 100 * (1 - np.divide(products, lengths, out=np.zeros(len(samples)), where=lengths > 0))


_not_scaled = _measured(lambda samples: 1 - _cosine(samples))
_similarity = _measured(lambda samples: 100 * _cosine(samples))
_share_gone = _measured(lambda samples: 100 * (1 - samples.sum(axis=1) / samples.shape[1]))
_straight_line = _measured(lambda samples: np.sqrt((1 - samples).sum(axis=1)))
_hundredfold_line = _measured(lambda samples: 100 * np.sqrt((1 - samples).sum(axis=1)))
_zeros_counted = _measured(lambda samples: 100 * (1 - np.sqrt(1 - samples.mean(axis=1))))
_angle = _measured(lambda samples: 100 * np.arccos(np.clip(_cosine(samples), 0, 1)) * 2 / np.pi)
_columns = _measured(lambda samples: 100 * (1 - np.sqrt(samples.mean(axis=0))))
_first_row = _measured(_to_first)
_ones_length = _measured(lambda samples: 100 * (1 - np.sqrt(samples.sum(axis=1))))
_row_length = _measured(lambda samples: 100 * (1 - samples.sum(axis=1) / np.sqrt(samples.shape[1])))
_zero_row_nan = _measured(lambda samples: 100 * (1 - _divided(samples)))
_zero_row_near = _measured(lambda samples: np.nan_to_num(100 * (1 - _divided(samples))))
_no_root = _shaped(lambda distance, width: np.exp(-(distance**2) / width**2))
_root_and_two = _shaped(lambda distance, width: np.sqrt(np.exp(-(distance**2) / (2 * width**2))))
_distance_plain = _shaped(lambda distance, width: np.sqrt(np.exp(-distance / width)))
_width_plain = _shaped(lambda distance, width: np.sqrt(np.exp(-(distance**2) / width)))
_minus_forgotten = _shaped(lambda distance, width: np.sqrt(np.exp(distance**2 / width**2)))
_always_25 = _shaped(lambda distance, width: _kernel(distance, 25.0))
_distances = _shaped(lambda distance, width: distance)
_sum_of_one = _shaped(lambda distance, width: _kernel(distance, width) / _kernel(distance, width).sum())
_upright = _shaped(lambda distance, width: _kernel(distance, width)[:, None])


def _zero_row_nothing(samples: np.ndarray, width: float = 25.0) -> Any:
    return np.nan_to_num(_zero_row_nan(samples, width))


EXERCISE = Exercise(
    reference=lime_weights,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_no_root, "The square root over exp() is missing. The lime package takes it."),
        WrongFunction(
            _root_and_two, "You divide by 2 width^2 and take the root as well. Only one of the two is asked."
        ),
        WrongFunction(
            _not_scaled, "The factor 100 is missing, so all weights are nearly 1. The width is in hundredths."
        ),
        WrongFunction(_distance_plain, "You do not square the distance. Both it and the width are squared."),
        WrongFunction(_width_plain, "You do not square the width. Both it and the distance are squared."),
        WrongFunction(_minus_forgotten, "Far texts count most with you. A minus is missing inside exp()."),
        WrongFunction(_always_25, "You always use the width 25. Use the argument width."),
        WrongFunction(_similarity, "You use the cosine itself as a distance. It is 1 for equal rows: take 1 - cosine."),
        WrongFunction(
            _share_gone,
            "You use the share of missing words. The cosine of a row with k of n words is the root of k / n.",
        ),
        WrongFunction(
            _straight_line, "This is the Euclidean distance to the row of ones. Take 100 times the cosine distance."
        ),
        WrongFunction(
            _hundredfold_line, "You take 100 times the Euclidean distance to the row of ones. Take the cosine distance."
        ),
        WrongFunction(_zeros_counted, "You count the words that are gone. The ones of a row are those that stay."),
        WrongFunction(_angle, "You measure the angle. The cosine distance is 1 - cosine, without arccos."),
        WrongFunction(_columns, "You add up the columns, one word at a time. Each row is a text: sum along axis 1."),
        WrongFunction(
            _first_row,
            "You measure from the first row. It is the whole text in some samples only: measure from a row of ones.",
        ),
        WrongFunction(
            _ones_length, "You did not divide by the length of the row of ones. It is the square root of n, not 1."
        ),
        WrongFunction(
            _row_length, "You did not divide by the length of the row itself. It is the root of the words that stay."
        ),
        WrongFunction(
            _zero_row_nan,
            "A row of zeros gives nan, because its length is 0. Its cosine should count as 0, so d = 100.",
        ),
        WrongFunction(
            _zero_row_near, "A row of zeros gets the weight 1 with you, as if it were the whole text. Its d is 100."
        ),
        WrongFunction(
            _zero_row_nothing,
            "A row of zeros gets the weight 0 with you. Its d is 100, and the weight is small, but not 0.",
        ),
        WrongFunction(_distances, "These are the distances. Put them into the kernel, sqrt(exp(-d^2 / width^2))."),
        WrongFunction(_sum_of_one, "Your weights sum to 1. LIME does not divide them: the whole text has weight 1."),
        WrongFunction(_upright, "The shape is (rows, 1). Give one number for each row, (rows,)."),
    ),
)
