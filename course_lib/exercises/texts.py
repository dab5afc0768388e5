"""Reads the Markdown files in `topics/`: all that a learner reads about an exercise or a quiz, except code.

    ## attention: one head of attention (difficulty 3 of 5, about 10 minutes)

    **Why it matters.** ...                 everything before the hints is shown to all learners

    ### Hints

    1. Three hints, each telling more than the one before.

    ### Mistakes

    - You divide by the width. Divide by its root.
      - `np.sqrt(query.shape[1])` → `query.shape[1]`
    - You take the value of the best key alone.
      - `_best_key_alone`

    ## Quiz                                 the last section, in files that have one

    **Question 1.** Which option is right?

    - [ ] An option
      - and why it is wrong.
    - [x] The right option
      - and why it is right.

A mistake is the first words of a verdict, and below it the edits of the solution that make it, each of a text that
occurs there exactly once. Where no edit does, it names a function of the topic's module. A paragraph is one line,
as in the notebooks.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from course_lib.errors import BadInput

TOPICS = Path(__file__).parent / "topics"
LETTERS = "abcdef"
_HEADING = re.compile(
    r"## (?P<name>\w+): (?P<title>.+) \(difficulty (?P<difficulty>[1-5]) of 5, about (?P<minutes>\d+) minutes\)"
)
_EDIT = re.compile(r"`(?P<old>[^`]+)` → `(?P<new>[^`]+)`")
_ITEM = re.compile(r"^(?:- |\d\. )", re.MULTILINE)


@dataclass(frozen=True)
class Mistake:
    """A mistake that learners make.

    Args:
        message: one or two sentences on it; the first words of the verdict.
        edits: parts of the solution, and what a learner with this mistake writes instead.
        function: where no edit makes the mistake, the name of a function that does.
    """

    message: str
    edits: tuple[tuple[str, str], ...] = ()
    function: str = ""


@dataclass(frozen=True)
class ExerciseText:
    """What a learner reads about one exercise, except its code.

    Args:
        title: the heading, without a full stop.
        difficulty: 1 (a warm-up) to 5 (needs an idea).
        minutes: what a learner who has read the notebook so far needs.
        task: why it matters, and what to write; Markdown.
        hints: three, each telling more than the one before; Markdown.
        mistakes: at least three; a result that agrees with one of them on all cases gets its message.
    """

    title: str
    difficulty: int
    minutes: int
    task: str
    hints: tuple[str, ...]
    mistakes: tuple[Mistake, ...]


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


def _items(text: str) -> list[list[str]]:
    """The items of a list, each with the items below it."""
    return [item.strip().split("\n  - ") for item in _ITEM.split(text)[1:]]


def _mistake(message: str, *lines: str) -> Mistake:
    edits = [_EDIT.fullmatch(line) for line in lines]
    if len(lines) == 1 and edits == [None]:
        return Mistake(message, function=lines[0].strip("`"))
    if not lines or None in edits:
        raise BadInput(f'the mistake "{message}" has {lines}', "write each edit as `old` → `new`, or name one function")
    return Mistake(message, tuple((edit["old"], edit["new"]) for edit in edits if edit))


def _exercise(section: str) -> tuple[str, ExerciseText]:
    heading, _, text = section.partition("\n")
    parts = re.split(r"^### (?:Hints|Mistakes)$", text, flags=re.MULTILINE)
    found = _HEADING.fullmatch(heading)
    if found is None or len(parts) != 3:
        raise BadInput(
            f"the section {heading!r} has {len(parts)} parts",
            'write "## name: title (difficulty 3 of 5, about 10 minutes)", the task, "### Hints" and "### Mistakes"',
        )
    return found["name"], ExerciseText(
        title=found["title"],
        difficulty=int(found["difficulty"]),
        minutes=int(found["minutes"]),
        task=parts[0].strip(),
        hints=tuple(hint for (hint,) in _items(parts[1])),
        mistakes=tuple(_mistake(*item) for item in _items(parts[2])),
    )


def _question(text: str) -> Question:
    question, _, items = text.partition("\n\n")
    options = [Option(option[4:], because, option.startswith("[x] ")) for option, because in _items(items)]
    if sum(option.right for option in options) != 1:
        raise BadInput(f'the question "{question}" does not have one right option', "mark one with [x]")
    return Question(question, tuple(options))


@functools.cache
def _file(topic: str) -> tuple[dict[str, ExerciseText], tuple[Question, ...]]:
    file = TOPICS / f"{topic}.md"
    exercises, _, quiz = file.read_text(encoding="utf-8").partition("\n## Quiz\n")
    try:
        return (
            dict(_exercise(section) for section in re.split(r"^(?=## )", exercises, flags=re.MULTILINE)[1:]),
            tuple(_question(text) for text in re.split(r"^\*\*Question \d+\.\*\* ", quiz, flags=re.MULTILINE)[1:]),
        )
    except ValueError as error:
        raise BadInput(f"{file.name} does not have the form of a topic: {error}", f"see {__name__}") from error


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
