"""How far a learner is: the events of `progress` by notebook and exercise, and where to continue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from course_lib.exercises import catalogue
from course_lib.exercises.progress import Event
from course_lib.set_up import ROOT


@dataclass(frozen=True)
class ExerciseProgress:
    """How far a learner is with one exercise or stage.

    Args:
        state: "passed" or "wrong" (once), "skipped" (only checked as a stub), or "not reached".
        mistakes: the different ones, in the order in which they were made.
        seconds_to_pass: from the first check of an answer to the first that passed; None where none has.
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
        questions: how many the quiz has.
        first_letters: number of a question -> the first answer to it.
        right_at_first: how many of the first answers are right.
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


def progress_in(notebook: str, events: Iterable[Event]) -> NotebookProgress:
    """How far a learner with these events is with a notebook."""
    own = [event for event in events if event.notebook == notebook]
    names = [one.name for one in (*catalogue.of_notebook(notebook), *catalogue.stages_of(notebook))]
    answers = {event.question: event for event in reversed(own) if event.question}  # the first one of each remains
    return NotebookProgress(
        notebook=notebook,
        exercises=tuple(_exercise(name, [event for event in own if event.exercise == name]) for name in names),
        questions=len(catalogue.questions_of(notebook)),
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
    return ExerciseProgress(name, state, tuple(dict.fromkeys(t.mistake for t in tries if t.mistake)), seconds)


def where_to_continue(events: Sequence[Event]) -> tuple[str, str] | None:
    """(notebook, exercise): the first that is not passed in the notebook of the newest event, else in those after it.

    After the last notebook comes the first. None where every exercise is passed.
    """
    numbers = list(catalogue.NOTEBOOKS)
    start = numbers.index(events[-1].notebook) if events else 0
    for notebook in numbers[start:] + numbers[:start]:
        for exercise in progress_in(notebook, events).exercises:
            if exercise.state != "passed":
                return notebook, exercise.name
    return None


def file_of(notebook: str) -> str:
    """The file of a notebook ("03"): "03_finetuning_bert.ipynb"; the number alone where there is none."""
    return next((file.name for file in (ROOT / "notebooks").glob(f"{notebook}_*.ipynb")), notebook)


def local_time(time: str) -> str:
    """A time of an event as the clock on the wall shows it; "" where there is none."""
    return f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M}" if time else ""
