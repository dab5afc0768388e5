"""Copies of the notebooks for a class: for students without solutions, for the instructor with all of them."""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from course_lib.errors import BadInput
from course_lib.exercises import Exercise, catalogue
from course_lib.exercises.checking import passed
from course_lib.workshop.plan import exercises_of, markdown_table, sections

_SOLUTION = re.compile(r"\n*<details><summary>Solution</summary>.*?</details>", re.DOTALL)
_ROLES = ("exercise-task", "exercise", "exercise-check", "exercise-hints", "quiz")


def notebook_files(numbers: Sequence[str]) -> dict[str, Path]:
    """The notebooks of these numbers ("03"), or all of them, in their order.

    Raises:
        BadInput: there is no such notebook, or the course's folder has none.
    """
    from course_lib.set_up import ROOT

    found = {file.name[:2]: file for file in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))}
    if not found:
        raise BadInput(f"there are no notebooks in {ROOT / 'notebooks'}", "run this in a folder with the whole course")
    if unknown := [number for number in numbers if number not in found]:
        raise BadInput(f"there is no notebook {', '.join(map(repr, unknown))}", f"use numbers among {', '.join(found)}")
    return {number: file for number, file in found.items() if number in (numbers or found)}


def read(file: Path) -> NotebookNode:
    """A notebook in format 4."""
    notebook: NotebookNode = nbformat.read(file, as_version=4)
    return notebook


def student_copy(notebook: NotebookNode, number: str) -> NotebookNode:
    """The notebook without solutions, answers and outputs, with the metadata that nbgrader reads.

    Below each check there is a cell that gives the points, because a check never raises.
    """
    notebook, cells = copy.deepcopy(notebook), []
    for cell, role, exercise in _with_roles(notebook, number):
        cells.append(cell)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = _SOLUTION.sub("", cell.source)
        if exercise and role == "exercise":
            cell.metadata.nbgrader = _nbgrader(exercise.name, solution=True)
        if exercise and role == "exercise-check":
            cell.metadata.nbgrader = _nbgrader(f"{exercise.name}-check", locked=True)
            cells.append(_points(exercise))
    notebook.cells = cells
    return notebook


def instructor_copy(notebook: NotebookNode, number: str) -> NotebookNode:
    """The notebook with the solutions in the cells, the outputs of passed checks, and notes for the instructor."""
    notebook, cells = copy.deepcopy(notebook), []
    for cell, role, exercise in _with_roles(notebook, number):
        if role == "quiz" and cell.cell_type == "markdown":
            cells.append(_note("discussion", _discussion(number)))
        cells.append(cell)
        if len(cells) == 1:
            cells.append(_note("times", _times(notebook, number)))
        if exercise and role == "exercise":
            cell.source = exercise.solution
        elif exercise and role == "exercise-check":
            cell.outputs = [_verdict(exercise, cell.execution_count)]
        elif exercise and role == "exercise-hints":
            cells.append(_note(f"mistakes-{exercise.name}", _mistakes(exercise)))
    notebook.cells = cells
    return notebook


def write_copies(folder: Path, files: dict[str, Path]) -> None:
    """Writes `student/` and `instructor/`, each with the pictures and pages to which the notebooks link."""
    source = next(iter(files.values())).parent
    for name, make in (("student", student_copy), ("instructor", instructor_copy)):
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.ipynb", ".*"))
        for number, file in files.items():
            nbformat.write(make(read(file), number), folder / name / file.name)


def _with_roles(notebook: NotebookNode, number: str) -> Iterator[tuple[NotebookNode, str, Exercise | None]]:
    """Each cell, its role ("exercise-check", ""), and the exercise to which it belongs."""
    exercises, current = iter(exercises_of(number)), None
    for cell in notebook.cells:
        role = next((tag for tag in cell.metadata.get("tags", []) if tag in _ROLES), "")
        if role == "exercise-task":
            current = next(exercises)
        yield cell, role, current if role.startswith("exercise") else None


def _nbgrader(grade_id: str, **others: Any) -> NotebookNode:
    """Metadata of a cell in nbgrader's schema 3."""
    kinds = {"grade": False, "solution": False, "locked": False, "task": False}
    return NotebookNode({"schema_version": 3, "grade_id": grade_id, **kinds, **others})


def _points(exercise: Exercise) -> NotebookNode:
    """A cell whose value, a number of points, nbgrader reads as partial credit."""
    name, points = exercise.name, exercise.text.difficulty
    graded = _nbgrader(f"{name}-points", grade=True, locked=True, points=points)
    metadata = {"tags": ["exercise-points"], "nbgrader": graded}
    source = f"check.{name}.points({name})  # your points, of {points}"
    cell: NotebookNode = new_code_cell(source, id=f"points-{name}", metadata=metadata)
    return cell


def _verdict(exercise: Exercise, execution_count: int | None) -> NotebookNode:
    """The output of a check cell whose answer passes."""
    verdict = passed(exercise)
    data = {"text/html": verdict._repr_html_(), "text/plain": repr(verdict)}
    output: NotebookNode = new_output("execute_result", data, execution_count=execution_count)
    return output


def _note(name: str, text: str) -> NotebookNode:
    source, metadata = f"**For the instructor**\n\n{text}", {"tags": ["instructor"]}
    cell: NotebookNode = new_markdown_cell(source, id=f"instructor-{name}", metadata=metadata)
    return cell


def _times(notebook: NotebookNode, number: str) -> str:
    found = sections(notebook, number)
    rows = [[one.title, str(one.minutes), ", ".join(one.paths) or "self-study"] for one in found]
    rows.append(["**Together**", str(sum(one.minutes for one in found)), ""])
    said = "Time of each section, with its exercises. An open project counts with its text only."
    return f"{said}\n\n{markdown_table(['section', 'minutes', 'path'], rows)}"


def _mistakes(exercise: Exercise) -> str:
    found = "\n".join(f"- {mistake.message}" for mistake in exercise.text.mistakes)
    return f"<details><summary>Common mistakes, in the words of the check</summary>\n\n{found}\n\n</details>"


def _discussion(number: str) -> str:
    questions = [one for text in catalogue.texts_of(number) for one in text.discussion]
    shown = [f"{place}. {one.text}\n\n   > {one.listen_for}" for place, one in enumerate(questions, 1)]
    return "\n\n".join(["Questions without a single right answer, and what to listen for:", *shown])
