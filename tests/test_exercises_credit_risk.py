"""Credit risk: other right answers pass, sly ones do not, and the references are what the library computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from answers import SEED, Answer, Edit, Mistakes, judged
from fairlearn.metrics import equal_opportunity_difference
from hypothesis import strategies as st

from course_lib.evaluation import correct_prior
from course_lib.exercises import reference
from course_lib.exercises.topics import credit_risk

# ---------------------------------------------------------------- other right answers


def rate_by_library(probabilities: np.ndarray, trained_rate: float, actual_rate: float) -> Any:
    both = np.column_stack([1 - probabilities, probabilities])
    return correct_prior(both, [1 - trained_rate, trained_rate], [1 - actual_rate, actual_rate])[:, 1]


def gap_by_fairlearn(approved: np.ndarray, defaulted: np.ndarray, group: np.ndarray) -> Any:
    return equal_opportunity_difference(1 - defaulted, approved, sensitive_features=group)


def reasons_in_a_loop(contributions: np.ndarray) -> list[int]:
    return [max(range(len(row)), key=lambda j: row[j]) if max(row) > 0 else -1 for row in contributions.tolist()]


def evidence_in_a_loop(bins: np.ndarray, defaulted: np.ndarray, n_bins: int) -> list[float]:
    rate = defaulted.sum() / len(defaulted)
    counts = [(defaulted[bins == b].sum() + rate, (1 - defaulted[bins == b]).sum() + 1 - rate) for b in range(n_bins)]
    return [float(np.log(bad * (1 - rate) / (good * rate))) for bad, good in counts]


def contributions_in_a_loop(evidence: Any, coefficients: Any, intercept: float, means: Any) -> tuple[float, Any]:
    base = intercept + sum(c * m for c, m in zip(coefficients, means, strict=True))
    return base, [[c * x - c * m for c, x, m in zip(coefficients, row, means, strict=True)] for row in evidence]


def refuse_by_threshold(probabilities: Any, cost_default: Any, cost_refusal: Any) -> list[int]:
    return [int(p * d - (1 - p) * r > 0) for p, d, r in zip(probabilities, cost_default, cost_refusal, strict=True)]


def letter_step_by_step(refused: bool, probability: float, names: Any, contributions: Any, most: int) -> list[str]:
    if not refused:
        return [f"Approved: the risk of a default is {probability:.0%}."]
    lines = [f"Refused: the risk of a default is {probability:.0%}."]
    points = [round(100 * float(one)) for one in contributions]
    rest = total = round(100 * float(sum(contributions)))
    for value, place in sorted((-value, place) for place, value in enumerate(points) if value > 0)[:most]:
        lines.append(f"{names[place]}: {-value:+d} points")
        rest += value
    return [*lines, f"All other columns: {rest:+d} points", f"Together: {total:+d} points"]


RIGHT: dict[str, list[Answer]] = {
    "correct_default_rate": [rate_by_library],
    "equal_opportunity_gap": [gap_by_fairlearn],
    "main_reasons": [reasons_in_a_loop],
    "weight_of_evidence": [evidence_in_a_loop],
    "score_contributions": [contributions_in_a_loop],
    "refuse": [refuse_by_threshold],
    "decision_letter": [letter_step_by_step],
}
RATE = st.floats(0.01, 0.99)
DRAWN = {
    "correct_default_rate": st.tuples(SEED.map(lambda random: random.random(5)), RATE, RATE),
    "main_reasons": st.tuples(SEED.map(lambda random: random.normal(-0.5, 1, (4, 3)))),
    "weight_of_evidence": SEED.map(lambda r: (r.integers(0, 3, 20), np.r_[0, 1, r.integers(0, 2, 18)], 4)),
    "refuse": SEED.map(lambda random: (random.random(5), random.uniform(1, 9, 5), random.uniform(1, 2, 5))),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "correct_default_rate": [("(bad + good)", "(bad + good + 1e-3)"), ("(1 - trained_rate)", "0.5")],
    "equal_opportunity_gap": [("min(rates)", "rates[0]"), ("defaulted == 0", "defaulted == defaulted[0]")],
    "main_reasons": [("<= 0", "<= 0.15"), ("= -1", "= 0")],
    "weight_of_evidence": [("+ (1 - rate)", "+ 0.75"), ("minlength=n_bins) + rate", "minlength=n_bins) + 0.5")],
    "score_contributions": [("evidence - means", "evidence - evidence.mean(0)"), ("@ means", "@ means.round(1)")],
    "refuse": [("cost_default >", "cost_default.mean() >"), ("* cost_refusal", "* cost_refusal.mean()")],
    "decision_letter": [("> 0", "> 10"), ("[:most]", "[:3]")],
}  # fmt: skip
MISTAKES: Mistakes = {
    "main_reasons": [(lambda contributions: [0.5] * len(contributions), "The number at [0] should be 0")],
    "refuse": [(lambda *given: "no", "2 truth values"), (lambda p, *costs: p, "truth values")],
    "decision_letter": [(lambda *given: "Refused", "a list of lines"), (lambda *given: [], "should have 1 lines")],
    "score_contributions": [(lambda *given: 1.0, "a pair, base and contributions")],
}
TestExercises = judged([*credit_risk.EXERCISES, *credit_risk.BUILD], RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- texts, and the library


def test_the_worked_examples_of_the_tasks() -> None:
    assert reference.correct_default_rate(np.array([0.5]), 0.5, 0.2) == pytest.approx([0.2])
    assert reference.main_reasons(np.array([[0.4, -0.9, 0.1], [-0.2, -0.1, 0.0]])).tolist() == [0, -1]
    letter = reference.decision_letter(True, 0.6, ["PAY_0", "AGE"], np.array([1.2, -0.05]), 3)
    assert letter[1:] == ["PAY_0: +120 points", "All other columns: -5 points", "Together: +115 points"]


def test_an_empty_bin_says_nothing() -> None:
    assert reference.weight_of_evidence(np.array([0, 0, 2]), np.array([1, 0, 0]), 4)[[1, 3]] == pytest.approx([0, 0])


def test_the_numbers_of_the_quiz() -> None:
    threshold = 1 / (6 + 1)
    assert 6 * threshold == pytest.approx(1 - threshold)
