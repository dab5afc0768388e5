"""Pictures of attacks: what they leave of a model, what they cost, and whom else they fool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from course_lib.errors import BadInput
from course_lib.evaluation import Interval, wilson_interval
from course_lib.plots.quality import transfer_matrix
from course_lib.plots.style import GREY, INK, canvas, house, in_percent, label, look, need


@house
def under_attack(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Accuracy before and under each attack, with 95 % intervals (Wilson).

    Args:
        table: attack, n (texts), before and under (accuracies from 0 to 1); a row for each attack.

    Raises:
        BadInput: no rows, a column is missing, or a fraction is not from 0 to 1.
    """
    need_fractions(need(table, "attack", "n", "before", "under"), "before", "under")
    ax, places = canvas(ax, height=1.3 + 0.62 * len(table)), np.arange(len(table))
    for name, side, hatch, colour in (("before", -0.19, "", look(4).colour), ("under", 0.19, "///", "white")):
        found = intervals_of(table[name], table["n"])
        ax.barh(
            places + side, table[name], 0.36, xerr=whiskers_of(found), capsize=3, ecolor=INK, hatch=hatch, color=colour,
            edgecolor=look(0).colour,
        )  # fmt: skip
        for place, one in zip(places + side, found, strict=True):
            said = f"{one.estimate:.1%} {'before' if name == 'before' else 'under attack'}"
            ax.annotate(said, (one.high, place), (5, 0), textcoords="offset points", va="center")
    ax.set_yticks(places, [f"{name}\n(n={n:,.0f})" for name, n in zip(table["attack"], table["n"], strict=True)])
    ax.set_ylim(len(table) - 0.45, -0.55)
    ax.set_xlim(0, 1.3)
    ax.set_xticks(np.linspace(0, 1, 6))
    in_percent(ax.xaxis)
    ax.grid(axis="y", visible=False)
    worst = table.iloc[int(np.argmax(table["before"] - table["under"]))]
    title = f"{worst['attack']} hurts most: from {worst['before']:.1%} to {worst['under']:.1%}"
    label(ax, title, "accuracy, with 95 % intervals")
    return ax


@house
def cost_of_success(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Queries per text against the success rate: the best attacks are at the top left.

    Args:
        table: attack, queries (mean per text), success (fraction from 0 to 1), and n (attacked texts) where intervals
            are wanted; a row for each attack.

    Raises:
        BadInput: no rows, a column is missing, a fraction is not from 0 to 1, or a number of queries is not above 0.
    """
    need_fractions(need(table, "attack", "queries", "success"), "success")
    if not (table["queries"] > 0).all():
        raise BadInput(f"the queries are {table['queries'].tolist()}", "pass the mean per text, above 0")
    ax = canvas(ax, height=4.0)
    whiskers = whiskers_of(intervals_of(table["success"], table["n"])) if "n" in table else np.zeros((2, len(table)))
    for number, (_, row) in enumerate(table.iterrows()):
        shape = look(number)
        ax.errorbar(
            row["queries"], row["success"], whiskers[:, [number]], fmt=shape.marker, color=shape.colour,
            capsize=3 if "n" in table else 0, markersize=8, markeredgecolor=INK, ecolor=GREY,
        )  # fmt: skip
    ax.set_xscale("log")
    low, high = table["queries"].min(), table["queries"].max()
    ax.set_xlim(low / 2.2, high * 2.2)
    ax.set_ylim(-0.04, 1.08)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    in_percent(ax.yaxis)
    _name_points(ax, table["attack"].astype(str).tolist(), table[["queries", "success"]].to_numpy(), whiskers)
    best = table.sort_values(["success", "queries"], ascending=[False, True], kind="stable").iloc[0]
    title = f"{best['attack']} succeeds most often ({best['success']:.1%}), for {best['queries']:,.0f} queries a text"
    label(ax, title, "queries per attacked text (log scale)", "success rate")
    return ax


@house
def transfer(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Adversarial texts made against one model (rows), read by another (columns): the fraction that fools the reader.

    Args:
        table: made_against, read_by, success (0 to 1), one row for each pair.

    Raises:
        BadInput: no rows, a column is missing, or a fraction is not from 0 to 1.
    """
    need_fractions(need(table, "made_against", "read_by", "success"), "success")
    grid = table.rename(columns={"made_against": "train", "read_by": "test", "success": "accuracy"})
    ax = transfer_matrix(grid, ax=ax if ax is not None else for_cells(table, "made_against", "read_by"))
    own = table["made_against"] == table["read_by"]
    others, same = table[~own]["success"].mean(), table[own]["success"].mean()
    title = f"{others:.1%} of the texts also fool another model" if len(table[~own]) else "Only models' own texts"
    label(ax, title + (f" (their own: {same:.1%})" if own.any() else ""), "read by", "made against")
    return ax


@house
def first_order(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """What the gradient promises of each exchange against what the exchange does; on the dashed line it is right.

    Args:
        table: promised and true (both in nats), a row for each exchange, at least two.

    Raises:
        BadInput: a column is missing, fewer than two rows, or a number that is not finite.
    """
    need(table, "promised", "true")
    numbers = table[["promised", "true"]].to_numpy(dtype=np.float64)
    if len(numbers) < 2 or not np.isfinite(numbers).all():
        raise BadInput(f"the table has {len(numbers)} rows, or gaps", "pass two or more exchanges, without gaps")
    ax = canvas(ax, 5.6, 4.2)
    ends = np.array([numbers[:, 0].min(), numbers[:, 0].max()])
    ends += np.array([-0.08, 0.08]) * max(float(ends[1] - ends[0]), 1e-6)
    ax.plot(ends, ends, color=GREY, linestyle=(0, (4, 2)), linewidth=1.6, label="if the loss were a plane")
    ax.plot(*numbers.T, "o", color=look(0).colour, alpha=0.55, markersize=5, label="one exchange of a word")
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.set_xlim(*ends)
    ax.legend(loc="upper left", bbox_to_anchor=(0.0, -0.16), ncols=2)
    ranks = table[["promised", "true"]].rank()
    title = f"A rough order: rank correlation {ranks['promised'].corr(ranks['true']):.2f}"
    label(ax, title, "promised gain in loss, first order (nats)", "true gain in loss (nats)")
    return ax


def need_fractions(table: pd.DataFrame, *columns: str) -> None:
    """Checks that these columns hold fractions.

    Raises:
        BadInput: a number is not from 0 to 1, or is missing.
    """
    for column in columns:
        wrong = table[~table[column].between(0, 1)]
        if len(wrong):
            raise BadInput(f"{column} is {wrong[column].iloc[0]} in a row", "pass fractions from 0 to 1 alone")


def intervals_of(fractions: Any, counts: Any) -> list[Interval]:
    """Wilson's interval of each fraction."""
    return [wilson_interval(round(k * n), round(n)) for k, n in zip(fractions, counts, strict=True)]


def whiskers_of(found: Sequence[Interval]) -> Any:
    """Lengths of error bars, (2, n); never below 0, whatever rounding does."""
    return np.maximum(0, [[one.estimate - one.low for one in found], [one.high - one.estimate for one in found]])


def for_cells(table: pd.DataFrame, rows: str, columns: str) -> Axes:
    """Axes as wide as the names need."""
    names = [str(name) for name in table[columns].unique()]
    width = max(1.05, 0.085 * max(len(part) for name in names for part in name.split("_")) + 0.2)
    side = 0.085 * max(len(part) for name in table[rows].astype(str) for part in name.split("_"))
    return canvas(None, max(5.0, 1.2 + side + width * len(names)), 1.7 + 0.62 * table[rows].nunique())


def _name_points(ax: Axes, names: Sequence[str], places: Any, whiskers: Any) -> None:
    """A name beside each point, where it covers no other name and no other point or whisker.

    Args:
        names: of n points.
        places: (n, 2).
        whiskers: (2, n), down and up.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.canvas.draw()  # places in dots are known from here on
    taken = [_taken(ax, place, *ends) for place, ends in zip(places, whiskers.T, strict=True)]
    for name, place in zip(names, places, strict=True):
        dots = ax.transData.transform(place)
        boxes = {side: _label_box(dots, _width(ax, name), *side) for side in _SIDES}
        free = [
            side for side, box in boxes.items() if _inside(ax, box) and not any(_overlap(box, one) for one in taken)
        ]
        right, up = free[0] if free else _SIDES[0]
        taken.append(boxes[right, up])
        align = "left" if right > 0 else "right" if right < 0 else "center"
        ax.annotate(name, place, (right, up), textcoords="offset points", ha=align, va="center")


_SIDES = ((9, 0), (-9, 0), (9, 9), (-9, 9), (9, -9), (-9, -9), (0, 24), (0, -24), (0, 38), (0, -38))  # points


def _taken(ax: Axes, place: Any, down: float, up: float) -> tuple[float, ...]:
    """The box of a point and its whiskers, in dots."""
    (x, low), (_, high) = ax.transData.transform([(place[0], place[1] - down), (place[0], place[1] + up)])
    return x, (low + high) / 2, 14.0, max(14.0, high - low + 8.0)  # a little air at the whisker's ends


def _width(ax: Axes, name: str) -> float:
    """How wide a name is when it is written, in dots."""
    written = ax.text(0, 0, name)
    width = float(written.get_window_extent().width)
    written.remove()
    return width


def _label_box(dots: Any, width: float, right: float, up: float) -> tuple[float, ...]:
    """The box of a name so wide at some points from a place, in dots."""
    side = np.sign(right)
    return dots[0] + 1.25 * right + side * width / 2, dots[1] + 1.25 * up, width, 14.0


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether two boxes (middle, size) overlap."""
    return all(abs(one[k] - other[k]) < (one[k + 2] + other[k + 2]) / 2 for k in (0, 1))


def _inside(ax: Axes, box: tuple[float, ...]) -> bool:
    frame = ax.get_window_extent()
    return bool(frame.x0 <= box[0] - box[2] / 2 and box[0] + box[2] / 2 <= frame.x1)
