"""Noise that changes no word's meaning: punctuation marks and typing errors."""

from __future__ import annotations

import random
from dataclasses import dataclass

from course_lib.attacks.transformations import TYPOS
from course_lib.augmentation.operations import WordOperation, changes
from course_lib.text.document import Document

MARKS = (".", ";", "?", ":", "!", ",")
SHORTEST = 3  # letters of a word that gets a typing error: a shorter one often becomes another word


@dataclass(frozen=True)
class PunctuationInsertion(WordOperation):
    """Inserts 1 to n punctuation marks before random words (AEDA: Karimi et al. 2021, arXiv:2108.13230)."""

    alpha: float = 0.3

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The same words in their order with 1 to n marks, each with a blank after it."""
        gaps, words = list(document.gaps), len(document.words)
        for place in draw.sample(range(words), draw.randint(1, changes(self.alpha, words))):
            gaps[place] += draw.choice(MARKS) + " "
        return Document(document.words, tuple(gaps))

    def __str__(self) -> str:
        return f"punctuation before up to {self.alpha:.0%} of the words"


@dataclass(frozen=True)
class TypoNoise(WordOperation):
    """Makes one typing error in each of n words of three letters or more: a swap, substitution, deletion, insertion."""

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The same sentence, badly typed. Numbers stay as they are."""
        words = list(document.words)
        long = [place for place, word in enumerate(words) if sum(map(str.isalpha, word)) >= SHORTEST]
        for place in draw.sample(long, min(len(long), changes(self.alpha, len(words)))):
            words[place] = _mistyped(words[place], draw)
        return Document(tuple(words), document.gaps)

    def __str__(self) -> str:
        return f"typing errors in {self.alpha:.0%} of the words"


def _mistyped(word: str, draw: random.Random) -> str:
    """By the first kind, in random order, that changes the word: swapping the o's of "good" does not."""
    made = (TYPOS[kind](word, draw) for kind in draw.sample(tuple(TYPOS), len(TYPOS)))
    return next((new for new in made if new and new != word), word)
