"""Figures of a Transformer and its pretraining: attention, masks, losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import EngFormatter
from numpy.typing import ArrayLike, NDArray

from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.style import GREY, INK, PALE, check_columns, course_style, new_axes, series_style, set_labels

MOST_NUMBERS = 10  # tokens up to which an attention map has room for its numbers
MOST_ROWS = 60  # of a loss curve; more are averaged, since single batches are noisy
NOT_PREDICTED = -100
LINE_INCHES = 7.2  # of tokens in a picture of masks


def short_number(value: float, _: Any = None) -> str:
    """65k, 1.2M: three digits of a count; also a formatter of an axis."""
    return EngFormatter(sep="")(float(f"{value:.3g}"))


# ---- attention -------------------------------------------------------------------------------------------------


@course_style
def attention_map(weights: Float[NDArray[np.floating], "seq seq"], tokens: Sequence[str], title: str = "") -> Axes:
    """One head's attention: each row is a query token, each column a key token; rows sum to 1.

    Args:
        weights: from 0 to 1, a row for each query token.
        tokens: of the tokenizer.
        title: what the map shows, in your words.

    Raises:
        BadInput: the weights are no square of the size of the tokens, or a row does not sum to 1.
    """
    table, n = np.asarray(weights, dtype=np.float64), len(tokens)
    if not n or table.shape != (n, n):
        raise BadInput(
            f"the weights have the shape {table.shape}, and there are {n} tokens",
            "pass one layer's and one head's map of the same text, such as attention_maps(ids)[0, 0, 0]",
        )
    if not np.allclose(table.sum(axis=1), 1, atol=1e-3):
        raise BadInput(f"the rows sum to {table.sum(axis=1).round(3).tolist()}", "pass weights after the softmax")
    size = max(3.0, min(6.4, 0.34 * n))
    ax, limits = new_axes(size + 1.6, size + 0.7), (0.0, max(float(table.max()), 1e-9))
    texts = [[f"{100 * weight:.0f}" for weight in row] for row in table] if n <= MOST_NUMBERS else []
    style.draw_cells(ax, table, texts, tokens, tokens, limits, "attention weight", rotation=90)
    set_labels(ax, title, "key token", "query token", wrap=36)
    return ax


# ---- masks -----------------------------------------------------------------------------------------------------

_MASK_TYPES: dict[str, dict[str, Any]] = {
    "masked": {"facecolor": series_style(0).colour, "edgecolor": series_style(0).colour},
    "random": {"facecolor": "white", "edgecolor": series_style(1).colour, "hatch": "////"},
    "kept": {"facecolor": PALE, "edgecolor": INK},
}


@course_style
def mask_picture(tokens: Sequence[str], masked: Sequence[str], labels: Sequence[int] | ArrayLike) -> Axes:
    """A text before and after masking, token by token, and what the model must predict.

    Args:
        tokens: of the text.
        masked: what the model reads instead.
        labels: -100 where nothing is predicted.

    Raises:
        BadInput: the three differ in length, or are empty.
    """
    predicted = np.asarray(labels) != NOT_PREDICTED
    if not tokens or len({len(tokens), len(masked), len(predicted)}) > 1:
        raise BadInput(
            f"there are {len(tokens)} tokens, {len(masked)} masked ones and {len(predicted)} labels",
            "pass all three of the same row",
        )
    types = [_mask_type(*three) for three in zip(tokens, masked, predicted.tolist(), strict=True)]
    width = max(0.55, 0.085 * max(map(len, [*tokens, *masked])) + 0.12)  # inches of a cell
    columns = min(len(tokens), max(1, int(LINE_INCHES / width)))
    lines = -(-len(tokens) // columns)
    ax = new_axes(1.3 + width * max(columns, 7), 1.5 + 1.0 * lines)
    for position, (token, new, mask_type) in enumerate(zip(tokens, masked, types, strict=True)):
        _draw_token(ax, position % columns, 4 * (position // columns), token, new, mask_type)
    ax.set_xlim(-0.5, max(columns, 7) - 0.5)
    ax.set_ylim(4 * lines - 1.4, -0.6)
    rows = [4 * line + row for line in range(lines) for row in range(3)]
    ax.set_yticks(rows, ["the text", "the model reads", "must predict"] * lines)
    ax.set_xticks(range(columns))
    style.bare(ax)
    counts = {name: types.count(name) for name in _MASK_TYPES}
    style.legend_below(ax, handles=[Patch(label=f"{name} ({n})", **_MASK_TYPES[name]) for name, n in counts.items()])
    ordinary = sum(not _is_special(token) for token in tokens)
    rate = f" ({predicted.sum() / ordinary:.0%})" if ordinary else ""
    listed = ", ".join(f"{n} {name}" for name, n in counts.items())
    title = f"{predicted.sum()} of {ordinary} ordinary tokens are predicted{rate}: {listed}"
    set_labels(ax, title, f"position in the line ({columns} tokens to a line)" if lines > 1 else "position in the text")
    return ax


def _is_special(token: str) -> bool:
    """Whether a token is no piece of the text, such as [CLS]; [UNK] is an unknown piece."""
    return token.startswith("[") and token.endswith("]") and len(token) > 2 and token != "[UNK]"


def _mask_type(token: str, new: str, predicted: bool) -> str:
    if not predicted:
        return ""
    return "kept" if new == token else "masked" if new == "[MASK]" else "random"


def _draw_token(ax: Axes, x: int, top: int, token: str, new: str, mask_type: str) -> None:
    """One column of three cells: the text, what is read, what is predicted."""
    plain = GREY if _is_special(token) else INK
    ax.text(x, top, token, ha="center", va="center", color=plain)
    if mask_type:
        ax.add_patch(Rectangle((x - 0.47, top + 0.6), 0.94, 0.8, **_MASK_TYPES[mask_type]))
        ax.text(x, top + 2, token, ha="center", va="center", fontweight="bold")
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8} if mask_type == "random" else None
    ax.text(x, top + 1, new, ha="center", va="center", color="white" if mask_type == "masked" else plain, bbox=paper)


# ---- losses ----------------------------------------------------------------------------------------------------


_LOSSES = {
    "loss": "training loss",
    "validation_loss": "loss on held-out text",
    "validation_loss_at_masks": "loss at [MASK]",
}


@course_style
def loss_curves(
    runs: Mapping[str, Any], unigram_entropy: float | None = None, value: str = "loss", title: str = ""
) -> Axes:
    """Loss by tokens seen, one line for each run.

    Args:
        runs: name -> rows with `tokens` and `value`; rows without a value are left out, and of more than
            MOST_ROWS the rolling mean is drawn.
        unigram_entropy: in nats: the lowest loss without any context, drawn as a line.
        value: the column, in nats: "loss", "validation_loss" or "validation_loss_at_masks".
        title: what the figure shows.

    Raises:
        BadInput: no run, or a run without these columns or without a row.
    """
    if not runs:
        raise BadInput("there is no run", "pass at least one: {name: rows}")
    curves = {name: smoothed(rows, value) for name, rows in runs.items()}
    ax = new_axes(height=3.8)
    for number, (name, curve) in enumerate(curves.items()):
        ax.plot(curve["tokens"], curve[value], label=name, zorder=3, **style.line_style(number, len(curve)))
    if unigram_entropy is not None:
        words = f"word frequencies alone ({unigram_entropy:.2f} nats)"
        ax.axhline(unigram_entropy, color=INK, linewidth=1, linestyle=(0, (1, 2)), label=words)
    ax.xaxis.set_major_formatter(short_number)
    ax.legend()
    unit = "nats per token" + (", rolling mean" if any(len(curve) > MOST_ROWS for curve in curves.values()) else "")
    set_labels(ax, title or "Loss by tokens seen", "tokens seen", f"{_LOSSES.get(value, value)} ({unit})")
    return ax


def smoothed(rows: Any, value: str = "loss") -> pd.DataFrame:
    """The rows of a run as they are drawn: finite, in the order of the tokens, of more than MOST_ROWS the rolling mean.

    Raises:
        BadInput: a column or all rows are missing.
    """
    table = check_columns(style.history_table(rows), "tokens", value)
    curve = check_columns(table[np.isfinite(table[value].astype(float))], value).sort_values("tokens", kind="stable")
    if len(curve) <= MOST_ROWS:
        return curve
    return curve.assign(**{value: curve[value].rolling(len(curve) // (MOST_ROWS // 2), min_periods=1).mean()})


@course_style
def loss_differences(table: pd.DataFrame, title: str) -> Axes:
    """Paired differences of a loss with their intervals, one point for each setting and seed.

    Args:
        table: setting, seed, difference, low and high, in nats, as `studies.paired_differences` returns them.
        title: what the figure shows.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    check_columns(table, "setting", "seed", "difference", "low", "high")
    names, seeds = list(dict.fromkeys(table["setting"])), sorted(table["seed"].unique())
    ax = new_axes(height=1.6 + 0.5 * len(names))
    for number, seed in enumerate(seeds):
        rows, look = table[table["seed"] == seed], series_style(number)
        places = [names.index(name) + 0.24 * (number - (len(seeds) - 1) / 2) for name in rows["setting"]]
        lengths = style.whiskers(rows["difference"], rows["low"], rows["high"])
        ax.errorbar(
            rows["difference"],
            places,
            xerr=lengths,
            fmt=look.marker,
            color=look.colour,
            capsize=4,
            label=f"seed {seed}",
        )
    ax.axvline(0, color=INK, linewidth=1)
    style.name_rows(ax, [str(name) for name in names])
    ax.legend()
    set_labels(ax, title, "difference of the loss (nats, below 0 is better), with 95 % intervals")
    return ax
