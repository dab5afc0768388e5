"""How important neurons are: against trials, and where the answer was planted."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from toy_classifiers import LABELS, MIXED, QUICK, RATINGS, TEXTS, fitted, same_bits, tiny

from course_lib import TextClassifier
from course_lib.compression.distillation import teacher_outputs
from course_lib.compression.importance import neuron_importance
from course_lib.compression.linear_layers import linear_layers
from course_lib.compression.post_training import quantize_static
from course_lib.errors import BadInput

SOME, THEIRS = [TEXTS[0], TEXTS[5], TEXTS[20], TEXTS[39]], [LABELS[0], LABELS[5], LABELS[20], LABELS[39]]
NEURONS = (2, 128)


@pytest.fixture(scope="module")
def unsure() -> TextClassifier:
    """Far from certain, so that no gradient is lost in rounding."""
    classifier = copy.deepcopy(fitted())
    random = torch.Generator().manual_seed(0)
    for matrix in linear_layers(classifier).values():
        matrix.weight.data += 0.3 * torch.randn(matrix.weight.shape, generator=random)
    return classifier


def losses(classifier: TextClassifier, scale: Callable[[Any], None]) -> np.ndarray:
    """Loss of each text, in float64, with something scaled in a copy of the module."""
    module = copy.deepcopy(classifier.module_).double().eval()
    scale(module.bert.encoder.layer)
    found = []
    for text, label in zip(SOME, THEIRS, strict=True):
        ids = torch.tensor(classifier.tokenizer_([text])["input_ids"])
        with torch.no_grad():
            found.append(float(-module(ids, torch.ones_like(ids)).log_softmax(-1)[0, label]))
    return np.array(found)


def tried(classifier: TextClassifier, layer: int, neuron: int) -> float:
    """Mean |gradient| over texts, by letting the neuron give a little less."""
    step = 1e-4

    def less(sign: int) -> np.ndarray:
        def scale(layers: Any) -> None:
            layers[layer].output.dense.weight.data[:, neuron] *= 1 + sign * step

        return losses(classifier, scale)

    return float(abs((less(1) - less(-1)) / (2 * step)).mean())


def test_importance_is_the_gradient_of_trials(unsure: TextClassifier) -> None:
    found = neuron_importance(unsure, SOME, THEIRS)
    assert found.shape == NEURONS
    for layer, neuron in ((0, 0), (0, 77), (1, 5), (1, 127)):
        assert found[layer, neuron] == pytest.approx(tried(unsure, layer, neuron), rel=2e-3, abs=1e-6)
    assert found.max() > 1e-4  # so that the comparison says something


def test_texts_count_alike_whatever_batch_they_are_in(unsure: TextClassifier) -> None:
    together = neuron_importance(unsure, TEXTS, LABELS)
    alone = [neuron_importance(unsure, [text], [label]) for text, label in zip(TEXTS, LABELS, strict=True)]
    np.testing.assert_allclose(together, np.mean(alone, axis=0), rtol=1e-3, atol=1e-6)
    doubled = neuron_importance(unsure, TEXTS * 20, LABELS * 20)  # more than one batch
    np.testing.assert_allclose(doubled, together, rtol=1e-3, atol=1e-6)


def test_it_finds_the_planted_neuron(unsure: TextClassifier) -> None:
    planted = copy.deepcopy(unsure)
    for layer, neuron in ((0, 17), (1, 99)):
        weight = linear_layers(planted)[layer, "contract"].weight.data
        saved = weight[:, neuron].clone()
        weight.zero_()
        weight[:, neuron] = saved
    found = neuron_importance(planted, SOME, THEIRS)
    assert np.argwhere(found).tolist() == [[0, 17], [1, 99]]


def test_the_classifier_stays_as_it_is(unsure: TextClassifier) -> None:
    before = copy.deepcopy(unsure)
    logits = unsure.decision_logits(MIXED)
    unsure.module_.train()
    first, second = (neuron_importance(unsure, SOME, THEIRS) for _ in range(2))
    assert unsure.module_.training and same_bits(unsure, before)
    assert (first == second).all()  # no dropout
    unsure.module_.eval()
    assert (unsure.decision_logits(MIXED) == logits).all()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in unsure.module_.parameters())
    assert not any(module._forward_pre_hooks for module in unsure.module_.modules())


def test_labels_of_any_kind_and_numbers() -> None:
    words = copy.copy(fitted())
    words.classes_ = np.array(["bad", "good"])
    named = neuron_importance(words, SOME, ["good" if label else "bad" for label in THEIRS])
    assert (named == neuron_importance(fitted(), SOME, THEIRS)).all()


def test_labels_are_matched_by_name_where_classes_are_not_sorted() -> None:
    words = copy.copy(fitted())
    words.classes_ = np.array(["worst", "best"])  # column 0 is the label 0
    named = neuron_importance(words, SOME, ["best" if label else "worst" for label in THEIRS])
    assert (named == neuron_importance(fitted(), SOME, THEIRS)).all()


def test_other_threads_predict_as_before(unsure: TextClassifier) -> None:
    """Gates and observers were hooks on the shared module, which other threads ran through."""
    expected, wrong, done = unsure.decision_logits(MIXED), [], threading.Event()

    def predict() -> None:
        while not done.is_set():
            try:
                wrong.append(float(np.abs(unsure.decision_logits(MIXED) - expected).max()))
            except Exception:  # hooks that expect another batch raise errors of any kind
                wrong.append(np.inf)

    thread = threading.Thread(target=predict)
    thread.start()
    try:
        for _ in range(3):
            neuron_importance(unsure, TEXTS, LABELS)
            quantize_static(unsure, TEXTS)
            teacher_outputs(unsure, TEXTS)
    finally:
        done.set()
        thread.join()
    assert len(wrong) > 3 and max(wrong) < 1e-5


# ---- what cannot be measured -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: neuron_importance(TextClassifier("tiny"), SOME, THEIRS), "not a fitted"),
        (lambda: neuron_importance(fitted(), [], []), "0 texts"),
        (lambda: neuron_importance(fitted(), SOME, [0]), "labels has the shape"),
        (lambda: neuron_importance(fitted(), SOME, [0, 1, 2, 0]), "labels holds 2"),
        (lambda: neuron_importance(fitted(), "a film", [0]), "single str"),
    ],
)
def test_bad_input(call: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        call()


def test_regression_has_no_classes() -> None:
    regression = tiny(QUICK, head="regression").fit(TEXTS[:4], RATINGS[:4])
    with pytest.raises(BadInput, match="head 'regression'"):
        neuron_importance(regression, TEXTS[:4], RATINGS[:4])
