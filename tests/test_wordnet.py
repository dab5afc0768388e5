"""WordNet's lemmas, forms, synonyms, antonyms, and the guess at a part of speech."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib import wordnet
from course_lib.errors import BadInput
from course_lib.wordnet import lexicon
from course_lib.wordnet.lemma_ranking import ranked_lemmas
from course_lib.wordnet.relations import coarse

FUNCTION_WORDS = "is was a the in it he who not no have has do did to of and I your this can may us one two very don't"
SOME_WORDS = "the a film good works to not is moving ! qwxz I very dull that"


# (part of speech, form) -> lemmas and their forms; "-" where there is none.
INFLECTED = {
    ("noun", "plural"): (
        "film films, story stories, glass glasses, monarch monarchs, hero heroes, video videos, wife wives, woman "
        "women, human humans, crisis crises, criterion criteria, formula formulas, fish fish, physics -, happiness -, "
        "weakness weaknesses"
    ),
    ("verb", "third"): "watch watches, go goes, quiz quizzes, try tries, play plays",
    ("verb", "gerund"): "make making, run running, lie lying, see seeing, singe singeing, swap swapping",
    ("verb", "past"): (
        "panic panicked, stop stopped, target targeted, like liked, cry cried, go went, sing sang, find found, outrun "
        "outran, show showed, cut cut, broadcast broadcast, resubmit -"
    ),
    ("verb", "participle"): "go gone, sing sung, find found, come come, show shown, begin begun",
    ("adj", "comparative"): "good better, big bigger, nice nicer, interesting -",
    ("adj", "superlative"): "bad worst, funny funniest",
    ("adv", "superlative"): "well best",
    ("adv", "comparative"): "quickly -",
    ("adj", "base"): "dull dull",
}


# Part of speech -> sentences, with a star before the word that has it.
IN_SENTENCES = {
    "noun": "the *film is dull, a *work of art, his *play was long, the *light in it, The *Film",
    "verb": (
        "they *film the story, it does not *work, they do not really *love it, by *making a film, to *play the hero, "
        "a film that *works, this *works well, the movie was *directed by him"
    ),
    "adj": "a *moving story, the story is *moving, very *funny, a *light comedy",
    "adv": "it ends *quickly",
    None: "a *qwxz film, *the film",
}


def lemmas_of(*parts_of_speech: str) -> st.SearchStrategy[tuple[str, str]]:
    """(lemma, part of speech), lemmas of letters only."""
    return st.sampled_from(
        [(lemma, pos) for pos in parts_of_speech for lemma in lexicon.index(pos) if lemma.isalpha()],
    )


# Deferred, for the lexicon is not to be read while tests are collected.
LEMMAS = st.deferred(lambda: lemmas_of(*wordnet.PARTS_OF_SPEECH))
FREE_LEMMAS = st.deferred(lambda: lemmas_of("noun", "verb", "adv"))  # parts of speech without markers


@pytest.mark.parametrize(("pos", "synsets"), [("noun", 82115), ("verb", 13767), ("adj", 18156), ("adv", 3621)])
def test_all_synsets_of_the_card_are_read(pos: str, synsets: int) -> None:
    assert len(lexicon.data(pos)) == synsets


@pytest.mark.parametrize("pos", wordnet.PARTS_OF_SPEECH)
def test_index_and_data_name_the_same_senses(pos: str) -> None:
    """Every sense of every 50th lemma is found and holds the lemma."""
    for lemma in list(lexicon.index(pos))[::50]:
        for offset in lexicon.senses(lemma, pos).offsets:
            assert lemma in [word.lower() for word in lexicon.synset(pos, offset).words]


def test_a_line_is_parsed_as_the_manual_says() -> None:
    able = next(
        lexicon.synset("adj", offset)
        for offset in lexicon.senses("able", "adj").offsets
        if "able" in lexicon.synset("adj", offset).words
    )
    assert able == lexicon.Synset(("able",), ("",), satellite=False)
    (antonym,) = [pointer for pointer in lexicon.pointers("adj", "00001740") if pointer.symbol == "!"]
    assert antonym == lexicon.Pointer("!", "adj", "00002098", 1, 1)


@pytest.mark.parametrize(
    ("word", "readings"),
    [
        ("films", {("film", "noun"), ("film", "verb")}),
        ("Movies", {("movie", "noun")}),
        ("ran", {("run", "verb")}),
        ("geese", {("goose", "noun")}),
        ("happier", {("happy", "adj")}),
        ("largest", {("large", "adj")}),
        ("women", {("woman", "noun")}),
        ("qwxz", set()),
        ("", set()),
        ("don't", set()),
    ],
)
def test_lemmas(word: str, readings: set[tuple[str, str]]) -> None:
    assert set(wordnet.lemmas(word)) == readings


def test_lemmas_keep_their_order_and_do_not_over_detach() -> None:
    assert wordnet.lemmas("found") == (("found", "noun"), ("find", "verb"), ("found", "verb"), ("found", "adj"))
    assert ("pas", "noun") not in wordnet.lemmas("pass")
    assert wordnet.parts_of_speech("better") == {"noun", "verb", "adj", "adv"}
    assert wordnet.parts_of_speech("qwxz") == frozenset()


@pytest.mark.parametrize(("reading", "pairs"), INFLECTED.items())
def test_inflect(reading: tuple[str, str], pairs: str) -> None:
    for lemma, form in (pair.split() for pair in pairs.split(", ")):
        assert wordnet.inflect(lemma, *reading) == (None if form == "-" else form)


@pytest.mark.parametrize(
    ("word", "lemma", "forms"),
    [
        ("walked", "walk", {"past", "participle"}),
        ("went", "go", {"past"}),
        ("gone", "go", {"participle"}),
        ("showed", "show", {"past", "participle"}),
        ("dreamt", "dream", {"past", "participle"}),
        ("goes", "go", {"third"}),
        ("going", "go", {"gerund"}),
        ("go", "go", {"base"}),
    ],
)
def test_forms_of_a_verb(word: str, lemma: str, forms: set[str]) -> None:
    assert set(wordnet.forms_of(word, lemma, "verb")) == forms


@given(LEMMAS)
def test_every_form_leads_back_to_its_lemma(reading: tuple[str, str]) -> None:
    lemma, pos = reading
    for form in wordnet.FORMS[pos]:
        made = wordnet.inflect(lemma, pos, form)
        if made is not None:
            assert reading in wordnet.lemmas(made)
            # "read" is past and base; what changes is recognised as the form it was made as
            assert made == lemma or form in wordnet.forms_of(made, lemma, pos)


def test_most_words_have_all_their_forms() -> None:
    """Leaving out what is not sure must not leave out much."""
    tagged = [verb for verb in lexicon.index("verb") if verb.isalpha() and lexicon.senses(verb, "verb").tagged]
    formed = [verb for verb in tagged if all(wordnet.inflect(verb, "verb", form) for form in wordnet.FORMS["verb"])]
    assert len(formed) > 0.99 * len(tagged)


@pytest.mark.parametrize(
    ("word", "pos", "some", "none"),
    [
        ("film", None, {"movie", "picture"}, {"film", "films", "filming"}),
        ("films", "noun", {"movies", "pictures"}, {"movie", "films", "film"}),
        ("Film", None, {"Movie"}, {"movie", "Film"}),
        ("FILM", None, {"MOVIE"}, {"Movie", "FILM"}),
        ("ran", None, {"went", "operated", "worked"}, {"run", "running", "go", "gone"}),
        ("gone", "verb", {"become", "run", "died"}, {"became", "ran", "went"}),
        ("better", "adj", {"sounder", "safer"}, {"good", "best", "sound"}),
        ("Worst", "adj", {"Toughest"}, {"Tough", "Bad", "Worse"}),
        ("makes", "verb", {"creates", "produces"}, {"make", "creating"}),
        ("watching", "verb", {"viewing", "seeing"}, {"view", "watch"}),
        ("quickly", "adv", {"rapidly", "speedily"}, {"quick-witted"}),
        ("terrible", "adj", {"awful", "dreadful"}, {"terribly"}),  # a satellite is an adjective
        ("wonderful", None, {"marvelous", "fantastic"}, set()),
        ("children", None, {"kids", "youngsters"}, {"kid"}),
    ],
)
def test_synonyms(word: str, pos: str | None, some: set[str], none: set[str]) -> None:
    found = set(wordnet.synonyms(word, pos))
    assert some <= found
    assert not none & found


def test_synonyms_come_sense_by_sense() -> None:
    assert wordnet.synonyms("movie") == ("film", "picture", "pic", "flick")
    assert wordnet.synonyms("Film", "noun")[0] == "Movie"
    assert wordnet.synonyms("film", "verb") == ("shoot", "take")
    assert wordnet.synonyms("film") == wordnet.synonyms("film", "noun") + wordnet.synonyms("film", "verb")


def test_an_ambiguous_past_takes_only_verbs_with_one_form() -> None:
    """ "received" may be past or participle: "got" and "obtained" serve for both, "saw" and "seen" do not."""
    assert {"got", "obtained"} <= set(wordnet.synonyms("received"))
    assert not {"saw", "seen"} & set(wordnet.synonyms("watched"))
    assert not {"saw", "seen"} & set(wordnet.synonyms("found", "verb"))
    assert "see" in wordnet.synonyms("find", "verb")


def test_an_adjective_in_ing_takes_its_verb_only_on_demand() -> None:
    assert "harboring" not in wordnet.synonyms("entertaining")
    assert "harboring" in wordnet.synonyms("entertaining", "verb")
    assert "tedious" in wordnet.synonyms("boring")


@pytest.mark.parametrize(
    "word",
    FUNCTION_WORDS.split(),
)
def test_function_words_have_no_synonyms(word: str) -> None:
    for written in (word, word.capitalize(), word.upper()):
        assert wordnet.synonyms(written) == ()


@pytest.mark.parametrize("word", ["qwxz", "", "123", "iPod", "fiLm", "film's", "Hollywood"])
def test_unknown_words_names_and_odd_case_have_no_synonyms(word: str) -> None:
    assert wordnet.synonyms(word) == ()


def test_coarse_words_are_never_offered() -> None:
    assert {"screw", "prick"} <= coarse()
    common = [lemma for lemma in lexicon.index("noun") if lexicon.senses(lemma, "noun").tagged]
    for word in common:
        assert coarse().isdisjoint(wordnet.synonyms(word))
    assert wordnet.synonyms("love", "verb") == ("enjoy",)


@given(LEMMAS, st.sampled_from([str.lower, str.capitalize, str.upper]))
def test_synonyms_differ_keep_case_and_form_and_repeat_nothing(
    reading: tuple[str, str], recase: Callable[[str], str]
) -> None:
    lemma, pos = reading
    word = recase(lemma)
    found = wordnet.synonyms(word, pos)
    assert len(set(found)) == len(found)
    assert found == wordnet.synonyms.__wrapped__(word, pos)
    for other in found:
        assert other.isalpha() and other.lower() != word.lower()
        assert other == recase(other)
        assert {own for own, _ in wordnet.lemmas(word)}.isdisjoint(own for own, _ in wordnet.lemmas(other))
        assert pos in wordnet.parts_of_speech(other)


@given(LEMMAS, st.data())
def test_synonyms_of_an_inflected_word_have_its_form(reading: tuple[str, str], data: st.DataObject) -> None:
    lemma, pos = reading
    word = wordnet.inflect(lemma, pos, data.draw(st.sampled_from(wordnet.FORMS[pos])))
    if word is None:
        return
    own = [reading for reading in ranked_lemmas(word) if reading[1] == pos]
    forms = {form for of, _ in own for form in wordnet.forms_of(word, of, pos)}
    for other in wordnet.synonyms(word, pos):
        made = {(of, form) for of, p in wordnet.lemmas(other) if p == pos for form in forms}
        assert any(wordnet.inflect(of, pos, form) == other for of, form in made)


@given(FREE_LEMMAS)
def test_synonyms_are_mutual(reading: tuple[str, str]) -> None:
    lemma, pos = reading
    if reading not in ranked_lemmas(lemma) or lemma in coarse():
        return
    for other in wordnet.synonyms(lemma, pos):
        if (other, pos) in ranked_lemmas(other) and (other, pos) in wordnet.lemmas(other):
            assert lemma in wordnet.synonyms(other, pos)


@pytest.mark.parametrize(
    ("left", "right", "opposed"),
    [
        ("good", "bad", True),
        ("Better", "worst", True),
        ("loved", "hates", True),
        ("awful", "good", True),  # awful is similar to bad
        ("quickly", "slowly", True),
        ("interesting", "uninteresting", True),
        ("film", "movie", False),
        ("good", "film", False),
        ("good", "good", False),
        ("qwxz", "good", False),
        ("", "", False),
    ],
)
def test_antonyms(left: str, right: str, opposed: bool) -> None:
    assert wordnet.are_antonyms(left, right) is opposed
    assert wordnet.are_antonyms(right, left) is opposed


@pytest.mark.parametrize(("expected", "sentences"), IN_SENTENCES.items())
def test_likely_pos(expected: str | None, sentences: str) -> None:
    for sentence in sentences.split(", "):
        words = sentence.replace("*", "").split()
        assert wordnet.likely_pos(words, sentence.split("*")[0].count(" ")) == expected


@given(st.lists(st.sampled_from(SOME_WORDS.split()), min_size=1))
def test_the_guess_is_one_of_the_words_parts_of_speech(words: list[str]) -> None:
    for position, word in enumerate(words):
        guess = wordnet.likely_pos(words, position)
        if word.lower() in wordnet.CLOSED_CLASS or not wordnet.parts_of_speech(word):
            assert guess is None
        else:
            assert guess in wordnet.parts_of_speech(word)


def test_bad_input_says_what_was_met() -> None:
    with pytest.raises(BadInput, match="'nouns'"):
        wordnet.synonyms("film", "nouns")
    with pytest.raises(BadInput, match="'plural' for verb"):
        wordnet.inflect("film", "verb", "plural")
    with pytest.raises(BadInput, match="'x'"):
        wordnet.inflect("film", "x", "plural")
    for position in (-1, 2):
        with pytest.raises(BadInput, match="2 words"):
            wordnet.likely_pos(["a", "film"], position)


def test_the_order_does_not_depend_on_the_hash_seed() -> None:
    """Two interpreters with different string hashes agree on words with many synonyms."""
    code = "from course_lib import wordnet as w; print([w.synonyms(x) for x in ('got', 'good', 'made', 'saw')])"
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert "'acquired'" in outputs[0]
