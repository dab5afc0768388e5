"""A learner's own CSV file as a corpus: read strictly, cleaned and split as the course's own corpora are."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_lib.cleaning import CleaningReport, clean
from course_lib.corpora.ratings import COLUMNS
from course_lib.corpora.splits import SPLITS, split_of
from course_lib.errors import BadInput

_SHOWN = 5  # how many rows or values an error message names


def from_csv(
    path: str | PathLike[str],
    text: str = "text",
    label: str = "label",
    rating: str | None = None,
    encoding: str = "utf-8",
    separator: str = ",",
) -> pd.DataFrame:
    """A CSV file with a header line as a corpus, with the columns of corpora.load().

    text, label, rating: the names of its columns. Labels may be words or whole numbers of any kind; the
    `label` returned is int64, 0..k-1, and attrs["classes"][label] is the label as the file has it (sorted;
    numbers as int). rating may be any number; without it the column is NaN. Rows without text, repeated
    texts, and texts that carry two labels are dropped, with a warning that counts them (attrs["cleaning"]).
    Splits are made by the course's rule (corpora.split_of): about 75 % train, 5 % validation, 20 % test.

    Raises BadInput, naming columns, rows (counted from 1 below the header) or bytes, when: there is no such
    file or column; the file is not in that encoding or its lines do not have the header's cells; a label or
    rating is missing or no number; labels look like measurements; fewer than two classes are left, a class
    has no row in train, or a split is empty.
    """
    header, rows = _read(Path(path), encoding, separator)
    table = _columns(header, rows, [text, label, *([rating] if rating else [])])
    classes, codes = _labels(table[label], label)
    frame = pd.DataFrame({"text": table[text], "label": codes, "id": [str(n) for n in range(1, len(rows) + 1)]})
    frame["rating"] = _ratings(table[rating], rating) if rating else np.nan
    frame = frame.assign(rating_std=np.nan, raters=0, document=frame["id"], position=0, opposed=np.nan)
    frame, report = clean(frame)
    frame["split"] = pd.Series([split_of(line) for line in frame["text"]], dtype=str)
    _usable(frame, classes, report)
    _tell(report)
    frame = frame[COLUMNS]
    frame.attrs = {"name": Path(path).stem, "classes": classes, "cleaning": report.to_dict()}
    return frame


def _read(file: Path, encoding: str, separator: str) -> tuple[list[str], list[list[str]]]:
    """(header, rows), every row as long as the header."""
    # newline="" keeps line ends inside quoted cells as they are.
    reader = csv.reader(io.StringIO(_decoded(file, encoding), newline=""), delimiter=separator)
    try:
        lines = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise BadInput(
            f"{file}, near line {reader.line_num}: {error}.",
            'look for a quotation mark " that is opened there and not closed, or a text of over 131,072 characters.',
        ) from error
    if len(lines) < 2:
        raise BadInput(f"{file} has no rows below a header line.", "give a CSV file whose first line names columns.")
    header = [cell.strip() for cell in lines[0][1]]
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise BadInput(
                f"{file}, line {number}: {len(cells)} cells, but the header has {len(header)}.",
                f'put cells that hold a {separator!r} or a line end between quotation marks "...".',
            )
    return header, [cells for _, cells in lines[1:]]


def _decoded(file: Path, encoding: str) -> str:
    if not file.is_file():
        here = sorted(other.name for other in file.parent.glob("*.csv"))[:_SHOWN]
        raise BadInput(f"There is no file {file}.", f"CSV files in that folder: {', '.join(here) or 'none'}.")
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except LookupError as error:
        raise BadInput(f"There is no encoding {encoding!r}.", "use utf-8, cp1252 or utf-16.") from error
    except UnicodeError as error:
        where = getattr(error, "start", 0)
        other = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252"
        raise BadInput(
            f"{file} is not in {encoding}: byte {content[where : where + 1]!r} at position {where} "
            f"(line {content[:where].count(10) + 1}).",
            f"save it as UTF-8, or try encoding={other!r}.",
        ) from error


def _columns(header: list[str], rows: list[list[str]], wanted: Sequence[str]) -> dict[str, list[str]]:
    missing = [name for name in wanted if name not in header]
    if missing:
        other = next((sign for sign in ";\t|" if len(header) == 1 and sign in header[0]), None)
        hint = f"pass separator={other!r}" if other else "name them: from_csv(path, text=..., label=...)"
        raise BadInput(
            f"There is no column {', '.join(map(repr, missing))}; there are: {', '.join(map(repr, header))}.",
            f"{hint}.",
        )
    return {name: [cells[header.index(name)] for cells in rows] for name in wanted}


def _labels(cells: list[str], column: str) -> tuple[list[Any], list[int]]:
    """(classes, code of each row). Classes are all str, or all int where each is a whole number ("1.0" -> 1)."""
    cells = [cell.strip() for cell in cells]
    _all_present([cell.lower() in ("", "nan") for cell in cells], column, "label")
    numbers = [_number(cell) for cell in cells]
    if all(np.isfinite(numbers)) and not all(number.is_integer() for number in numbers):
        raise BadInput(
            f"The column {column!r} holds measurements such as {next(c for c in cells if not float(c).is_integer())}.",
            f"name a column of classes as label=, and this one as rating={column!r}.",
        )
    values: list[Any] = [int(number) for number in numbers] if all(np.isfinite(numbers)) else cells
    classes = sorted(set(values))
    if 2 * len(classes) > len(cells) > 10:
        raise BadInput(
            f"The column {column!r} holds {len(classes)} different labels in {len(cells)} rows.",
            "name the column that holds classes as label=; each needs many rows.",
        )
    code = {value: number for number, value in enumerate(classes)}
    return classes, [code[value] for value in values]


def _ratings(cells: list[str], column: str) -> list[float]:
    numbers = [_number(cell) for cell in cells]
    _all_present([not np.isfinite(number) for number in numbers], column, "number")
    return numbers


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _all_present(missing: list[bool], column: str, kind: str) -> None:
    rows = [number for number, gone in enumerate(missing, start=1) if gone]
    if rows:
        shown = ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
        raise BadInput(
            f"The column {column!r} holds no {kind} in {len(rows)} rows: {shown} (counted from 1 below the header).",
            "fill these cells or delete these rows.",
        )


def _usable(frame: pd.DataFrame, classes: Sequence[object], report: CleaningReport) -> None:
    """Raises BadInput when nothing could be learned, chosen or measured on these rows."""
    left = f"{report.kept} of {report.rows} rows are left after cleaning"
    present = sorted(frame["label"].unique())
    if len(present) < 2:
        names = ", ".join(repr(classes[code]) for code in present) or "none"
        raise BadInput(f"{left}, and the only class among them is: {names}.", "give rows of at least two classes.")
    counts = {split: int((frame["split"] == split).sum()) for split in SPLITS}
    if not all(counts.values()):
        raise BadInput(
            f"{left}, too few for three splits: {counts}. A text's split follows from the text alone.",
            "add rows: with 100 or more, an empty split is rare (validation takes about 5 %).",
        )
    learned = set(frame.loc[frame["split"] == "train", "label"])
    unseen = [classes[code] for code in present if code not in learned]
    if unseen:
        raise BadInput(f"No row of the class {unseen[0]!r} falls into train.", "add rows of it, or drop the class.")


def _tell(report: CleaningReport) -> None:
    dropped = {kind: getattr(report, kind) for kind in ("empty", "duplicates", "conflicting")}
    if any(dropped.values()):
        reasons = ", ".join(f"{count} {kind}" for kind, count in dropped.items() if count)
        warnings.warn(f"{report.rows - report.kept} of {report.rows} rows dropped: {reasons}.", stacklevel=3)
