"""Progress of a learner: what each check and each answer to a quiz gave, kept in a file on this machine.

The file is data/progress.jsonl or the path in COURSE_PROGRESS ("off" records nothing). Each event is one line of JSON,
added at the end. It has no code of the learner. Recording never raises: without the file, the notebook goes on. Lines
that cannot be used, such as damaged ones, are passed over and counted.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeGuard

from course_lib.errors import BadInput, CourseError
from course_lib.exercises import catalogue
from course_lib.exercises.texts import LETTERS
from course_lib.set_up import ROOT

OFF = "off"
FORMAT, VERSION = "large-models-hands-on progress", 1
_FORGOTTEN = "forgotten"
_RESULTS = ("passed", "wrong", "not attempted")
_LONGEST = 300  # characters of a mistake
_CLOCKS = timedelta(days=1)  # a clock may be wrong by a time zone; a time beyond that is damage
# Errors of reading JSON that is damaged, or is something else than expected.
DAMAGE = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError)


@dataclass(frozen=True)
class Event:
    """One line of the file.

    Args:
        result: of an exercise "passed", "wrong" or "not attempted"; of a question "right" or "wrong"; "forgotten" where
            the notebook begins again.
        mistake: of a wrong exercise, the first line of the verdict.
        question: from 1 on, or 0.
    """

    time: str  # UTC, in ISO form, to the second
    notebook: str  # "03"
    result: str
    exercise: str = ""
    mistake: str = ""
    question: int = 0
    letter: str = ""

    @property
    def when(self) -> datetime:
        return datetime.fromisoformat(self.time)


@dataclass(frozen=True)
class History:
    """What the file holds: events after the last reset of their notebook, the learner's id, lines passed over."""

    events: tuple[Event, ...]
    learner: str = ""
    damaged: int = 0


def file_of_progress() -> Path | None:
    """The file, which need not exist; None where nothing is recorded."""
    moved = os.environ.get("COURSE_PROGRESS", "").strip()
    if moved.lower() == OFF:
        return None
    return Path(os.path.expanduser(moved)) if moved else ROOT / "data" / "progress.jsonl"


def record_check(exercise: str, result: str, message: str) -> None:
    """Records what a check gave; of a wrong answer also the first line of the message."""
    mistake = "".join(filter(str.isprintable, message.partition("\n")[0]))[:_LONGEST] if result == "wrong" else ""
    if notebook := catalogue.NOTEBOOK_OF.get(exercise):
        _append(asdict(Event(_now(), notebook, result, exercise=exercise, mistake=mistake)))


def record_question(notebook: str, number: int, letter: str) -> None:
    """Records the answer `letter` to a question, counted from 1, of the quiz of a notebook ("03").

    Raises:
        BadInput: there is no such notebook, question or letter.
    """
    questions = dict(enumerate(catalogue.questions_of(notebook), start=1))
    if number not in questions or letter not in list(LETTERS[: len(questions[number].options)]):
        raise BadInput(
            f"question {number!r} of notebook {notebook} has no answer {letter!r}", "use a number and a letter"
        )
    result = "right" if questions[number].right == letter else "wrong"
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
    if notebook not in [*catalogue.NOTEBOOKS]:
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
    except DAMAGE:
        return None


def _is_id(line: Any) -> TypeGuard[dict[str, str]]:
    return isinstance(line, dict) and list(line) == ["learner"] and is_learner_id(line["learner"])


def events_of(lines: Iterable[object]) -> History:
    """The events among objects read from JSON; the others are counted."""
    events, damaged = list[Event](), 0
    for line in lines:
        try:
            event = _event(line)
        except DAMAGE:
            damaged += 1
            continue
        if event.result == _FORGOTTEN:
            events = [earlier for earlier in events if earlier.notebook != event.notebook]
        else:
            events.append(event)
    return History(tuple(events), "", damaged)


def _event(line: Any) -> Event:
    """The event of one line. Raises one of DAMAGE where it is none, or of an exercise that the course lacks."""
    event = Event(**line)
    questions = catalogue.questions_of(event.notebook)
    if event.exercise:
        known = catalogue.NOTEBOOK_OF[event.exercise] == event.notebook and event.result in _RESULTS
    elif event.question > 0:
        letters = list(LETTERS[: len(questions[event.question - 1].options)])
        known = event.letter in letters and event.result in ("right", "wrong")
    else:
        known = event.result == _FORGOTTEN
    mistake = event.mistake.isprintable() and len(event.mistake) <= _LONGEST
    if not known or not mistake or event.when > datetime.now(UTC) + _CLOCKS:
        raise ValueError("no event")
    return event


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
    return {name: value for name, value in line.items() if value}


def _append_or_raise(line: dict[str, Any]) -> None:
    if not _append(line):
        file = file_of_progress()
        raise CourseError(
            f"progress cannot be written to {file}" if file else f"COURSE_PROGRESS is {OFF!r}: nothing is recorded",
            "set COURSE_PROGRESS to a file that you may write, or unset it",
        )


def is_writable() -> bool:
    """Whether events can be added to the file, which is made where it is missing, and the disk has room for them."""
    return _append({}) and shutil.disk_usage(file_of_progress() or ROOT).free > 0


def _append(line: dict[str, Any]) -> bool:
    """Adds a line at the end in one write, as other kernels do at the same time; False where that is not possible."""
    if (file := file_of_progress()) is None:
        return False
    text = json.dumps(_brief(line)).encode() + b"\n" if line else b""
    with suppress(OSError, ValueError):
        descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        try:
            if (size := os.lseek(descriptor, 0, os.SEEK_END)) and text:
                os.lseek(descriptor, size - 1, os.SEEK_SET)
                text = text if os.read(descriptor, 1) == b"\n" else b"\n" + text  # after a line that was cut
            return os.write(descriptor, text) == len(text)
        finally:
            os.close(descriptor)
    return False
