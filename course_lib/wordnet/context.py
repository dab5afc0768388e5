"""A guess at a word's part of speech from its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from course_lib.errors import BadInput
from course_lib.wordnet.closed_class import (
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
from course_lib.wordnet.morphology import parts_of_speech
from course_lib.wordnet.readings import readings

# "that", "which" and "what" are as often the subject of a verb, "up" and "out" as often part of one.
_RELATIVES = frozenset({"that", "which", "what", "who"})
_NOUN_CUES = (DETERMINERS | PREPOSITIONS) - _RELATIVES - frozenset({"as", "down", "off", "on", "out", "over", "up"})
_VERB_CUES = SUBJECTS | MODALS | DO | frozenset({"to", "let's"})


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
        return "verb" in self.options and (self.word, "verb") not in readings(self.word)


def likely_pos(words: Sequence[str], position: int) -> str | None:
    """The part of speech (noun, verb, adj, adv) that the word at a position most likely has in its sentence.

    A heuristic, written by hand and not measured, for want of tagged texts. In turn: a word with one part of speech
    has that one; "-ly" is an adverb; after "very" and the like comes an adjective; after a determiner, possessive or
    preposition a noun, or an adjective if a noun or adjective follows; after "to", a modal, "do" or a subject
    pronoun a verb; after "be" an adjective or a participle; after an adjective a noun. Otherwise the part of speech
    with the most senses in WordNet's hand-tagged texts. It sees two or three words and no grammar: expect mistakes.

    Args:
        words: the sentence, word by word; punctuation may be left out or stand as words.
        position: index of the word, 0 for the first.

    Returns:
        None for function words and for words that WordNet does not know.

    Raises:
        BadInput: a position outside the sentence.
    """
    if not 0 <= position < len(words):
        raise BadInput(f"position is {position} in {len(words)} words", "use 0 to the number of words less 1")
    known = readings(words[position].lower())
    if not known:
        return None
    place = _place([word.lower().replace("’", "'") for word in words], position)
    guesses = (rule(place) for rule in _RULES) if len(place.options) > 1 else iter(())
    return next((guess for guess in guesses if guess is not None), known[0][1])


def _place(words: list[str], position: int) -> _Place:
    before = position - 1
    while before > 0 and _is_skipped(words[before]):
        before -= 1
    return _Place(
        words[position],
        frozenset(pos for _, pos in readings(words[position])),
        words[position - 1] if position else "",
        words[before] if position else "",
        words[position + 1] if position + 1 < len(words) else "",
    )


def _is_skipped(word: str) -> bool:
    return word in NEGATIONS or (word not in AUXILIARIES and parts_of_speech(word) == {"adv"})


def _ending(place: _Place) -> str | None:
    is_adverb = place.word.endswith("ly") and place.left not in DETERMINERS
    return place.first("adv") if is_adverb else None


def _after_degree(place: _Place) -> str | None:
    return place.first("adj", "adv") if place.left in DEGREES else None


def _after_noun_cue(place: _Place) -> str | None:
    if place.left not in _NOUN_CUES | HAVE:
        return None
    if place.word.endswith("ing") and place.left in PREPOSITIONS and place.right in DETERMINERS | {"to"}:
        return place.first("verb")  # "by making the film"
    if place.left == "this" and place.word.endswith("s") and place.inflected_verb:
        return "verb"  # "this works"
    if place.left in HAVE and place.inflected_verb:
        return "verb"
    return place.first("adj", "noun") if _begins_noun(place.right) else place.first("noun", "adj")


def _begins_noun(word: str) -> bool:
    usual = readings(word)
    return bool(usual) and word not in CLOSED_CLASS and usual[0][1] in ("noun", "adj")


def _after_relative(place: _Place) -> str | None:
    if place.left not in _RELATIVES:
        return None
    if place.inflected_verb and not place.word.endswith("ing"):
        return "verb"
    return place.first("noun") if place.left == "that" else None


def _after_verb_cue(place: _Place) -> str | None:
    return place.first("verb") if place.cue in _VERB_CUES else None


def _after_be(place: _Place) -> str | None:
    if place.cue not in BE:
        return None
    if place.inflected_verb and (place.right == "by" or "adj" not in place.options):
        return "verb"
    return place.first("adj", "noun")


def _after_adjective(place: _Place) -> str | None:
    return place.first("noun") if parts_of_speech(place.left) == {"adj"} else None


_RULES: tuple[Callable[[_Place], str | None], ...] = (
    _ending,
    _after_degree,
    _after_noun_cue,
    _after_relative,
    _after_verb_cue,
    _after_be,
    _after_adjective,
)
