"""Slides: what is chosen from a notebook, what is cut, and that nothing of the prose is lost."""

from __future__ import annotations

import base64
import html
import io
import re
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_cells import find, read
from PIL import Image

from course_lib.exercises import catalogue
from course_lib.workshop import slides
from course_lib.workshop.fitting import COLUMNS, cut
from course_lib.workshop.slides import slides_of, write_slides

TITLE = "# 03 · Toy\n\n**A toy has one claim.** More.\n\nYou will be able to\n\n- see; \n- believe.\n\n**Time.** None."


def png() -> str:
    stream = io.BytesIO()
    Image.new("RGB", (8, 4)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def code(source: str, *lines: str, **data: str) -> NotebookNode:
    outputs = [new_output("stream", text="\n".join(lines))] if lines else []
    if data:
        kinds = {{"png": "image/png", "html": "text/html", "plain": "text/plain"}[key]: data[key] for key in data}
        outputs.append(new_output("display_data", data=kinds))
    return new_code_cell(source, outputs=outputs)


def notebook(*parts: str | NotebookNode) -> NotebookNode:
    made = [new_markdown_cell(part) if isinstance(part, str) else part for part in (TITLE, *parts)]
    return new_notebook(cells=made)


def shown(notebook: NotebookNode) -> list[slides._Slide]:
    return slides_of(notebook, "03")[2:]  # without title and goals


def text_of(slide: slides._Slide) -> str:
    outputs = [output.get("text", "") for cell in slide.cells for output in cell.get("outputs", [])]
    return "\n".join([cell.source for cell in slide.cells] + outputs)


def test_a_section_shows_its_path_and_first_sentences_and_keeps_all_prose_as_notes() -> None:
    prose = "One thing (Devlin et al. 2019) comes first. " + "Then comes another sentence. " * 9
    (section,) = shown(notebook(f"## Data\n*Path: two days*\n\n{prose}\n\n- **Item.** Short. And long.\n- Other."))
    assert (section.title, section.kind) == ("Data", "section")
    assert '<p class="mark">Path: two days</p>' in text_of(section) and "And long" not in text_of(section)
    assert len(text_of(section)) < 350 and "One thing (Devlin et al. 2019) comes first." in text_of(section)
    assert prose.strip() in section.notes[0] and "And long." in section.notes[0] and "Path" not in section.notes[0]


def test_code_is_shown_with_its_formula_its_question_and_its_output() -> None:
    made = notebook("## A", "Not this. What is $1 + 1$?\n\n$$x = 1 + 1$$\n\nIs it 2?", code("print(1 + 1)", "2"))
    slide = shown(made)[-1]
    assert text_of(slide).split("\n\n")[:2] == ["Is it 2?", "$$x = 1 + 1$$\nprint(1 + 1)\n2"]


def test_a_figure_waits_below_its_question_and_has_an_alternative() -> None:
    plain = notebook("## Rates", "They fall. Which is lowest?", code("plot()", "table", png=png(), plain="<Figure>"))
    slide = shown(plain)[-1]
    assert [cell.source for cell in slide.cells[:1]] == ["Which is lowest?"]
    assert slide.cells[1].metadata.slideshow.slide_type == "fragment"
    assert 'alt="Figure: Rates"' in text_of(slide) and "table" not in text_of(slide)
    plain.cells[-1].outputs[-1].metadata = {"image/png": {"alt": 'Bars "a" & b'}}
    assert 'alt="Bars &quot;a&quot; &amp; b"' in text_of(shown(plain)[-1])


def test_a_widget_is_a_picture_that_says_where_to_try_it() -> None:
    widget = code("widgets.see()", png=png(), plain="VBox(children=(HTML(value='x'),))")
    assert "Try it in notebook 03" in text_of(shown(notebook("## W", widget))[-1])


def test_set_up_checks_hints_and_messages_are_left_out() -> None:
    check = code("check.f(f)", "not attempted")
    check.metadata.tags = ["exercise-check"]
    message = code("study()")
    message.outputs = [new_output("stream", name="stderr", text="from the course's results")]
    made = notebook(
        "## Set-up", code("import x", "ready"), "## A\n\nText.", check, message, "## References\n\n- A. Author"
    )
    assert [slide.title for slide in shown(made)] == ["A"]
    assert "A. Author" in shown(made)[-1].notes[-1]


@pytest.mark.parametrize("columns", COLUMNS.values())
def test_cutting_shows_every_character_of_what_it_shows_and_says_what_is_missing(columns: int) -> None:
    lines = ["    call(" + ", ".join(f'"word number {n}"' for n in range(20)) + ")", *map(str, range(20))]
    made = cut("\n".join(lines), 12, columns, "# ").splitlines()
    assert len(made) <= 12 and max(map(len, made)) <= columns
    left = int(re.fullmatch(r"# … (\d+) more lines in the notebook", made[-1])[1])  # type: ignore[index]
    joined = re.sub(r"\n +↪ ", " ", "\n".join(made[:-1])).splitlines()
    assert joined == lines[: len(lines) - left]


def test_the_font_is_the_largest_in_which_nothing_wraps() -> None:
    made = [shown(notebook("## A", code("x" * width, "1")))[-1].font for width in (75, 76, 89, 98, 120)]
    assert made == [26, 24, 22, 20, 20]


def test_a_table_that_does_not_fit_beside_its_code_is_alone_and_one_that_fits_nowhere_is_cut() -> None:
    def table(rows: int, width: int) -> NotebookNode:
        cell = f"<td>{'x' * width}</td>"
        shown = f"<table class='dataframe'>{f'<tr>{cell * 3}</tr>' * rows}</table>"
        return code("\n".join("line()" for _ in range(12)), html=shown, plain="\n".join(["row"] * rows))

    beside, alone, nowhere = (shown(notebook("## A", table(*size)))[-1] for size in ((3, 5), (14, 5), (6, 60)))
    assert text_of(beside).startswith("line()") and "text/html" in beside.cells[0].outputs[0].data
    assert text_of(alone).strip() == "" and "text/html" in alone.cells[0].outputs[0].data
    assert text_of(nowhere).endswith("row") and len(nowhere.cells[0].outputs) == 1


def test_of_too_many_cells_the_first_below_each_heading_stay_and_no_prose_is_lost() -> None:
    parts: list[str | NotebookNode] = []
    for heading in range(12):
        parts.append(f"## {heading}\n\nLead.")
        for n in range(6):
            parts += [f"Prose {n}.", code(f"f({n})", "1")]
    chosen = shown(notebook(*parts))
    assert len(chosen) + 2 == slides.MOST_SLIDES
    calls = [
        [n for n in range(6) for slide in chosen if slide.title == f"{at}" and f"f({n})" in text_of(slide)]
        for at in range(12)
    ]
    assert all(call == list(range(len(call))) for call in calls) and {len(call) for call in calls} == {2, 3}
    notes = "".join(note for slide in chosen for note in slide.notes)
    assert all(notes.count(f"Prose {n}.") == 12 for n in range(6))


@pytest.mark.parametrize("path", find(), ids=lambda path: path.stem)
def test_every_notebook_makes_a_deck_of_readable_size(path: Path) -> None:
    number = path.stem[:2]
    deck = slides_of(read(path), number)
    titles = [slide.title for slide in deck]
    assert 25 <= len(deck) <= slides.MOST_SLIDES
    exercises = [exercise.text.title for exercise in catalogue.of_notebook(number)]
    assert [title.partition(": ")[2] for title in titles if title.startswith("Exercise")] == exercises
    assert sum(slide.kind == "quiz" for slide in deck) == sum(len(t.questions) for t in catalogue.texts_of(number))
    assert "Summary" in titles


def test_a_deck_has_formulas_without_a_network_and_no_solution_even_in_its_notes(tmp_path: Path) -> None:
    page = write_slides(read(find()[6]), "06", tmp_path).read_text(encoding="utf-8")
    assert '<html lang="en">' in page and "<title>06 · Defenses slides</title>" in page
    assert "<math" in page and "$$" not in page and not re.search(r"<m[a-z]+>\\[a-z]", page)
    assert (tmp_path / "reveal" / "LICENSE").is_file() and not list(tmp_path.rglob(".*"))
    text = html.unescape(re.sub(r"<[^>]+>", "", page))
    for exercise in (*catalogue.of_notebook("06"), *catalogue.stages_of("06")):
        secret = [line.strip() for line in exercise.solution.splitlines() if line not in exercise.stub]
        assert secret and not [line for line in secret if len(line) > 25 and line in text]
