"""Progress of a learner: what each check and each answer to a quiz gave, kept in a file on this machine.

The file is data/progress.jsonl or the path in COURSE_PROGRESS ("off" records nothing). Each event is one line of JSON,
added at the end. It has no code of the learner. Recording never raises: without the file, the notebook goes on. Lines
that cannot be used, such as damaged ones, are passed over and counted.
"""

from __future__ import annotations

import functools
import json
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeGuard

from course_lib.errors import BadInput, CourseError
from course_lib.exercises import catalogue
from course_lib.exercises.texts import LETTERS, Question
from course_lib.set_up import ROOT

OFF = "off"
FORMAT, VERSION = "large-models-hands-on progress", 1
_FORGOTTEN = "forgotten"
_RESULTS = ("passed", "wrong", "not attempted")
_LONGEST = 300  # characters of a mistake
_CLOCKS = timedelta(days=1)  # a clock may be wrong by a time zone; a time beyond that is damage
_DAMAGE = (TypeError, ValueError, ArithmeticError, RecursionError)  # errors of a line that is no event

NOTEBOOK_OF = {  # of each exercise and stage
    exercise.name: notebook
    for notebook in catalogue.NOTEBOOKS
    for exercise in (*catalogue.of_notebook(notebook), *catalogue.stages_of(notebook))
}


@dataclass(frozen=True)
class Event:
    """One line of the file.

    Args:
        time: UTC, in ISO form, to the second.
        notebook: its number, "03".
        result: of an exercise "passed", "wrong" or "not attempted"; of a question "right" or "wrong"; "forgotten" where
            the notebook begins again.
        exercise: its name, or "".
        mistake: of a wrong exercise, the first line of the verdict.
        question: its number from 1 on, or 0.
        letter: of the option that was chosen, or "".
    """

    time: str
    notebook: str
    result: str
    exercise: str = ""
    mistake: str = ""
    question: int = 0
    letter: str = ""

    @property
    def when(self) -> datetime:
        """Its time as an object."""
        return datetime.fromisoformat(self.time)


@dataclass(frozen=True)
class History:
    """What the file holds: events after the last reset of their notebook, the learner's id, lines passed over."""

    events: tuple[Event, ...]
    learner: str = ""
    damaged: int = 0


@dataclass(frozen=True)
class ExerciseProgress:
    """How far a learner is with one exercise or stage.

    Args:
        state: "passed" or "wrong" (once), "skipped" (only checked as a stub), or "not reached".
        mistakes: the different ones, in the order in which they were made.
        seconds_to_pass: from the first check to the first that passed; None where none has.
    """

    name: str
    state: str
    mistakes: tuple[str, ...] = ()
    seconds_to_pass: int | None = None


@dataclass(frozen=True)
class NotebookProgress:
    """How far a learner is with one notebook.

    Args:
        exercises: with the stages of the build, in order.
        questions: of the quiz.
        first_letters: number of a question -> the first answer.
        right_at_first: questions whose first answer was right.
        first, last: times of the first and the last event; "" where there is none.
    """

    notebook: str
    exercises: tuple[ExerciseProgress, ...]
    questions: int
    first_letters: dict[int, str]
    right_at_first: int
    first: str
    last: str

    def count(self, state: str) -> int:
        """How many exercises are in a state."""
        return sum(exercise.state == state for exercise in self.exercises)


def file_of_progress() -> Path | None:
    """The file, which need not exist; None where nothing is recorded."""
    moved = os.environ.get("COURSE_PROGRESS", "").strip()
    if moved.lower() == OFF:
        return None
    return Path(os.path.expanduser(moved)) if moved else ROOT / "data" / "progress.jsonl"


def record_check(exercise: str, result: str, message: str) -> None:
    """Records what a check gave; of a wrong answer also the first line of the message."""
    mistake = "".join(filter(str.isprintable, message.partition("\n")[0]))[:_LONGEST] if result == "wrong" else ""
    if notebook := NOTEBOOK_OF.get(exercise):
        _append(asdict(Event(_now(), notebook, result, exercise=exercise, mistake=mistake)))


def record_question(notebook: str, number: int, letter: str) -> None:
    """Records the answer `letter` to a question, counted from 1, of the quiz of a notebook ("03")."""
    result = "right" if questions_of(notebook)[number - 1].right == letter else "wrong"
    _append(asdict(Event(_now(), notebook, result, question=number, letter=letter)))


def answered(notebook: str) -> dict[int, str]:
    """Number of each answered question of a quiz -> the letters that were chosen, in their order."""
    letters: dict[int, str] = {}
    for event in read().events:
        if event.notebook == notebook and event.question:
            letters[event.question] = letters.get(event.question, "") + event.letter
    return letters


def reset(notebook: str) -> None:
    """Forgets what was recorded of a notebook ("03").

    Raises:
        BadInput: there is no such notebook.
        CourseError: the file cannot be written, or nothing is recorded.
    """
    if notebook not in catalogue.NOTEBOOKS:
        raise BadInput(f"there is no notebook {notebook!r}", f"use one of {', '.join(catalogue.NOTEBOOKS)}")
    _append_or_raise(asdict(Event(_now(), notebook, _FORGOTTEN)))


def read() -> History:
    """What the file holds. Empty where there is none."""
    file, content = file_of_progress(), b""
    with suppress(OSError, ValueError):  # no such file, no right to read it, a path with a zero byte
        content = file.read_bytes() if file and file.is_file() else b""
    lines = [_parsed(line) for line in content.split(b"\n") if line.strip()]
    ids = [line["learner"] for line in lines if _is_id(line)]
    history = events_of([line for line in lines if not _is_id(line)])
    return History(history.events, ids[0] if ids else "", history.damaged)


def _parsed(line: bytes) -> object:
    try:
        return json.loads(line)
    except _DAMAGE:
        return None


def _is_id(line: Any) -> TypeGuard[dict[str, str]]:
    return isinstance(line, dict) and list(line) == ["learner"] and is_learner_id(line["learner"])


def events_of(lines: Iterable[object]) -> History:
    """The events among objects read from JSON; the others are counted."""
    events, damaged = list[Event](), 0
    for line in lines:
        try:
            event = _event(line)
        except _DAMAGE:
            damaged += 1
            continue
        if event.result == _FORGOTTEN:
            events = [earlier for earlier in events if earlier.notebook != event.notebook]
        else:
            events.append(event)
    return History(tuple(events), "", damaged)


def _event(line: Any) -> Event:
    """The event of one line. Raises one of _DAMAGE where it is none, or of an exercise that the course lacks."""
    event = Event(**line)
    answer = event.question in range(1, len(questions_of(event.notebook)) + 1) and event.letter in tuple(LETTERS)
    check = NOTEBOOK_OF.get(event.exercise) == event.notebook
    known = (
        (check and event.question == 0 and event.result in _RESULTS)
        or (answer and event.exercise == "" and event.result in ("right", "wrong"))
        or (event.exercise == "" and event.question == 0 and event.result == _FORGOTTEN)
    )
    if not known or not event.mistake.isprintable() or event.when > datetime.now(UTC) + _CLOCKS:
        raise ValueError(f"no event: {line!r}")
    return event


@functools.cache
def questions_of(notebook: str) -> tuple[Question, ...]:
    """The questions of the quiz of a notebook. Raises BadInput where there is no such notebook."""
    return tuple(question for text in catalogue.texts_of(notebook) for question in text.questions)


def progress_in(notebook: str, events: Iterable[Event]) -> NotebookProgress:
    """How far a learner with these events is with a notebook."""
    own = [event for event in events if event.notebook == notebook]
    exercises = [*catalogue.of_notebook(notebook), *catalogue.stages_of(notebook)]
    answers = {event.question: event for event in reversed(own) if event.question}  # the first one of each remains
    return NotebookProgress(
        notebook=notebook,
        exercises=tuple(
            _exercise(one.name, [event for event in own if event.exercise == one.name]) for one in exercises
        ),
        questions=len(questions_of(notebook)),
        first_letters={number: answers[number].letter for number in sorted(answers)},
        right_at_first=sum(event.result == "right" for event in answers.values()),
        first=own[0].time if own else "",
        last=own[-1].time if own else "",
    )


def _exercise(name: str, checks: Sequence[Event]) -> ExerciseProgress:
    tries = [event for event in checks if event.result != "not attempted"]
    passes = [event for event in tries if event.result == "passed"]
    state = "passed" if passes else "wrong" if tries else "skipped" if checks else "not reached"
    seconds = max(0, round((passes[0].when - tries[0].when).total_seconds())) if passes else None
    return ExerciseProgress(name, state, tuple(dict.fromkeys(filter(None, (t.mistake for t in tries)))), seconds)


def where_to_continue(events: Sequence[Event]) -> tuple[str, str] | None:
    """(notebook, exercise): the first exercise that is not passed, in the notebook of the newest event, else in the
    notebooks after it, else before it; None where all are passed."""
    numbers = list(catalogue.NOTEBOOKS)
    start = numbers.index(events[-1].notebook) if events else 0
    for notebook in numbers[start:] + numbers[:start]:
        for exercise in progress_in(notebook, events).exercises:
            if exercise.state != "passed":
                return notebook, exercise.name
    return None


def export(name: str = "") -> dict[str, Any]:
    """What a learner hands in: format, version, a random id that stays the same, the name given, and the events.

    Raises:
        CourseError: the id cannot be kept in the file, or nothing is recorded.
    """
    history = read()
    if not (learner := history.learner):
        _append_or_raise({"learner": (learner := secrets.token_hex(6))})
    events = [_brief(asdict(event)) for event in history.events]
    return {"format": FORMAT, "version": VERSION, "learner": learner, "name": name, "time": _now(), "events": events}


def is_learner_id(value: object) -> bool:
    """Whether this is an id that `export` has drawn."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{12}", value) is not None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _brief(line: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that are empty."""
    return {name: value for name, value in line.items() if value}


def _append_or_raise(line: dict[str, Any]) -> None:
    if not _append(line):
        file = file_of_progress()
        raise CourseError(
            f"progress cannot be written to {file}" if file else f"COURSE_PROGRESS is {OFF!r}: nothing is recorded",
            "set COURSE_PROGRESS to a file that you may write, or unset it",
        )


def _append(line: dict[str, Any]) -> bool:
    """Adds a line at the end in one write, as other kernels do at the same time; False where that is not possible."""
    if (file := file_of_progress()) is None:
        return False
    text = json.dumps(_brief(line)).encode() + b"\n"
    with suppress(OSError, ValueError):
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if (size := os.lseek(descriptor, 0, os.SEEK_END)) and os.lseek(descriptor, size - 1, os.SEEK_SET) >= 0:
                text = (b"" if os.read(descriptor, 1) == b"\n" else b"\n") + text  # after a line that was cut
            return os.write(descriptor, text) == len(text)
        finally:
            os.close(descriptor)
    return False
