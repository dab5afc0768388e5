"""How much fits on a slide of 1280 x 720 pixels: fonts, heights, and text that is cut where everyone sees it."""

from __future__ import annotations

import html
import re

from nbformat import NotebookNode

COLUMNS = {26: 75, 24: 81, 22: 89, 20: 98}  # size of code in pixels -> characters in a row
CODE_ROWS, OUTPUT_ROWS = 17, 12
_WIDTH = 1200


def room(title: str, lead: list[str]) -> int:
    """The pixels that are left below a title and the blocks of a lead, less the gaps around code and output."""
    return 720 - 56 - 44 * rows_of(title, 58) - sum(map(_height_of_block, lead)) - 56


def _height_of_block(block: str) -> int:
    return 100 if block.startswith("$$") else 14 + 38 * rows_of(block, 80)


def largest_font(height: float, lines: list[str], tables: list[NotebookNode]) -> int | None:
    """The largest font in which all lines and tables fit into the height and the width; None if there is none."""
    for font, columns in COLUMNS.items():
        sizes = [_size_of_table(output.data["text/html"], font) for output in tables]
        needed = 1.25 * font * len(lines) + sum(size[1] for size in sizes)
        wide = any(len(line) > columns for line in lines) or any(size[0] > _WIDTH for size in sizes)
        if needed <= height and not wide:
            return font
    return None


def _size_of_table(text: str, font: int) -> tuple[float, float]:
    """About how wide and high a table of pandas is, or a heat map, whose words wrap."""
    lines = re.findall(r"<tr.*?</tr>", text, re.DOTALL)
    if "dataframe" not in text:
        return 0, 150 + 112 * (len(lines) - 1)
    rows = [re.findall(r"<t[hd].*?>(.*?)</t[hd]>", line, re.DOTALL) for line in lines]
    count = max(map(len, rows))
    widths = [max(len(html.unescape(row[place])) for row in rows if place < len(row)) for place in range(count)]
    return 0.6 * font * sum(widths) + 28 * count, (1.2 * font + 11) * len(rows)


def rows_of(text: str, columns: int) -> int:
    """In how many rows a text is shown."""
    return sum(len(_wrapped(line, columns)) for line in text.splitlines())


def _wrapped(line: str, columns: int) -> list[str]:
    """A line in rows of at most so many characters; each row after the first begins with an arrow."""
    if len(line) <= columns:
        return [line]
    indent = " " * min(len(line) - len(line.lstrip()) + 2, columns // 2) + "↪ "
    places = range(columns // 2 + 5, columns + 1)
    spaces = [at for at in places if line[at] == " "]
    outside = [at for at in spaces if line[:at].count('"') % 2 == line[:at].count("'") % 2 == 0]
    end = max(outside or spaces or [at for at in places if line[at - 1] in "([{,"] or [columns])
    return [line[:end], *_wrapped(indent + line[end:].lstrip(), columns)]


def cut(text: str, rows: int, columns: int, comment: str = "") -> str:
    """As many lines as fit into the rows; the last row then says how many more there are."""
    lines, shown = text.splitlines(), list[str]()
    for number, line in enumerate(lines):
        new, left = _wrapped(line, columns), len(lines) - number
        if len(shown) + len(new) > rows - (left > 1):
            return "\n".join([*shown, f"{comment}… {left} more line{'s' * (left > 1)} in the notebook"])
        shown += new
    return "\n".join(shown)
