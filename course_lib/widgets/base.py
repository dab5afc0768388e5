"""What all widgets share: a box that shows its output again when a control moves, its pictures, words and errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import anywidget
import ipywidgets
import traitlets
from ipywidgets.widgets.trait_types import TypedTuple
from ipywidgets.widgets.widget import widget_serialization

from course_lib.errors import CourseError

Show = Callable[..., None]

# ipywidgets 8 gives no accessible name to sliders, to their numbers and to the buttons of a player, and tells only
# sighted readers which toggle button is pressed and what a step of a selection slider is called.
_NAME_CONTROLS = """
function nameControls(box) {
  for (const handle of box.querySelectorAll(".noUi-handle")) {
    const control = handle.closest(".widget-inline-hbox");
    const name = control.querySelector(".widget-label").textContent;
    const number = control.querySelector(".widget-readout");
    handle.setAttribute("aria-label", name);
    handle.setAttribute("aria-valuetext", number.textContent);
    if (number.isContentEditable) {
      number.setAttribute("role", "textbox");
      number.setAttribute("aria-label", `${name}: number`);
    }
  }
  for (const icon of box.querySelectorAll(".widget-play i"))
    icon.parentElement.setAttribute("aria-label", icon.className.match(/fa-(\\w+)/)[1]);
  for (const button of box.querySelectorAll(".widget-toggle-button"))
    button.setAttribute("aria-pressed", button.classList.contains("mod-active"));
  // Keys belong to the focused control: JupyterLab would move to another cell, or cut this one.
  for (const control of box.querySelectorAll("select, button, input[type=checkbox], .noUi-handle"))
    control.dataset.lmSuppressShortcuts = "true";
}
function render({ el }) {
  const observer = new MutationObserver(() => nameControls(el.parentElement));
  requestAnimationFrame(function start() {
    if (!el.isConnected) return requestAnimationFrame(start);
    nameControls(el.parentElement);
    const what = { subtree: true, childList: true, characterData: true, attributeFilter: ["class"] };
    observer.observe(el.parentElement, what);
  });
  return () => observer.disconnect();
}
export default { render };
"""


class ControlNames(anywidget.AnyWidget):
    """Names the controls of its box for screen readers, now and when they change; it shows nothing."""

    _esm = _NAME_CONTROLS
    _css = ".course-box :focus-visible { outline: 3px solid #2f6fb0 !important; outline-offset: 1px }"


class CourseBox(ipywidgets.VBox):
    """A column of widgets whose controls have accessible names: the browser adds `ControlNames` to the children.

    Args:
        css_class: by which tests and pages find the box.
        children: widgets.
    """

    names = traitlets.Instance(ControlNames, kw={"layout": {"display": "none"}})
    children = TypedTuple(trait=traitlets.Instance(ipywidgets.Widget)).tag(
        sync=True,
        to_json=lambda children, box: widget_serialization["to_json"]([*children, box.names], box),
        from_json=lambda children, box: widget_serialization["from_json"](children[:-1], box),
    )

    def __init__(self, css_class: str, children: Sequence[Any]) -> None:
        super().__init__(children)
        self.add_class("course-box").add_class(css_class)


def control_style(label_width: str = "initial", width: str = "480px") -> dict[str, Any]:
    """Keyword arguments of a control: its label is not cut, and it fits a narrow window."""
    return {"style": {"description_width": label_width}, "layout": {"width": f"min(100%, {width})"}}


def sentence_line(text: str) -> ipywidgets.Text:
    """A line named "Your sentence"; its value changes with every letter."""
    return ipywidgets.Text(
        value=text, description="Your sentence", placeholder="type a sentence", continuous_update=True,
        **control_style(width="640px"),
    )  # fmt: skip


def live_box(css_class: str, controls: Sequence[Any], outputs: Sequence[Any], show: Show) -> CourseBox:
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
    return CourseBox(css_class, [*controls, *outputs])


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
