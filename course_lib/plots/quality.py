"""Pictures of how good models are: calibration, confusion, comparisons with their intervals, transfer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.evaluation import Calibration, wilson_interval
from course_lib.plots.style import GREY, INK, PALE, canvas, house, in_percent, label, look, need


@house
def reliability(calibration: Calibration, ax: Axes | None = None) -> Axes:
    """Confidence against accuracy: on the diagonal, "90 % sure" is right nine times in ten.

    Whiskers are 95 % intervals (Wilson) of each bin's accuracy; pale bars are the share of the sentences in
    the bin.

    Args:
        calibration: what `evaluation.calibration` gave.

    Raises:
        BadInput: the calibration is of no sentence.
    """
    bins = need(calibration.table, "low", "high", "confidence", "accuracy", "count")
    ax, n = canvas(ax, 5.2, 4.2), bins["count"].sum()
    edge = float(bins["low"].min())
    ax.bar(
        bins["low"], bins["count"] / n, bins["high"] - bins["low"], align="edge", color=PALE, label="share of sentences"
    )
    ax.plot([edge, 1], [edge, 1], color=GREY, linestyle="--", label="perfect calibration")
    ends = [wilson_interval(round(k * m), m) for k, m in zip(bins["accuracy"], bins["count"].astype(int), strict=True)]
    whiskers = _whiskers(bins["accuracy"], [end.low for end in ends], [end.high for end in ends])
    ax.errorbar(
        bins["confidence"], bins["accuracy"], whiskers, fmt="o-", color=look(0).colour, capsize=3, label="the model"
    )
    ax.set(xlim=(edge, 1), ylim=(0, 1))
    in_percent(ax.xaxis)
    in_percent(ax.yaxis)
    ax.legend(loc="upper left")
    sure, right = (float((bins[name] * bins["count"]).sum() / n) for name in ("confidence", "accuracy"))
    label(
        ax,
        f"On average {sure:.1%} sure, {right:.1%} right (ECE {calibration.ece:.3f})",
        "confidence in the predicted class",
        "share that is right",
    )
    return ax


@house
def confusion(matrix: ArrayLike, classes: Sequence[Any], ax: Axes | None = None) -> Axes:
    """Counts of truth (rows) against prediction (columns); shades are shares of the row.

    Args:
        matrix: (classes, classes) counts.
        classes: the name of each row and column.

    Raises:
        BadInput: the matrix is not square, is empty, or does not fit the classes.
    """
    counts = np.asarray(matrix, dtype=np.float64)
    if counts.shape != (len(classes), len(classes)) or not counts.sum():
        raise BadInput(
            f"the matrix has the shape {counts.shape} and the sum {counts.sum():g}, the classes are {list(classes)}",
            "pass Evaluation.confusion and Evaluation.classes of the same evaluation",
        )
    size = 2.6 + 0.75 * len(classes)
    ax = canvas(ax, max(5.0, size + 0.6), size)
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    texts = [
        [f"{n:,.0f}\n{part:.1%}" for n, part in zip(*pair, strict=True)] for pair in zip(counts, rows, strict=True)
    ]
    _heat(ax, rows, texts, [str(name) for name in classes], [str(name) for name in classes])
    wrong = counts * (1 - np.eye(len(classes)))
    truth, said = divmod(int(wrong.argmax()), len(classes))
    title = f"{np.trace(counts) / counts.sum():.1%} are right"
    if wrong.sum():
        title += f"; most often {classes[truth]} is taken for {classes[said]} ({wrong.max():,.0f} times)"
    label(ax, title, "predicted", "truth")
    return ax


@house
def intervals(table: pd.DataFrame, value: str = "accuracy", ax: Axes | None = None) -> Axes:
    """Models side by side, each with its interval, the best on top.

    Args:
        table: model, low, high and the column `value`, as `evaluation.comparison` gives them.
        value: the measured share.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    rows = need(table, "model", value, "low", "high").sort_values(value, kind="stable").reset_index(drop=True)
    ax, places = canvas(ax, height=1.5 + 0.42 * len(table)), np.arange(len(table))
    whiskers = _whiskers(rows[value], rows["low"], rows["high"])
    ax.errorbar(rows[value], places, xerr=whiskers, fmt="o", color=look(0).colour, capsize=4)
    for place, estimate in zip(places, rows[value], strict=True):
        ax.annotate(f"{estimate:.1%}", (estimate, place), (0, 6), textcoords="offset points", ha="center", fontsize=9)
    ax.set_yticks(places, rows["model"].astype(str))
    ax.set_ylim(-0.6, len(rows) - 0.25)
    in_percent(ax.xaxis)
    label(ax, f"{rows['model'].iloc[-1]} leads with {rows[value].iloc[-1]:.1%}", f"{value}, with 95 % intervals")
    return ax


@house
def errors_by(table: pd.DataFrame, x: str, ax: Axes | None = None) -> Axes:
    """Share of wrong predictions in each group, with its interval and the number of sentences.

    Args:
        table: x, n, accuracy, low, high, as `evaluation.by_length`, `by_rating` and `by_slice` give them.
        x: the column that names the groups.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    need(table, x, "n", "accuracy", "low", "high")
    wrong, names = 1 - table["accuracy"], table[x].astype(str)
    flat = names.str.len().max() > 8  # long names need lines of their own
    ax, places = canvas(ax, height=1.4 + 0.36 * len(table) if flat else 3.4), np.arange(len(table))
    whiskers = _whiskers(wrong, 1 - table["high"], 1 - table["low"])
    bars, error = (ax.barh, "xerr") if flat else (ax.bar, "yerr")
    bars(places, wrong, color=look(4).colour, edgecolor=look(0).colour, ecolor=INK, capsize=3, **{error: whiskers})
    ticks = [f"{name}{' ' if flat else chr(10)}(n={n:,})" for name, n in zip(names, table["n"], strict=True)]
    (ax.set_yticks if flat else ax.set_xticks)(places, ticks)
    in_percent(ax.xaxis if flat else ax.yaxis)
    ax.grid(axis="y" if flat else "x", visible=False)
    if flat:
        ax.invert_yaxis()
    worst = int(np.argmax(wrong))
    spoken = {"words": "{} words", "rating": "|rating| {}"}.get(x, "{}").format(names.iloc[worst])
    title = f"Most often wrong ({wrong.iloc[worst]:.0%}): {spoken}"
    group = {"rating": "|mean human rating| (rating points)", "words": "words in the sentence"}.get(x, x)
    side = "share of wrong predictions"
    label(ax, title, side if flat else group, "" if flat else side)
    return ax


@house
def label_efficiency(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Accuracy by number of labelled sentences, one line for each method.

    Args:
        table: labels, method, accuracy, low, high.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    need(table, "labels", "method", "accuracy", "low", "high")
    ax = canvas(ax, height=4.0)
    for number, (method, rows) in enumerate(table.groupby("method", sort=False)):
        shape, rows = look(number), rows.sort_values("labels")
        ax.fill_between(rows["labels"], rows["low"], rows["high"], color=shape.colour, alpha=0.15, linewidth=0)
        ax.plot(
            rows["labels"], rows["accuracy"], shape.line, marker=shape.marker, color=shape.colour, label=str(method)
        )
    ax.set_xscale("log")
    ax.set_xticks(sorted(table["labels"].unique()))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    in_percent(ax.yaxis)
    ax.legend()
    few = table[table["labels"] == table["labels"].min()]
    best = few.loc[few["accuracy"].idxmax()]
    title = f"With {best['labels']:,.0f} labels, {best['method']} leads: {best['accuracy']:.1%}"
    label(ax, title, "labelled training sentences (log scale)", "test accuracy")
    return ax


@house
def transfer_matrix(table: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Trained on one kind of text (rows), tested on another (columns).

    Args:
        table: train, test, accuracy, one row for each pair.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    need(table, "train", "test", "accuracy")
    trained, tested = list(dict.fromkeys(table["train"])), list(dict.fromkeys(table["test"]))
    grid = table.pivot_table(index="train", columns="test", values="accuracy").loc[trained, tested].to_numpy()
    ax = canvas(ax, 2.6 + 1.05 * len(tested), 1.7 + 0.62 * len(trained))
    texts = [["" if np.isnan(cell) else f"{cell:.1%}" for cell in row] for row in grid]
    _heat(ax, grid, texts, [_plain(name) for name in trained], [_plain(name) for name in tested])
    at_home = table[table["train"] == table["test"]]["accuracy"].mean()
    away = table[table["train"] != table["test"]]["accuracy"].mean()
    title = f"At home {at_home:.1%}, away {away:.1%} on average"
    label(ax, "Accuracy away from home" if np.isnan(at_home + away) else title, "tested on", "trained on")
    return ax


def _heat(ax: Axes, values: Any, texts: list[list[str]], rows: list[str], columns: list[str]) -> None:
    """Shaded cells with their texts in a colour that stands out from the shade."""
    low, high = np.nanmin(values), np.nanmax(values)
    ax.imshow(values, cmap="Blues", vmin=low - 0.3 * (high - low) - 1e-9, vmax=high + 0.1 * (high - low), aspect="auto")
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            dark = values[row, column] > low + 0.6 * (high - low)
            ax.text(column, row, text, ha="center", va="center", color="white" if dark else INK)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(rows)), rows)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _whiskers(middle: Any, low: Any, high: Any) -> Any:
    """Lengths of error bars, (2, n); never below 0, whatever rounding does."""
    middle = np.asarray(middle, dtype=np.float64)
    return np.maximum(0, np.stack([middle - np.asarray(low), np.asarray(high) - middle]))


def _plain(name: Any) -> str:
    return str(name).replace("_", "\n")
