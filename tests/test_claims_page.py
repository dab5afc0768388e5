"""Each figure of the claims page is in a stored output, which nbval compares, of the section that the page links."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import NamedTuple

import pytest
from nbformat import NotebookNode
from notebook_cells import NOTEBOOKS, is_compared, read

PAGE = (NOTEBOOKS / "claims.md").read_text(encoding="utf-8")
LINK = re.compile(r"\]\(([^)#\s]+)#?([^)\s]*)\)")
NUMBER = re.compile(r"(?<![\w.@])\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?(?!\w|\.\d)")  # not the 4 of BERT4Rec


class Row(NamedTuple):
    """A row of a table of claims."""

    claim: str
    verdict: str
    measured: str
    where: str


@cache
def section(file: str, heading: str) -> tuple[str, str]:
    """The text and the compared outputs from a heading to the next one of its level or above; empty without it."""
    text, outputs, level = "", "", 0
    for cell in read(NOTEBOOKS / file).cells:
        for line in cell.source.splitlines():
            signs, _, title = line.partition(" ")
            if cell.cell_type == "markdown" and set(signs) == {"#"}:
                if title.replace(" ", "-") == heading:
                    level = len(signs)
                elif len(signs) <= level:
                    return text, outputs
            text += f"{line}\n" if level else ""
        outputs += printed(cell) if level else ""
    return text, outputs


def printed(cell: NotebookNode) -> str:
    """What the cell prints, as far as nbval compares it."""
    outputs = cell.outputs if cell.cell_type == "code" and is_compared(cell) else []
    shown = [output for output in outputs if output.get("name") != "stderr"]
    return "".join(f"{output.get('text') or output.get('data', {}).get('text/plain')}\n" for output in shown)


def numbers(text: str) -> set[Decimal]:
    return {Decimal(number.replace(",", "")) for number in NUMBER.findall(text)}


def unsupported(row: Row) -> set[Decimal]:
    """Figures that no linked section prints. A whole number, such as a sample size, may be in the text of a section."""
    linked = [section(*link) for link in LINK.findall(row.where)]
    text, outputs = (numbers("".join(part[place] for part in linked)) for place in (0, 1))
    whole = {one for one in numbers(re.sub(r"[\d.]+ %", "", row.measured)) & text if one % 1 == 0}
    scale = 100 if re.search(r"%|points", row.measured) else 1  # 86.4 % may be printed as 0.864
    return {one for one in numbers(row.measured) - whole if not {one, one / scale} & outputs}


LINES = [line.strip("| ").split(" | ") for line in PAGE.splitlines()]
ROWS = [Row(*cells) for cells in LINES if len(cells) == 4 and cells[1] != "verdict"]


def test_each_verdict_is_one_of_four_and_thirty_claims_have_one() -> None:
    assert len(ROWS) >= 30
    assert {row.verdict for row in ROWS} == {"holds", "holds with a condition", "does not hold here", "not measured"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.claim)
def test_every_figure_of_a_claim_is_printed_in_a_linked_section(row: Row) -> None:
    assert bool(numbers(row.measured)) == (row.verdict != "not measured")
    assert unsupported(row) == set()


def test_four_of_five_wrong_digits_are_noticed() -> None:
    noticed = []
    for row, found in ((one, found) for one in ROWS for found in NUMBER.finditer(one.measured)):
        before, digit, after = row.measured[: found.end() - 1], int(found[0][-1]), row.measured[found.end() :]
        noticed.append(bool(unsupported(row._replace(measured=f"{before}{(digit + 1) % 10}{after}"))))
    assert sum(noticed) >= 0.8 * len(noticed)


def test_each_link_leads_to_a_notebook_and_to_a_heading_in_it() -> None:
    assert [file for file, _ in LINK.findall(PAGE) if not (NOTEBOOKS / file).is_file()] == []
    assert [link for link in LINK.findall(PAGE) if link[1] and not any(section(*link))] == []
