"""What heads, neurons and layers are worth: against trials, and where the answer was planted."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_classifiers import LABELS, MIXED, QUICK, RATINGS, TEXTS, fitted, same_bits, tiny, transformers_logits

from course_lib import TextClassifier
from course_lib.compression.distillation import teacher_outputs
from course_lib.compression.early_exit import fit_early_exit
from course_lib.compression.importance import compute_importance, layer_importance
from course_lib.compression.linear_layers import linear_layers
from course_lib.compression.low_rank import factorize_layers
from course_lib.compression.post_training import quantize_static
from course_lib.compression.pruning import drop_layers, mask_heads
from course_lib.errors import BadInput

SOME, THEIRS = [TEXTS[0], TEXTS[5], TEXTS[20], TEXTS[39]], [LABELS[0], LABELS[5], LABELS[20], LABELS[39]]
SIZE = 16  # values of a head: 4 heads, hidden size 64
HEADS, NEURONS = (2, 4), (2, 128)


@pytest.fixture(scope="module")
def unsure() -> TextClassifier:
    """Far from certain, so that no slope is lost in rounding; its heads matter more than after a start near zero."""
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


def tried(classifier: TextClassifier, layer: int, kind: str, columns: slice) -> float:
    """Mean |slope| over texts, by letting the part give a little less."""
    step = 1e-4

    def less(sign: int) -> np.ndarray:
        def scale(layers: Any) -> None:
            part = layers[layer].attention.output if kind == "head" else layers[layer].output
            part.dense.weight.data[:, columns] *= 1 + sign * step

        return losses(classifier, scale)

    return float(abs((less(1) - less(-1)) / (2 * step)).mean())


def test_importance_is_the_slope_of_trials(unsure: TextClassifier) -> None:
    found = compute_importance(unsure, SOME, THEIRS)
    assert found.heads.shape == HEADS and found.neurons.shape == NEURONS
    trials = [[tried(unsure, layer, "head", np.s_[SIZE * n : SIZE * n + SIZE]) for n in range(4)] for layer in (0, 1)]
    np.testing.assert_allclose(found.heads, trials, rtol=2e-3, atol=1e-6)
    for layer, neuron in ((0, 0), (0, 77), (1, 5), (1, 127)):
        trial = tried(unsure, layer, "neuron", np.s_[neuron : neuron + 1])
        assert found.neurons[layer, neuron] == pytest.approx(trial, rel=2e-3, abs=1e-6)
    assert found.heads.min() > 1e-4  # so that the comparison says something


def test_texts_count_alike_whatever_batch_they_are_in(unsure: TextClassifier) -> None:
    together = compute_importance(unsure, TEXTS, LABELS)
    alone = [compute_importance(unsure, [text], [label]) for text, label in zip(TEXTS, LABELS, strict=True)]
    for name in ("heads", "neurons"):
        mean = np.mean([getattr(one, name) for one in alone], axis=0)
        np.testing.assert_allclose(getattr(together, name), mean, rtol=1e-3, atol=1e-6)
    doubled = compute_importance(unsure, TEXTS * 20, LABELS * 20)  # more than one batch
    np.testing.assert_allclose(doubled.heads, together.heads, rtol=1e-3, atol=1e-6)


def test_it_finds_the_planted_head_and_neuron(unsure: TextClassifier) -> None:
    planted = copy.deepcopy(unsure)
    for layer, head, neuron in ((0, 2, 17), (1, 0, 99)):
        columns = np.s_[SIZE * head : SIZE * head + SIZE]
        for name, kept in (("output", columns), ("contract", np.s_[neuron : neuron + 1])):
            weight = linear_layers(planted)[layer, name].weight.data
            saved = weight[:, kept].clone()
            weight.zero_()
            weight[:, kept] = saved
    found = compute_importance(planted, SOME, THEIRS)
    assert np.argwhere(found.heads).tolist() == [[0, 2], [1, 0]]
    assert np.argwhere(found.neurons).tolist() == [[0, 17], [1, 99]]


def test_the_classifier_stays_as_it_is(unsure: TextClassifier) -> None:
    before = copy.deepcopy(unsure)
    logits = unsure.decision_logits(MIXED)
    unsure.module_.train()
    first, second = (compute_importance(unsure, SOME, THEIRS) for _ in range(2))
    assert unsure.module_.training and same_bits(unsure, before)
    assert (first.heads == second.heads).all()  # no dropout
    unsure.module_.eval()
    assert (unsure.decision_logits(MIXED) == logits).all()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in unsure.module_.parameters())
    assert not any(module._forward_pre_hooks for module in unsure.module_.modules())


def test_labels_of_any_kind_and_numbers() -> None:
    words = copy.copy(fitted())
    words.classes_ = np.array(["bad", "good"])
    named = compute_importance(words, SOME, ["good" if label else "bad" for label in THEIRS])
    assert (named.heads == compute_importance(fitted(), SOME, THEIRS).heads).all()


def test_labels_are_matched_by_name_where_classes_are_not_sorted() -> None:
    words = copy.copy(fitted())
    words.classes_ = np.array(["worst", "best"])  # column 0 is the label 0
    named = compute_importance(words, SOME, ["best" if label else "worst" for label in THEIRS])
    assert (named.heads == compute_importance(fitted(), SOME, THEIRS).heads).all()


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
            compute_importance(unsure, TEXTS, LABELS)
            quantize_static(unsure, TEXTS)
            factorize_layers(unsure, 0.5, texts=TEXTS)
            teacher_outputs(unsure, TEXTS)
            fit_early_exit(unsure, TEXTS, LABELS).predict(TEXTS)
    finally:
        done.set()
        thread.join()
    assert len(wrong) > 3 and max(wrong) < 1e-5


# ---- heads -----------------------------------------------------------------------------------------------------


MASK = [[True, False, True, True], [False, False, True, False]]


def test_a_masked_head_gives_nothing(unsure: TextClassifier, tmp_path: Path) -> None:
    """As if its values had been zero."""
    before = copy.deepcopy(unsure)
    masked = mask_heads(unsure, MASK)
    silent = copy.deepcopy(unsure)
    for layer, row in enumerate(MASK):
        for head, stays in enumerate(row):
            if not stays:
                value = linear_layers(silent)[layer, "value"]
                value.weight.data[SIZE * head : SIZE * head + SIZE] = 0
                value.bias.data[SIZE * head : SIZE * head + SIZE] = 0
    logits = masked.decision_logits(MIXED)
    np.testing.assert_allclose(logits, silent.decision_logits(MIXED), atol=1e-5)
    assert np.abs(logits - unsure.decision_logits(MIXED)).max() > 1e-2
    assert same_bits(unsure, before)
    np.testing.assert_allclose(transformers_logits(masked.save(tmp_path / "masked"), MIXED), logits, atol=1e-5)
    found = compute_importance(masked, SOME, THEIRS).heads
    assert ((found > 0) == np.array(MASK)).all()


# ---- layers ----------------------------------------------------------------------------------------------------


def test_damage_by_hand(unsure: TextClassifier) -> None:
    p, rest = unsure.predict_proba(TEXTS), [drop_layers(unsure, [other]).predict_proba(TEXTS) for other in (1, 0)]
    expected = [np.mean([max(abs(a - b)) for a, b in zip(p, q, strict=True)]) for q in rest]  # of two classes
    np.testing.assert_allclose(layer_importance(unsure, TEXTS), expected, atol=1e-6)
    assert layer_importance(unsure, TEXTS).min() > 1e-3


def test_a_layer_that_does_nothing_is_not_missed(unsure: TextClassifier) -> None:
    """Norms of weight 1 and bias 0 leave what is normalised already; then a layer of zeros does nothing."""
    idle = copy.deepcopy(unsure)
    for name, parameter in idle.module_.bert.named_parameters():
        if "LayerNorm" in name:
            parameter.data.fill_(float(name.endswith("weight")))
    for name in ("output", "contract"):
        matrix = linear_layers(idle)[1, name]
        matrix.weight.data.zero_(), matrix.bias.data.zero_()
    damage = layer_importance(idle, TEXTS)
    assert damage[1] < 1e-5 < 1e-3 < damage[0] <= 1


# ---- what cannot be measured -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: compute_importance(TextClassifier("tiny"), SOME, THEIRS), "not a fitted"),
        (lambda: compute_importance(fitted(), [], []), "0 texts"),
        (lambda: compute_importance(fitted(), SOME, [0]), "labels has the shape"),
        (lambda: compute_importance(fitted(), SOME, [0, 1, 2, 0]), "labels holds 2"),
        (lambda: compute_importance(fitted(), "a film", [0]), "single str"),
        (lambda: mask_heads(fitted(), np.ones((2, 3))), r"shape \(2, 3\)"),
        (lambda: mask_heads(fitted(), np.full(HEADS, 0.5)), "values other"),
        (lambda: mask_heads(TextClassifier("tiny"), MASK), "not a fitted"),
        (lambda: layer_importance(fitted(), []), "there is no text"),
        (lambda: layer_importance(drop_layers(fitted(), [0]), TEXTS), "a single layer"),
        (lambda: layer_importance(TextClassifier("tiny"), TEXTS), "not a fitted"),
    ],
)
def test_bad_input(call: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        call()


def test_regression_has_no_classes() -> None:
    regression = tiny(QUICK, head="regression").fit(TEXTS[:4], RATINGS[:4])
    with pytest.raises(BadInput, match="no probabilities"):
        layer_importance(regression, TEXTS)
    with pytest.raises(BadInput, match="head 'regression'"):
        compute_importance(regression, TEXTS[:4], RATINGS[:4])
