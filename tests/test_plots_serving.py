"""Figures of a service: what is drawn is what was given, and what failed is not left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from test_plots import check_figure, points, whisker_ends

from course_lib import plots
from course_lib.costs import mg1_wait
from course_lib.errors import BadInput
from course_lib.serving.simulation import SCALING, autoscale, day_trace

mpl.use("Agg")
LOADS = pd.DataFrame({
    "load": [0.3, 0.6, 1.2], "mean": [0.005, 0.01, 0.4], "low": [0.004, 0.009, 0.3], "high": [0.006, 0.011, 0.5],
    "p99": [0.02, 0.03, 0.9],
})  # fmt: skip
TIMES = np.linspace(0, 9.9, 100)
LATENCIES = np.where(np.arange(100) % 10 == 3, np.nan, 0.01 + 0.001 * np.arange(100))
RATES = pd.DataFrame({
    "rate": [50, 100], "p50": [0.006, 0.008], "p50_low": [0.005, 0.007], "p50_high": [0.007, 0.009],
    "p99": [0.012, 0.02], "p99_low": [0.01, 0.015], "p99_high": [np.inf, 0.03],
})  # fmt: skip
DAY = day_trace(0)
RUNS = [autoscale(DAY, 10, 0.1, policy, forecast=day_trace(1)) for policy in SCALING]


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (plots.latency_over_load, (LOADS, 0.004, 0.3)),
        (plots.latency_over_load, (LOADS.drop(columns="p99").head(1), 0.004, 0.0)),
        (plots.latency_ecdf, ({"open loop": LATENCIES, "closed loop": LATENCIES[:50]}, 0.05)),
        (plots.run_timeline, (TIMES, LATENCIES, {"hot swap": 2.0, "kill -9": 5.0})),
        (plots.run_timeline, (TIMES[:3], LATENCIES[:3], None)),
        (plots.percentiles_over_rate, (RATES,)),
        (plots.autoscaling_day, (DAY, RUNS, 10)),
    ],
)
def test_a_figure_states_its_title_and_can_be_read(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    check_figure(function, (*arguments, "What is found"), "What is found")


def test_the_lines_are_the_formulas_and_end_before_capacity() -> None:
    ax = plots.latency_over_load(LOADS, 0.004, 0.3)
    lines = {str(line.get_label()): line.get_xydata() for line in ax.lines}
    for name, scv in (("M/G/1 (Pollaczek-Khinchine)", 0.3), ("M/M/1", 1.0)):
        load, milliseconds = lines[name][-1]
        assert load < 1 and milliseconds == pytest.approx(1000 * (0.004 + mg1_wait(load / 0.004, 0.004, scv)))
    assert points(ax)["measured mean"] == [[0.3, 5.0], [0.6, 10.0], [1.2, 400.0]]
    np.testing.assert_allclose(whisker_ends(ax), [[4, 6], [9, 11], [300, 500]])


def test_a_curve_ends_below_all_requests_where_some_failed() -> None:
    ax = plots.latency_ecdf({"a run": LATENCIES})
    milliseconds, fractions = ax.lines[0].get_data()
    assert fractions[-1] == pytest.approx(0.9) and len(milliseconds) == 90
    assert milliseconds[-1] == pytest.approx(1000 * np.nanmax(LATENCIES))
    assert fractions[np.searchsorted(milliseconds, 60.5) - 1] == pytest.approx(np.mean(LATENCIES <= 0.0605))


def test_failures_are_marked_at_their_time_above_all_results() -> None:
    ax = plots.run_timeline(TIMES, LATENCIES, {"kill -9": 5.0})
    failed = next(line for line in ax.lines if "no result" in str(line.get_label()))
    assert failed.get_label() == "no result (10 of 100)"
    np.testing.assert_allclose(failed.get_xdata(), TIMES[3::10])
    assert min(failed.get_ydata()) > 1000 * np.nanmax(LATENCIES)
    assert [text.get_text() for text in ax.texts] == ["kill -9"]


def test_refused_requests_are_told_from_those_without_a_response() -> None:
    status = np.where(np.isnan(LATENCIES), 0, 200)
    status[:4] = 503  # among them one without a latency: it is refused, not lost
    ax = plots.run_timeline(TIMES, LATENCIES, status=status)
    counts = {str(line.get_label()): np.isfinite(np.asarray(line.get_ydata(), float)).sum() for line in ax.lines}
    assert counts == {"with a result": 87, "refused or expired (4 of 100)": 4, "no response (9 of 100)": 9}


def test_an_open_interval_is_an_arrow_and_not_a_whisker() -> None:
    ax = plots.percentiles_over_rate(RATES)
    assert points(ax)["p99"] == [[50, 12.0], [100, 20.0]] and len(ax.texts) == 1
    np.testing.assert_allclose(sorted(whisker_ends(ax)), [[5, 7], [7, 9], [10, 12], [15, 30]])


def test_a_day_shows_each_policy_with_its_violations() -> None:
    axes = plots.autoscaling_day(DAY, RUNS, 10)
    for ax, run in zip(axes, RUNS, strict=True):
        assert f"{run.policy}: {run.replica_hours:,.0f} replica-hours" in ax.get_title(loc="left")
        crosses = next(line for line in ax.lines if line.get_label() == "SLO violated")
        assert len(np.asarray(crosses.get_xdata())) == run.violated.sum()


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (plots.latency_over_load, (LOADS.drop(columns="low"), 0.004, 1.0), "no column 'low'"),
        (plots.latency_over_load, (LOADS.assign(mean=0), 0.004, 1.0), "mean is"),
        (plots.latency_ecdf, ({},), "no runs"),
        (plots.latency_ecdf, ({"one": [np.nan]},), "latencies of one"),
        (plots.latency_ecdf, ({"one": [0.0, 1.0]},), "latencies of one"),
        (plots.run_timeline, (TIMES[:5], LATENCIES), "100 latencies, 5 times"),
        (plots.percentiles_over_rate, (RATES.head(0),), "no rows"),
        (plots.autoscaling_day, (DAY[:5], RUNS, 10), "3 runs for 5 rates"),
        (plots.autoscaling_day, (DAY, [], 10), "0 runs"),
    ],
)
def test_bad_input_is_named(function: Callable[..., Any], arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        function(*arguments)
