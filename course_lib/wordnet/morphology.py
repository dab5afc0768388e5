"""From a word to its lemmas, and from a lemma to its forms: "films" -> "film", "go" -> "went".

Lemmas follow WordNet's own rules ("morphy", Fellbaum 1998; man page morphy.7WN): the lists of irregular forms come
first, then the word itself, then endings are replaced and what WordNet knows is kept. Where the irregular list has the
form, no ending is replaced.

Forms turn this around: irregular ones come from WordNet's lists, regular ones from the rules of spelling. A form is
given only if `lemmas` leads back from it to the lemma; where no form is sure there is none.

Past or participle? Of two irregular forms the participle is the one in "-n" or "-ne" (gone, written) or with "u"
before its last sound (sung, drunk). One form alone serves as both (found), but for "come" and "run" and what ends in
them the participle is the lemma, and a lone form in "-wn" is the participle only (showed, shown). A verb listed with
"-tting" and no past never changes (cut, set). The rest is in word_lists.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from functools import cache

from course_lib.errors import BadInput
from course_lib.wordnet.lexicon import PARTS_OF_SPEECH, check_pos, exceptions, index
from course_lib.wordnet.word_lists import (
    CLASSICAL_PLURALS,
    COUNTED,
    GRADABLE,
    HARD_CH,
    KEEP_E,
    NO_PLURAL,
    NOT_MEN,
    PRINCIPAL_PARTS,
    REGULAR_NOUNS,
    REGULAR_VERBS,
    UNCHANGED_NOUNS,
    UNCHANGED_VERBS,
    UNSURE_VERBS,
)

# Part of speech -> the forms that its words can have.
FORMS = {
    "noun": ("base", "plural"),
    "verb": ("base", "third", "gerund", "past", "participle"),
    "adj": ("base", "comparative", "superlative"),
    "adv": ("base", "comparative", "superlative"),
}

_PARTICIPLE = re.compile(r"(n|ne|u(ng|nk|m|n))$")
_ENGLISH_PLURAL = re.compile(r"(ves|men|feet|teeth|geese|mice|lice|children|oxen|people|oes|zzes|[sx][ei]s)$")
_ONE_SYLLABLE = re.compile(r"[^aeiou]*(qu)?[aeiouy][^aeiouwxy]")  # with one vowel and one consonant at the end
_HISSES = ("s", "x", "z", "ch", "sh")

# Part of speech -> (ending, replacement).
_ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        ("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("ies", "y"),
        ("men", "man"),
    ),
    "verb": (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")),
    "adj": (("er", ""), ("er", "e"), ("est", ""), ("est", "e")),
    "adv": (),
}  # fmt: skip


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
    """The parts of speech that the word may be, in any sentence."""
    return frozenset(pos for _, pos in lemmas(word))


def _lemmas(word: str, pos: str) -> tuple[str, ...]:
    irregular, known = exceptions(pos).get(word, ()), index(pos)
    rules = () if irregular or word.endswith("ss") else _ENDINGS[pos]  # "pass" is no plural of "pas"
    detached = (word[: -len(ending)] + new for ending, new in rules if word.endswith(ending) and word != ending)
    return tuple(dict.fromkeys([lemma for lemma in (*irregular, word, *detached) if lemma in known]))


@cache
def inflect(lemma: str, pos: str, form: str) -> str | None:
    """The lemma (lower case) in that form, None where it has none or none is sure.

    lemma: one that WordNet knows as that part of speech (not checked for base).
    form: noun base, plural; verb base, third (he runs), gerund, past, participle; adj and adv base, comparative,
        superlative.

    Raises:
        BadInput: an unknown part of speech, or a form that it does not have.
    """
    check_pos(pos)
    if form not in FORMS[pos]:
        raise BadInput(f"form is {form!r} for {pos}", f"use one of {', '.join(FORMS[pos])}")
    if form == "base":
        return lemma
    made = _RULES[form](lemma, pos)
    return made if made is not None and (lemma, pos) in lemmas(made) else None


@cache
def forms_of(word: str, lemma: str, pos: str) -> tuple[str, ...]:
    """Which forms of its lemma an inflected word may be; two for "found": past and participle.

    A word that equals its lemma counts as base, though "cut" and "come" may be more.
    """
    if word == lemma:
        return ("base",)
    if pos == "noun":
        return ("plural",)
    if pos == "verb":
        return _verb_forms(word, lemma)
    return ("superlative",) if word.endswith("st") else ("comparative",)


def _verb_forms(word: str, lemma: str) -> tuple[str, ...]:
    if word.endswith("ing"):
        return ("gerund",)
    if word.endswith("s"):
        return ("third",)
    matching = tuple(form for form in ("past", "participle") if inflect(lemma, "verb", form) == word)
    # "dreamt", where inflect says "dreamed"; "has showed" beside "has shown"
    return ("past", "participle") if not matching or word == _regular_past(lemma) else matching


@cache
def _irregular(pos: str) -> dict[str, tuple[str, ...]]:
    """Lemma -> its irregular forms, letters only."""
    inverted: dict[str, list[str]] = defaultdict(list)
    for form, of in exceptions(pos).items():
        for lemma in of:
            if form.isalpha() and form != lemma:
                inverted[lemma].append(form)
    return {lemma: tuple(forms) for lemma, forms in inverted.items()}


def _plural(noun: str, pos: str) -> str | None:
    if noun in UNCHANGED_NOUNS or noun.endswith("fish"):
        return noun
    if noun in NO_PLURAL or (noun.endswith(("ness", "hood")) and noun not in COUNTED):
        return None
    if noun in REGULAR_NOUNS:
        return _with_s(noun)
    listed = _irregular(pos).get(noun, ())
    if _with_s(noun) in listed:
        return _with_s(noun)
    for plural in listed:
        if _ENGLISH_PLURAL.search(plural) or noun in CLASSICAL_PLURALS:
            return plural
    return _regular_plural(noun)


def _regular_plural(noun: str) -> str | None:
    if noun.endswith("man") and noun not in NOT_MEN:
        return noun[:-2] + "en"
    if noun.endswith("s") and not noun.endswith(("ss", "us", "as", "lens")):
        return None  # "pants", "news", "physics": many already, or never many
    return _with_s(noun)


def _with_s(word: str) -> str:
    if word.endswith("y") and word[-2:-1] not in tuple("aeiou"):
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(_HISSES) and word not in HARD_CH else "s")


def _third(verb: str, pos: str) -> str | None:
    if verb.endswith(("s", "z")):
        listed = [form for form in _irregular(pos).get(verb, ()) if form.endswith("es")]
        return listed[0] if listed else _with_s(verb)
    after_consonant = verb.endswith("o") and verb[-2:-1] not in tuple("aeiou")
    return verb + "es" if after_consonant else _with_s(verb)


def _gerund(verb: str, pos: str) -> str | None:
    if verb in UNSURE_VERBS:
        return None
    listed = [form for form in _irregular(pos).get(verb, ()) if form.endswith("ing")]
    if listed and verb not in KEEP_E | REGULAR_VERBS:
        return max(listed, key=lambda form: form.startswith(verb[:3]))  # "swapping", not "swopping"
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb not in KEEP_E:
        return verb[:-1] + "ing"
    return _doubled(verb) + "ing"


@cache
def _principal_parts(verb: str) -> tuple[str, str] | tuple[None, None]:
    """Past and participle."""
    if verb in UNSURE_VERBS:
        return None, None
    if verb in PRINCIPAL_PARTS:
        return PRINCIPAL_PARTS[verb]
    listed = _irregular("verb").get(verb, ())
    if verb in UNCHANGED_VERBS or (listed and all(form.endswith("tting") for form in listed)):
        return verb, verb
    pasts = [form for form in listed if not form.endswith(("ing", "s"))]
    pasts = [form for form in pasts if not form.endswith("ed")] or pasts
    if not pasts or verb in REGULAR_VERBS:
        return _regular_past(verb), _regular_past(verb)
    return _two_parts(verb, pasts)


def _two_parts(verb: str, pasts: list[str]) -> tuple[str, str] | tuple[None, None]:
    if len(pasts) == 1 and pasts[0].endswith("wn"):
        return _regular_past(verb), pasts[0]
    if len(pasts) == 1:
        return pasts[0], verb if verb.endswith(("come", "run")) else pasts[0]
    participles = [form for form in pasts if _PARTICIPLE.search(form)]
    if len(pasts) == 2 and len(participles) == 1:
        return next(form for form in pasts if form not in participles), participles[0]
    return None, None


def _regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2:-1] not in tuple("aeiou"):
        return verb[:-1] + "ied"
    return _doubled(verb) + "ed"


def _doubled(verb: str) -> str:
    """The verb before "-ed" and "-ing" is added: verbs of more syllables that double a letter are listed."""
    if verb.endswith(("ic", "ac")):
        return verb + "k"
    return verb + verb[-1] if _ONE_SYLLABLE.fullmatch(verb) else verb


def _graded(word: str, pos: str, endings: tuple[str, ...]) -> str | None:
    listed = [form for form in _irregular(pos).get(word, ()) if form.endswith(endings)]
    if listed or pos == "adv" or word not in GRADABLE:
        return listed[0] if listed else None
    return word.removesuffix("e") + endings[0]


_RULES: dict[str, Callable[[str, str], str | None]] = {
    "plural": _plural,
    "third": _third,
    "gerund": _gerund,
    "past": lambda verb, _: _principal_parts(verb)[0],
    "participle": lambda verb, _: _principal_parts(verb)[1],
    "comparative": lambda word, pos: _graded(word, pos, ("er", "worse")),
    "superlative": lambda word, pos: _graded(word, pos, ("est", "best", "worst")),
}
