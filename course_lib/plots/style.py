"""The one look of all figures: readable in grey, by colour-blind eyes, and small enough for a notebook.

Series differ in lightness, marker and line (or hatch), never in hue alone. A title says what the picture
shows, with its number; the axes carry the units. 90 dots an inch keep a figure near 20 kB.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from PIL import Image

from course_lib.errors import BadInput

P = ParamSpec("P")
R = TypeVar("R")

INK, GREY, PALE = "#222222", "#8a8a8a", "#dcdcdc"

HOUSE: Any = {  # Any: matplotlib 3.11 types each key, 3.9 none
    "axes.axisbelow": True,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.dpi": 90,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "grid.color": "#e8e8e8",
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "text.color": INK,
}


@dataclass(frozen=True)
class Look:
    """How one series is told from the others."""

    colour: str
    marker: str
    line: str
    hatch: str


# From dark to light (CIELAB lightness 19, 38, 53, 69, 80), in hues that red-green blind eyes tell apart.
LOOKS = (
    Look("#1b2a5c", "o", "-", ""),
    Look("#a3322b", "s", "--", "///"),
    Look("#2a8c82", "^", "-.", "..."),
    Look("#e0962c", "D", ":", "xxx"),
    Look("#9fcbe8", "v", (0, (5, 1, 1, 1, 1, 1)), "\\\\\\"),  # type: ignore[arg-type]  # a dash pattern
)


def look(number: int) -> Look:
    """The look of series 0, 1, 2, ...; after the fifth they come round again."""
    return LOOKS[number % len(LOOKS)]


def house(draw: Callable[P, R]) -> Callable[P, R]:
    """Draws in the house style, and leaves the user's own settings of matplotlib as they were."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        # Not rc_context: it restores all settings, also "interactive", which a notebook's backend turns on while
        # the first figure is made; figures would then never be shown.
        mine = {name: mpl.rcParams[name] for name in HOUSE}
        mpl.rcParams.update(HOUSE)
        try:
            return draw(*args, **kwargs)
        finally:
            mpl.rcParams.update(mine)

    return drawn


def canvas(ax: Axes | None, width: float = 6.4, height: float = 3.6) -> Axes:
    """The given axes, or those of a new figure (inches)."""
    return plt.subplots(figsize=(width, height))[1] if ax is None else ax


def label(ax: Axes, title: str, x: str = "", y: str = "", fold: int = 0) -> None:
    """Title and names of the axes; the title is folded after `fold` letters, or else at the figure's edge."""
    ax.set_title(textwrap.fill(title, fold) if fold else title, wrap=not fold)
    ax.set_xlabel(x)
    ax.set_ylabel(y)


def legend_below(ax: Axes, own: bool) -> None:
    """Under the figure of our own, or else under the given axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    if own:
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=4, columnspacing=1.4)
    else:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)


def in_percent(axis: Any) -> None:
    """Shares from 0 to 1, written as percent."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))


def need(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The table, if it has these columns and a row.

    Raises:
        BadInput: a column or all rows are missing.
    """
    missing = [column for column in columns if column not in table]
    if missing:
        raise BadInput(
            f"the table has no column {missing[0]!r}, only {[str(name) for name in table]}",
            f"pass a table with the columns {list(columns)}",
        )
    if table.empty:
        raise BadInput("the table has no rows: there is nothing to draw", "measure something first")
    return table


def rows_of(history: Any) -> pd.DataFrame:
    """A training history in any of its forms (History, its dictionary, its rows, a frame) as a frame."""
    if isinstance(history, pd.DataFrame):
        return history
    if isinstance(history, Mapping):
        history = history.get("rows", [])
    return pd.DataFrame(list(getattr(history, "rows", history)))


def to_png(axes: Axes) -> bytes:
    """The axes' figure as PNG; the figure is closed, so that no notebook shows it twice."""
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes of this module always stand in a figure"
    plt.close(figure)
    return png_of(figure)


def png_of(figure: Figure) -> bytes:
    """A figure as PNG of 64 colours."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return small_png(buffer.getvalue())


def small_png(png: bytes, colours: int = 64) -> bytes:
    """The same picture in a third of the bytes: a palette instead of 32 bits a dot. Notebooks keep figures for ever.

    One that has a palette already is given back as it is.
    """
    buffer = BytesIO()
    with Image.open(BytesIO(png)) as picture:
        if picture.mode == "P":
            return png
        # Maximum coverage keeps the colour of a single small marker, which median cut loses.
        flat = picture.convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE)
    flat.save(buffer, format="png", optimize=True)
    return buffer.getvalue()
