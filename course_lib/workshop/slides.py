"""Slides of a notebook: what a class sees on the wall is chosen from the cells, the rest of the prose becomes notes.

write_slides(notebook, "03", folder)     # folder/03.html, and folder/reveal, which all decks share

A deck has a slide for the title and one for what you will be able to do, for each section, exercise and question of
the quiz, and for the build, the project and the summary. The other slides, up to MOST_SLIDES, show cells: a figure,
widget or table alone, or code with its output. No slide needs a network: formulas are MathML.
"""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_lib import assets
from course_lib.assets.files import write_atomically
from course_lib.exercises import catalogue
from course_lib.exercises.markdown import to_html
from course_lib.exercises.texts import LETTERS
from course_lib.workshop.fitting import CODE_ROWS, COLUMNS, OUTPUT_ROWS, cut, largest_font, room, rows_of
from course_lib.workshop.prose import blocks_of, first_sentences, lead, sentence_before

MOST_SLIDES = 45
_LEFT_OUT = ("Set-up", "Quiz", "References")
_PATH = re.compile(r"^\*(Path: .+)\*\n?", re.MULTILINE)
_LOCAL_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]*\)")
_WIDGET = re.compile(r"\w+\(\w+=")


@dataclass
class _Slide:
    """One slide: its cells after the title, and all prose up to the next slide as notes.

    Args:
        order: slides of cells with the least order are kept; None for those that every deck has.
    """

    title: str
    cells: list[NotebookNode] = field(default_factory=list)
    kind: str = "content"
    font: int = 20
    order: int | None = None
    notes: list[str] = field(default_factory=list)


def write_slides(notebook: NotebookNode, number: str, folder: Path) -> Path:
    """Writes the deck of a notebook, and beside it the copy of reveal.js that all decks in the folder share.

    Raises:
        Offline: reveal.js is not on this machine and cannot be fetched.
    """
    shutil.copytree(assets.path("reveal"), folder / "reveal", ignore=shutil.ignore_patterns(".*"), dirs_exist_ok=True)
    write_atomically(folder / "reveal" / "dist" / "theme" / "course.css", _beside(".css"))
    deck = folder / f"{number}.html"
    write_atomically(deck, _exported(_as_notebook(slides_of(notebook, number))))
    return deck


def _beside(suffix: str) -> str:
    return Path(__file__).with_suffix(suffix).read_text(encoding="utf-8")


def slides_of(notebook: NotebookNode, number: str) -> list[_Slide]:
    """The slides of a notebook in their order."""
    deck = _Deck(number)
    for cell in notebook.cells:
        deck.add(cell)
    return _chosen(deck.slides)


class _Deck:
    """Goes through the cells of a notebook and makes a slide of each that has something to show."""

    def __init__(self, number: str) -> None:
        self.number = number
        self.slides: list[_Slide] = []
        self.heading = ""
        self.prose: list[str] = []  # blocks of text since the last cell of code
        self.texts_shown = 0  # slides of code and text under this heading

    def add(self, cell: NotebookNode) -> None:
        """Adds what a cell has to show; its prose goes to the notes of the last slide."""
        tags, source = set(cell.metadata.get("tags", [])), _LOCAL_LINK.sub(r"\1", cell.source)
        if "quiz" in tags:
            self.slides += _quiz(self.number) if cell.cell_type == "code" else []
        elif tags & {"exercise-task", "build", "project"}:
            self._task(source)
        elif tags & {"exercise", "exercise-check", "exercise-hints"}:
            self.prose = []
        elif cell.cell_type == "markdown":
            self._text(source)
        elif cell.cell_type == "code" and self.heading not in ("", *_LEFT_OUT):
            self._code(cell)

    def _text(self, source: str) -> None:
        parts = re.split(r"^(#{1,3}) (.+)$", source, flags=re.MULTILINE)
        self._prose(parts[0])
        for level, heading, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            if level == "#":
                self.slides += _opening(heading, text)
                continue
            self.heading, self.texts_shown, self.prose = heading, 0, []
            path, text = _PATH.search(text), _PATH.sub("", text)
            shown = lead(blocks_of(text))
            if level == "##" and shown and heading not in _LEFT_OUT:
                mark = f'<p class="mark">{path[1]}</p>\n\n' if path else ""
                self.slides.append(_Slide(heading, [new_markdown_cell(mark + shown)], "section"))
            self._prose(text)

    def _prose(self, text: str) -> None:
        if text.strip():
            self.prose = blocks_of(text)
            self.slides[-1].notes.append(text.strip())

    def _task(self, source: str) -> None:
        heading, effort, *blocks = blocks_of(source)
        title = heading.lstrip("# ")
        if not title.startswith("Stage"):
            starts = [n for n, block in enumerate(blocks) if block.startswith(("**Why", "**Your task"))] or [0]
            shown = [f'<p class="mark">{effort}</p>', *(first_sentences(blocks[n:]) for n in starts)]
            if title.startswith("Build"):
                self.heading, self.texts_shown = title, 0
                shown += [f"{n}. {stage.text.title}" for n, stage in enumerate(catalogue.stages_of(self.number), 1)]
            self.slides.append(_Slide(title, [new_markdown_cell("\n\n".join(shown))], "task"))
        self.slides[-1].notes.append("\n\n".join([f"**{title}**", *blocks]))
        self.prose = []

    def _code(self, cell: NotebookNode) -> None:
        title, sentence = self.heading, sentence_before(self.prose)
        before = [sentence, *[block for block in self.prose if block.startswith("$$")][:1]]
        last = "".join(shown.source for shown in self.slides[-1].cells)
        before = [block for block in before if block not in last]
        self.prose = []
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        tables = [output for output in cell.outputs if "text/html" in output.get("data", {})]
        text = "\n".join(filter(None, map(_text_of, cell.outputs)))
        if pictures:
            figures = new_markdown_cell("\n".join(_figure(one, title, self.number) for one in pictures))
            cells = [figures]
            if sentence.endswith("?") and sentence in before:
                figures.metadata.slideshow = {"slide_type": "fragment"}
                cells = [new_markdown_cell(sentence), figures]
            self.slides.append(_Slide(title, cells, order=0))
        elif tables or not all(line.startswith("verified: ") for line in text.splitlines()):
            self.slides.append(_fitted(title, before, cell.source, text, tables))
            if not tables:
                self.texts_shown += 1
                self.slides[-1].order = self.texts_shown


def _fitted(title: str, before: list[str], code: str, text: str, tables: list[NotebookNode]) -> _Slide:
    """Code with its output in the largest font in which all is shown, or else cut; a long table without its code."""
    height, lines = room(title, before), [*code.splitlines(), *text.splitlines()]
    font = largest_font(height, lines, tables)
    if tables and font is None:
        font = largest_font(height, [], tables)
        if font:
            code = text = ""
        else:
            text, tables = "\n".join([text, *(output.data["text/plain"] for output in tables)]).strip(), []
    font = font or min(COLUMNS)
    columns, rows = COLUMNS[font], int(height / (1.25 * font))
    below = min(OUTPUT_ROWS, rows_of(text, columns), max(rows - rows_of(code, columns), 5))
    outputs = [new_output("stream", text=cut(text, below, columns))] if text else []
    cell = new_code_cell(cut(code, min(CODE_ROWS, rows - below), columns, "# "), outputs=outputs + tables)
    return _Slide(title, [new_markdown_cell("\n\n".join(before)), cell] if before else [cell], font=font, order=0)


def _chosen(slides: list[_Slide]) -> list[_Slide]:
    """At most MOST_SLIDES: those of cells with the highest order are left out, and their notes move up."""
    optional = [number for number, slide in enumerate(slides) if slide.order is not None]
    room = max(0, MOST_SLIDES - (len(slides) - len(optional)))
    kept = set(sorted(optional, key=lambda number: (slides[number].order, number))[:room])
    chosen: list[_Slide] = []
    for number, slide in enumerate(slides):
        if slide.order is None or number in kept:
            chosen.append(slide)
        else:
            chosen[-1].notes += slide.notes
    return chosen


def _opening(title: str, text: str) -> list[_Slide]:
    """The title with the claim of the notebook, and what the reader will be able to do."""
    blocks = blocks_of(text)
    goals = next(block for block in blocks if block.startswith("- "))
    claim = re.sub(r"^\*\*(.+?)\*\*.*", r"\1", blocks[0], flags=re.DOTALL)
    return [
        _Slide(title, [new_markdown_cell(claim)], "title"),
        _Slide("Afterwards you can", [new_markdown_cell(goals)], notes=[b for b in blocks[1:] if b != goals]),
    ]


def _quiz(number: str) -> Iterator[_Slide]:
    """A slide for each question; the answer and its reasons are notes."""
    questions = catalogue.questions_of(number)
    for place, question in enumerate(questions, start=1):
        options = list(zip(LETTERS, question.options, strict=False))
        shown = "\n".join(f"- **{letter})** {option.text}" for letter, option in options)
        reasons = "\n".join(f"- **{letter})** {option.because}" for letter, option in options)
        cell = new_markdown_cell(f"{question.text}\n\n{shown}")
        title = f"Quiz: question {place} of {len(questions)}"
        yield _Slide(title, [cell], "quiz", notes=[f"**{question.right}** is right.", reasons])


def _figure(output: NotebookNode, title: str, number: str) -> str:
    """A picture as HTML; below that of a widget, where to find the widget."""
    alt = output.metadata.get("image/png", {}).get("alt") or f"Figure: {title}"
    picture = output.data["image/png"].replace("\n", "")
    figure = f'<figure><img alt="{html.escape(alt)}" src="data:image/png;base64,{picture}"></figure>'
    if not _WIDGET.match(output.data.get("text/plain", "")):
        return figure
    return f'{figure}\n<p class="mark">A picture of a widget. Try it in notebook {number}.</p>'


def _text_of(output: NotebookNode) -> str:
    """What an output shows as plain text; nothing for pictures, tables and messages on standard error."""
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}"
    if output.output_type == "stream":
        return output.text.rstrip("\n") if output.name == "stdout" else ""
    text: str = output.data.get("text/plain", "")
    return "" if {"image/png", "text/html"} & set(output.data) or _WIDGET.match(text) else text


def _as_notebook(slides: list[_Slide]) -> NotebookNode:
    """The slides as a notebook with the metadata that nbconvert reads."""
    cells = []
    for slide in slides:
        level = "#" if slide.kind == "title" else "##"
        first = new_markdown_cell(f"{level} {slide.title}")
        kind = "slide" if slide.kind in ("title", "section", "task") else "subslide"
        data = {"kind": slide.kind, "font": str(slide.font)}
        first.metadata.slideshow = {"slide_type": kind, "data": data}
        notes = new_markdown_cell("\n\n".join(slide.notes))
        notes.metadata.slideshow = {"slide_type": "notes"}
        cells += [first, *slide.cells, *([notes] if slide.notes else [])]
    metadata = {"title": slides[0].title, "language_info": {"name": "python"}}
    notebook: NotebookNode = new_notebook(cells=cells, metadata=metadata)
    return notebook


def _exported(notebook: NotebookNode) -> str:
    from nbconvert import SlidesExporter

    exporter = SlidesExporter(  # type: ignore[no-untyped-call]
        raw_template=_beside(".html.j2"),
        reveal_url_prefix="reveal",
        reveal_theme="course",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        filters={"markdown2html": to_html},
    )
    page: str = exporter.from_notebook_node(notebook)[0]
    return page
