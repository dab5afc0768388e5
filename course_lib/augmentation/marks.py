"""Noise that touches no word's meaning: punctuation marks and typing errors."""

from __future__ import annotations

import random
from dataclasses import dataclass

from course_lib.attacks.document import Document
from course_lib.attacks.transformations import TYPOS
from course_lib.augmentation.operation import WordOperation, changes, check_share
from course_lib.errors import BadInput

MARKS = (".", ";", "?", ":", "!", ",")
SHORTEST = 3  # letters of a word that gets a typing error: a shorter one often becomes another word


@dataclass(frozen=True)
class PunctuationInsertion(WordOperation):
    """Punctuation marks before random words (AEDA: Karimi et al. 2021, arXiv:2108.13230). All words stay, in order.

    Args:
        share: at most so many marks for each word; at least one is put in.

    Raises:
        BadInput: share is not above 0 and at most 1.
    """

    share: float = 0.3

    def __post_init__(self) -> None:
        check_share("share", self.share)

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The same words with 1 to share * words marks, each with a blank behind it."""
        gaps, words = list(document.gaps), len(document.words)
        for place in draw.sample(range(words), draw.randint(1, changes(self.share, words))):
            gaps[place] += draw.choice(MARKS) + " "
        return Document(document.words, tuple(gaps))

    def __str__(self) -> str:
        return f"punctuation before up to {self.share:.0%} of the words"


@dataclass(frozen=True)
class TypoNoise(WordOperation):
    """One typing error in each of n = max(1, rate * words) words of three letters or more.

    Args:
        rate: share of the words.
        kinds: some of swap, substitute, delete, insert.

    Raises:
        BadInput: rate is not above 0 and at most 1, an unknown kind, or none.
    """

    rate: float = 0.1
    kinds: tuple[str, ...] = tuple(TYPOS)

    def __post_init__(self) -> None:
        check_share("rate", self.rate)
        if isinstance(self.kinds, str) or not self.kinds or not set(self.kinds) <= set(TYPOS):
            raise BadInput(f"kinds is {self.kinds!r}", f"use some of {', '.join(TYPOS)}, in a tuple")

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The same sentence, badly typed. Numbers stay as they are."""
        words = list(document.words)
        long = [place for place, word in enumerate(words) if sum(map(str.isalpha, word)) >= SHORTEST]
        for place in draw.sample(long, min(len(long), changes(self.rate, len(words)))):
            words[place] = self._mistyped(words[place], draw)
        return Document(tuple(words), document.gaps)

    def _mistyped(self, word: str, draw: random.Random) -> str:
        """By the first kind, in random order, that shows: swapping the o's of "good" does not."""
        made = (TYPOS[kind](word, draw) for kind in draw.sample(self.kinds, len(self.kinds)))
        return next((new for new in made if new and new != word), word)

    def __str__(self) -> str:
        return f"typing errors in {self.rate:.0%} of the words"
