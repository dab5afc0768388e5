"""How long each section of a notebook takes, which sections are on a path, and the timetable of a workshop."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from nbformat import NotebookNode

from course_lib.exercises import Exercise, catalogue

WORDS_A_MINUTE = 180  # technical text, read with care
MINUTES_A_CELL = 1  # to run a code cell, read it and look at its result
PATHS = {"half a day": 1, "two days": 2}  # and the days that each may take
DAY, LUNCH_FROM, LUNCH, BREAK, BREAK_AFTER = 420, 180, 60, 15, 75  # minutes of work; after the start; ...

_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_PATH = re.compile(r"^\*Path: (.+)\*$", re.MULTILINE)
_FOLD = re.compile(r"<details>.*?</details>", re.DOTALL)


def exercises_of(number: str) -> list[Exercise]:
    """The exercises of a notebook ("03") and the stages of its build, in the order of its cells."""
    return [*catalogue.of_notebook(number), *catalogue.stages_of(number)]


@dataclass
class Section:
    """A section of a notebook: the minutes that its text and cells take, those of its exercises, and its paths."""

    notebook: str
    title: str
    paths: tuple[str, ...] = ()
    reading: float = 0.0
    exercises: int = 0

    @property
    def minutes(self) -> int:
        """All of it, in whole minutes."""
        return math.ceil(self.reading + self.exercises)


def sections(notebook: NotebookNode, number: str) -> list[Section]:
    """The sections of a notebook, the first with what is above the first heading.

    The task, the stub and the check of an exercise are part of the exercise's minutes, and folds are not counted.
    """
    found, exercises = [Section(number, "Title")], iter(exercises_of(number))
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "exercise-task" in tags:
            found[-1].exercises += next(exercises).text.minutes
        elif any(tag.startswith("exercise") for tag in tags):
            continue
        elif cell.cell_type == "code":
            found[-1].reading += MINUTES_A_CELL
        else:
            first, *others = _HEADING.split(_FOLD.sub("", cell.source))
            _read(found[-1], first)
            for title, text in zip(others[::2], others[1::2], strict=True):
                found.append(Section(number, title))
                _read(found[-1], text)
    return found


def _read(section: Section, text: str) -> None:
    """Adds a text to the section: its words, and its path where it names one."""
    section.reading += len(text.split()) / WORDS_A_MINUTE
    if path := _PATH.search(text):
        section.paths = tuple(path[1].split(", "))


@dataclass(frozen=True)
class Slot:
    """A line of a timetable: the day (1, 2 ...), minutes after its start, the length, and no section for a break."""

    day: int
    start: int
    minutes: int
    section: Section | None = None

    @property
    def clock(self) -> str:
        """The time at which it starts, for a day that starts at nine."""
        return f"{datetime(2000, 1, 1, 9) + timedelta(minutes=self.start):%H:%M}"


def timetable(chosen: Iterable[Section]) -> Iterator[Slot]:
    """The sections one after the other, with a break after about every 75 minutes of work, and an hour for lunch."""
    day, now, worked, since_break, had_lunch = 1, 0, 0, 0, False
    for section in chosen:
        if worked + section.minutes > DAY:
            day, now, worked, since_break, had_lunch = day + 1, 0, 0, 0, False
        lunch = not had_lunch and now >= LUNCH_FROM
        if lunch or since_break >= BREAK_AFTER:
            pause = LUNCH if lunch else BREAK
            yield Slot(day, now, pause)
            now, since_break, had_lunch = now + pause, 0, had_lunch or lunch
        yield Slot(day, now, section.minutes, section)
        now, worked, since_break = now + section.minutes, worked + section.minutes, since_break + section.minutes


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a bar in a text is escaped."""
    lines = [[text.replace("|", "\\|") for text in row] for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
