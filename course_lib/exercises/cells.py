"""Notebook cells of the exercises and quizzes, made from the tested text.

A notebook has the cells of `of_notebook(number)`, in this order: `make format` writes them, and a test compares.
The stub and the solution use built-ins and `np`, so the notebook's first code cell has `import numpy as np`
and `from course_lib.exercises import check`.
"""

from __future__ import annotations

from typing import TypedDict

from course_lib.exercises import catalogue
from course_lib.exercises.texts import LETTERS, Question


class Cell(TypedDict):
    """One notebook cell: "markdown" or "code", its text, and its tags."""

    type: str
    source: str
    tags: list[str]


def markdown_block(name: str) -> str:
    """Heading, difficulty, minutes, why it matters, and the task."""
    text = catalogue.find(name).text
    dots = "\u25cf" * text.difficulty + "\u25cb" * (5 - text.difficulty)
    return "\n\n".join(
        [
            f"### Exercise {catalogue.number_of(name)}: {text.title}",
            f"Difficulty {dots} ({text.difficulty} of 5), about {text.minutes} minutes",
            text.task,
        ]
    )


def stub(name: str) -> str:
    """The code cell that the learner fills in: signature, docstring, `...`."""
    return catalogue.find(name).stub


def check_cell(name: str) -> str:
    """The code cell that checks. It leaves a working function under the name, whatever the verdict."""
    catalogue.find(name)
    return "\n".join(
        [
            "# Yours if it passes, else the course's, so that the notebook goes on:",
            f"{name} = check.{name}.or_reference({name})",
            f"check.{name}({name})",
        ]
    )


def _fold(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def markdown_hints(name: str) -> str:
    """Three hints and the solution, each folded."""
    exercise = catalogue.find(name)
    hints = [_fold(f"Hint {number}", text) for number, text in enumerate(exercise.text.hints, start=1)]
    return "\n\n".join([*hints, _fold("Solution", f"```python\n{exercise.solution}\n```")])


def blocks(name: str) -> list[Cell]:
    """The four cells of an exercise: task, stub, check, hints. Insert them in this order."""
    return [
        {"type": "markdown", "source": markdown_block(name), "tags": ["exercise-task"]},
        {"type": "code", "source": stub(name), "tags": ["exercise"]},
        {"type": "code", "source": check_cell(name), "tags": ["exercise-check"]},
        {"type": "markdown", "source": markdown_hints(name), "tags": ["exercise-hints"]},
    ]


def of_notebook(notebook: str) -> list[Cell]:
    """All cells of exercises and quiz that a notebook ("03") has, in order; none where it has no exercises."""
    cells = [cell for exercise in catalogue.of_notebook(notebook) for cell in blocks(exercise.name)]
    return [*cells, quiz(notebook)] if cells else []


def _question(number: int, question: Question) -> str:
    """The question, its options as a list, and below them a fold with the answer and all the reasons."""
    options = list(zip(LETTERS, question.options, strict=False))
    shown = [f"- **{letter})** {option.text}" for letter, option in options]
    reasons = [
        f"- **{letter})** {'Right' if option.right else 'Wrong'}: {option.because}" for letter, option in options
    ]
    answer = "\n".join([f"It is **{question.right}**.", "", *reasons])
    return "\n".join([f"**Question {number}.** {question.text}", "", *shown, "", _fold("Answer", answer)])


def quiz(notebook: str) -> Cell:
    """The quiz of a notebook ("03") as one Markdown cell, answers folded."""
    head = "## Quiz\n\nAnswer in your head first, then open the fold."
    questions = [_question(number, one) for number, one in enumerate(catalogue.quiz_of(notebook), start=1)]
    return {"type": "markdown", "source": "\n\n".join([head, *questions]), "tags": ["quiz"]}
