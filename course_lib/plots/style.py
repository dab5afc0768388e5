"""The style of all figures and the parts that they are drawn from: readable in grey, by colour-blind eyes, and small.

Series differ in lightness, marker and line (or hatch), never in hue alone. A title states what the figure shows, with
its number; the axes carry the units. 170 dots per inch make a
figure about 1,100 dots wide: it fills a projected notebook, and stays near 30 kB.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from course_lib.errors import BadInput
from course_lib.evaluation import wilson_interval

P = ParamSpec("P")
R = TypeVar("R")

INK, GREY, PALE = "#222222", "#8a8a8a", "#dcdcdc"
MINUS = "\u2212"  # read aloud as "minus", which a hyphen is not
SHADES = 12  # of a heat map
OTHER_RUNS = "#bdbdbd"  # beside the chosen one

SETTINGS: Any = {  # Any: matplotlib 3.11 types each key, 3.9 none
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
    "figure.dpi": 170,
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
class SeriesStyle:
    """What distinguishes one series from the others."""

    colour: str
    marker: str
    line: str
    hatch: str


# From dark to light (CIELAB lightness 19, 38, 53, 69, 80), in hues that red-green blind eyes tell apart.
STYLES = (
    SeriesStyle("#1b2a5c", "o", "-", ""),
    SeriesStyle("#a3322b", "s", "--", "///"),
    SeriesStyle("#2a8c82", "^", "-.", "..."),
    SeriesStyle("#e0962c", "D", ":", "xxx"),
    SeriesStyle("#9fcbe8", "v", (0, (5, 1, 1, 1, 1, 1)), "\\\\\\"),  # type: ignore[arg-type]  # a dash pattern
)


def series_style(number: int) -> SeriesStyle:
    """The style of series 0, 1, 2, ...; they repeat after the fifth."""
    return STYLES[number % len(STYLES)]


def line_style(number: int, points: int = 1) -> dict[str, Any]:
    """Arguments of `plot` for series 0, 1, 2, ...; markers on some ten of many points, hollow from the sixth series."""
    style, every = series_style(number), max(1, points // 10)
    hollow = number // len(STYLES) % 2
    return {
        "color": style.colour,
        "linestyle": style.line,
        "marker": style.marker,
        "markevery": (number % every, every),
        "markerfacecolor": "white" if hollow else style.colour,
        "markeredgecolor": INK if style in STYLES[3:] else style.colour,  # the light ones are pale on white
    }


def course_style(draw: Callable[P, R]) -> Callable[P, R]:
    """Draws in the course's style, and leaves the user's own settings of matplotlib as they were."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        # Not rc_context: it restores all settings, also "interactive", which a notebook's backend turns on while
        # the first figure is made; figures would then never be shown.
        before = {name: mpl.rcParams[name] for name in SETTINGS}
        mpl.rcParams.update(SETTINGS)
        try:
            return draw(*args, **kwargs)
        finally:
            mpl.rcParams.update(before)

    return drawn


# ---- axes ------------------------------------------------------------------------------------------------------


def new_axes(width: float = 6.4, height: float = 3.6) -> Axes:
    """The axes of a new figure (inches)."""
    return plt.subplots(figsize=(width, height))[1]


def set_labels(ax: Axes, title: str, x: str = "", y: str = "", wrap: int = 0) -> None:
    """Title and names of the axes; the title is wrapped after `wrap` letters, or else at the figure's edge."""
    ax.set_title(textwrap.fill(title, wrap) if wrap else title, wrap=not wrap)
    ax.set_xlabel(x)
    ax.set_ylabel(y)


def figure_of(ax: Axes) -> Figure:
    """The figure that holds the axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def legend_below(ax: Axes, **options: Any) -> None:
    """The axes' legend, under the figure."""
    settings = {"handles": ax.get_legend_handles_labels()[0], "ncols": 4, "columnspacing": 1.4} | options
    figure_of(ax).legend(loc="outside lower center", **settings)


def percent_axis(*axes: Any) -> None:
    """Fractions from 0 to 1, written as percent."""
    for axis in axes:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))


def log_axis(ax: Axes, values: ArrayLike, room: float = 0.12) -> None:
    """A logarithmic x axis with plain numbers, and room at both ends, as a part of the axis."""
    low, high = float(np.min(values)), float(np.max(values))
    side = max(1.25, (high / low) ** room)
    ax.set_xscale("log")
    ax.set_xlim(low / side, high * side)
    subs = (1, 2, 5) if high / low < 200 else (1,)
    few = MaxNLocator(6, steps=[1, 2, 5, 10])  # where no power of ten with 1, 2 and 5 is inside
    ax.xaxis.set_major_locator(few if high / low < 5 else LogLocator(subs=subs, numticks=8))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """A name for each horizontal bar or row of points, the first one on top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)


# ---- parts -----------------------------------------------------------------------------------------------------


def whiskers(middle: ArrayLike, low: ArrayLike, high: ArrayLike) -> NDArray[np.float64]:
    """Lengths of error bars, (2, n); never below 0, whatever rounding does, and 0 where there is no interval."""
    centre = np.asarray(middle, dtype=np.float64)
    ends = np.stack([centre - np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64) - centre])
    lengths: NDArray[np.float64] = np.maximum(0, np.nan_to_num(ends))
    return lengths


def with_wilson(table: pd.DataFrame, value: str, count: str = "n") -> pd.DataFrame:
    """The table with the columns low and high: the 95 % interval (Wilson) of each fraction."""
    found = [wilson_interval(round(k * n), round(n)) for k, n in zip(table[value], table[count], strict=True)]
    return table.assign(low=[one.low for one in found], high=[one.high for one in found])


def draw_lines(ax: Axes, table: pd.DataFrame, by: str, x: str, y: str) -> None:
    """A line for each value of the column `by`, with a band from low to high where the table has these columns."""
    for number, (name, group) in enumerate(table.groupby(by, sort=False)):
        rows = group.sort_values(x)
        ax.plot(rows[x], rows[y], label=str(name), **line_style(number, len(rows)))
        if {"low", "high"} <= set(rows):
            colour = series_style(number).colour
            ax.fill_between(rows[x], rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)


def draw_cells(
    ax: Axes, values: NDArray[np.float64], texts: Sequence[Sequence[str]], rows: Sequence[str], columns: Sequence[str],
    limits: tuple[float, float] | None = None, bar: str = "", rotation: float = 0,
) -> None:  # fmt: skip
    """A table as shades (the darker, the more) with a text in each cell; cells without a value (nan) are grey.

    Args:
        ax: the axes.
        values: (rows, columns).
        texts: as many; none at all where there is no room for them.
        rows: their names; an underscore breaks the line.
        columns: theirs.
        limits: of the shades; left out, those of the values with some room.
        bar: name of the colour bar; without a name there is none.
        rotation: of the columns' names, in degrees.
    """
    if limits is None:
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        limits = (low - 0.3 * (high - low) - 1e-9, high + 0.1 * (high - low))
    shades = ax.imshow(values, cmap=colormaps["Blues"].resampled(SHADES), vmin=limits[0], vmax=limits[1], aspect="auto")
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            dark = values[row, column] > limits[0] + 0.6 * (limits[1] - limits[0])
            ax.text(column, row, text, ha="center", va="center", color="white" if dark else INK, fontsize=9)
    turned: dict[str, Any] = {"rotation": rotation, "ha": "right", "rotation_mode": "anchor"} if rotation else {}
    ax.set_xticks(range(len(columns)), [name.replace("_", "\n") for name in columns], **turned)
    ax.set_yticks(range(len(rows)), [name.replace("_", "\n") for name in rows])
    ax.set_facecolor(PALE)
    bare(ax)
    if bar:
        colour_bar(ax, shades, bar)


def colour_bar(ax: Axes, shades: Any, name: str, **options: Any) -> Any:
    """A scale beside the axes that says which shade is which value."""
    bar = figure_of(ax).colorbar(shades, ax=ax, label=name, pad=0.02, **options)
    bar.outline.set_visible(False)
    return bar


def bare(ax: Axes) -> None:
    """No grid, no frame, no ticks: for tables of cells."""
    ax.grid(visible=False)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


# ---- checks ----------------------------------------------------------------------------------------------------


def check_columns(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
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


def check_fractions(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The table, if these columns hold fractions.

    Raises:
        BadInput: a number is not from 0 to 1, or is missing.
    """
    for column in columns:
        wrong = table[~table[column].between(0, 1)]
        if len(wrong):
            raise BadInput(f"{column} is {wrong[column].iloc[0]} in a row", "pass fractions from 0 to 1 only")
    return table


def check_unique(table: pd.DataFrame, *columns: str) -> None:
    """Raises BadInput if two rows have the same values in these columns."""
    twice = table[table.duplicated(list(columns))]
    if len(twice):
        named = ", ".join(f"{column} {twice[column].iloc[0]}" for column in columns)
        raise BadInput(f"{named} occurs twice", "pass one row for each")


def check_correlations(numbers: NDArray[np.float64]) -> None:
    """Raises BadInput unless all known numbers are from -1 to 1."""
    if (np.abs(numbers[~np.isnan(numbers)]) > 1 + 1e-9).any():
        raise BadInput(f"numbers up to {np.nanmax(np.abs(numbers)):.3g}", "pass rank correlations, from -1 to 1")


def history_table(history: Any) -> pd.DataFrame:
    """A training history in any of its forms (History, its dictionary, its rows, a table) as a table."""
    if isinstance(history, pd.DataFrame):
        return history
    if isinstance(history, Mapping):
        history = history.get("rows", [])
    return pd.DataFrame(list(getattr(history, "rows", history)))


# ---- PNG -------------------------------------------------------------------------------------------------------


def to_png(axes: Axes) -> bytes:
    """The axes' figure as PNG; the figure is closed, so that no notebook shows it twice."""
    figure = figure_of(axes)
    plt.close(figure)
    return png_of(figure)


def png_of(figure: Figure) -> bytes:
    """A figure as PNG of 64 colours."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    return small_png(buffer.getvalue())


def small_png(png: bytes, colours: int = 64) -> bytes:
    """The same picture in a third of the bytes: a palette instead of 32 bits a dot, since notebooks keep figures.

    A picture that has a palette already is returned as it is.
    """
    buffer = BytesIO()
    with Image.open(BytesIO(png)) as picture:
        if picture.mode == "P":
            return png
        # Maximum coverage keeps the colour of a single small marker, which median cut loses.
        flat = picture.convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE)
    flat.save(buffer, format="png", optimize=True)
    return buffer.getvalue()
