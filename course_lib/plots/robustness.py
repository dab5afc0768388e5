"""Pictures of what holds against attacks: defences, detectors, and the loss around a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.plots.attacks import for_cells, intervals_of, need_fractions
from course_lib.plots.quality import transfer_matrix
from course_lib.plots.style import GREY, INK, canvas, house, in_percent, label, look, need

if TYPE_CHECKING:
    from course_lib.attacks.pgd import LossSurface

FALSE_ALARMS = 0.1  # the rate at which a detector's catch is told
SHADES = 12  # of the loss


@house
def defences(table: pd.DataFrame, clean: str = "none", ax: Axes | None = None) -> Axes:
    """Accuracy of each defence (rows) under each attack (columns); the darker, the better.

    Args:
        table: defence, attack, accuracy (0 to 1), one row for each pair.
        clean: what the column without an attack is called.

    Raises:
        BadInput: no rows, a column is missing, or an accuracy is not from 0 to 1.
    """
    need_fractions(need(table, "defence", "attack", "accuracy"), "accuracy")
    grid = table.rename(columns={"defence": "train", "attack": "test"})
    ax = transfer_matrix(grid, ax=ax if ax is not None else for_cells(table, "defence", "attack"))
    attacked = table[table["attack"].astype(str) != clean]
    means = attacked.groupby("defence", sort=False)["accuracy"].mean()
    title = "Accuracy without an attack"
    if len(means):
        title = f"{means.idxmax()} keeps most under attack: {means.max():.1%} on average"
    label(ax, title, "attack", "defence")
    return ax


@house
def roc(curves: Mapping[str, tuple[ArrayLike, ArrayLike]], ax: Axes | None = None) -> Axes:
    """What detectors find of the attacked texts, against the false alarms that it costs.

    Args:
        curves: name -> (false alarm rates, shares found), both from 0 to 1, as `sklearn.metrics.roc_curve` begins.

    Raises:
        BadInput: no curve, lengths that differ, rates that do not rise from 0 to 1.
    """
    if not curves:
        raise BadInput("there is no curve", "pass at least one")
    ax = canvas(ax, 5.2, 4.4)
    ax.plot([0, 1], [0, 1], color=GREY, linestyle=(0, (1, 2)), label="guessing (area 0.50)")
    caught = {}
    for number, (name, (alarms, found)) in enumerate(curves.items()):
        x, y = _rates(name, alarms, found)
        shape, area = look(number), float(np.trapezoid(y, x))
        every = 0.12  # of the axes' size between two markers
        ax.plot(
            x, y, linestyle=shape.line, marker=shape.marker, markevery=every, color=shape.colour,
            label=f"{name} (area {area:.2f})",
        )  # fmt: skip
        caught[name] = float(y[x <= FALSE_ALARMS].max(initial=0.0))
    ax.axvline(FALSE_ALARMS, color=GREY, linewidth=0.8)
    ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    in_percent(ax.xaxis)
    in_percent(ax.yaxis)
    ax.legend(loc="lower right")
    best = max(caught, key=lambda name: caught[name])
    title = f"{best} finds {caught[best]:.1%} at {FALSE_ALARMS:.0%} false alarms"
    label(ax, title, "false alarms (share of clean texts)", "found (share of attacked texts)")
    return ax


@house
def robustness_curve(table: pd.DataFrame, unit: str = "embedding units", ax: Axes | None = None) -> Axes:
    """Accuracy by epsilon, one line for each attack.

    Args:
        table: method (such as FGSM and PGD), epsilon, accuracy (0 to 1), and n (texts) where intervals are wanted.
        unit: of epsilon.

    Raises:
        BadInput: no rows, a column is missing, or an accuracy is not from 0 to 1.
    """
    need_fractions(need(table, "method", "epsilon", "accuracy"), "accuracy")
    ax, ends = canvas(ax, height=3.8), []
    for number, (method, rows) in enumerate(table.groupby("method", sort=False)):
        shape, rows = look(number), rows.sort_values("epsilon")
        if "n" in rows:
            found = intervals_of(rows["accuracy"], rows["n"])
            low, high = ([getattr(one, end) for one in found] for end in ("low", "high"))
            ax.fill_between(rows["epsilon"], low, high, color=shape.colour, alpha=0.15, linewidth=0)
        ax.plot(
            rows["epsilon"], rows["accuracy"], linestyle=shape.line, marker=shape.marker, color=shape.colour,
            label=str(method),
        )  # fmt: skip
        ends.append((str(method), float(rows["epsilon"].iloc[-1]), float(rows["accuracy"].iloc[-1])))
    ax.set_ylim(0, 1.02)
    in_percent(ax.yaxis)
    ax.legend()
    name, epsilon, accuracy = min(ends, key=lambda end: end[2])
    label(ax, f"{name} leaves {accuracy:.1%} at epsilon {epsilon:.3g}", f"epsilon ({unit})", "accuracy")
    return ax


@house
def loss_surface(surface: LossSurface, epsilon: float, path: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """The loss around a text, with the ball of radius epsilon and the highest point in it; the darker, the higher.

    Args:
        surface: loss on a plane through the text's embeddings.
        epsilon: radius of the ball, in the surface's units.
        path: (steps, 2), where an attack went, as (along, across).

    Raises:
        BadInput: a negative epsilon, or a path of another shape.
    """
    top = surface.highest(epsilon)
    ax = canvas(ax, 5.8, 4.6)
    colours = colormaps["Blues"](np.linspace(0.1, 0.95, SHADES))
    shades = ax.contourf(surface.along, surface.across, surface.loss.T, _levels(surface.loss), colors=colours)
    for width, colour, line in ((3.2, "white", "-"), (1.4, INK, "--")):  # seen on every shade
        ax.add_patch(Circle((0, 0), epsilon, fill=False, edgecolor=colour, linewidth=width, linestyle=line))
    if path is not None:
        steps = _path(path)
        ax.plot(*steps.T, color="white", linewidth=3.4)
        ax.plot(*steps.T, color=look(1).colour, marker=".", linewidth=1.4, label="the attack's path")
    places = (
        ("the text", (0.0, 0.0), "o", "white"),
        ("highest in the ball", surface.position(top), "*", look(3).colour),
    )
    for name, place, marker, colour in places:
        size = 13 if marker == "*" else 8
        ax.plot(*place, marker, color=colour, markeredgecolor=INK, markersize=size, label=name, zorder=5)
    ax.set(xlim=(surface.along[0], surface.along[-1]), ylim=(surface.across[0], surface.across[-1]))
    ax.set_aspect("equal")
    ax.locator_params(nbins=5)
    ax.grid(visible=False)
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.colorbar(shades, ax=ax, label="loss (nats)", shrink=0.9, pad=0.02, format="%.2f")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, handletextpad=0.3, columnspacing=1.0)
    climb = f"Epsilon {epsilon:.3g}: loss {surface.loss[surface.start]:.2f} to {surface.loss[top]:.2f} nats"
    label(ax, climb, "along the gradient (embedding units)", "across (embedding units)")
    return ax


def _levels(loss: Any) -> Any:
    """Borders of the shades; a flat surface gets one shade."""
    low, high = float(loss.min()), float(loss.max())
    return np.linspace(low, high if high > low else low + 1e-6, SHADES + 1)


def _path(path: ArrayLike) -> Any:
    steps = np.asarray(path, dtype=np.float64)
    if steps.ndim != 2 or steps.shape[1] != 2:
        raise BadInput(f"the path has the shape {steps.shape}", "pass (steps, 2): along, across")
    return steps


def _rates(name: str, alarms: ArrayLike, found: ArrayLike) -> tuple[Any, Any]:
    """A ROC curve's two rows of numbers.

    Raises:
        BadInput: they are no curve from 0 to 1.
    """
    x, y = np.asarray(alarms, dtype=np.float64), np.asarray(found, dtype=np.float64)
    right = x.ndim == 1 and x.shape == y.shape and len(x) > 1
    if not right or not all((np.diff(side) >= 0).all() and side[0] >= 0 and side[-1] <= 1 for side in (x, y)):
        raise BadInput(
            f"the curve of {name!r} is {x.tolist()[:5]}..., {y.tolist()[:5]}...",
            "pass false alarms and shares found, equally many, both rising from 0 to 1",
        )
    return x, y
