"""Figures of how good models are: calibration, confusion, comparisons with their intervals, transfer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.evaluation import Calibration
from course_lib.plots import style
from course_lib.plots.style import GREY, INK, PALE, check_columns, course_style, new_axes, series_style, set_labels


@course_style
def reliability(calibration: Calibration) -> Axes:
    """Confidence against accuracy: on the diagonal, predictions with a confidence of 90 % are right nine times in ten.

    Whiskers are 95 % intervals (Wilson) of each bin's accuracy; pale bars are the fraction of the sentences in the bin.

    Args:
        calibration: of `evaluation.calibration`.

    Raises:
        BadInput: the calibration is of no sentence.
    """
    table = check_columns(calibration.table, "low", "high", "confidence", "accuracy", "count")
    ax, n, edge = new_axes(5.2, 4.2), table["count"].sum(), float(table["low"].min())
    widths = table["high"] - table["low"]
    ax.bar(table["low"], table["count"] / n, widths, align="edge", color=PALE, label="fraction of sentences")
    ax.plot([edge, 1], [edge, 1], color=GREY, linestyle="--", label="perfect calibration")
    bins = style.with_wilson(table, "accuracy", "count")
    lengths = style.whiskers(bins["accuracy"], bins["low"], bins["high"])
    colour = series_style(0).colour
    ax.errorbar(bins["confidence"], bins["accuracy"], lengths, fmt="o-", color=colour, capsize=3, label="the model")
    ax.set(xlim=(edge, 1), ylim=(0, 1))
    style.percent_axis(ax.xaxis, ax.yaxis)
    ax.legend(loc="upper left")
    sure, right = (float((bins[name] * bins["count"]).sum() / n) for name in ("confidence", "accuracy"))
    title = f"Mean confidence {sure:.1%}, accuracy {right:.1%} (ECE {calibration.ece:.3f})"
    set_labels(ax, title, "confidence in the predicted class", "accuracy")
    return ax


@course_style
def confusion(matrix: ArrayLike, classes: Sequence[Any]) -> Axes:
    """Counts of truth (rows) against prediction (columns); shades are fractions of the row.

    Args:
        matrix: (classes, classes) counts.
        classes: the name of each row and column.

    Raises:
        BadInput: the matrix is not square, is empty, or does not fit the classes.
    """
    counts, names = np.asarray(matrix, dtype=np.float64), [str(name) for name in classes]
    if counts.shape != (len(classes), len(classes)) or not counts.sum():
        raise BadInput(
            f"the matrix has the shape {counts.shape} and the sum {counts.sum():g}, the classes are {list(classes)}",
            "pass Evaluation.confusion and Evaluation.classes of the same evaluation",
        )
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    pairs = [zip(*rows, strict=True) for rows in zip(counts, fractions, strict=True)]
    texts = [[f"{n:,.0f}\n{fraction:.1%}" for n, fraction in row] for row in pairs]
    size = 2.6 + 0.75 * len(classes)
    ax = new_axes(max(5.0, size + 0.6), size)
    style.draw_cells(ax, fractions, texts, names, names)
    wrong = counts * (1 - np.eye(len(classes)))
    truth, predicted = divmod(int(wrong.argmax()), len(classes))
    title = f"{np.trace(counts) / counts.sum():.1%} are right"
    if wrong.sum():
        title += f"; most frequent error: {names[truth]} predicted as {names[predicted]} ({wrong.max():,.0f} times)"
    set_labels(ax, title, "predicted", "truth")
    return ax


@course_style
def intervals(table: pd.DataFrame) -> Axes:
    """Models side by side, each with the interval of its accuracy, the best on top.

    Args:
        table: model, accuracy, low and high, as `evaluation.comparison` returns them.

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
    best = rows.iloc[0]
    set_labels(ax, f"{best['model']} leads with {best['accuracy']:.1%}", "accuracy, with 95 % intervals")
    return ax


@course_style
def errors_by(table: pd.DataFrame, x: str) -> Axes:
    """Error rate of each group, with its interval and the number of sentences.

    Args:
        table: x, n, accuracy, low, high, as `evaluation.by_length`, `by_rating` and `by_slice` return them.
        x: the column that names the groups.

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
    worst = table[x].iloc[int(np.argmax(wrong))]
    spoken = {"words": f"{worst} words", "rating": f"|rating| {worst}"}.get(x, worst)
    group = {"rating": "|mean human rating|", "words": "words in the sentence"}.get(x, "")
    set_labels(ax, f"Highest error rate ({wrong.max():.0%}): {spoken}", "error rate, with 95 % intervals", group)
    return ax


@course_style
def label_efficiency(table: pd.DataFrame) -> Axes:
    """Accuracy by number of labelled sentences, one line for each method.

    Args:
        table: labels, method, accuracy, low, high.

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
    few = table[table["labels"] == table["labels"].min()]
    best = few.loc[few["accuracy"].idxmax()]
    title = f"With {best['labels']:,.0f} labels, {best['method']} leads: {best['accuracy']:.1%}"
    set_labels(ax, title, "labelled training sentences (log scale)", "test accuracy")
    return ax


@course_style
def transfer_matrix(table: pd.DataFrame) -> Axes:
    """Accuracy of models trained on one kind of text (rows) and tested on another (columns).

    Args:
        table: train, test, accuracy, one row for each pair.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    ax = draw_pairs(check_columns(table, "train", "test", "accuracy"), "train", "test", "accuracy")
    own = table["train"] == table["test"]
    title = "Accuracy on other kinds of text"
    if own.any() and not own.all():
        same, other = table[own]["accuracy"].mean(), table[~own]["accuracy"].mean()
        title = f"In domain {same:.1%}, out of domain {other:.1%} on average"
    set_labels(ax, title, "tested on", "trained on")
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
