"""Activations as integers: calibration, a scale a token, the int8 product."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from course_lib.compression import activations
from course_lib.compression.activations import Observer, int8_linear, integer_product, token_grid
from course_lib.compression.uniform import Grid, grid_of
from course_lib.errors import BadInput

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ---- calibration -----------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=9), min_size=1, max_size=5))
def test_batches_make_the_range_of_all_values(batches: list[list[float]]) -> None:
    everything = [value for batch in batches for value in batch]
    whole, cut = Observer(), Observer("percentile", percentile=80)
    for batch in batches:
        whole.observe(torch.tensor(batch))
        cut.observe(torch.tensor(batch)[None])
    assert [end.item() for end in whole.range] == [min(everything), max(everything)]
    expected = np.percentile(np.float64(everything), [10, 90])
    assert [end.item() for end in cut.range] == pytest.approx(
        expected, rel=1e-4, abs=1e-37 + 1e-4 * max(map(abs, everything))
    )
    assert whole.seen == cut.seen == len(everything)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30), st.booleans(), st.integers(2, 8))
def test_the_observed_grid_is_that_of_the_values(values: list[float], symmetric: bool, bits: int) -> None:
    observer = Observer()
    observer.observe(torch.tensor(values))
    ours, theirs = observer.grid(bits, symmetric), grid_of(torch.tensor(values), bits, symmetric)
    assert torch.equal(ours.scale, theirs.scale) and torch.equal(ours.zero_point, theirs.zero_point)
    assert (ours.low, ours.high) == (theirs.low, theirs.high)


def test_percentiles_leave_out_outliers() -> None:
    values = normal(20_000)
    values[:3] = torch.tensor([300.0, -200.0, 500.0])
    grids = []
    for method in ("minmax", "percentile"):
        observer = Observer(method, percentile=99.9)
        observer.observe(values)
        grids.append(observer.grid())
    usual = values[3:]
    losses = [float((usual - grid.dequantize(grid.quantize(usual))).square().mean()) for grid in grids]
    assert losses[1] < 0.01 * losses[0]


def test_a_sample_stands_for_all_batches_alike() -> None:
    """Batch i holds only the number i: a fair sample has as many of each, whenever it came."""
    observer = Observer("percentile", kept=2000)
    for i in range(10):
        observer.observe(torch.full((10, 300), float(i)))
    assert observer.seen == 30_000
    counts = observer._values.to(torch.int64).bincount(minlength=10)
    assert int(counts.sum()) == 2000 and int(counts.min()) > 140 and int(counts.max()) < 260
    again = Observer("percentile", kept=2000)
    for i in range(10):
        again.observe(torch.full((10, 300), float(i)))
    assert torch.equal(again._values, observer._values)


# ---- a scale a token -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symmetric", [True, False])
def test_each_token_has_a_grid_of_its_own(symmetric: bool) -> None:
    x = normal(2, 3, 16) * torch.tensor([1.0, 1e3, 1e-3])[:, None]
    grid = token_grid(x, 8, symmetric)
    assert grid.scale.shape == (2, 3, 1)
    points = grid.dequantize(grid.quantize(x))
    for token, quantised in zip(x.flatten(0, 1), points.flatten(0, 1), strict=True):
        alone = grid_of(token, 8, symmetric)
        assert torch.equal(alone.dequantize(alone.quantize(token)), quantised)


# ---- the product -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 1, 1), (3, 5, 7), (17, 384, 9), (33, 1025, 8), (2, 5000, 3), (5, 1537, 6)]
)
def test_the_product_is_exact(m: int, k: int, n: int, fast: bool, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "_multiplies_int8", lambda: fast)
    generator = np.random.default_rng(0)
    cases = [(generator.integers(-128, 128, (m, k)), generator.integers(-128, 128, (n, k)))]
    cases.append((np.full((m, k), -128), np.full((n, k), -128)))  # the largest sum there is
    cases.append((np.full((m, k), 127), np.full((n, k), 127)))  # the largest odd one
    for a, b in cases:
        one, other = (torch.tensor(numbers, dtype=torch.int8, device=device) for numbers in (a, b))
        result = integer_product(one, other)
        assert result.dtype == torch.int32
        assert np.array_equal(result.cpu().numpy(), a @ b.T)


def layer(out: int = 24, columns: int = 96) -> tuple[Tensor, Tensor, Grid, Tensor]:
    """A weight, its integers and grid, a bias."""
    weight = normal(out, columns, seed=1) * 0.05
    grid = grid_of(weight, axis=0)
    return weight, grid.quantize(weight), grid, normal(out, seed=2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(96,), (1, 96), (5, 96), (2, 7, 96)])
def test_the_layer_is_the_float_layer_of_the_grid_points(shape: tuple[int, ...], device: str) -> None:
    _, integers, grid, bias = layer()
    x = normal(*shape) * 3 + 0.5
    tokens = token_grid(x)
    exact = (tokens.dequantize(tokens.quantize(x)).double() @ grid.dequantize(integers).double().T + bias).float()
    arguments = [tensor.to(device) for tensor in (x, integers, grid.scale, bias)]
    assert torch.allclose(int8_linear(*arguments).cpu(), exact, rtol=1e-5, atol=1e-5)


def test_the_layer_is_the_float_layer_but_for_half_a_step() -> None:
    """|x w - q_x q_w| summed: each x moves by half its step against w, each w by half its step against q_x."""
    weight, integers, grid, bias = layer()
    x = normal(50, 96) * 3
    output, exact = int8_linear(x, integers, grid.scale, bias), x @ weight.T + bias
    tokens = token_grid(x)
    rounded = tokens.dequantize(tokens.quantize(x)).abs().sum(1, keepdim=True)
    bound = tokens.scale / 2 * weight.abs().sum(1) + rounded * grid.scale.flatten() / 2
    lost = (output - exact).abs()
    assert bool((lost <= bound + 1e-5).all())
    assert float(lost.max()) > 0 and float(lost.mean() / exact.std()) < 0.02


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_layer_takes_a_calibrated_grid(symmetric: bool) -> None:
    _, integers, grid, bias = layer()
    x = normal(40, 96) + 2
    observer = Observer()
    observer.observe(x)
    static = observer.grid(symmetric=symmetric)
    exact = static.dequantize(static.quantize(x)).double() @ grid.dequantize(integers).double().T + bias
    output = int8_linear(x, integers, grid.scale, bias, static)
    assert torch.allclose(output, exact.float(), rtol=1e-5, atol=1e-4)
    assert symmetric or int(static.zero_point) != 0


@pytest.mark.parametrize("flat", [False, True])
def test_scales_of_either_shape(flat: bool) -> None:
    _, integers, grid, _ = layer()
    x = normal(3, 96)
    scale = grid.scale.flatten() if flat else grid.scale
    assert torch.equal(int8_linear(x, integers, scale), int8_linear(x, integers, grid.scale))
    single = int8_linear(x, integers, torch.tensor(0.5))
    assert torch.allclose(single, int8_linear(x, integers, torch.full((24,), 0.5)))


def test_a_token_of_zeros_gives_the_bias() -> None:
    _, integers, grid, bias = layer()
    assert torch.equal(int8_linear(torch.zeros(2, 96), integers, grid.scale, bias), bias.expand(2, -1))


def test_full_grids_are_multiplied_too() -> None:
    """-128 is an int8 like the others."""
    _, integers, grid, _ = layer()
    x = -torch.ones(1, 96)
    static = replace(grid_of(x), scale=torch.tensor(1 / 128), full=True)
    assert int(static.quantize(x).min()) == -128
    exact = x @ grid.dequantize(integers).T
    assert torch.allclose(int8_linear(x, integers, grid.scale, grid=static), exact, rtol=1e-5, atol=1e-5)


# ---- bad input -------------------------------------------------------------------------------------------------

WEIGHT = torch.ones(2, 3, dtype=torch.int8)
ONE = torch.tensor(1.0)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Observer("entropy"), "method is 'entropy'"),
        (lambda: Observer("percentile", percentile=0), "percentile is 0"),
        (lambda: Observer("percentile", percentile=101), "percentile is 101"),
        (lambda: Observer("percentile", percentile=math.nan), "percentile is nan"),
        (lambda: Observer(kept=0), "kept is 0"),
        (lambda: Observer(kept=2.0), r"kept is 2\.0"),
        (lambda: Observer().range, "no batch"),
        (lambda: Observer("percentile").grid(), "no batch"),
        (lambda: Observer().observe(torch.tensor([math.nan])), "NaN"),
        (lambda: Observer().observe(torch.empty(0)), "shape"),
        (lambda: Observer().observe([1.0]), "list"),
        (lambda: token_grid(ONE), "single number"),
        (lambda: token_grid(torch.tensor([math.inf])), "infinity"),
        (lambda: token_grid(torch.ones(2), bits=1), "bits is 1"),
        (lambda: int8_linear(torch.ones(4), WEIGHT, ONE), "last sizes"),
        (lambda: int8_linear(ONE, WEIGHT, ONE), "last sizes"),
        (lambda: int8_linear([1.0], WEIGHT, ONE), "list"),
        (lambda: int8_linear(torch.tensor([math.nan] * 3), WEIGHT, ONE), "NaN"),
        (lambda: int8_linear(torch.ones(3), WEIGHT.float(), ONE), "float32"),
        (lambda: int8_linear(torch.ones(3), WEIGHT[0], ONE), "shape"),
        (lambda: int8_linear(torch.ones(3), WEIGHT, torch.ones(3)), "weight_scale has shape"),
        (lambda: int8_linear(torch.ones(3), WEIGHT, torch.ones(1, 2)), "weight_scale has shape"),
        (lambda: int8_linear(torch.ones(3), WEIGHT, ONE, torch.ones(3)), "bias has shape"),
        (lambda: int8_linear(torch.ones(3), WEIGHT, ONE, grid=token_grid(torch.ones(3))), "one scale for all"),
        (lambda: integer_product(*[torch.zeros(1, 2**17, dtype=torch.int8)] * 2), "overflow"),
    ],
)
def test_bad_input(make: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make()


def test_a_refused_batch_leaves_no_trace() -> None:
    observer = Observer()
    observer.observe(torch.tensor([1.0, 2.0]))
    with pytest.raises(BadInput):
        observer.observe(torch.tensor([9.0, math.inf]))
    assert observer.seen == 2 and observer.range[1].item() == 2
