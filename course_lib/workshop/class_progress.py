"""Progress of a class: the exports of its learners in one folder, as one table of exercises and learners."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from course_lib.errors import BadInput
from course_lib.exercises import catalogue, progress
from course_lib.exercises.summary import NotebookProgress, progress_in
from course_lib.exercises.texts import LETTERS, Question

MARKS = {"passed": "\u2713", "wrong": "\u2717", "skipped": "\u2026", "not reached": " "}
_COLUMNS = 30  # learners side by side
_SEVERAL = 2  # learners
_LARGEST = 20_000_000  # bytes of an export
_FOLDER = "name the folder with the files that the learners wrote by python -m course_lib progress --export FILE"
_NAME = 24  # characters of a learner's name that are shown


@dataclass(frozen=True)
class Learner:
    """One learner's export."""

    file: str
    id: str
    name: str
    time: datetime
    notebooks: Mapping[str, NotebookProgress]


def read_exports(folder: Path) -> tuple[list[Learner], list[str]]:
    """The learners whose exports are in a folder or below it, by name, and a note on each file that does not count.

    Raises:
        BadInput: there is no such folder, or no export in it.
    """
    if not os.path.isdir(folder):
        raise BadInput(f"there is no folder {folder}", _FOLDER)
    files = [file for file in sorted(folder.rglob("*")) if file.is_file() and not _is_hidden(file.relative_to(folder))]
    newest: dict[str, Learner] = {}
    notes = []
    for file in files:
        name = str(file.relative_to(folder))
        try:
            learner, damaged = _learner(name, _content(file))
        except BadInput as error:
            notes.append(f"{name} is left out: {error.message}; {error.fix}.")
            continue
        except (OSError, *progress.DAMAGE):
            notes.append(f"{name} is left out: it is not an export of the course.")
            continue
        if damaged:
            notes.append(f"{name}: {damaged} of its events cannot be used and are left out.")
        if other := newest.get(learner.id):
            older, learner = sorted((other, learner), key=lambda one: one.time)
            notes.append(f"{older.file} is left out: {learner.file} is a newer export of the same learner.")
        newest[learner.id] = learner
    if not newest:
        raise BadInput(" ".join([f"there is no export in {folder.resolve()}.", *notes[:3]]), _FOLDER)
    return sorted(newest.values(), key=lambda learner: (learner.name.lower(), learner.id)), notes


def _is_hidden(file: Path) -> bool:
    return any(part.startswith(".") for part in file.parts)


def _content(file: Path) -> Any:
    """The JSON of a file. Raises OSError or one of DAMAGE; a file too large for an export is not read."""
    if file.stat().st_size > _LARGEST:
        raise ValueError("too large")
    return json.loads(file.read_bytes())


def _learner(file: str, export: Any) -> tuple[Learner, int]:
    """One export, and how many of its events cannot be used. Raises BadInput or one of DAMAGE."""
    if export["format"] != progress.FORMAT:
        raise ValueError(export["format"])
    if export["version"] != progress.VERSION:
        raise BadInput(
            f"its format has version {export['version']!r}, and this course reads version {progress.VERSION}",
            "use one version of the course in the whole class",
        )
    time, events = datetime.fromisoformat(export["time"]), export["events"]
    if not (progress.is_learner_id(export["learner"]) and time.tzinfo and isinstance(events, list)):
        raise ValueError("learner, time or events")
    name = "".join(filter(str.isprintable, export["name"]))[:_NAME].strip() or f"learner {export['learner'][:6]}"
    history = progress.events_of(events)
    notebooks = {number: progress_in(number, history.events) for number in catalogue.NOTEBOOKS}
    return Learner(file, export["learner"], name, time, notebooks), history.damaged


def class_summary(learners: Sequence[Learner], notes: Sequence[str]) -> dict[str, Any]:
    """Learners, exercises, questions and notes as data; an exercise has one state for each learner, in their order."""
    return {
        "learners": [_totals(learner) for learner in learners],
        "exercises": [row for number in catalogue.NOTEBOOKS for row in _exercise_rows(number, learners)],
        "questions": [row for number in catalogue.NOTEBOOKS for row in _question_rows(number, learners)],
        "notes": list(notes),
    }


def _totals(learner: Learner) -> dict[str, Any]:
    notebooks = learner.notebooks.values()
    counts = {state: sum(one.count(state) for one in notebooks) for state in MARKS}
    answered = sum(len(one.first_letters) for one in notebooks)
    right = sum(one.right_at_first for one in notebooks)
    who = {"name": learner.name, "id": learner.id, "file": learner.file}
    return {**who, **counts, "answered": answered, "right_at_first": right}


def _exercise_rows(notebook: str, learners: Sequence[Learner]) -> list[dict[str, Any]]:
    rows = []
    for ways in zip(*(learner.notebooks[notebook].exercises for learner in learners), strict=True):
        states = [one.state for one in ways]
        mistakes = Counter(mistake for one in ways for mistake in one.mistakes).most_common(1)
        rows.append(
            {"notebook": notebook, "exercise": ways[0].name, "states": states}
            | {state: states.count(state) for state in MARKS}
            | {"made_mistakes": sum(bool(one.mistakes) for one in ways)}
            | {"commonest_mistake": {"message": mistakes[0][0], "learners": mistakes[0][1]} if mistakes else None}
        )
    return rows


def _question_rows(notebook: str, learners: Sequence[Learner]) -> list[dict[str, Any]]:
    rows = []
    for number, question in enumerate(catalogue.questions_of(notebook), start=1):
        first = [letters[number] for one in learners if number in (letters := one.notebooks[notebook].first_letters)]
        wrong = Counter(letter for letter in first if letter != question.right).most_common()
        rows.append(
            {"notebook": notebook, "question": number, "text": question.text, "answered": len(first)}
            | {"wrong": sum(count for _, count in wrong)}
            | {"commonest_wrong": _option(question, *wrong[0]) if wrong else None}
        )
    return rows


def _option(question: Question, letter: str, learners: int) -> dict[str, Any]:
    return {"letter": letter, "text": question.options[LETTERS.index(letter)].text, "learners": learners}


def as_text(summary: Mapping[str, Any]) -> list[str]:
    """The summary for a reader."""
    learners = summary["learners"]
    lines = [f"{len(learners)} learners: \u2713 passed, \u2717 wrong, \u2026 skipped, blank not reached", ""]
    for start in range(0, len(learners), _COLUMNS):
        lines += [*_table(summary["exercises"], start, min(start + _COLUMNS, len(learners))), ""]
    for number, one in enumerate(learners, start=1):
        counts = f"{one['passed']:3} passed, {one['wrong']:2} wrong, {one['skipped']:3} skipped"
        right = f"{one['right_at_first']} of {one['answered']} right at the first answer"
        place = f" ({one['file']})" if [other["name"] for other in learners].count(one["name"]) > 1 else ""
        lines.append(
            f"{number:4} {one['name']:{_NAME}} {counts}; quiz: {right if one['answered'] else 'no answer'}{place}"
        )
    return [*lines, *_mistakes(summary["exercises"]), *_questions(summary["questions"]), "", *summary["notes"]]


def _table(exercises: Sequence[Mapping[str, Any]], start: int, end: int) -> list[str]:
    """Rows of exercises with a mark for each learner from `start` on, and totals of the class."""
    reached = [row for row in exercises if set(row["states"]) != {"not reached"}]
    width = 4 + max((len(row["exercise"]) for row in reached), default=0)
    digits = zip(*(f"{number:{len(str(end))}}" for number in range(start + 1, end + 1)), strict=True)
    lines = [" " * width + "".join(f" {digit}" for digit in row) for row in digits]
    lines[-1] += "   passed wrong skipped"
    for row in reached:
        marks = "".join(f" {MARKS[state]}" for state in row["states"][start:end])
        totals = f"{row['passed']:>9} {row['wrong']:>5} {row['skipped']:>7}"
        lines.append(f"{row['notebook']}  {row['exercise']:{width - 4}}{marks}{totals}")
    return lines


def _mistakes(exercises: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [row for row in exercises if row["made_mistakes"] >= _SEVERAL]
    lines = ["", "Most frequent mistake in each exercise that several learners got wrong:"] if rows else []
    for row in sorted(rows, key=lambda row: -row["made_mistakes"]):
        worst = row["commonest_mistake"]
        lines.append(f"  {row['notebook']} {row['exercise']}: {row['made_mistakes']} learners made a mistake,")
        same = f"{worst['learners']} of them this one: {worst['message']}"
        lines.append(f"     {same if worst['learners'] > 1 else 'and no two of them made the same one'}")
    return lines


def _questions(questions: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [row for row in questions if row["wrong"] >= _SEVERAL and 2 * row["wrong"] > row["answered"]]
    lines = ["", "Quiz questions that most learners got wrong at their first answer:"] if rows else []
    for row in sorted(rows, key=lambda row: -row["wrong"] / row["answered"]):
        worst = row["commonest_wrong"]
        lines += [
            f"  {row['notebook']} question {row['question']}: {row['wrong']} of {row['answered']} wrong. {row['text']}",
            f"     {worst['learners']} of them chose {worst['letter']}: {worst['text']}",
        ]
    return lines
