"""Intervals and plans for a new version, against published values, the row-wise bootstrap and simulated trials."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest

from course_lib.errors import BadInput
from course_lib.evaluation import paired_bootstrap
from course_lib.evaluation.rollout import POWER, paired_difference, plan_rollout, unpaired_difference

BOTH, ONLY_STABLE, ONLY_CANDIDATE = 0.80, 0.08, 0.05


@pytest.mark.parametrize(
    ("counts", "low", "high"),  # Newcombe 1998, table II, examples (a) and (h), method 10
    [((56, 70, 48, 80), 0.0524, 0.3339), ((10, 10, 0, 10), 0.6075, 1.0)],
)
def test_the_unpaired_interval_is_the_published_one(counts: tuple[int, ...], low: float, high: float) -> None:
    found = unpaired_difference(*counts)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


def test_the_paired_interval_is_that_of_the_bootstrap_over_rows() -> None:
    rows = np.repeat([1.0, -1.0, 0.0], [60, 40, 900])
    by_rows, by_counts = paired_bootstrap(rows, np.zeros(1000)), paired_difference(60, 40, 1000)
    assert by_counts.estimate == pytest.approx(by_rows.estimate)
    assert (by_counts.low, by_counts.high) == pytest.approx((by_rows.low, by_rows.high), abs=0.003)


def _differences(n: int, rest: int, trials: int, mode: str) -> Any:
    """Candidate minus stable in simulated trials."""
    draw = np.random.default_rng(0)
    if mode == "shadow":
        rates = [ONLY_STABLE, ONLY_CANDIDATE, 1 - ONLY_STABLE - ONLY_CANDIDATE]
        counts = draw.multinomial(n, rates, trials)
        return (counts[:, 1] - counts[:, 0]) / n
    return draw.binomial(n, BOTH + ONLY_CANDIDATE, trials) / n - draw.binomial(rest, BOTH + ONLY_STABLE, trials) / rest


@pytest.mark.parametrize("mode", ["canary", "shadow"])
def test_the_plan_is_what_trials_find(mode: Literal["canary", "shadow"]) -> None:
    plan = plan_rollout(BOTH, ONLY_STABLE, ONLY_CANDIDATE, 1000, 0.2, 10, mode)
    n = round(plan.texts)
    found = _differences(n, 8000, 20_000, mode)
    assert n == 2000 and plan.half_width == pytest.approx(1.96 * found.std(), rel=0.03)
    needed = round(plan.hours_to_notice * 200)
    noticed = plan_rollout(BOTH, ONLY_STABLE, ONLY_CANDIDATE, 1000, 0.2, plan.hours_to_notice, mode)
    trials = _differences(needed, 4 * needed, 20_000, mode)
    assert np.mean(trials + noticed.half_width < 0) == pytest.approx(POWER, abs=0.02)
    assert plan.users_until_noticed == pytest.approx(needed if mode == "canary" else 0, abs=1)


def test_a_smaller_canary_takes_longer_and_meets_about_as_many_users() -> None:
    small, large = (plan_rollout(BOTH, ONLY_STABLE, ONLY_CANDIDATE, 1000, part, 8, "canary") for part in (0.01, 0.1))
    assert small.hours_to_notice > 9 * large.hours_to_notice
    assert small.users_until_noticed == pytest.approx(large.users_until_noticed, rel=0.1)


def test_equal_versions_are_never_told_apart() -> None:
    assert math.isinf(plan_rollout(0.8, 0.05, 0.05, 1000, 0.1, 8, "shadow").hours_to_notice)
    assert plan_rollout(0.9, 0, 0, 1000, 1, 8, "shadow").half_width == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"both": 0.9, "only_stable": 0.2}, "do not fit"),
        ({"mode": "blue"}, "mode 'blue'"),
        ({"fraction": 1.0}, "fraction 1.0"),
        ({"hours": 0}, "for 0 hours"),
    ],
)
def test_bad_plans_are_named(changes: dict[str, Any], said: str) -> None:
    plan: dict[str, Any] = {"both": 0.8, "only_stable": 0.1, "only_candidate": 0.05, "texts_per_hour": 100}
    with pytest.raises(BadInput, match=said):
        plan_rollout(**({**plan, "fraction": 0.1, "hours": 1, "mode": "canary"} | changes))
    with pytest.raises(BadInput, match="of 10 texts"):
        paired_difference(8, 8, 10)
