"""The rules that a stored notebook is held to. Each yields one sentence for each fault it finds."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable, Iterator

import nbformat
from nbformat import NotebookNode
from notebook_cells import (
    PROGRESS,
    WIDGET,
    code_cells,
    coverage,
    is_compared,
    may_raise,
    text_alternative,
    widget_outputs,
)

LEAST_COMPARED = 0.60  # of the code cells
MOST_BYTES = 400_000  # without pictures
MOST_PICTURE_BYTES = 1_000_000
MOST_CELLS, MOST_WORDS = 55, 5_000  # code cells; words outside folds and references
FOLDERS = "home|Users|root|tmp|work|opt|usr|var|private|mnt|srv"
ABSOLUTE_PATH = re.compile(rf"(?<![\w:/.])(?:/(?:{FOLDERS})/|~/|[A-Z]:\\+)\w")
SHELL = re.compile(
    r"^\s*!(?!=)|^\s*%+(?:pip|conda|bash|sh|sx|system)\b|\bpip3? install\b|\b(?:wget|curl)\b", re.MULTILINE
)


def _counted(notebook: NotebookNode) -> Iterator[str]:
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if not counts or counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}: run `make notebooks`"


def _errors(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells):
        raised = any(output.output_type == "error" for output in cell.get("outputs", []))
        if raised and not may_raise(cell):
            yield f"cell {number} shows an error and is not tagged raises-exception"
        if may_raise(cell) and not raised:
            yield f"cell {number} is tagged raises-exception and raises nothing"


def _short(notebook: NotebookNode) -> Iterator[str]:
    lengths = [len(cell.source.strip().splitlines()) for cell in code_cells(notebook)]
    long = sum(length >= 20 for length in lengths)
    if long > 0.10 * len(lengths):
        yield f"{long} of {len(lengths)} code cells have 20 lines or more; one in ten may"


def _no_shell(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells):
        found = SHELL.search(cell.source) if cell.cell_type == "code" else None
        if found:
            yield f"cell {number} calls the shell or fetches something: {found[0].strip()!r}"


def _texts(notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    """(where, text) of every source and every text output."""
    for number, cell in enumerate(notebook.cells):
        yield f"cell {number}", cell.source
        for output in cell.get("outputs", []):
            yield from ((f"the output of cell {number}", text) for text in _output_texts(output))


def _output_texts(output: NotebookNode) -> list[str]:
    if output.output_type == "stream":
        return [output.text]
    if output.output_type == "error":
        return [output.evalue, *output.traceback]
    return [str(value) for kind, value in output.data.items() if not kind.startswith("image/")]


def _machine_free(notebook: NotebookNode) -> Iterator[str]:
    # Short names ("vm", "ann") would be found inside ordinary text.
    names = [re.escape(name) for name in (socket.gethostname(), getpass.getuser()) if len(name) > 4]
    for where, text in _texts(notebook):
        if found := ABSOLUTE_PATH.search(text):
            yield f"{where} holds an absolute path: {text[found.start() : found.start() + 50]!r}"
        if names and (found := re.search(rf"\b({'|'.join(names)})\b", text)):
            yield f"{where} holds the name of this machine or its user: {found[0]!r}"


def _no_progress_bars(notebook: NotebookNode) -> Iterator[str]:
    for where, text in _texts(notebook):
        if where.startswith("the output") and ("\r" in text or PROGRESS.search(text)):
            yield f"{where} holds a progress bar: run `make notebooks`"


def _plain_metadata(notebook: NotebookNode) -> Iterator[str]:
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "the kernel is not python3"
    if extra := set(notebook.metadata) - {"kernelspec", "language_info"}:
        yield f"the metadata holds {sorted(extra)}: run `make notebooks`"
    ids = [cell.get("id") for cell in notebook.cells]
    if None in ids or len(set(ids)) < len(ids):
        yield "cell ids are missing or occur twice: run `make notebooks`"


def _pictures(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells):
        kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
        if WIDGET in kinds:
            yield f"the output of cell {number} holds the id of a widget of a past run: run `make notebooks`"
        if any("image/png" not in output.data for output in widget_outputs(cell)):
            yield f"cell {number} shows a widget, and readers without a kernel see nothing: run `make pictures`"
        if any("image/png" in one.get("data", {}) and not text_alternative(one) for one in cell.get("outputs", [])):
            yield f"a picture of cell {number} has no text alternative: run `make notebooks`, then `make pictures`"
        # nbval would compare its text, which differs by machine.
        if "image/svg+xml" in kinds and is_compared(cell):
            yield f"cell {number} draws SVG and is compared: draw PNG, or mark it NBVAL_IGNORE_OUTPUT"


def _small(notebook: NotebookNode) -> Iterator[str]:
    pictures = [
        len(content)
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        for kind, content in output.get("data", {}).items()
        if kind.startswith("image/")
    ]
    size = len(nbformat.writes(notebook).encode()) - sum(pictures)
    if size > MOST_BYTES or sum(pictures) > MOST_PICTURE_BYTES:
        yield (
            f"the file has {size:,} bytes and {sum(pictures):,} of pictures; "
            f"{MOST_BYTES:,} and {MOST_PICTURE_BYTES:,} are allowed"
        )


def _compared(notebook: NotebookNode) -> Iterator[str]:
    found = coverage(notebook)
    if found.share < LEAST_COMPARED:
        yield f"{found}; at least {LEAST_COMPARED:.0%} are asked for"


def _one_sitting(notebook: NotebookNode) -> Iterator[str]:
    cells = sum("quiz" not in cell.metadata.get("tags", []) for cell in code_cells(notebook))
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    read, _, _ = re.sub(r"<details>.*?</details>", "", prose, flags=re.DOTALL).partition("\n## References")
    words = len(read.split())
    if cells > MOST_CELLS or words > MOST_WORDS:
        yield f"{cells} code cells and {words:,} words; {MOST_CELLS} and {MOST_WORDS:,} can be read in one sitting"


RULES: dict[str, Callable[[NotebookNode], Iterator[str]]] = {
    "executed in order": _counted,
    "errors only where tagged": _errors,
    "short cells": _short,
    "no shell and no fetching": _no_shell,
    "no path or name of a machine": _machine_free,
    "no progress bars": _no_progress_bars,
    "kernel python3 and plain metadata": _plain_metadata,
    "pictures that may differ": _pictures,
    "small file": _small,
    "enough cells compared": _compared,
    "one sitting": _one_sitting,
}
