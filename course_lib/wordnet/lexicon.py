"""The files of WordNet 3.0: read once, parsed line by line on first use.

Each part of speech has two files: index.POS gives the senses of a lemma, data.POS the words of a sense (a
"synset") and its pointers to others. Offsets count the bytes of a file with LF line ends and ours have CRLF, so
lines are found by the number they begin with, not by seeking (as NLTK's reader does).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from course_lib import assets
from course_lib.errors import BadInput

PARTS_OF_SPEECH = ("noun", "verb", "adj", "adv")

_CODES = {"n": "noun", "v": "verb", "a": "adj", "s": "adj", "r": "adv"}  # s: a satellite of another adjective
_INDEX_LINE = re.compile(r"^([^ _\n]+) (.*)$", re.MULTILINE)  # lemmas of one word; the licence begins with blanks
_DATA_LINE = re.compile(r"^(\d{8}) ([^|\n]*)", re.MULTILINE)  # without the definition after "|"


@dataclass(frozen=True, slots=True)
class Pointer:
    """A relation: `symbol` ("!" antonym, "&" similar, ...) from word number `source` to word number `target` of
    another synset. Words count from 1; 0 is the synset as a whole."""

    symbol: str
    pos: str
    offset: str
    source: int
    target: int


@dataclass(frozen=True, slots=True)
class Synset:
    """One sense: the words that share it, as WordNet spells them ("New_York"), each with its marker.

    markers: position of an adjective: "a" before a noun only, "p" after a verb only, "ip" right after a noun,
        "" anywhere.
    """

    words: tuple[str, ...]
    markers: tuple[str, ...]
    satellite: bool


@dataclass(frozen=True, slots=True)
class Senses:
    """The synsets of a lemma as one part of speech, commonest first.

    tagged: how many of them, from the first on, occur in the texts that the makers of WordNet tagged by hand.
    """

    offsets: tuple[str, ...]
    tagged: int


def check_pos(pos: str) -> None:
    """Raises BadInput unless pos is noun, verb, adj or adv."""
    if pos not in PARTS_OF_SPEECH:
        raise BadInput(f"pos is {pos!r}", f"use one of {', '.join(PARTS_OF_SPEECH)}")


@cache
def _folder() -> Path:
    return assets.path("wordnet")


def _text(name: str) -> str:
    return (_folder() / name).read_bytes().decode("ascii")


@cache
def index(pos: str) -> dict[str, str]:
    """Lemma of one word, in lower case -> the rest of its line."""
    return dict(_INDEX_LINE.findall(_text(f"index.{pos}")))


@cache
def data(pos: str) -> dict[str, str]:
    """Offset -> the rest of the synset's line, without its definition."""
    return dict(_DATA_LINE.findall(_text(f"data.{pos}")))


@cache
def exceptions(pos: str) -> dict[str, tuple[str, ...]]:
    """Irregular form -> its lemmas, of one word each."""
    lines = (line.split() for line in _text(f"{pos}.exc").splitlines())
    return {form: tuple(lemmas) for form, *lemmas in lines if "_" not in form}


@cache
def senses(lemma: str, pos: str) -> Senses:
    """What the lemma (in lower case, one word) means as this part of speech; no offsets if WordNet lacks it."""
    fields = index(pos).get(lemma, "").split()
    if not fields:
        return Senses((), 0)
    count = int(fields[1])
    return Senses(tuple(fields[-count:]), int(fields[-count - 1]))


@cache
def synset(pos: str, offset: str) -> Synset:
    """One sense. Its line: file number, type, number of words (hexadecimal), then word and number in turns."""
    fields = data(pos)[offset].split()
    words = fields[3 : 3 + 2 * int(fields[2], 16) : 2]
    if pos != "adj":
        return Synset(tuple(words), ("",) * len(words), satellite=False)
    parts = [word.partition("(") for word in words]
    return Synset(
        tuple(name for name, _, _ in parts), tuple(marker.rstrip(")") for _, _, marker in parts), fields[1] == "s"
    )


@cache
def pointers(pos: str, offset: str) -> tuple[Pointer, ...]:
    """A sense's relations. They follow its words: how many, then symbol, offset, type and source and target
    (two hexadecimal digits each) of every one."""
    fields = data(pos)[offset].split()
    start = 3 + 2 * int(fields[2], 16)
    quadruples = (fields[at : at + 4] for at in range(start + 1, start + 1 + 4 * int(fields[start]), 4))
    return tuple(
        Pointer(symbol, _CODES[code], offset, int(ends[:2], 16), int(ends[2:], 16))
        for symbol, offset, code, ends in quadruples
    )
