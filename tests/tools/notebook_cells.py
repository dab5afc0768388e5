"""Reads notebooks, counts the cells that nbval really compares, and puts notebooks into their stored form."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbval.plugin import find_comment_markers, find_metadata_tags

from course_lib.exercises.cells import of_notebook

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"
# What nbval 0.11 leaves out of a comparison. The text/plain beside it only names the picture or the widget.
PICTURES = {"image/png", "image/jpeg", WIDGET}
WIDGET_TEXT = re.compile(r"\w+\((children|value|options|outputs|description)=")
PROGRESS = re.compile(r"\d+%\|.*\||\d+/\d+ \[\d+:\d+<|\bit/s\b|\bs/it\b")
KEPT_CELL_METADATA = ("tags", "jupyter")


def find() -> list[Path]:
    """The course's notebooks in their order."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    """A notebook in format 4."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells that hold code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def length(path: Path) -> int:
    """How many code cells a notebook has: with it, the longest are begun first."""
    return len(code_cells(read(path)))


def options(cell: NotebookNode) -> dict[str, bool]:
    """nbval's own reading of a cell's tags and comments; "check" is True where outputs are compared."""
    return {"check": True, **dict(find_metadata_tags(cell.metadata)), **dict(find_comment_markers(cell.source))}


def may_raise(cell: NotebookNode) -> bool:
    """Whether the cell is tagged as one that shows an error."""
    return "raises-exception" in cell.metadata.get("tags", [])


def is_compared(cell: NotebookNode) -> bool:
    """Whether nbval compares text of this cell: not ignored, not skipped, and there is text beside pictures."""
    chosen = options(cell)
    return chosen["check"] and not chosen.get("skip", False) and any(map(_has_text, cell.outputs))


def _has_text(output: NotebookNode) -> bool:
    if output.output_type in ("stream", "error"):
        return True
    return not PICTURES & set(output.data) and not WIDGET_TEXT.match(output.data.get("text/plain", ""))


@dataclass(frozen=True)
class Coverage:
    """How many code cells of a notebook are compared."""

    compared: int
    cells: int

    @property
    def share(self) -> float:
        """Compared cells over code cells; 0 where there are none."""
        return self.compared / self.cells if self.cells else 0.0

    def __str__(self) -> str:
        return f"compared {self.compared} of {self.cells} code cells ({self.share:.0%})"


def coverage(notebook: NotebookNode) -> Coverage:
    """Counts the compared cells of a stored notebook."""
    cells = code_cells(notebook)
    return Coverage(sum(map(is_compared, cells)), len(cells))


def normalise(notebook: NotebookNode) -> NotebookNode:
    """The same notebook without what differs by machine or by run; changes it in place and returns it."""
    notebook.metadata = NotebookNode(kernelspec=NotebookNode(KERNEL), language_info=NotebookNode(name="python"))
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        kept = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if key in cell.metadata}
        cell.metadata = NotebookNode(kept)
        cell.source = cell.source.strip("\n")
        cell.id = _cell_id(cell, seen)
        if cell.cell_type == "code":
            cell.outputs = [output for output in map(_normalise_output, cell.outputs) if not _is_empty(output)]
    return notebook


EXERCISE_TAGS = {"exercise-task", "exercise", "exercise-check", "exercise-hints", "build", "project", "quiz"}


def exercise_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells of exercises, build, project and quiz, which are generated from course_lib/exercises."""
    return [cell for cell in notebook.cells if EXERCISE_TAGS & set(cell.metadata.get("tags", []))]


def write_exercises(notebook: NotebookNode, number: str) -> NotebookNode:
    """Puts the generated text into these cells, in place, and returns the notebook.

    Raises:
        ValueError: the notebook does not have a tagged cell for each generated one, in the same order.
    """
    cells, generated = exercise_cells(notebook), of_notebook(number)
    found = [(cell.cell_type, list(cell.metadata.tags)) for cell in cells]
    if found != [(cell["type"], cell["tags"]) for cell in generated]:
        raise ValueError(
            f"notebook {number} has {len(cells)} cells of exercises, build, project and quiz, "
            f"and needs these {len(generated)}: "
            + "; ".join(f"{' '.join(cell['tags'])}: {cell['source'].splitlines()[0]}" for cell in generated)
        )
    for cell, new in zip(cells, generated, strict=True):
        cell.source = new["source"]
    return notebook


def widget_outputs(cell: NotebookNode) -> list[NotebookNode]:
    """The stored outputs of a cell that are widgets in JupyterLab."""
    return [one for one in cell.get("outputs", []) if WIDGET_TEXT.match(one.get("data", {}).get("text/plain", ""))]


Picture = tuple[str, str]  # PNG (base64) and its text alternative


def text_alternative(output: NotebookNode) -> str:
    """What a screen reader reads in place of an output's picture; "" where there is nothing."""
    return str(output.get("metadata", {}).get("image/png", {}).get("alt", ""))


def widget_pictures(notebook: NotebookNode) -> dict[str, list[Picture]]:
    """Source of a cell -> the pictures of its widgets, which readers see where no kernel runs."""
    return {
        cell.source: [
            (output.data["image/png"], text_alternative(output))
            for output in widget_outputs(cell)
            if "image/png" in output.data
        ]
        for cell in notebook.cells
    }


def put_widget_pictures(notebook: NotebookNode, pictures: Mapping[str, Sequence[Picture]]) -> NotebookNode:
    """Gives each widget its picture, as far as there is one, in place, and returns the notebook."""
    for cell in notebook.cells:
        for output, (png, words) in zip(widget_outputs(cell), pictures.get(cell.source, []), strict=False):
            output.data["image/png"] = _small_picture(png)
            output.metadata["image/png"] = {"alt": words}
    return notebook


SMALL_PICTURE = 8_000  # bytes


def _small_picture(encoded: str) -> str:
    """The same picture, base64, with a palette: a third of the bytes. One that is small already stays as it is."""
    from course_lib.plots import small_png

    png = base64.b64decode(encoded)
    if len(png) < SMALL_PICTURE:
        return encoded
    small = small_png(png)
    return base64.b64encode(small if len(small) < len(png) else png).decode()


def _cell_id(cell: NotebookNode, seen: dict[str, int]) -> str:
    """An id made of the cell's text, so that neither a new run nor a cell put in above changes it."""
    digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
    seen[digest] = seen.get(digest, 0) + 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def _normalise_output(output: NotebookNode) -> NotebookNode:
    if output.output_type == "stream":
        lines = re.split(r"(?<=[\r\n])", output.text)
        output.text = "".join(line for line in lines if not PROGRESS.search(line)).replace("\r", "")
    elif output.output_type == "error":
        output.traceback = [_shorten_paths(line) for line in output.traceback]
    else:
        output.data.pop(WIDGET, None)  # the id of a model whose kernel is gone; the text beside it stays
        if "image/png" in output.data:
            output.data["image/png"] = _small_picture(output.data["image/png"])
    return output


def _is_empty(output: NotebookNode) -> bool:
    if output.output_type == "stream":
        return not output.text.strip()
    return bool(PROGRESS.search(output.get("data", {}).get("text/plain", "")))


def _shorten_paths(text: str) -> str:
    """File names without the folders of this machine (nbval does not compare tracebacks)."""
    text = re.sub(r"[^\s\"']*/site-packages/", "site-packages/", text)
    text = re.sub(r"[^\s\"']*/lib/python3\.\d+/", "python/", text)
    return re.sub(r"[^\s\"':]*/(?=(?:course_lib|notebooks)/)", "", text)
