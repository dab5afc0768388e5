"""Pictures of how far explanations are to be trusted: whether the model does what they say, and whether they agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.plots.scatter import front_of, log_axis, name_points
from course_lib.plots.scored_text import MINUS
from course_lib.plots.style import GREY, INK, LOOKS, PALE, canvas, house, in_percent, label, legend_below, look, need

if TYPE_CHECKING:
    from course_lib.explain import Curve

SHADES = 12
STEPS = 41  # points of a mean curve over texts of different lengths
RANDOM = "random"  # the name of what any method must beat
QUIET = "#5f5f5f"  # names of methods that another one beats
_STAGES = {"classifier": "head", "bert.pooler": "pooler", "bert.embeddings": "embed-\ndings"}


# ---- deletion and insertion ------------------------------------------------------------------------------------


@house
def deletion_curves(
    by_method: Mapping[str, Curve | Sequence[Curve]], unit: str = "probability of the target"
) -> tuple[Axes, Axes]:
    """The output while the words that speak most for the target go (left), and while they come (right).

    Curves of several texts are averaged at equal shares of their words. A faithful method falls fast on the left and
    rises fast on the right; the method called "random" is drawn as what to beat.

    Args:
        by_method: name -> curves of the same texts, as `explain.curves` gives them, or one of them.
        unit: of the output.

    Returns:
        The axes of deletion and of insertion.

    Raises:
        BadInput: no method or no curve, methods of different numbers of texts, or curves that are not finite.
    """
    found = {name: _several(curves) for name, curves in by_method.items()}
    _check_curves(found)
    figure, axes = plt.subplots(1, 2, figsize=(7.6, 4.1), sharey=True)
    several = len(next(iter(found.values()))) > 1
    for ax, side in zip(axes, ("deletion", "insertion"), strict=True):
        areas = {name: np.mean([getattr(one, f"{side}_area") for one in curves]) for name, curves in found.items()}
        for number, (name, curves) in enumerate(found.items()):
            shares, height = _mean_curve([getattr(one, side) for one in curves])
            ax.plot(shares, height, label=name, **_style(name, number, len(shares)))
        in_percent(ax.xaxis)
        label(ax, _fastest(side, areas), f"words {'deleted' if side == 'deletion' else 'inserted'}", fold=38)
    axes[0].set_ylabel(f"{unit}{', mean over texts' if several else ''}")
    handles = axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=min(4, len(found)), columnspacing=1.4)
    return axes[0], axes[1]


def _several(curves: Any) -> list[Curve]:
    return [curves] if hasattr(curves, "deletion") else list(curves)


def _check_curves(found: Mapping[str, list[Curve]]) -> None:
    counts = {name: len(curves) for name, curves in found.items()}
    if not counts or not all(counts.values()) or len(set(counts.values())) > 1:
        raise BadInput(f"curves of each method: {counts}", "pass methods that explained the same texts, at least one")
    for name, curves in found.items():
        if not all(np.isfinite(one.deletion).all() and np.isfinite(one.insertion).all() for one in curves):
            raise BadInput(f"a curve of {name} is not finite", "take it from explain.curves")


def _mean_curve(curves: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shares of words from 0 to 1, and the mean height there."""
    lengths = {len(one) for one in curves}
    shares = np.linspace(0, 1, max(lengths.pop(), 2) if len(lengths) == 1 else STEPS)
    rows = [np.interp(shares, np.linspace(0, 1, len(one)), one) for one in curves]
    return shares, np.mean(rows, axis=0)


def _style(name: str, number: int, points: int) -> dict[str, Any]:
    """Line and marker of a method; from the sixth on markers are hollow."""
    if name == RANDOM:
        return {"color": GREY, "linestyle": (0, (1, 1.5)), "linewidth": 2.2}
    shape, hollow = look(number), number % (2 * len(LOOKS)) >= len(LOOKS)
    every = max(1, points // 10)
    return {
        "color": shape.colour, "linestyle": shape.line, "marker": shape.marker,
        "markevery": (number % every, every), "markerfacecolor": "white" if hollow else shape.colour,
    }  # fmt: skip


def _fastest(side: str, areas: Mapping[str, Any]) -> str:
    mine = {name: area for name, area in areas.items() if name != RANDOM} or dict(areas)
    best = (min if side == "deletion" else max)(mine, key=lambda name: mine[name])
    text = f"{mine[best]:.2f}".replace("-", MINUS)
    if len(mine) == 1:
        return f"{side.capitalize()}: mean {text} ({best})"
    return f"{best} {'falls' if side == 'deletion' else 'rises'} fastest: mean {text}"


# ---- agreement -------------------------------------------------------------------------------------------------


@house
def agreement_map(frame: pd.DataFrame, of: str = "scores", ax: Axes | None = None) -> Axes:
    """The rank correlation of every two methods' scores; the darker, the more they agree.

    Args:
        frame: a row and a column for each method, as `explain.agreement` gives it; nan where nothing is known.
        of: what was ranked: `scores`, or their `sizes` where `explain.agreement` compared `absolute` scores.

    Raises:
        BadInput: fewer than two methods, rows and columns of different names, or numbers that are not from -1 to 1.
    """
    if len(frame) < 2 or list(frame.index) != list(frame.columns):
        raise BadInput(
            f"rows {list(frame.index)}, columns {list(frame.columns)}", "pass explain.agreement of two methods or more"
        )
    grid, n = frame.to_numpy(float).copy(), len(frame)
    if (np.abs(grid[~np.isnan(grid)]) > 1 + 1e-9).any():
        raise BadInput(f"numbers up to {np.nanmax(np.abs(grid)):.3g}", "pass rank correlations, from -1 to 1")
    pairs = {(a, b): grid[a, b] for a, b in combinations(range(n), 2) if not math.isnan(grid[a, b])}
    np.fill_diagonal(grid, np.nan)
    ax, names = canvas(ax, 2.9 + 0.72 * n, 1.8 + 0.46 * n), [str(name) for name in frame.columns]
    low = min([0.0, *pairs.values()])
    colours = colormaps["Blues"].resampled(SHADES)
    shades = ax.imshow(grid, cmap=colours, vmin=low, vmax=1, aspect="auto")
    for (row, column), number in np.ndenumerate(grid):
        text = "–" if math.isnan(number) else f"{number:.2f}".replace("-", MINUS)
        text = "" if row == column else text
        ink = "white" if number > low + 0.6 * (1 - low) else INK
        ax.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)
    ax.set_xticks(range(n), names, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(n), names)
    ax.grid(visible=False)
    ax.set_facecolor(PALE)  # a method beside itself, and what is not known
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.colorbar(shades, ax=ax, label=f"rank correlation of {of}, mean over texts", pad=0.02)
    label(ax, _extremes(names, pairs))
    return ax


def _extremes(names: Sequence[str], pairs: Mapping[tuple[int, int], float]) -> str:
    if not pairs:
        return "No two methods can be compared"
    ends = [choose(pairs, key=lambda pair: pairs[pair]) for choose in (max, min)]
    most, least = (
        f"{names[a]} and {names[b]} ({pairs[a, b]:.2f})".replace("(-", f"({MINUS}") for a, b in ends
    )  # fmt: skip
    return f"Most alike: {most}" + (f"; least: {least}" if len(pairs) > 1 else "")


# ---- time ------------------------------------------------------------------------------------------------------


@house
def faithfulness_against_time(frame: pd.DataFrame, unit: str = "seconds a text", ax: Axes | None = None) -> Axes:
    """How faithful each method is, with its interval, against its time: the best stand at the top left.

    Filled points are on the front: no other method is as fast and as faithful, and better in one. The method called
    "random" is a dashed line: what to beat.

    Args:
        frame: method, seconds (above 0), comprehensiveness and its interval low and high; a row for each method.
        unit: of the seconds.

    Raises:
        BadInput: no method but "random", a column is missing, seconds not above 0, or an interval that does not hold
            its value.
    """
    numbers = ("comprehensiveness", "low", "high")
    need(frame, "method", "seconds", *numbers)
    chance = frame[frame["method"].astype(str) == RANDOM]
    rows = need(frame[frame["method"].astype(str) != RANDOM], "method").sort_values("seconds", ignore_index=True)
    xs, ys, low, high = (rows[name].to_numpy(float) for name in ("seconds", *numbers))
    if not (np.isfinite(xs) & (xs > 0)).all():
        raise BadInput(f"seconds are {xs.tolist()}", "pass numbers above 0")
    if not (np.isfinite(ys) & np.isfinite(low + high) & (low <= ys + 1e-9) & (ys <= high + 1e-9)).all():
        raise BadInput("an interval does not hold its comprehensiveness", "let low <= comprehensiveness <= high")
    on_front = front_of(xs, ys, "low", np.full(len(rows), True))
    ends = np.maximum(0, np.stack([ys - low, high - ys]))
    own, ax = ax is None, canvas(ax, 7.0, 4.3)
    kinds = ((on_front, "o", look(0).colour, look(0).colour, "on the front"),
             (~on_front, "s", "white", QUIET, "another is as fast and more faithful"))  # fmt: skip
    for mine, marker, fill, edge, name in kinds:
        if mine.any():
            ax.errorbar(
                xs[mine], ys[mine], ends[:, mine], fmt=marker, color=edge, ecolor=GREY, markerfacecolor=fill,
                markeredgecolor=edge, markersize=7.5, elinewidth=1, capsize=3, label=name, zorder=3,
            )  # fmt: skip
    line = [float(value) for value in chance["comprehensiveness"][:1]]
    for value in line:
        ax.axhline(value, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="random order", zorder=1)
    log_axis(ax, xs)
    span = np.concatenate([low, high, line])
    room = 0.12 * max(float(span.max() - span.min()), 0.01)
    ax.set_ylim(float(span.min()) - room, float(span.max()) + room)
    ax.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
    legend_below(ax, own)
    best = int(np.argmax(ys))
    title = f"Highest: {rows['method'][best]} ({ys[best]:.2f} in {xs[best]:.2g}\u00a0s)"
    fastest = int(np.argmin(xs))
    if fastest != best:
        title += f"; fastest: {rows['method'][fastest]} ({ys[fastest]:.2f} in {xs[fastest]:.2g}\u00a0s)"
    label(ax, title.replace("-0.", f"{MINUS}0."), f"{unit} (log scale)", "comprehensiveness (fall of the output)", 74)
    inks = np.where(on_front, INK, QUIET).tolist()
    lines = [np.array([(x, value) for x in ax.get_xlim()]) for value in line]
    name_points(ax, rows["method"].astype(str).tolist(), inks, np.stack([xs, ys], axis=1), ends, lines)
    return ax


# ---- sanity ----------------------------------------------------------------------------------------------------


@house
def sanity(frame: pd.DataFrame, value: Literal["absolute", "signed"] = "absolute", ax: Axes | None = None) -> Axes:
    """How much the scores still agree while the model forgets from the top down; those of a sound method fall to 0.

    Args:
        frame: stage, signed, absolute, as `explain.sanity_check` gives it: both are drawn. With a column `method` as
            well, several such frames below one another: a line for each method.
        value: which of the two is drawn where there are methods.

    Raises:
        BadInput: no rows, a column is missing, another value, or numbers that are not from -1 to 1.
    """
    need(frame, "stage", "signed", "absolute")
    if value not in ("absolute", "signed"):
        raise BadInput(f"value is {value!r}", "use 'absolute' or 'signed'")
    numbers = frame[["signed", "absolute"]].to_numpy(float)
    if (np.abs(numbers[~np.isnan(numbers)]) > 1 + 1e-9).any():
        raise BadInput(f"numbers up to {np.nanmax(np.abs(numbers)):.3g}", "pass rank correlations, from -1 to 1")
    stages = list(dict.fromkeys(frame["stage"].astype(str)))
    lines = _sanity_lines(frame, value, stages)
    own, ax = ax is None, canvas(ax, 2.6 + 0.55 * len(stages), 4.0)
    ax.axhline(0, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="no agreement", zorder=1)
    for number, (name, heights) in enumerate(lines.items()):
        ax.plot(range(len(stages) + 1), [1.0, *heights], label=name, **_style(name, number, 1))
    ax.set_xticks(range(len(stages) + 1), ["nothing", *map(_stage, stages)])
    ax.set_xlim(-0.3, len(stages) + 0.3)
    lowest = min((height for heights in lines.values() for height in heights if not math.isnan(height)), default=0.0)
    ax.set_ylim(min(-0.15, lowest - 0.05), 1.05)
    legend_below(ax, own)
    ends = {name: float(heights[-1]) for name, heights in lines.items() if not math.isnan(heights[-1])}
    of = {"absolute": "of the scores' sizes\n", "signed": "of the scores\n"}[value] if "method" in frame else ""
    kind = f"rank correlation {of}with the whole model's" if of else "rank correlation with the whole model"
    label(ax, _left_over(ends, "method" in frame), "random weights, from the head down to", kind)
    return ax


def _sanity_lines(frame: pd.DataFrame, value: str, stages: list[str]) -> dict[str, list[float]]:
    """Name -> its number at each stage; nan where there is none."""
    if "method" not in frame:
        parts = {"sizes of the scores (absolute)": (frame, "absolute"), "scores (signed)": (frame, "signed")}
    else:
        parts = {str(name): (rows, value) for name, rows in frame.groupby("method", sort=False)}
    found = {}
    for name, (rows, column) in parts.items():
        if rows["stage"].duplicated().any():
            raise BadInput("a stage occurs twice", "name the method of each row in a column `method`")
        found[name] = rows.set_index(rows["stage"].astype(str))[column].reindex(stages).astype(float).tolist()
    return found


def _stage(name: str) -> str:
    return _STAGES.get(name, name.replace("bert.encoder.layer.", "layer\n"))


def _left_over(ends: Mapping[str, float], methods: bool) -> str:
    if not ends:
        return "Nothing can be ranked once all is random"
    name = max(ends, key=lambda one: ends[one])
    text = f"{ends[name]:.2f}".replace("-", MINUS)
    if not methods:
        return f"All weights random: the scores still agree at {text}"
    return f"All weights random: {name} still agrees most, at {text}"
