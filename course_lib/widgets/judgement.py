"""Be the judge: read adversarial texts as a reader would, and say what they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Protocol

import ipywidgets
import numpy as np

from course_lib.attacks.difference import side_by_side
from course_lib.attacks.human_evaluation import Vote, add_vote, read_votes, validity
from course_lib.errors import CourseError
from course_lib.widgets.base import CourseBox, error_message

LABEL = "Which label would you give this text?"
MEANING = "Does it mean the same as the original?"


class Attacked(Protocol):
    """A text before and after an attack; `course_lib.attacks.AttackResult` is one."""

    @property
    def text(self) -> str: ...
    @property
    def adversarial(self) -> str: ...
    @property
    def label(self) -> Any: ...


def vote_on_attacks(
    pairs: Sequence[Attacked], file: str | Path, names: Mapping[Any, str] | None = None
) -> ipywidgets.VBox:
    """Shows adversarial texts one after another: the reader gives a label, then compares the meaning with the original.

    The original is hidden until the label is given, since a reader who knows it sees it in the changed text. Every vote
    is stored at once; pairs that the file already has are not shown again. Unchanged texts among the pairs are a
    control: they show how often a reader's label differs from the stored one without any attack. It never
    raises: what goes wrong is shown, and the question stays.

    Args:
        pairs: results of an attack (text, adversarial, label), in the order in which they are shown.
        file: JSON; `attacks.human_evaluation.read_votes` reads it.
        names: class -> what to call it; left out, the class itself.

    Returns:
        A box of the class `vote-on-attacks`: progress (children[0], HTML), the text (children[1], HTML), the question
        (children[2], HTML), the buttons for labels (children[3]) and those for the meaning (children[4]).
    """
    return _Judge(list(pairs), Path(file), names).box


class _Judge:
    """The first pair whose votes are not complete is shown."""

    def __init__(self, pairs: list[Attacked], file: Path, names: Mapping[Any, str] | None) -> None:
        self.pairs, self.file = pairs, file
        self.progress, self.text, self.question = (ipywidgets.HTML(layout={"width": "min(100%, 720px)"}) for _ in "123")
        called = _called(pairs, names)
        labels: list[tuple[str, Any]] = [*((name, label) for label, name in called.items()), ("cannot tell", None)]
        self.labels = _buttons(labels, self.give_label)
        self.meanings = _buttons([("yes", True), ("no", False)], self.give_meaning)
        parts = [self.progress, self.text, self.question, self.labels, self.meanings]
        self.box = CourseBox("vote-on-attacks", parts)
        self.show()

    def give_label(self, given: Any) -> None:
        """The first answer; an unchanged text has no second question."""
        self._store(lambda pair, _: (given, True if pair.text == pair.adversarial else None))

    def give_meaning(self, same: bool) -> None:
        """The second answer."""
        self._store(lambda _, given: (given, same))

    def _store(self, answer: Callable[[Attacked, Any], tuple[Any, bool | None]]) -> None:
        trouble = ""
        try:
            pair, stored = self._current()
            if pair is not None:
                given, same = answer(pair, stored.get("given"))
                add_vote(self.file, Vote(pair.text, pair.adversarial, pair.label, given, same))
        except CourseError as error:
            trouble = error_message(error)
        self.show(trouble)

    def _current(self) -> tuple[Attacked | None, dict[str, Any]]:
        """The pair to ask about (None at the end), and its vote so far (empty before the first answer)."""
        known = {(row["original"], row["adversarial"]): row for row in read_votes(self.file).to_dict("records")}
        for pair in self.pairs:
            row = known.get((pair.text, pair.adversarial), {})
            if row.get("same") is None:
                return pair, row
        return None, {}

    def show(self, trouble: str = "") -> None:
        """The question that comes next; at the end, what the votes say."""
        try:
            pair, row = self._current()
            if pair is None:
                self._tell("<p>That was the last text.</p>", f"<p>{escape(self._summary())}</p>")
            else:
                self._ask(pair, bool(row))
        except CourseError as error:
            self._tell("<p>No vote can be taken.</p>", error_message(error))
        self.progress.value += trouble

    def _tell(self, progress: str, text: str) -> None:
        """Words in place of a question."""
        self.progress.value, self.text.value, self.question.value = progress, text, ""
        _show_only(self.labels, False)
        _show_only(self.meanings, False)

    def _ask(self, pair: Attacked, has_label: bool) -> None:
        _show_only(self.labels, not has_label)
        _show_only(self.meanings, has_label)
        number = 1 + next(i for i, one in enumerate(self.pairs) if one is pair)
        self.progress.value = f"<p>Text {number} of {len(self.pairs)}</p>"
        self.question.value = f'<p class="vote-question"><b>{MEANING if has_label else LABEL}</b></p>'
        self.text.value = side_by_side([(pair.text, pair.adversarial)]) if has_label else _alone(pair.adversarial)

    def _summary(self) -> str:
        """What was found over these pairs, whatever else the file holds.

        Raises:
            CourseError: there is no vote to speak of.
        """
        votes = read_votes(self.file)
        asked = {(pair.text, pair.adversarial) for pair in self.pairs}
        mine = [pair in asked for pair in zip(votes["original"], votes["adversarial"], strict=True)]
        return str(validity(votes[np.array(mine, dtype=bool)]))


def _alone(text: str) -> str:
    return (
        f'<p class="vote-text" style="font-size:1.2em;white-space:pre-wrap;overflow-wrap:anywhere">{escape(text)}</p>'
    )


def _called(pairs: Sequence[Attacked], names: Mapping[Any, str] | None) -> dict[Any, str]:
    """Label -> name, of all that may be given: the named ones, or those of the pairs."""
    labels = sorted({_plain(pair.label) for pair in pairs}, key=str)
    if names is not None:
        return {
            **{_plain(label): name for label, name in names.items()},
            **{x: str(x) for x in labels if x not in names},
        }
    return {label: str(label) for label in labels}


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label


def _buttons(choices: Sequence[tuple[str, Any]], chosen: Callable[[Any], None]) -> ipywidgets.HBox:
    """A button for each choice."""
    buttons = []
    for name, value in choices:
        button = ipywidgets.Button(description=name, layout={"width": "auto", "min_width": "7em"})
        button.on_click(lambda _, value=value: chosen(value))
        buttons.append(button)
    return ipywidgets.HBox(buttons, layout={"flex_flow": "row wrap"})


def _show_only(buttons: ipywidgets.HBox, shown: bool) -> None:
    buttons.layout.display = "" if shown else "none"
