"""A student that guesses Shapley values."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from toy_classifiers import BAD, GOOD, LABELS, LEARNING, TEXTS, fitted, same_bits, tiny
from toy_games import additive

from course_lib.errors import BadInput
from course_lib.explain import MaskedModel, explain
from course_lib.explain.amortised import KIND, AmortisedExplainer, amortise, predicted_scores

ENDS = ("", " and so on", " so on", " on and on")
MANY = [f"{start} {word} film{end}" for start, word, end in product(("a", "so", "film"), GOOD + BAD, ENDS)]
LEARNED, FRESH = MANY[::2], MANY[1::2]
TRAINING = replace(LEARNING, epochs=15)


@cache
def student() -> AmortisedExplainer:
    return amortise(fitted(), LEARNED, training=TRAINING)


def test_it_guesses_what_exact_values_are() -> None:
    """On texts that it never saw: nearer than the mean, and the right word first."""
    found, exact = student().explain(FRESH), explain(fitted(), FRESH, "exact")
    values = np.concatenate([one.scores for one in exact])
    gap = np.sqrt(np.mean((np.concatenate([one.scores for one in found]) - values) ** 2))
    assert gap < 0.5 * values.std()
    assert np.corrcoef(np.concatenate([one.scores for one in found]), values)[0, 1] > 0.8
    # The toy says "bad" of texts without words, too, so that only a good text's words have something to do.
    good = [(one.scores, other.scores) for one, other in zip(found, exact, strict=True)
            if other.value - other.base_value > 0.1]  # fmt: skip
    alike = [np.corrcoef(one, other)[0, 1] for one, other in good]
    chance = [np.corrcoef(np.roll(one, 1), other)[0, 1] for one, other in good]
    assert len(good) > 10 and np.mean(alike) > 0.85 > 0.3 > np.mean(chance)
    assert np.mean([one.argmax() == other.argmax() for one, other in good]) > 0.9


def test_its_error_is_that_of_the_held_out_texts() -> None:
    one = student()
    assert one.held_out == round(0.1 * len(LEARNED)) and -1 <= one.correlation <= 1
    exact, model = explain(fitted(), FRESH, "exact"), MaskedModel(fitted(), FRESH)
    plain = predicted_scores(one.module, model, np.arange(len(FRESH)))
    gaps = np.concatenate([mine - other.scores for mine, other in zip(plain, exact, strict=True)])
    assert one.error / 3 < np.sqrt(np.mean(gaps**2)) < one.error * 3
    assert one.history.rows[-1]["loss"] < one.history.rows[0]["loss"] / 2
    for shifted, scores in zip(one.explain(FRESH), plain, strict=True):
        assert (shifted.error, shifted.error_kind) == (one.error, KIND) and abs(shifted.gap) < 1e-9
        assert np.ptp(shifted.scores - scores) == pytest.approx(0, abs=1e-6)


def test_two_classes_are_opposites_and_order_does_not_matter() -> None:
    yes, no = (student().explain(FRESH[:4], target=target) for target in (1, 0))
    for one, other in zip(yes, no, strict=True):
        assert one.scores == pytest.approx(-other.scores, abs=1e-6) and np.abs(one.scores).max() > 0.01
    turned = student().explain(FRESH[3::-1], target=1)
    assert turned[0].scores == pytest.approx(yes[3].scores, abs=1e-6)
    assert yes[0].queries == 2 and yes[0].method == "amortised"


def test_scores_of_three_classes_cancel() -> None:
    texts = [f"{word} {other} film" for word in GOOD + BAD for other in ("ant", "bee", "cat")]
    classifier = tiny(LEARNING).fit(texts, ["ant", "bee", "cat"] * 8)
    one = amortise(classifier, texts, training=TRAINING)
    by_class = [np.array([a.scores for a in one.explain(texts, target=name)]) for name in ("ant", "bee", "cat")]
    assert np.abs(sum(by_class)).max() < 1e-6 < np.abs(by_class[0]).max()
    found = one.explain(texts)
    assert np.mean([a.words[int(a.scores.argmax())] == a.target for a in found]) > 0.8


@pytest.mark.filterwarnings("ignore:174 words of 1 of 4 texts")
def test_texts_without_words_and_beyond_what_is_read() -> None:
    empty, dots, long, emoji = student().explain(["", "...", "good film " * 150, "😀 good"], target=1)
    assert empty.scores.shape == dots.scores.shape == (0,) and empty.error == 0
    assert long.scores.shape == (300,) and len(set(long.scores[126:].tolist())) == 1  # nothing but the shift
    assert emoji.words == ["😀", "good"] and np.isfinite(emoji.scores).all()
    assert student().explain([]) == []


@pytest.mark.slow
def test_the_classifier_stays_and_a_seed_gives_the_same() -> None:
    classifier = tiny(LEARNING).fit(TEXTS, LABELS)
    quick = replace(TRAINING, epochs=1)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[union-attr]
    first, again, other = (amortise(classifier, LEARNED, training=quick, samples=32, seed=seed) for seed in (1, 1, 2))
    drawn_from = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[union-attr]
    assert drawn_from == states and same_bits(classifier, tiny(LEARNING).fit(TEXTS, LABELS))
    mine, same, different = (one.module.state_dict() for one in (first, again, other))
    assert all(torch.equal(mine[name], same[name]) for name in mine)
    assert not all(torch.equal(mine[name], different[name]) for name in mine)
    assert first.error == again.error != other.error


def test_values_that_are_there_are_learned_as_if_asked() -> None:
    quick = replace(TRAINING, epochs=1)
    values = explain(fitted(), LEARNED, "shap", samples=32, seed=3)
    given = amortise(fitted(), LEARNED, attributions=values, training=quick, seed=3)
    asked = amortise(fitted(), LEARNED, samples=32, training=quick, seed=3)
    assert given.error == pytest.approx(asked.error, rel=1e-4)


def test_values_of_something_else_are_refused() -> None:
    values = explain(fitted(), LEARNED, "occlusion")
    with pytest.raises(BadInput, match="not those of the"):
        amortise(fitted(), LEARNED, attributions=values[1:])
    with pytest.raises(BadInput, match="was explained for the log-odds"):
        amortise(fitted(), LEARNED, attributions=explain(fitted(), LEARNED, "occlusion", output="log-odds"))
    with pytest.raises(BadInput, match="explain the probability of"):
        amortise(fitted(), LEARNED, attributions=explain(fitted(), LEARNED, "occlusion", target=1))


def test_what_cannot_be_taught() -> None:
    with pytest.raises(BadInput, match="Toy without a BERT"):
        amortise(additive(), LEARNED)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="1 different texts hold words"):
        amortise(fitted(), ["a good film", "...", ""] * 20)
    with pytest.raises(BadInput, match="seed is -1"):
        amortise(fitted(), LEARNED, seed=-1)
    with pytest.raises(BadInput, match="samples is 3"):
        amortise(fitted(), LEARNED, samples=3)
