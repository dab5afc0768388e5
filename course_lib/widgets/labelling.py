"""Label sentences by hand: one after the other, with buttons, into a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

import ipywidgets

from course_lib.assets.files import write_atomically
from course_lib.errors import BadInput, CourseError
from course_lib.widgets.base import CourseBox, error_message, message

LABELS = ("negative", "positive", "unclear")


def label_sentences(texts: Sequence[str], file: str | Path, labels: Sequence[str] = LABELS) -> ipywidgets.VBox:
    """Shows the sentences one after the other and keeps the label that you give to each.

    Every label is written at once into a CSV file with the columns text and label, which `corpora.from_csv` reads.
    Sentences that the file already has are not shown again; "undo" takes the last label back. A partner labels the same
    sentences into another file. All buttons are reached with the Tab key and pressed with Enter or the space bar. What
    goes wrong is shown in place of an answer.

    Args:
        texts: sentences, each different, in the order in which they are shown.
        file: CSV; made with the first label.
        labels: the names of the buttons.

    Returns:
        A box of the class `label-sentences`: progress (children[0], HTML), the sentence (children[1], HTML) and the
        buttons (children[2]), the last of which is "undo".

    Raises:
        BadInput: no sentence, a sentence that occurs twice, or fewer than two labels.
    """
    if not texts or len(set(texts)) < len(texts) or len(set(labels)) < 2:
        raise BadInput(
            f"there are {len(texts)} sentences, {len(set(texts))} of them different, and the labels {list(labels)}",
            "pass at least one sentence, each only once, and at least two labels",
        )
    return _Labelling(list(texts), Path(file), list(labels)).box


def read_labels(file: str | Path) -> dict[str, str]:
    """Sentence -> label, in the order in which the labels were given; empty where there is no such file.

    Raises:
        BadInput: the file does not have the columns text and label.
    """
    if not Path(file).is_file():
        return {}
    rows = csv.DictReader(io.StringIO(Path(file).read_text(encoding="utf-8"), newline=""))
    if list(rows.fieldnames or []) != ["text", "label"]:
        raise BadInput(f"{Path(file).name} has the columns {rows.fieldnames}", "give a CSV file with text and label")
    return {row["text"]: row["label"] for row in rows}


class _Labelling:
    """The first sentence without a label is shown."""

    def __init__(self, texts: list[str], file: Path, labels: list[str]) -> None:
        self.texts, self.file, self.labels = texts, file, labels
        self.progress, self.sentence = (ipywidgets.HTML(layout={"width": "min(100%, 720px)"}) for _ in "12")
        buttons = [ipywidgets.Button(description=name, layout={"width": "auto"}) for name in [*labels, "undo"]]
        for button in buttons:
            button.on_click(lambda pressed: self.press(pressed.description))
        self.buttons = ipywidgets.HBox(buttons, layout={"flex_flow": "row wrap"})
        self.box = CourseBox("label-sentences", [self.progress, self.sentence, self.buttons])
        self._safely(lambda: None)

    def press(self, name: str) -> None:
        """Stores a label for the sentence that is shown, or takes the last label back."""
        self._safely(self._undo if name == "undo" else lambda: self._store(name))

    def _store(self, label: str) -> None:
        given = read_labels(self.file)
        left = [text for text in self.texts if text not in given]
        if left:
            self._write({**given, left[0]: label})

    def _undo(self) -> None:
        given = read_labels(self.file)
        mine = [text for text in given if text in self.texts]
        if mine:
            self._write({text: label for text, label in given.items() if text != mine[-1]})

    def _write(self, given: dict[str, str]) -> None:
        lines = io.StringIO(newline="")
        rows = csv.writer(lines)
        rows.writerows([("text", "label"), *given.items()])
        write_atomically(self.file, lines.getvalue())

    def _safely(self, change: Callable[[], None]) -> None:
        """Makes a change, and shows what comes next or what went wrong."""
        try:
            change()
            self._show(read_labels(self.file))
        except (CourseError, OSError) as error:
            self.progress.value = error_message(error)

    def _show(self, given: dict[str, str]) -> None:
        left = [text for text in self.texts if text not in given]
        done = len(self.texts) - len(left)
        for button in self.buttons.children:
            button.disabled = not (done if button.description == "undo" else left)
        if left:
            self.progress.value = message(f"Sentence {done + 1} of {len(self.texts)}. Which label do you give?")
            self.sentence.value = f'<p style="font-size:1.2em;overflow-wrap:anywhere">{escape(left[0])}</p>'
            return
        counts = [f"{list(map(given.get, self.texts)).count(label)} {label}" for label in self.labels]
        self.progress.value = message(f"All {done} sentences have a label: {escape(', '.join(counts))}.")
        self.sentence.value = f"<p>The labels are in the file {escape(self.file.name)}.</p>"
