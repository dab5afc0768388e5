"""`watch_augmentation` is moved by values, and answers in words, marks and numbers."""

import re
from html import unescape

import ipywidgets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_games import Spotter

from course_lib.augmentation import PunctuationInsertion, RandomDeletion, RandomSwap, TypoNoise, words_changed
from course_lib.errors import BadInput
from course_lib.widgets.augmentation import MAX_SEED, REWRITES, _seeds, watch_augmentation

OPERATIONS = {"deletion": RandomDeletion, "swap": RandomSwap, "aeda": PunctuationInsertion, "typos": TypoNoise}
SENTENCE = "a good film with a clever story and a sad end"


class Noted:
    """An operation that writes what it was asked for behind the text."""

    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, texts, seed=0, labels=None):
        return [f"{text} share{self.share:.2f} seed{seed}" for text in texts]

    def __str__(self) -> str:
        return f"notes <b>{self.share:.0%}</b>"


def toy_vectors(texts) -> np.ndarray:
    return np.array([[len(text), text.count("a"), 1.0] for text in texts])


def watched(operations=None, text: str = SENTENCE, judge=None, **parameters) -> tuple:
    box = watch_augmentation(operations or OPERATIONS, text, judge, vectors=toy_vectors, **parameters)
    line, choice, sliders, answer = box.children
    return box, line, choice, *sliders.children, answer


def plain(html: str) -> str:
    return unescape(re.sub(r"<style>.*?</style>|<[^>]*>", "", html))


def texts_in(html: str) -> list[str]:
    """The rewrites: what stands there when the struck out is taken away."""
    found = re.findall(r'<span class="text-difference"[^>]*>(.*?)</span></span><span>\d', html, flags=re.DOTALL)
    return [plain(re.sub(r"<del.*?</del>", "", one)) for one in found]


def test_it_shows_rewrites_with_marks_and_numbers():
    box, _, choice, strength, seed, answer = watched(judge=Spotter())
    assert isinstance(box, ipywidgets.Widget) and "watch-augmentation" in box._dom_classes
    assert choice.options == tuple(OPERATIONS) and (strength.value, seed.value) == (0.1, 0)
    expected = [RandomDeletion(0.1)([SENTENCE], number)[0] for number in range(REWRITES)]
    assert texts_in(answer.value) == expected
    assert f"original: {SENTENCE}" in plain(answer.value) and "positive (0.90)" in answer.value
    shares = [float(share) / 100 for share in re.findall(r"<span>(\d+)%</span>", answer.value)]
    assert shares == pytest.approx([words_changed(SENTENCE, new) for new in expected], abs=0.006)
    assert len(re.findall(r"<span>[01]\.\d\d</span>", answer.value)) == REWRITES
    assert "text-decoration:line-through" in answer.value and "text-decoration:underline" in answer.value
    assert ("<del" in answer.value) == any(new != SENTENCE for new in expected)


def test_every_control_is_obeyed():
    _, line, choice, strength, seed, answer = watched({"notes": Noted, "swap": RandomSwap})
    assert "seed0" in answer.value and f"seed{REWRITES - 1}" in answer.value and "share0.10" in answer.value
    assert "4 rewrites by notes &lt;b&gt;10%&lt;/b&gt; (seed 0)." in answer.value
    strength.value = 0.5
    assert "share0.50" in answer.value
    seed.value = 3
    assert "seed12" in answer.value and "seed0" not in answer.value and "(seed 3)." in answer.value
    line.value = "another text"
    assert "original:</i> another text" in answer.value
    choice.value = "swap"
    assert texts_in(answer.value) == ["text another"] * REWRITES


def test_no_seed_comes_twice():
    every = [seed for place in range(MAX_SEED + 1) for seed in _seeds(place)]
    assert len(set(every)) == len(every) == REWRITES * (MAX_SEED + 1)


def test_nothing_is_rewritten_at_a_key_stroke():
    _, line, _, strength, seed, _ = watched()
    assert not line.continuous_update and not strength.continuous_update and not seed.continuous_update


def test_a_label_that_turned_is_said_in_words():
    judge = Spotter()
    _, _, _, strength, _, answer = watched({"deletion": RandomDeletion}, judge=judge)
    strength.value = 1.0
    left = [RandomDeletion(1.0)([SENTENCE], seed)[0] for seed in range(REWRITES)]
    turned = sum("good" not in text.split() for text in left)
    assert turned and answer.value.count(", changed</b>") == turned
    assert f"For {turned} of them the judge predicts another label than for the original." in answer.value
    assert all(len(call) == REWRITES + 1 for call in judge.calls) and len(judge.calls) == 2


def test_without_a_judge_there_is_no_label():
    answer = watched()[-1]
    assert "judge" not in answer.value and ", changed" not in answer.value and texts_in(answer.value)


def test_names_of_classes():
    judge = Spotter()
    assert "positive (0.90)" in watched(judge=judge)[-1].value
    judge.classes_ = np.array(["ham", "spam"])
    assert "spam (0.90)" in watched(judge=judge)[-1].value


def test_a_rewrite_that_is_none_is_owned_up_to():
    answer = watched({"swap": RandomSwap}, "good")[-1]
    assert "4 of them are unchanged" in answer.value and "<del" not in answer.value


@pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
def test_without_a_sentence_it_asks_for_one(blank):
    _, line, _, _, _, answer = watched()
    line.value = blank
    assert answer.value == "<p>Type a sentence.</p>"


def broken(error: Exception):
    def make(share: float):
        raise error

    return make


def test_what_goes_wrong_is_shown():
    shown = watched({"broken": broken(BadInput("the share is <odd>", "use another"))})[-1].value
    assert "no rewrite to show" in shown and "the share is &lt;odd&gt;" in shown and "use another" in shown
    assert "ValueError: not yet" in watched({"broken": broken(ValueError("not yet"))})[-1].value


def test_without_operations_it_asks_for_one():
    answer = watch_augmentation({}, SENTENCE, vectors=toy_vectors).children[3]
    assert "no operation to choose" in answer.value


def test_an_untrained_judge_is_named():
    class Untrained:
        def predict_proba(self, texts):
            raise AssertionError("must not be asked")

    assert "the judge is not fitted yet" in watched(judge=Untrained())[-1].value


def test_after_a_fault_it_goes_on():
    _, _, choice, _, _, answer = watched({"broken": broken(ValueError("x")), "swap": RandomSwap})
    assert "no rewrite" in answer.value
    choice.value = "swap"
    assert "no rewrite" not in answer.value and texts_in(answer.value)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=40), st.sampled_from(list(OPERATIONS)), st.integers(0, MAX_SEED), st.floats(0.05, 1))
def test_any_text_is_answered_and_none_becomes_html(text, name, seed, share):
    _, line, choice, strength, seeds, answer = watched(judge=Spotter())
    line.value, choice.value, strength.value, seeds.value = f"<u>{text}", name, share, seed
    assert "<u>" not in answer.value and "no rewrite" not in answer.value
