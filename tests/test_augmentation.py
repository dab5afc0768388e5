"""Rewrites keep what they promise to keep, whatever the text; sets, reports, mixup and the study of their worth."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein
from scipy import stats
from torch import nn

from course_lib import TextClassifier, assets, corpora, finetuning, machine
from course_lib.attacks.constraints import STOP_WORDS
from course_lib.augmentation import (
    METHODS,
    ContextualReplacement,
    Mixup,
    OneOf,
    PunctuationInsertion,
    RandomDeletion,
    RandomInsertion,
    RandomSwap,
    SynonymReplacement,
    TypoNoise,
    ablation,
    as_gains,
    augment,
    augmentation_study,
    compare,
    contextual,
    eda,
    movement,
    naive_bayes,
    operations,
    paired_gains,
    small_models,
    words_changed,
)
from course_lib.augmentation.context import Masked
from course_lib.augmentation.dataset import Augmented
from course_lib.augmentation.noise import MARKS
from course_lib.augmentation.operations import changes
from course_lib.augmentation.small_models import fit_tfidf
from course_lib.batching import collate
from course_lib.classifier.data import task_loss
from course_lib.errors import BadInput
from course_lib.experiments import Experiment
from course_lib.finetuning import recipes
from course_lib.pretraining import LanguageModel
from course_lib.text.document import Document, match_case
from course_lib.text.masked_lm import whole_words
from course_lib.training import TrainingConfig

TOY = {"good": ("great", "fine"), "bad": ("awful",), "film": ("movie", "motion picture"), "plot": ("story",)}
BY_WORD = {
    "synonyms": SynonymReplacement(0.3),
    "insertion": RandomInsertion(0.3),
    "swap": RandomSwap(0.3),
    "deletion": RandomDeletion(0.3),
    "aeda": PunctuationInsertion(),
    "typo": TypoNoise(0.3),
    "eda": eda(0.3),
    "one of two": OneOf((TypoNoise(0.3), PunctuationInsertion())),
}
WORDLESS = ["", " ", "\n", "!?...", "😀👍🏽", "--- ***", "_"]
ODD = ["a", "I", "good", "1999", "über Straße naïve", "a 😀 good b", "好电影", "[MASK] good [SEP]", "good\x00film"]
SENTENCE = st.text(alphabet="abgod film.,'-é\n[]😀7", max_size=40)


@pytest.fixture(autouse=True)
def toy_wordnet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four words with synonyms: no file is read, and every outcome can be told beforehand."""
    if "real_wordnet" not in request.fixturenames:
        monkeypatch.setattr(operations, "wordnet", toy_of(TOY))


@pytest.fixture
def real_wordnet() -> None:
    """Asks for WordNet itself."""


def toy_of(table: dict[str, tuple[str, ...]]) -> SimpleNamespace:
    def synonyms(word: str, pos: str | None = None) -> tuple[str, ...]:
        found = table.get(word.lower(), ())
        return tuple(match_case(new, word) for new in found)

    return SimpleNamespace(synonyms=synonyms, likely_pos=lambda words, position: None)


@pytest.fixture(scope="module")
def language_model() -> LanguageModel:
    return LanguageModel.from_pretrained("tiny-bert")


# ---- every operation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_WORD)
def test_a_text_without_words_stays(name: str) -> None:
    assert BY_WORD[name](WORDLESS, seed=3) == WORDLESS


@pytest.mark.parametrize("name", BY_WORD)
@settings(max_examples=30)
@given(texts=st.lists(SENTENCE, max_size=5), seed=st.integers(0, 99))
def test_a_rewrite_follows_from_text_and_seed_alone(name: str, texts: list[str], seed: int) -> None:
    op = BY_WORD[name]
    made = op(texts, seed)
    assert made == [op([text], seed)[0] for text in texts]
    assert made[::-1] == op(texts[::-1], seed, labels=list(range(len(texts))))
    assert all(Document.of(new).words for text, new in zip(texts, made, strict=True) if Document.of(text).words)


@pytest.mark.parametrize("name", BY_WORD)
def test_another_seed_is_another_rewrite(name: str) -> None:
    text = "A good film with a good plot and a bad, bad end that nobody will ever forget."
    assert len({BY_WORD[name]([text], seed)[0] for seed in range(20)}) > 5


@pytest.mark.parametrize("name", BY_WORD)
def test_odd_texts_are_rewritten_without_an_error(name: str) -> None:
    assert all(isinstance(new, str) for seed in range(20) for new in BY_WORD[name](ODD, seed))


@pytest.mark.parametrize("name", BY_WORD)
def test_a_very_long_text_takes_no_minute(name: str) -> None:
    started = time.perf_counter()
    assert BY_WORD[name](["a good film, " * 5000])[0]
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan"), None, "0.1", True], ids=repr)
@pytest.mark.parametrize(
    "make", [SynonymReplacement, RandomInsertion, RandomSwap, RandomDeletion, PunctuationInsertion, TypoNoise, eda]
)
def test_bad_rates(make: Callable[[Any], Any], share: Any) -> None:
    with pytest.raises(BadInput, match="alpha is") as caught:
        make(share)
    assert "above 0 and at most 1" in caught.value.fix


@pytest.mark.parametrize("name", BY_WORD)
def test_bad_texts_and_seeds(name: str) -> None:
    for texts, seed in (("one text", 0), ([1], 0), (["a"], -1), (["a"], 0.5), (["a"], None)):
        with pytest.raises(BadInput):
            BY_WORD[name](texts, seed)  # type: ignore[arg-type]


def test_n_is_the_papers() -> None:
    assert [changes(0.1, words) for words in (1, 9, 10, 19, 20, 100)] == [1, 1, 1, 1, 2, 10]


# ---- words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "expected"), [(0.1, 1), (0.2, 2), (0.4, 4), (1.0, 4)])
def test_n_words_become_synonyms_and_punctuation_stays(alpha: float, expected: int) -> None:
    text = "A Good film -- the plot, at least, is not bad!"
    before = Document.of(text)
    for seed in range(20):
        (new,) = SynonymReplacement(alpha)([text.replace("film", "film")], seed)
        spoken = new.replace("motion picture", "movie")
        after = Document.of(spoken)
        changed = [(old, now) for old, now in zip(before.words, after.words, strict=True) if old != now]
        assert after.gaps == before.gaps and len(changed) == expected
        assert all(
            now.lower() in TOY[old.lower()] + ("movie",) and now.istitle() == old.istitle() for old, now in changed
        )


@given(st.lists(st.sampled_from(["good", "bad", "film", "the", "7"]), min_size=1, max_size=30), st.integers(0, 99))
def test_insertion_adds_synonyms_and_keeps_the_order(words: list[str], seed: int) -> None:
    (new,) = RandomInsertion(0.2)([" ".join(words) + "."], seed)
    added = new.removesuffix(".").replace("motion picture", "motion_picture").split(" ")
    known = [word for word in words if word in TOY]
    assert len(added) == len(words) + min(len(known), changes(0.2, len(words)))
    rest = Counter(added) - Counter(words)
    assert set(rest) <= {new.replace(" ", "_") for word in known for new in TOY[word]}
    left = iter(added)
    assert all(word in left for word in words)  # a subsequence


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=20), st.integers(0, 99))
def test_a_swap_keeps_the_words(words: list[str], seed: int) -> None:
    text = "(" + "; ".join(words) + ")"
    (new,) = RandomSwap(0.1)([text], seed)
    assert sorted(Document.of(new).words) == sorted(words) and Document.of(new).gaps == Document.of(text).gaps
    assert Levenshtein.distance(Document.of(new).words, words) <= 2 * changes(0.1, len(words))


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=20), st.integers(0, 99))
def test_a_deletion_keeps_the_order_and_one_word(words: list[str], seed: int) -> None:
    (new,) = RandomDeletion(0.9)([" ".join(words) + " !"], seed)
    left = iter(words)
    assert all(word in left for word in Document.of(new).words) and Document.of(new).words
    assert new.endswith(" !")


def test_the_probability_of_a_deletion_is_alpha() -> None:
    made = RandomDeletion(0.2)([f"text {i} " + "word " * 98 for i in range(50)])
    share = 1 - sum(len(Document.of(text).words) for text in made) / 5000
    assert stats.binomtest(round(share * 5000), 5000, 0.2).pvalue > 1e-3


def test_eda_takes_each_operation_about_as_often() -> None:
    texts = [f"good film {i} with one plot or another" for i in range(400)]
    made = [Document.of(new).words for new in eda()(texts)]
    longer, shorter = (sum(len(words) > 8 for words in made), sum(len(words) < 8 for words in made))
    assert 70 < longer < 180 and 30 < shorter < 130  # a deletion may leave everything, "motion picture" is a word more


def test_synonyms_of_wordnet_itself(real_wordnet: None) -> None:
    text = "The films were wonderful."
    made = {SynonymReplacement(0.3)([text], seed)[0] for seed in range(30)}
    assert "The movies were wonderful." in made and all(new.startswith("The ") and new.endswith(".") for new in made)


# ---- marks and typing errors -----------------------------------------------------------------------------------


@given(SENTENCE, st.integers(0, 99))
def test_aeda_only_adds_marks(text: str, seed: int) -> None:
    before, after = Document.of(text), Document.of(PunctuationInsertion()([text], seed)[0])
    assert after.words == before.words
    added = [(old, new) for old, new in zip(before.gaps, after.gaps, strict=True) if old != new]
    assert all(new[: len(old)] == old and new[len(old)] in MARKS and new.endswith(" ") for old, new in added)
    assert bool(before.words) <= len(added) <= changes(0.3, len(before.words))


@given(SENTENCE, st.integers(0, 99))
def test_one_typing_error_a_word_and_none_in_short_words_and_numbers(text: str, seed: int) -> None:
    before, (new,) = Document.of(text), TypoNoise(0.5)([text], seed)
    long = [word for word in before.words if sum(map(str.isalpha, word)) >= 3]
    assert new == text if not long else 1 <= Levenshtein.distance(text, new) <= 2 * changes(0.5, len(before.words))


def test_a_typing_error_shows_even_in_doubled_letters() -> None:
    assert all(TypoNoise()(["oooo"], seed) != ["oooo"] for seed in range(30))
    assert TypoNoise(1.0)(["7777 of 1234"]) == ["7777 of 1234"]


# ---- together --------------------------------------------------------------------------------------------------


def test_operations_are_printed_readably() -> None:
    op = OneOf((RandomSwap(), PunctuationInsertion()))
    assert str(op) == "one of (10% of the words swapped, punctuation before up to 30% of the words)"
    assert repr(RandomSwap(0.2)) == "RandomSwap(alpha=0.2)" and op == eval(repr(op))


class Marked:
    """Writes its name and the label behind the text."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, texts: Sequence[str], seed: int = 0, labels: Sequence[Any] | None = None) -> list[str]:
        known = labels if labels is not None else [""] * len(texts)
        return [f"{text}{self.name}{label}" for text, label in zip(texts, known, strict=True)]


def test_one_of_gives_each_text_its_own_label() -> None:
    texts = [str(number) + "/" for number in range(60)]
    made = OneOf((Marked("x"), Marked("y")))(texts, labels=pd.Series(range(60), index=range(60, 0, -1)))
    with pytest.raises(BadInput, match="60 texts and 2 labels"):
        OneOf((Marked("x"),))(texts, labels=[0, 1])
    assert all(new in (f"{i}/x{i}", f"{i}/y{i}") for i, new in enumerate(made))
    assert 15 < sum("x" in new for new in made) < 45


@pytest.mark.parametrize("several", [(), "swap", None, (RandomSwap(), 3)], ids=repr)
def test_one_of_needs_operations(several: Any) -> None:
    with pytest.raises(BadInput, match="operations is"):
        OneOf(several)


# ---- word counts -----------------------------------------------------------------------------------------------

TEXTS = ["a good film", "good, good plot", "a bad film", "bad end of it", "the plot was fine"]
LABELS = [1, 1, 0, 0, 1]


def test_naive_bayes_reads_words_as_documents_do() -> None:
    found = naive_bayes([*TEXTS, "Isn't a GOOD film"], [*LABELS, 0])
    assert set(found[0].vocabulary_) == {word.lower() for text in TEXTS for word in Document.of(text).words} | {"isn't"}
    unknown, negated, good = found.predict_proba(["nothing known", "isn't", "Good, good"])[:, 1]
    assert unknown == pytest.approx(0.5) and negated < 0.5 < good


@pytest.mark.parametrize("labels", [[1, 1, 1, 1, 1], [0, 1], 1])
def test_naive_bayes_needs_labels_and_words(labels: Any) -> None:
    with pytest.raises(BadInput, match="5 texts and labels"):
        naive_bayes(TEXTS, labels)
    with pytest.raises(BadInput, match="no text holds a word"):
        naive_bayes(["!", "?", ""], [0, 1, 1])


# ---- words of a masked model -----------------------------------------------------------------------------------

CLAIM = "The president spoke about the war in Europe."


def test_candidates_are_the_models_own(language_model: LanguageModel) -> None:
    op = ContextualReplacement(language_model, top=5)
    gap = Masked(0, 1)
    op._fill([Document.of(CLAIM)], [gap])
    reference = language_model.fill(CLAIM.replace("president", "[MASK]"), top=60)[0]
    allowed = set(whole_words(language_model.tokenizer).values()) - STOP_WORDS
    expected = [(word, p) for word, p in reference if word in allowed and word != "president"][:5]
    assert gap.words == [word for word, _ in expected]
    shares = np.array([p for _, p in expected])
    np.testing.assert_allclose(gap.weights / gap.weights.sum(), shares / shares.sum(), rtol=1e-3)


def test_only_words_of_content_are_replaced_by_words(language_model: LanguageModel) -> None:
    before = Document.of("The President spoke about THE WAR of 1945.")
    allowed = set(whole_words(language_model.tokenizer).values()) - STOP_WORDS
    for seed in range(10):
        (new,) = ContextualReplacement(language_model, alpha=1.0)([before.text], seed)
        after = Document.of(new)
        assert after.gaps == before.gaps
        kept = {old for old, now in zip(before.words, after.words, strict=True) if old == now}
        assert kept == {"The", "THE", "of", "1945"}
        assert all(word.lower() in allowed for word in after.words if word not in kept)
        assert after.words[1].istitle() and after.words[5].isupper()


def test_a_batch_changes_nothing(language_model: LanguageModel) -> None:
    op = ContextualReplacement(language_model)
    texts = [*WORDLESS, CLAIM, "war", *ODD, "The economy of the country grew again last year, he said.", CLAIM]
    made = op(texts, seed=5)
    assert made == [op([text], 5)[0] for text in texts] and made[-1] != CLAIM
    assert made[: len(WORDLESS)] == WORDLESS
    assert op([]) == []


def test_long_texts_are_replaced_to_their_end(language_model: LanguageModel) -> None:
    op = ContextualReplacement(language_model, naive_bayes(TEXTS, LABELS), alpha=0.02)
    words = ["war" if i % 2 else "peace" for i in range(1200)]
    changed = [i for i, word in enumerate(op([" ".join(words)])[0].split()) if word != words[i]]
    assert len(changed) == 24 and changed[-1] > 900


class Starts:
    """Stands for a classifier of texts: class "m" where more words begin with a to m than with n to z."""

    classes_ = np.array(["m", "z"])

    def __init__(self) -> None:
        self.calls = 0

    def predict_proba(self, texts: Sequence[str]) -> Any:
        self.calls += 1
        early = [np.mean([word.lower() <= "n" for word in Document.of(text).words] or [0.5]) for text in texts]
        return np.stack([early, 1 - np.array(early)], 1)


def test_the_judge_steers_the_words(language_model: LanguageModel) -> None:
    words = ["war", "court", "house", "street", "money", "school", "police", "market"]
    texts = [f"{one} {other}" for one in words for other in words]
    op = ContextualReplacement(language_model, Starts(), alpha=1.0, strength=4.0)
    early, late = (op.judge.predict_proba(op(texts, labels=[label] * len(texts)))[:, 0].mean() for label in "mz")
    assert early > late + 0.3
    strictest = replace(op, strength=5000.0)  # 0.5 ** 5000 is 0: the judge must be heard all the same
    assert op.judge.predict_proba(strictest(texts, labels=["m"] * len(texts)))[:, 0].mean() >= early
    free = replace(op, strength=0.0)
    assert free(texts, labels=["m"] * len(texts)) == free(texts, labels=["z"] * len(texts))
    assert free(texts) == replace(op, judge=None)(texts)


def test_without_labels_the_judges_own_word_counts(language_model: LanguageModel) -> None:
    judge = Starts()
    op = ContextualReplacement(language_model, judge, alpha=1.0)
    texts = ["war police", "house money", "street street"]
    said = judge.classes_[judge.predict_proba(texts).argmax(1)].tolist()
    judge.calls = 0
    assert op(texts, 1) == op(texts, 1, said)
    assert judge.calls == 3  # what the texts are, and all candidates at once, twice


def test_a_judge_that_rules_out_everything_is_not_asked_again(language_model: LanguageModel) -> None:
    judge = SimpleNamespace(classes_=np.array([0, 1]), predict_proba=lambda texts: np.tile([1.0, 0.0], (len(texts), 1)))
    free, ruled = ContextualReplacement(language_model), ContextualReplacement(language_model, judge)
    assert ruled([CLAIM], labels=[1]) == free([CLAIM])


def test_word_counts_stand_in_for_a_classifier(language_model: LanguageModel) -> None:
    op = contextual(TEXTS, LABELS, language_model)
    assert str(op).endswith("(judged by Pipeline)")
    assert contextual(TEXTS, LABELS, "tiny-bert")(TEXTS, 1, LABELS) == op(TEXTS, 1, LABELS)


def test_labels_that_the_judge_does_not_know(language_model: LanguageModel) -> None:
    op = contextual(TEXTS, LABELS, language_model)
    for labels in ([1, 1, 0, 0, 2], [1], ["1"] * 5):
        with pytest.raises(BadInput, match=r"labels (holds|has the shape)"):
            op(TEXTS, labels=labels)


@pytest.mark.parametrize("wrong", [{"alpha": 0}, {"top": 0}, {"strength": -1}, {"strength": float("nan")}], ids=repr)
def test_bad_settings_of_contextual_replacement(language_model: LanguageModel, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=f"{next(iter(wrong))} is"):
        ContextualReplacement(language_model, **wrong)


def test_a_causal_model_is_refused(language_model: LanguageModel) -> None:
    causal = SimpleNamespace(model=SimpleNamespace(encoder=SimpleNamespace(causal=True)))
    with pytest.raises(BadInput, match="causal"):
        ContextualReplacement(causal)  # type: ignore[arg-type]


# ---- mixup -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny() -> TextClassifier:
    texts = [f"{word} {noun}" for word in ("good", "great", "bad", "awful") for noun in ("film", "plot", "cast", "end")]
    config = TrainingConfig(epochs=5, learning_rate=3e-3, precision="float32")
    return TextClassifier("tiny", dropout=0.0, training=config).fit(texts, [1] * 8 + [0] * 8)


@pytest.fixture
def batch(tiny: TextClassifier) -> Any:
    texts = ["good film", "bad film", "a great, great plot", "awful"]
    return collate([tiny.tokenizer_(text)["input_ids"] for text in texts], [0, 1, 2, 3])


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What mixup draws."""
    said: dict[str, Any] = {"weight": 0.3, "order": torch.tensor([2, 0, 3, 1])}
    beta = SimpleNamespace(sample=lambda: torch.tensor(said["weight"], dtype=torch.float64))
    monkeypatch.setattr(torch.distributions, "Beta", lambda a, b: beta)
    monkeypatch.setattr(torch, "randperm", lambda n: said["order"][:n])
    return said


@pytest.mark.parametrize("soft", [False, True])
def test_the_loss_is_that_of_the_mixed_targets(tiny: TextClassifier, batch: Any, drawn: Any, soft: bool) -> None:
    hard, rows = torch.tensor([1, 0, 1, 0]), torch.tensor([[0.2, 0.8], [0.9, 0.1], [0.0, 1.0], [0.6, 0.4]])
    usual = task_loss({"labels": hard} | ({"soft_labels": rows} if soft else {}), 2)
    module, order, share = tiny.module_, drawn["order"], drawn["weight"]
    wanted = rows if soft else nn.functional.one_hot(hard, 2).float()
    vectors, before = module.pooled(batch.input_ids, batch.attention_mask), usual(module, batch).item()
    logits = module.classifier(share * vectors + (1 - share) * vectors[order])
    expected = nn.functional.cross_entropy(logits, share * wanted + (1 - share) * wanted[order])
    found = Mixup()(usual)(module, batch)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    assert usual(module, batch).item() == before != found.item()  # nothing stays mixed


def test_a_weight_of_one_mixes_nothing(tiny: TextClassifier, batch: Any, drawn: Any) -> None:
    usual, drawn["weight"] = task_loss({"labels": torch.tensor([1, 0, 1, 0])}, 2), 1.0
    assert Mixup()(usual)(tiny.module_, batch).item() == pytest.approx(usual(tiny.module_, batch).item(), abs=1e-5)


def test_training_with_mixup_follows_from_the_seed_and_learns() -> None:
    texts = [f"{word} {noun}" for word in ("good", "bad") for noun in ("film", "plot", "cast", "end")] * 2
    config = TrainingConfig(epochs=15, learning_rate=3e-3, precision="float32")
    runs = [
        TextClassifier("tiny", dropout=0.0, training=config).fit(
            texts, [1, 1, 1, 1, 0, 0, 0, 0] * 2, loss_wrapper=adversary
        )
        for adversary in (Mixup(0.4), Mixup(0.4), None)
    ]
    first, second, without = (run.decision_logits(texts) for run in runs)
    assert (first == second).all() and (first != without).any()
    assert runs[0].score(texts, [1, 1, 1, 1, 0, 0, 0, 0] * 2) == 1


def test_mixup_of_multitask_and_regression_heads() -> None:
    texts, config = ["good film", "bad film", "good", "bad"], TrainingConfig(epochs=1)
    for head, rest in (("regression", {}), ("multitask", {"ratings": [1.0, -1.0, 2.0, -2.0]})):
        fitted = TextClassifier("tiny", head, config).fit(texts, [1, 0, 1, 0], loss_wrapper=Mixup(), **rest)
        assert np.isfinite(fitted.decision_logits(texts)).all()


def test_mixup_says_what_it_cannot_mix(batch: Any) -> None:
    with pytest.raises(BadInput, match="mixup of a Linear"):
        Mixup()(lambda module, batch: torch.zeros(()))(nn.Linear(1, 1), batch)
    for wrong in ({"alpha": 0}, {"alpha": float("nan")}):
        with pytest.raises(BadInput, match=f"{next(iter(wrong))} is"):
            Mixup(**wrong)  # type: ignore[arg-type]
    assert str(Mixup()) == "mixup of sentence vectors, Beta(0.2, 0.2)"


# ---- sets ------------------------------------------------------------------------------------------------------


def test_copies_follow_the_originals_with_their_labels() -> None:
    rows = augment(TEXTS, LABELS, TypoNoise(), copies=3)
    assert rows.texts[:5] == TEXTS and rows.originals == 5 and rows.labels.tolist()[:5] == LABELS
    assert len(rows.texts) + rows.dropped == 20 and len(set(rows.texts)) == len(rows.texts)
    for text, label, origin in zip(rows.texts, rows.labels, rows.origin, strict=True):
        assert label == LABELS[origin] and Levenshtein.distance(text, TEXTS[origin]) <= 2
    frame = rows.to_frame()
    assert frame["copy"].sum() == len(rows.texts) - 5 and frame["label"].tolist() == rows.labels.tolist()
    assert str(rows) == f"5 texts and {len(rows.texts) - 5} copies ({rows.dropped} more were no new text)"


def test_unchanged_and_repeated_copies_are_dropped() -> None:
    rows = augment(["...", "", "a good thing"], ["x", "y", "x"], SynonymReplacement(), copies=8)
    assert set(rows.texts[3:]) == {"a great thing", "a fine thing"} and rows.dropped == 22


def test_no_text_gets_two_labels() -> None:
    rows = augment(["good end", "great end", "fine end"], [1, 0, 1], SynonymReplacement(), copies=20)
    assert rows.texts == ["good end", "great end", "fine end"]  # what "good end" becomes is there, once with a 0
    rows = augment(["a b", "b a c"], [0, 1], lambda texts, seed=0, labels=None: ["same"] * len(texts))
    assert rows.texts == ["a b", "b a c", "same"] and rows.labels.tolist() == [0, 1, 0]


def test_the_seed_decides_the_copies_and_each_copy_is_another() -> None:
    one, same, other = (augment(TEXTS, LABELS, RandomSwap(0.5), seed=seed).texts for seed in (1, 1, 2))
    assert one == same != other
    text = "one two three four five six seven eight nine ten"
    assert len(augment([text, "x"], [0, 1], RandomSwap(), copies=10).texts) > 9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": [1]}, "5 texts, but labels"),
        ({"labels": 1}, "5 texts, but labels"),
        ({"copies": 0}, "copies is 0"),
        ({"copies": 1.5}, "copies is 1.5"),
        ({"seed": -1}, "seed is -1"),
        ({"texts": ["a", "b", "a", "c", "d"]}, "'a' has the labels 1 and 0"),
        ({"texts": "abcde"}, "single str"),
    ],
)
def test_what_cannot_be_augmented(change: dict[str, Any], said: str) -> None:
    given = {"texts": TEXTS, "labels": LABELS, "op": RandomSwap()} | change
    with pytest.raises(BadInput, match=said):
        augment(**given)


# ---- measures --------------------------------------------------------------------------------------------------


def letters(texts: Sequence[str]) -> Any:
    """Vectors that can be told by hand: how often a and b occur in a text."""
    return np.array([[text.count("a"), text.count("b")] for text in texts], np.float32)


class First:
    """A judge that predicts the first letter, and vectors; both note their calls."""

    def __init__(self) -> None:
        self.judged: list[list[str]] = []
        self.encoded: list[list[str]] = []

    def predict(self, texts: Sequence[str]) -> Any:
        self.judged.append(list(texts))
        return np.array([text[:1] for text in texts])

    def vectors(self, texts: Sequence[str]) -> Any:
        self.encoded.append(list(texts))
        return letters(texts)


def test_a_comparison_by_hand() -> None:
    originals, rewritten, judge = ["a b", "a", "b b", ""], ["a a", "a", "a b", ""], First()
    found = compare(originals, {"one": rewritten, "same": originals}, ["a", "a", "a", ""], judge, judge.vectors)
    row, same = found.set_index("operation").loc["one"], found.set_index("operation").loc["same"]
    assert row["n"] == 4 and row["words_changed"] == 0.25
    assert row["cosine"] == pytest.approx((2**0.5 + 1) / 4)
    assert row["unchanged"] == 0.5 and row["agreement"] == 1 and row["agreement_before"] == 0.75
    assert row["agreement_before_low"] < 0.75 < row["agreement_before_high"]
    assert same["unchanged"] == 1 and same["agreement"] == same["agreement_before"] == 0.75
    assert judge.judged == judge.encoded == [["a b", "a", "b b", "", "a a"]]  # each text once


def test_a_comparison_without_a_judge_or_labels() -> None:
    bare = compare(["a b"], {"one": ["a"]}, vectors=letters)
    assert np.isnan(bare["agreement"][0]) and bare["operation"].tolist() == ["one"]
    own = compare(["a b", "b a"], {"one": ["b", "b"]}, judge=First(), vectors=letters)
    assert own["agreement_before"][0] == 1 and own["agreement"][0] == 0.5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((["a"], {}), "no rewrites"),
        ((["a"], {"one": ["a", "b"]}), "1 originals and 2"),
        ((["a"], {"one": "a"}), "one"),
        (([], {"one": []}), "0 originals"),
        ((["a"], {"one": ["b"]}, ["x"]), "no judge"),
        ((["a"], {"one": ["b"]}, ["x", "y"], First()), "labels is"),
    ],
)
def test_what_cannot_be_compared(given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        compare(*given, vectors=letters)


def test_movement_with_sentence_vectors_of_the_course() -> None:
    found = movement(["a good film", "😀"], ["a good film", "!!!"])
    assert found["cosine"][0] == pytest.approx(1, abs=1e-5) and found["cosine"][1] < 0.9
    assert found["words_changed"].tolist() == [0, 0] and found["augmented"].tolist() == ["a good film", "!!!"]


def test_words_changed_is_levenshtein_on_words() -> None:
    assert words_changed("the film is good", "The film is, not; good") == 2 / 5
    assert words_changed("a b", "b a") == 1 and words_changed("", "...") == 0
    text = " ".join(f"word{random.Random(i).randrange(900)}" for i in range(4000))
    started = time.perf_counter()
    assert 0.1 < words_changed(text, RandomSwap(0.2)([text])[0]) < 0.5
    assert time.perf_counter() - started < 5


# ---- ablation --------------------------------------------------------------------------------------------------


def toy_part(name: str, split: str, limit: int | None = None) -> pd.DataFrame:
    """A corpus in which one word decides."""
    rows = {"train": 40, "test": 20}[split]
    good, bad = ("superb", "lovely", "good"), ("dreadful", "boring", "bad")
    texts = [f"{'a' if i % 3 else 'the'} {(bad, good)[i % 2][i // 2 % 3]} film of {split} {i}" for i in range(rows)]
    frame = pd.DataFrame({"text": texts, "label": [i % 2 for i in range(rows)]})
    frame["rating"] = [(2 * (i % 2) - 1) * (1.0 + i % 3) for i in range(rows)]
    return frame.head(limit or rows)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, language_model: LanguageModel) -> list[dict[str, Any]]:
    """A toy corpus, the tiny encoder, the tiny language model; gives all calls of `fit`."""
    met: list[dict[str, Any]] = []
    real, fit = recipes.estimator, TextClassifier.fit

    def watched(self: TextClassifier, texts: Any, labels: Any, **rest: Any) -> TextClassifier:
        met.append({"texts": texts, "labels": labels, "training": self.training, **rest})
        return fit(self, texts, labels, **rest)

    monkeypatch.setattr(corpora, "part", toy_part)
    monkeypatch.setattr(ablation, "estimator", lambda chosen, seed: real(chosen, seed, "tiny"))
    monkeypatch.setattr(ablation, "contextual", lambda texts, labels: contextual(texts, labels, language_model))
    monkeypatch.setattr(machine, "peak_flops", lambda kind=None: 1e11)
    monkeypatch.setattr(assets, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(TextClassifier, "fit", watched)
    return met


@pytest.mark.parametrize("method", METHODS)
def test_both_sides_take_the_same_steps(small: list[dict[str, Any]], method: str, tmp_path: Path) -> None:
    result = augmentation_study({"labels": 30, "method": method, "seed": 1}, tmp_path)
    (call,) = small
    training = call["training"]
    assert result["steps"] == 8 and training.epochs * len(call["texts"]) == 8 * 25 and training.seed == 1
    assert result["test_rows"] == 20 and 0 <= result["test_accuracy"] <= 1
    texts, rewritten = call["texts"][:25], call["texts"][25:]
    assert texts == toy_part("", "train")["text"].tolist()[:25]
    assert (method in ("none", "mixup")) == (not rewritten) and (call["loss_wrapper"] is not None) == (
        method == "mixup"
    )
    assert result["copies"] == sum(old != new for old, new in zip(texts, rewritten, strict=False))
    assert not rewritten or (len(rewritten) == 25 and result["copies"] > 0)
    assert call["labels"].tolist() == toy_part("", "train")["label"].tolist()[:25] * (2 if rewritten else 1)
    assert len(call["soft_labels"]) == len(call["texts"])


def test_where_nothing_was_rewritten_the_original_stands_again() -> None:
    made = Augmented(["a", "b", "c", "b2"], np.arange(4), np.array([0, 1, 2, 1]), 3, 2)
    texts, origin = ablation.one_rewrite_each(made)
    assert texts == ["a", "b", "c", "a", "b2", "c"] and origin.tolist() == [0, 1, 2, 0, 1, 2]


def test_each_seed_has_training_sentences_of_its_own(small: list[dict[str, Any]]) -> None:
    every = toy_part("", "train")["text"].tolist()
    assert ablation.training_rows(10)["text"].tolist() == every[:10]
    assert ablation.training_rows(10, 2)["text"].tolist() == every[20:30]
    last = ablation.training_rows(25, 1)["text"].tolist()
    assert len(last) == 25 and last == [*every, *every][25:50]


@pytest.mark.parametrize("model", ["tfidf", "cnn"])
def test_a_small_model_has_an_accuracy_for_each_seed(small: list[dict[str, Any]], model: str) -> None:
    config = {"model": model, "labels": 20, "seeds": 2} | ({"steps": 5} if model == "cnn" else {})
    table = ablation.few_label_study.table([config | {"method": method} for method in ("none", "eda")], show=False)
    again = ablation.few_label_study({**config, "method": "eda"}, Path())
    assert table["seed"].tolist() == [0, 1, 0, 1] and table["test_accuracy"].between(0, 1).all()
    assert table[table["method"] == "eda"]["test_accuracy"].tolist() == again["test_accuracy"]
    assert paired_gains(table)["gain"].size == 2


def test_copies_weigh_as_much_as_their_original_alone() -> None:
    texts, labels = ["a good film", "a bad film", "good", "bad"], np.array([1, 0, 1, 0])
    once = Augmented(texts, labels, np.arange(4), 4, 0)
    origin = np.array([0, 1, 2, 3, 0, 0])
    more = Augmented([*texts, texts[0], texts[0]], labels[origin], origin, 4, 0)
    asked = ["good good", "bad story", "film"]
    assert fit_tfidf(more, asked).tolist()[:2] == fit_tfidf(once, asked).tolist()[:2] == [1, 0]


def test_the_probe_is_asked_with_and_without_typing_errors(
    small: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def vectors(texts: Any) -> np.ndarray[Any, Any]:
        return np.array([[text.count(letter) for letter in "abcdefg"] for text in texts], float)

    for module in (ablation, small_models):
        monkeypatch.setattr(module, "sentence_vectors", vectors)
    rows = ablation.probe_study.table([{"labels": 20, "seeds": 2}], show=False)
    assert rows["method"].tolist() == ["none", "eda", "typo"] * 2
    assert rows[["test_accuracy", "typo_accuracy"]].apply(lambda column: column.between(0, 1)).all(axis=None)


@pytest.mark.parametrize("rows", [2, 20, 100, 500, 2000, 7900])
def test_epochs_can_be_halved_and_batches_are_whole(rows: int) -> None:
    assert ablation.epochs_of(rows) in (2, 4, 6, 8) and rows % ablation.batch_of(rows) == 0


def test_a_study_keeps_its_runs(small: list[dict[str, Any]]) -> None:
    configs = [{"labels": 20, "method": method, "seed": 0} for method in ("none", "aeda")]
    first = augmentation_study.table(configs, show=False)
    again = augmentation_study.table(configs, show=False)
    assert len(small) == 2 and set(first["source"]) == {"computed"} and set(again["source"]) == {"stored"}
    gains = as_gains(again)
    assert gains["method"].tolist() == ["none", "aeda"] and (gains["seeds"] == 1).all()


def test_contextual_runs_take_longer(small: list[dict[str, Any]]) -> None:
    cost = augmentation_study.cost
    assert cost is not None and not small
    assert 0 < cost({"labels": 20, "method": "none"}) < cost({"labels": 20, "method": "contextual"})


@pytest.mark.parametrize(
    "config", [{"labels": 1, "method": "eda"}, {"labels": 2.5, "method": "eda"}, {"labels": 20, "method": "shuffle"}]
)
def test_bad_configurations(small: list[dict[str, Any]], config: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"labels is|method is"):
        augmentation_study(config | {"seed": 0}, tmp_path)


def runs_of(**accuracies: list[float]) -> pd.DataFrame:
    return pd.DataFrame([
        {"labels": 100, "method": method, "seed": seed, "test_accuracy": value}
        for method, values in accuracies.items() for seed, value in enumerate(values)
    ])  # fmt: skip


def test_gains_are_paired_by_seed() -> None:
    none, other = [0.70, 0.80, 0.75, 0.65], [0.72, 0.81, 0.78, 0.66]
    table = as_gains(runs_of(none=none, eda=other).sample(frac=1, random_state=0)).set_index("method")
    differences = 100 * (np.array(other) - none)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    row = table.loc["eda"]
    assert [row["gain"], row["low"], row["high"]] == pytest.approx([differences.mean(), expected.low, expected.high])
    assert table.loc["none", "accuracy"] == pytest.approx(0.725) and table.loc["none", "gain"] == 0


def test_only_common_seeds_count_and_one_has_no_interval() -> None:
    row = as_gains(runs_of(none=[0.7], eda=[0.71, 0.9])).set_index("method").loc["eda"]
    assert row["seeds"] == 1 and row["gain"] == pytest.approx(1) and np.isnan(row["low"])


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        (runs_of(eda=[0.7]), "no seed in common with none"),
        (pd.concat([runs_of(none=[0.7])] * 2), "twice"),
        (runs_of(none=[0.7]).drop(columns="seed"), "no column 'seed'"),
    ],
)
def test_what_gives_no_gain(runs: pd.DataFrame, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        as_gains(runs)


# ---- the benchmark ---------------------------------------------------------------------------------------------


def guessed(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Stands for `augmentation_study`: rewriting gains a point, and a seed is worth two."""
    return {"test_accuracy": 0.7 + 0.01 * (config["method"] != "none") + 0.02 * config["seed"], "steps": 8}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The benchmark with quick runs, on a toy corpus, with its results and runs in a folder of the test."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    module = import_module("bench_augment")
    real = module.Report
    monkeypatch.setattr(module, "Report", lambda *given, **named: real(*given, **named, folder=tmp_path))
    monkeypatch.setattr(module, "SIZES", ("10", "all"))
    monkeypatch.setattr(module, "augmentation_study", Experiment("guessed", 1, guessed))
    monkeypatch.setattr(corpora, "part", toy_part)
    monkeypatch.setattr(assets, "cache_folder", lambda: tmp_path / "cache")
    return module


def test_the_benchmark_tells_what_it_did_not_run(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    script.main(script.options(["--labels", "10", "--methods", "aeda", "--seeds", "2"]))
    said = capsys.readouterr().out
    assert "4 runs. guessed: this will take a time that is not known" in said and "a trial: not a result" in said
    assert "10 labels, aeda: gain of +1.00 points" in said and "lower end of its interval: target at least 0" in said
    assert "10 labels, aeda: 3 of 5 seeds" in said and "40 labels, contextual: 5 of 5 seeds" in said


def test_a_part_run_later_shows_the_earlier_ones(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    script.main(script.options(["--labels", "10", "--methods", "aeda", "--seeds", "1"]))
    script.main(script.options(["--labels", "10", "--methods", "typo", "--seeds", "1"]))
    said = capsys.readouterr().out.split("2 runs.")[2]
    assert "'method': 'aeda', 'seed': 0}" in said and "10 labels, aeda: 4 of 5 seeds" in said
    assert "one seed: none" in said and "nothing measured: not met" in said


def test_the_whole_benchmark_is_the_default(script: ModuleType) -> None:
    whole = script.configs(script.SIZES, script.COMPARED, script.SEEDS)
    assert len(whole) == 2 * 5 * 5 and script.not_run(whole, whole) == []
    for wrong in (["--labels", "1"], ["--labels", "many"], ["--methods", "none"], ["--seeds", "0"]):
        with pytest.raises(SystemExit):
            script.options(wrong)


def test_recipes_of_the_course_are_the_benchmarks(small: Any) -> None:
    assert finetuning.recipe("default").members == 1, "augmentation_study trains one run"
