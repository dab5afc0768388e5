"""Figures of a service: latency over load, distributions of latencies, a run with its events, replicas over a day."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, MultipleLocator, NullLocator
from numpy.typing import ArrayLike, NDArray

from course_lib.costs import mg1_wait
from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.style import GREY, INK, PALE, check_columns, course_style, new_axes, series_style, set_labels

if TYPE_CHECKING:
    from course_lib.serving.simulation import ScalingRun

Floats = NDArray[np.float64]
HIGHEST_LOAD = 0.98  # where the lines of the formulas end: at 1 they are infinite


@course_style
def latency_over_load(
    table: pd.DataFrame, mean_service: float, scv: float, title: str = "Mean latency at each load"
) -> Axes:
    """Measured mean latencies with their intervals, beside those that queueing theory predicts (log axis).

    M/G/1 (Pollaczek-Khinchine) knows the variance of the service times; M/M/1 assumes exponential ones. Both serve one
    request at a time in order of arrival, so a server that computes batches is faster than they predict at high load.

    Args:
        table: load (arrival rate times mean_service), mean (s), and low and high of its interval; p99 (s) if known.
        mean_service: mean seconds of one request without waiting.
        scv: squared coefficient of variation of the service times.
        title: of the figure.

    Raises:
        BadInput: a column or all rows are missing, a number is not positive, or what `costs.mg1_wait` raises.
    """
    check_columns(table, "load", "mean", "low", "high")
    _check_positive(table, "load", "mean", "low", "high")
    rows, ax = table.sort_values("load"), new_axes(6.8, 4.0)
    loads = np.linspace(min(0.05, rows["load"].min()), HIGHEST_LOAD, 200)
    for number, (name, variation) in enumerate([("M/G/1 (Pollaczek-Khinchine)", scv), ("M/M/1", 1.0)], start=1):
        latency = [mean_service + mg1_wait(load / mean_service, mean_service, variation) for load in loads]
        look = series_style(number)
        ax.plot(loads, 1000 * np.array(latency), color=look.colour, linestyle=look.line, label=name)
    look, mean = series_style(0), 1000 * rows["mean"]
    lengths = style.whiskers(mean, 1000 * rows["low"], 1000 * rows["high"])
    ax.errorbar(rows["load"], mean, yerr=lengths, fmt=look.marker, color=look.colour, capsize=3, label="measured mean")
    if "p99" in rows:
        ax.plot(rows["load"], 1000 * rows["p99"], "^", color=look.colour, markerfacecolor="white", label="measured p99")
    ax.axvline(1, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    ax.annotate("capacity", (1, 1), (4, -2), xycoords=("data", "axes fraction"), textcoords="offset points", va="top")
    _log_milliseconds(ax)
    set_labels(ax, title, "load (arrival rate / service rate)", "latency (ms, log scale)", wrap=66)
    ax.legend(loc="upper left")
    return ax


@course_style
def latency_ecdf(
    runs: Mapping[str, ArrayLike], slo: float | None = None, title: str = "Latency of each run's requests"
) -> Axes:
    """Fraction of all requests that had their result within each latency (log axis), with 95 % bands.

    A request without a result never counts as answered, so the curve of a run with failures ends below 100 %. The band
    is that of Dvoretzky, Kiefer and Wolfowitz (Massart 1990), for independent requests. Those that wait in the same
    queue are not: repeat a run to see how far it varies.

    Args:
        runs: name -> (n,) latencies in seconds; NaN for a request that was refused, expired or lost.
        slo: seconds that are promised, drawn as a dashed line.
        title: of the figure.

    Raises:
        BadInput: no runs, a run without requests or results, or a latency that is not positive.
    """
    if not runs:
        raise BadInput("there are no runs to draw", "pass name -> latencies in seconds")
    ax = new_axes(6.8, 4.0)
    found = {name: np.sort(_latencies(values, name)) for name, values in runs.items()}  # NaN comes last
    for number, (name, values) in enumerate(found.items()):
        served = 1000 * values[~np.isnan(values)]
        heights = np.arange(1, len(served) + 1) / len(values)
        half = math.sqrt(math.log(2 / 0.05) / (2 * len(values)))
        look = style.line_style(number, len(served)) | {"drawstyle": "steps-post"}
        ax.plot(served, heights, label=f"{name} (n = {len(values):,})", **look)
        ax.fill_between(
            served, np.maximum(0, heights - half), np.minimum(1, heights + half), step="post",
            color=series_style(number).colour, alpha=0.15, linewidth=0,
        )  # fmt: skip
    if slo is not None:
        ax.axvline(1000 * slo, color=INK, linewidth=1, linestyle=(0, (4, 3)), label=f"SLO: {1000 * slo:g} ms")
    style.log_axis(ax, np.concatenate([1000 * values[~np.isnan(values)] for values in found.values()]), room=0.03)
    ax.set_ylim(0, 1.02)
    style.percent_axis(ax.yaxis)
    set_labels(ax, title, "latency (ms, log scale)", "requests with a result", wrap=66)
    style.legend_below(ax, ncols=2)
    return ax


@course_style
def run_timeline(
    scheduled: ArrayLike, latency: ArrayLike, events: Mapping[str, float] | None = None,
    title: str = "Latency of each request over time", status: ArrayLike | None = None,
) -> Axes:  # fmt: skip
    """Each request at its scheduled time with its latency; those without a result on a line of their own on top.

    Args:
        scheduled: (n,) seconds.
        latency: (n,) seconds; NaN for a request without a result.
        events: what happened, such as "kill -9" -> seconds on the same clock.
        title: of the figure.
        status: (n,) of HTTP, 0 where there was no response, as `LoadRun.status`. With it, only 200 is a result, and
            requests that the server refused are told from those that got no response.

    Raises:
        BadInput: no results, different lengths, or a latency that is not positive.
    """
    times, values = np.asarray(scheduled, dtype=np.float64), np.asarray(latency, dtype=np.float64)
    codes = np.where(np.isnan(values), 0, 200) if status is None else np.asarray(status)
    if not times.shape == values.shape == codes.shape:
        raise BadInput(f"{values.size} latencies, {times.size} times, {codes.size} status codes", "pass one for each")
    values = 1000 * _latencies(np.where(codes == 200, values, np.nan), "the run")
    ax = new_axes(7.2, 3.8)
    ax.plot(times, values, ".", color=series_style(0).colour, markersize=3, label="with a result")
    _log_milliseconds(ax)
    bottom, top = 0.8 * np.nanmin(values), np.nanmax(values)
    ax.set_ylim(bottom, top * (top / bottom) ** 0.25)
    lost = "no result" if status is None else "no response"
    for place, marker, name, failed in (
        (0.06, "+", "refused or expired", (codes != 200) & (codes != 0)),
        (0.12, "x", lost, codes == 0),
    ):
        if failed.any():
            heights = np.full(failed.sum(), top * (top / bottom) ** place)
            label = f"{name} ({failed.sum():,} of {len(values):,})"
            ax.plot(times[failed], heights, marker, color=series_style(1).colour, label=label)
    for name, when in (events or {}).items():
        ax.axvline(when, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        ax.annotate(
            name, (when, 1), (3, -2), xycoords=("data", "axes fraction"), textcoords="offset points", va="top",
            fontsize=8.5,
        )  # fmt: skip
    set_labels(ax, title, "time (s)", "latency (ms, log scale)", wrap=70)
    style.legend_below(ax, ncols=3)
    return ax


@course_style
def percentiles_over_rate(table: pd.DataFrame, title: str = "Latency at each rate of requests") -> Axes:
    """p50 and p99 with their intervals over requests per second (log latency axis).

    Args:
        table: rate (requests per second); p50, p50_low, p50_high, p99, p99_low and p99_high in seconds. An end that
            is infinite (too few requests) is drawn as an arrow. NaN where nothing was served.
        title: of the figure.

    Raises:
        BadInput: a column or all rows are missing.
    """
    check_columns(table, "rate", *(f"{name}{end}" for name in ("p50", "p99") for end in ("", "_low", "_high")))
    rows, ax = table.sort_values("rate"), new_axes(6.8, 3.6)
    for number, name in enumerate(("p50", "p99")):
        middle, low, high = (1000 * rows[f"{name}{end}"].to_numpy(float) for end in ("", "_low", "_high"))
        look, open_above, open_below = series_style(number), np.isinf(high), np.isinf(low)
        ends = np.where(open_below, middle, low), np.where(open_above, middle, high)
        ax.errorbar(
            rows["rate"], middle, yerr=style.whiskers(middle, *ends), fmt=look.marker, linestyle=look.line,
            color=look.colour, capsize=3, label=name,
        )  # fmt: skip
        for is_open, away in ((open_above, 18), (open_below, -18)):
            for rate, value in zip(rows["rate"][is_open], middle[is_open], strict=True):
                arrow = {"arrowstyle": "<-", "color": look.colour}
                ax.annotate("", (rate, value), (0, away), textcoords="offset points", arrowprops=arrow)
    _log_milliseconds(ax)
    set_labels(ax, title, "requests per second", "latency (ms, log scale)", wrap=66)
    ax.legend(loc="best")
    return ax


@course_style
def autoscaling_day(
    rates: ArrayLike, runs: Sequence[ScalingRun], service_rate: float, title: str = "Replicas over a day"
) -> tuple[Axes, ...]:
    """One panel for each policy: replicas, the number that the traffic keeps busy, and where the SLO was violated.

    Args:
        rates: (intervals,) requests per second over 24 hours.
        runs: of `serving.simulation.autoscale` on these rates.
        service_rate: requests per second of one replica.
        title: of the figure.

    Returns:
        The axes of each policy, from top to bottom.

    Raises:
        BadInput: no runs, a run of another number of intervals, or a service rate that is not positive.
    """
    demand = np.asarray(rates, dtype=np.float64)
    if not runs or any(len(run.replicas) != len(demand) for run in runs) or not service_rate > 0:
        raise BadInput(
            f"{len(runs)} runs for {len(demand)} rates, service rate {service_rate}",
            "pass the runs of autoscale on these rates, and a rate above 0",
        )
    hours, highest = np.arange(len(demand)) * 24 / len(demand), max(int(run.replicas.max()) for run in runs)
    panels = plt.subplots(len(runs), 1, figsize=(7.2, 1.2 + 1.5 * len(runs)), sharex=True, squeeze=False)[1][:, 0]
    for ax, run in zip(panels, runs, strict=True):
        ax.fill_between(hours, demand / service_rate, color=PALE, edgecolor=GREY, label="replicas kept busy")
        ax.step(hours, run.replicas, where="post", color=series_style(0).colour, label="replicas in service")
        missed = hours[run.violated]
        places = np.full(len(missed), -0.06 * highest)
        ax.plot(missed, places, "x", color=series_style(1).colour, markersize=4, label="SLO violated")
        missed_rate = f"{run.violation_rate:.1%} of requests in a violation"
        set_labels(ax, f"{run.policy}: {run.replica_hours:,.0f} replica-hours, {missed_rate}", "", "replicas")
        ax.set_ylim(-0.12 * highest, max(highest, demand.max() / service_rate) * 1.08)
        ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    panels[0].set_title(f"{title}\n{panels[0].get_title(loc='left')}")
    ax.set_xlim(0, 24)
    ax.xaxis.set_major_locator(MultipleLocator(3))
    ax.set_xlabel("hour of the day")
    style.legend_below(ax, ncols=3)
    return tuple(panels)


def _log_milliseconds(ax: Axes) -> None:
    """A logarithmic y axis with plain numbers."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=9))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _latencies(values: ArrayLike, name: str) -> Floats:
    """(n,) seconds. Raises BadInput unless there is a result, and all results took time."""
    found = np.asarray(values, dtype=np.float64)
    served = found[~np.isnan(found)]
    if found.ndim != 1 or not len(served) or not ((served > 0) & np.isfinite(served)).all():
        raise BadInput(f"the latencies of {name} have no result, or one not above 0", "pass seconds, NaN for failures")
    return found


def _check_positive(table: pd.DataFrame, *columns: str) -> None:
    for column in columns:
        numbers = table[column].to_numpy(float)
        if not ((numbers > 0) & np.isfinite(numbers)).all():
            raise BadInput(f"{column} is {table[column].tolist()!r:.80}", "pass positive numbers")
