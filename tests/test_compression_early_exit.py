"""Texts leave after the layer that is confident enough."""

from __future__ import annotations

import copy
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from toy_classifiers import LABELS, LEARNING, MIXED, RATINGS, TEXTS, fitted, same_bits, tiny

from course_lib import TextClassifier
from course_lib.compression.early_exit import EarlyExitClassifier, exit_table, fit_early_exit, layer_states
from course_lib.compression.pruning import drop_layers
from course_lib.errors import BadInput

NAMES = [("bad", "good", "so")[i % 3] for i in range(len(TEXTS))]


@cache
def exits_of_two() -> EarlyExitClassifier:
    """The learned classifier with a head after its first layer."""
    return fit_early_exit(fitted(), TEXTS, LABELS)


@cache
def three_classes() -> TextClassifier:
    return tiny(LEARNING).fit(TEXTS, NAMES)


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.from_numpy(logits).softmax(-1).numpy()


def test_states_are_those_of_transformers() -> None:
    """By transformers' own modules, one text at a time."""
    states = layer_states(fitted(), MIXED)
    assert states.shape == (2, len(MIXED), 64)
    for place, text in enumerate(MIXED):
        row = fitted().tokenizer_(text, truncation=True, max_length=128, return_tensors="pt")
        with torch.no_grad():
            first, last = fitted().module_.bert(**row, output_hidden_states=True).hidden_states[1:]
        np.testing.assert_allclose(states[0, place], first[0].mean(0).numpy(), atol=1e-5)
        np.testing.assert_allclose(states[1, place], last[0, 0].numpy(), atol=1e-5)
    assert layer_states(fitted(), []).shape == (2, 0, 64)


def test_at_one_the_answers_are_the_parents() -> None:
    whole = exits_of_two().at(1.0)
    np.testing.assert_allclose(whole.predict_proba(TEXTS + MIXED), fitted().predict_proba(TEXTS + MIXED), atol=1e-5)
    np.testing.assert_allclose(whole.decision_logits(MIXED), fitted().decision_logits(MIXED), atol=1e-5)
    assert whole.exits(MIXED).tolist() == [2] * len(MIXED)
    assert whole.threshold == 1.0 and exits_of_two().threshold == 0.9


def test_each_text_has_the_prediction_of_the_exit_where_it_left() -> None:
    """Against all heads on all texts: the first that is confident enough."""
    model, texts = exits_of_two(), TEXTS + MIXED
    logits = model.exit_logits(texts)
    sure = softmax(logits[0]).max(1)
    threshold = float(np.median(sure))
    model = model.at(threshold)
    left = model.exits(texts)
    assert set(left.tolist()) == {1, 2}
    assert left.tolist() == [1 if one > threshold else 2 for one in sure]
    wanted = logits[left - 1, np.arange(len(texts))]
    np.testing.assert_allclose(model.decision_logits(texts), wanted, atol=1e-5)
    np.testing.assert_allclose(model.predict_proba(texts), softmax(wanted), atol=1e-5)
    assert model.predict(texts).tolist() == fitted().classes_[wanted.argmax(1)].tolist()


@pytest.mark.parametrize("turned", [False, True])
def test_a_head_learns_the_labels_whatever_its_parent_predicts(turned: bool) -> None:
    labels = [1 - label for label in LABELS] if turned else LABELS
    model = fit_early_exit(fitted(), TEXTS, labels)
    assert model.at(0.0).exits(TEXTS).tolist() == [1] * len(TEXTS)
    assert model.at(0.0).score(TEXTS, labels) == 1.0
    assert model.at(1.0).score(TEXTS, LABELS) == 1.0


def test_labels_are_matched_by_name_where_classes_are_not_sorted() -> None:
    """The head's columns are those of the parent's classes: `searchsorted` would exchange them."""
    parent = copy.copy(fitted())
    parent.classes_ = np.array(["worst", "best"])  # column 0 is the label 0
    names = [("worst", "best")[label] for label in LABELS]
    model = fit_early_exit(parent, TEXTS, names)
    assert model.at(0.0).score(TEXTS, names) == model.at(1.0).score(TEXTS, names) == 1.0
    assert exit_table(model, TEXTS, names, [0.0, 1.0])["accuracy"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("threshold", [0.0, 0.7, 1.0])
def test_an_answer_does_not_depend_on_the_texts_beside_it(threshold: float) -> None:
    model = exits_of_two().at(threshold)
    alone = np.concatenate([model.predict_proba([text]) for text in MIXED])
    np.testing.assert_allclose(model.predict_proba([*MIXED, *TEXTS])[: len(MIXED)], alone, atol=1e-5)
    np.testing.assert_allclose(model.predict_proba(MIXED[::-1])[::-1], alone, atol=1e-5)


def test_the_table_is_what_the_walk_does() -> None:
    limits = [0.0, 0.7, 0.95, 1.0]
    table = exit_table(exits_of_two(), TEXTS, LABELS, limits)
    assert table.columns.tolist() == ["threshold", "accuracy", "mean_layers", "share"]
    for (_, row), limit in zip(table.iterrows(), limits, strict=True):
        model = exits_of_two().at(limit)
        assert row["threshold"] == limit
        assert row["accuracy"] == pytest.approx(model.score(TEXTS, LABELS))
        assert row["mean_layers"] == pytest.approx(model.exits(TEXTS).mean())
    # The last of the two layers (hidden 64, 128 neurons) makes keys and values: 2 of 4 + 2 * 128 / 64 products.
    assert table["share"].iloc[0] == pytest.approx(1 / (1 + 2 / 8))
    assert table["share"].iloc[-1] == pytest.approx(1.0)
    assert table["share"].is_monotonic_increasing


def test_three_classes_by_name() -> None:
    model = fit_early_exit(three_classes(), TEXTS, NAMES)
    assert model.classes_.tolist() == ["bad", "good", "so"] == model.class_names_
    answers = model.predict_proba(TEXTS)
    assert answers.shape == (len(TEXTS), 3) and answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-6)
    whole = model.at(1.0).predict_proba(TEXTS)
    np.testing.assert_allclose(whole, three_classes().predict_proba(TEXTS), atol=1e-5)
    assert model.at(0.3).exits(TEXTS).max() == 1  # the largest of three probabilities is 1/3 or more


def test_no_text_gives_no_answer() -> None:
    model = exits_of_two()
    assert model.predict_proba([]).shape == (0, 2) and model.decision_logits([]).shape == (0, 2)
    assert model.predict([]).shape == (0,) and model.exits([]).shape == (0,)
    assert model.exits([]).dtype == np.int64 and model.exit_logits([]).shape == (2, 0, 2)


def test_heads_are_reproducible_and_nothing_else_changes() -> None:
    before, state = copy.deepcopy(fitted()), torch.get_rng_state()
    one, two = (fit_early_exit(fitted(), TEXTS, LABELS).exit_logits(MIXED) for _ in range(2))
    assert np.array_equal(one, two)
    assert torch.equal(torch.get_rng_state(), state) and same_bits(fitted(), before)
    assert all(weight.requires_grad for weight in fitted().module_.parameters())


def test_a_parent_of_one_layer_has_its_own_exit_alone() -> None:
    single = drop_layers(fitted(), keep=[0])
    model = fit_early_exit(single, TEXTS, LABELS).at(0.0)
    assert model.exits(MIXED).tolist() == [1] * len(MIXED)
    np.testing.assert_allclose(model.predict_proba(MIXED), single.predict_proba(MIXED), atol=1e-5)
    assert exit_table(model, TEXTS, LABELS, [0.5])["share"].tolist() == [1.0]


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, True, "0.9", None], ids=str)
def test_bad_thresholds(threshold: Any) -> None:
    for call in (
        lambda: exits_of_two().at(threshold),
        lambda: exit_table(exits_of_two(), TEXTS, LABELS, [0.5, threshold]),
    ):
        with pytest.raises(BadInput, match="threshold is"):
            call()


def test_what_cannot_have_exits_is_refused() -> None:
    with pytest.raises(BadInput, match="not a fitted"):
        fit_early_exit(tiny(), TEXTS, LABELS)
    with pytest.raises(BadInput, match="regression"):
        fit_early_exit(tiny(head="regression").fit(TEXTS, RATINGS), TEXTS, LABELS)
    with pytest.raises(BadInput, match="do not have all classes"):
        fit_early_exit(fitted(), TEXTS[:2], [0, 0])
    with pytest.raises(BadInput, match="single str"):
        fit_early_exit(fitted(), "a good film", LABELS)
    with pytest.raises(BadInput, match="labels holds 2"):
        fit_early_exit(fitted(), TEXTS[:2], [0, 2])
    with pytest.raises(BadInput, match="labels has the shape"):
        fit_early_exit(fitted(), TEXTS[:2], [0])
    with pytest.raises(BadInput, match="0 heads for 2 layers"):
        EarlyExitClassifier(fitted(), [])
    with pytest.raises(BadInput, match=r"texts\[0\]"):
        exits_of_two().predict([1])  # type: ignore[list-item]
    with pytest.raises(BadInput, match="0 thresholds"):
        exit_table(exits_of_two(), TEXTS, LABELS, [])
    with pytest.raises(BadInput, match="0 texts"):
        exit_table(exits_of_two(), [], [], [0.5])
