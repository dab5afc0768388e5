"""Which sentences of a notebook's Markdown are shown on a slide; all of them are in the speaker's notes."""

from __future__ import annotations

import re

from course_lib.workshop.fitting import rows_of

_BLOCK = re.compile(r"(?:```.*?\n```|\$\$.*?\$\$|\S.*?)(?=\n\s*\n|\Z)", re.DOTALL)
_SENTENCE_END = re.compile(r"(?:(?<=[.?!])|(?<=[.?!][\"”)]))(?<!et al\.)(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z*`$\"“(\[])")
_ITEM = re.compile(r"^(- |\d+\. )", re.MULTILINE)
_LIST_OR_FORMULA = re.compile(r"- |\d+\. |\$\$")
_NOT_PROSE = re.compile(r"- |\d+\. |\||\$\$|```|>|<|#")
LEAD_ROWS, DIAGRAM_ROWS = 11, 22


def blocks_of(text: str) -> list[str]:
    """The paragraphs, lists, tables, formulas and fenced blocks of a Markdown text."""
    return [match[0].strip() for match in _BLOCK.finditer(text)]


def lead(blocks: list[str]) -> str:
    """The first sentences of a section, and its first list, table, formula or diagram if that is small."""
    others = [_short_items(block) for block in blocks if _NOT_PROSE.match(block)][:1]
    small = [one for one in others if _is_small(one)]
    first = next((place for place, block in enumerate(blocks) if not _NOT_PROSE.match(block)), None)
    if first is None or (small and first > 0):
        return "".join(small)
    shown = first_sentences(blocks[first:], most=200)
    return shown if "\n\n" in shown else "\n\n".join([shown, *small])


def first_sentences(blocks: list[str], most: int = 320) -> str:
    """The first sentences of a paragraph; if they end with a colon, also the list or formula that follows."""
    sentences = _SENTENCE_END.split(blocks[0])
    follows = [one for one in map(_short_items, blocks[1:2]) if _LIST_OR_FORMULA.match(one) and _is_small(one)]
    shown = sentences[:1]
    while len(shown) < len(sentences) and len(" ".join(sentences[: len(shown) + 1])) <= most:
        shown.append(sentences[len(shown)])
    if shown[-1].endswith((".", "?", "!")) or len(shown) < len(sentences):
        follows = []
    elif not follows and len(shown) > 1:  # it introduces something that is not shown
        shown.pop()
    return "\n\n".join([" ".join(shown), *follows])


def sentence_before(blocks: list[str]) -> str:
    """The last question before a cell, or else the last sentence; none that is long."""
    if not blocks or _NOT_PROSE.match(blocks[-1]):
        return ""
    sentences = _SENTENCE_END.split(blocks[-1])
    last = next((one for one in reversed(sentences) if one.endswith("?")), sentences[-1])
    return last if len(last) <= 150 else ""


def _is_small(block: str) -> bool:
    return rows_of(block, 75) <= (DIAGRAM_ROWS if "```" in block else LEAD_ROWS)


def _short_items(block: str) -> str:
    """Of each item of a list its first sentence; other blocks as they are."""
    if not _ITEM.match(block):
        return block
    _, *parts = _ITEM.split(block)
    items = zip(parts[::2], parts[1::2], strict=True)
    return "\n".join(mark + _SENTENCE_END.split(text.strip())[0] for mark, text in items)
