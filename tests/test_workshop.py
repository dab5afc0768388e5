"""Copies for a class: students see no solution, instructors see what a check prints, and the paths fit their time."""

from __future__ import annotations

import builtins
import re
import symtable
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from notebook_cells import exercise_cells

from course_lib import commands
from course_lib.errors import BadInput
from course_lib.exercises import catalogue, check, checking, reference, texts
from course_lib.workshop import plan
from course_lib.workshop.copies import instructor_copy, notebook_files, read, student_copy
from course_lib.workshop.plan import PATHS, Section, exercises_of, guide, on_path, sections, timetable

FILES = notebook_files([])


def strings(value: Any) -> Iterator[str]:
    """Every string in JSON data, keys too."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for part in value:
            yield from strings(part)
    elif isinstance(value, str):
        yield value


def tagged(notebook: NotebookNode, tag: str) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


@pytest.mark.parametrize("number", FILES)
def test_students_get_no_solution(number: str) -> None:
    """No solution as a whole, and none of its longer lines but those that the task, a hint or the lesson shows."""
    original = read(FILES[number])
    shown = [cell.source for cell in original.cells if cell not in exercise_cells(original)]
    shown += [hint for exercise in exercises_of(number) for hint in exercise.text.hints]
    everything = "\n".join(strings(student_copy(original, number)))
    squeezed = re.sub(r"\s+", " ", everything)
    for exercise in exercises_of(number):
        assert re.sub(r"\s+", " ", exercise.solution) not in squeezed
        known = "\n".join([exercise.stub, exercise.text.task, *shown])
        lines = [line.strip() for line in exercise.solution.splitlines()]
        assert [line for line in lines if len(line) > 25 and line in everything and line not in known] == []


@pytest.mark.parametrize("number", FILES)
def test_students_get_everything_else(number: str) -> None:
    original = read(FILES[number])
    student = student_copy(original, number)
    nbformat.validate(student)
    assert all(
        cell.outputs == [] and cell.execution_count is None for cell in student.cells if cell.cell_type == "code"
    )
    kept = [cell for cell in student.cells if "exercise-points" not in cell.metadata.get("tags", [])]
    for cell, before in zip(kept, original.cells, strict=True):
        assert cell.metadata.get("tags") == before.metadata.get("tags")
        if "exercise-hints" in cell.metadata.get("tags", []):
            assert cell.source == before.source.partition("\n\n<details><summary>Solution")[0]
            assert cell.source.count("<summary>Hint") == 3
        else:
            assert cell.source == before.source
    assert original == read(FILES[number]), "the copy changes nothing in what it was given"


@pytest.mark.parametrize("number", FILES)
def test_nbgrader_reads_the_metadata(number: str) -> None:
    """The rules of its schema 3: required keys, unique ids, points on graded cells, and one kind for each cell."""
    marked = [cell for cell in student_copy(read(FILES[number]), number).cells if "nbgrader" in cell.metadata]
    ids = [cell.metadata.nbgrader.grade_id for cell in marked]
    assert len(set(ids)) == len(ids) == 3 * len(exercises_of(number))
    for cell in marked:
        data = cell.metadata.nbgrader
        assert data.schema_version == 3 and re.fullmatch(r"[\w-]+", data.grade_id) and data.task is False
        role = cell.metadata.tags[0]
        assert data.solution is (role == "exercise") and data.locked is (role != "exercise")
        assert data.grade is (role == "exercise-points") is ("points" in data)
    points = [cell.metadata.nbgrader.points for cell in marked if cell.metadata.nbgrader.grade]
    assert points == [exercise.text.difficulty for exercise in exercises_of(number)]


def test_points_are_those_of_the_answer_and_not_of_its_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "record_check", None)  # points are no attempt: calling it would fail

    def wrong(predictions: Any, labels: Any) -> float:
        return 100 * reference.accuracy(predictions, labels)

    scope = {"check": check, "accuracy": wrong}
    student = student_copy(read(FILES["00"]), "00")
    (cell,) = [cell for cell in tagged(student, "exercise-points") if ".accuracy." in cell.source]
    for answer, points in ((wrong, 0), (..., 0), (reference.accuracy, 1)):
        scope["accuracy"] = check.accuracy.or_reference(answer)
        assert repr(eval(cell.source, scope)) == str(points), "nbgrader reads the text of the output as a number"


@pytest.mark.parametrize("number", ["00", "03"])
def test_instructors_see_what_a_real_check_prints(number: str) -> None:
    """For the exercises; the stages of builds train models."""
    instructor = instructor_copy(read(FILES[number]), number)
    stubs, checks = tagged(instructor, "exercise"), tagged(instructor, "exercise-check")
    assert [cell.source for cell in stubs] == [exercise.solution for exercise in exercises_of(number)]
    for exercise, cell in zip(catalogue.of_notebook(number), checks, strict=False):
        verdict = getattr(check, exercise.name)(exercise.reference)
        (output,) = cell.outputs
        assert verdict.status == "passed"
        assert output.data == {"text/plain": repr(verdict), "text/html": verdict._repr_html_()}
        assert output.execution_count == cell.execution_count


@pytest.mark.parametrize("number", FILES)
def test_instructors_get_notes_and_all_other_outputs(number: str) -> None:
    original = read(FILES[number])
    instructor = instructor_copy(original, number)
    nbformat.validate(instructor)
    kept = [cell for cell in instructor.cells if cell not in tagged(instructor, "instructor")]
    for cell, before in zip(kept, original.cells, strict=True):
        if not {"exercise", "exercise-check"} & set(cell.metadata.get("tags", [])):
            assert cell == before
    notes = "\n".join(cell.source for cell in tagged(instructor, "instructor"))
    for exercise in exercises_of(number):
        assert all(mistake.message in notes for mistake in exercise.text.mistakes)
    questions = [question for text in catalogue.texts_of(number) for question in text.discussion]
    assert 2 <= len(questions) <= 3
    for question in questions:
        assert question.text.endswith("?") and question.text in notes
        assert len(question.listen_for) > 80 and question.listen_for in notes
    assert all(one.title in notes for one in sections(original, number))


def referenced(table: symtable.SymbolTable) -> set[str]:
    """The global names that a function or a class uses."""
    own = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global() and symbol.is_referenced()}
    return own.union(*map(referenced, table.get_children()))


@pytest.mark.parametrize("number", FILES)
def test_a_solution_uses_only_names_that_the_cells_above_define(number: str) -> None:
    known = {*dir(builtins), "__name__"}
    for cell in (cell for cell in instructor_copy(read(FILES[number]), number).cells if cell.cell_type == "code"):
        table = symtable.symtable(re.sub(r"\bawait ", "", cell.source), "cell", "exec")
        known |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
        if "exercise" in cell.metadata.get("tags", []):
            assert set().union(*map(referenced, table.get_children())) <= known


def test_a_question_without_what_to_listen_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "basics.md").write_text("# Basics\n\n## Discussion\n\n- Why?\n\n## Quiz\n")
    monkeypatch.setattr(texts, "TOPICS", tmp_path)
    with pytest.raises(BadInput, match=r'question "Why\?" has 0 items'):
        texts.topic_text.__wrapped__("basics")


# ---------------------------------------------------------------- times and paths


def all_sections() -> list[Section]:
    return [one for number, file in FILES.items() for one in sections(read(file), number)]


def test_minutes_of_a_section() -> None:
    words = "word " * plan.WORDS_A_MINUTE
    fold = f"<details><summary>More</summary>\n\n{words}</details>"
    cells = [new_markdown_cell(f"## One\n\n*Path: two days*\n\n{words}{words}{fold}"), new_code_cell("1 + 1")]
    cells.append(new_markdown_cell("Text of the first section.\n\n## Two\n\nAnd of the second."))
    cells += [new_markdown_cell("Task", metadata={"tags": ["exercise-task"]})]
    cells += [new_code_cell("stub", metadata={"tags": ["exercise"]})]
    _, one, two = sections(new_notebook(cells=cells), "00")
    assert (one.title, one.paths, one.minutes) == ("One", ("two days",), 2 + plan.MINUTES_A_CELL + 1)
    assert (two.paths, two.exercises) == ((), exercises_of("00")[0].text.minutes)


@pytest.mark.parametrize("number", FILES)
def test_path_lines_are_below_headings(number: str) -> None:
    text = "\n".join(cell.source for cell in read(FILES[number]).cells if cell.cell_type == "markdown")
    lines = re.findall(r"^\*Path: .*$", text, re.MULTILINE)
    assert set(lines) <= {"*Path: half a day, two days*", "*Path: two days*"}
    effort = r"(?:Difficulty .*\n\n)?"
    assert len(lines) == len(re.findall(rf"^## .+\n\n{effort}\*Path: .*\*\n\n", text, re.MULTILINE))


def test_each_path_fits_its_time() -> None:
    """Reading, cells, exercises, discussions and breaks, without lunch."""
    half, two = (timetable(on_path(all_sections(), path)) for path in PATHS)
    assert half[-1].day == 1 and half[-1].start + half[-1].minutes <= 240
    assert two[-1].day == 2
    for day in (1, 2):
        slots = [slot for slot in two if slot.day == day]
        assert sum(slot.minutes for slot in slots) - plan.LUNCH <= 7 * 60
        assert [slot.minutes for slot in slots if slot.section is None].count(plan.LUNCH) == 1
    assert {slot.section.notebook for slot in half if slot.section} >= {"00", "03", "05", "08", "10"}
    for before, after in [*pairwise(half), *pairwise(two)]:
        assert after.start == (before.start + before.minutes if after.day == before.day else 0)
    for slots in (half, two):
        pauses = [slot for slot in slots if slot.section is None or slot.start == 0]
        gaps = [after.start - before.start for before, after in pairwise(pauses) if after.day == before.day]
        assert min(gaps) >= 60 and max(gaps) <= 200, "no break shortly before lunch, and no half day without one"


# ---------------------------------------------------------------- the command


def test_command_writes_copies_and_guide(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "class"
    for numbers in (["05"], ["00", "05"]):  # the second time over the first
        assert commands.main(["workshop", "--out", str(out), "--notebooks", *numbers]) == 0
    assert sorted(file.name for file in out.iterdir()) == ["guide.md", "instructor", "slides", "student"]
    assert sorted(file.name for file in (out / "slides").iterdir()) == ["00.html", "05.html", "reveal"]
    for kind in ("student", "instructor"):
        assert sorted(file.name[:2] for file in (out / kind).glob("*.ipynb")) == ["00", "05"]
        assert (out / kind / "images" / "watch_prediction.png").is_file()
    assert tagged(read(out / "student" / FILES["05"].name), "exercise-points")
    assert tagged(read(out / "instructor" / FILES["05"].name), "instructor")
    text = (out / "guide.md").read_text(encoding="utf-8")
    assert "| 09:00 | 00 | Set-up | 2 |" in text and "## Two days" in text
    assert guide(sections(read(FILES["02"]), "02")).count("None of these notebooks is on this path.") == len(PATHS)
    assert [file.name for file in tmp_path.iterdir()] == ["class"]


def test_command_refuses_what_it_did_not_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "class"
    assert commands.main(["workshop", "--out", str(out), "--notebooks", "00"]) == 0
    (out / "submitted").mkdir()
    assert commands.main(["workshop", "--out", str(out), "--notebooks", "00"]) == 1
    assert commands.main(["workshop", "--out", str(FILES["00"].parent)]) == 1
    assert commands.main(["workshop", "--out", str(out), "--notebooks", "18"]) == 1
    said = capsys.readouterr().err
    assert "exists and is not" in said and "inside the course's own folder" in said and "no notebook '18'" in said
    assert (out / "submitted").is_dir()
