"""Figures of explanations: spread over seeds, deletion curves, agreement of methods, sanity checks."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.font_manager import findfont, get_font
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.scatter import draw_front
from course_lib.plots.scored_text import check_scores
from course_lib.plots.style import GREY, INK, MINUS, check_columns, course_style, set_labels

if TYPE_CHECKING:
    from course_lib.explain import Attribution, Curve

MOST_LETTERS = 22  # of a word beside its bar
MOST_WORDS = 14  # of a figure of seeds
STEPS = 41  # points of a mean curve over texts of different lengths
RANDOM = "random"  # the name of what any method must beat
_MODIFIERS = "\u200d\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"  # of emoji: joiner, style, skin tones
_STAGES = {"classifier": "head", "bert.pooler": "pooler", "bert.embeddings": "embed-\ndings"}


# ---- seeds -----------------------------------------------------------------------------------------------------


@course_style
def seed_spread(
    runs: Sequence[Attribution], limits: tuple[float, float], words: Sequence[int], names: Mapping[Any, str]
) -> Axes:
    """One text explained with several seeds: a dot for each seed, a bar of the mean ± a standard deviation.

    Args:
        runs: explanations of the same text by the same method, one for each of at least two seeds.
        limits: of the scores' axis, so that figures can be compared.
        words: numbers of the words that are drawn, at least one.
        names: class -> what to call it.

    Raises:
        BadInput: fewer than two runs, runs of different texts, no words, or scores that are not finite.
    """
    if len(runs) < 2 or len({(one.text, one.target, one.method) for one in runs}) > 1:
        raise BadInput(f"{len(runs)} runs", "pass at least two, of the same text, method and target")
    for one in runs:
        check_scores(one)
    if not len(words):
        raise BadInput("there are no words to draw", "explain a text that has words")
    first, chosen = runs[0], sorted(words)
    scores = np.array([one.scores for one in runs], float)[:, chosen]  # (seeds, words)
    mean, deviation = scores.mean(0), scores.std(0, ddof=1)
    ax, rows = style.new_axes(6.4, 1.7 + 0.3 * len(chosen)), np.arange(len(chosen))
    pale, dark, red = (style.series_style(number).colour for number in (4, 0, 1))
    label = "mean ± standard deviation"
    ax.barh(rows, 2 * deviation, 0.62, mean - deviation, color=pale, edgecolor=dark, linewidth=0.8, label=label)
    heights = np.linspace(-0.2, 0.2, len(runs))[:, None] + rows  # apart, so that equal scores are seen
    ax.scatter(scores, heights, 22, color=dark, edgecolor="white", linewidth=0.4, zorder=3, label="one seed")
    ax.vlines(mean, rows - 0.31, rows + 0.31, color=red, linewidth=2)
    ax.axvline(0, color=INK, linewidth=0.9)
    counts = {at: first.words[: at + 1].count(first.words[at]) for at in chosen}
    repeated = {at for at in chosen if first.words.count(first.words[at]) > 1}
    called = [drawable(first.words[at]) + (f" ({counts[at]})" if at in repeated else "") for at in chosen]
    style.name_rows(ax, called)
    ax.set_xlim(*limits)
    style.legend_below(ax)
    most = int(deviation.argmax())
    title = f"Over {len(runs)} seeds “{drawable(first.words[chosen[most]])}” varies most: ±\u00a0{deviation[most]:.2g}"
    if not deviation[most] > 1e-12:
        title = f"All {len(runs)} seeds give the same scores"
    target = names.get(first.target, str(first.target))
    set_labels(ax, f"{title} ({first.method})", f"score ({first.output} of {target})")
    return ax


def strongest_words(runs: Sequence[Attribution], most: int = MOST_WORDS) -> list[int]:
    """Numbers of the words whose scores are largest on average over runs, whatever their sign; in the text's order."""
    size = np.abs(np.array([one.scores for one in runs], float)).mean(0)
    return sorted(np.argsort(-size, kind="stable")[:most].tolist())


def drawable(word: str) -> str:
    """A word for a figure: cut when long; characters that the font does not have are written as name or code."""
    known, hidden = _characters(), _MODIFIERS if len(word) > 1 else ""
    text = "".join(sign if ord(sign) in known else f"[{_name(sign)}]" for sign in word if sign not in hidden)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def _name(sign: str) -> str:
    code = f"U+{ord(sign):04X}"
    return unicodedata.name(sign, code).lower() if unicodedata.category(sign) == "So" else code


@cache
def _characters() -> frozenset[int]:
    """What the figures' font can draw."""
    return frozenset(get_font(findfont(style.SETTINGS["font.family"])).get_charmap())


# ---- deletion and insertion ------------------------------------------------------------------------------------


@course_style
def deletion_curves(by_method: Mapping[str, Curve | Sequence[Curve]], title: str = "") -> tuple[Axes, Axes]:
    """The output while the words that speak most for the target are deleted (left) and inserted (right).

    Curves of several texts are averaged at equal fractions of their words. A faithful method falls fast on the left and
    rises fast on the right; the method called "random" is drawn as what to beat.

    Args:
        by_method: name -> curves of the same texts, as `explain.curves` returns them, or one of them.
        title: what the figure shows.

    Returns:
        The axes of deletion and of insertion.

    Raises:
        BadInput: no method or no curve, methods of different numbers of texts, or curves that are not finite.
    """
    found: dict[str, list[Any]] = {
        name: [curves] if hasattr(curves, "deletion") else list(curves) for name, curves in by_method.items()
    }
    counts = {name: len(curves) for name, curves in found.items()}
    if not counts or not all(counts.values()) or len(set(counts.values())) > 1:
        raise BadInput(f"curves of each method: {counts}", "pass methods that explained the same texts, at least one")
    for name, curves in found.items():
        if not all(np.isfinite([*one.deletion, *one.insertion]).all() for one in curves):
            raise BadInput(f"a curve of {name} is not finite", "take it from explain.curves")
    left, right = plt.subplots(1, 2, figsize=(7.6, 4.1), sharey=True)[1]
    for ax, side, verb, better in ((left, "deletion", "deleted", "lower"), (right, "insertion", "inserted", "higher")):
        for number, (name, curves) in enumerate(found.items()):
            fractions, heights = _mean_curve([getattr(one, side) for one in curves])
            ax.plot(fractions, heights, label=name, **_method_style(name, number, len(fractions)))
        set_labels(ax, f"{side}: {better} is better", f"words {verb}")
        style.percent_axis(ax.xaxis)
    left.set_ylabel("probability of the target" + (", mean over texts" if max(counts.values()) > 1 else ""))
    style.legend_below(left)
    if title:
        style.figure_of(left).suptitle(textwrap.fill(title, 88), fontweight="bold", fontsize=11)
    return left, right


def _mean_curve(curves: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fractions of words from 0 to 1, and the mean height there."""
    lengths = {len(one) for one in curves}
    fractions = np.linspace(0, 1, max(lengths.pop(), 2) if len(lengths) == 1 else STEPS)
    rows = [np.interp(fractions, np.linspace(0, 1, len(one)), one) for one in curves]
    return fractions, np.mean(rows, axis=0)


def _method_style(name: str, number: int, points: int = 1) -> dict[str, Any]:
    if name == RANDOM:
        return {"color": GREY, "linestyle": (0, (1, 1.5)), "linewidth": 2.2}
    return style.line_style(number, points)


# ---- agreement, time, sanity -----------------------------------------------------------------------------------


@course_style
def agreement_map(table: pd.DataFrame, of: str = "scores", title: str = "") -> Axes:
    """The rank correlation of every two methods' scores; the darker, the more they agree.

    Args:
        table: a row and a column for each method, as `explain.agreement` returns it; nan where it is not defined.
        of: what was ranked: `scores`, or `absolute scores` where `explain.agreement` was called with `absolute`.
        title: what the figure shows.

    Raises:
        BadInput: fewer than two methods, rows and columns of different names, or numbers that are not from -1 to 1.
    """
    if len(table) < 2 or list(table.index) != list(table.columns):
        raise BadInput(
            f"rows {list(table.index)}, columns {list(table.columns)}", "pass explain.agreement of two methods or more"
        )
    grid, names, n = table.to_numpy(float).copy(), [str(name) for name in table.columns], len(table)
    style.check_correlations(grid)
    texts = [["–" if math.isnan(number) else f"{number:.2f}".replace("-", MINUS) for number in row] for row in grid]
    for at in range(n):  # a method beside itself
        grid[at, at], texts[at][at] = np.nan, ""
    ax, low = style.new_axes(2.9 + 0.72 * n, 1.8 + 0.46 * n), min([0.0, *grid[~np.isnan(grid)]])
    bar = f"rank correlation of {of}, mean over texts"
    style.draw_cells(ax, grid, texts, names, names, (low, 1), bar, rotation=35)
    set_labels(ax, title, wrap=80)
    return ax


@course_style
def faithfulness_against_time(table: pd.DataFrame, title: str = "") -> Axes:
    """How faithful each method is, with its interval, against its time: the best are at the top left.

    Filled points are on the front: no other method is as fast and as faithful, and better in one. The method called
    "random" is a dashed line: what to beat.

    Args:
        table: method, seconds (above 0), comprehensiveness and its interval low and high; a row for each method.
        title: what the figure shows.

    Raises:
        BadInput: no method but "random", a column is missing, seconds not above 0, or an interval that does not hold
            its value.
    """
    numbers = ("seconds", "comprehensiveness", "low", "high")
    check_columns(table, "method", *numbers)
    chance = table["method"].astype(str) == RANDOM
    rows = check_columns(table[~chance], "method").reset_index(drop=True)
    xs, ys, low, high = rows[list(numbers)].to_numpy(float).T
    if not (np.isfinite(xs) & (xs > 0)).all():
        raise BadInput(f"seconds are {xs.tolist()}", "pass numbers above 0")
    if not (np.isfinite(low + ys + high) & (low <= ys + 1e-9) & (ys <= high + 1e-9)).all():
        raise BadInput("an interval does not hold its comprehensiveness", "let low <= comprehensiveness <= high")
    ax, names = style.new_axes(7.0, 4.3), rows["method"].astype(str).tolist()
    for value in table[chance]["comprehensiveness"][:1]:
        ax.axhline(value, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="random order", zorder=1)
    set_labels(ax, title, "seconds per text (log scale)", "comprehensiveness (fall of the probability)", wrap=66)
    draw_front(ax, xs, ys, style.whiskers(ys, low, high), names, "another method is as fast and more faithful")
    return ax


@course_style
def sanity(table: pd.DataFrame, title: str = "") -> Axes:
    """How much the sizes of the scores still agree while the model's weights become random from the top down.

    Those of a sound method fall to 0.

    Args:
        table: stage, absolute (rank correlation), as `explain.sanity_check` returns it, with a column `method` where
            there are several: a line for each.
        title: what the figure shows.

    Raises:
        BadInput: no rows, a column is missing, a stage occurs twice, or numbers that are not from -1 to 1.
    """
    rows = check_columns(table, "stage", "absolute")
    rows = rows if "method" in rows else rows.assign(method="scores")
    style.check_unique(rows, "method", "stage")
    style.check_correlations(rows["absolute"].to_numpy(float))
    stages, methods = list(dict.fromkeys(rows["stage"])), list(dict.fromkeys(rows["method"]))
    grid = rows.pivot(index="method", columns="stage", values="absolute").loc[methods, stages].astype(float)
    ax, places = style.new_axes(2.6 + 0.55 * len(stages), 4.0), range(len(stages) + 1)
    ax.axhline(0, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="no agreement", zorder=1)
    for number, (name, heights) in enumerate(grid.iterrows()):
        ax.plot(places, [1.0, *heights], label=str(name), **_method_style(str(name), number))
    named = [_STAGES.get(stage, str(stage).replace("bert.encoder.layer.", "layer\n")) for stage in stages]
    ax.set_xticks(places, ["nothing", *named])
    ax.set_ylim(min(-0.15, grid.min().min() - 0.05), 1.05)
    style.legend_below(ax, ncols=5)
    set_labels(
        ax, title, "random weights from the head down to", "rank correlation of absolute scores", wrap=68
    )  # fmt: skip
    return ax
