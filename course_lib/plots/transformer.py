"""Pictures of a Transformer's inside: who looks at whom, and the waves that say where a word stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.plots.style import INK, canvas, house, in_percent, label

MOST_NUMBERS = 10  # tokens up to which an attention map has room for its numbers


@house
def attention_map(
    weights: Float[NDArray[np.floating], "seq seq"], tokens: Sequence[str], ax: Axes | None = None
) -> Axes:
    """One head's attention: each row is a token that asks, each column one that is read; rows sum to 1.

    Args:
        weights: shares from 0 to 1, a row for each token that asks.
        tokens: as the tokenizer cut them.

    Raises:
        BadInput: the weights are no square of the size of the tokens, or a row does not sum to 1.
    """
    shares, n = np.asarray(weights, dtype=np.float64), len(tokens)
    if not n or shares.shape != (n, n):
        raise BadInput(
            f"the weights have the shape {shares.shape}, and there are {n} tokens",
            "pass one layer's and one head's map of the same text, such as attention_maps(ids)[0, 0, 0]",
        )
    if not np.allclose(shares.sum(axis=1), 1, atol=1e-3):
        raise BadInput(f"the rows sum to {shares.sum(axis=1).round(3).tolist()}", "pass weights after the softmax")
    size = max(3.0, min(6.4, 0.34 * n))
    ax = canvas(ax, size + 1.6, size + 0.7)
    picture = ax.imshow(shares, cmap="Blues", vmin=0, vmax=max(float(shares.max()), 1e-9))
    _write_shares(ax, shares)
    ax.set_xticks(range(n), list(tokens), rotation=90)
    ax.set_yticks(range(n), list(tokens))
    bare(ax)
    _bar_beside(ax, picture, "attention weight")
    label(ax, _strongest(shares, tokens), "token that is read (key)", "token that asks (query)", fold=36)
    return ax


def _strongest(shares: NDArray[np.float64], tokens: Sequence[str]) -> str:
    """The strongest link between two different tokens, in words."""
    others = shares * (1 - np.eye(len(tokens))) if len(tokens) > 1 else shares
    asks, read = divmod(int(others.argmax()), len(tokens))
    return f'"{tokens[asks]}" puts {others.max():.0%} of its attention on "{tokens[read]}"'


def _write_shares(ax: Axes, shares: NDArray[np.float64]) -> None:
    """Percent in the cells, where there is room for them."""
    if len(shares) > MOST_NUMBERS:
        return
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 0.55 * shares.max() else INK
        ax.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=8)


def bare(ax: Axes) -> None:
    """No grid, no frame, no ticks: for tables of cells."""
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def _bar_beside(ax: Axes, picture: Any, name: str, percent: bool = True) -> None:
    """A scale that says which shade is which value."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(picture, ax=ax, shrink=0.8, pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label(name)
    if percent:
        in_percent(bar.ax.yaxis)


@house
def positional_encoding(matrix: Float[NDArray[np.floating], "seq hidden"], ax: Axes | None = None) -> Axes:
    """A table of positions as shades: one row for each place, one column for each number that the model gets.

    Args:
        matrix: from -1 to 1, at least two rows.

    Raises:
        BadInput: no table of at least two rows, or a number outside [-1, 1].
    """
    table = np.asarray(matrix, dtype=np.float64)
    if table.ndim != 2 or len(table) < 2 or not (np.abs(table) <= 1.001).all():
        raise BadInput(
            f"the matrix has the shape {table.shape} and numbers up to {np.abs(table).max(initial=0):.3g}",
            "pass sines and cosines, a row for each place, such as sinusoidal_positions(50, 64)",
        )
    ax = canvas(ax, 6.0, 3.9)
    picture = ax.imshow(table, cmap="Greys", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    ax.grid(visible=False)
    _bar_beside(ax, picture, "value", percent=False)
    far = len(table) // 2
    near_by, away = _likeness(table, 1), _likeness(table, far)
    title = f"Cosine of neighbours: {near_by:.2f}; of places {far} apart: {away:.2f}"
    label(ax, title, "column of the vector", "place in the text (token)")
    return ax


def _likeness(table: NDArray[np.float64], apart: int) -> float:
    """Mean cosine of rows so far apart."""
    rows = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    return float((rows[:-apart] * rows[apart:]).sum(axis=1).mean())
