"""Words that WordNet knows and that no text of ours should get: what it marks as obscene, disparaging or archaic.

Marks are synsets themselves (the noun "obscenity"), with pointers "-u" to the senses or single words they mark.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cache, lru_cache

from course_lib.wordnet.closed_class import CLOSED_CLASS, word_set
from course_lib.wordnet.lexicon import pointers, senses, synset

# Senses so marked are skipped: coarse, out of date, or not a meaning of the lemma but of one form.
_SKIPPED = ("archaism", "comparative", "disparagement", "obscenity", "slang", "superlative")
_COARSE = ("disparagement", "obscenity")
# Coarse, and not marked. All of a sense is skipped for one of the first.
_FOUL = word_set("bitch cum cunt pussy slut twat whore")
_UNMARKED = _FOUL | word_set("arse homo negro negroid nigrify retard tit titty")

_ROMAN = re.compile(r"c{0,3}(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})")
_UNFIT = CLOSED_CLASS | word_set("atm eq hr ira mi min mo os sec yr")  # and abbreviations
_FOUL_PART = re.compile(r"fuck|shit|whore")
_VOWEL = re.compile(r"[aeiouy]")


@lru_cache(maxsize=1)
def _marked() -> dict[tuple[str, str], frozenset[int]]:
    """(part of speech, offset) -> numbers of the words to skip; 0 for the whole synset."""
    numbers: dict[tuple[str, str], set[int]] = defaultdict(set)
    for pos, offset, number in (mark for usage in _SKIPPED for mark in _marks(usage)):
        numbers[pos, offset].add(number)
    return {sense: frozenset(of) for sense, of in numbers.items()}


@lru_cache(maxsize=1)
def coarse() -> frozenset[str]:
    """Words marked as obscene or disparaging in any of their senses. Harsh on "boy" and "tool", and meant so."""
    marked = [mark for usage in _COARSE for mark in _marks(usage)]
    whole = (word for pos, offset, number in marked if not number for word in synset(pos, offset).words)
    single = (synset(pos, offset).words[number - 1] for pos, offset, number in marked if number)
    return frozenset(word.lower() for word in (*whole, *single)) | _UNMARKED


def _marks(usage: str) -> list[tuple[str, str, int]]:
    offsets = senses(usage, "noun").offsets
    members = (pointer for offset in offsets for pointer in pointers("noun", offset) if pointer.symbol == "-u")
    return [(member.pos, member.offset, member.target) for member in members]


@cache
def plain_words(pos: str, offset: str) -> dict[str, str]:
    """The words of a sense that may stand for each other, in WordNet's order, each with its marker.

    Out fall names and abbreviations (upper case), words of several parts, Roman numbers, function words and what
    is marked; all of the sense where two of its words are coarse.
    """
    sense, skipped = synset(pos, offset), _marked().get((pos, offset), frozenset())
    if 0 in skipped or len(coarse().intersection(sense.words)) > 1 or not _FOUL.isdisjoint(sense.words):
        return {}
    numbered = enumerate(zip(sense.words, sense.markers, strict=True), start=1)
    return {word: marker for number, (word, marker) in numbered if number not in skipped and _is_plain(word)}


def _is_plain(word: str) -> bool:
    if not (word.isalpha() and word.islower() and len(word) > 1 and _VOWEL.search(word)):
        return False
    return word not in _UNFIT and not _ROMAN.fullmatch(word) and not _FOUL_PART.search(word)
