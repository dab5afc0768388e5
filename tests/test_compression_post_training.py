"""Post-training quantisation: calibration, a scale per token, the int8 product, whole classifiers."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_classifiers import TEXTS, fitted, same_bits

from course_lib import TextClassifier
from course_lib.compression import post_training
from course_lib.compression.linear_layers import LINEAR_LAYERS, linear_layers
from course_lib.compression.post_training import (
    Int8Linear,
    int8_linear,
    int8_matmul,
    quantization_sensitivity,
    quantize_dynamic,
    quantize_static,
    quantize_weights,
    token_qparams,
)
from course_lib.compression.quantization import QuantParams, fit_qparams
from course_lib.errors import BadInput

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ---- a scale a token -------------------------------------------------------------------------------------------


def test_each_token_has_a_scale_of_its_own() -> None:
    x = normal(2, 3, 16) * torch.tensor([1.0, 1e3, 1e-3])[:, None]
    grid = token_qparams(x)
    assert grid.scale.shape == (2, 3, 1)
    points = grid.dequantize(grid.quantize(x))
    for token, quantised in zip(x.flatten(0, 1), points.flatten(0, 1), strict=True):
        alone = fit_qparams(token, 8)
        assert torch.equal(alone.dequantize(alone.quantize(token)), quantised)


# ---- the product -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 1, 1), (3, 5, 7), (17, 384, 9), (33, 1025, 8), (2, 5000, 3), (5, 1537, 6)]
)
def test_the_product_is_exact(m: int, k: int, n: int, fast: bool, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_training, "_has_vnni", lambda: fast)
    generator = np.random.default_rng(0)
    cases = [(generator.integers(-128, 128, (m, k)), generator.integers(-128, 128, (n, k)))]
    cases.append((np.full((m, k), -128), np.full((n, k), -128)))  # the largest sum there is
    cases.append((np.full((m, k), 127), np.full((n, k), 127)))  # the largest odd one
    for a, b in cases:
        one, other = (torch.tensor(numbers, dtype=torch.int8, device=device) for numbers in (a, b))
        result = int8_matmul(one, other)
        assert result.dtype == torch.int32
        assert np.array_equal(result.cpu().numpy(), a @ b.T)


def layer(out: int = 24, columns: int = 96) -> tuple[Tensor, Tensor, QuantParams, Tensor]:
    """A weight, its integers and grid, a bias."""
    weight = normal(out, columns, seed=1) * 0.05
    grid = fit_qparams(weight, axis=0)
    return weight, grid.quantize(weight), grid, normal(out, seed=2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(96,), (1, 96), (5, 96), (2, 7, 96)])
def test_the_layer_is_the_float_layer_of_the_grid_points(shape: tuple[int, ...], device: str) -> None:
    _, integers, grid, bias = layer()
    x = normal(*shape) * 3 + 0.5
    tokens = token_qparams(x)
    exact = (tokens.dequantize(tokens.quantize(x)).double() @ grid.dequantize(integers).double().T + bias).float()
    arguments = [tensor.to(device) for tensor in (x, integers, grid.scale, bias)]
    assert torch.allclose(int8_linear(*arguments).cpu(), exact, rtol=1e-5, atol=1e-5)


def test_the_layer_is_the_float_layer_but_for_half_a_step() -> None:
    """|x w - q_x q_w| summed: each x moves by half its step against w, each w by half its step against q_x."""
    weight, integers, grid, bias = layer()
    x = normal(50, 96) * 3
    output, exact = int8_linear(x, integers, grid.scale, bias), x @ weight.T + bias
    tokens = token_qparams(x)
    rounded = tokens.dequantize(tokens.quantize(x)).abs().sum(1, keepdim=True)
    bound = tokens.scale / 2 * weight.abs().sum(1) + rounded * grid.scale.flatten() / 2
    lost = (output - exact).abs()
    assert bool((lost <= bound + 1e-5).all())
    assert float(lost.max()) > 0 and float(lost.mean() / exact.std()) < 0.02


def test_the_layer_takes_a_calibrated_grid() -> None:
    _, integers, grid, bias = layer()
    x = normal(40, 96) + 2
    static = fit_qparams(x, symmetric=False)
    exact = static.dequantize(static.quantize(x)).double() @ grid.dequantize(integers).double().T + bias
    output = int8_linear(x, integers, grid.scale, bias, static)
    assert torch.allclose(output, exact.float(), rtol=1e-5, atol=1e-4)
    assert int(static.zero_point) != 0


# ---- bad input -------------------------------------------------------------------------------------------------

WEIGHT = torch.ones(2, 3, dtype=torch.int8)
ONES = torch.ones(2, 1)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: token_qparams(torch.tensor(1.0)), "single number"),
        (lambda: token_qparams(torch.tensor([math.inf])), "infinity"),
        (lambda: int8_linear(torch.ones(4), WEIGHT, ONES), r"x has shape \(4,\)"),
        (lambda: int8_linear(torch.tensor(1.0), WEIGHT, ONES), r"x has shape \(\)"),
        (lambda: int8_linear([1.0], WEIGHT, ONES), "list"),
        (lambda: int8_linear(torch.tensor([math.nan] * 3), WEIGHT, ONES), "NaN"),
        (lambda: int8_linear(torch.ones(3), WEIGHT.float(), ONES), "float32"),
        (lambda: int8_matmul(*[torch.zeros(1, 2**17, dtype=torch.int8)] * 2), "overflow"),
        (lambda: quantize_weights(fitted(), 4, names=("queries",)), "no linear layers"),
        (lambda: quantize_weights(fitted(), 9), "bits is 9"),
        (lambda: quantization_sensitivity(fitted(), []), "no text"),
        (lambda: quantize_static(fitted(), []), "no text"),
    ],
)
def test_bad_input(make: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make()


# ---- whole classifiers -----------------------------------------------------------------------------------------

MANY = [*TEXTS, "a", "", "the film was good and then the plot was bad and the end was awful"]


def moved(model: Any, other: Any) -> float:
    return float(np.abs(model.decision_logits(MANY) - other.decision_logits(MANY)).mean())


def table_of(classifier: TextClassifier) -> Tensor:
    return classifier.module_.bert.embeddings.word_embeddings.weight


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("layout", [{}, {"group_size": 16}, {"axis": None}, {"symmetric": False, "axis": 0}])
def test_every_weight_is_quantised(bits: int, layout: dict[str, Any]) -> None:
    before = fitted()
    after = quantize_weights(before, bits, **layout)
    for place, linear in linear_layers(after).items():
        weight = linear_layers(before)[place].weight
        qparams = fit_qparams(weight, bits, **(layout or {"axis": 0}))
        assert torch.equal(linear.weight, qparams.dequantize(qparams.quantize(weight)))
    assert not torch.equal(table_of(before), table_of(after))
    assert torch.equal(before.module_.classifier.weight, after.module_.classifier.weight)


def test_the_parent_is_not_changed_and_fewer_bits_move_more() -> None:
    parent, kept = fitted(), copy.deepcopy(fitted())
    apart = [moved(quantize_weights(parent, bits, names=tuple(LINEAR_LAYERS)), parent) for bits in (2, 4, 8)]
    assert apart == sorted(apart, reverse=True) and apart[-1] > 0
    assert same_bits(parent, kept)


@pytest.mark.parametrize("names", ["query", ("query", "embeddings"), ["embeddings"]], ids=str)
def test_only_what_is_named_is_quantised(names: Any) -> None:
    after = quantize_weights(fitted(), 4, names)
    mine, theirs = linear_layers(after), linear_layers(fitted())
    touched = {name for number, name in mine if not torch.equal(mine[number, name].weight, theirs[number, name].weight)}
    touched |= set() if torch.equal(table_of(after), table_of(fitted())) else {"embeddings"}
    assert touched == ({names} if isinstance(names, str) else set(names))


def test_each_layer_is_quantised_alone() -> None:
    table = quantization_sensitivity(fitted(), TEXTS, bits=2).set_index(["layer", "matrix"])["error"]
    assert set(table.index) == set(linear_layers(fitted())) and (table > 0).all()
    alone = copy.deepcopy(fitted())
    linear = linear_layers(alone)[0, "value"]
    with torch.no_grad():
        qparams = fit_qparams(linear.weight, 2, axis=0)
        linear.weight.copy_(qparams.dequantize(qparams.quantize(linear.weight)))
    change = np.abs(alone.decision_logits(TEXTS) - fitted().decision_logits(TEXTS)).mean()
    assert table[0, "value"] == pytest.approx(change, rel=1e-4)


def test_int8_products_are_close_to_the_parent() -> None:
    dynamic, static = quantize_dynamic(fitted()), quantize_static(fitted(), TEXTS)
    scale = float(np.abs(fitted().decision_logits(MANY)).mean())
    assert 0 < moved(dynamic, fitted()) < 0.05 * scale
    assert 0 < moved(static, fitted()) < 0.1 * scale
    assert all(isinstance(linear, Int8Linear) for linear in linear_layers(static).values())
    assert not any(isinstance(linear, Int8Linear) for linear in linear_layers(fitted()).values())


def test_the_static_range_is_that_of_the_calibration_texts() -> None:
    few, more = quantize_static(fitted(), TEXTS[:2]), quantize_static(fitted(), TEXTS)
    for place, linear in linear_layers(more).items():
        assert float(linear_layers(few)[place].qparams.scale) <= float(linear.qparams.scale)
        assert not linear.qparams.symmetric


def test_calibration_reads_no_padding() -> None:
    """Rows that are padded beside longer ones must not widen a range."""

    def ends(qparams: QuantParams) -> tuple[float, float]:
        return tuple((end - qparams.zero_point.item()) * qparams.scale.item() for end in (qparams.low, qparams.high))

    alone = [quantize_static(fitted(), [text]) for text in ("good film", MANY[-1])]
    together = quantize_static(fitted(), ["good film", MANY[-1]])
    for place, linear in linear_layers(together).items():
        ranges = [ends(linear_layers(one)[place].qparams) for one in alone]
        reach = max(high for _, high in ranges) - min(low for low, _ in ranges)
        assert linear.qparams.scale.item() * 255 <= reach * 1.02


def test_a_saved_one_is_an_ordinary_model_of_the_quantised_weights(tmp_path: Any) -> None:
    folder = quantize_dynamic(fitted()).save(tmp_path / "saved")
    loaded = TextClassifier.from_pretrained(folder)
    assert moved(loaded, quantize_weights(fitted(), 8, names=tuple(LINEAR_LAYERS))) < 1e-6
    assert not any(isinstance(linear, Int8Linear) for linear in linear_layers(loaded).values())
