"""Credit risk: the prior of a rebalanced model, a gap between groups, reasons; the build is a decision with reasons."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import as_numbers, brief, judge_array, kind, pair_problem

# ---------------- probabilities of a rebalanced model
# Saerens et al. 2002, equation 4. The library's version: `course_lib.evaluation.correct_prior`.


def correct_default_rate(probabilities: np.ndarray, trained_rate: float, actual_rate: float) -> np.ndarray:
    """Probabilities (n,) of a model trained at one rate of defaults, for clients with another rate."""
    bad = probabilities * (actual_rate / trained_rate)
    good = (1 - probabilities) * ((1 - actual_rate) / (1 - trained_rate))
    return np.asarray(bad / (bad + good))


def _rate_cases() -> list[Arguments]:
    drawn = np.random.default_rng(0).random(6)
    return [
        ([0.5], 0.5, 0.2),
        ([0.8, 0.5, 0.1], 0.5, 0.2),
        ([0.0, 1.0, 0.3], 0.5, 0.22),
        ([0.3, 0.6], 0.2, 0.4),
        ([0.05, 0.4], 0.1, 0.1),
        (drawn, 0.5, 0.05),
    ]


# ---------------- the same chance for clients who repay
# Hardt, Price and Srebro 2016, definition 2.2 (arXiv:1610.02413). fairlearn: `equal_opportunity_difference`.


def equal_opportunity_gap(approved: np.ndarray, defaulted: np.ndarray, group: np.ndarray) -> float:
    """Largest minus smallest approval rate of the groups, among the clients who repay."""
    repays = defaulted == 0
    rates = [approved[repays & (group == name)].mean() for name in np.unique(group)]
    return float(max(rates) - min(rates))


def _gap_cases() -> list[Arguments]:
    random = np.random.default_rng(1)
    drawn = [
        (random.integers(0, 2, n), random.integers(0, 2, n), random.integers(0, k, n)) for n, k in ((40, 2), (90, 3))
    ]
    return [
        ([1, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 1]),
        ([1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 0], [0, 0, 0, 1, 1, 1]),
        ([1, 1, 0, 0, 1, 1], [0, 1, 1, 0, 0, 0], [5, 5, 5, 2, 2, 2]),
        ([0, 0, 0, 1, 1, 0, 0], [1, 0, 1, 0, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1]),
        ([1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1]),
        *drawn,
    ]


# ---------------- the reason for a refusal


def main_reasons(contributions: np.ndarray) -> np.ndarray:
    """For each client of (n, columns) the column that raises the risk most, or -1 where none raises it."""
    reasons = contributions.argmax(axis=1)
    reasons[contributions.max(axis=1) <= 0] = -1
    return np.asarray(reasons)


def _reason_cases() -> list[Arguments]:
    return [
        ([[0.5, -0.1]],),
        ([[0.4, -0.9, 0.1], [0.2, 0.3, -0.6]],),
        ([[-0.2, -0.1], [0.1, -0.3]],),
        ([[0.0, 0.0, -1.0], [0.0, 0.7, 0.2]],),
        (np.random.default_rng(2).normal(size=(12, 5)),),
        (np.random.default_rng(3).normal(-1, 1, size=(12, 3)),),
    ]


EXERCISES = (
    Exercise(correct_default_rate, _rate_cases, judge_array),
    Exercise(equal_opportunity_gap, _gap_cases, judge_array),
    Exercise(main_reasons, _reason_cases, judge_array),
)


# ================ the build: a credit decision with reasons ================
# Siddiqi 2006, Credit Risk Scorecards, chapter 6, with the sign toward a default.


def weight_of_evidence(bins: np.ndarray, defaulted: np.ndarray, n_bins: int) -> np.ndarray:
    """For each bin (n_bins,) its log-odds of a default minus those of all clients, smoothed."""
    rate = defaulted.mean()
    bad = np.bincount(bins[defaulted == 1], minlength=n_bins) + rate
    good = np.bincount(bins[defaulted == 0], minlength=n_bins) + (1 - rate)
    return np.asarray(np.log(bad / good) - np.log(rate / (1 - rate)))


def _evidence_cases() -> list[Arguments]:
    random = np.random.default_rng(4)
    return [
        ([0, 0, 1, 1], [1, 0, 0, 0], 2),
        ([0, 1, 1, 2, 2, 2], [0, 1, 1, 0, 0, 1], 3),
        ([0, 0, 3, 3], [1, 0, 1, 1], 5),  # bins without a client
        (random.integers(0, 4, 60), (random.random(60) < 0.3).astype(int), 4),
    ]


def score_contributions(
    evidence: np.ndarray, coefficients: np.ndarray, intercept: float, means: np.ndarray
) -> "tuple[float, np.ndarray]":
    """Log-odds of an average client, and what each column adds for each client (n, columns)."""
    base = intercept + coefficients @ means
    return float(base), (evidence - means) * coefficients


def _contribution_cases() -> list[Arguments]:
    random = np.random.default_rng(5)
    return [
        ([[1.0, -0.5]], [2.0, 1.0], 0.5, [0.0, 0.0]),
        ([[1.0, -0.5], [0.0, 0.3]], [0.8, 1.2], -1.0, [0.1, 0.2]),
        (random.normal(size=(5, 4)), random.normal(size=4), -1.3, random.normal(size=4)),
    ]


def _judge_contributions(case: Case, expected: Any, got: Any) -> str | None:
    names = ("base", "contributions")
    if problem := pair_problem(names, expected, got):
        return problem
    for name, wanted, found in zip(names, expected, got, strict=True):
        if problem := judge_array(case, np.asarray(wanted)[()], found):
            return f"{name}: {problem}"
    return None


def refuse(probabilities: np.ndarray, cost_default: np.ndarray, cost_refusal: np.ndarray) -> np.ndarray:
    """True (n,) where an approval is expected to cost more than a refusal, by the costs of each client."""
    return np.asarray(probabilities * cost_default > (1 - probabilities) * cost_refusal)


def _refuse_cases() -> list[Arguments]:
    random = np.random.default_rng(7)
    return [
        ([0.1, 0.3], [5.0, 5.0], [1.0, 1.0]),
        ([0.5, 0.45, 0.6], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]),  # equal costs at 0.5: no refusal
        ([0.2, 0.2, 0.2, 0.5], [1.0, 3.0, 10.0, 2.0], [1.0, 1.0, 1.0, 3.0]),
        (random.random(20), random.uniform(1, 9, 20), random.uniform(0.5, 2, 20)),
    ]


def _judge_flags(case: Case, expected: Any, got: Any) -> str | None:
    found = as_numbers(got)
    if found is None or found.shape != expected.shape or not np.isin(found, (0, 1)).all():
        return f"The result should be {len(expected)} truth values, but it is {kind(got)} that reads {brief(got)}."
    wrong = np.flatnonzero(found != expected)
    return f"Client {wrong[0]} should be {'refused' if expected[wrong[0]] else 'approved'}." if len(wrong) else None


def decision_letter(
    refused: bool, probability: float, names: "list[str]", contributions: np.ndarray, most: int
) -> "list[str]":
    """The lines of a letter: the decision and, after a refusal, at most `most` reasons that add up."""
    risk = f"the risk of a default is {probability:.0%}."
    if not refused:
        return [f"Approved: {risk}"]
    points, total = np.rint(100 * contributions).astype(int), int(np.rint(100 * contributions.sum()))
    reasons = [column for column in np.argsort(-points, kind="stable")[:most] if points[column] > 0]
    rest = total - sum(points[column] for column in reasons)
    lines = [f"{names[column]}: {points[column]:+d} points" for column in reasons]
    return [f"Refused: {risk}", *lines, f"All other columns: {rest:+d} points", f"Together: {total:+d} points"]


def _letter_cases() -> list[Arguments]:
    names, random = ["PAY_0", "LIMIT_BAL", "AGE", "BILL_AMT1"], np.random.default_rng(8)
    return [
        (False, 0.08, names, [-0.4, -0.1, 0.0, 0.02], 3),
        (True, 0.6, names, [1.2, 0.3, -0.1, 0.05], 2),
        (True, 0.412, names, [0.9, -1.5, 0.2, -0.3], 3),  # the largest in size lowers the risk
        (True, 0.3, names, [0.504, 0.304, 0.204, 0.104], 3),  # rounded parts that add up to less than the sum
        (True, 0.35, names, [0.2, 0.1, 0.6, 0.4], 3),  # not in the order of the columns
        (True, 0.25, names, [-0.2, 0.1, -0.3, -0.1], 3),
        (True, 0.7, names, random.normal(0.3, 0.5, 4), 2),
    ]


def _judge_letter(case: Case, expected: Any, got: Any) -> str | None:
    if not isinstance(got, list | tuple) or not all(isinstance(line, str) for line in got):
        return f"The result should be a list of lines, but it is {kind(got)}."
    for number, (wanted, found) in enumerate(zip(expected, got, strict=False)):
        if wanted != found:
            return f"Line {number} should be {wanted!r}, not {found!r}."
    return None if len(got) == len(expected) else f"The letter should have {len(expected)} lines, not {len(got)}."


BUILD = (
    Exercise(weight_of_evidence, _evidence_cases, judge_array),
    Exercise(score_contributions, _contribution_cases, _judge_contributions),
    Exercise(refuse, _refuse_cases, _judge_flags),
    Exercise(decision_letter, _letter_cases, _judge_letter),
)
