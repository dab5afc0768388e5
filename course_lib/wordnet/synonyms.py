"""Other words for a word, in its form and with its case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

from course_lib.wordnet.inflection import forms_of, inflect
from course_lib.wordnet.lexicon import check_pos, senses
from course_lib.wordnet.morphology import lemmas
from course_lib.wordnet.readings import readings
from course_lib.wordnet.usage import coarse, plain_words


@lru_cache(maxsize=1 << 17)
def synonyms(word: str, pos: str | None = None, *, tagged: bool = False) -> tuple[str, ...]:
    """The single words that share a sense with the word; () for function words and what WordNet does not know.

    "Films" -> ("Movies", "Pictures", ...): inflected and written as the word is. Sense by sense, commonest first,
    the likeliest part of speech before the others (see readings). Never the word itself or another form of its
    lemma, never a word that WordNet marks as obscene or disparaging. Where a form is not sure none is given:
    "walked" may be past or participle, so only verbs whose past and participle are one stand in for it. An
    adjective in "-ing" gets no synonyms of its verb unless pos is "verb".

    Args:
        word: one word; in lower case, Capitalised or UPPER CASE (other case has no synonyms).
        pos: only synonyms as noun, verb, adj or adv.
        tagged: only senses that occur in WordNet's hand-tagged texts, and the first of each reading.

    Raises:
        BadInput: an unknown part of speech.
    """
    if pos is not None:
        check_pos(pos)
    lower, recase = word.lower(), _case_of(word)
    if recase is None:
        return ()
    chosen = [
        reading for reading in readings(lower) if pos == reading[1] or (pos is None and _is_usual(lower, reading))
    ]
    found = dict.fromkeys(form for reading in chosen for form in _in_form(lower, *reading, tagged))
    own = {lemma for lemma, _ in lemmas(lower)}
    return tuple(recase(form) for form in found if own.isdisjoint(lemma for lemma, _ in lemmas(form)))


def _is_usual(word: str, reading: tuple[str, str]) -> bool:
    """Not the verb of an adjective in "-ing": an "entertaining" film does not harbour anybody."""
    return not (word.endswith("ing") and reading[1] == "verb" and (word, "adj") in readings(word))


def _in_form(word: str, lemma: str, pos: str, tagged: bool) -> Iterator[str]:
    """Synonyms of the lemma, each in the form that the word has; several where the word may be several."""
    forms = forms_of(word, lemma, pos)
    for synonym in _of_lemma(lemma, pos, tagged):
        made = {inflect(synonym, pos, form) for form in forms}
        only = made.pop()
        if only is not None and not made:
            yield only


@lru_cache(maxsize=1 << 17)
def _of_lemma(lemma: str, pos: str, tagged: bool) -> tuple[str, ...]:
    """An adjective that may not stand anywhere ("mere(a)") serves only for one with the same marker."""
    of = senses(lemma, pos)
    offsets = of.offsets[: max(1, of.tagged)] if tagged else of.offsets
    words = (plain_words(pos, offset) for offset in offsets)
    shared = (
        other
        for sense in words
        if lemma in sense
        for other, marker in sense.items()
        if marker == sense[lemma] or not marker
    )
    return tuple(dict.fromkeys(word for word in shared if word != lemma and word not in coarse()))


def _case_of(word: str) -> Callable[[str], str] | None:
    """What gives another word the same case; None for "iPod"."""
    if word == word.lower():
        return str
    if word == word.upper() and len(word) > 1:
        return str.upper
    return str.capitalize if word == word.capitalize() else None
