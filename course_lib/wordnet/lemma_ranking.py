"""Which lemma and part of speech a word most likely has: by the word alone, and in its sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from course_lib.errors import BadInput
from course_lib.wordnet.lexicon import PARTS_OF_SPEECH, senses
from course_lib.wordnet.morphology import lemmas, parts_of_speech
from course_lib.wordnet.word_lists import (
    AUXILIARIES,
    BE,
    CLOSED_CLASS,
    DEGREES,
    DETERMINERS,
    DO,
    HAVE,
    MODALS,
    NEGATIONS,
    PREPOSITIONS,
    SUBJECTS,
)

# "that", "which" and "what" are as often the subject of a verb, "up" and "out" as often part of one.
_RELATIVES = frozenset({"that", "which", "what", "who"})
_NOUN_CUES = (DETERMINERS | PREPOSITIONS) - _RELATIVES - frozenset({"as", "down", "off", "on", "out", "over", "up"})
_VERB_CUES = SUBJECTS | MODALS | DO | frozenset({"to", "let's"})


@lru_cache(maxsize=1 << 17)
def ranked_lemmas(word: str) -> tuple[tuple[str, str], ...]:
    """The readings (lemma, part of speech) of a word in lower case, likeliest first; () for function words.

    Ordered by the number of senses that occur in WordNet's hand-tagged texts, the nearest it has to a frequency;
    but a word in "-ing" or "-ed" that is a lemma itself ("interesting", "acting") comes before its verb. As verb,
    adjective or adverb only the first reading is kept: "found" is said of finding, hardly of founding. Plurals keep
    all ("leaves").
    """
    if word in CLOSED_CLASS:
        return ()
    ordered = sorted(lemmas(word), key=lambda reading: _rank(word, *reading))
    seen: set[str] = set()
    kept = []
    for lemma, pos in ordered:
        if pos == "noun" or pos not in seen:
            kept.append((lemma, pos))
            seen.add(pos)
    return tuple(kept)


def _rank(word: str, lemma: str, pos: str) -> tuple[bool, int, int, int]:
    of = senses(lemma, pos)
    second = pos == "verb" and lemma != word and word.endswith(("ing", "ed")) and _is_lemma(word)
    return second, -of.tagged, -len(of.offsets), PARTS_OF_SPEECH.index(pos)


def _is_lemma(word: str) -> bool:
    return any(lemma == word for lemma, _ in lemmas(word))


@dataclass(frozen=True)
class _Place:
    """A word with several parts of speech, in lower case, and its neighbours ("" at an end).

    cue: the nearest word to the left that is neither a negation nor an adverb ("do not really like": "do").
    """

    word: str
    options: frozenset[str]
    left: str
    cue: str
    right: str

    def first(self, *wanted: str) -> str | None:
        """The first of these parts of speech that the word can be."""
        return next((pos for pos in wanted if pos in self.options), None)

    @property
    def inflected_verb(self) -> bool:
        """Whether it can only be a verb in another than its base form."""
        return "verb" in self.options and (self.word, "verb") not in ranked_lemmas(self.word)


def likely_pos(words: Sequence[str], position: int) -> str | None:
    """The part of speech (noun, verb, adj, adv) that the word at a position most likely has in its sentence.

    A heuristic, written by hand and not measured, for want of tagged texts. In turn: a word with one part of speech
    has that one; "-ly" is an adverb; after "very" and the like comes an adjective; after a determiner, possessive or
    preposition a noun, or an adjective if a noun or adjective follows; after "to", a modal, "do" or a subject
    pronoun a verb; after "be" an adjective or a participle; after an adjective a noun. Otherwise the part of speech
    with the most senses in WordNet's hand-tagged texts. It sees two or three words and no grammar: expect mistakes.

    Args:
        words: the sentence, word by word; punctuation may be left out or be words of their own.
        position: index of the word, 0 for the first.

    Returns:
        None for function words and for words that WordNet does not know.

    Raises:
        BadInput: a position outside the sentence.
    """
    if not 0 <= position < len(words):
        raise BadInput(f"position is {position} in {len(words)} words", "use 0 to the number of words less 1")
    known = ranked_lemmas(words[position].lower())
    if not known:
        return None
    place = _place([word.lower().replace("’", "'") for word in words], position)
    guesses = _guesses(place) if len(place.options) > 1 else iter(())
    return next((guess for guess in guesses if guess is not None), known[0][1])


def _place(words: list[str], position: int) -> _Place:
    before = position - 1
    while before > 0 and _is_skipped(words[before]):
        before -= 1
    return _Place(
        words[position],
        frozenset(pos for _, pos in ranked_lemmas(words[position])),
        words[position - 1] if position else "",
        words[before] if position else "",
        words[position + 1] if position + 1 < len(words) else "",
    )


def _is_skipped(word: str) -> bool:
    return word in NEGATIONS or (word not in AUXILIARIES and parts_of_speech(word) == {"adv"})


def _guesses(place: _Place) -> Iterator[str | None]:
    """What each rule says in turn, the surest rule first; None where it says nothing."""
    if place.word.endswith("ly") and place.left not in DETERMINERS:
        yield place.first("adv")
    if place.left in DEGREES:
        yield place.first("adj", "adv")
    if place.left in _NOUN_CUES or place.left in HAVE:
        yield _after_noun_cue(place)
    if place.left in _RELATIVES and place.inflected_verb and not place.word.endswith("ing"):
        yield "verb"
    if place.left == "that":
        yield place.first("noun")
    if place.cue in _VERB_CUES:
        yield place.first("verb")
    if place.cue in BE and place.inflected_verb and (place.right == "by" or "adj" not in place.options):
        yield "verb"
    if place.cue in BE:
        yield place.first("adj", "noun")
    if parts_of_speech(place.left) == {"adj"}:
        yield place.first("noun")


def _after_noun_cue(place: _Place) -> str | None:
    if place.word.endswith("ing") and place.left in PREPOSITIONS and place.right in DETERMINERS | {"to"}:
        return place.first("verb")  # "by making the film"
    if place.left == "this" and place.word.endswith("s") and place.inflected_verb:
        return "verb"  # "this works"
    if place.left in HAVE and place.inflected_verb:
        return "verb"
    following = ranked_lemmas(place.right)
    begins_noun = bool(following) and following[0][1] in ("noun", "adj")
    return place.first("adj", "noun") if begins_noun else place.first("noun", "adj")
