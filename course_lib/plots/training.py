"""Figures of a training run: its losses, its learning rate, and many stored runs at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import DisplayHandle, Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.description import describe
from course_lib.plots.style import GREY, INK, check_columns, course_style, new_axes, series_style, set_labels

SECONDS_BETWEEN_DRAWINGS = 2.0
LARGEST_FRACTION = 0.03  # of the training time that the live curve may take


@course_style
def learning_curve(history: Any, title: str = "Loss by step") -> tuple[Axes, ...]:
    """Training and validation loss by step and, where it was measured, the validation accuracy below.

    Args:
        history: `classifier.history_`, its `to_dict()`, its rows, or a table of them.
        title: of the figure.

    Returns:
        The axes from top to bottom.

    Raises:
        BadInput: no rows, or no loss in them.
    """
    return _draw_run(plt.figure(), check_columns(style.history_table(history), "step", "loss"), title)


class LiveCurve:
    """A training callback that redraws the learning curve in the notebook while the model trains.

    Pass it as `fit(callbacks=[LiveCurve()])`. It draws every two seconds or, where that would take more than 3 % of the
    time, less often; rows with a validation and the last row are always drawn. Outside a notebook it only keeps the
    rows.

    Args:
        unigram_entropy: in nats, of a language model's text: drawn as a line. Its loss stays far above 0, so the loss
            axis then does not begin there.
    """

    def __init__(self, unigram_entropy: float | None = None) -> None:
        self.unigram_entropy = unigram_entropy
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
        figure = self.figure()
        picture = Image(data=style.png_of(figure), format="png", alt=describe(figure))  # type: ignore[no-untyped-call]
        if self._handle is None:
            self._handle = display(picture, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(picture)  # type: ignore[no-untyped-call]
        self.drawings += 1
        spent = time.monotonic() - started
        self._next = time.monotonic() + max(SECONDS_BETWEEN_DRAWINGS, spent / LARGEST_FRACTION)

    def png(self) -> bytes:
        """The curve so far as PNG."""
        return style.png_of(self.figure())

    @course_style
    def figure(self) -> Figure:
        """The curve so far."""
        figure, rows = Figure(), pd.DataFrame(self.rows)
        ax = _draw_run(figure, rows, _progress(rows))[0]
        if self.unigram_entropy is not None:
            label = f"word frequencies alone ({self.unigram_entropy:.2f})"
            ax.axhline(self.unigram_entropy, color=INK, linewidth=1, linestyle=(0, (1, 2)), label=label)
            losses = np.append(rows.filter(["loss", "validation_loss"]).to_numpy(), self.unigram_entropy)
            low, high = np.nanmin(losses), np.nanmax(losses)
            room = 0.1 * (high - low + 0.1)
            ax.set_ylim(low - room, high + room)
            ax.legend()
        return figure


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, so that a picture can be shown and replaced."""
    return hasattr(get_ipython(), "kernel")


def _draw_run(figure: Figure, rows: pd.DataFrame, title: str) -> tuple[Axes, ...]:
    """The losses and, where it was measured, the accuracy below them."""
    measured = "validation_accuracy" in rows
    figure.set_size_inches(6.4, 4.6 if measured else 3.4)
    heights = [3, 2] if measured else [3]
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    _draw_losses(axes[0], rows)
    set_labels(axes[0], title, "" if measured else "step", "loss (nats)")
    if measured:
        seen = rows.dropna(subset=["validation_accuracy"])
        axes[1].plot(seen["step"], seen["validation_accuracy"], **style.line_style(2) | {"linestyle": "-"})
        for step, value in zip(seen["step"], seen["validation_accuracy"], strict=True):
            axes[1].annotate(f"{value:.1%}", (step, value), (0, 6), textcoords="offset points", ha="center")
        axes[1].margins(y=0.3)
        style.percent_axis(axes[1].yaxis)
        set_labels(axes[1], "", "step", "validation\naccuracy")
    return tuple(axes)


def _draw_losses(ax: Axes, rows: pd.DataFrame) -> None:
    """Single training losses pale and their rolling mean where there are many; the ends of epochs dotted."""
    train = rows.dropna(subset=["loss"])
    shown = train["loss"]
    if len(train) > 24:
        ax.plot(train["step"], shown, color="#b9bfd3", linewidth=1)
        shown = shown.rolling(len(train) // 12, min_periods=1, center=True).mean()
    ax.plot(train["step"], shown, color=series_style(0).colour, label="training")
    if "validation_loss" in rows:
        seen = rows.dropna(subset=["validation_loss"])
        ax.plot(seen["step"], seen["validation_loss"], label="validation", **style.line_style(1))
    starts = rows.groupby(np.floor(rows["epoch"]))["step"].min().iloc[1:] if "epoch" in rows else []
    for step in starts:
        if step < rows["step"].max():
            ax.axvline(step, color=GREY, linewidth=0.8, linestyle=":")
    ax.set_ylim(bottom=0)
    ax.set_xlim(0, 1.03 * max(rows.get("total_steps", rows["step"]).max(), 1))
    ax.legend()


def _progress(rows: pd.DataFrame) -> str:
    """The title of a live curve: how far the run is."""
    last, losses = rows.iloc[-1], rows["loss"].dropna()
    total = last.get("total_steps", last["step"])
    if last["step"] < total:
        left = last.get("seconds", np.nan) / last["step"] * (total - last["step"])
        return f"Step {last['step']:.0f} of {total:.0f}: loss {losses.iloc[-1]:.3f}, about {left:.0f} s left"
    return f"Loss {losses.iloc[0]:.3f} at the start, {losses.iloc[-1]:.3f} after {last['step']:.0f} steps"


@course_style
def schedule(rate: Callable[[int], float], total_steps: int, title: str = "Learning rate by step") -> Axes:
    """Learning rate by step.

    Args:
        rate: the rate of a step, the first being 0.
        total_steps: how many steps to draw, at least one.
        title: of the figure.

    Raises:
        BadInput: no step to draw.
    """
    if total_steps < 1:
        raise BadInput(f"total_steps is {total_steps}", "pass the number of steps of the run, such as 500")
    rates = [rate(step) for step in range(total_steps)]
    ax, top = new_axes(height=2.8), int(np.argmax(rates))
    ax.plot(rates, color=series_style(0).colour)
    ax.plot(top, rates[top], **style.line_style(1))
    ax.set_ylim(0, rates[top] * 1.12)
    ax.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
    set_labels(ax, title, "step", "learning rate")
    return ax


@course_style
def stored_curves(curves: pd.DataFrame, chosen: Mapping[str, float]) -> tuple[Axes, ...]:
    """Many stored runs in grey, the chosen one in colour: training loss and validation accuracy by step.

    Args:
        curves: learning_rate, epochs, step, train_loss (nats), validation_accuracy; the last two may have gaps.
        chosen: {"learning_rate": ..., "epochs": ...} of the run to highlight.

    Returns:
        The axes of the loss and of the accuracy.

    Raises:
        BadInput: no rows, or a column is missing.
    """
    check_columns(curves, "learning_rate", "epochs", "step", "train_loss", "validation_accuracy")
    axes, runs = plt.subplots(1, 2, figsize=(8.2, 3.6))[1], curves.groupby(["learning_rate", "epochs"])
    for ax, value in zip(axes, ("train_loss", "validation_accuracy"), strict=True):
        for key, rows in runs:
            run = rows[np.isfinite(rows[value])]
            mine = key == (chosen["learning_rate"], chosen["epochs"])
            marker = ("o" if mine else ".") if len(run) < 12 else ""
            colour, width = (series_style(0).colour, 2.4) if mine else (style.OTHER_RUNS, 1.0)
            ax.plot(run["step"], run[value], color=colour, linewidth=width, marker=marker, zorder=3 if mine else 2)
    axes[0].plot([], [], color=series_style(0).colour, linewidth=2.4, label="the chosen run")
    axes[0].plot([], [], color=style.OTHER_RUNS, label="the other runs")
    style.legend_below(axes[0])
    set_labels(axes[0], f"Training loss of {runs.ngroups} runs", "step", "training loss (nats)")
    set_labels(axes[1], "Accuracy on validation sentences", "step", "validation accuracy")
    style.percent_axis(axes[1].yaxis)
    return tuple(axes)
