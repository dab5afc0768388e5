"""Figures of how good models are: calibration, comparisons with their intervals, and what labels are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from course_lib.evaluation import Calibration
from course_lib.plots import style
from course_lib.plots.style import GREY, INK, PALE, check_columns, course_style, new_axes, series_style, set_labels

FEWEST = 10  # predictions in a bin of the reliability plot; smaller bins are merged with the next one


@course_style
def reliability(calibration: Calibration, title: str = "Confidence and accuracy") -> Axes:
    """Confidence against accuracy: on the diagonal, predictions with a confidence of 90 % are right nine times in ten.

    Whiskers are 95 % intervals (Wilson) of each bin's accuracy; pale bars are the fraction of the sentences in the bin.
    Bins with fewer than 10 sentences are merged with their neighbour.

    Args:
        calibration: of `evaluation.calibration`.
        title: of the figure.

    Raises:
        BadInput: the calibration is of no sentence.
    """
    table = merge_small_bins(check_columns(calibration.table, "low", "high", "confidence", "accuracy", "count"))
    ax, n, edge = new_axes(5.2, 4.2), table["count"].sum(), float(table["low"].min())
    widths = table["high"] - table["low"]
    ax.bar(table["low"], table["count"] / n, widths, align="edge", color=PALE, label="fraction of sentences")
    ax.plot([edge, 1], [edge, 1], color=GREY, linestyle="--", label="perfect calibration")
    bins = style.with_wilson(table, "accuracy", "count")
    lengths = style.whiskers(bins["accuracy"], bins["low"], bins["high"])
    colour = series_style(0).colour
    ax.errorbar(bins["confidence"], bins["accuracy"], lengths, fmt="o-", color=colour, capsize=3, label="the model")
    ax.set(xlim=(edge, 1), ylim=(0, 1.04))
    style.percent_axis(ax.xaxis, ax.yaxis)
    ax.legend(loc="upper left")
    set_labels(ax, title, "confidence in the predicted class", "accuracy")
    return ax


def merge_small_bins(table: pd.DataFrame, fewest: int = FEWEST) -> pd.DataFrame:
    """The bins of a calibration, in order, each small one merged with the bin after it (the last with the one before).

    Args:
        table: low, high, confidence, accuracy, count, one row for each bin.
        fewest: sentences that a bin must have.
    """
    merged: list[dict[str, float]] = []
    for row in table.to_dict("records"):
        if merged and merged[-1]["count"] < fewest:
            row = _joined(merged.pop(), row)
        merged.append(row)
    if len(merged) > 1 and merged[-1]["count"] < fewest:
        last = merged.pop()
        merged.append(_joined(merged.pop(), last))
    return pd.DataFrame(merged)


def _joined(left: Mapping[Any, float], right: Mapping[Any, float]) -> dict[str, float]:
    """Two bins as one; means are weighted by their numbers of sentences."""
    count = left["count"] + right["count"]
    means = {
        name: (left[name] * left["count"] + right[name] * right["count"]) / count for name in ("confidence", "accuracy")
    }
    return {"low": left["low"], "high": right["high"], **means, "count": count}


@course_style
def intervals(table: pd.DataFrame, title: str = "Accuracy of each model") -> Axes:
    """Models side by side, each with the interval of its accuracy, the best on top.

    Args:
        table: model, accuracy, low and high, as `evaluation.comparison` returns them.
        title: of the figure.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    check_columns(table, "model", "accuracy", "low", "high")
    rows = table.sort_values("accuracy", kind="stable", ascending=False)
    ax, places = new_axes(height=1.5 + 0.42 * len(rows)), np.arange(len(rows))
    lengths = style.whiskers(rows["accuracy"], rows["low"], rows["high"])
    ax.errorbar(rows["accuracy"], places, xerr=lengths, fmt="o", color=series_style(0).colour, capsize=4)
    for place, value in zip(places, rows["accuracy"], strict=True):
        ax.annotate(f"{value:.1%}", (value, place), (0, 6), textcoords="offset points", ha="center", fontsize=9)
    style.name_rows(ax, rows["model"].astype(str).tolist())
    style.percent_axis(ax.xaxis)
    set_labels(ax, title, "accuracy, with 95 % intervals")
    return ax


@course_style
def errors_by(table: pd.DataFrame, x: str, title: str = "Error rate of each group") -> Axes:
    """Error rate of each group, with its interval and the number of sentences.

    Args:
        table: x, n, accuracy, low, high, as `evaluation.by_rating` and `by_slice` return them.
        x: the column that names the groups.
        title: of the figure.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    check_columns(table, x, "n", "accuracy", "low", "high")
    ax, places, wrong = new_axes(height=max(3.4, 1.4 + 0.28 * len(table))), np.arange(len(table)), 1 - table["accuracy"]
    ax.barh(
        places, wrong, xerr=style.whiskers(wrong, 1 - table["high"], 1 - table["low"]), color=series_style(4).colour,
        edgecolor=series_style(0).colour, ecolor=INK, capsize=3,
    )  # fmt: skip
    style.name_rows(ax, [f"{name} (n={n:,})" for name, n in zip(table[x], table["n"], strict=True)])
    style.percent_axis(ax.xaxis)
    set_labels(ax, title, "error rate, with 95 % intervals", {"rating": "|mean human rating|"}.get(x, ""))
    return ax


@course_style
def label_efficiency(table: pd.DataFrame, title: str = "Test accuracy by number of labels") -> Axes:
    """Accuracy by number of labelled sentences, one line for each method.

    Args:
        table: labels, method, accuracy, low, high.
        title: of the figure.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    check_columns(table, "labels", "method", "accuracy", "low", "high")
    ax = new_axes(height=4.0)
    style.draw_lines(ax, table, "method", "labels", "accuracy")
    style.log_axis(ax, table["labels"], room=0)
    ax.set_xticks(sorted(table["labels"].unique()))
    style.percent_axis(ax.yaxis)
    ax.legend()
    set_labels(ax, title, "labelled training sentences (log scale)", "test accuracy")
    return ax


@course_style
def label_noise(table: pd.DataFrame, title: str = "Test accuracy by fraction of wrong labels") -> Axes:
    """Accuracy after training on wrong labels: a small dot for each seed, a line through the means of each method.

    Args:
        table: method, noise (a fraction, or `one rater`), label_errors (the fraction of labels that were wrong) and
            test_accuracy; one row for each run.
        title: of the figure.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    check_columns(table, "method", "noise", "label_errors", "test_accuracy")
    random = table["noise"] != "one rater"
    ax = new_axes()
    for number, (method, rows) in enumerate(table[random].groupby("method", sort=False)):
        means, look = rows.groupby("noise")[["label_errors", "test_accuracy"]].mean(), style.line_style(number)
        ax.plot(rows["label_errors"], rows["test_accuracy"], ".", color=look["color"], markersize=4)
        ax.plot(means["label_errors"], means["test_accuracy"], label=f"{method}, labels flipped at random", **look)
    raters = table[~random].groupby("method")[["label_errors", "test_accuracy"]].mean()
    if len(raters):
        star: dict[str, Any] = {"marker": "*", "markersize": 12, "linestyle": "none", "color": series_style(3).colour}
        ax.plot(raters["label_errors"], raters["test_accuracy"], label="labels of one rater", **star)
    style.percent_axis(ax.xaxis, ax.yaxis)
    ax.legend()
    set_labels(ax, title, "training labels that are wrong", "test accuracy")
    return ax


def draw_pairs(table: pd.DataFrame, row: str, column: str, value: str) -> Axes:
    """Fractions of pairs as a heat map, in the order of the table; the figure is as wide as the names need."""
    rows, columns = list(dict.fromkeys(table[row])), list(dict.fromkeys(table[column]))
    grid = table.pivot_table(index=row, columns=column, values=value).loc[rows, columns].to_numpy()
    letters = [max(len(part) for name in names for part in str(name).split("_")) for names in (rows, columns)]
    width = 1.2 + 0.085 * letters[0] + max(1.05, 0.085 * letters[1] + 0.2) * len(columns)
    ax = new_axes(max(5.0, width), 1.7 + 0.62 * len(rows))
    texts = [["" if np.isnan(cell) else f"{cell:.1%}" for cell in line] for line in grid]
    style.draw_cells(ax, grid, texts, [str(name) for name in rows], [str(name) for name in columns])
    return ax
