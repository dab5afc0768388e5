"""Spelling, common words, classifiers on normalised texts, and training on rewritten words."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import Interrupted, interrupt_at
from torch import Tensor, nn

from course_lib import TextClassifier, wordnet
from course_lib.attacks import recipe
from course_lib.attacks.transformations import HOMOGLYPHS, TYPOS
from course_lib.augmentation import Mixup
from course_lib.batching import Batch, collate, load_tokenizer, tokenize
from course_lib.checkpoints import CheckpointFolder, resume_identity
from course_lib.defenses import (
    FGM,
    CommonWords,
    FreeLB,
    NormalizedClassifier,
    PGDTraining,
    Smoothed,
    Spelling,
    TextNormalizer,
    WordSubstitution,
    load,
)
from course_lib.defenses.spelling import typo_probability
from course_lib.defenses.substitution import _Rewriter
from course_lib.errors import BadInput, CorruptAsset, CourseError, MissingAsset
from course_lib.text.document import Document
from course_lib.training import TrainingConfig

TEXTS = [f"a {word} {noun}" for word in ("good", "great", "bad", "awful") for noun in ("film", "plot", "cast", "end")]
LABELS = [1] * 8 + [0] * 8
SPELLING = Spelling({"good": 300, "film": 100, "charm": 5, "care": 20, "the": 500, "god": 1, "great": 30, "movie": 90})
WORD = st.text(alphabet="abcdefg", min_size=1, max_size=8)


@pytest.fixture(scope="module")
def tiny() -> TextClassifier:
    config = TrainingConfig(epochs=30, learning_rate=3e-3)
    return TextClassifier("tiny", dropout=0.0, training=config).fit(TEXTS, LABELS)


# ---- spelling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPOS)
@given(WORD, st.integers(0, 200))
@settings(deadline=None, max_examples=60)
def test_every_typing_error_has_a_typo_probability(kind: str, word: str, seed: int) -> None:
    typo = TYPOS[kind](word, random.Random(seed))
    if typo is not None and typo.lower() != word:
        assert 0 < typo_probability(typo.lower(), word) <= 0.5


@given(WORD)
@settings(deadline=None, max_examples=40)
def test_chances_of_all_errors_add_up_to_one_at_most(word: str) -> None:
    """Those that leave the word as it is (a letter put for itself, equal neighbours swapped) are what is missing."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    places = range(len(word))
    written = {word[:i] + word[i + 1 :] for i in places} | {
        word[:i] + c + word[i + 1 :] for i in places for c in letters
    }
    written |= {word[:i] + c + word[i:] for i in range(len(word) + 1) for c in letters}
    written |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in places[:-1]}
    total = sum(typo_probability(one, word) for one in written - {word})
    assert 0.5 <= total <= 1 + 1e-9


@pytest.mark.parametrize(("written", "word"), [("god", "dog"), ("good", "good"), ("gd", "good"), ("abcd", "badc")])
def test_more_than_one_error_has_none(written: str, word: str) -> None:
    assert typo_probability(written, word) == 0


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("goood", "good"), ("ogod", "good"), ("goXd", "good"), ("flim", "film"), ("FILM", "FILM"), ("xyzzy", "xyzzy"),
        ("carm", "charm"),  # "care" is commoner, but a letter left out is a likelier error than that one letter for m
        ("god", "good"),  # a rare word beside a common one
        ("th", "the"), ("1999", "1999"), ("a", "a"), ("", ""), ("gооd", "good"),  # with Cyrillic letters
    ],
)  # fmt: skip
def test_words_are_read_as_they_were_meant(written: str, meant: str) -> None:
    assert SPELLING.correct(written) == meant


def test_every_lookalike_is_read_as_the_letter_it_looks_like() -> None:
    spelling = Spelling({"zz": 1})
    for ours, theirs in HOMOGLYPHS.items():
        assert spelling.correct(f"zzz{theirs}zzz") == f"zzz{ours.lower()}zzz"


@pytest.mark.parametrize(
    ("counts", "rate", "says"), [({}, 0.1, "counts is empty"), ({"a": 1}, 0.0, "typo_rate is 0.0")]
)
def test_bad_spelling(counts: dict[str, float], rate: float, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Spelling(counts, rate)


def test_words_of_the_task_weigh_more() -> None:
    spelling = Spelling.of(["a good film"], 3, ["a good day"])
    assert spelling.counts == {"a": 4, "good": 4, "film": 3, "day": 1}


# ---- common words --------------------------------------------------------------------------------------------------


def test_a_rare_word_is_read_as_its_commonest_synonym() -> None:
    synonym = wordnet.synonyms("film")[0]
    common = CommonWords({"film": 100, synonym: 2, "good": 50}, least=10)
    assert common.replace(synonym) == "film"
    assert common.replace("film") == "film" and common.replace("xyzzy") == "xyzzy"
    assert CommonWords({"film": 100, synonym: 2}, least=2).replace(synonym) == synonym


def test_what_is_commoner_than_its_synonyms_stays() -> None:
    assert CommonWords({"film": 5}, least=10).replace("film") == "film"
    with pytest.raises(BadInput, match="least is -1"):
        CommonWords({}, -1)


@given(st.text(alphabet="abdgo .,'[]-é", max_size=40))
@settings(deadline=None, max_examples=60)
def test_normalizing_keeps_the_gaps(text: str) -> None:
    read = Document.of(TextNormalizer(SPELLING).normalize([text])[0])
    assert read.gaps == Document.of(text).gaps


def test_special_tokens_are_not_corrected() -> None:
    normalizer, text = TextNormalizer(Spelling({"ink": 100, "task": 50})), "a [UNK] and a [MASK] or <mask>"
    assert normalizer.normalize([text]) == [text]


def test_an_empty_normalizer_changes_nothing() -> None:
    assert TextNormalizer().normalize(["A goood  film!", ""]) == ["A goood  film!", ""]


# ---- a classifier on normalised texts ------------------------------------------------------------------------------


def test_it_predicts_as_the_classifier_does_on_normalised_texts(tiny: TextClassifier) -> None:
    corrected = NormalizedClassifier(tiny, TextNormalizer(SPELLING))
    np.testing.assert_array_equal(corrected.predict_proba(["a goood flim"]), tiny.predict_proba(["a good film"]))
    assert corrected.predict(["a goood flim"]).tolist() == tiny.predict(["a good film"]).tolist()
    assert corrected.predict_proba([]).shape == (0, 2)


def test_typing_errors_turn_it_less_often(tiny: TextClassifier) -> None:
    labels = tiny.predict(TEXTS)
    spelling = Spelling.of(TEXTS)
    bare = recipe("deepwordbug").run(tiny, TEXTS, labels)
    behind = recipe("deepwordbug").run(NormalizedClassifier(tiny, TextNormalizer(spelling)), TEXTS, labels)
    assert behind.accuracy == bare.accuracy == 1
    assert behind.accuracy_under_attack > bare.accuracy_under_attack


def test_it_is_saved_and_loaded(tiny: TextClassifier, tmp_path: Path) -> None:
    corrected = NormalizedClassifier(tiny, TextNormalizer(SPELLING, CommonWords({"film": 3}, 2)))
    corrected.save(tmp_path / "one")
    again = load(tmp_path / "one")
    assert isinstance(again, NormalizedClassifier) and again.normalizer == corrected.normalizer
    texts = ["a goood flim", "the god movie"]
    np.testing.assert_allclose(again.predict_proba(texts), corrected.predict_proba(texts), atol=1e-6)
    assert isinstance(load(tmp_path / "one" / "model"), TextClassifier)


def test_a_save_that_fails_keeps_the_old_one(
    tiny: TextClassifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = NormalizedClassifier(tiny, TextNormalizer(SPELLING))
    old.save(tmp_path / "one")
    monkeypatch.setattr(Path, "write_text", broken)
    with pytest.raises(CourseError, match="could not be written"):
        NormalizedClassifier(tiny, TextNormalizer(None, CommonWords({"film": 3}))).save(tmp_path / "one")
    again = NormalizedClassifier.from_pretrained(tmp_path / "one")
    assert again.normalizer == old.normalizer and [one.name for one in tmp_path.iterdir()] == ["one"]


def broken(*_: Any, **__: Any) -> None:
    raise OSError("no space left")


def test_nothing_of_others_is_replaced(tiny: TextClassifier, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(BadInput, match="not a saved classifier"):
            NormalizedClassifier(tiny, TextNormalizer()).save(place)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_what_cannot_be_loaded_says_why(tiny: TextClassifier, tmp_path: Path) -> None:
    with pytest.raises(MissingAsset, match="no normalizer"):
        NormalizedClassifier.from_pretrained(tmp_path)
    (tmp_path / "normalizer.json").write_text('{"spelling": {"counts": ')
    with pytest.raises(CorruptAsset, match="damaged"):
        NormalizedClassifier.from_pretrained(tmp_path)
    (tmp_path / "normalizer.json").write_text(json.dumps({"spelling": {"words": {}}, "common": None}))
    with pytest.raises(CorruptAsset, match="damaged"):
        NormalizedClassifier.from_pretrained(tmp_path)


def test_numbers_are_refused() -> None:
    rater = TextClassifier("tiny", head="regression", training=TrainingConfig(epochs=1)).fit(TEXTS, LABELS)
    with pytest.raises(BadInput, match="regression"):
        NormalizedClassifier(rater, TextNormalizer())


# ---- training on rewritten words -----------------------------------------------------------------------------------


def batch_of(classifier: TextClassifier, rows: list[int]) -> Batch:
    return collate(tokenize(TEXTS, classifier.tokenizer_), rows)


def half(module: nn.Module, batch: Batch) -> Tensor:
    labels = torch.tensor(LABELS)[batch.index]
    return torch.nn.functional.cross_entropy(module(batch.input_ids, batch.attention_mask), labels)


def test_rewritten_sentences_keep_their_labels_and_hurt(tiny: TextClassifier) -> None:
    adversary = WordSubstitution(TEXTS, tiny.tokenizer_, most_words=1.0, clean=0.0)
    torch.manual_seed(0)
    rewriter, rows = _Rewriter(adversary), list(range(16))
    batch = batch_of(tiny, rows)
    losses = []
    for _ in range(6):
        made = rewriter.rewrite(tiny.module_, batch, half)
        assert made.index.tolist() == rows
        losses.append(float(half(tiny.module_, made).detach()))
    assert np.mean(losses) > 1.5 * float(half(tiny.module_, batch).detach())


def test_only_words_that_may_change_do(tiny: TextClassifier) -> None:
    """With synonyms alone every changed word is one of them, and function words stay."""
    adversary = WordSubstitution(TEXTS, tiny.tokenizer_, typos=0, most_words=1.0, clean=0.0)
    rewriter, batch = _Rewriter(adversary), batch_of(tiny, [0, 5, 9, 14])
    changed = 0
    for seed in range(8):
        torch.manual_seed(seed)
        made = rewriter.rewrite(tiny.module_, batch, half)
        for row, ids in zip(made.index.tolist(), made.input_ids.tolist(), strict=True):
            old = TEXTS[row].split()
            allowed = [[word, *(s.lower() for s in wordnet.synonyms(word))] for word in old]
            new = tiny.tokenizer_.decode(ids, skip_special_tokens=True).split()
            assert len(new) == len(old) and all(word in options for word, options in zip(new, allowed, strict=True))
            changed += new != old
    assert changed > 0


def test_clean_sentences_stay(tiny: TextClassifier) -> None:
    rewriter = _Rewriter(WordSubstitution(TEXTS, tiny.tokenizer_, clean=1.0))
    batch = batch_of(tiny, [0, 1])
    assert rewriter.rewrite(tiny.module_, batch, half) is batch


@pytest.mark.parametrize(
    "wrapper",
    [FGM(), PGDTraining(), FreeLB(), Mixup(), "words"],
    ids=["FGM", "PGD", "FreeLB", "mixup", "word substitution"],
)
def test_the_module_that_others_may_use_gets_no_hook(wrapper: Any, tiny: TextClassifier) -> None:
    """While the loss is computed, too: another thread that predicts sees nothing of it."""
    if wrapper == "words":
        wrapper = WordSubstitution(TEXTS, tiny.tokenizer_, clean=0.0)
    batch, before, passes = batch_of(tiny, [0, 9, 14]), tiny.predict_proba(TEXTS[:3]), []

    def usual(module: nn.Module, batch: Batch) -> Tensor:
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in tiny.module_.modules())
        np.testing.assert_array_equal(tiny.predict_proba(TEXTS[:3]), before)
        passes.append(module)
        return half(module, batch)

    wrapper(usual)(tiny.module_, batch)
    assert passes and all(parameter.grad is None for parameter in tiny.module_.parameters())


@pytest.mark.parametrize("name", families.FAMILIES)
def test_every_family_can_be_defended(name: str, tmp_path: Path) -> None:
    folder = families.folder_of(families.FAMILIES[name], tmp_path)
    texts, labels = ["a good film", "an awful story", "lovely and fine", "dull"] * 2, ["yes", "no"] * 4
    tokenizer = load_tokenizer(folder)
    quick = TrainingConfig(epochs=1, batch_size=4, learning_rate=1e-3, precision="float32")
    for wrapper in (FGM(), FreeLB(steps=2), WordSubstitution(texts, tokenizer, max_length=16, clean=0.0)):
        classifier = TextClassifier(str(folder), training=quick, max_length=16)
        classifier.fit(texts, labels, loss_wrapper=wrapper)
        assert np.isfinite(classifier.predict_proba(texts)).all()
    assert NormalizedClassifier(classifier, TextNormalizer(SPELLING)).score(texts, labels) <= 1
    if classifier.tokenizer_.mask_token:
        assert Smoothed(classifier, samples=2).predict_proba(texts).shape == (8, 2)
    rewriter, table = _Rewriter(wrapper), torch.randn(len(tokenizer), 4)
    pairs = rewriter.aligned.pairs[0]  # of "a good film"
    tokens = np.array(rewriter.aligned.ids[0])[pairs.tokens[pairs.words == 1]]
    np.testing.assert_allclose(rewriter._vectors(table, ["good"])[0], table[tokens].mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("texts", "row"),
    [(TEXTS[::-1], 0), ([*TEXTS[:3], "a lovely cast", *TEXTS[4:]], 3), (TEXTS[:14], 14)],
    ids=["another order", "another text", "fewer texts"],
)
def test_other_texts_than_those_of_fit_are_refused(tiny: TextClassifier, texts: list[str], row: int) -> None:
    wrapped = WordSubstitution(texts, tiny.tokenizer_, clean=1.0)(half)
    with pytest.raises(BadInput, match=f"text {row} of WordSubstitution is not text {row} of fit"):
        wrapped(tiny.module_, batch_of(tiny, list(range(16))))


def test_all_that_decides_a_run_is_in_its_identity(tiny: TextClassifier) -> None:
    usual = WordSubstitution(TEXTS, tiny.tokenizer_)
    others = [
        WordSubstitution(TEXTS, tiny.tokenizer_, TextNormalizer(SPELLING)),
        WordSubstitution(TEXTS[::-1], tiny.tokenizer_),
        WordSubstitution(TEXTS, tiny.tokenizer_, seed=1),
    ]
    usual.normalizer.word("film")  # what was computed does not count
    assert resume_identity(wrapper=usual) == resume_identity(wrapper=WordSubstitution(TEXTS, tiny.tokenizer_))
    assert all(resume_identity(wrapper=other) != resume_identity(wrapper=usual) for other in others)


def fitted(seed: int, **fit: Any) -> TextClassifier:
    start = TextClassifier("tiny", dropout=0.0, training=TrainingConfig(epochs=2, seed=seed, batch_size=4))
    tokenizer = TextClassifier("tiny", training=TrainingConfig(epochs=1)).fit(TEXTS[6:10], LABELS[6:10]).tokenizer_
    return start.fit(TEXTS, LABELS, loss_wrapper=WordSubstitution(TEXTS, tokenizer), **fit)


@pytest.mark.slow
def test_training_follows_from_its_seed_and_resumes(tmp_path: Path) -> None:
    whole = fitted(0, checkpoints=CheckpointFolder(tmp_path / "a", every=1)).module_.state_dict()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in fitted(0).module_.state_dict().items())
    assert any(not torch.equal(tensor, whole[name]) for name, tensor in fitted(1).module_.state_dict().items())
    folder = CheckpointFolder(tmp_path / "b", every=1)
    with pytest.raises(Interrupted):
        fitted(0, checkpoints=folder, validation=(TEXTS, LABELS), callbacks=[interrupt_at(5)])
    resumed = fitted(0, checkpoints=folder, validation=(TEXTS, LABELS)).module_.state_dict()
    reference = fitted(0, validation=(TEXTS, LABELS)).module_.state_dict()
    assert all(torch.equal(tensor, reference[name]) for name, tensor in resumed.items())


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"most_words": 1.5}, "most_words is 1.5"),
        ({"clean": -1}, "clean is -1"),
        ({"synonyms": False, "typos": 0}, "nothing"),
    ],
)
def test_bad_settings(setting: dict[str, Any], says: str, tiny: TextClassifier) -> None:
    with pytest.raises(BadInput, match=says):
        WordSubstitution(TEXTS, tiny.tokenizer_, **setting)
