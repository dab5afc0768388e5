"""Figures in words, for readers who do not see them: made from the figure itself, and shown with it in notebooks."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter
from numpy.typing import NDArray

from course_lib.plots.style import figure_of, to_png

MOST = 400  # characters: a screen reader reads a text alternative in one go
FEW = 8  # points of a series that are all written; of more, the ends, the highest and the lowest


def describe(figure: Figure) -> str:
    """The text alternative of a figure: kind, title, axes with their units, and series with their values.

    Args:
        figure: drawn by `course_lib.plots` or by matplotlib.

    Returns:
        At most MOST characters, the same for the same figure.
    """
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>" and (ax.has_data() or ax.texts)]
    head = [f"{_line(figure.get_suptitle())}."] if figure.get_suptitle() else []
    if panels and all(ax.images and not ax.axison for ax in panels):
        captions = ", ".join(filter(None, map(_title, panels)))
        return _fit([*head, f"{len(panels)} images.", *([f"Captions: {captions}."] if captions else [])])
    room = (MOST - sum(map(len, head)) - len(panels)) // max(1, len(panels))
    return " ".join([*head, *(_panel(ax, room) for ax in panels)]) or "An empty figure."


def _panel(ax: Axes, room: int) -> str:
    """One pair of axes in words; where the values of all series are too long, the names of the series come first."""
    labels = (("x-axis", _line(ax.get_xlabel())), ("y-axis", _line(ax.get_ylabel())))
    axes = "; ".join(f"{name}: {label}" for name, label in labels if label)
    head = [f"{_kind(ax)}: {_title(ax)}." if _title(ax) else f"{_kind(ax)}.", *([f"{axes}."] if axes else [])]
    series = {name: f"{name}: {_values(ax, points)}." for name, points in _series(ax)}
    if _kind(ax) == "Diagram" and ax.texts:
        series["texts"] = f"Texts: {', '.join(_line(text.get_text()) for text in ax.texts)}."
    said = [*head, *(_cells(ax) if _kind(ax) == "Heat map" else []), *series.values()]
    if len(" ".join(said)) > room and len(series) > 1:
        said = [*head, f"Series: {', '.join(series)}.", *series.values()]
    return _fit(said, room)


def _kind(ax: Axes) -> str:
    bars = [one for one in ax.containers if isinstance(one, BarContainer) and one.patches]
    lines = any(line.get_linestyle() != "None" and len(_points(line)) > 2 for line in ax.lines)
    if ax.images:
        return "Heat map" if np.asarray(ax.images[0].get_array()).ndim == 2 else "Image"
    if bars and not lines:
        places, width = _points(bars[0])[:, 0], bars[0].patches[0].get_width()
        return "Histogram" if len(places) > 2 and np.allclose(np.diff(places), width) else "Bar chart"
    if lines:
        return "Line chart with bars" if bars else "Line chart"
    if any(isinstance(one, ErrorbarContainer) for one in ax.containers):
        return "Points with intervals"
    return "Points" if ax.lines or any(isinstance(one, PathCollection) for one in ax.collections) else "Diagram"


def _series(ax: Axes) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Names and points: what the legend names; bars and intervals without a name together; a line that is alone."""
    parts = {id(part) for one in ax.containers if isinstance(one, ErrorbarContainer) for part in one.get_children()}
    whole: list[Any] = [
        one for one in [*ax.containers, *ax.lines, *ax.collections] if id(one) not in parts and len(_points(one))
    ]
    loose = []
    for one in whole:
        first = one.patches[0] if isinstance(one, BarContainer) else one
        name = next((label for label in (str(one.get_label()), str(first.get_label())) if label[:1] not in "_"), "")
        if name:
            yield _line(name), _points(one)
        elif isinstance(one, BarContainer | ErrorbarContainer) or len(whole) == 1:
            loose.append(_points(one))
    if loose:
        yield "Values", np.concatenate(loose)


def _points(one: Any) -> NDArray[np.float64]:
    """The points of bars, points with intervals, a line or a scatter, (n, 2); of another thing none."""
    points: Any = one.get_offsets() if isinstance(one, PathCollection) else []
    if isinstance(one, BarContainer):
        boxes = [bar.get_bbox() for bar in one.patches]
        across = [(_end(box.x0, box.x1), (box.y0 + box.y1) / 2) for box in boxes]
        upright = [((box.x0 + box.x1) / 2, _end(box.y0, box.y1)) for box in boxes]
        points = across if one.orientation == "horizontal" else upright
    elif isinstance(one, ErrorbarContainer):
        return _points(one[0])
    elif hasattr(one, "get_xydata"):
        by_x, by_y = one.get_transform().contains_branch_seperately(one.axes.transData)
        if not (by_x and by_y):  # a line across the axes: one number
            return np.where([by_x, by_y], one.get_xydata()[:1], np.nan) if by_x or by_y else np.empty((0, 2))
        points = one.get_xydata()
    found = np.ma.filled(np.ma.asarray(points, dtype=np.float64), np.nan).reshape(-1, 2)
    return found[np.isfinite(found).all(axis=1)]


def _end(start: float, stop: float) -> float:
    """The value of a bar: its end away from 0, or the middle of one that does not begin at 0."""
    return (start + stop) / 2 if start and stop else start or stop


def _values(ax: Axes, points: NDArray[np.float64]) -> str:
    """The points in words: all, or the ends and the extremes."""
    called = {text.xy: _line(text.get_text()) for text in ax.texts if hasattr(text, "xy")}

    def say(point: NDArray[np.float64]) -> str:
        x, y = (_number(axis, value) for axis, value in zip((ax.xaxis, ax.yaxis), point, strict=True))
        name = called.get(tuple(point), "")
        start = f"{name}: " if any(map(str.isalpha, name)) else ""
        if not x or not y:
            return x or y
        if _names(ax.yaxis):
            return f"{y}: {x}"
        return f"{x}: {y}" if _names(ax.xaxis) else f"{start}{y} at {x}"

    if len(points) <= FEW:
        return "; ".join(map(say, points))
    low, high = points[:, 1].argmin(), points[:, 1].argmax()
    ends = f"{len(points)} points, from {say(points[0])} to {say(points[-1])}"
    extremes = [(name, at) for name, at in (("highest", high), ("lowest", low)) if at not in (0, len(points) - 1)]
    return ", ".join([ends, *(f"{name} {say(points[at])}" for name, at in extremes)])


def _cells(ax: Axes) -> Iterator[str]:
    """The largest cell of a heat map, and the names along it."""
    values = np.ma.filled(np.ma.asarray(ax.images[0].get_array(), dtype=np.float64), np.nan)
    rows, columns = ([_line(axis.get_major_formatter()(at)) for at in range(n)]
                     for axis, n in zip((ax.yaxis, ax.xaxis), values.shape, strict=True))  # fmt: skip
    if np.isnan(values).all():
        return
    row, column = np.unravel_index(np.nanargmax(values), values.shape)
    texts = {text.get_position(): _line(text.get_text()) for text in ax.texts}
    number = texts.get((float(column), float(row)), f"{values[row, column]:.3g}")
    yield f"Largest value: {number} in row {rows[row]}, column {columns[column]}."
    yield from (f"{kind}: {', '.join(some)}." for kind, some in (("Rows", rows), ("Columns", columns)))


def _names(axis: Any) -> list[str]:
    """The names along an axis that has names in place of numbers; else none."""
    names = [_line(axis.get_major_formatter()(place)) for place in axis.get_majorticklocs()]
    named = isinstance(axis.get_major_locator(), FixedLocator) and any(map(str.isalpha, "".join(names)))
    return names if named else []


def _number(axis: Any, value: float) -> str:
    """A number as the axis writes it, or the name at this place; "" where there is none."""
    if not np.isfinite(value):
        return ""
    if names := _names(axis):
        return names[int(np.abs(np.asarray(axis.get_majorticklocs()) - value).argmin())]
    formatter, short = axis.get_major_formatter(), float(f"{value:.3g}")
    return _line(formatter(short)) if isinstance(formatter, FuncFormatter) else f"{short:g}"


def _title(ax: Axes) -> str:
    return next(filter(None, (_line(ax.get_title(loc=place)) for place in ("left", "center", "right"))), "")


def _line(text: str) -> str:
    return " ".join(text.replace("$", "").replace("-\n", "").split())


def _fit(sentences: list[str], room: int = MOST) -> str:
    """The first sentence, shortened if it must be, and as many of the others as there is room for."""
    text = sentences[0] if len(sentences[0]) <= room else f"{sentences[0][: room - 1]}…"
    for sentence in sentences[1:]:
        if len(text) + 1 + len(sentence) > room:
            break
        text += f" {sentence}"
    return text


def to_html(axes: Axes) -> str:
    """The axes' figure as an HTML image with its text alternative, no wider than the window; the figure is closed."""
    words, png = describe(figure_of(axes)), b64encode(to_png(axes)).decode()
    return f'<img alt="{escape(words)}" src="data:image/png;base64,{png}" style="max-width:100%">'


def describe_in_notebooks() -> None:
    """From now on, a figure that this notebook shows has its text alternative; outside of notebooks nothing changes.

    It is the entry `alt` of the picture's metadata. The text beside the picture stays: nbval compares it.
    """
    if (shell := get_ipython()) is not None:
        shell.display_formatter.mimebundle_formatter.for_type(
            Figure, lambda figure, **_: ({}, {"image/png": {"alt": describe(figure)}})
        )
