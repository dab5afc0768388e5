"""From an inflected word to its lemmas: WordNet's own rules ("morphy", Fellbaum 1998; man page morphy.7WN).

The lists of irregular forms come first, then the word itself, then endings are replaced and what WordNet knows is
kept. Where the irregular list has the form, no ending is replaced.
"""

from __future__ import annotations

from functools import cache

from course_lib.wordnet.lexicon import PARTS_OF_SPEECH, exceptions, index

# Part of speech -> last letter -> (ending, what stands in its place).
_NOUN_S = (("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("ies", "y"))
_VERB_S = (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""))
_ENDINGS: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {
    "noun": {"s": _NOUN_S, "n": (("men", "man"),)},
    "verb": {"s": _VERB_S, "d": (("ed", "e"), ("ed", "")), "g": (("ing", "e"), ("ing", ""))},
    "adj": {"r": (("er", ""), ("er", "e")), "t": (("est", ""), ("est", "e"))},
    "adv": {},
}


@cache
def lemmas(word: str) -> tuple[tuple[str, str], ...]:
    """Every reading (lemma, part of speech) of a word that WordNet knows; () for others.

    "ran" -> (("run", "verb"),); "films" -> (("film", "noun"), ("film", "verb")). Lemmas are in lower case. Parts
    of speech come as noun, verb, adj, adv; within one, irregular forms before the word itself before rules.
    """
    lower = word.lower()
    return tuple((lemma, pos) for pos in PARTS_OF_SPEECH for lemma in _lemmas(lower, pos))


@cache
def parts_of_speech(word: str) -> frozenset[str]:
    """The parts of speech that the word may be, whatever stands around it."""
    return frozenset(pos for _, pos in lemmas(word))


def _lemmas(word: str, pos: str) -> tuple[str, ...]:
    irregular, rules, known = exceptions(pos).get(word), _ENDINGS[pos].get(word[-1:]), index(pos)
    if irregular is None and (rules is None or word.endswith("ss")):  # "pass" is no plural of "pas"
        return (word,) if word in known else ()
    candidates = (*irregular, word) if irregular else (word, *_detached(word, rules or ()))
    return tuple(dict.fromkeys([lemma for lemma in candidates if lemma in known]))


def _detached(word: str, rules: tuple[tuple[str, str], ...]) -> list[str]:
    return [word[: -len(ending)] + new for ending, new in rules if word.endswith(ending) and word != ending]
