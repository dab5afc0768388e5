"""Figures of models that write: the next token's distribution, a KV cache's time and memory, accuracy and cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.scatter import draw_front
from course_lib.plots.style import GREY, check_columns, course_style, new_axes, series_style, set_labels

if TYPE_CHECKING:
    from course_lib.generation import DecoderConfig


@course_style
def plot_next_token(
    tokens: Sequence[str], distributions: Mapping[str, ArrayLike], title: str = "Probability of the next token"
) -> Axes:
    """Probabilities of some tokens under several settings, as bars side by side; "0" where a token cannot be drawn.

    Args:
        tokens: n names, in the order of the rows.
        distributions: name of a setting, such as "temperature 0.5" -> probabilities, (n,). At most five settings.
        title: of the figure.

    Raises:
        BadInput: no token, no setting or more than five, another number of probabilities than tokens, or a number that
            is no probability.
    """
    if not len(tokens) or not 1 <= len(distributions) <= len(style.STYLES):
        raise BadInput(f"{len(tokens)} tokens and {len(distributions)} settings", "pass tokens, and 1 to 5 settings")
    rows = {name: np.asarray(values, dtype=np.float64) for name, values in distributions.items()}
    for name, values in rows.items():
        if values.shape != (len(tokens),) or not ((values >= 0) & (values <= 1)).all():
            raise BadInput(
                f"{name!r} has probabilities {values.tolist()!r:.80}", f"pass {len(tokens)} numbers from 0 to 1"
            )
    ax, height = new_axes(6.4, 1.3 + len(tokens) * (0.12 + 0.14 * len(rows))), 0.8 / len(rows)
    for number, (name, values) in enumerate(rows.items()):
        look, places = series_style(number), np.arange(len(tokens)) - 0.4 + height * (number + 0.5)
        ax.barh(places, values, height, color=look.colour, hatch=look.hatch, edgecolor="white", label=name)
        for place in places[values == 0]:
            ax.text(0, place, " 0", va="center", fontsize=7, color=GREY)
    style.name_rows(ax, list(tokens))
    style.percent_axis(ax.xaxis)
    set_labels(ax, title, "probability")
    style.legend_below(ax, ncols=min(3, len(rows)))
    return ax


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
    set_labels(ax, title, "seconds for 1,000 sentences (log scale)", "accuracy", wrap=68)
    style.percent_axis(ax.yaxis)
    lengths = style.whiskers(accuracies, table["low"], table["high"])
    names = table["method"].astype(str).tolist()
    draw_front(ax, table["seconds"].to_numpy(float), accuracies, lengths, names, "dominated")
    return ax
