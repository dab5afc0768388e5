"""The learning rate's schedule, and whether probabilities can be believed."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise
from course_lib.exercises.values import array_problem, same

# ---------------- a learning rate that rises, then falls, both in a straight line


def warmup_linear(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    """The learning rate of one step, 0 <= step < total_steps: `peak` at step `warmup_steps`, never 0."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (total_steps - step) / (total_steps - warmup_steps)


def _warmup_linear_cases() -> list[Case]:
    whole_run = [(step, 10, 4, 1.0) for step in (0, 3, 4, 5, 9)]
    others = [(0, 5, 0, 0.5), (4, 5, 0, 0.5), (1, 100, 10, 2e-2), (10, 100, 10, 2e-2), (55, 100, 10, 2e-2)]
    edges = [(0, 1, 0, 3.0), (0, 2, 1, 1.0), (1, 2, 1, 1.0), (6, 8, 7, 2.0), (7, 8, 7, 2.0), (999, 1000, 1, 1.0)]
    names = ("step", "total_steps", "warmup_steps", "peak")
    return [dict(zip(names, values, strict=True)) for values in (*whole_run, *others, *edges)]


def _judge_warmup_linear(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    if float(got) == 0:
        return "The rate is 0: this step would change nothing."
    if not 0 <= float(got) <= case["peak"] * (1 + 1e-6):
        return f"The rate lies between 0 and the peak, {case['peak']:g}; yours does not."
    part = "while it rises" if case["step"] < case["warmup_steps"] else "while it falls"
    if case["step"] == case["warmup_steps"]:
        part = "at its peak"
    return f"The rate is off {part}."


def _first_step_zero(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * step / warmup_steps
    return peak * (total_steps - step) / (total_steps - warmup_steps)


def _peak_too_early(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * (total_steps - step) / (total_steps - warmup_steps)


def _last_step_zero(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (total_steps - 1 - step) / max(1, total_steps - 1 - warmup_steps)


def _falls_one_early(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (total_steps - step - 1) / (total_steps - warmup_steps)


def _falls_from_the_start(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (total_steps - step) / total_steps


def _stays(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    return peak * min(1.0, (step + 1) / (warmup_steps + 1))


def _no_warmup(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    return peak * (total_steps - step) / total_steps


def _no_peak(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    return warmup_linear(step, total_steps, warmup_steps, 1.0)


def _share_done(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (step - warmup_steps) / (total_steps - warmup_steps)


def _whole_division(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * ((step + 1) // (warmup_steps + 1))
    return peak * ((total_steps - step) // (total_steps - warmup_steps))


def _rises_over_all(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / total_steps
    return peak * (total_steps - step) / (total_steps - warmup_steps)


def _divides_by_warmup(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    rising = step / warmup_steps
    return peak * min(rising, (total_steps - step) / (total_steps - warmup_steps))


# ---------------- how far the confidence of a model is from its accuracy
# Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3 (arXiv:1706.04599).


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


def _expected_calibration_error_case(confidence: Any, correct: Any, bins: int) -> Case:
    return {"confidence": np.asarray(confidence), "correct": np.asarray(correct), "bins": bins}


def _expected_calibration_error_cases() -> list[Case]:
    random = np.random.default_rng(3)
    many = random.uniform(0.5, 1.0, 60)
    return [
        _expected_calibration_error_case([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 2),
        _expected_calibration_error_case([0.9, 0.9, 0.9, 0.3], [1, 1, 0, 1], 2),  # three in one bin, one in the other
        _expected_calibration_error_case([0.5, 0.5, 0.9], [1, 1, 0], 2),  # 0.5 belongs to the lower bin
        _expected_calibration_error_case([0.25, 0.3, 0.75, 0.8, 1.0], [0, 1, 0, 1, 0], 4),
        _expected_calibration_error_case(
            [0.9, 0.9, 0.1, 0.1], [0, 0, 1, 1], 2
        ),  # too sure in one bin, too modest in the other
        _expected_calibration_error_case([0.95], [1], 10),
        _expected_calibration_error_case([0.95, 0.55, 0.52], [0, 1, 1], 10),  # most bins are empty
        _expected_calibration_error_case(many, (random.uniform(size=60) < many - 0.1).astype(int), 15),
        _expected_calibration_error_case(many[:20], np.ones(20, dtype=int), 1),
    ]


def _judge_expected_calibration_error(case: Case, expected: Any, got: Any) -> str | None:
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


EXERCISES = (
    Exercise(warmup_linear, _warmup_linear_cases, _judge_warmup_linear),
    Exercise(expected_calibration_error, _expected_calibration_error_cases, _judge_expected_calibration_error),
)
