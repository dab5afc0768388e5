"""Pictures of a training run: its losses, its learning rate, its batches, and many stored runs at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import DisplayHandle, Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.plots.style import GREY, INK, canvas, house, in_percent, label, look, need, png_of, rows_of

LARGEST_SHARE = 0.03  # of the training time that the live curve may take


@house
def learning_curve(history: Any) -> tuple[Axes, ...]:
    """Training and validation loss by step and, where it was measured, the validation accuracy below.

    Args:
        history: `classifier.history_`, its `to_dict()`, its rows, or a frame of them.

    Returns:
        The axes from top to bottom.

    Raises:
        BadInput: no rows, or no loss in them.
    """
    rows = need(rows_of(history), "step", "loss")
    measured = "validation_accuracy" in rows
    figure = plt.figure(figsize=(6.4, 4.6 if measured else 3.4))
    return _draw_run(figure, rows, _outcome(rows))


class LiveCurve:
    """A training callback that redraws the learning curve in the notebook while the model trains.

    Give it to `fit(callbacks=[LiveCurve()])`. It draws at most every `every` seconds, and never so often that
    drawing takes more than 3 % of the time; validation rows and the last row are always drawn. One figure is
    left. Outside a notebook it only keeps the rows.

    Args:
        every: seconds between two drawings.
        unigram_entropy: in nats, of a language model's text: drawn as a line. Its loss stays far above 0, so the loss
            axis then does not begin there.
    """

    def __init__(self, every: float = 2.0, unigram_entropy: float | None = None) -> None:
        self.every, self.unigram_entropy = every, unigram_entropy
        self.rows: list[Mapping[str, float]] = []
        self.drawings = 0
        self._next = 0.0
        self._handle: DisplayHandle | None = None

    def __call__(self, row: Mapping[str, float]) -> None:
        """Take one row of the history."""
        self.rows.append(row)
        must = "validation_loss" in row or row["step"] >= row.get("total_steps", np.inf)
        if in_notebook() and any("loss" in seen for seen in self.rows) and (must or time.monotonic() >= self._next):
            self._draw()

    def _draw(self) -> None:
        started = time.monotonic()
        # IPython's display functions carry no types.
        picture = Image(data=self.png(), format="png")  # type: ignore[no-untyped-call]
        if self._handle is None:
            self._handle = display(picture, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(picture)  # type: ignore[no-untyped-call]
        self.drawings += 1
        spent = time.monotonic() - started
        self._next = time.monotonic() + max(self.every, spent / LARGEST_SHARE)

    @house
    def png(self) -> bytes:
        """The curve so far as PNG."""
        rows = pd.DataFrame(self.rows)
        figure = Figure(figsize=(6.4, 4.6 if "validation_accuracy" in rows else 3.4))
        axes = _draw_run(figure, rows, _outcome(rows))
        if self.unigram_entropy is not None:
            _draw_entropy(axes[0], rows, self.unigram_entropy)
        return png_of(figure)


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, so that a picture can be shown and replaced."""
    return hasattr(get_ipython(), "kernel")


@house
def schedule(
    rate: Callable[[int], float] | Sequence[tuple[int, float]], total_steps: int | None = None, ax: Axes | None = None
) -> Axes:
    """Learning rate by step.

    Args:
        rate: the rate of a step as a function, or pairs (step, rate).
        total_steps: how many steps to draw; needed with a function.

    Raises:
        BadInput: a function without `total_steps`, or nothing to draw.
    """
    if callable(rate):
        if not total_steps or total_steps < 1:
            raise BadInput(f"total_steps is {total_steps}", "say how many steps the run has, such as total_steps=500")
        pairs = [(step, rate(step)) for step in range(total_steps)]
    else:
        pairs = list(rate)
    if not pairs:
        raise BadInput("there is no step to draw", "pass at least one pair (step, rate)")
    steps, rates = np.asarray(pairs, dtype=np.float64).T
    ax, top = canvas(ax, height=2.8), int(rates.argmax())
    ax.plot(steps, rates, color=look(0).colour)
    ax.plot(steps[top], rates[top], look(1).marker, color=look(1).colour)
    ax.set_ylim(0, rates.max() * 1.12)
    ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
    label(ax, f"The learning rate peaks at {rates[top]:.2g} in step {steps[top]:.0f}", "step", "learning rate")
    return ax


@house
def stored_curves(curves: pd.DataFrame, chosen: Mapping[str, float] | None = None) -> tuple[Axes, ...]:
    """Many stored runs in grey, the chosen one in colour: training loss and validation accuracy by step.

    Args:
        curves: learning_rate, epochs, step, train_loss (nats), validation_accuracy; the last two may have
            gaps.
        chosen: {"learning_rate": ..., "epochs": ...} of the run to bring out.

    Returns:
        The axes of the loss and of the accuracy.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    need(curves, "learning_rate", "epochs", "step", "train_loss", "validation_accuracy")
    figure, axes = plt.subplots(1, 2, figsize=(8.2, 3.6))
    wanted = None if chosen is None else (chosen["learning_rate"], chosen["epochs"])
    for ax, value in zip(axes, ("train_loss", "validation_accuracy"), strict=True):
        _draw_runs(ax, curves.replace([np.inf, -np.inf], np.nan).dropna(subset=[value]), value, wanted)
    axes[0].plot([], [], color=look(0).colour, linewidth=2.4, label="the chosen run")
    axes[0].plot([], [], color="#bdbdbd", label="the other runs")
    figure.legend(loc="outside lower center", ncols=2)
    runs = curves.groupby(["learning_rate", "epochs"]).ngroups
    label(axes[0], f"Training loss of {runs} runs", "step", "training loss (nats)")
    label(axes[1], "Accuracy on validation sentences", "step", "validation accuracy")
    in_percent(axes[1].yaxis)
    return tuple(axes)


def _draw_runs(ax: Axes, curves: pd.DataFrame, value: str, wanted: tuple[float, float] | None) -> None:
    for key, run in curves.groupby(["learning_rate", "epochs"]):
        mine = key == wanted
        colour, width = (look(0).colour, 2.4) if mine else ("#bdbdbd", 1.0)
        marker = ("o" if mine else ".") if len(run) < 12 else ""
        ax.plot(run["step"], run[value], color=colour, linewidth=width, marker=marker, zorder=3 if mine else 2)


@house
def length_histogram(
    lengths: ArrayLike, computed: Mapping[str, int] | None = None, unit: str = "tokens"
) -> tuple[Axes, ...]:
    """How long the sentences are and, beside it, how much a model computes for them in each layout.

    Args:
        lengths: (n,) length of each sentence.
        computed: layout -> number of tokens that the model works on, padding included.
        unit: what the lengths count.

    Returns:
        The axes of the histogram and, with `computed`, those of the layouts.

    Raises:
        BadInput: no lengths.
    """
    sizes = np.asarray(lengths)
    if not sizes.size:
        raise BadInput("there are no lengths", "pass the length of at least one sentence")
    columns = 2 if computed else 1
    axes = plt.subplots(1, columns, figsize=(7.6 if computed else 6.4, 3.2), squeeze=False)[1]
    left = axes[0, 0]
    left.hist(sizes, bins=np.arange(0, sizes.max() + 2, max(1, round(sizes.max() / 30))), color=look(2).colour)
    left.axvline(sizes.mean(), color=INK, linestyle="--")
    left.text(float(sizes.mean()), left.get_ylim()[1], f" mean {sizes.mean():.0f}", va="top")
    label(left, f"Half have {np.median(sizes):.0f} {unit} or fewer", f"{unit} in a sentence", "sentences", fold=36)
    if computed:
        _draw_layouts(axes[0, 1], computed, int(sizes.sum()), unit)
    return tuple(axes[0])


def _draw_layouts(ax: Axes, computed: Mapping[str, int], real: int, unit: str) -> None:
    """Bars: tokens computed, split into sentences and padding."""
    names, totals = list(computed), np.array(list(computed.values()), dtype=np.float64)
    places = np.arange(len(names))
    ax.barh(places, np.full(len(names), real), color=look(2).colour, label="sentences")
    ax.barh(places, totals - real, left=real, color="white", edgecolor=GREY, hatch="///", label="padding")
    for place, total in zip(places, totals, strict=True):
        ax.text(float(total), float(place), f" {total / real:.2f}x", va="center")
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, totals.max() * 1.2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k")
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, -0.22), ncols=2)
    worst = names[int(totals.argmax())]
    label(ax, f"{worst}: {1 - real / totals.max():.0%} is padding", f"{unit} computed", fold=30)


def _draw_run(figure: Figure, rows: pd.DataFrame, title: str) -> tuple[Axes, ...]:
    measured = "validation_accuracy" in rows
    heights = [3, 2] if measured else [3]
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    _draw_losses(axes[0], rows)
    label(axes[0], title, "" if measured else "step", "loss (nats)")
    if measured:
        seen = rows.dropna(subset=["validation_accuracy"])
        ax, accuracy = axes[1], look(2)
        ax.plot(seen["step"], seen["validation_accuracy"], color=accuracy.colour, marker=accuracy.marker)
        for step, value in zip(seen["step"], seen["validation_accuracy"], strict=True):
            ax.annotate(f"{value:.1%}", (step, value), (0, 6), textcoords="offset points", ha="center")
        ax.margins(y=0.3)
        in_percent(ax.yaxis)
        label(ax, "", "step", "validation\naccuracy")
    return tuple(axes)


def _draw_losses(ax: Axes, rows: pd.DataFrame) -> None:
    train = rows.dropna(subset=["loss"])
    smooth = train["loss"].rolling(max(1, len(train) // 12), min_periods=1, center=True).mean()
    if len(train) > 24:
        ax.plot(train["step"], train["loss"], color="#b9bfd3", linewidth=1)
    ax.plot(train["step"], smooth if len(train) > 24 else train["loss"], color=look(0).colour, label="training")
    if "validation_loss" in rows:
        seen, shape = rows.dropna(subset=["validation_loss"]), look(1)
        ax.plot(
            seen["step"],
            seen["validation_loss"],
            shape.line,
            color=shape.colour,
            marker=shape.marker,
            label="validation",
        )
    for epoch in _epoch_ends(rows):
        ax.axvline(epoch, color=GREY, linewidth=0.8, linestyle=":")
    ax.set_ylim(bottom=0)
    ax.set_xlim(0, 1.03 * max(rows.get("total_steps", rows["step"]).max(), 1))
    ax.legend()


def _draw_entropy(ax: Axes, rows: pd.DataFrame, entropy: float) -> None:
    ax.axhline(entropy, color=INK, linewidth=1, linestyle=(0, (1, 2)), label=f"word frequencies alone ({entropy:.2f})")
    losses = np.append(rows.filter(["loss", "validation_loss"]).to_numpy(), entropy)
    low, high = np.nanmin(losses), np.nanmax(losses)
    ax.set_ylim(low - 0.1 * (high - low + 0.1), high + 0.1 * (high - low + 0.1))
    ax.legend()


def _epoch_ends(rows: pd.DataFrame) -> list[float]:
    """Steps at which an epoch ended, but for the last one."""
    if "epoch" not in rows:
        return []
    firsts = rows.groupby(np.floor(rows["epoch"]))["step"].min()
    return [float(step) for step in firsts.iloc[1:] if step < rows["step"].max()]


def _outcome(rows: pd.DataFrame) -> str:
    """What the title says: how far the run is, or how it ended."""
    last, loss = rows.iloc[-1], rows["loss"].dropna().iloc[-1]
    total = last.get("total_steps", last["step"])
    if last["step"] < total:
        left = last.get("seconds", np.nan) / last["step"] * (total - last["step"])
        return f"Step {last['step']:.0f} of {total:.0f}: loss {loss:.3f}, about {left:.0f} s left"
    if "validation_accuracy" in rows:
        best = rows.loc[rows["validation_accuracy"].idxmax()]
        return (
            f"Best validation accuracy {best['validation_accuracy']:.1%}, after step {best['step']:.0f} of {total:.0f}"
        )
    return f"The loss fell from {rows['loss'].dropna().iloc[0]:.3f} to {loss:.3f} in {last['step']:.0f} steps"
