"""Constraints that look at what a text says: parts of speech, opposites, similarity of whole sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from course_lib import wordnet
from course_lib.attacks.constraints import EveryPosition
from course_lib.attacks.document import Document
from course_lib.classifier import sentence_vectors
from course_lib.errors import BadInput


@dataclass(frozen=True)
class NoAntonyms(EveryPosition):
    """No word gives way to its opposite, as WordNet names it."""

    def allows(self, original: Document, changed: Document) -> bool:
        """Each changed word against the original's."""
        return not any(wordnet.are_antonyms(original.words[at], changed.words[at]) for at in changed.changed)


@dataclass(frozen=True)
class SamePartOfSpeech(EveryPosition):
    """A new word can be what the old one seems to be in its sentence; a word unknown to WordNet may be anything."""

    def allows(self, original: Document, changed: Document) -> bool:
        """The old word's part of speech, guessed in context, is one that the new word can have."""
        for at in changed.changed:
            old = wordnet.likely_pos(original.words, at)
            new = wordnet.parts_of_speech(changed.words[at])
            if old and new and old not in new:
                return False
        return True


@dataclass(frozen=True)
class SentenceSimilarity(EveryPosition):
    """The cosine of the two sentences' vectors, by the untouched course encoder, stays at or above a bound.

    It costs a pass of that encoder for each candidate, so it is asked last and for all candidates of a round at once.
    High values promise less than they seem to: a sentence and its opposite lie close together (Morris et al. 2020,
    arXiv:2004.14174).

    Raises:
        BadInput: a bound outside -1 to 1.
    """

    least_cosine: float = 0.8

    def __post_init__(self) -> None:
        if not -1 <= self.least_cosine <= 1:
            raise BadInput(f"least_cosine is {self.least_cosine}", "use a cosine from -1 to 1")

    def allows(self, original: Document, changed: Document) -> bool:
        """One pair; the engine asks for many by `allows_all`."""
        return bool(self.allows_all([original.text], [changed.text])[0])

    def allows_all(self, originals: Sequence[str], changed: Sequence[str]) -> NDArray[np.bool_]:
        """(n,) for n pairs, each different text encoded once."""
        return similarity(originals, changed) >= self.least_cosine


def similarity(left: Sequence[str], right: Sequence[str]) -> NDArray[np.float32]:
    """Cosines of the course encoder's sentence vectors, (n,)."""
    different = list(dict.fromkeys([*left, *right]))
    vectors = sentence_vectors(different)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    place = {text: i for i, text in enumerate(different)}
    pairs = (vectors[[place[text] for text in one]] for one in (left, right))
    cosines: NDArray[np.float32] = np.einsum("nh,nh->n", *pairs)
    return cosines
