"""What an adversarial text must keep: rules about words, counts, and meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from course_lib import wordnet
from course_lib.batching import unique_rows
from course_lib.classifier import sentence_vectors
from course_lib.errors import BadInput
from course_lib.text.document import Document

# The commonest function words of English; readers see a change in one, and it seldom changes the prediction.
STOP_WORDS = frozenset(
    {"a", "an", "and", "as", "at", "be", "by", "for", "from", "in", "is", "it", "of", "on", "or"}
    | {"that", "the", "this", "to", "was", "with"}
)


class Constraint:
    """Two checks, the cheap one first."""

    def allows_position(self, document: Document, position: int) -> bool:
        """Whether the word there may be changed at all; the document is the one that the search has reached."""
        return True

    def allows(self, original: Document, changed: Document) -> bool:
        """Whether a changed document, whose positions are the original's, may be queried and returned."""
        return True


@dataclass(frozen=True)
class KeepWords(Constraint):
    """Some words stay as they are.

    Args:
        words: in lower case.
    """

    words: frozenset[str] = STOP_WORDS

    def allows_position(self, document: Document, position: int) -> bool:
        return document.words[position].lower() not in self.words

    def allows(self, original: Document, changed: Document) -> bool:
        return all(self.allows_position(original, position) for position in changed.changed)

    def __str__(self) -> str:
        return f"KeepWords({len(self.words)} words)"


@dataclass(frozen=True)
class AvoidWords(Constraint):
    """Some words are never put in: those that name a label would change it for a reader, too.

    Args:
        words: in lower case.
    """

    words: frozenset[str] = frozenset({"negative", "positive"})

    def allows(self, original: Document, changed: Document) -> bool:
        return not any(changed.words[position].lower() in self.words for position in changed.changed)

    def __str__(self) -> str:
        return f"AvoidWords({', '.join(sorted(self.words))})"


@dataclass(frozen=True)
class EachWordOnce(Constraint):
    """A word that was changed is not changed again."""

    def allows_position(self, document: Document, position: int) -> bool:
        return position not in document.changed


@dataclass(frozen=True)
class MaxEditDistance(Constraint):
    """At most so many characters of the whole text differ (Levenshtein distance).

    Raises:
        BadInput: a negative distance.
    """

    distance: int = 30

    def __post_init__(self) -> None:
        if self.distance < 0:
            raise BadInput(f"distance is {self.distance}", "use 0 or more characters")

    def allows(self, original: Document, changed: Document) -> bool:
        """Adds the words' distances, which is never less than the distance of the texts."""
        pairs = ((original.words[i], changed.words[i]) for i in changed.changed)
        return sum(Levenshtein.distance(old, new) for old, new in pairs) <= self.distance


@dataclass(frozen=True)
class MaxWordsChanged(Constraint):
    """At most this fraction of a text's words is changed, and one word always may be.

    Raises:
        BadInput: a fraction outside 0 to 1.
    """

    fraction: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise BadInput(f"fraction is {self.fraction}", "use a fraction of the words from 0 to 1")

    def allows(self, original: Document, changed: Document) -> bool:
        return len(changed.changed) <= max(1, int(self.fraction * len(original.words)))


@dataclass(frozen=True)
class NoAntonyms(Constraint):
    """No word is replaced by its antonym, by WordNet."""

    def allows(self, original: Document, changed: Document) -> bool:
        return not any(wordnet.are_antonyms(original.words[at], changed.words[at]) for at in changed.changed)


@dataclass(frozen=True)
class SamePartOfSpeech(Constraint):
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
class SentenceSimilarity(Constraint):
    """The cosine of the two sentences' vectors, by the untouched course encoder, stays at or above a bound.

    It costs a pass of that encoder for each candidate, so the attack checks it last, for all candidates of a round at
    once. High values guarantee little: a sentence and its opposite lie close together (Morris et al.
    2020, arXiv:2004.14174).

    Raises:
        BadInput: a bound outside -1 to 1.
    """

    least_cosine: float = 0.8

    def __post_init__(self) -> None:
        check_cosine(self.least_cosine)

    def allows(self, original: Document, changed: Document) -> bool:
        """One pair; the attack checks many by `allows_all`."""
        return bool(self.allows_all([original.text], [changed.text])[0])

    def allows_all(self, originals: Sequence[str], changed: Sequence[str]) -> NDArray[np.bool_]:
        """(n,) for n pairs, each different text encoded once."""
        return similarity(originals, changed) >= self.least_cosine


def check_cosine(least_cosine: float) -> None:
    """Raises BadInput for a number that is no cosine."""
    if not -1 <= least_cosine <= 1:
        raise BadInput(f"least_cosine is {least_cosine}", "use a cosine from -1 to 1")


def similarity(left: Sequence[str], right: Sequence[str]) -> NDArray[np.float32]:
    """Cosines of the course encoder's sentence vectors, (n,)."""
    different, rows = unique_rows([*left, *right])
    vectors = sentence_vectors(different)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosines: NDArray[np.float32] = np.einsum("nh,nh->n", vectors[rows[: len(left)]], vectors[rows[len(left) :]])
    return cosines
