"""Whole classifiers on grids: weights, products in integers, training that feels the rounding."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from toy_classifiers import LABELS, LEARNING, TEXTS, fitted, same_bits

from course_lib import TextClassifier
from course_lib.compression.rounding import (
    Int8Linear,
    integer_products,
    matrix_errors,
    quantization_aware,
    rounded,
    rounding_errors,
)
from course_lib.compression.structure import MATRICES, matrices
from course_lib.compression.uniform import grid_of
from course_lib.errors import BadInput

MANY = [*TEXTS, "a", "", "the film was good and then the plot was bad and the end was awful"]


def moved(model: Any, other: Any) -> float:
    return float(np.abs(model.decision_logits(MANY) - other.decision_logits(MANY)).mean())


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("layout", [{}, {"group": 16}, {"axis": None}, {"symmetric": False, "axis": 0}])
def test_every_weight_lies_on_its_grid(bits: int, layout: dict[str, Any]) -> None:
    before = fitted()
    after = rounded(before, bits, **layout)
    for place, linear in matrices(after).items():
        grid = grid_of(matrices(before)[place].weight, bits, **(layout or {"axis": 0}))
        assert torch.equal(linear.weight, grid.dequantize(grid.quantize(matrices(before)[place].weight)))
    assert not torch.equal(*(one.module_.bert.embeddings.word_embeddings.weight for one in (before, after)))
    assert torch.equal(before.module_.classifier.weight, after.module_.classifier.weight)


def test_the_parent_stays_and_fewer_bits_move_more() -> None:
    parent, kept = fitted(), copy.deepcopy(fitted())
    apart = [moved(rounded(parent, bits, which=tuple(MATRICES)), parent) for bits in (2, 4, 8)]
    assert apart == sorted(apart, reverse=True) and apart[-1] > 0
    assert same_bits(parent, kept)


def test_only_what_is_named_is_rounded() -> None:
    table = rounding_errors(fitted(), rounded(fitted(), 4, which=("query", "words")))
    touched = set(table.loc[table["max_abs"] > 0, "matrix"])
    assert touched == {"query", "words"}
    assert set(table["matrix"]) == {*MATRICES, "words"}
    with pytest.raises(BadInput, match="which is"):
        rounded(fitted(), 4, which=("queries",))
    with pytest.raises(BadInput, match="bits is 9"):
        rounded(fitted(), 9)


def test_errors_keep_the_bound_of_half_a_step() -> None:
    table = rounding_errors(fitted(), rounded(fitted(), 4)).set_index(["layer", "matrix"])
    for place, linear in matrices(fitted()).items():
        half = float(grid_of(linear.weight, 4, axis=0).scale.max()) / 2
        assert 0 < table.loc[place, "mean_abs"] <= table.loc[place, "max_abs"] <= half * (1 + 1e-5)


def test_each_matrix_is_rounded_alone() -> None:
    table = matrix_errors(fitted(), TEXTS, bits=2).set_index(["layer", "matrix"])["error"]
    assert set(table.index) == set(matrices(fitted())) and (table > 0).all()
    alone = copy.deepcopy(fitted())
    linear = matrices(alone)[0, "value"]
    with torch.no_grad():
        grid = grid_of(linear.weight, 2, axis=0)
        linear.weight.copy_(grid.dequantize(grid.quantize(linear.weight)))
    change = np.abs(alone.decision_logits(TEXTS) - fitted().decision_logits(TEXTS)).mean()
    assert table[0, "value"] == pytest.approx(change, rel=1e-4)
    with pytest.raises(BadInput, match="no text"):
        matrix_errors(fitted(), [])


# ---- products in integers --------------------------------------------------------------------------------------


def test_integer_products_stay_close_to_the_parent() -> None:
    dynamic, static = integer_products(fitted()), integer_products(fitted(), TEXTS)
    scale = float(np.abs(fitted().decision_logits(MANY)).mean())
    assert 0 < moved(dynamic, fitted()) < 0.05 * scale
    assert 0 < moved(static, fitted()) < 0.1 * scale
    assert all(isinstance(linear, Int8Linear) for linear in matrices(static).values())
    assert not any(isinstance(linear, Int8Linear) for linear in matrices(fitted()).values())


def test_calibration_decides_the_static_range() -> None:
    wide = integer_products(fitted(), TEXTS)
    narrow = integer_products(fitted(), TEXTS, method="percentile", percentile=50.0)
    for place, linear in matrices(wide).items():
        assert float(matrices(narrow)[place].grid.scale) < float(linear.grid.scale)
    assert moved(narrow, fitted()) > moved(wide, fitted())
    with pytest.raises(BadInput, match="no text to calibrate"):
        integer_products(fitted(), [])


def test_calibration_looks_at_no_padding() -> None:
    """Rows that are padded beside longer ones must not widen a range."""
    alone = [integer_products(fitted(), [text]) for text in ("good film", MANY[-1])]
    together = integer_products(fitted(), ["good film", MANY[-1]])
    for place, linear in matrices(together).items():
        ends = [
            (
                (model_grid.low - model_grid.zero_point.item()) * model_grid.scale.item(),
                (model_grid.high - model_grid.zero_point.item()) * model_grid.scale.item(),
            )
            for model_grid in (matrices(one)[place].grid for one in alone)
        ]
        reach = max(high for _, high in ends) - min(low for low, _ in ends)
        assert linear.grid.scale.item() * 255 <= reach * 1.02


def test_a_saved_one_is_an_ordinary_model_of_the_rounded_weights(tmp_path: Any) -> None:
    folder = integer_products(fitted()).save(tmp_path / "saved")
    loaded = TextClassifier.from_pretrained(folder)
    assert moved(loaded, rounded(fitted(), 8, which=tuple(MATRICES))) < 1e-6
    assert not any(isinstance(linear, Int8Linear) for linear in matrices(loaded).values())


# ---- training that feels the rounding --------------------------------------------------------------------------


def test_training_with_rounding_beats_rounding_afterwards() -> None:
    after = rounded(fitted(), 2, which=tuple(MATRICES))
    trained = quantization_aware(fitted(), TEXTS, LABELS, LEARNING, bits=2)

    def loss(model: TextClassifier) -> float:
        return float(-np.log(model.predict_proba(TEXTS)[np.arange(len(TEXTS)), LABELS]).mean())

    assert loss(trained) < 0.5 * loss(after)
    for linear in matrices(trained).values():
        assert type(linear) is torch.nn.Linear and len(linear.weight[0].unique()) <= 3


def test_a_wrong_setting_is_named_before_training() -> None:
    with pytest.raises(BadInput, match="bits is 1"):
        quantization_aware(fitted(), TEXTS, LABELS, LEARNING, bits=1)
    assert not torch.nn.utils.parametrize.is_parametrized(next(iter(matrices(fitted()).values())))
