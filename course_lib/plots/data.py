"""Figures of a data set and of its augmentation: ratings, disagreement, gains, and how far operations move a text."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from course_lib.errors import BadInput
from course_lib.evaluation import over_seeds
from course_lib.plots import style
from course_lib.plots.style import (
    GREY,
    INK,
    check_columns,
    course_style,
    new_axes,
    percent_axis,
    series_style,
    set_labels,
)


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
def gains_by_seed(table: pd.DataFrame, title: str = "") -> Axes:
    """A forest plot: for each comparison the gain of every seed, their mean, and its 95 % interval (Student).

    Args:
        table: comparison (a name), gain (points); a row a seed. The comparisons come in the order of the table.
        title: what the figure shows.

    Raises:
        BadInput: no rows, a column is missing, or a comparison has one seed only.
    """
    check_columns(table, "comparison", "gain")
    groups = {str(name): rows["gain"].to_numpy() for name, rows in table.groupby("comparison", sort=False)}
    ax = new_axes(7.6, 1.4 + 0.34 * len(groups))
    ax.axvline(0, color=INK, linewidth=1)
    for row, gains in enumerate(groups.values()):
        found = over_seeds(gains)
        ax.plot(gains, [row] * len(gains), "|", color=GREY, markersize=9, label="one seed" if row == 0 else "")
        lengths = style.whiskers([found.estimate], [found.low], [found.high])
        name = "mean and 95% interval" if row == 0 else ""
        ax.errorbar(found.estimate, row, xerr=lengths, label=name, capsize=3, **_points(0))
    style.name_rows(ax, [f"{name} ({len(gains)} seeds)" for name, gains in groups.items()])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.3g}" if value else "0"))
    style.legend_below(ax)
    set_labels(ax, title, "gain in test accuracy (percentage points)", wrap=46)
    return ax


@course_style
def text_movement(table: pd.DataFrame, title: str = "") -> tuple[Axes, Axes]:
    """How far operations move a text: words changed, and cosine of the sentence vectors, each with its interval.

    Args:
        table: operation, and words_changed and cosine each with _low and _high, as `augmentation.compare` returns them.
        title: what the figure shows.

    Returns:
        The axes of the words, and those of the cosine.

    Raises:
        BadInput: no rows, a column is missing, or an operation occurs twice.
    """
    names = ("words_changed", "cosine")
    rows = check_columns(table, "operation", *(name + end for name in names for end in ("", "_low", "_high")))
    style.check_unique(rows, "operation")
    axes = plt.subplots(1, 2, figsize=(7.6, 1.3 + 0.32 * len(rows)), sharey=True)[1]
    labels = ("fraction of the words changed", "cosine to the original")
    for number, (ax, name, label) in enumerate(zip(axes, names, labels, strict=True)):
        lengths = style.whiskers(rows[name], rows[f"{name}_low"], rows[f"{name}_high"])
        ax.errorbar(rows[name], range(len(rows)), xerr=lengths, capsize=3, **_points(number))
        ax.set_xlabel(label)
    percent_axis(axes[0].xaxis)
    style.name_rows(axes[0], rows["operation"].tolist())
    axes[1].grid(axis="y", visible=False)
    axes[0].set_title(textwrap.fill(title, 58))
    return axes[0], axes[1]


@course_style
def label_agreement(table: pd.DataFrame, title: str = "") -> Axes:
    """Fraction of the rewrites whose label a judge still predicts, by strength, one line for each operation.

    Whiskers are the intervals. The dashed line is the same of the originals: the most that can be expected of rewrites.

    Args:
        table: operation, alpha, and agreement with _low and _high, agreement_before, as `augmentation.compare` returns
            them at several strengths, with a column alpha.
        title: what the figure shows.

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
        shift = 0.012 * (number - (operations.ngroups - 1) / 2)  # so that no whisker hides another
        lengths, line = style.whiskers(*(mine[name] for name in ends[:3])), style.line_style(number)
        ax.errorbar(mine["alpha"] + shift, mine["agreement"], lengths, capsize=3, label=str(operation), **line)
    percent_axis(ax.xaxis, ax.yaxis)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    set_labels(ax, title, "fraction of the words to change (alpha)", "label predicted by the judge", wrap=70)
    return ax


def _points(number: int) -> dict[str, Any]:
    """Single points of series 0, 1, 2, ..., without a line."""
    return style.line_style(number) | {"linestyle": "none"}
