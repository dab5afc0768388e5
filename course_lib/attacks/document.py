"""A sentence as words and what stands between them, so that one word can be changed and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# As the attack literature's tools part words: letters and digits, with ' - _ * @ inside.
WORD = re.compile(r"[^\W_](?:\w|['\-*@])*")


@dataclass(frozen=True)
class Document:
    """A text cut into n words and the n + 1 pieces around them.

    Args:
        words: the words as they are now.
        gaps: what stands before, between and after them; one more than words.
        changed: positions whose word is no longer the original's.
    """

    words: tuple[str, ...]
    gaps: tuple[str, ...]
    changed: frozenset[int] = frozenset()

    @classmethod
    def of(cls, text: str) -> Document:
        """Cuts a text; `Document.of(text).text` is the same text."""
        found = list(WORD.finditer(text))
        ends = [0, *(match.end() for match in found)]
        starts = [*(match.start() for match in found), len(text)]
        gaps = tuple(text[end:start] for end, start in zip(ends, starts, strict=True))
        return cls(tuple(match.group() for match in found), gaps)

    @property
    def text(self) -> str:
        """The words and gaps in one string."""
        return self.gaps[0] + "".join(word + gap for word, gap in zip(self.words, self.gaps[1:], strict=True))

    @property
    def spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each word starts and ends in the text, (n,) and (n,)."""
        gaps, words = (np.array([len(piece) for piece in pieces], np.int64) for pieces in (self.gaps, self.words))
        starts = np.cumsum(gaps[:-1]) + np.cumsum(words) - words
        return starts, starts + words

    def replace(self, position: int, word: str) -> Document:
        """The same document with another word at a position."""
        words = (*self.words[:position], word, *self.words[position + 1 :])
        return Document(words, self.gaps, self.changed | {position})

    def without(self, position: int) -> Document:
        """The document without a word and the gap that follows it; positions after it move by one."""
        words, gaps = self.words, self.gaps
        changed = frozenset(at - (at > position) for at in self.changed if at != position)
        return Document(words[:position] + words[position + 1 :], gaps[: position + 1] + gaps[position + 2 :], changed)


def edit_distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Insertions, deletions and substitutions that lead from one to the other (Levenshtein 1966)."""
    row = list(range(len(right) + 1))
    for i, mine in enumerate(left, 1):
        diagonal, row[0] = row[0], i
        for j, theirs in enumerate(right, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (mine != theirs))
    return row[-1]
