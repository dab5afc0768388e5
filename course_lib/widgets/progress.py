"""Your progress in all notebooks, a link to where you continue, and a button that forgets a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import ipywidgets

from course_lib.errors import CourseError
from course_lib.exercises import catalogue, progress
from course_lib.exercises.summary import file_of, local_time, progress_in, where_to_continue
from course_lib.widgets.base import CourseBox, control_style, error_message, message

_HEADINGS = ("Notebook", "Passed", "Wrong", "Skipped", "Not reached", "Quiz", "Last time")
_CELL = "padding-left: 1.2em; text-align: right"
_FORGET = "Forget this notebook"


def show_progress() -> ipywidgets.VBox:
    """Your progress, as `python -m course_lib progress` shows it, and where you continue.

    Returns:
        A box of the class `show-progress`: the table (children[0], HTML), the link (children[1], an Output, whose links
        open in JupyterLab), the notebook to forget (children[2]), the button (children[3], which asks once more) and
        what it did (children[4], HTML).
    """
    table, link, said = ipywidgets.HTML(), ipywidgets.Output(), ipywidgets.HTML()
    choice = ipywidgets.Dropdown(options=[*catalogue.NOTEBOOKS], description="Notebook", **control_style(width="200px"))
    button = ipywidgets.Button(description=_FORGET, layout={"width": "auto", "align_self": "flex-start"})

    def show() -> None:
        events = progress.read().events
        table.value = _table(events)
        data = {"text/html": _link(where_to_continue(events))}
        link.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)

    def ask_again(_: object = None) -> None:
        button.description, said.value = _FORGET, ""

    def press(_: object) -> None:
        if button.description == _FORGET:
            button.description = f"Yes, forget notebook {choice.value}"
            said.value = message("Press the button again to forget what was recorded for this notebook.")
            return
        ask_again()
        try:
            progress.reset(choice.value)
            said.value = message(f"The progress in notebook {choice.value} is forgotten.")
        except CourseError as error:
            said.value = error_message(error)
        show()

    choice.observe(ask_again, names="value")
    button.on_click(press)
    show()
    if (file := progress.file_of_progress()) and not progress.is_writable():
        said.value = message(
            f"{escape(str(file))} cannot be written, so nothing is recorded: set COURSE_PROGRESS to another file."
        )
    return CourseBox("show-progress", [table, link, choice, button, said])


def _link(place: tuple[str, str] | None) -> str:
    if place is None:
        return "<p>You have passed every exercise.</p>"
    return f'<p><a href="{file_of(place[0])}">Continue with <code>{place[1]}</code> in notebook {place[0]}</a></p>'


def _table(events: Sequence[progress.Event]) -> str:
    """One row for each notebook, as HTML that a screen reader can walk through."""
    rows = []
    for one in (progress_in(number, events) for number in catalogue.NOTEBOOKS):
        counts = [str(one.count(state)) for state in ("passed", "wrong", "skipped", "not reached")]
        quiz = f"{one.right_at_first} of {one.questions}" if one.first_letters else ""
        cells = "".join(f'<td style="{_CELL}">{cell}</td>' for cell in (*counts, quiz, local_time(one.last)))
        name = file_of(one.notebook).removesuffix(".ipynb")
        rows.append(f'<tr><th scope="row" style="text-align: left">{name}</th>{cells}</tr>')
    first, *others = _HEADINGS
    head = f'<th scope="col" style="text-align: left">{first}</th>'
    head += "".join(f'<th scope="col" style="{_CELL}">{name}</th>' for name in others)
    caption = (
        "<caption style='text-align: left'>Exercises and stages; quiz questions right at the first answer</caption>"
    )
    body = f"{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<table style="line-height: 1.5">{body}</table>'
