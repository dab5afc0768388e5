"""How long each section of a notebook takes, which sections are on a path, and the guide for the instructor.

A line `*Path: half a day, two days*` below the heading of a section puts it on these paths.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from course_lib.exercises import Exercise, catalogue

WORDS_A_MINUTE = 180  # technical text, read with care
MINUTES_A_CELL = 1  # to run a code cell, read it and look at its result
DISCUSSION = 5  # minutes at the end of each notebook
PATHS = ("half a day", "two days")
DAY, LUNCH, BREAK = 420, 60, 15  # minutes; the day without lunch

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


def on_path(found: Iterable[Section], path: str) -> list[Section]:
    """The sections on a path, with a discussion at the end of each notebook."""
    chosen = [section for section in found if path in section.paths]
    numbers = dict.fromkeys(section.notebook for section in chosen)
    talks = [Section(number, "Discussion", (path,), DISCUSSION) for number in numbers]
    return sorted([*chosen, *talks], key=lambda section: section.notebook)  # stable: a discussion stays at the end


@dataclass(frozen=True)
class Slot:
    """A line of a timetable: its day (1, 2 ...), its start in minutes after nine, its length, and what it is."""

    day: int
    start: int
    minutes: int
    section: Section | None  # None is a break, or lunch

    @property
    def clock(self) -> str:
        """The time at which it starts."""
        return f"{9 + self.start // 60:02}:{self.start % 60:02}"


def timetable(chosen: Sequence[Section]) -> list[Slot]:
    """The sections one after the other, with breaks, lunch, and a new day where a day is full.

    A break comes after an hour and lunch after two and a half where a notebook begins, and within a notebook half an
    hour later. No break comes in that half hour before lunch. An afternoon of less than an hour is no reason for lunch.
    """
    slots: list[Slot] = []
    day, now, since_break, lunch, last = 1, 0, 0, 0, ""
    for place, section in enumerate(chosen):
        patience = 0 if section.notebook != last else 30
        lunch_due = not lunch and now >= 150 and sum(one.minutes for one in chosen[place:]) > LUNCH
        pause = BREAK if since_break >= 60 + patience and not lunch_due else 0
        if lunch_due and now >= 150 + patience:
            pause = LUNCH
        if now - lunch + section.minutes + (0 if pause == LUNCH else pause) > DAY:
            day, now, since_break, lunch, pause = day + 1, 0, 0, 0, 0
        if pause:
            slots.append(Slot(day, now, pause, None))
            now, since_break, lunch = now + pause, 0, LUNCH if pause == LUNCH else lunch
        slots.append(Slot(day, now, section.minutes, section))
        now, since_break, last = now + section.minutes, since_break + section.minutes, section.notebook
    return slots


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a bar in a text is escaped."""
    lines = [[text.replace("|", "\\|") for text in row] for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def guide(found: Sequence[Section]) -> str:
    """What an instructor needs to know, in Markdown: the timetables, the day before, and how to collect results."""
    plans = [_plan(path, timetable(on_path(found, path))) for path in PATHS]
    text = Path(__file__).with_name("guide.md").read_text(encoding="utf-8")
    return text.format(words=WORDS_A_MINUTE, cell=MINUTES_A_CELL, talk=DISCUSSION, plans="\n\n".join(plans))


def _plan(path: str, slots: Sequence[Slot]) -> str:
    if not slots:
        return f"## {path.capitalize()}\n\nNone of these notebooks is on this path."
    work = sum(slot.minutes for slot in slots if slot.section)
    parts = [f"## {path.capitalize()}: {work // 60} h {work % 60:02} min of work"]
    for day in range(1, slots[-1].day + 1):
        of_day = [slot for slot in slots if slot.day == day]
        rows = [[slot.clock, *_what(slot), str(slot.minutes)] for slot in of_day]
        end = of_day[-1].start + of_day[-1].minutes
        rows.append([Slot(day, end, 0, None).clock, "", "End", ""])
        title = [f"### Day {day}"] if slots[-1].day > 1 else []
        parts += [*title, markdown_table(["time", "notebook", "section", "minutes"], rows)]
    return "\n\n".join(parts)


def _what(slot: Slot) -> tuple[str, str]:
    if slot.section is None:
        return "", "*Lunch*" if slot.minutes == LUNCH else "*Break*"
    return slot.section.notebook, slot.section.title
