"""What may stand in place of a word.

A transformation is prepared for all documents of an attack at once, so that what is dear (a language model, a table
of neighbours) is computed in one batch. What it then gives for one document is its `Substitutes`.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from course_lib import wordnet
from course_lib.attacks.document import Document
from course_lib.attacks.view import Slope, View
from course_lib.errors import BadInput


class Substitutes(Protocol):
    """The words that may stand in one document."""

    def words(self, document: Document, position: int, draw: random.Random) -> list[str]:
        """Different words for a position of the document as it is now, none of them the word itself."""
        ...

    def ranked(
        self, slope: Slope, document: Document, position: int, draw: random.Random
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Words and what each adds to the goal, to first order, in any order."""
        ...


class Transformation(Protocol):
    """Makes candidates for words."""

    def prepare(self, view: View, documents: Sequence[Document]) -> list[Substitutes]:
        """One entry for each document."""
        ...


class _ByWord:
    """For transformations that look at a word alone: nothing to prepare."""

    def prepare(self, view: View, documents: Sequence[Document]) -> list[Substitutes]:
        """Itself, for each document."""
        return [self] * len(documents)

    def candidates(self, word: str, draw: random.Random) -> list[str]:
        """Different words, none of them the word itself; none where the word allows none."""
        raise NotImplementedError

    def words(self, document: Document, position: int, draw: random.Random) -> list[str]:
        """The word's candidates."""
        return self.candidates(document.words[position], draw)

    def ranked(
        self, slope: Slope, document: Document, position: int, draw: random.Random
    ) -> tuple[list[str], NDArray[np.float32]]:
        """The word's candidates by the gradient."""
        return with_gains(slope, document, position, self.words(document, position, draw))


def with_gains(
    slope: Slope, document: Document, position: int, words: list[str]
) -> tuple[list[str], NDArray[np.float32]]:
    """The words and their first-order gains."""
    if not words:
        return [], np.empty(0, np.float32)
    return words, slope.gains(position, document.words[position], words)


def swap_letters(word: str, draw: random.Random) -> str | None:
    """Two neighbouring characters change places."""
    if len(word) < 2:
        return None
    at = draw.randrange(len(word) - 1)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def substitute_letter(word: str, draw: random.Random) -> str | None:
    """A letter of the English alphabet stands in place of a character."""
    at = draw.randrange(len(word))
    return word[:at] + draw.choice(string.ascii_letters) + word[at + 1 :]


def delete_letter(word: str, draw: random.Random) -> str | None:
    """A character is missing; a word of one character keeps it."""
    if len(word) < 2:
        return None
    at = draw.randrange(len(word))
    return word[:at] + word[at + 1 :]


def insert_letter(word: str, draw: random.Random) -> str | None:
    """A letter too many."""
    at = draw.randrange(len(word) + 1)
    return word[:at] + draw.choice(string.ascii_letters) + word[at:]


# Letters of other scripts that look like ours; a reader sees no difference, a tokenizer sees an unknown letter.
LOOKALIKES = {
    "a": "а", "c": "с", "e": "е", "h": "һ", "i": "і", "j": "ј", "o": "о", "p": "р", "s": "ѕ", "x": "х", "y": "у",
    "A": "А", "B": "В", "C": "С", "E": "Е", "H": "Н", "I": "І", "K": "К", "M": "М", "O": "О", "P": "Р", "T": "Т",
}  # fmt: skip


def homoglyph(word: str, draw: random.Random) -> str | None:
    """One letter is replaced by its Cyrillic look-alike, where it has one."""
    places = [at for at, letter in enumerate(word) if letter in LOOKALIKES]
    if not places:
        return None
    at = draw.choice(places)
    return word[:at] + LOOKALIKES[word[at]] + word[at + 1 :]


CharacterChange = Callable[[str, random.Random], str | None]
TYPOS: dict[str, CharacterChange] = {
    "swap": swap_letters,
    "substitute": substitute_letter,
    "delete": delete_letter,
    "insert": insert_letter,
}
CHARACTER_CHANGES: dict[str, CharacterChange] = {**TYPOS, "homoglyph": homoglyph}


@dataclass(frozen=True)
class Characters(_ByWord):
    """One candidate for each kind of change (Gao et al. 2018, arXiv:1801.04354, table 2; look-alikes: Boucher 2021).

    Args:
        kinds: some of swap, substitute, delete, insert, homoglyph; the four typing errors when left out.

    Raises:
        BadInput: an unknown kind, or none.
    """

    kinds: tuple[str, ...] = tuple(TYPOS)

    def __post_init__(self) -> None:
        if not self.kinds or not set(self.kinds) <= set(CHARACTER_CHANGES):
            raise BadInput(f"kinds is {self.kinds!r}", f"use some of {', '.join(CHARACTER_CHANGES)}")

    def candidates(self, word: str, draw: random.Random) -> list[str]:
        """At most one different word for each kind."""
        made = (CHARACTER_CHANGES[kind](word, draw) for kind in self.kinds)
        return list(dict.fromkeys(new for new in made if new is not None and new != word))


@dataclass(frozen=True)
class Synonyms(_ByWord):
    """WordNet's synonyms, inflected as the word is.

    Args:
        same_part_of_speech: only for the part of speech that the word seems to have in its sentence (a heuristic).
        most: of a word, the commonest senses first.

    Raises:
        BadInput: `most` under 1.
    """

    same_part_of_speech: bool = True
    most: int = 50

    def __post_init__(self) -> None:
        check_most(self.most)

    def words(self, document: Document, position: int, draw: random.Random) -> list[str]:
        """The word's synonyms in this sentence."""
        pos = wordnet.likely_pos(document.words, position) if self.same_part_of_speech else None
        return list(wordnet.synonyms(document.words[position], pos)[: self.most])


def check_most(most: int) -> None:
    """Raises BadInput where no candidate is left."""
    if most < 1:
        raise BadInput(f"most is {most}", "use 1 or more candidates")


@dataclass(frozen=True)
class Together(_ByWord):
    """The candidates of several transformations.

    Raises:
        BadInput: none is given.
    """

    parts: tuple[Transformation, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise BadInput("parts is empty", "give one transformation or more")

    def prepare(self, view: View, documents: Sequence[Document]) -> list[Substitutes]:
        """Each part is prepared."""
        prepared = [part.prepare(view, documents) for part in self.parts]
        return [_Joined(one) for one in zip(*prepared, strict=True)]


@dataclass(frozen=True)
class _Joined(_ByWord):
    parts: tuple[Substitutes, ...]

    def words(self, document: Document, position: int, draw: random.Random) -> list[str]:
        return list(dict.fromkeys(word for part in self.parts for word in part.words(document, position, draw)))
