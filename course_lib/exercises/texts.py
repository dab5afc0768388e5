"""Reads the Markdown files in `topics/`: title, task and hints of every exercise, and the questions of every quiz.

    ## attention: one head of attention     the name of the function, and the title

    Difficulty 3 of 5, about 10 minutes

    **Why it matters.** ...                 everything before the hints is shown to all learners

    ### Hints

    1. Three hints, each telling more than the one before.

    ## Quiz                                 the last section, in one file or another

    ### Question 1

    The question.

    - [ ] An option
      - and why it is wrong.
    - [x] The right option
      - and why it is right.

Lines of one paragraph are joined, so that the notebook holds each paragraph as one line.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import BadInput

TOPICS = Path(__file__).parent / "topics"
LETTERS = "abcdef"
_TITLE = re.compile(r"## (?P<name>\w+): (?P<title>.+)")
_EFFORT = re.compile(r"Difficulty (?P<difficulty>[1-5]) of 5, about (?P<minutes>\d+) minutes")
_LIST_ITEM = re.compile(r"\s*(- |\d+\. )")


@dataclass(frozen=True)
class ExerciseText:
    """What a learner reads about one exercise, except its code.

    Args:
        title: the heading, without a full stop.
        difficulty: 1 (a warm-up) to 5 (needs an idea).
        minutes: what a learner who has read the notebook so far needs.
        task: why it matters, and what to write; Markdown.
        hints: three, each telling more than the one before; Markdown.
    """

    title: str
    difficulty: int
    minutes: int
    task: str
    hints: tuple[str, ...]


@dataclass(frozen=True)
class Option:
    """One option of a question: its text, and why it is right or wrong."""

    text: str
    because: str
    right: bool


@dataclass(frozen=True)
class Question:
    """A multiple-choice question with one right option."""

    text: str
    options: tuple[Option, ...]

    @property
    def right(self) -> str:
        """The letter of the right option."""
        return next(letter for letter, option in zip(LETTERS, self.options, strict=False) if option.right)


def _unwrapped(text: str) -> str:
    """The text with each paragraph and each item of a list on one line."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        if lines and lines[-1] and line.strip() and not _LIST_ITEM.match(line):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    return "\n".join(lines)


def _sections(text: str, mark: str) -> list[str]:
    """What comes before the first heading with this mark, then each heading with its text."""
    return re.split(rf"^(?={mark} )", text, flags=re.MULTILINE)


def _exercise(section: str, file: Path) -> tuple[str, ExerciseText]:
    head, _, hints = section.partition("\n### Hints\n")
    heading, effort, task = [*head.split("\n\n", 2), "", ""][:3]
    named, rated = _TITLE.fullmatch(heading.strip()), _EFFORT.fullmatch(effort.strip())
    if named is None or rated is None:
        raise BadInput(
            f"{file.name} has a section that begins with {heading!r} and {effort!r}",
            'begin it with "## name: title", an empty line, and "Difficulty 3 of 5, about 10 minutes"',
        )
    return named["name"], ExerciseText(
        title=named["title"],
        difficulty=int(rated["difficulty"]),
        minutes=int(rated["minutes"]),
        task=_unwrapped(task),
        hints=tuple(re.split(r"(?:^|\n)\d\. ", _unwrapped(hints))[1:]),
    )


def _question(section: str, file: Path) -> Question:
    text, *items = re.split(r"^- ", _unwrapped(section.partition("\n")[2]), flags=re.MULTILINE)
    options = []
    for item in items:
        option, _, because = item.strip().partition("\n  - ")
        options.append(Option(option[4:], because, right=option.startswith("[x] ")))
    if sum(option.right for option in options) != 1:
        raise BadInput(f'{file.name} has a question without one right option: "{text.strip()}"', "mark one with [x]")
    return Question(text.strip(), tuple(options))


@functools.cache
def _file(topic: str) -> tuple[dict[str, ExerciseText], tuple[Question, ...]]:
    file = TOPICS / f"{topic}.md"
    _, *sections = _sections(file.read_text(encoding="utf-8"), "##")
    quiz = [section for section in sections if section.startswith("## Quiz\n")]
    exercises = dict(_exercise(section, file) for section in sections if section not in quiz)
    return exercises, tuple(_question(part, file) for section in quiz for part in _sections(section, "###")[1:])


def exercise_texts(topic: str) -> dict[str, ExerciseText]:
    """Texts of the exercises of one topic, by the exercise's name, in the order of the file.

    Raises:
        BadInput: a section does not have the form above.
    """
    return _file(topic)[0]


def questions(topic: str) -> tuple[Question, ...]:
    """The quiz of one topic; empty where the file has none.

    Raises:
        BadInput: a question has no right option, or more than one.
    """
    return _file(topic)[1]
