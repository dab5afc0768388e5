"""Notebook cells of the exercises and quizzes, made from the tested text.

A notebook holds each block as `blocks(name)` gives it, cell for cell; tests/test_exercises.py compares.
The stub and the solution use built-ins and `np`, so the notebook's first code cell has `import numpy as np`
and `from course_lib.exercises import check`.
"""

from __future__ import annotations

from typing import TypedDict

from course_lib.exercises import catalogue
from course_lib.exercises.quiz import quiz_markdown


class Cell(TypedDict):
    """One notebook cell: "markdown" or "code", its text, and its tags."""

    type: str
    source: str
    tags: list[str]


def markdown_block(name: str) -> str:
    """Heading, difficulty, minutes, why it matters, and the task."""
    exercise = catalogue.find(name)
    number = catalogue.of_notebook(exercise.notebook).index(exercise) + 1
    dots = "\u25cf" * exercise.difficulty + "\u25cb" * (5 - exercise.difficulty)
    return "\n\n".join(
        [
            f"### Exercise {number}: {exercise.title}",
            f"Difficulty {dots} ({exercise.difficulty} of 5), about {exercise.minutes} minutes",
            f"**Why it matters.** {exercise.why}",
            f"**Your task.** {exercise.task}",
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
    hints = [_fold(f"Hint {number}", text) for number, text in enumerate(exercise.hints, start=1)]
    return "\n\n".join([*hints, _fold("Solution", f"```python\n{exercise.solution}\n```")])


def blocks(name: str) -> list[Cell]:
    """The four cells of an exercise: task, stub, check, hints. Insert them in this order."""
    return [
        {"type": "markdown", "source": markdown_block(name), "tags": ["exercise-task"]},
        {"type": "code", "source": stub(name), "tags": ["exercise"]},
        {"type": "code", "source": check_cell(name), "tags": ["exercise-check"]},
        {"type": "markdown", "source": markdown_hints(name), "tags": ["exercise-hints"]},
    ]


def quiz(notebook: str) -> Cell:
    """The quiz of a notebook ("03") as one Markdown cell, answers folded."""
    return {"type": "markdown", "source": quiz_markdown(catalogue.quiz_of(notebook)), "tags": ["quiz"]}
