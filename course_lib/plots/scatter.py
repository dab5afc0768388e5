"""Named points of cost against benefit, and the Pareto front of those that no other point dominates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from course_lib.plots.style import GREY, INK, figure_of, legend_below, log_axis, series_style

Better = Literal["low", "high"]
QUIET = "#5f5f5f"  # names of points that are not on the front


def pareto_front(
    xs: NDArray[np.float64], ys: NDArray[np.float64], better: Better, allowed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of the allowed points no other allowed one dominates, (n,); a higher y is better."""
    cost = xs if better == "low" else -xs
    as_good = (cost[:, None] <= cost) & (ys[:, None] >= ys) & allowed[:, None]  # row: the rival
    better_in_one = (cost[:, None] < cost) | (ys[:, None] > ys)
    front: NDArray[np.bool_] = allowed & ~(as_good & better_in_one).any(axis=0)
    return front


def draw_front(
    ax: Axes, xs: NDArray[np.float64], ys: NDArray[np.float64], lengths: NDArray[np.float64], names: Sequence[str],
    dominated: str, better: Better = "low", allowed: NDArray[np.bool_] | None = None,
) -> None:  # fmt: skip
    """Named points with error bars over a logarithmic axis, those on the front filled, and the legend.

    To be called last: names are placed where nothing moves any more.

    Args:
        ax: the axes, with their labels.
        xs: cost, (n,), above 0.
        ys: benefit, (n,).
        lengths: of the error bars, (2, n); all 0 where no interval is known.
        names: of the points.
        dominated: what the legend calls the points that are not on the front.
        better: which end of x is good.
        allowed: points that may be on the front; left out, all.
    """
    allowed = np.full(len(xs), True) if allowed is None else allowed
    on_front = pareto_front(xs, ys, better, allowed)
    kinds = (
        (on_front, "o", series_style(0).colour, series_style(0).colour, "on the front"),
        (allowed & ~on_front, "s", "white", QUIET, dominated),
        (~allowed, "x", GREY, GREY, "below the minimum"),
    )
    for chosen, marker, fill, edge, label in kinds:
        if chosen.any():
            ax.errorbar(
                xs[chosen], ys[chosen], lengths[:, chosen] if lengths.any() else None, fmt=marker, color=edge,
                ecolor=GREY, markerfacecolor=fill, markeredgecolor=edge, markersize=7.5, elinewidth=1, capsize=3,
                label=label, zorder=3,
            )  # fmt: skip
    log_axis(ax, xs)
    drawn = np.concatenate([ys - lengths[0], ys + lengths[1], *(line.get_ydata() for line in ax.lines)])
    room = 0.12 * max(float(np.ptp(drawn)), 0.01)
    ax.set_ylim(float(drawn.min()) - room, float(drawn.max()) + room)
    ax.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    legend_below(ax)
    inks = np.where(on_front, INK, QUIET).tolist()
    _name_points(ax, np.stack([xs, ys], axis=1), lengths, names, inks)


_DISTANCES = (8, 16, 26, 38, 52, 68)  # points between a point and its name
_DIRECTIONS = ((1, 0), (-1, 0), (1, 0.8), (-1, 0.8), (1, -0.8), (-1, -0.8), (0, 1.4), (0, -1.4))  # best first
_COVERED, _CROSSED = 1000, 30  # what it costs to cover a name or point, and a line or bar, in points of distance


def _name_points(
    ax: Axes, places: NDArray[np.float64], lengths: NDArray[np.float64], names: Sequence[str], inks: Sequence[str]
) -> None:
    """A name near each point, where it covers no other name or point; a thin line leads to one that is far away."""
    figure_of(ax).canvas.draw()  # places in dots are known from here on
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in ax.transData.transform(places)]
    bottoms, tops = (places + sign * ends[:, None] * (0, 1) for sign, ends in zip((-1, 1), lengths, strict=True))
    ends = zip(ax.transData.transform(bottoms), ax.transData.transform(tops), strict=True)
    bars = [Bbox([low - 2, high + 2]) for low, high in ends]
    lines = [
        line.get_transform().transform_path(line.get_path()) for line in ax.lines if line.get_linestyle() != "None"
    ]
    for name, place, ink in zip(names, places, inks, strict=True):
        text = ax.annotate(
            name, place, (0, 0), textcoords="offset points", va="center", fontsize=9, color=ink, zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.5},
        )  # fmt: skip
        text.set_in_layout(False)
        costs = {}
        for distance, direction in product(_DISTANCES, _DIRECTIONS):
            box = _move(text, distance, direction)
            outside = not (ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1)
            crossed = box.count_overlaps(bars) + sum(line.intersects_bbox(box, filled=False) for line in lines)
            cost = _COVERED * (box.count_overlaps(taken) + outside) + _CROSSED * crossed
            costs[distance, direction] = cost + distance
        best = min(costs, key=lambda option: costs[option])
        taken.append(_move(text, *best))
        if best[0] > _DISTANCES[1]:
            leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.7}
            ax.annotate("", place, text.get_position(), textcoords="offset points", arrowprops=leader)


def _move(text: Text, distance: float, direction: tuple[float, float]) -> Bbox:
    """Moves a name to so many points from its point, and returns its box in dots."""
    text.set_horizontalalignment("left" if direction[0] > 0 else "right" if direction[0] < 0 else "center")
    text.set_position((distance * direction[0], distance * direction[1]))
    return text.get_window_extent()
