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

    ## Build: a BERT of your own (difficulty 5 of 5, about 75 minutes)

    What is built in the stages, which are the sections that follow, of the form above.

    ## Project: your own reviews (about 2 hours)

    The open project, with its rubric and examples of outcomes.

    ## Discussion

    - A question for a class that has no single right answer.
      - What the instructor listens for.

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
_BUILD = re.compile(
    r"## Build: (?P<title>.+) \(difficulty (?P<difficulty>[1-5]) of 5, about (?P<minutes>\d+) minutes\)"
)
_PROJECT = re.compile(r"## Project: (?P<title>.+) \(about (?P<time>[\w ]+)\)")
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
class BuildText:
    """What a learner reads before the stages of a build."""

    title: str
    difficulty: int
    minutes: int
    text: str


@dataclass(frozen=True)
class ProjectText:
    """The open project of a topic: `time` in words ("2 hours"), and the task with its rubric; Markdown."""

    title: str
    time: str
    text: str


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


@dataclass(frozen=True)
class DiscussionQuestion:
    """A question for a class without a single right answer, and what the instructor listens for."""

    text: str
    listen_for: str


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


def _discussion(question: str, *lines: str) -> DiscussionQuestion:
    if len(lines) != 1:
        raise BadInput(f'the question "{question}" has {len(lines)} items', "write below it what to listen for")
    return DiscussionQuestion(question, lines[0])


@dataclass(frozen=True)
class TopicText:
    """All that one file of `topics/` holds; what it has no section for is None or empty."""

    exercises: dict[str, ExerciseText]
    build: BuildText | None
    project: ProjectText | None
    discussion: tuple[DiscussionQuestion, ...]
    questions: tuple[Question, ...]


def _build(section: str) -> BuildText:
    heading, _, text = section.partition("\n")
    if (found := _BUILD.fullmatch(heading)) is None:
        raise BadInput(f"the heading {heading!r}", 'write "## Build: title (difficulty 5 of 5, about 75 minutes)"')
    return BuildText(found["title"], int(found["difficulty"]), int(found["minutes"]), text.strip())


def _project(section: str) -> ProjectText:
    heading, _, text = section.partition("\n")
    if (found := _PROJECT.fullmatch(heading)) is None:
        raise BadInput(f"the heading {heading!r}", 'write "## Project: title (about 2 hours)"')
    return ProjectText(found["title"], found["time"], text.strip())


@functools.cache
def topic_text(topic: str) -> TopicText:
    """What learners read about one topic.

    Raises:
        BadInput: a section does not have the form above, or a question does not have one right option.
    """
    file = TOPICS / f"{topic}.md"
    text, _, quiz = file.read_text(encoding="utf-8").partition("\n## Quiz\n")
    text, _, discussion = text.partition("\n## Discussion\n")
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    builds = [section for section in sections if section.startswith("## Build: ")]
    projects = [section for section in sections if section.startswith("## Project: ")]
    questions = re.split(r"^\*\*Question \d+\.\*\* ", quiz, flags=re.MULTILINE)[1:]
    try:
        return TopicText(
            exercises=dict(_exercise(one) for one in sections if one not in builds + projects),
            build=_build(*builds) if builds else None,
            project=_project(*projects) if projects else None,
            discussion=tuple(_discussion(*item) for item in _items(discussion)),
            questions=tuple(map(_question, questions)),
        )
    except ValueError as error:
        raise BadInput(f"{file.name} does not have the form of a topic: {error}", f"see {__name__}") from error
