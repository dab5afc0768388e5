"""Exercise: how far the confidence of a model is from its accuracy.

Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3 (arXiv:1706.04599).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, same


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """Mean gap between confidence and accuracy over equally wide bins (low, high], weighted by bin size."""
    error = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = abs(correct[inside].mean() - confidence[inside].mean())
            error += inside.mean() * gap
    return float(error)


def _case(confidence: Any, correct: Any, bins: int) -> Case:
    return {"confidence": np.asarray(confidence), "correct": np.asarray(correct), "bins": bins}


def _cases() -> list[Case]:
    random = np.random.default_rng(3)
    many = random.uniform(0.5, 1.0, 60)
    return [
        _case([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 2),
        _case([0.9, 0.9, 0.9, 0.3], [1, 1, 0, 1], 2),  # three in one bin, one in the other
        _case([0.5, 0.5, 0.9], [1, 1, 0], 2),  # 0.5 belongs to the lower bin
        _case([0.25, 0.3, 0.75, 0.8, 1.0], [0, 1, 0, 1, 0], 4),
        _case([0.9, 0.9, 0.1, 0.1], [0, 0, 1, 1], 2),  # too sure in one bin, too modest in the other
        _case([0.95], [1], 10),
        _case([0.95, 0.55, 0.52], [0, 1, 1], 10),  # most bins are empty
        _case(many, (random.uniform(size=60) < many - 0.1).astype(int), 15),
        _case(many[:20], np.ones(20, dtype=int), 1),
    ]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        hint = " Did you take the mean of an empty bin?" if "nan" in problem else ""
        return problem + hint
    if same(expected, got):
        return None
    if not 0 <= float(got) <= 1:
        return "The error lies between 0 and 1; yours does not."
    return "The error is off."


def _gaps(
    confidence: np.ndarray, correct: np.ndarray, bins: int, gap: Answer = np.abs, left_closed: bool = False
) -> list[tuple[float, float]]:
    """(share of the texts, gap) of each bin that is not empty."""
    found = []
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = (confidence > low) & (confidence <= high)
        if left_closed:
            inside = (confidence >= low) & (confidence < high)
        if inside.any():
            found.append((inside.mean(), gap(correct[inside].mean() - confidence[inside].mean())))
    return found


def _unweighted(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return float(np.mean([gap for _, gap in _gaps(confidence, correct, bins)]))


def _over_all_bins(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return float(sum(gap for _, gap in _gaps(confidence, correct, bins)) / bins)


def _plain_sum(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return float(sum(gap for _, gap in _gaps(confidence, correct, bins)))


def _counts(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return len(confidence) * expected_calibration_error(confidence, correct, bins)


def _left_closed(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return float(sum(share * gap for share, gap in _gaps(confidence, correct, bins, left_closed=True)))


def _left_closed_with_one(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return _left_closed(np.minimum(confidence, 1 - 1e-12), correct, bins)


def _signed(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return float(sum(share * gap for share, gap in _gaps(confidence, correct, bins, gap=lambda x: -x)))


def _signed_other(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return float(sum(share * gap for share, gap in _gaps(confidence, correct, bins, gap=lambda x: x)))


def _largest(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return float(max(gap for _, gap in _gaps(confidence, correct, bins)))


def _squared(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return float(sum(share * gap for share, gap in _gaps(confidence, correct, bins, gap=np.square)))


def _one_bin(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return float(abs(correct.mean() - confidence.mean()))


def _each_text(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    return float(np.mean(np.abs(correct - confidence)))


def _middle(confidence: np.ndarray, correct: np.ndarray, bins: int) -> Any:
    number = np.ceil(confidence * bins).astype(int) - 1
    return sum(
        float(np.mean(number == one)) * abs(float(correct[number == one].mean()) - (one + 0.5) / bins)
        for one in np.unique(number)
    )


def _empty_bins(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    number = np.ceil(confidence * bins) - 1
    parts = [number == one for one in range(bins)]
    return float(sum(p.mean() * abs(correct[p].mean() - confidence[p].mean()) for p in parts))


EXERCISE = Exercise(
    reference=expected_calibration_error,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _unweighted,
            "Every bin counts the same. Weigh each gap by the share of texts in its bin.",
        ),
        WrongFunction(
            _over_all_bins,
            "You divide the sum of the gaps by the number of bins. Weigh each gap by its share of texts instead.",
        ),
        WrongFunction(_plain_sum, "You add up the gaps without weights. Weigh each one by its share of texts."),
        WrongFunction(_counts, "You weigh by the number of texts in the bin. Divide by the number of all texts."),
        WrongFunction(
            _left_closed,
            "A confidence on an edge falls into the upper bin, and 1.0 into none. Use > for the lower edge and "
            "<= for the upper one.",
        ),
        WrongFunction(
            _left_closed_with_one,
            "A confidence on an edge falls into the upper bin. The bin below should hold it: > low and <= high.",
        ),
        WrongFunction(
            _signed, "Gaps of opposite sign cancel out (confidence minus accuracy). Take the absolute value."
        ),
        WrongFunction(
            _signed_other, "Gaps of opposite sign cancel out (accuracy minus confidence). Take the absolute value."
        ),
        WrongFunction(_largest, "This is the largest gap (the maximum calibration error). The mean gap is asked."),
        WrongFunction(_squared, "You square the gaps. Take their absolute value."),
        WrongFunction(_one_bin, "You compare the means over all texts. Do it in each bin, then add up."),
        WrongFunction(
            _each_text,
            "You compare each text's confidence with 0 or 1. A single text has no accuracy: average in bins first.",
        ),
        WrongFunction(
            _middle,
            "You take the middle of the bin for its confidence. Take the mean confidence of the texts in it.",
        ),
        WrongFunction(_empty_bins, "The mean of an empty bin is nan, and so is your sum. Skip empty bins."),
    ),
)
