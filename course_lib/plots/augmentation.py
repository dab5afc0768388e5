"""Figures of data augmentation: gains in accuracy, and how far operations move a text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from course_lib.errors import BadInput
from course_lib.plots.style import INK, LOOKS, canvas, house, in_percent, label, look, need

WIDTH = 0.72  # of the room between two sizes that the methods of one size take


@house
def augmentation_gains(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Gain of each method over none, in points of test accuracy, side by side for each number of labels.

    Whiskers are the intervals; a gain of one seed has none. Only an interval without 0 separates a gain from chance.

    Args:
        table: labels, method, gain, low, high, as `augmentation.as_gains` gives them; rows of `none` are left out.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    need(table, "labels", "method", "gain", "low", "high")
    rows = need(table[table["method"] != "none"], "gain")
    sizes, methods = sorted(rows["labels"].unique()), list(dict.fromkeys(rows["method"]))
    ax = canvas(ax, 6.8, 3.8)
    ax.axhline(0, color=INK, linewidth=1)
    for number, method in enumerate(methods):
        mine = rows[rows["method"] == method]
        aside = WIDTH * ((number + 0.5) / len(methods) - 0.5)
        places = [sizes.index(size) + aside for size in mine["labels"]]
        ax.errorbar(places, mine["gain"], _whiskers(mine, "gain", "low", "high"), label=str(method), **_points(number))
    ax.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    ax.set_xlim(-0.5, len(sizes) - 0.5)
    ax.grid(axis="x", visible=False)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.3g}" if value else "0"))
    ax.legend(
        ncols=min(6, len(methods)), loc="upper center", bbox_to_anchor=(0.5, -0.17)
    )  # whiskers need the room inside
    label(ax, _conclusion(rows), "labelled training sentences", "gain in test accuracy (points)", fold=66)
    return ax


def _conclusion(rows: pd.DataFrame) -> str:
    """The best gain in words, and how many intervals exclude 0 on its side."""
    best = rows.loc[rows["gain"].idxmax()]
    by = f"{best['gain']:+.1f} points by {best['method']} with {best['labels']:,} labels"
    if best["gain"] > 0:
        return f"Largest gain: {by}; {int((rows['low'] > 0).sum())} of {len(rows)} clearly above 0"
    return f"No gain: at best {by}; {int((rows['high'] < 0).sum())} of {len(rows)} clearly below 0"


@house
def text_movement(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How far operations move a text: words changed against the cosine of the sentence vectors, mean and interval.

    Args:
        table: operation, and words_changed and cosine each with _low and _high, as `compare` returns
            them.

    Raises:
        BadInput: no rows, a column is missing, or an operation occurs twice.
    """
    ends = [name + end for name in ("words_changed", "cosine") for end in ("", "_low", "_high")]
    rows = need(table, "operation", *ends).reset_index(drop=True)
    if rows["operation"].duplicated().any():
        twice = rows.loc[rows["operation"].duplicated(), "operation"].iloc[0]
        raise BadInput(f"operation {twice!r} occurs twice", "give each row a name of its own")
    ax = canvas(ax, 6.4, 3.6)
    for number, row in rows.iterrows():
        one = rows.loc[[number]]
        ax.errorbar(
            one["words_changed"], one["cosine"], _whiskers(one, "cosine", "cosine_low", "cosine_high"),
            _whiskers(one, "words_changed", "words_changed_low", "words_changed_high"), label=str(row["operation"]),
            **_points(int(str(number))),
        )  # fmt: skip
    in_percent(ax.xaxis)
    ax.margins(0.12)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    far = rows.loc[rows["cosine"].idxmin()]
    title = (
        f"{far['operation']} moves texts farthest: cosine {far['cosine']:.2f}, {far['words_changed']:.0%} other words"
    )
    label(ax, title, "share of the words changed", "cosine to the original", fold=54)
    return ax


@house
def label_agreement(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Fraction of the rewrites whose label a judge still predicts, by strength, a line an operation, with intervals.

    The dashed line is the same of the originals: the most that can be expected of rewrites.

    Args:
        table: operation, alpha, and agreement with _low and _high, agreement_before, as `compare` returns
            them at several strengths, with a column alpha.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    rows = need(table, "operation", "alpha", "agreement", "agreement_low", "agreement_high", "agreement_before")
    ax, before = canvas(ax, 6.4, 3.6), float(rows["agreement_before"].mean())
    ax.axhline(before, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="the originals")
    operations = rows.groupby("operation", sort=False)
    for number, (operation, mine) in enumerate(operations):
        shape, mine = look(number), mine.sort_values("alpha")
        aside = 0.008 * (number - (operations.ngroups - 1) / 2)  # so that no whisker hides another
        ax.errorbar(
            mine["alpha"] + aside, mine["agreement"], _whiskers(mine, "agreement", "agreement_low", "agreement_high"),
            fmt=shape.marker, linestyle=shape.line, color=shape.colour, capsize=3, label=str(operation),
        )  # fmt: skip
    in_percent(ax.xaxis)
    in_percent(ax.yaxis)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    low = rows.loc[rows["agreement"].idxmin()]
    title = f"After {low['operation']} of {low['alpha']:.0%} of the words the judge finds {low['agreement']:.0%} of "
    side = "label found by the judge, 95 % interval"
    label(ax, title + f"the labels, {before:.0%} before", "share of the words asked for", side, fold=54)
    return ax


def _points(number: int) -> dict[str, Any]:
    """Lone points with whiskers; after the fifth the styles repeat with hollow markers."""
    shape = look(number)
    hollow = {"markerfacecolor": "white"} if number // len(LOOKS) % 2 else {}
    return {"fmt": shape.marker, "color": shape.colour, "ecolor": shape.colour, "capsize": 3, **hollow}


def _whiskers(rows: pd.DataFrame, middle: str, low: str, high: str) -> Any:
    """Lengths of error bars, (2, n); 0 where there is no interval."""
    centre = rows[middle].to_numpy(float)
    ends = np.stack([centre - rows[low].to_numpy(float), rows[high].to_numpy(float) - centre])
    return np.maximum(0, np.nan_to_num(ends))
