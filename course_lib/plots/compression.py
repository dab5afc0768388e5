"""Figures of smaller models: what they cost and lose, what quantization does to their weights, and where it hurts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.scatter import Better, draw_front, pareto_front
from course_lib.plots.style import GREY, INK, MINUS, check_columns, course_style, new_axes, series_style, set_labels

if TYPE_CHECKING:
    from torch import Tensor

    from course_lib.compression.quantization import QuantParams

BINS = 61  # of a histogram of weights
_CLOSE = 1e-9  # accuracies so near each other are equal


class Measure(NamedTuple):
    """What a model costs or yields, beside its accuracy."""

    name: str  # of the axis
    unit: str  # after a number
    better: Better


MEASURES = {
    "megabytes": Measure("size of the model file (MB, log scale)", " MB", "low"),
    "median_ms": Measure("median time for one text (ms, log scale)", " ms", "low"),
    "p99_ms": Measure("99th percentile of the time for one text (ms, log scale)", " ms", "low"),
    "texts_a_second": Measure("texts a second (log scale)", " texts a second", "high"),
}


def measure_of(column: str) -> Measure:
    """What is known of a column; of any other one, that less of it is better."""
    plain = column.replace("_", " ")
    return MEASURES.get(column, Measure(f"{plain} (log scale)", f" {plain}", "low"))


def amount(column: str, value: float) -> str:
    """A measured number in words, such as "3.8 MB"."""
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}") + measure_of(column).unit


@course_style
def pareto(table: pd.DataFrame, x: str = "megabytes", floor: float | None = None, title: str = "") -> Axes:
    """Models by what they cost and how accurate they are, and the front of those that no other one dominates.

    A model is dominated where another is at least as good in both and better in one. The line is the best accuracy
    that can be had for so much of x.

    Args:
        table: model, accuracy (0 to 1), the column `x`, and the interval of the accuracy as low and high where it is
            known; a row for each model.
        x: cost, above 0: `megabytes`, `median_ms`, `p99_ms`, `texts_a_second` or any other column of which less is
            better.
        floor: the least accuracy that is acceptable: models below it are shown, but cannot be on the front.
        title: of the figure.

    Raises:
        BadInput: no rows, a column is missing, an accuracy is not from 0 to 1, or x is not above 0.
    """
    ends = [name for name in ("low", "high") if name in table]
    style.check_fractions(check_columns(table, "model", x, "accuracy"), "accuracy", *ends)
    if not ((table[x] > 0) & (table[x] < math.inf)).all():
        raise BadInput(f"{x} is {table[x].tolist()}", "pass numbers above 0, without gaps")
    rows, measure = table.sort_values(x, kind="stable", ignore_index=True), measure_of(x)
    xs, ys = rows[x].to_numpy(float), rows["accuracy"].to_numpy(float)
    allowed = ys >= (-math.inf if floor is None else floor - _CLOSE)
    on_front = pareto_front(xs, ys, measure.better, allowed)
    ax = new_axes(7.0, 4.5)
    xs_twice, ys_twice = np.repeat(xs[on_front], 2), np.repeat(ys[on_front], 2)
    corners = (xs_twice[1:], ys_twice[:-1]) if measure.better == "low" else (xs_twice[:-1], ys_twice[1:])
    ax.plot(*corners, color=series_style(0).colour, linewidth=1.4, zorder=2)
    if floor is not None:
        ax.axhline(floor, color=INK, linewidth=1, linestyle=(0, (4, 3)), label=f"at least {floor:.1%}", zorder=1)
    set_labels(ax, title, measure.name, "accuracy", wrap=68)
    style.percent_axis(ax.yaxis)
    lengths = style.whiskers(ys, rows["low"], rows["high"]) if len(ends) == 2 else np.zeros((2, len(rows)))
    names = rows["model"].astype(str).tolist()
    draw_front(ax, xs, ys, lengths, names, "dominated", measure.better, allowed)
    return ax


@course_style
def weight_histogram(weights: Tensor, qparams: QuantParams, title: str = "") -> tuple[Axes, Axes]:
    """How often each weight occurs, and below it the numbers that the quantization grid has.

    Where rows or groups have scales of their own, the grids of the narrowest and of the widest are drawn. Weights that
    are more than half a step beyond the ends of their own grid are clipped: they have another colour.

    Args:
        weights: any shape, finite.
        qparams: of these weights.
        title: of the figure.

    Returns:
        The axes of the histogram and of the grids.

    Raises:
        BadInput: no weight, weights that are not finite, or parameters of another shape.
    """
    import torch

    from course_lib.compression.quantization import check_finite  # loads torch: not on import

    values = check_finite(weights)
    codes = (torch.full_like(values, end, dtype=torch.int32) for end in (qparams.low, qparams.high))
    low, high = (qparams.dequantize(code) for code in codes)  # the ends of each weight's own grid
    steps = qparams.high - qparams.low
    half = 0.5001 * (high - low) / steps  # a last bit of float32 does not count
    clipped = ((values < low - half) | (values > high + half)).numpy(force=True)
    numbers = values.numpy(force=True)
    ax, below = plt.subplots(2, 1, figsize=(6.6, 4.2), sharex=True, height_ratios=[5, 1])[1]
    edges = np.histogram_bin_edges(numbers, BINS).tolist()
    label = f"clipped: {clipped.mean():.2%} of the weights" if clipped.any() else ""
    ax.hist(numbers.ravel(), edges, color=series_style(4).colour, edgecolor=series_style(0).colour, label="weights")
    ax.hist(numbers[clipped], edges, color=series_style(1).colour, edgecolor="white", hatch="///", label=label)
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.7)
    if clipped.any():
        style.legend_below(ax)
    used = values != 0 if values.any() else values == 0  # a group of zeros has a scale of 1, whatever the others have
    widths = (high - low)[used]
    chosen = {"narrowest grid": int(widths.argmin()), "widest grid": int(widths.argmax())}
    if widths.min() == widths.max():
        chosen = {f"{steps + 1} grid points": 0}
    for row, at in enumerate(chosen.values()):
        points = np.linspace(float(low[used][at]), float(high[used][at]), steps + 1)
        below.plot(points, np.full(len(points), row), "|-", color=series_style(0).colour, linewidth=0.7, markersize=9)
    style.name_rows(below, list(chosen))
    set_labels(ax, title, "", "weights (log scale)")
    below.set_xlabel("value of a weight")
    return ax, below


@course_style
def sensitivity(matrix_errors: pd.DataFrame, title: str = "", bar: str = "mean change of a logit") -> Axes:
    """The error from quantizing one matrix alone: a row for each layer, a column for each matrix; darker is worse.

    Args:
        matrix_errors: layer, matrix (such as "query") and error (the mean change of a logit), a row for each matrix of
            each layer, as `compression.quantization_sensitivity` returns them.
        title: of the figure.
        bar: what the shades show.

    Raises:
        BadInput: no rows, a column is missing, a number is not finite, or a matrix occurs twice.
    """
    table = check_columns(matrix_errors, "layer", "matrix", "error")
    if not np.isfinite(table["error"].to_numpy(float)).all():
        raise BadInput("error has gaps or infinite numbers", "pass finite numbers; leave other rows out")
    style.check_unique(table, "layer", "matrix")
    layers, names = sorted(table["layer"].unique()), list(dict.fromkeys(table["matrix"]))
    grid = table.pivot(index="layer", columns="matrix", values="error").loc[layers, names].to_numpy(float)
    ax, high = new_axes(2.6 + 0.95 * len(names), 1.5 + 0.42 * len(layers)), max(float(np.nanmax(grid)), 1e-12)
    whole = not np.nan_to_num(grid % 1).any()
    digits = 0 if whole else max(0, 1 - math.floor(math.log10(high)))
    texts = [["" if np.isnan(cell) else f"{cell:.{digits}f}" for cell in line] for line in grid]
    style.draw_cells(ax, grid, texts, [str(layer) for layer in layers], names, (0, high), bar)
    set_labels(ax, title, "quantized matrix", "layer")
    return ax


@course_style
def accuracy_by_slice(table: pd.DataFrame, title: str = "") -> Axes:
    """The loss of accuracy on kinds of sentences with its interval, the largest loss on top.

    Args:
        table: slice, n, lost, low and high (percentage points), as `compression.accuracy_by_slice` returns it.
        title: of the figure.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    check_columns(table, "slice", "n", "lost", "low", "high")
    rows = table.sort_values("lost", ascending=False, kind="stable")
    ax, places = new_axes(7.0, 1.3 + 0.36 * len(table)), np.arange(len(rows))
    lengths = style.whiskers(rows["lost"], rows["low"], rows["high"])
    ax.axvline(0, color=INK, linewidth=1)
    ax.errorbar(rows["lost"], places, xerr=lengths, fmt="o", color=series_style(0).colour, ecolor=GREY, capsize=4)
    for place, lost in enumerate(rows["lost"]):
        text = f"{lost:.1f}".replace("-", MINUS)
        ax.annotate(text, (lost, place), (0, 6), textcoords="offset points", ha="center", fontsize=9)
    style.name_rows(ax, [f"{name} (n={n:,.0f})" for name, n in zip(rows["slice"], rows["n"], strict=True)])
    set_labels(ax, title, "accuracy lost (percentage points), simultaneous 95 % intervals")
    return ax
