"""A user's own CSV file: read strictly, and cleaned and split as the course's own corpora are.

Every row of the file is read exactly as it is, or the file is refused with the line that is wrong.
"""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_lib.cleaning import CleaningReport, clean
from course_lib.corpora.ratings import COLUMNS
from course_lib.corpora.splits import SPLITS, split_of
from course_lib.errors import BadInput

_SHOWN = 5  # how many lines or values an error message names
_LINE_END = re.compile(r"\r\n?|\n")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")  # the one decimal form of each number
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FIX_QUOTES = (
    'write a quotation mark inside a quoted cell twice (""); or, if quotation marks are ordinary characters in this '
    "file, pass quoting=False (on the command line: --no-quoting)."
)


@dataclass(frozen=True)
class CsvTable:
    """The cells of a CSV file, as text.

    Attributes:
        file: where it was read from.
        header: the names of the columns, without blanks around them.
        rows: the cells of each row, as many as the header has.
        lines: the line of the file in which each row begins; the header is in line 1.
        separator: between two cells.
    """

    file: Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    separator: str

    def column(self, name: str) -> list[str]:
        """The cells of the column of that name."""
        return [cells[self.header.index(name)] for cells in self.rows]

    def refuse(self, wrong: Sequence[bool], what: str, fix: str) -> None:
        """Raises BadInput with the lines of the rows that are marked as wrong, if there are any."""
        lines = [line for line, is_wrong in zip(self.lines, wrong, strict=True) if is_wrong]
        if lines:
            shown = ", ".join(map(str, lines[:_SHOWN])) + (", ..." if len(lines) > _SHOWN else "")
            raise BadInput(f"{self.file}: {what} in {len(lines)} rows, in the lines {shown}.", fix)


def read_csv(
    path: str | PathLike[str],
    columns: Sequence[str],
    encoding: str = "utf-8",
    separator: str = ",",
    quoting: bool = True,
) -> CsvTable:
    """The table of a CSV file whose first line names the columns. Empty lines are skipped.

    Args:
        path: the file.
        columns: names of columns that must be there, each once.
        encoding: of the file. A byte-order mark is recognised, and is not part of the first name.
        separator: one character.
        quoting: whether a cell may be put between quotation marks, to hold separators and line ends. False takes
            quotation marks as ordinary characters.

    Raises:
        BadInput: there is no such file, encoding or column; the file is not in that encoding; a quotation mark is not
            closed; a row has more or fewer cells than the header.
    """
    file = Path(path)
    if len(separator) != 1 or separator in '"\r\n':
        raise BadInput(f"separator is {separator!r}.", "use one character, such as ',', ';' or '\\t'.")
    records = list(_records(_decoded(file, encoding), file, separator, quoting))
    if not records:
        raise BadInput(f"{file} is empty.", "give a CSV file whose first line names the columns.")
    header = [cell.strip() for cell in records[0][1]]
    _check_header(file, header, columns, separator)
    for line, cells in records[1:]:
        if len(cells) != len(header):
            raise BadInput(
                f"{file}, line {line}: {len(cells)} cells, but the header has {len(header)}.",
                f'put cells that hold a {separator!r} or a line end between quotation marks "...".',
            )
    if len(records) == 1:
        raise BadInput(f"{file} has no rows below the header.", "give a CSV file with one row for each text.")
    return CsvTable(file, header, [cells for _, cells in records[1:]], [line for line, _ in records[1:]], separator)


def from_csv(
    path: str | PathLike[str],
    text: str = "text",
    label: str = "label",
    rating: str | None = None,
    encoding: str = "utf-8",
    separator: str = ",",
    quoting: bool = True,
) -> pd.DataFrame:
    """A CSV file with a header line as a corpus, with the columns of corpora.load().

    text, label, rating: the names of its columns. Different labels in the file are different classes. The `label`
    returned is int64, 0..k-1, and attrs["classes"][label] is the label as it is in the file (sorted): int where each
    label is a plain whole number such as 7 or -2, else str, so that "007", "1.0" and "1e3" remain what they are.
    Blanks around a label do not count. rating may be any number; without it the column is NaN. Rows without text,
    repeated texts, and texts that carry two labels are dropped, with a warning that counts them (attrs["cleaning"]).
    Splits are made by the course's rule (corpora.split_of): about 75 % train, 5 % validation, 20 % test.

    encoding, separator, quoting: as for `read_csv`.

    Raises BadInput, naming columns, lines or bytes, as `read_csv` does, and when: a label or rating is missing or is
    not a number; a quoted cell has swallowed rows; labels look like measurements; fewer than two classes are left, a
    class has no row in train, or a split is empty.
    """
    table = read_csv(path, [text, label, *([rating] if rating else [])], encoding, separator, quoting)
    _check_swallowed_rows(table, label)
    classes, codes = _labels(table, label)
    rows = range(1, len(table.rows) + 1)
    frame = pd.DataFrame({"text": table.column(text), "label": codes, "id": [str(number) for number in rows]})
    frame["rating"] = _ratings(table, rating) if rating else np.nan
    frame = frame.assign(rating_std=np.nan, raters=0, document=frame["id"], position=0, opposed=np.nan)
    frame, report = clean(frame)
    frame["split"] = pd.Series([split_of(line) for line in frame["text"]], dtype=str)
    _check_usable(frame, classes, report)
    _warn_of_dropped_rows(report)
    frame = frame[COLUMNS]
    frame.attrs = {"name": Path(path).stem, "classes": classes, "cleaning": report.to_dict()}
    return frame


def decode(content: bytes, encoding: str, what: str) -> str:
    """The text of a file's bytes, without a byte-order mark; `what` names the file in errors.

    Raises BadInput when there is no such encoding, or the bytes are not in it.
    """
    try:
        name = codecs.lookup(encoding).name
    except (LookupError, TypeError, ValueError) as error:
        raise BadInput(f"There is no encoding {encoding!r}.", "use utf-8, cp1252 or utf-16.") from error
    marked = next((kind for mark, kind in _BYTE_ORDER_MARKS if content.startswith(mark)), None)
    if marked and not name.startswith(marked):
        raise BadInput(f"{what} begins with the byte-order mark of {marked}, not of {name}.", _fix_encoding(marked))
    if name == "utf-8" and len(content) > 3 and not (any(content[1:99:2]) and any(content[0:99:2])):
        raise BadInput(
            f"{what} is not in {encoding}: every other byte is 0.",
            _fix_encoding("utf-16-be" if content[1] else "utf-16-le"),
        )
    try:
        text = content.decode(marked or name)
    except LookupError as error:  # a codec between two kinds of bytes, such as hex
        raise BadInput(f"{encoding!r} is not an encoding of text.", "use utf-8, cp1252 or utf-16.") from error
    except UnicodeError as error:
        at = getattr(error, "start", 0)
        raise BadInput(
            f"{what} is not in {encoding}: byte {content[at : at + 1]!r} at position {at} "
            f"(line {len(_LINE_END.findall(content[:at].decode('latin-1'))) + 1}).",
            _fix_encoding(next((other for other in ("utf-8", "cp1252") if _is_in(content, other)), None)),
        ) from error
    if len(text) == len(content) and not content.isascii() and _is_in(content, "utf-8"):  # one byte, one character
        raise BadInput(f"{what} is in utf-8, not in {encoding}.", _fix_encoding("utf-8"))
    return text.lstrip("\ufeff")


def _fix_encoding(other: str | None) -> str:
    if other is None:
        return "save it as UTF-8, or pass the encoding in which it was saved."
    return f"save it as UTF-8, or pass encoding={other!r} (on the command line: --encoding {other})."


def _is_in(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(file: Path, encoding: str) -> str:
    if not file.is_file():
        here = sorted(other.name for other in file.parent.glob("*.csv"))[:_SHOWN]
        raise BadInput(f"There is no file {file}.", f"CSV files in that folder: {', '.join(here) or 'none'}.")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error}.", "give a file that you may read.") from error
    return decode(content, encoding, str(file))


def _records(text: str, file: Path, separator: str, quoting: bool) -> Iterator[tuple[int, list[str]]]:
    """(line in which it begins, cells) of each record that is not an empty line (RFC 4180)."""
    mark, sep = '"' if quoting else "(?!)", re.escape(separator)
    cell = re.compile(rf"(?:{mark}([^\"]*(?:\"\"[^\"]*)*)\"|((?!{mark})[^{sep}\r\n]*))({sep}|\r\n?|\n|\Z)")
    line, at, first, cells = 1, 0, 1, []
    while True:
        found = cell.match(text, at)
        if found is None:
            raise _open_quote(text, at, line, file)
        quoted, plain, end = found.groups()
        cells.append(plain if quoted is None else quoted.replace('""', '"'))
        line, at = line + len(_LINE_END.findall(found[0])), found.end()
        if end != separator:
            if cells != [""] or quoted is not None:
                yield first, cells
            if not end:
                return
            first, cells = line, []


def _open_quote(text: str, at: int, line: int, file: Path) -> BadInput:
    """The error for the cell at position `at`, which a quotation mark opens and does not end."""
    closed = re.compile(r'"[^"]*(?:""[^"]*)*"').match(text, at)
    if closed is None:
        return BadInput(f"{file}, line {line}: the quotation mark that opens here is never closed.", _FIX_QUOTES)
    last = line + len(_LINE_END.findall(closed[0]))
    after = _LINE_END.split(text[closed.end() : closed.end() + 20])[0]
    return BadInput(
        f"{file}, line {line}: the quotation mark that opens here is closed in line {last}, and {after!r} follows it.",
        _FIX_QUOTES,
    )


def _check_swallowed_rows(table: CsvTable, label: str) -> None:
    """Raises BadInput where a quoted cell of several lines holds what is a whole row with a known label.

    A quotation mark that is not closed reaches to the next one, which may be many rows below.
    """
    width, place = len(table.header), table.header.index(label)
    known = {cells[place].strip() for cells in table.rows if not any(map(_LINE_END.search, cells))}
    for line, cells in zip(table.lines, table.rows, strict=True):
        for number, cell in enumerate(cells):
            parts = _LINE_END.split(cell)
            for row, part in enumerate(parts if len(parts) > 1 else []):
                before = number if row == 0 else 0  # cells of that line in front of the quoted cell, and after it
                after = width - number - 1 if row == len(parts) - 1 else 0
                inside = part.split(table.separator)
                at = place - before
                if before + len(inside) + after == width and 0 <= at < len(inside) and inside[at].strip() in known:
                    raise BadInput(
                        f"{table.file}, line {line + len(_LINE_END.findall(''.join(cells[:number])))}: the quoted cell "
                        f"that opens here goes on for {len(parts)} lines and holds the row {part[:60]!r}.",
                        f"{_FIX_QUOTES[:-1]}; if this is one text, replace its line ends by blanks.",
                    )


def _check_header(file: Path, header: list[str], wanted: Sequence[str], separator: str) -> None:
    missing = [name for name in wanted if name not in header]
    twice = [name for name in wanted if header.count(name) > 1]
    if twice:
        raise BadInput(
            f"{file} has {header.count(twice[0])} columns of the name {twice[0]!r}.",
            "give each of its columns a name of its own.",
        )
    if missing:
        line = separator.join(header)
        other = next((sign for sign in ",;\t|" if sign != separator and sign in line and len(header) == 1), None)
        fix = f"pass separator={other!r} (on the command line: --separator {other!r})" if other else (
            "name the columns: text=..., label=... (on the command line: --text, --label)"
        )  # fmt: skip
        raise BadInput(
            f"There is no column {', '.join(map(repr, missing))} in {file}; there are: "
            f"{', '.join(map(repr, header[:20]))}.",
            f"{fix}.",
        )


def _labels(table: CsvTable, column: str) -> tuple[list[Any], list[int]]:
    """(classes, code of each row). Classes are all int, if each label is the plain form of an int64, or all str."""
    cells = [cell.strip() for cell in table.column(column)]
    fix = "fill these cells or delete these rows."
    table.refuse([cell.lower() in ("", "nan") for cell in cells], f"the column {column!r} holds no label", fix)
    table.refuse(["\0" in cell for cell in cells], f"the column {column!r} holds a NUL character", fix)
    fractions = [cell for cell in cells if _NUMBER.fullmatch(cell) and not float(cell).is_integer()]
    if fractions and all(map(_NUMBER.fullmatch, cells)):
        raise BadInput(
            f"The column {column!r} holds measurements such as {fractions[0]}.",
            f"name a column of classes as label=, and this one as rating={column!r}; or write classes as words.",
        )
    values: list[Any] = [int(cell) for cell in cells] if all(map(_is_int64, cells)) else cells
    classes = sorted(set(values))
    if 2 * len(classes) > len(cells) > 10:
        raise BadInput(
            f"The column {column!r} holds {len(classes)} different labels in {len(cells)} rows.",
            "name the column that holds classes as label=; each needs many rows.",
        )
    code = {value: number for number, value in enumerate(classes)}
    return classes, [code[value] for value in values]


def _is_int64(cell: str) -> bool:
    return _INTEGER.fullmatch(cell) is not None and -(2**63) <= int(cell) < 2**63


def _ratings(table: CsvTable, column: str) -> list[float]:
    cells = [cell.strip() for cell in table.column(column)]
    numbers = [float(cell) if _NUMBER.fullmatch(cell) else np.nan for cell in cells]
    wrong = [not np.isfinite(number) for number in numbers]
    table.refuse(wrong, f"the column {column!r} holds no number", "fill these cells or delete these rows.")
    return numbers


def _check_usable(frame: pd.DataFrame, classes: Sequence[object], report: CleaningReport) -> None:
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


def _warn_of_dropped_rows(report: CleaningReport) -> None:
    dropped = {kind: getattr(report, kind) for kind in ("empty", "duplicates", "conflicting")}
    if any(dropped.values()):
        reasons = ", ".join(f"{count} {kind}" for kind, count in dropped.items() if count)
        warnings.warn(f"{report.rows - report.kept} of {report.rows} rows dropped: {reasons}.", stacklevel=3)
