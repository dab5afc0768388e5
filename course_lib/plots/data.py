"""Pictures of a data set: what people said, and how far they agreed."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from course_lib.errors import BadInput
from course_lib.plots.style import INK, canvas, house, in_percent, label, look, need

TORN = 0.5  # a mean rating nearer to 0 than this is hardly a verdict


@house
def rating_histogram(frame: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How many sentences got which mean human rating.

    Args:
        frame: the column rating, in [-4, 4].

    Raises:
        BadInput: no column rating, no rows, or a rating that is missing or outside [-4, 4].
    """
    ratings = need(frame, "rating")["rating"].to_numpy(dtype=np.float64)
    bad = ratings[~(np.abs(ratings) <= 4)]
    if len(bad):
        raise BadInput(f"{len(bad)} ratings are not in [-4, 4], the first is {bad[0]}", "drop or rescale these rows")
    ax = canvas(ax)
    edges = np.linspace(-4, 4, 33)
    for number, (side, name) in enumerate(((ratings < 0, "negative"), (ratings > 0, "positive"))):
        shape = look(1 if number == 0 else 4)
        ax.hist(
            ratings[side],
            bins=list(edges),
            color=shape.colour,
            edgecolor="white",
            hatch="//" if number else "",
            label=name,
        )
    ax.axvline(0, color=INK, linewidth=1)
    ax.legend(loc="upper left")
    torn = float((np.abs(ratings) < TORN).mean())
    label(
        ax,
        f"{(ratings < 0).sum():,} negative, {(ratings > 0).sum():,} positive; {torn:.0%} are within {TORN:g} of 0",
        "mean human rating (from -4, very negative, to 4, very positive)",
        "sentences",
    )
    return ax


@house
def disagreement(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """How many raters contradict the majority, by how far the mean rating is from 0.

    Args:
        table: low, high (edges of |mean rating|), n (sentences), opposed (mean share of the raters on the other
            side), as `cleaning.disagreement` gives them.

    Raises:
        BadInput: no bin with a sentence, or a column is missing.
    """
    need(table, "low", "high", "n", "opposed")
    bins = need(table[table["n"] > 0], "opposed")
    ax, places = canvas(ax), np.arange(len(bins))
    ax.bar(places, bins["opposed"], color=look(4).colour, edgecolor=look(0).colour)
    for place, opposed in zip(places, bins["opposed"], strict=True):
        ax.annotate(f"{opposed:.1%}", (float(place), opposed), (0, 3), textcoords="offset points", ha="center")
    rows = zip(bins["low"], bins["high"], bins["n"], strict=True)
    ax.set_xticks(places, [f"{low:g}-{high:g}\n(n={n:,})" for low, high, n in rows])
    ax.grid(axis="x", visible=False)
    ax.margins(y=0.12)
    in_percent(ax.yaxis)
    first = bins.iloc[0]
    title = f"Mean rating within {first['high']:g} of 0: {first['opposed']:.0%} of the raters say the opposite"
    label(ax, title, "|mean human rating| (rating points)", "raters on the other side")
    return ax
