"""Figures of models that write: a KV cache's time and memory, accuracy and cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.scatter import draw_front
from course_lib.plots.style import check_columns, course_style, new_axes, series_style, set_labels

if TYPE_CHECKING:
    from course_lib.generation import DecoderConfig


@course_style
def plot_cache(
    table: pd.DataFrame, config: DecoderConfig, title: str = "Time and memory of a KV cache"
) -> tuple[Axes, Axes]:
    """Seconds to write a text by its length, with and without a KV cache, and the cache's memory by its formula.

    Args:
        table: method (such as "with cache"), tokens, seconds; low and high of the seconds where they are known.
        config: of the decoder.
        title: of the figure.

    Returns:
        The axes of the seconds and of the memory.

    Raises:
        BadInput: a column or all rows are missing, or a number is not positive.
    """
    from course_lib.generation import kv_cache_bytes  # loads torch: not on import

    check_columns(table, "method", "tokens", "seconds")
    if not (table[["tokens", "seconds"]] > 0).all(axis=None):
        raise BadInput(f"seconds are {table['seconds'].tolist()!r:.80}", "pass positive tokens and seconds")
    left, right = plt.subplots(1, 2, figsize=(7.4, 3.6), width_ratios=(3, 2))[1]
    style.draw_lines(left, table, "method", "tokens", "seconds")
    left.set_ylim(bottom=0)
    left.legend(loc="upper left")
    set_labels(left, title, "new tokens", "time (s)")
    longest = int(table["tokens"].max())
    right.plot([0, longest], [0, kv_cache_bytes(config, longest) / 1e6], color=series_style(0).colour)
    right.set_ylim(bottom=0)
    set_labels(right, "", "tokens in the cache", "memory of the cache (MB)")
    return left, right


@course_style
def plot_accuracy_cost(table: pd.DataFrame, title: str = "Accuracy and time of each method") -> Axes:
    """Methods by the seconds that 1,000 sentences take (log axis) and their accuracy, with 95 % intervals.

    A method is dominated (hollow) where another is at least as good in both and better in one.

    Args:
        table: method, seconds (for 1,000 sentences), accuracy (0 to 1), and low and high of the accuracy, or n, the
            number of sentences, from which the intervals (Wilson) are computed. A row for each method.
        title: of the figure.

    Raises:
        BadInput: a column or all rows are missing, accuracies are not from 0 to 1, or seconds are not positive.
    """
    check_columns(table, "method", "seconds", "accuracy")
    if not {"low", "high"} <= set(table):
        table = style.with_wilson(check_columns(table, "n"), "accuracy")
    style.check_fractions(table, "accuracy", "low", "high")
    if not (table["seconds"].gt(0) & np.isfinite(table["seconds"])).all():
        raise BadInput(f"seconds are {table['seconds'].tolist()!r:.80}", "pass positive numbers")
    ax, accuracies = new_axes(7.2, 4.5), table["accuracy"].to_numpy(float)
    set_labels(ax, title, "computing time of 1,000 sentences (s, log scale)", "accuracy", wrap=68)
    style.percent_axis(ax.yaxis)
    lengths = style.whiskers(accuracies, table["low"], table["high"])
    names = table["method"].astype(str).tolist()
    draw_front(ax, table["seconds"].to_numpy(float), accuracies, lengths, names, "dominated")
    return ax
