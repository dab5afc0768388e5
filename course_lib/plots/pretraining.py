"""Pictures of pretraining: masks, losses, scaling, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.plots.style import GREY, INK, PALE, canvas, house, label, look, need, rows_of
from course_lib.plots.transformer import bare

MOST_ROWS = 60  # of a loss curve; more are averaged, since single batches are noisy
NOT_PREDICTED = -100
LINE_INCHES = 7.2  # of tokens in a picture of masks
OTHERS = "#bdbdbd"  # of the runs other than the chosen one


@house
def mask_picture(
    tokens: Sequence[str], masked: Sequence[str], labels: Sequence[int] | ArrayLike, ax: Axes | None = None
) -> Axes:
    """A text before and after masking, word by word, and what the model must predict.

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
    own = ax is None
    ax = canvas(ax, 1.3 + width * max(columns, 7), 1.5 + 1.0 * lines)
    for place, (token, new, mask_type) in enumerate(zip(tokens, masked, types, strict=True)):
        _draw_token(ax, place % columns, 4 * (place // columns), token, new, mask_type)
    _mask_axes(ax, columns, lines)
    counts = {name: types.count(name) for name in _MASK_TYPES}
    _legend_below(ax, [Patch(label=f"{name} ({n})", **_MASK_TYPES[name]) for name, n in counts.items()], own)
    listed = ", ".join(f"{n} {name}" for name, n in counts.items())
    ordinary = sum(not _is_special(token) for token in tokens)
    rate = f" ({predicted.sum() / ordinary:.0%})" if ordinary else ""
    title = f"{predicted.sum()} of {ordinary} ordinary tokens are predicted{rate}: {listed}"
    label(ax, title, f"place in the line ({columns} tokens to a line)" if lines > 1 else "place in the text")
    return ax


def _legend_below(ax: Axes, handles: list[Any], own: bool) -> None:
    """Under the figure where it is ours, else inside the user's axes, whose figure is not ours to fill."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    if own:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)))
    else:
        ax.legend(handles=handles)


_MASK_TYPES: dict[str, dict[str, Any]] = {
    "masked": {"facecolor": look(0).colour, "edgecolor": look(0).colour},
    "random": {"facecolor": "white", "edgecolor": look(1).colour, "hatch": "////"},
    "kept": {"facecolor": PALE, "edgecolor": INK},
}


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


def _mask_axes(ax: Axes, columns: int, lines: int) -> None:
    ax.set_xlim(-0.5, max(columns, 7) - 0.5)
    ax.set_ylim(4 * lines - 1.4, -0.6)
    rows = [4 * line + row for line in range(lines) for row in range(3)]
    ax.set_yticks(rows, ["the text", "the model reads", "must predict"] * lines)
    ax.set_xticks(range(columns))
    bare(ax)


@house
def loss_curves(
    runs: Mapping[str, Any],
    unigram_entropy: float | None = None,
    chosen: str | None = None,
    value: str = "loss",
    ax: Axes | None = None,
) -> Axes:
    """Loss by tokens seen, one line for each run.

    Args:
        runs: name -> rows with `tokens` and `value`; rows without a value are left out, and of more than
            MOST_ROWS the rolling mean is drawn.
        unigram_entropy: in nats: the lowest loss without any context, drawn as a line.
        chosen: the run to highlight; the others are then grey.
        value: the column, in nats ("validation_loss" for held-out text).

    Raises:
        BadInput: no run, a run without these columns or without a row, or an unknown `chosen`.
    """
    if not runs or (chosen is not None and chosen not in runs):
        raise BadInput(
            f"the runs are {list(runs)}, chosen is {chosen!r}", "pass at least one run, and choose among them"
        )
    curves = {name: smoothed(rows, value) for name, rows in runs.items()}
    ax = canvas(ax, height=3.8)
    for number, (name, curve) in enumerate(curves.items()):
        ax.plot(curve["tokens"], curve[value], **_line(number, name, chosen, len(curve)))
    if unigram_entropy is not None:
        ax.axhline(unigram_entropy, color=INK, linewidth=1, linestyle=(0, (1, 2)))
        words = f"word frequencies alone ({unigram_entropy:.2f} nats)"
        ax.annotate(words, (1, unigram_entropy), (-2, 3), xycoords=("axes fraction", "data"),
                    textcoords="offset points", ha="right", fontsize=8.5)  # fmt: skip
    ax.xaxis.set_major_formatter(FuncFormatter(lambda number, _: _short(number)))
    ends = {name: float(curve[value].iloc[-1]) for name, curve in curves.items()}
    best = min(ends, key=lambda name: ends[name]) if chosen is None else chosen
    seen = _short(float(curves[best]["tokens"].iloc[-1]))
    if chosen is not None and len(runs) > 1:
        ax.plot([], [], color=OTHERS, label="the other runs")
    ax.legend()
    rank = "ends lowest" if ends[best] == min(ends.values()) and len(ends) > 1 else "ends"
    kind = "loss on held-out text" if value.startswith("validation") else "training loss"
    unit = "nats a token" + (", rolling mean" if any(len(curve) > MOST_ROWS for curve in curves.values()) else "")
    label(ax, f"{best} {rank}: {ends[best]:.2f} nats after {seen} tokens", "tokens seen", f"{kind} ({unit})")
    return ax


def smoothed(rows: Any, value: str = "loss") -> pd.DataFrame:
    """The rows of a run as they are drawn: finite, in the order of the tokens, of more than MOST_ROWS the rolling mean.

    Raises:
        BadInput: a column or all rows are missing.
    """
    table = need(rows_of(rows), "tokens", value)
    curve = table[np.isfinite(table[value].astype(float))].sort_values("tokens", kind="stable")
    need(curve, value)
    window = max(1, len(curve) // (MOST_ROWS // 2))
    smooth = curve[value].rolling(window, min_periods=1).mean() if len(curve) > MOST_ROWS else curve[value]
    return curve.assign(**{value: smooth})


def _line(number: int, name: str, chosen: str | None, n: int) -> dict[str, Any]:
    """How a run is drawn: in its own style, or grey if another one is chosen."""
    if chosen is not None and name != chosen:
        return {"color": OTHERS, "linewidth": 1.0, "zorder": 2, "label": "_other runs"}
    shape = look(0 if chosen is not None else number)
    every = max(1, n // 8)
    return {"color": shape.colour, "linestyle": shape.line, "marker": shape.marker, "markevery": (every - 1, every),
            "label": name, "zorder": 3}  # fmt: skip


def _short(number: float) -> str:
    """1.2M, 65k, 900: counts on an axis."""
    for size, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


_AXES = {
    "flops": "training compute (FLOPs, log scale)",
    "parameters": "parameters (log scale)",
    "tokens": "tokens seen (log scale)",
}


@house
def scaling_runs(points: pd.DataFrame, x: str = "flops", ax: Axes | None = None) -> Axes:
    """Loss of many runs against compute (or size, or data).

    Args:
        points: parameters, tokens, flops, loss (nats), one row for each run; runs of one size are joined.
        x: "flops", "parameters" or "tokens".

    Raises:
        BadInput: no rows, a column is missing, an unknown `x`, or a value that is not above 0.
    """
    if x not in _AXES:
        raise BadInput(f"x is {x!r}", f"use one of {list(_AXES)}")
    need(points, "parameters", "tokens", "flops", "loss")
    worst = points[[x, "loss"]].min().min()
    if not worst > 0:
        raise BadInput(f"a value of {x} or loss is {worst:g}", "leave such runs out: the axes are logarithmic")
    ax = canvas(ax, height=4.2)
    by, unit = ("tokens", "tokens") if x == "parameters" else ("parameters", "parameters")
    for number, (size, rows) in enumerate(points.groupby(by)):
        shape, rows = look(number), rows.sort_values(x)
        ax.plot(rows[x], rows["loss"], color=shape.colour, marker=shape.marker, linewidth=1, linestyle=shape.line,
                label=f"{_short(float(size))} {unit}")  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    _scaling_ticks(ax, points, x)
    ax.legend(fontsize=8.5)
    most, least = points["loss"].max(), points["loss"].min()
    low, high = _short(points[x].min()), _short(points[x].max())
    title = f"{len(points)} runs, {low} to {high} {'FLOPs' if x == 'flops' else x}: "
    label(ax, title + f"loss from {most:.2f} to {least:.2f}", _AXES[x], "held-out loss (nats a token, log scale)")
    return ax


def _scaling_ticks(ax: Axes, points: pd.DataFrame, x: str) -> None:
    """Plain numbers: a loss spans less than a power of ten, and sizes are few."""
    ax.yaxis.set_major_locator(MaxNLocator(7))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    sizes = sorted(points[x].unique())
    if x != "flops" and len(sizes) <= 6:
        ax.set_xticks(sizes, [_short(float(size)) for size in sizes])
        ax.xaxis.set_minor_formatter(NullFormatter())


@house
def memory_bars(layouts: Mapping[str, Mapping[str, float]], ax: Axes | None = None) -> Axes:
    """Memory by purpose, one bar for each way to train (or to run).

    Args:
        layouts: name -> part (weights, gradients, ...) -> bytes.

    Raises:
        BadInput: nothing to draw, or a number of bytes below 0.
    """
    table = pd.DataFrame(layouts).fillna(0.0).T
    if table.empty or not (table.to_numpy() >= 0).all() or not table.to_numpy().sum():
        raise BadInput(f"the layouts are {dict(layouts)}", "pass {name: {part: bytes}} with numbers above 0")
    totals = table.sum(axis=1)
    size, unit = next(pair for pair in ((1e9, "GB"), (1e6, "MB"), (1.0, "bytes")) if totals.max() >= pair[0])
    own, places = ax is None, np.arange(len(table))
    ax = canvas(ax, 6.8, 1.6 + 0.45 * len(table))
    left = np.zeros(len(table))
    for number, part in enumerate(table):
        shape, widths = look(number), table[part].to_numpy() / size
        ax.barh(places, widths, left=left, color=shape.colour, edgecolor="white", hatch=shape.hatch, label=str(part))
        left = left + widths
    for place, total in zip(places, totals / size, strict=True):
        ax.text(float(total), float(place), f" {total:.3g} {unit}", va="center")
    ax.set_yticks(places, [str(name) for name in table.index])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, float(totals.max()) / size * 1.18)
    _legend_below(ax, ax.get_legend_handles_labels()[0], own)
    worst = totals.idxmax()
    part = table.loc[worst].idxmax()
    title = f"{worst}: {totals[worst] / size:.3g} {unit}, of which {table.loc[worst, part] / totals[worst]:.0%} {part}"
    label(ax, title, f"memory ({unit})")
    return ax
