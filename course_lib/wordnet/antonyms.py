"""Opposites, as WordNet's pointers have them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from course_lib.wordnet.lexicon import Pointer, pointers, senses, synset
from course_lib.wordnet.morphology import lemmas


@lru_cache(maxsize=1 << 17)
def antonyms(word: str) -> frozenset[str]:
    """The lemmas, in lower case, that mean the opposite of the word in one of its senses.

    Direct ones ("!": good, bad) and, for an adjective that WordNet files as similar ("&") to another, those of the
    other: "awful" is like "bad", so "good" is its antonym. Opposites of opposites' neighbours (awful, superb) are
    not in it. A lemma of several words is written with blanks.
    """
    return frozenset(lemma.replace("_", " ") for reading in lemmas(word) for lemma, _ in _opposites(*reading))


def are_antonyms(left: str, right: str) -> bool:
    """Whether one word, in any form, is an antonym of the other: loved, hates. Parts of speech must agree."""
    return _opposed(left, right) or _opposed(right, left)


def _opposed(left: str, right: str) -> bool:
    opposites = {opposite for reading in lemmas(left) for opposite in _opposites(*reading)}
    return not opposites.isdisjoint(lemmas(right))


@lru_cache(maxsize=1 << 17)
def _opposites(lemma: str, pos: str) -> frozenset[tuple[str, str]]:
    """Antonyms of all senses of a lemma, each with its part of speech."""
    to = (pointer for offset in senses(lemma, pos).offsets for pointer in _to_opposites(pos, offset, lemma))
    return frozenset((synset(p.pos, p.offset).words[p.target - 1].lower(), p.pos) for p in to)


def _to_opposites(pos: str, offset: str, lemma: str) -> Iterator[Pointer]:
    sense, relations = synset(pos, offset), pointers(pos, offset)
    spelled = [word.lower() for word in sense.words]
    yield from (p for p in relations if p.symbol == "!" and spelled[p.source - 1] == lemma)
    if sense.satellite:
        heads = (pointers(p.pos, p.offset) for p in relations if p.symbol == "&")
        yield from (p for head in heads for p in head if p.symbol == "!")
