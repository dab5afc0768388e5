"""A text as words and the gaps between them, so that one word can be changed and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

# Words as the tools of the attack literature split them: letters and digits, with ' - _ * @ and marks inside.
WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{N}\p{M}_'\-*@]*")

# Scripts that write no blanks between words. Each character there, with its combining marks, is a unit of its own.
_WITHOUT_BLANKS = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\u30fc\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}--[\p{P}\p{M}]]\p{M}*",
    regex.VERSION1,
)


def word_spans(text: str, pattern: regex.Pattern[str] = WORD) -> list[tuple[int, int]]:
    """Start and end of each word of a text, in characters.

    A word is a match of the pattern. Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan, which are written
    without blanks, are split into characters.

    Args:
        text: any string.
        pattern: matches a word.
    """
    if text.isascii():
        return [match.span() for match in pattern.finditer(text)]
    spans, start = list[tuple[int, int]](), 0
    for unit in _WITHOUT_BLANKS.finditer(text):
        spans += [match.span() for match in pattern.finditer(text, start, unit.start())]
        spans.append(unit.span())
        start = unit.end()
    return spans + [match.span() for match in pattern.finditer(text, start)]


@dataclass(frozen=True)
class Document:
    """A text split into n words and the n + 1 gaps around them.

    Args:
        words: the words as they are now.
        gaps: the text before, between and after them; one more than words.
        changed: positions whose word is no longer the original's.
    """

    words: tuple[str, ...]
    gaps: tuple[str, ...]
    changed: frozenset[int] = frozenset()

    @classmethod
    def of(cls, text: str, pattern: regex.Pattern[str] = WORD) -> Document:
        """Splits a text as `word_spans` does; `Document.of(text).text` is the same text."""
        spans = word_spans(text, pattern)
        ends, starts = [0, *(end for _, end in spans)], [*(start for start, _ in spans), len(text)]
        gaps = tuple(text[end:start] for end, start in zip(ends, starts, strict=True))
        return cls(tuple(text[start:end] for start, end in spans), gaps)

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

    def word_of_characters(self) -> NDArray[np.int64]:
        """(characters + 1,), the number of the word that each character is in, -1 for none."""
        lengths = [len(piece) for pair in zip(self.gaps, (*self.words, ""), strict=True) for piece in pair]
        numbers = [number for word in range(len(self.words) + 1) for number in (-1, word)]
        return np.append(np.repeat(numbers, lengths), -1).astype(np.int64)

    def replace(self, position: int, word: str) -> Document:
        """The same document with another word at a position."""
        words = (*self.words[:position], word, *self.words[position + 1 :])
        return Document(words, self.gaps, self.changed | {position})

    def without(self, position: int) -> Document:
        """The document without a word and the gap after it; the positions that follow decrease by one."""
        words, gaps = self.words, self.gaps
        changed = frozenset(at - (at > position) for at in self.changed if at != position)
        return Document(words[:position] + words[position + 1 :], gaps[: position + 1] + gaps[position + 2 :], changed)


def match_case(word: str, like: str) -> str:
    """The word with the capitals of another: great, Good -> Great; great, GOOD -> GREAT; iPod, Good -> IPod."""
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word[:1].upper() + word[1:] if like[:1].isupper() else word
