"""Notebook cells of the exercises and quizzes, made from the tested text.

A notebook has the cells of `of_notebook(number)`, in this order: `make format` writes them, and a test compares.
The stubs and solutions use built-ins and `np` (those of a build also `math`, `torch`, `nn` and `F`), so the notebook's
first code cell imports these and has `from course_lib.exercises import check`.
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
    kind, number, of = catalogue.place_of(name)
    place = f"Stage {number} of {of}" if kind == "Stage" else f"Exercise {number}"
    return "\n\n".join([f"### {place}: {text.title}", _effort(text.difficulty, text.minutes), text.task])


def _effort(difficulty: int, minutes: int) -> str:
    dots = "\u25cf" * difficulty + "\u25cb" * (5 - difficulty)
    return f"Difficulty {dots} ({difficulty} of 5), about {minutes} minutes"


def stub(name: str) -> str:
    """The code cell that the learner fills in: signature, docstring, `...`."""
    return catalogue.find(name).stub


def check_cell(name: str) -> str:
    """The code cell that checks. It leaves a working function under the name, whatever the verdict."""
    catalogue.find(name)
    return "\n".join(
        [
            "# Your version if it passes, otherwise the course's, so that the notebook can continue:",
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
        _markdown("exercise-task", markdown_block(name)),
        {"type": "code", "source": stub(name), "tags": ["exercise"]},
        {"type": "code", "source": check_cell(name), "tags": ["exercise-check"]},
        _markdown("exercise-hints", markdown_hints(name)),
    ]


def of_notebook(notebook: str) -> list[Cell]:
    """All generated cells of a notebook ("03"): exercises, build, project, quiz; none without exercises."""
    cells = [cell for exercise in catalogue.of_notebook(notebook) for cell in blocks(exercise.name)]
    if not cells:
        return []
    stages = [cell for stage in catalogue.stages_of(notebook) for cell in blocks(stage.name)]
    return [*cells, *_builds(notebook), *stages, *_projects(notebook), *_quiz(notebook)]


def _builds(notebook: str) -> list[Cell]:
    return [
        _markdown("build", f"## Build: {build.title}", _effort(build.difficulty, build.minutes), build.text)
        for text in catalogue.texts_of(notebook)
        if (build := text.build)
    ]


def _projects(notebook: str) -> list[Cell]:
    return [
        _markdown("project", f"## Open project: {project.title}", f"About {project.time}", project.text)
        for text in catalogue.texts_of(notebook)
        if (project := text.project)
    ]


def _markdown(tag: str, *paragraphs: str) -> Cell:
    return {"type": "markdown", "source": "\n\n".join(paragraphs), "tags": [tag]}


def _question(number: int, question: Question) -> str:
    """The question, its options as a list, and below them a fold with the answer and all the reasons."""
    options = list(zip(LETTERS, question.options, strict=False))
    shown = [f"- **{letter})** {option.text}" for letter, option in options]
    reasons = [
        f"- **{letter})** {'Right' if option.right else 'Wrong'}: {option.because}" for letter, option in options
    ]
    answer = "\n".join([f"**{question.right}** is right.", "", *reasons])
    return "\n".join([f"**Question {number}.** {question.text}", "", *shown, "", _fold("Answer", answer)])


def quiz_text(notebook: str) -> str:
    """The quiz of a notebook ("03") in Markdown, answers folded: what is read where no kernel runs."""
    shown = [_question(number, one) for number, one in enumerate(catalogue.questions_of(notebook), start=1)]
    return "\n\n".join(["Choose an answer before you open the fold.", *shown])


def _quiz(notebook: str) -> list[Cell]:
    """A heading, and the code cell whose output is the quiz."""
    source = f'from course_lib.widgets import quiz\n\nquiz("{notebook}")'
    how = "Run the cell and choose an answer to each question. Each answer tells you why it is right or wrong."
    return [_markdown("quiz", "## Quiz", how), {"type": "code", "source": source, "tags": ["quiz"]}]
