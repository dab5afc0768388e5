"""A text as players: words that stay or go, while what stands between them stays."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.explain.attribution import Word


def _marks() -> str:
    """Unicode's combining marks (category M) as ranges for a class of a regular expression."""
    codes = (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))
    runs = groupby(codes, key=lambda code: unicodedata.category(chr(code))[0] == "M")
    ends = [(run[0], run[-1]) for run in (list(run) for is_mark, run in runs if is_mark)]
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ends)


# Runs of letters, digits and _, all that the `lime` package leaves when it splits at \W+. It splits at combining
# marks, too, and at what is not seen (soft hyphen, zero-width space and joiners): here these stand within a word. An
# emoji, which it takes for punctuation, is a word, with its skin tone and with what a zero-width joiner hangs on to it.
_UNSEEN = "\u00ad\u200b-\u200d"
_EMOJI = "[\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
WORD = re.compile(
    rf"\w+(?:[{_marks()}]\w*|[{_UNSEEN}]+\w+)*"
    rf"|[\U0001f1e6-\U0001f1ff]{{2}}|{_EMOJI}(?:[\ufe0f\U0001f3fb-\U0001f3ff]|\u200d{_EMOJI})*"
)  # fmt: skip
REMOVALS = ("delete", "mask")

Coalitions = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Players:
    """The words of a text, and the text without some of them.

    Attributes:
        text: the whole.
        words: n players.
        pieces: the words as they come, one an occurrence.
        gaps: what stands before, between and after them; one more than pieces.
        owner: (pieces,), which player each piece belongs to.
        replacement: what stands where a word was; "" deletes it.
    """

    text: str
    words: tuple[Word, ...]
    pieces: tuple[str, ...]
    gaps: tuple[str, ...]
    owner: NDArray[np.int64]
    replacement: str = ""

    @classmethod
    def of(cls, text: str, *, replacement: str = "", together: bool = False) -> Players:
        """Cuts a text into words.

        Args:
            text: any string.
            replacement: stands where a word is taken out: the `lime` package's `mask_string` with bow=False.
            together: equal words are one player, as in the `lime` package with bow=True (the default there).
        """
        found = list(WORD.finditer(text))
        pieces = tuple(match.group() for match in found)
        names = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
        owner = np.array([names[one] for one in pieces] if together else range(len(pieces)), np.int64)
        spans: list[list[tuple[int, int]]] = [[] for _ in (names if together else pieces)]
        for player, match in zip(owner, found, strict=True):
            spans[player].append(match.span())
        words = tuple(Word(text[places[0][0] : places[0][1]], tuple(places)) for places in spans)
        ends, starts = [0, *(match.end() for match in found)], [*(match.start() for match in found), len(text)]
        gaps = tuple(text[end:start] for end, start in zip(ends, starts, strict=True))
        return cls(text, words, pieces, gaps, owner, replacement)

    def __len__(self) -> int:
        return len(self.words)

    def render(self, coalitions: Coalitions) -> list[str]:
        """The text with the words of each coalition alone.

        Args:
            coalitions: (rows, n), True where a word stays.
        """
        kept, first = coalitions[:, self.owner].tolist(), self.gaps[0]
        parts = [(piece + gap, self.replacement + gap) for piece, gap in zip(self.pieces, self.gaps[1:], strict=True)]
        return [first + "".join([stays if keep else goes for keep, (stays, goes) in zip(row, parts, strict=True)])
                for row in kept]  # fmt: skip

    def owner_of_characters(self) -> NDArray[np.int64]:
        """(characters + 1,), the player whose word a character is in, -1 for none."""
        owner = np.full(len(self.text) + 1, -1, np.int64)
        for player, word in enumerate(self.words):
            for start, end in word.spans:
                owner[start:end] = player
        return owner


def replacement_for(classifier: Any, removal: str) -> str:
    """What stands where a word is removed.

    Args:
        classifier: its tokenizer knows the mask token.
        removal: `delete`, or `mask` for the tokenizer's mask token.

    Raises:
        BadInput: an unknown removal, or `mask` for a classifier without a mask token.
    """
    if removal not in REMOVALS:
        raise BadInput(f"removal is {removal!r}", f"use one of {', '.join(REMOVALS)}")
    if removal == "delete":
        return ""
    token = getattr(getattr(classifier, "tokenizer_", None), "mask_token", None)
    if not token:
        raise BadInput(f"a {type(classifier).__name__} has no mask token", "use removal='delete'")
    return str(token)
