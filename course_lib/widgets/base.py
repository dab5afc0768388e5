"""What all widgets share: a box that shows its output again when a control moves, its pictures, words and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets

from course_lib.errors import CourseError

Show = Callable[..., None]


def control_style(label_width: str = "initial", width: str = "480px") -> dict[str, Any]:
    """Keyword arguments of a control: its label is not cut, and it fits a narrow window."""
    return {"style": {"description_width": label_width}, "layout": {"width": f"min(100%, {width})"}}


def sentence_line(text: str) -> ipywidgets.Text:
    """A line named "Your sentence"; its value changes with every letter."""
    return ipywidgets.Text(
        value=text, description="Your sentence", placeholder="type a sentence", continuous_update=True,
        **control_style(width="640px"),
    )  # fmt: skip


def picture() -> ipywidgets.Image:
    """A place for a PNG, no wider than the window."""
    return ipywidgets.Image(format="png", layout={"max_width": "100%", "align_self": "flex-start"})


def live_box(css_class: str, controls: Sequence[Any], outputs: Sequence[Any], show: Show) -> ipywidgets.VBox:
    """Controls above outputs; `show` fills the outputs now and whenever the value of a control changes.

    Args:
        css_class: by which tests and pages find the box.
        controls: widgets with a value.
        outputs: widgets that `show` fills.
        show: called with the change, or without an argument.
    """
    for control in controls:
        control.observe(show, names="value")
    show()
    box = ipywidgets.VBox([*controls, *outputs])
    box.add_class(css_class)
    return box


def message(words: str) -> str:
    """A line of words (HTML) that screen readers read aloud when it changes."""
    return f"<p aria-live='polite' style='font-size:1.1em'>{words}</p>"


def bar(name: str, fraction: float, number: str, *, bold: bool = False, colour: str = "#2f6fb0") -> str:
    """One row of a bar chart as HTML: a name, a bar from 0 to 1, and a number."""
    shown = f"<b>{escape(name)}</b>" if bold else escape(name)
    return (
        '<div style="display:grid;grid-template-columns:11em 1fr 5em;gap:0.6em;align-items:center;line-height:1.6">'
        f'<span style="text-align:right;overflow-wrap:anywhere">{shown}</span>'
        '<span style="background:rgba(128,128,128,0.18)">'
        f'<span style="display:block;height:1em;width:{100 * fraction:.1f}%;background:{colour}"></span></span>'
        f"<span>{number}</span></div>"
    )


def error_message(error: Exception) -> str:
    """An error as HTML, in place of the output: a traceback would vanish into the browser's console."""
    if isinstance(error, CourseError):
        return f"<p>{escape(error.message)}<br>To fix it: {escape(error.fix)}</p>"
    return f"<p>{type(error).__name__}: {escape(str(error))}</p>"
