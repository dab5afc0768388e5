"""Pictures of smaller models: what they cost and lose, what rounding does to their weights, and who pays for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.plots.attacks import need_fractions
from course_lib.plots.scatter import Better, front_of, log_axis, name_points
from course_lib.plots.style import GREY, INK, canvas, house, in_percent, legend_below, look, need
from course_lib.plots.style import label as name_axes

if TYPE_CHECKING:
    from torch import Tensor

    from course_lib.compression.quantization import QuantParams

BINS = 61  # of a histogram of weights
SHADES = 12  # of a heat map
QUIET = "#5f5f5f"  # names of models that are not on the front
_CLOSE = 1e-9  # accuracies so near each other are equal
_LEAST = 0.7  # weights: a bar begins below one
_STRIP = 0.26  # share of a histogram's height that the grid's points take


class Measure(NamedTuple):
    """A cost or a speed of a model, beside its accuracy."""

    name: str  # of the axis
    unit: str  # after a number
    best: str  # what the model at the good end is called
    better: Better


MEASURES = {
    "megabytes": Measure("size of the model file (MB, log scale)", " MB", "smallest", "low"),
    "median_ms": Measure("median time for one text (ms, log scale)", " ms", "fastest", "low"),
    "p99_ms": Measure("time in which 99 of 100 texts are answered (ms, log scale)", " ms", "fastest", "low"),
    "texts_a_second": Measure("texts a second (log scale)", " texts a second", "fastest", "high"),
}


def measure_of(column: str) -> Measure:
    """What is known of a column; of any other one, that less of it is better."""
    plain = column.replace("_", " ")
    return MEASURES.get(column, Measure(f"{plain} (log scale)", f" {plain}", "lowest", "low"))


def amount(column: str, value: float) -> str:
    """A measured number in words, such as "3.8 MB"."""
    return _digits(value) + measure_of(column).unit


def _digits(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


# ---- size against accuracy -------------------------------------------------------------------------------------


@house
def pareto(
    table: pd.DataFrame,
    x: str = "megabytes",
    y: str = "accuracy",
    low: str | None = None,
    high: str | None = None,
    label: str = "model",
    *,
    better: Better | None = None,
    floor: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Models by what they cost and how often they are right, and the front of those that no other one beats.

    A model is dominated where another is at least as good in both and better in one. The line is the best accuracy to
    be had for so much of x.

    Args:
        table: a row for each model, with these columns.
        x: cost, above 0: `megabytes`, `median_ms`, `p99_ms`, `texts_a_second` or any other column.
        y: a share, from 0 to 1.
        low: the column of the lower end of y's interval; left out, accuracy's ends are `low` and `high`, if they exist.
        high: that of the upper end.
        label: the column of names.
        better: which end of x is good; left out, the one that suits x (`low` for a column that is not known).
        floor: the least y that will do: models below it are shown, but have no place on the front.

    Raises:
        BadInput: no rows, a column is missing, y is no share, x is not above 0, or one end of an interval alone.
    """
    wanted = better or measure_of(x).better
    rows, ends = _checked(table, x, y, low, high, label, wanted)
    xs, ys = rows[x].to_numpy(float), rows[y].to_numpy(float)
    allowed = np.full(len(rows), True) if floor is None else ys >= floor - _CLOSE
    on_front = front_of(xs, ys, wanted, allowed)
    own, ax = ax is None, canvas(ax, 7.0, 4.5)
    kinds = (
        (on_front, "o", look(0).colour, look(0).colour, "on the front"),
        (allowed & ~on_front, "s", "white", QUIET, "dominated by another model"),
        (~allowed, "x", GREY, GREY, "loses too much"),
    )
    corners = _corners(xs[on_front], ys[on_front], wanted)
    ax.plot(*corners.T, color=look(0).colour, linewidth=1.4, zorder=2)
    for mine, marker, fill, edge, name in kinds:
        if mine.any():
            ax.errorbar(
                xs[mine], ys[mine], ends[:, mine] if ends.any() else None, fmt=marker, color=edge, ecolor=GREY,
                markerfacecolor=fill, markeredgecolor=edge, markersize=7.5, elinewidth=1, capsize=3, label=name,
                zorder=3.5 if marker == "o" else 3,
            )  # fmt: skip
    if floor is not None:
        ax.axhline(floor, color=INK, linewidth=1, linestyle=(0, (4, 3)), label=f"at least {floor:.1%}", zorder=1)
    _frame(ax, xs, np.concatenate([ys - ends[0], ys + ends[1], [] if floor is None else [floor]]))
    legend_below(ax, own)
    name_axes(ax, _front_in_words(rows, x, y, label, on_front, wanted, floor), measure_of(x).name, y, fold=68)
    inks = np.where(on_front, INK, QUIET).tolist()
    lines = [corners] if floor is None else [corners, np.array([(value, floor) for value in ax.get_xlim()])]
    name_points(ax, rows[label].astype(str).tolist(), inks, np.stack([xs, ys], axis=1), ends, lines)
    return ax


def _checked(
    table: pd.DataFrame, x: str, y: str, low: str | None, high: str | None, label: str, better: str
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """The rows in order of x, and the lengths of their whiskers, (2, n)."""
    if (low is None) != (high is None):
        raise BadInput(f"low is {low!r}, high is {high!r}", "name both ends of the interval, or none")
    if better not in ("low", "high"):
        raise BadInput(f"better is {better!r}", "use 'low' or 'high'")
    if low is None and y == "accuracy" and {"low", "high"} <= set(table):
        low, high = "low", "high"
    shares = [y] if low is None or high is None else [y, low, high]
    need_fractions(need(table, label, x, *shares), *shares)
    if not ((table[x] > 0) & (table[x] < math.inf)).all():
        raise BadInput(f"{x} is {table[x].tolist()}", "pass numbers above 0, without gaps")
    rows = table.sort_values(x, kind="stable", ignore_index=True)
    if len(shares) == 1:
        return rows, np.zeros((2, len(rows)))
    return rows, np.maximum(0, np.stack([rows[y] - rows[low], rows[high] - rows[y]]).astype(float))


def _corners(xs: NDArray[np.float64], ys: NDArray[np.float64], better: Better) -> NDArray[np.float64]:
    """The steps through the front's points, which ascend in x: (corners, 2)."""
    places: list[tuple[float, float]] = []
    for here in zip(xs.tolist(), ys.tolist(), strict=True):
        if places:
            before = places[-1]
            places.append((here[0], before[1]) if better == "low" else (before[0], here[1]))
        places.append(here)
    return np.array(places).reshape(-1, 2)


def _frame(ax: Axes, xs: NDArray[np.float64], ys: NDArray[np.float64]) -> None:
    """A log axis with plain numbers, and room for names at all sides."""
    log_axis(ax, xs)
    room = 0.12 * max(float(ys.max() - ys.min()), 0.01)
    ax.set_ylim(max(-0.02, float(ys.min()) - room), min(1.02, float(ys.max()) + room))
    ax.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    in_percent(ax.yaxis)


def _front_in_words(
    rows: pd.DataFrame, x: str, y: str, label: str, on_front: NDArray[np.bool_], better: Better, floor: float | None
) -> str:
    if not on_front.any():
        return f"No model has {y} {floor:.1%} or more"
    front = rows[on_front]
    first = front.iloc[0 if better == "low" else -1]
    best = measure_of(x).best if better == measure_of(x).better else "highest" if better == "high" else "lowest"
    many = f"{len(front)} of {len(rows)}"
    return f"{many} on the front; {best}: {first[label]} ({amount(x, first[x])}, {first[y]:.1%})"


# ---- weights and grids -----------------------------------------------------------------------------------------


@house
def weight_histogram(weights: Tensor, qparams: QuantParams, ax: Axes | None = None) -> Axes:
    """How often each weight occurs, and below it the numbers that the grid has.

    Where rows or groups have scales of their own, the points of the narrowest, the median and the widest are drawn.
    Hatched is what gets clipped: weights that lie more than half a step beyond the ends of their own grid, and the
    range that is so far from the widest grid.

    Args:
        weights: any shape, finite.
        qparams: of these weights.

    Raises:
        BadInput: no weight, weights that are not finite, or parameters of another shape.
    """
    from course_lib.compression.quantization import (
        check_finite,
        quantization_error,
    )  # loads torch, which pictures do without

    lost, values = quantization_error(weights, qparams), check_finite(weights)
    ends = _ends(values, qparams)
    clipped = _clipped(values, ends, qparams)
    numbers = values.numpy(force=True).ravel()
    edges = np.histogram_bin_edges(numbers, BINS)
    counts, cut = np.histogram(numbers, edges)[0], np.histogram(numbers[clipped], edges)[0]
    own, ax = ax is None, canvas(ax, 6.6, 3.8)
    _bars(ax, edges, counts, facecolor=look(4).colour, edgecolor=look(0).colour, label="weights")
    if clipped.any():
        said = f"clipped: {_percent(clipped.mean())} of them"
        _bars(ax, edges, cut, facecolor=look(1).colour, edgecolor="white", hatch=look(1).hatch, label=said)
    _count_axis(ax, int(counts.max()))
    alive = values != 0 if values.any() else values == 0  # a group of zeros has a scale of 1, whatever the others have
    low, high = (end[alive] for end in ends)
    half = float((high - low).max()) / (qparams.high - qparams.low) / 2
    _span(ax, edges, float(low.min()) - half, float(high.max()) + half)
    _points_below(ax, low, high, qparams.high - qparams.low + 1)
    if len(ax.get_legend_handles_labels()[0]) > 1:
        legend_below(ax, own)
    scales = qparams.scale.numel()
    many = "one scale" if scales == 1 else f"{scales:,} scales"
    rounded = "nothing lost" if math.isinf(lost.sqnr_db) else f"SQNR {lost.sqnr_db:.1f} dB"
    title = f"{qparams.bits} bits, {many}: largest error {lost.max_abs:.3g}, {rounded}"
    name_axes(ax, title, "value of a weight (no unit)", "weights (log scale)")
    return ax


def _ends(values: Tensor, qparams: QuantParams) -> tuple[Tensor, Tensor]:
    """For each weight, the lowest and the highest point of its own grid."""
    import torch

    low, high = (torch.full_like(values, end, dtype=torch.int32) for end in (qparams.low, qparams.high))
    return qparams.dequantize(low), qparams.dequantize(high)


def _clipped(values: Tensor, ends: tuple[Tensor, Tensor], qparams: QuantParams) -> NDArray[np.bool_]:
    """Which weights move by more than half a step, (n,); a last bit of float32 does not count."""
    low, high = ends
    half = 0.5001 * (high - low) / (qparams.high - qparams.low)
    found: NDArray[np.bool_] = ((values < low - half) | (values > high + half)).numpy(force=True).ravel()
    return found


def _bars(ax: Axes, edges: NDArray[np.float64], counts: NDArray[Any], **look_: Any) -> None:
    """Bars that stand on the strip of the grid's points."""
    seen = counts > 0
    ax.bar(
        edges[:-1][seen], counts[seen] - _LEAST, np.diff(edges)[seen], bottom=_LEAST, align="edge", linewidth=0.5,
        **look_,
    )  # fmt: skip


def _span(ax: Axes, edges: NDArray[np.float64], low: float, high: float) -> None:
    """The width of the picture, with the ranges hatched that lie outside of low and high."""
    left, right = min(low, float(edges[0])), max(high, float(edges[-1]))
    room = 0.02 * (right - left)
    ax.set_xlim(left - room, right + room)
    names = iter(["beyond the grid", ""])  # one entry of the legend for both sides
    for start, end in ((left - room, low), (high, right + room)):
        if end - start > 1.5 * room:
            shape: dict[str, Any] = {"facecolor": "none", "edgecolor": "#bdbdbd", "hatch": "\\\\", "linewidth": 0}
            ax.axvspan(start, end, label=next(names), zorder=0, **shape)


def _count_axis(ax: Axes, most: int) -> None:
    """Counts in powers of ten, above a white strip for the points of the grid."""
    bottom = (math.log10(_LEAST) - _STRIP * math.log10(2 * most)) / (1 - _STRIP)
    ax.set_yscale("log")
    ax.set_ylim(10**bottom, 2 * most)
    ax.axhspan(10**bottom, _LEAST, facecolor="white", edgecolor="none", zorder=1.5)
    ax.axhline(_LEAST, color=GREY, linewidth=0.8)
    powers = [10**power for power in range(math.floor(math.log10(most)) + 1)]
    ax.set_yticks(powers, [f"{power:,}" for power in powers])
    ax.yaxis.set_minor_locator(NullLocator())


def _points_below(ax: Axes, low: Tensor, high: Tensor, points: int) -> None:
    """The points of up to three grids, one line each; low and high are the ends of each weight's grid, (n,)."""
    width = high - low
    chosen = {"narrowest": width.argmin(), "median": width.median(0).indices, "widest": width.argmax()}
    if width[chosen["narrowest"]] == width[chosen["widest"]]:
        chosen = {f"{points} points": chosen["widest"]}
    for place, (name, index) in enumerate(chosen.items()):
        height = _STRIP * (1 - (place + 0.75) / (len(chosen) + 0.5))
        ax.plot(
            np.linspace(float(low[index]), float(high[index]), points), np.full(points, height), color=look(0).colour,
            marker="|", linewidth=0.7, transform=ax.get_xaxis_transform(), markersize=8 if len(chosen) > 1 else 13,
            markeredgewidth=1.1 if points < 100 else 0.6, zorder=3,
        )  # fmt: skip
        ax.text(1.01, height, name, transform=ax.transAxes, va="center", fontsize=8.5)


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else f"{100 * share:.2g}%"


# ---- where it hurts --------------------------------------------------------------------------------------------


@house
def sensitivity(
    matrix_errors: pd.DataFrame, value: str = "error", unit: str = "mean change of a logit", ax: Axes | None = None
) -> Axes:
    """What it costs to round one matrix alone: a row for each layer, a column for each matrix; the darker, the more.

    Args:
        matrix_errors: layer, matrix (such as "query") and the column `value`, a row for each matrix of each layer.
        value: the column of the damage; more is worse.
        unit: of it, for the colour bar.

    Raises:
        BadInput: no rows, a column is missing, a number is not finite, or a matrix occurs twice.
    """
    need(matrix_errors, "layer", "matrix", value)
    if not np.isfinite(matrix_errors[value].to_numpy(float)).all():
        raise BadInput(f"{value} has gaps or infinite numbers", "pass finite numbers; leave other rows out")
    twice = matrix_errors[matrix_errors.duplicated(["layer", "matrix"])]
    if len(twice):
        one = twice.iloc[0]
        raise BadInput(f"layer {one['layer']}, {one['matrix']!r} occurs twice", "give each matrix one row")
    layers, names = sorted(matrix_errors["layer"].unique()), list(dict.fromkeys(matrix_errors["matrix"]))
    grid = matrix_errors.pivot(index="layer", columns="matrix", values=value).loc[layers, names].to_numpy(float)
    ax = canvas(ax, 2.6 + 0.95 * len(names), 1.5 + 0.42 * len(layers))
    low, high = min(0.0, float(np.nanmin(grid))), max(float(np.nanmax(grid)), 1e-12)
    shades = ax.imshow(grid, cmap=colormaps["Blues"].resampled(SHADES), vmin=low, vmax=high, aspect="auto")
    digits = max(0, 1 - math.floor(math.log10(max(high, -low))))
    for (row, column), number in np.ndenumerate(grid):
        if not np.isnan(number):
            ink = "white" if number > low + 0.6 * (high - low) else INK
            ax.text(column, row, f"{number:.{digits}f}", ha="center", va="center", color=ink, fontsize=9)
    ax.set_xticks(range(len(names)), [str(name).replace("_", "\n") for name in names])
    ax.set_yticks(range(len(layers)), [str(layer) for layer in layers])
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.colorbar(shades, ax=ax, label=unit, pad=0.02)
    worst = matrix_errors.iloc[int(np.argmax(matrix_errors[value]))]
    title = f"Most sensitive: {worst['matrix']} of layer {worst['layer']} ({worst[value]:.{digits}f})"
    name_axes(ax, title, "matrix that is rounded", "layer")
    return ax


@house
def accuracy_by_slice(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Accuracy on kinds of sentences before and after, the largest loss on top.

    Args:
        table: slice, n, before and after (accuracies from 0 to 1), as `compression.accuracy_by_slice` returns it.

    Raises:
        BadInput: no rows, a column is missing, or an accuracy is not from 0 to 1.
    """
    need_fractions(need(table, "slice", "n", "before", "after"), "before", "after")
    lost = 100 * (table["before"] - table["after"]).to_numpy(float)
    order = np.argsort(-lost, kind="stable")
    rows, lost = table.iloc[order].reset_index(drop=True), lost[order]
    own, ax = ax is None, canvas(ax, 7.0, 1.6 + 0.36 * len(table))
    places = np.arange(len(rows))
    ax.hlines(places, rows["before"], rows["after"], color=GREY, linewidth=2.2, zorder=1)
    ax.plot(
        rows["before"], places, "o", color=look(0).colour, markerfacecolor="white", markersize=8, label="before",
        linestyle="none",
    )  # fmt: skip
    ax.plot(rows["after"], places, "s", color=look(1).colour, markersize=6, label="after", linestyle="none")
    for place, points in zip(places, lost, strict=True):
        right = float(rows.loc[place, ["before", "after"]].max())
        said = "no change" if abs(points) < 0.05 else f"{-points:+.1f} points".replace("-", "−")
        ax.annotate(said, (right, place), (9, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_yticks(places, [f"{name} (n={n:,.0f})" for name, n in zip(rows["slice"], rows["n"], strict=True)])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ends = rows[["before", "after"]].to_numpy(float)
    span = max(float(ends.max() - ends.min()), 0.02)
    ax.set_xlim(ends.min() - 0.08 * span, ends.max() + 0.3 * span)
    ax.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    in_percent(ax.xaxis)
    ax.grid(axis="y", visible=False)
    legend_below(ax, own)
    worst = rows.iloc[0]
    title = f"Largest loss: {lost[0]:.1f} points, {worst['slice']}"
    name_axes(ax, title if lost[0] >= 0.05 else "No kind of sentence loses accuracy", "accuracy")
    return ax
