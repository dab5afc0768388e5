"""Figures of decisions by costs."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.plots.style import GREY, course_style, new_axes, percent_axis, series_style, set_labels


@course_style
def credit_costs(thresholds: ArrayLike, costs: ArrayLike, chosen: float, formula: float) -> Axes:
    """Cost of a client over the threshold; a line at the chosen one and at that of the formula.

    Args:
        thresholds: (n,) risks from which clients are refused, rising.
        costs: (n,) mean cost of a client, in refused clients who would have repaid.
        chosen: a threshold.
        formula: the best threshold for calibrated probabilities.

    Raises:
        BadInput: no threshold, or not one cost for each.
    """
    x, y = np.asarray(thresholds, dtype=float), np.asarray(costs, dtype=float)
    if not len(x) or x.shape != y.shape:
        raise BadInput(f"{len(x)} thresholds and {len(y)} costs", "give one cost for each threshold")
    ax, first, second = new_axes(6.8, 3.2), series_style(0), series_style(1)
    ax.plot(x, y, color=first.colour)
    ax.axvline(formula, color=GREY, linestyle="--", label=f"formula: {formula:.0%}")
    ax.plot([chosen], [np.interp(chosen, x, y)], second.marker, color=second.colour, label=f"chosen: {chosen:.0%}")
    percent_axis(ax.xaxis)
    ax.legend(loc="best")
    set_labels(ax, "Cost of the decisions", "refuse above this risk", "cost per client (refused good client: 1)")
    return ax
