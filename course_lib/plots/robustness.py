"""Figures of attacks and of defences: what attacks leave of a model, what they cost, and what holds against them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.quality import draw_pairs
from course_lib.plots.scatter import draw_front
from course_lib.plots.style import GREY, check_columns, course_style, new_axes, series_style, set_labels

FALSE_POSITIVES = 0.1  # the rate at which the title compares detectors


@course_style
def cost_of_success(table: pd.DataFrame, title: str = "Success rate and queries of each attack") -> Axes:
    """Queries per text and success rate of attacks, with 95 % intervals (Wilson): the best are at the top left.

    Args:
        table: attack, queries (mean per text), success (rate from 0 to 1) and n (attacked texts); a row for each
            attack.
        title: of the figure.

    Raises:
        BadInput: no rows, a column is missing, a rate is not from 0 to 1, or a number of queries is not above 0.
    """
    style.check_fractions(check_columns(table, "attack", "queries", "success", "n"), "success")
    if not (table["queries"] > 0).all():
        raise BadInput(f"the queries are {table['queries'].tolist()}", "pass the mean per text, above 0")
    ax, rows = new_axes(6.4, 4.0), style.with_wilson(table, "success")
    set_labels(ax, title, "queries per attacked text (log scale)", "success rate")
    style.percent_axis(ax.yaxis)
    xs, ys, low, high = rows[["queries", "success", "low", "high"]].to_numpy(float).T
    names, lengths = rows["attack"].astype(str).tolist(), style.whiskers(ys, low, high)
    draw_front(ax, xs, ys, lengths, names, "another needs fewer queries and succeeds more often")
    return ax


@course_style
def first_order(table: pd.DataFrame, title: str = "Predicted and true gains of word substitutions") -> Axes:
    """The gain in loss that the gradient predicts for each word substitution against the true gain.

    Args:
        table: predicted and true (both in nats), a row for each substitution, at least two.
        title: of the figure.

    Raises:
        BadInput: a column is missing, fewer than two rows, or a number that is not finite.
    """
    check_columns(table, "predicted", "true")
    predicted, true = table[["predicted", "true"]].to_numpy(dtype=np.float64).T
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
    set_labels(ax, title, "predicted gain in loss, first order (nats)", "true gain in loss (nats)")
    return ax


@course_style
def defenses(table: pd.DataFrame, title: str | None = None) -> Axes:
    """Accuracy of each defense (rows) under each attack (columns); the darker, the better.

    Args:
        table: defence, attack ("none" for clean texts), accuracy (0 to 1), one row for each pair.
        title: the conclusion in words; left out, the figure says what it shows.

    Raises:
        BadInput: no rows, a column is missing, or an accuracy is not from 0 to 1.
    """
    style.check_fractions(check_columns(table, "defence", "attack", "accuracy"), "accuracy")
    ax = draw_pairs(table, "defence", "attack", "accuracy")
    set_labels(ax, title or "Accuracy under attack", "attack", "defense")
    return ax


@course_style
def roc(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str | None = None) -> Axes:
    """ROC curves of detectors of attacked texts.

    Args:
        curves: name -> (false positive rates, true positive rates), the first two results of
            `sklearn.metrics.roc_curve`.
        title: the conclusion in words; left out, the figure names the best detector at the marked rate.

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
    automatic = f"{best} finds {found[best]:.1%} at {FALSE_POSITIVES:.0%} false positives"
    set_labels(ax, title or automatic, "false positive rate (of clean texts)", "true positive rate (of attacked texts)")
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
def robustness_curve(table: pd.DataFrame, unit: str, title: str = "Accuracy by the radius of the perturbation") -> Axes:
    """Accuracy by epsilon with its 95 % interval (Wilson), one line for each attack.

    Args:
        table: method (such as FGSM and PGD), epsilon, accuracy (0 to 1) and n (texts).
        unit: of epsilon.
        title: of the figure.

    Raises:
        BadInput: no rows, a column is missing, or an accuracy is not from 0 to 1.
    """
    style.check_fractions(check_columns(table, "method", "epsilon", "accuracy", "n"), "accuracy")
    ax = new_axes(height=3.8)
    style.draw_lines(ax, style.with_wilson(table, "accuracy"), "method", "epsilon", "accuracy")
    ax.set_ylim(0, 1.02)
    style.percent_axis(ax.yaxis)
    ax.legend()
    set_labels(ax, title, f"epsilon ({unit})", "accuracy")
    return ax
