"""Which reading of a word comes first, when nothing but the word is known."""

from __future__ import annotations

from functools import lru_cache

from course_lib.wordnet.closed_class import CLOSED_CLASS
from course_lib.wordnet.lexicon import PARTS_OF_SPEECH, senses
from course_lib.wordnet.morphology import lemmas


@lru_cache(maxsize=1 << 17)
def readings(word: str) -> tuple[tuple[str, str], ...]:
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
