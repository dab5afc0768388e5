"""Figures of attacks and of defences: what attacks leave of a model, what they cost, and what holds against them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from numpy.typing import ArrayLike, NDArray

from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.quality import draw_pairs
from course_lib.plots.scatter import draw_front
from course_lib.plots.style import GREY, INK, SHADES, check_columns, course_style, new_axes, series_style, set_labels

if TYPE_CHECKING:
    from course_lib.attacks.pgd import LossSurface

FALSE_POSITIVES = 0.1  # the rate at which the title compares detectors


@course_style
def under_attack(table: pd.DataFrame) -> Axes:
    """Accuracy before and under each attack, with 95 % intervals (Wilson).

    Args:
        table: attack, n (texts), before and under (accuracies from 0 to 1); a row for each attack.

    Raises:
        BadInput: no rows, a column is missing, or an accuracy is not from 0 to 1.
    """
    style.check_fractions(check_columns(table, "attack", "n", "before", "under"), "before", "under")
    ax, places = new_axes(height=1.3 + 0.62 * len(table)), np.arange(len(table))
    for column, name, shift, hatch, colour in (
        ("before", "before", -0.19, "", series_style(4).colour),
        ("under", "under attack", 0.19, "///", "white"),
    ):
        rows = style.with_wilson(table, column)
        bars = ax.barh(
            places + shift, rows[column], 0.36, xerr=style.whiskers(rows[column], rows["low"], rows["high"]), capsize=3,
            ecolor=INK, hatch=hatch, color=colour, edgecolor=series_style(0).colour,
        )  # fmt: skip
        ax.bar_label(bars, [f"{value:.1%} {name}" for value in rows[column]], padding=5)
    style.name_rows(ax, [f"{name}\n(n={n:,.0f})" for name, n in zip(table["attack"], table["n"], strict=True)])
    ax.set_xlim(0, 1.3)
    ax.set_xticks(np.linspace(0, 1, 6))
    style.percent_axis(ax.xaxis)
    worst = table.iloc[int(np.argmax(table["before"] - table["under"]))]
    title = f"{worst['attack']} lowers accuracy most: from {worst['before']:.1%} to {worst['under']:.1%}"
    set_labels(ax, title, "accuracy, with 95 % intervals")
    return ax


@course_style
def cost_of_success(table: pd.DataFrame) -> Axes:
    """Queries per text against the success rate with its 95 % interval (Wilson): the best attacks are at the top left.

    Args:
        table: attack, queries (mean per text), success (rate from 0 to 1) and n (attacked texts); a row for each
            attack.

    Raises:
        BadInput: no rows, a column is missing, a rate is not from 0 to 1, or a number of queries is not above 0.
    """
    style.check_fractions(check_columns(table, "attack", "queries", "success", "n"), "success")
    if not (table["queries"] > 0).all():
        raise BadInput(f"the queries are {table['queries'].tolist()}", "pass the mean per text, above 0")
    ax, rows = new_axes(6.4, 4.0), style.with_wilson(table, "success")
    best = rows.sort_values(["success", "queries"], ascending=[False, True], kind="stable").iloc[0]
    title = f"{best['attack']} succeeds most often ({best['success']:.1%}): {best['queries']:,.0f} queries per text"
    set_labels(ax, title, "queries per attacked text (log scale)", "success rate")
    style.percent_axis(ax.yaxis)
    xs, ys, low, high = rows[["queries", "success", "low", "high"]].to_numpy(float).T
    names, lengths = rows["attack"].astype(str).tolist(), style.whiskers(ys, low, high)
    draw_front(ax, xs, ys, lengths, names, "another is as cheap and succeeds more often")
    return ax


@course_style
def transfer(table: pd.DataFrame) -> Axes:
    """Adversarial texts made against one model (rows) and read by another (columns): the fraction that fools it.

    Args:
        table: made_against, read_by, success (0 to 1), one row for each pair.

    Raises:
        BadInput: no rows, a column is missing, or a fraction is not from 0 to 1.
    """
    style.check_fractions(check_columns(table, "made_against", "read_by", "success"), "success")
    ax = draw_pairs(table, "made_against", "read_by", "success")
    own = table["made_against"] == table["read_by"]
    title = f"{table[~own]['success'].mean():.1%} of the texts also fool another model"
    if own.all():
        title = "Only texts made against the same model"
    if own.any():
        title += f" (their own: {table[own]['success'].mean():.1%})"
    set_labels(ax, title, "read by", "made against")
    return ax


@course_style
def first_order(table: pd.DataFrame) -> Axes:
    """The gain in loss that the gradient predicts for each word substitution against the true gain.

    Args:
        table: promised and true (both in nats), a row for each substitution, at least two.

    Raises:
        BadInput: a column is missing, fewer than two rows, or a number that is not finite.
    """
    check_columns(table, "promised", "true")
    predicted, true = table[["promised", "true"]].to_numpy(dtype=np.float64).T
    if len(predicted) < 2 or not np.isfinite([predicted, true]).all():
        raise BadInput(f"the table has {len(predicted)} rows, or gaps", "pass two or more rows, without gaps")
    ax = new_axes(5.6, 4.2)
    room = 0.08 * max(float(np.ptp(predicted)), 1e-6)
    ends = (float(predicted.min()) - room, float(predicted.max()) + room)
    ax.plot(ends, ends, color=GREY, linestyle=(0, (4, 2)), linewidth=1.6, label="if the loss were linear")
    ax.plot(predicted, true, "o", color=series_style(0).colour, alpha=0.55, markersize=5, label="one substitution")
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.set_xlim(ends)
    style.legend_below(ax)
    ranks = table[["promised", "true"]].rank()
    title = f"Rank correlation of predicted and true gain: {ranks['promised'].corr(ranks['true']):.2f}"
    set_labels(ax, title, "predicted gain in loss, first order (nats)", "true gain in loss (nats)")
    return ax


@course_style
def defences(table: pd.DataFrame) -> Axes:
    """Accuracy of each defence (rows) under each attack (columns); the darker, the better.

    Args:
        table: defence, attack ("none" for clean texts), accuracy (0 to 1), one row for each pair.

    Raises:
        BadInput: no rows, a column is missing, or an accuracy is not from 0 to 1.
    """
    style.check_fractions(check_columns(table, "defence", "attack", "accuracy"), "accuracy")
    ax = draw_pairs(table, "defence", "attack", "accuracy")
    attacked = table[table["attack"].astype(str) != "none"]
    means = attacked.groupby("defence", sort=False)["accuracy"].mean()
    title = "Accuracy without an attack"
    if len(means):
        title = f"{means.idxmax()} keeps most under attack: {means.max():.1%} on average"
    set_labels(ax, title, "attack", "defence")
    return ax


@course_style
def roc(curves: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Axes:
    """ROC curves of detectors of attacked texts.

    Args:
        curves: name -> (false positive rates, true positive rates), the first two results of
            `sklearn.metrics.roc_curve`.

    Raises:
        BadInput: no curve, lengths that differ, rates that do not rise from 0 to 1.
    """
    if not curves:
        raise BadInput("there is no curve", "pass at least one")
    ax, found = new_axes(5.2, 4.4), {}
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=(0, (1, 2)), label="guessing (area 0.50)")
    for number, (name, curve) in enumerate(curves.items()):
        x, y = _checked_rates(name, *curve)
        options = style.line_style(number) | {"markevery": 0.12}  # of the axes' size between two markers
        ax.plot(x, y, label=f"{name} (area {np.trapezoid(y, x):.2f})", **options)
        found[name] = float(y[x <= FALSE_POSITIVES].max(initial=0.0))
    ax.axvline(FALSE_POSITIVES, color=GREY, linewidth=0.8)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    style.percent_axis(ax.xaxis, ax.yaxis)
    ax.legend(loc="lower right")
    best = max(found, key=lambda name: found[name])
    title = f"{best} finds {found[best]:.1%} at {FALSE_POSITIVES:.0%} false positives"
    set_labels(ax, title, "false positive rate (of clean texts)", "true positive rate (of attacked texts)")
    return ax


def _checked_rates(name: str, *curve: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = (np.asarray(rates, dtype=np.float64) for rates in curve)
    right = x.ndim == 1 and x.shape == y.shape and len(x) > 1
    if not right or not all((np.diff(side) >= 0).all() and side[0] >= 0 and side[-1] <= 1 for side in (x, y)):
        raise BadInput(
            f"the curve of {name!r} is {x.tolist()[:5]}..., {y.tolist()[:5]}...",
            "pass false and true positive rates, equally many, both rising from 0 to 1",
        )
    return x, y


@course_style
def robustness_curve(table: pd.DataFrame, unit: str) -> Axes:
    """Accuracy by epsilon with its 95 % interval (Wilson), one line for each attack.

    Args:
        table: method (such as FGSM and PGD), epsilon, accuracy (0 to 1) and n (texts).
        unit: of epsilon.

    Raises:
        BadInput: no rows, a column is missing, or an accuracy is not from 0 to 1.
    """
    style.check_fractions(check_columns(table, "method", "epsilon", "accuracy", "n"), "accuracy")
    ax = new_axes(height=3.8)
    style.draw_lines(ax, style.with_wilson(table, "accuracy"), "method", "epsilon", "accuracy")
    ax.set_ylim(0, 1.02)
    style.percent_axis(ax.yaxis)
    ax.legend()
    ends = table.loc[table.groupby("method")["epsilon"].idxmax()]
    worst = ends.loc[ends["accuracy"].idxmin()]
    title = f"{worst['method']} leaves {worst['accuracy']:.1%} at epsilon {worst['epsilon']:.3g}"
    set_labels(ax, title, f"epsilon ({unit})", "accuracy")
    return ax


@course_style
def loss_surface(surface: LossSurface, epsilon: float) -> Axes:
    """The loss around a text, with the ball of radius epsilon and the highest point in it; the darker, the higher.

    Args:
        surface: loss on a plane through the text's embeddings.
        epsilon: radius of the ball, in the surface's units.

    Raises:
        BadInput: a negative epsilon.
    """
    top = surface.highest(epsilon)
    ax, low, high = new_axes(5.8, 4.6), float(surface.loss.min()), float(surface.loss.max())
    levels = np.linspace(low, max(high, low + 1e-6), SHADES + 1)  # a flat surface gets one shade
    colours = colormaps["Blues"](np.linspace(0.1, 0.95, SHADES))
    shades = ax.contourf(surface.along, surface.across, surface.loss.T, levels, colors=colours)
    for width, colour, line in ((3.2, "white", "-"), (1.4, INK, "--")):  # seen on every shade
        ax.add_patch(Circle((0, 0), epsilon, fill=False, edgecolor=colour, linewidth=width, linestyle=line))
    marked: dict[str, Any] = {"linestyle": "none", "markeredgecolor": INK, "zorder": 5}
    ax.plot(0, 0, marker="o", color="white", markersize=8, label="the text", **marked)
    star = series_style(3).colour
    ax.plot(*surface.position(top), marker="*", color=star, markersize=13, label="highest in the ball", **marked)
    ax.set_aspect("equal")
    ax.locator_params(nbins=5)
    ax.grid(visible=False)
    style.colour_bar(ax, shades, "loss (nats)", shrink=0.9, format="%.2f")
    style.legend_below(ax)
    title = f"Epsilon {epsilon:.3g}: loss {surface.loss[surface.start]:.2f} to {surface.loss[top]:.2f} nats"
    set_labels(ax, title, "along the gradient (embedding units)", "across (embedding units)")
    return ax
