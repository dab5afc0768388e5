"""Attacks named after the papers that describe them. Each docstring says what differs from the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from course_lib import machine
from course_lib.attacks.attack import Attack
from course_lib.attacks.beam_search import Beam, GradientBeam, Sequential
from course_lib.attacks.constraints import (
    AvoidWords,
    EachWordOnce,
    KeepWords,
    MaxEditDistance,
    MaxWordsChanged,
    NoAntonyms,
    SamePartOfSpeech,
    SentenceSimilarity,
)
from course_lib.attacks.goals import Untargeted
from course_lib.attacks.greedy import GradientGuided, Greedy, WeightedSaliency
from course_lib.attacks.transformations import Characters, Synonyms
from course_lib.attacks.vocabularies import AnyWord, MaskedWords, Neighbours
from course_lib.errors import BadInput
from course_lib.text.document import Document

# Of every attack on words: function words stay, a word changes once, no label and no opposite is put in.
WORD_RULES = (KeepWords(), EachWordOnce(), AvoidWords(), NoAntonyms())


def deepwordbug() -> Attack:
    """Typing errors in the most important words (Gao et al. 2018, arXiv:1801.04354).

    As in TextAttack 0.3.11: importance by [UNK], four candidates a word, at most 30 characters changed. Only the random
    draws differ.
    """
    return Attack("deepwordbug", Untargeted(), Characters(), Greedy("unknown"), (KeepWords(), MaxEditDistance(30)))


def homoglyphs() -> Attack:
    """Cyrillic letters that look like Latin ones (Boucher et al. 2021, arXiv:2106.09898), by gradient and greedily."""
    return Attack("homoglyphs", Untargeted(), Characters(("homoglyph",)), Greedy("gradient"), (KeepWords(),))


def pwws() -> Attack:
    """WordNet synonyms by weighted saliency (Ren et al. 2019, ACL P19-1103).

    Not the paper's: synonyms are inflected as the word is, only for its likely part of speech, and names are not
    exchanged. The rules on labels and opposites are ours.
    """
    return Attack("pwws", Untargeted(), Synonyms(), WeightedSaliency(), WORD_RULES)


def gradient_synonyms() -> Attack:
    """WordNet synonyms in the order of their first-order gain: few queries (a search of this course)."""
    return Attack("gradient-synonyms", Untargeted(), Synonyms(), GradientGuided(), WORD_RULES)


def gradient_beam() -> Attack:
    """As `gradient-synonyms`; what resists is tried again by a beam of 8 that the gradient guides."""
    search = Sequential((GradientGuided(rounds=1), GradientBeam(8, 4)))
    return Attack("gradient-beam", Untargeted(), Synonyms(), search, WORD_RULES)


def beam_synonyms() -> Attack:
    """WordNet synonyms by a beam of 8, the thorough search of Yoo et al. 2020 (arXiv:2009.06368)."""
    return Attack("beam-synonyms", Untargeted(), Synonyms(), Beam(8), WORD_RULES)


def textfooler() -> Attack:
    """Neighbours in embedding space, importance by deletion (Jin et al. 2020, arXiv:1907.11932).

    Not the paper's: neighbours in the model's own table, not in counter-fitted vectors, and similarity by this course's
    encoder at 0.8, not by the Universal Sentence Encoder in windows of 15 words at 0.84.
    """
    rules = (*WORD_RULES, SamePartOfSpeech(), SentenceSimilarity(0.8))
    return Attack("textfooler", Untargeted(), Neighbours(50), Greedy("deletion"), rules)


def bae() -> Attack:
    """Words that a masked language model predicts for a hidden one (BAE-R: Garg & Ramakrishnan 2020, 2004.01970).

    Not the paper's: the course's small masked language model, 20 candidates in place of 50, similarity by this course's
    encoder at 0.8 in place of 0.936 by the Universal Sentence Encoder.
    """
    rules = (*WORD_RULES, SamePartOfSpeech(), SentenceSimilarity(0.8))
    return Attack("bae", Untargeted(), MaskedWords(), Greedy("deletion"), rules)


def hotflip() -> Attack:
    """Any word of the vocabulary, chosen by the gradient (Ebrahimi et al. 2018, arXiv:1712.06751).

    Not the paper's: one word after another in place of a beam of 10, a fifth of the words in place of two, sentence
    similarity at 0.8 in place of the word's cosine at 0.8.
    """
    rules = (*WORD_RULES, MaxWordsChanged(0.2), SamePartOfSpeech(), SentenceSimilarity(0.8))
    return Attack("hotflip", Untargeted(), AnyWord(), GradientGuided(per_position=8), rules)


RECIPES: dict[str, Callable[[], Attack]] = {
    "deepwordbug": deepwordbug,
    "homoglyphs": homoglyphs,
    "pwws": pwws,
    "gradient-synonyms": gradient_synonyms,
    "gradient-beam": gradient_beam,
    "beam-synonyms": beam_synonyms,
    "textfooler": textfooler,
    "bae": bae,
    "hotflip": hotflip,
}


def recipe(name: str) -> Attack:
    """The attack of that name.

    Raises:
        BadInput: no such recipe.
    """
    if name not in RECIPES:
        raise BadInput(f"there is no recipe {name!r}", f"use one of {', '.join(RECIPES)}")
    return RECIPES[name]()


# Passes for each word of a text, measured on 20 to 100 movie reviews and the course's model: queries, and those of the
# sentence encoder where a constraint measures similarity.
QUERIES_PER_WORD = {
    "deepwordbug": 1.4,
    "homoglyphs": 0.6,
    "gradient-synonyms": 0.6,
    "gradient-beam": 2.2,
    "beam-synonyms": 16.8,
    "pwws": 3.2,
    "textfooler": 4.0,
    "bae": 2.2,
}


def attack_cost(name: str, classifier: Any, texts: Sequence[str]) -> machine.Cost | None:
    """What a recipe will take here, by the queries that it took elsewhere; None where that is not known.

    Another model may need more or fewer queries, so this is only an order of magnitude.
    """
    inner = getattr(classifier, "classifier", classifier)
    if name not in QUERIES_PER_WORD or not hasattr(inner, "predict_cost"):
        return None
    words = sum(len(Document.of(text).words) for text in texts) / max(1, len(texts))
    cost: machine.Cost = inner.predict_cost(texts) * max(1, round(QUERIES_PER_WORD[name] * words))
    return cost
