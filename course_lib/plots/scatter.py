"""Points that have names: the front of those that no other one beats, and names that do not meet."""

from __future__ import annotations

import math
from itertools import pairwise, product
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from course_lib.plots.style import GREY

Better = Literal["low", "high"]


def front_of(
    xs: NDArray[np.float64], ys: NDArray[np.float64], better: Better, allowed: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of the allowed points no other allowed one dominates, (n,)."""
    cost = xs if better == "low" else -xs
    as_good = (cost[:, None] <= cost) & (ys[:, None] >= ys) & allowed[:, None]  # row: the rival
    better_in_one = (cost[:, None] < cost) | (ys[:, None] > ys)
    free: NDArray[np.bool_] = allowed & ~(as_good & better_in_one).any(axis=0)
    return free


def log_axis(ax: Axes, xs: NDArray[np.float64]) -> None:
    """A logarithmic x axis with plain numbers, and room for names at both ends."""
    ax.set_xscale("log")
    side = max(1.25, float(xs.max() / xs.min()) ** 0.12)
    low, high = float(xs.min()) / side, float(xs.max()) * side
    ax.set_xlim(low, high)
    ax.xaxis.set_major_locator(FixedLocator(_ticks(low, high)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers inside; where the powers of ten with 1, 2 and 5 are few, evenly spaced ones."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    round_ones = [digit * 10.0**power for power, digit in product(powers, (1, 2, 5))]
    inside = [value for value in round_ones if low <= value <= high]
    if len(inside) > 8:
        inside = [value for value in inside if math.isclose(math.log10(value) % 1, 0, abs_tol=1e-9)]
    if len(inside) < 3:
        even = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
        inside = [float(value) for value in even if low <= value <= high]
    return inside


class _Box(NamedTuple):
    """In dots."""

    x0: float
    y0: float
    x1: float
    y1: float

    def meets(self, other: _Box) -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1

    def holds(self, other: _Box) -> bool:
        return self.x0 <= other.x0 and other.x1 <= self.x1 and self.y0 <= other.y0 and other.y1 <= self.y1


_AWAY = (7, 14, 22, 32, 44, 58, 74, 92)  # dots between a point and its name
# Right, up, and how much worse that is, in dots: above and below, the whisker hides the line that leads to a name.
_WAYS = {(1, 0): 0, (-1, 0): 1, (1, 1): 2, (-1, 1): 3, (1, -1): 4, (-1, -1): 5, (0, 1): 45, (0, -1): 46}
_BLOCKED, _CROSSED = 1000, 30  # what it costs to cover a name or point, and a line or whisker, in dots of distance


def name_points(
    ax: Axes,
    names: list[str],
    inks: list[str],
    places: NDArray[np.float64],
    ends: NDArray[np.float64],
    lines: list[NDArray[np.float64]],
) -> None:
    """A name near each point, where it covers no other name or point, and few lines; a thin line leads to it from afar.

    Args:
        names: of n points.
        inks: their colours.
        places: (n, 2).
        ends: (2, n), the whiskers down and up.
        lines: the corners of lines that names had better not cover, (m, 2) each.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.canvas.draw()  # places in dots are known from here on
    frame = _Box(*ax.get_window_extent().extents)
    centres = ax.transData.transform(places)
    points = [_Box(x - 6, y - 6, x + 6, y + 6) for x, y in centres]
    whiskers = np.stack([places - ends[[0]].T * (0, 1), places + ends[[1]].T * (0, 1)], axis=1)
    parts = [part for line in [*lines, *whiskers] if len(line) for part in pairwise(ax.transData.transform(line))]
    crossed = [_Box(*np.minimum(a, b) - 2, *np.maximum(a, b) + 2) for a, b in parts]
    named: list[_Box] = []
    for name, ink, place, centre in zip(names, inks, places, centres, strict=True):
        size = _size(ax, name)
        _, shift, away, box = min(
            (_cost(centre, box, frame, [*points, *named], crossed, named) + away + worse, shift, away, box)
            for away, (way, worse) in product(_AWAY, _WAYS.items())
            for shift, box in [_beside(centre, size, way, away)]
        )
        named.append(box)
        leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "shrinkB": 4} if away > _AWAY[1] else None
        offset = (shift[0] * 72 / figure.dpi, shift[1] * 72 / figure.dpi)
        ax.annotate(
            name, place, offset, textcoords="offset points", ha="center", va="center", fontsize=9, color=ink,
            arrowprops=leader, path_effects=[withStroke(linewidth=2.5, foreground="white")], zorder=4,
        )  # fmt: skip


def _size(ax: Axes, name: str) -> tuple[float, float]:
    """Width and height of a name in dots."""
    text = ax.text(0.5, 0.5, name, fontsize=9, transform=ax.transAxes)
    extent = text.get_window_extent()
    text.remove()
    return extent.width + 2, extent.height


def _beside(
    centre: Any, size: tuple[float, float], way: tuple[int, int], away: float
) -> tuple[tuple[float, float], _Box]:
    """How far a name's middle is from the point, and the name's box."""
    gap = away * math.hypot(*way) / sum(map(abs, way))
    right, up = (side * (gap + extent / 2) for side, extent in zip(way, size, strict=True))
    x, y = float(centre[0]) + right, float(centre[1]) + up
    return (right, up), _Box(x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)


def _cost(centre: Any, box: _Box, frame: _Box, taken: list[_Box], crossed: list[_Box], named: list[_Box]) -> float:
    """What a name covers, and what the line from its point to it passes through."""
    blocked = sum(box.meets(other) for other in taken) + (not frame.holds(box))
    if blocked:
        return _BLOCKED * blocked
    middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
    way = [_Box(x, y, x, y) for x, y in np.linspace(centre, middle, 12).tolist()]
    passed = sum(any(other.holds(dot) for dot in way) for other in named)
    return _CROSSED * (sum(box.meets(part) for part in crossed) + 2 * passed)
