"""Estimates below each other, each with its interval, against a line that says "no difference"."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.style import INK, MINUS, check_columns, course_style, set_labels


@course_style
def forest(table: pd.DataFrame, x: str, title: str = "", zero: float = 0.0) -> Axes:
    """A forest plot: a dot for each estimate with its interval; hollow where the interval contains `zero`.

    Args:
        table: name, estimate, low and high; a row for each estimate, drawn from top to bottom.
        x: label of the axis, with the unit.
        title: what the figure shows.
        zero: the value that means "no difference", drawn as a dashed line.

    Raises:
        BadInput: no rows, a column is missing, or an interval that does not hold its estimate.
    """
    check_columns(table, "name", "estimate", "low", "high")
    middle, low, high = table[["estimate", "low", "high"]].to_numpy(float).T
    if not (np.isfinite(low + middle + high) & (low <= middle + 1e-9) & (middle <= high + 1e-9)).all():
        raise BadInput("an interval does not hold its estimate", "let low <= estimate <= high")
    ax, colour = style.new_axes(6.8, 1.5 + 0.36 * len(table)), style.series_style(0).colour
    ax.axvline(zero, color=INK, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    lengths = style.whiskers(middle, low, high)
    for place, value in enumerate(middle):
        inside = low[place] <= zero <= high[place]
        ax.errorbar(
            value, place, xerr=lengths[:, [place]], fmt="o", color=colour, capsize=3,
            markerfacecolor="white" if inside else colour,
        )  # fmt: skip
        number = f"{value:+.2f}".replace("-", MINUS)
        ax.annotate(
            number, (value, place), (0, 7), textcoords="offset points", ha="center", fontsize=8.5,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )  # fmt: skip
    style.name_rows(ax, table["name"].astype(str).tolist())
    set_labels(ax, title, f"{x}, with 95 % intervals", wrap=60)
    return ax
