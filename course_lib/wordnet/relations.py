"""Synonyms and antonyms of a word, in its form and with its case.

No text of ours should get the words that WordNet marks as obscene, disparaging or archaic. Marks are synsets themselves
(the noun "obscenity"), with pointers "-u" to the senses or single words they mark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, lru_cache

from course_lib.wordnet.lemma_ranking import ranked_lemmas
from course_lib.wordnet.lexicon import Pointer, check_pos, pointers, senses, synset
from course_lib.wordnet.morphology import forms_of, inflect, lemmas
from course_lib.wordnet.word_lists import CLOSED_CLASS, word_set

# Senses with these marks are skipped: coarse, out of date, or a meaning of one form only.
_SKIPPED = ("archaism", "comparative", "disparagement", "obscenity", "slang", "superlative")
_COARSE = ("disparagement", "obscenity")
# Coarse, and not marked. All of a sense is skipped for one of the first.
_FOUL = word_set("bitch cum cunt pussy slut twat whore")
_UNMARKED = _FOUL | word_set("arse homo negro negroid nigrify retard tit titty")

_ROMAN = re.compile(r"c{0,3}(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})")
_UNFIT = CLOSED_CLASS | word_set("atm eq hr ira mi min mo os sec yr")  # and abbreviations
_FOUL_PART = re.compile(r"fuck|shit|whore")
_VOWEL = re.compile(r"[aeiouy]")


@lru_cache(maxsize=1 << 17)
def synonyms(word: str, pos: str | None = None) -> tuple[str, ...]:
    """The single words that share a sense with the word; () for function words and what WordNet does not know.

    "Films" -> ("Movies", "Pictures", ...): inflected and written as the word is. Sense by sense, commonest first,
    the likeliest part of speech before the others (see `ranked_lemmas`). Never the word itself or another form of its
    lemma, never a word that WordNet marks as obscene or disparaging. Where a form is not certain none is given:
    "walked" may be past or participle, so only verbs whose past and participle are one replace it. An
    adjective in "-ing" gets no synonyms of its verb unless pos is "verb".

    Args:
        word: one word; in lower case, Capitalised or UPPER CASE (other case has no synonyms).
        pos: only synonyms as noun, verb, adj or adv.

    Raises:
        BadInput: an unknown part of speech.
    """
    if pos is not None:
        check_pos(pos)
    lower, recase = word.lower(), _case_of(word)
    if recase is None:
        return ()
    ranked = ranked_lemmas(lower)
    if pos is not None:
        ranked = tuple(one for one in ranked if one[1] == pos)
    elif lower.endswith("ing") and (lower, "adj") in ranked:  # an "entertaining" film does not harbour anybody
        ranked = tuple(one for one in ranked if one[1] != "verb")
    found = dict.fromkeys(form for lemma in ranked for form in _in_form(lower, *lemma))
    own = {lemma for lemma, _ in lemmas(lower)}
    return tuple(recase(form) for form in found if own.isdisjoint(lemma for lemma, _ in lemmas(form)))


def _in_form(word: str, lemma: str, pos: str) -> Iterator[str]:
    """Synonyms of the lemma in the form of the word; where it may be several forms, those for which they agree."""
    forms = forms_of(word, lemma, pos)
    for synonym in _synonyms_of_lemma(lemma, pos):
        inflected = {inflect(synonym, pos, form) for form in forms}
        if len(inflected) == 1 and None not in inflected:
            yield from inflected  # type: ignore[misc]


@lru_cache(maxsize=1 << 17)
def _synonyms_of_lemma(lemma: str, pos: str) -> tuple[str, ...]:
    """An adjective with a position marker ("mere(a)") is a synonym only of one with the same marker."""
    found: dict[str, None] = {}
    for offset in senses(lemma, pos).offsets:
        words = plain_words(pos, offset)
        if lemma in words:
            found.update({word: None for word, marker in words.items() if marker in ("", words[lemma])})
    return tuple(word for word in found if word != lemma and word not in coarse())


def _case_of(word: str) -> Callable[[str], str] | None:
    """A function that gives another word the same case; None for "iPod"."""
    if word == word.lower():
        return str
    if word == word.upper() and len(word) > 1:
        return str.upper
    return str.capitalize if word == word.capitalize() else None


@cache
def _skipped() -> frozenset[tuple[str, str, int]]:
    """(part of speech, offset, number of the word); number 0 skips the whole synset."""
    return frozenset(mark for usage in _SKIPPED for mark in _marks(usage))


@cache
def coarse() -> frozenset[str]:
    """Words marked as obscene or disparaging in any of their senses; strict on purpose: "boy" and "tool" too."""
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
    """The words of a sense that may replace each other, in WordNet's order, each with its marker.

    Names and abbreviations (upper case), words of several parts, Roman numbers, function words and marked words are
    left out; the whole sense is left out where two of its words are coarse.
    """
    sense, skipped = synset(pos, offset), _skipped()
    foul = len(coarse().intersection(sense.words)) > 1 or not _FOUL.isdisjoint(sense.words)
    if foul or (pos, offset, 0) in skipped:
        return {}
    numbered = enumerate(zip(sense.words, sense.markers, strict=True), start=1)
    return {word: mark for number, (word, mark) in numbered if (pos, offset, number) not in skipped and _is_plain(word)}


def _is_plain(word: str) -> bool:
    if not (word.isalpha() and word.islower() and len(word) > 1 and _VOWEL.search(word)):
        return False
    return word not in _UNFIT and not _ROMAN.fullmatch(word) and not _FOUL_PART.search(word)


def are_antonyms(left: str, right: str) -> bool:
    """Whether one word, in any form, is an antonym of the other: loved, hates. Parts of speech must agree."""
    return _opposed(left, right) or _opposed(right, left)


def _opposed(left: str, right: str) -> bool:
    opposites = {opposite for reading in lemmas(left) for opposite in _opposites(*reading)}
    return not opposites.isdisjoint(lemmas(right))


@lru_cache(maxsize=1 << 17)
def _opposites(lemma: str, pos: str) -> frozenset[tuple[str, str]]:
    """Antonyms of all senses of a lemma, each with its part of speech.

    Direct ones ("!": good, bad) and, for an adjective that WordNet files as similar ("&") to another, those of the
    other: "awful" is like "bad", so "good" is its antonym.
    """
    to = (pointer for offset in senses(lemma, pos).offsets for pointer in _to_opposites(pos, offset, lemma))
    return frozenset((synset(p.pos, p.offset).words[p.target - 1].lower(), p.pos) for p in to)


def _to_opposites(pos: str, offset: str, lemma: str) -> Iterator[Pointer]:
    sense, relations = synset(pos, offset), pointers(pos, offset)
    spelled = [word.lower() for word in sense.words]
    yield from (p for p in relations if p.symbol == "!" and spelled[p.source - 1] == lemma)
    if sense.satellite:
        heads = (pointers(p.pos, p.offset) for p in relations if p.symbol == "&")
        yield from (p for head in heads for p in head if p.symbol == "!")
