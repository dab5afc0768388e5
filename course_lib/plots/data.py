"""Figures of a data set and of its augmentation: ratings, disagreement, gains, and how far operations move a text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.style import INK, check_columns, course_style, new_axes, percent_axis, series_style, set_labels


@course_style
def rating_histogram(table: pd.DataFrame, title: str = "Mean ratings of the sentences") -> Axes:
    """How many sentences have which mean human rating.

    Args:
        table: the column rating, in [-4, 4].
        title: of the figure.

    Raises:
        BadInput: no column rating, no rows, or a rating that is missing or outside [-4, 4].
    """
    ratings = check_columns(table, "rating")["rating"].to_numpy(dtype=np.float64)
    bad = ratings[~(np.abs(ratings) <= 4)]
    if len(bad):
        raise BadInput(f"{len(bad)} ratings are not in [-4, 4], the first is {bad[0]}", "drop or rescale these rows")
    ax, edges = new_axes(), np.linspace(-4, 4, 33).tolist()
    colours = [series_style(number).colour for number in (1, 4)]
    ax.hist(ratings[ratings < 0], edges, color=colours[0], edgecolor="white", label="negative")
    ax.hist(ratings[ratings > 0], edges, color=colours[1], edgecolor="white", label="positive", hatch="//")
    ax.axvline(0, color=INK, linewidth=1)
    ax.legend(loc="upper left")
    set_labels(ax, title, "mean human rating (from -4, very negative, to 4, very positive)", "sentences")
    return ax


@course_style
def disagreement(table: pd.DataFrame, title: str = "Raters who contradict the label") -> Axes:
    """How many raters contradict the majority, by how far the mean rating is from 0.

    Args:
        table: low, high (edges of |mean rating|), n (sentences), opposed (mean fraction of the raters on the other
            side), as `cleaning.disagreement` returns them.
        title: of the figure.

    Raises:
        BadInput: no bin with a sentence, or a column is missing.
    """
    check_columns(table, "low", "high", "n", "opposed")
    bins = check_columns(table[table["n"] > 0], "opposed")
    ax, places = new_axes(), np.arange(len(bins))
    bars = ax.bar(places, bins["opposed"], color=series_style(4).colour, edgecolor=series_style(0).colour)
    ax.bar_label(bars, fmt=lambda value: f"{value:.1%}", padding=3)
    rows = zip(bins["low"], bins["high"], bins["n"], strict=True)
    ax.set_xticks(places, [f"{low:g}-{high:g}\n(n={n:,})" for low, high, n in rows])
    ax.grid(axis="x", visible=False)
    ax.margins(y=0.12)
    percent_axis(ax.yaxis)
    set_labels(ax, title, "|mean human rating| (rating points)", "raters on the other side")
    return ax


@course_style
def augmentation_gains(table: pd.DataFrame) -> Axes:
    """Gain of each method over none, in points of test accuracy, side by side for each number of labels.

    Whiskers are the intervals; a gain of one seed has none. Only an interval without 0 separates a gain from chance.

    Args:
        table: labels, method, gain, low, high, as `augmentation.as_gains` returns them; rows of `none` are left out.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    check_columns(table, "labels", "method", "gain", "low", "high")
    rows = check_columns(table[table["method"] != "none"], "gain")
    sizes, methods = sorted(rows["labels"].unique()), list(dict.fromkeys(rows["method"]))
    ax = new_axes(6.8, 3.8)
    ax.axhline(0, color=INK, linewidth=1)
    for number, method in enumerate(methods):
        mine = rows[rows["method"] == method]
        shift = 0.72 * ((number + 0.5) / len(methods) - 0.5)  # the points of one size are side by side
        places = [sizes.index(size) + shift for size in mine["labels"]]
        lengths = style.whiskers(mine["gain"], mine["low"], mine["high"])
        ax.errorbar(places, mine["gain"], lengths, label=str(method), capsize=3, **_points(number))
    ax.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    ax.set_xlim(-0.5, len(sizes) - 0.5)
    ax.grid(axis="x", visible=False)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.3g}" if value else "0"))
    style.legend_below(ax, ncols=6)
    best = rows.loc[rows["gain"].idxmax()]
    gain = f"{best['gain']:+.1f} points by {best['method']} with {best['labels']:,} labels"
    title = f"Largest gain: {gain}; {(rows['low'] > 0).sum()} of {len(rows)} clearly above 0"
    if best["gain"] <= 0:
        title = f"No gain: at best {gain}; {(rows['high'] < 0).sum()} of {len(rows)} clearly below 0"
    set_labels(ax, title, "labelled training sentences", "gain in test accuracy (points)", wrap=66)
    return ax


@course_style
def text_movement(table: pd.DataFrame) -> Axes:
    """How far operations move a text: words changed against the cosine of the sentence vectors, mean and interval.

    Args:
        table: operation, and words_changed and cosine each with _low and _high, as `augmentation.compare` returns them.

    Raises:
        BadInput: no rows, a column is missing, or an operation occurs twice.
    """
    ends = [name + end for name in ("words_changed", "cosine") for end in ("", "_low", "_high")]
    rows = check_columns(table, "operation", *ends).reset_index(drop=True)
    style.check_unique(rows, "operation")
    changed, cosine = (
        style.whiskers(rows[name], rows[f"{name}_low"], rows[f"{name}_high"]) for name in ("words_changed", "cosine")
    )
    ax = new_axes()
    for number, operation in enumerate(rows["operation"]):
        ax.errorbar(
            rows["words_changed"][number], rows["cosine"][number], cosine[:, [number]], changed[:, [number]],
            label=str(operation), capsize=3, **_points(number),
        )  # fmt: skip
    percent_axis(ax.xaxis)
    ax.margins(0.12)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    far = rows.loc[rows["cosine"].idxmin()]
    title = f"{far['operation']} moves texts farthest: cosine {far['cosine']:.2f}, "
    title += f"{far['words_changed']:.0%} other words"
    set_labels(ax, title, "fraction of the words changed", "cosine to the original", wrap=54)
    return ax


@course_style
def label_agreement(table: pd.DataFrame) -> Axes:
    """Fraction of the rewrites whose label a judge still predicts, by strength, one line for each operation.

    Whiskers are the intervals. The dashed line is the same of the originals: the most that can be expected of rewrites.

    Args:
        table: operation, alpha, and agreement with _low and _high, agreement_before, as `augmentation.compare` returns
            them at several strengths, with a column alpha.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    ends = ("agreement", "agreement_low", "agreement_high", "agreement_before")
    rows = check_columns(table, "operation", "alpha", *ends)
    ax, before = new_axes(), float(rows["agreement_before"].mean())
    ax.axhline(before, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="the originals")
    operations = rows.groupby("operation", sort=False)
    for number, (operation, group) in enumerate(operations):
        mine = group.sort_values("alpha")
        shift = 0.008 * (number - (operations.ngroups - 1) / 2)  # so that no whisker hides another
        lengths, line = style.whiskers(*(mine[name] for name in ends[:3])), style.line_style(number)
        ax.errorbar(mine["alpha"] + shift, mine["agreement"], lengths, capsize=3, label=str(operation), **line)
    percent_axis(ax.xaxis, ax.yaxis)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    low = rows.loc[rows["agreement"].idxmin()]
    title = f"After {low['operation']} of {low['alpha']:.0%} of the words the judge predicts {low['agreement']:.0%} of "
    title += f"the labels, {before:.0%} before"
    set_labels(ax, title, "fraction of words to change (alpha)", "label predicted by the judge", wrap=54)
    return ax


def _points(number: int) -> dict[str, Any]:
    """Single points of series 0, 1, 2, ..., without a line."""
    return style.line_style(number) | {"linestyle": "none"}
