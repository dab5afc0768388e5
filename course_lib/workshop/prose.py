"""Which sentences of a notebook's Markdown are shown on a slide; all of them are in the speaker's notes."""

from __future__ import annotations

import re

from course_lib.workshop.fitting import rows_of

_BLOCK = re.compile(r"(?:```.*?\n```|\$\$.*?\$\$|\S.*?)(?=\n\s*\n|\Z)", re.DOTALL)
_SENTENCE_END = re.compile(r"(?:(?<=[.?!])|(?<=[.?!][\"”)]))(?<!et al\.)(?<!e\.g\.)(?<!i\.e\.)\s+(?=[A-Z*`$\"“(\[])")
_ITEM = re.compile(r"- |\d+\. ")
_NOT_PROSE = re.compile(r"- |\d+\. |\||\$\$|```|>|<|#")
LEAD_ROWS, DIAGRAM_ROWS = 11, 22


def blocks_of(text: str) -> list[str]:
    """The paragraphs, lists, tables, formulas and fenced blocks of a Markdown text."""
    return [match[0].strip() for match in _BLOCK.finditer(text)]


def lead(blocks: list[str]) -> str:
    """The first sentences of a section, and its first list, table, formula or diagram if that is small."""
    paragraphs = [block for block in blocks if not _NOT_PROSE.match(block)]
    others = [_short_items(block) for block in blocks if _NOT_PROSE.match(block)]
    shown = [first_sentences(paragraphs[:1], most=200)] if paragraphs else []
    small = [one for one in others[:1] if rows_of(one, 75) <= (DIAGRAM_ROWS if "```" in one else LEAD_ROWS)]
    return "\n\n".join(shown + small)


def first_sentences(blocks: list[str], most: int = 320) -> str:
    """The first sentences of a paragraph; if they end with a colon, also the list or formula that follows."""
    shown = ""
    for sentence in _SENTENCE_END.split(blocks[0]):
        if shown and len(shown) + len(sentence) > most:
            break
        shown += f" {sentence}"
    ends = shown.endswith((".", "?", "!")) or not shown.endswith(blocks[0])
    follows = [] if ends else [_short_items(one) for one in blocks[1:2] if re.match(r"- |\d+\. |\$\$", one)]
    return "\n\n".join([shown.strip(), *follows])


def sentence_before(blocks: list[str]) -> str:
    """The last question before a cell, or else the last sentence; none that is long."""
    if not blocks or _NOT_PROSE.match(blocks[-1]):
        return ""
    sentences = _SENTENCE_END.split(blocks[-1])
    last = next((one for one in reversed(sentences) if one.endswith("?")), sentences[-1])
    return last if len(last) <= 150 else ""


def _short_items(block: str) -> str:
    """Of each item of a list its first sentence; other blocks as they are."""
    if not _ITEM.match(block):
        return block
    return "\n".join(_SENTENCE_END.split(item)[0] for item in re.split(r"\n(?=- |\d+\. )", block))
