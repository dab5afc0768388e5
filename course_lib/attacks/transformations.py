"""What may replace a word: typing errors, homoglyphs, synonyms.

A transformation is prepared for all documents of an attack at once, so that what is expensive (a language model, a
table of neighbours) is computed in one batch. What it then offers for one document is its `Substitutes`.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from course_lib import wordnet
from course_lib.attacks.victim import VictimModel, WordGradient
from course_lib.errors import BadInput
from course_lib.text.document import Document


class Substitutes:
    """The words that may be put into one document."""

    def words(self, document: Document, position: int, rng: random.Random) -> list[str]:
        """Different words for a position of the document as it is now, none of them the word itself."""
        raise NotImplementedError

    def ranked(
        self, gradient: WordGradient, document: Document, position: int, rng: random.Random
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Words and what each adds to the goal, to first order, the most promising first."""
        words = self.words(document, position, rng)
        if not words:
            return [], np.empty(0, np.float32)
        gains = gradient.gains(position, document.words[position], words)
        order = np.argsort(-gains, kind="stable")
        return [words[i] for i in order], gains[order]


class Transformation:
    """Makes candidates for words."""

    needs_gradients = False

    def check(self, victim: VictimModel) -> None:
        """Raises BadInput where the transformation cannot work with the model."""
        if self.needs_gradients:
            victim.check_gradients()

    def prepare(self, victim: VictimModel, documents: Sequence[Document]) -> list[Substitutes]:
        """One entry for each document."""
        raise NotImplementedError


class _WordTransformation(Transformation, Substitutes):
    """For transformations that need no preparation."""

    def prepare(self, victim: VictimModel | None, documents: Sequence[Document]) -> list[Substitutes]:
        """Itself, for each document."""
        return [self] * len(documents)


def swap_letters(word: str, rng: random.Random) -> str | None:
    """Two neighbouring characters change places."""
    if len(word) < 2:
        return None
    at = rng.randrange(len(word) - 1)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def substitute_letter(word: str, rng: random.Random) -> str | None:
    """A letter of the English alphabet replaces a character."""
    at = rng.randrange(len(word))
    return word[:at] + rng.choice(string.ascii_letters) + word[at + 1 :]


def delete_letter(word: str, rng: random.Random) -> str | None:
    """A character is missing; a word of one character keeps it."""
    if len(word) < 2:
        return None
    at = rng.randrange(len(word))
    return word[:at] + word[at + 1 :]


def insert_letter(word: str, rng: random.Random) -> str | None:
    """A letter too many."""
    at = rng.randrange(len(word) + 1)
    return word[:at] + rng.choice(string.ascii_letters) + word[at:]


# Cyrillic letters that look like ours: readers see no difference, but for a tokenizer the letter is unknown.
HOMOGLYPHS = {
    "a": "а", "c": "с", "e": "е", "h": "һ", "i": "і", "j": "ј", "o": "о", "p": "р", "s": "ѕ", "x": "х", "y": "у",
    "A": "А", "B": "В", "C": "С", "E": "Е", "H": "Н", "I": "І", "K": "К", "M": "М", "O": "О", "P": "Р", "T": "Т",
}  # fmt: skip


def homoglyph(word: str, rng: random.Random) -> str | None:
    """One letter is replaced by its Cyrillic homoglyph, where it has one."""
    places = [at for at, letter in enumerate(word) if letter in HOMOGLYPHS]
    if not places:
        return None
    at = rng.choice(places)
    return word[:at] + HOMOGLYPHS[word[at]] + word[at + 1 :]


CharacterChange = Callable[[str, random.Random], str | None]
TYPOS: dict[str, CharacterChange] = {
    "swap": swap_letters,
    "substitute": substitute_letter,
    "delete": delete_letter,
    "insert": insert_letter,
}
CHARACTER_CHANGES: dict[str, CharacterChange] = {**TYPOS, "homoglyph": homoglyph}


@dataclass(frozen=True)
class Characters(_WordTransformation):
    """One candidate for each kind of change (Gao et al. 2018, arXiv:1801.04354, table 2; homoglyphs: Boucher 2021).

    Args:
        kinds: some of swap, substitute, delete, insert, homoglyph; the four typing errors when left out.

    Raises:
        BadInput: an unknown kind, or none.
    """

    kinds: tuple[str, ...] = tuple(TYPOS)

    def __post_init__(self) -> None:
        if not self.kinds or not set(self.kinds) <= set(CHARACTER_CHANGES):
            raise BadInput(f"kinds is {self.kinds!r}", f"use some of {', '.join(CHARACTER_CHANGES)}")

    def candidates(self, word: str, rng: random.Random) -> list[str]:
        """At most one different word for each kind."""
        made = (CHARACTER_CHANGES[kind](word, rng) for kind in self.kinds)
        return list(dict.fromkeys(new for new in made if new is not None and new != word))

    def words(self, document: Document, position: int, rng: random.Random) -> list[str]:
        """The word's candidates."""
        return self.candidates(document.words[position], rng)


@dataclass(frozen=True)
class Synonyms(_WordTransformation):
    """WordNet's synonyms for the word's likely part of speech (a heuristic), inflected as the word is.

    Args:
        most: of a word, the commonest senses first.

    Raises:
        BadInput: `most` under 1.
    """

    most: int = 50

    def __post_init__(self) -> None:
        check_most(self.most)

    def words(self, document: Document, position: int, rng: random.Random) -> list[str]:
        """The word's synonyms in this sentence."""
        pos = wordnet.likely_pos(document.words, position)
        return list(wordnet.synonyms(document.words[position], pos)[: self.most])


def check_most(most: int) -> None:
    """Raises BadInput where no candidate is left."""
    if most < 1:
        raise BadInput(f"most is {most}", "use 1 or more candidates")
