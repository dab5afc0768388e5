"""Uniform quantisation by hand, against its own laws, torch and ONNX Runtime."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quant_utils, quantize_dynamic
from torch import Tensor

from course_lib.compression.quantization import (
    QuantizationError,
    QuantParams,
    fake_quantize,
    fit_qparams,
    qparams_of_range,
    quantization_error,
)
from course_lib.errors import BadInput


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def scales(grid: QuantParams, values: Tensor) -> Tensor:
    """The scale of every value, by a way of its own."""
    if grid.group_size is None:
        return grid.scale.expand(values.shape)
    return grid.scale[..., torch.arange(values.shape[-1]) // grid.group_size]


def simple(bits: int = 8, symmetric: bool = True, zero_point: int = 0, **settings: Any) -> QuantParams:
    """Steps of 1."""
    return QuantParams(torch.tensor(1.0), torch.tensor(zero_point, dtype=torch.int32), bits, symmetric, **settings)


# ---- laws ------------------------------------------------------------------------------------------------------

LAYOUTS: tuple[dict[str, int], ...] = ({}, {"axis": 0}, {"axis": 1}, {"axis": -1}, {"group_size": 1}, {"group_size": 3})
NUMBERS = st.one_of(st.floats(-10, 10, width=32), st.floats(-(2.0**66), 2.0**66, width=32), st.just(0.0))
SETTINGS = st.fixed_dictionaries(
    {
        "bits": st.integers(2, 8),
        "symmetric": st.booleans(),
        "narrow_range": st.booleans(),
        "layout": st.sampled_from(LAYOUTS),
    }
).map(lambda drawn: drawn.pop("layout") | drawn)


@st.composite
def matrices(draw: st.DrawFn) -> Tensor:
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    return torch.tensor(draw(st.lists(NUMBERS, min_size=rows * columns, max_size=rows * columns))).reshape(rows, -1)


@given(matrices(), SETTINGS)
def test_no_value_in_the_range_moves_by_more_than_half_a_step(values: Tensor, settings: dict[str, Any]) -> None:
    grid = fit_qparams(values, **settings)
    integers = grid.quantize(values)
    assert integers.dtype == torch.int8 and integers.shape == values.shape
    assert grid.low <= int(integers.min()) and int(integers.max()) <= grid.high
    moved = (values - grid.dequantize(integers)).abs()
    assert bool((moved <= scales(grid, values) / 2 + values.abs() * 1e-6).all())


@given(matrices(), SETTINGS, st.sampled_from(["minmax", "mse"]))
def test_zero_is_kept_exactly(values: Tensor, settings: dict[str, Any], method: str) -> None:
    grid = fit_qparams(values, method=method, **settings)
    zeros = torch.zeros_like(values)
    assert torch.equal(grid.dequantize(grid.quantize(zeros)), zeros)
    assert bool(((grid.zero_point >= grid.low) & (grid.zero_point <= grid.high)).all())
    assert not grid.symmetric or not bool(grid.zero_point.any())


@given(matrices(), st.floats(0.1, 10), SETTINGS)
def test_quantising_again_changes_nothing(values: Tensor, factor: float, settings: dict[str, Any]) -> None:
    grid = fit_qparams(values, **settings)
    for each in (values, values.flip(0, 1) * factor):  # those of the grid, and some that it may clip
        integers = grid.quantize(each)
        assert torch.equal(grid.quantize(grid.dequantize(integers)), integers)


@given(matrices(), st.lists(NUMBERS, min_size=2, max_size=20), SETTINGS)
def test_order_is_kept(values: Tensor, others: list[float], settings: dict[str, Any]) -> None:
    settings = {name: value for name, value in settings.items() if name not in ("axis", "group_size")}
    grid = fit_qparams(values, **settings)
    integers = grid.quantize(torch.tensor(sorted(others))).to(torch.int32)
    assert bool((integers.diff() >= 0).all())
    assert bool((grid.dequantize(integers).diff() >= 0).all())


@given(matrices(), SETTINGS)
def test_clipping_for_the_squared_error_never_loses(values: Tensor, settings: dict[str, Any]) -> None:
    """For none of the scales."""

    def lost(grid: QuantParams) -> Tensor:
        squares = (values.double() - grid.dequantize(grid.quantize(values))).square()
        if grid.group_size is not None:
            return torch.stack([part.sum(-1) for part in squares.split(grid.group_size, -1)], -1)
        return squares.sum() if not grid.scale.ndim else squares.sum_to_size(grid.scale.shape)

    assert bool((lost(fit_qparams(values, method="mse", **settings)) <= lost(fit_qparams(values, **settings))).all())


@pytest.mark.parametrize(("bits", "step"), [(2, 1.2240), (3, 0.6508), (4, 0.3534)])
def test_the_best_clipping_of_normal_values_is_the_known_one(bits: int, step: float) -> None:
    """Max (1960), Quantizing for minimum distortion, table 2: 3, 7 and 15 levels, in standard deviations.

    The search knows shares of the widest range only, 2 % of it apart.
    """
    values = normal(200_000)
    apart = 0.02 * float(values.abs().max()) / (2 ** (bits - 1) - 1)
    assert fit_qparams(values, bits, method="mse").scale.item() == pytest.approx(step, abs=apart)


def test_each_channel_and_each_group_is_a_tensor_of_its_own() -> None:
    values = normal(3, 4, 10)
    for axis, symmetric in itertools.product(range(-3, 3), (True, False)):
        grid = fit_qparams(values, 5, symmetric, axis)
        points = grid.dequantize(grid.quantize(values))
        for part, quantised in zip(values.unbind(axis), points.unbind(axis), strict=True):
            alone = fit_qparams(part, 5, symmetric)
            assert torch.equal(alone.dequantize(alone.quantize(part)), quantised)
    for group, symmetric in itertools.product((1, 4, 5, 10, 99), (True, False)):
        grid = fit_qparams(values, 5, symmetric, group_size=group)
        assert grid.scale.shape == (3, 4, math.ceil(10 / group))
        points = grid.dequantize(grid.quantize(values))
        for part, quantised in zip(values.split(group, -1), points.split(group, -1), strict=True):
            for i, j in itertools.product(range(3), range(4)):
                alone = fit_qparams(part[i, j], 5, symmetric)
                assert torch.equal(alone.dequantize(alone.quantize(part[i, j])), quantised[i, j])


@pytest.mark.parametrize(
    ("settings", "ends", "scale", "zero_point"),
    [
        ({}, (-127, 127), 6 / 127, 0),
        ({"narrow_range": False}, (-128, 127), 6 / 127.5, 0),
        ({"symmetric": False}, (-128, 127), 8 / 255, 63),  # 63.25
        ({"bits": 4}, (-7, 7), 6 / 7, 0),
        ({"bits": 4, "narrow_range": False}, (-8, 7), 6 / 7.5, 0),
        ({"bits": 4, "symmetric": False}, (-8, 7), 8 / 15, 3),  # 3.25
        ({"bits": 2}, (-1, 1), 6.0, 0),
        ({"bits": 2, "narrow_range": False}, (-2, 1), 4.0, 0),
        ({"bits": 2, "symmetric": False}, (-2, 1), 8 / 3, 0),  # 0.25
    ],
    ids=str,
)
def test_grids_by_hand(settings: dict[str, Any], ends: tuple[int, int], scale: float, zero_point: int) -> None:
    grid = fit_qparams(torch.tensor([-6.0, 1.0, 2.0]), **settings)
    assert (grid.low, grid.high) == ends
    assert grid.scale.item() == pytest.approx(scale, rel=1e-7) and grid.scale.dtype == torch.float32
    assert grid.zero_point.item() == zero_point and grid.zero_point.dtype == torch.int32


def test_ties_go_to_the_even_integer() -> None:
    values = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert simple().quantize(values).tolist() == [-2, -2, 0, 0, 2, 2]
    # The zero point is added after rounding.
    assert simple(symmetric=False, zero_point=1).quantize(values).tolist() == [-1, -1, 1, 1, 3, 3]


def test_other_dtypes_are_read_as_float32() -> None:
    values = normal(4, 6)
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        grid, same = fit_qparams(values.to(dtype), axis=0), fit_qparams(values.to(dtype).float(), axis=0)
        assert torch.equal(grid.scale, same.scale)
        assert torch.equal(grid.quantize(values.to(dtype)), same.quantize(values.to(dtype).float()))
        assert fake_quantize(values.to(dtype), grid).dtype == dtype


# ---- ONNX Runtime ----------------------------------------------------------------------------------------------


def runtime(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def quantize_linear(values: Tensor, scale: Tensor, zero_point: Tensor, kind: int, **attributes: int) -> np.ndarray:
    """One QuantizeLinear node in ONNX Runtime, on that scale and zero point; int32 out of it, for 4 bits' sake."""
    inputs = [
        numpy_helper.from_array(scale.numpy(), "scale"),
        helper.make_tensor("zero_point", kind, zero_point.shape, zero_point.flatten().tolist()),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero_point"], ["q"], **attributes),
        helper.make_node("Cast", ["q"], ["y"], to=TensorProto.INT32),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(values.shape))
    y = helper.make_tensor_value_info("y", TensorProto.INT32, list(values.shape))
    graph = helper.make_graph(nodes, "quantize", [x], [y], inputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    result: np.ndarray = runtime(model).run(None, {"x": values.numpy()})[0]
    return result


# Beside normal values every tie of a grid with a scale that is a power of two, and values far outside.
VALUES = torch.cat([normal(254, 768), torch.arange(-768, 768).reshape(2, 768) / 2])


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_the_integers_are_those_of_onnx_runtime(symmetric: bool, axis: int | None) -> None:
    grid = fit_qparams(normal(256, 768, seed=1) + 0.3, 8, symmetric, axis)
    for values in (VALUES, VALUES * grid.scale):
        attributes = {} if axis is None else {"axis": axis}
        place = grid.scale.flatten() if axis is not None else grid.scale
        zero_point = grid.zero_point.reshape(place.shape)
        theirs = quantize_linear(values, place, zero_point, TensorProto.INT8, **attributes)
        # The operator knows all of int8; a grid from -127 on cuts off its lowest integer.
        ours = replace(grid, narrow_range=False).quantize(values)
        assert np.array_equal(ours.numpy(), theirs)
        assert np.array_equal(grid.quantize(values).numpy(), np.maximum(theirs, grid.low))
        unsigned = quantize_linear(values, place, zero_point + 128, TensorProto.UINT8, **attributes)
        assert np.array_equal(ours.numpy().astype(np.int32) + 128, unsigned)


@pytest.mark.parametrize("symmetric", [True, False])
def test_int4_groups_are_those_of_onnx_runtime(symmetric: bool) -> None:
    values = normal(48, 100)
    grid = fit_qparams(values, 4, symmetric, group_size=32, narrow_range=False)
    theirs = quantize_linear(values, grid.scale, grid.zero_point, TensorProto.INT4, axis=1, block_size=32)
    assert np.array_equal(grid.quantize(values).numpy(), theirs)
    zero_point, scale = quant_utils.compute_scale_zp_blocked(values.numpy(), TensorProto.INT4, 1, 32, symmetric)
    # Its affine scales of blocks are found in float32, unlike those of tensors and channels.
    assert np.allclose(grid.scale.numpy(), scale, rtol=0 if symmetric else 2e-7, atol=0)
    assert np.array_equal(grid.zero_point.numpy(), zero_point.astype(np.int32))


def test_a_weight_quantised_by_onnx_runtime_holds_the_same_integers(tmp_path: Path) -> None:
    weight = normal(64, 48)  # (in, out), as MatMul wants it
    weight[:, 3] = 0
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 48])],
        [numpy_helper.from_array(weight.numpy(), "W")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    quantize_dynamic(model, tmp_path / "int8.onnx", per_channel=True, weight_type=QuantType.QInt8)
    stored = onnx.load(tmp_path / "int8.onnx").graph.initializer
    theirs = {tensor.name: numpy_helper.to_array(tensor) for tensor in stored}
    grid = fit_qparams(weight.T, axis=0)
    assert np.array_equal(grid.quantize(weight.T).T.numpy(), theirs["W_quantized"])
    assert np.array_equal(grid.scale.flatten().numpy(), theirs["W_scale"])
    assert not theirs["W_zero_point"].any()


@given(matrices(), st.booleans())
def test_scales_and_zero_points_are_those_of_onnx_runtime(values: Tensor, symmetric: bool) -> None:
    zero_point, scale, integers = quant_utils.quantize_data(values.flatten().numpy(), TensorProto.INT8, symmetric)
    grid = fit_qparams(values, 8, symmetric)
    assert grid.scale.item() == scale.item() and grid.zero_point.item() == zero_point.item()
    assert grid.quantize(values).flatten().tolist() == integers.tolist()


# ---- straight-through gradient ---------------------------------------------------------------------------------


def test_the_straight_through_gradient_by_hand() -> None:
    grid = simple(bits=2)  # -1, 0, 1
    values = torch.tensor([-9.0, -1.5, -1.4, -0.2, 0.6, 1.49, 1.51], requires_grad=True)
    output = fake_quantize(values, grid)
    assert output.tolist() == [-1, -1, -1, 0, 1, 1, 1]
    (output * torch.arange(1, 8)).sum().backward()
    assert values.grad is not None and values.grad.tolist() == [0, 0, 3, 4, 5, 6, 0]


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_straight_through_gradient_is_that_of_torch(symmetric: bool) -> None:
    values = normal(32, 100) * 2
    grid = fit_qparams(normal(32, 100, seed=1), 6, symmetric, 0)
    ours, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
    output = fake_quantize(ours, grid)
    arguments = grid.scale.flatten(), grid.zero_point.flatten(), 0, grid.low, grid.high
    reference = torch.fake_quantize_per_channel_affine(theirs, *arguments)
    assert torch.equal(output, grid.dequantize(grid.quantize(values)))
    assert torch.allclose(output, reference, rtol=1e-6, atol=1e-7)
    for result in (output, reference):
        (result * normal(32, 100, seed=2)).sum().backward()
    assert ours.grad is not None and theirs.grad is not None and torch.equal(ours.grad, theirs.grad)
    assert 0.05 < float((ours.grad == 0).float().mean()) < 0.5


def test_a_nan_is_not_hidden_while_training() -> None:
    assert fake_quantize(torch.tensor([math.nan, 1.0]), simple()).isnan().tolist() == [True, False]


# ---- what is lost ----------------------------------------------------------------------------------------------


def test_the_loss_by_hand() -> None:
    lost = quantization_error(torch.tensor([3.0, -1.25, 0.5, 0.0]), simple())
    assert lost == (0.5, 0.1875, pytest.approx(10 * math.log10(10.8125 / 0.3125)))
    assert quantization_error(torch.tensor([3.0, -1.0]), simple()) == QuantizationError(0, 0, math.inf)
    assert quantization_error(torch.zeros(3), simple()) == QuantizationError(0, 0, math.inf)


def test_a_bit_more_is_worth_six_decibel() -> None:
    """Uniform values fill 2^bits - 1 steps: signal 1/3, noise step^2 / 12."""
    values = torch.rand(50_000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for bits in range(2, 9):
        ratio = quantization_error(values, fit_qparams(values, bits, narrow_range=False)).sqnr_db
        assert ratio == pytest.approx(20 * math.log10(2**bits - 1), abs=0.1)


# ---- bad input -------------------------------------------------------------------------------------------------

X = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: fit_qparams(X, 1), "bits is 1"),
        (lambda: fit_qparams(X, 9), "bits is 9"),
        (lambda: fit_qparams(X, 4.0), "bits is 4.0"),
        (lambda: fit_qparams(torch.tensor([1.0, math.nan])), "NaN"),
        (lambda: fit_qparams(torch.tensor([1.0, -math.inf])), "infinity"),
        (lambda: fit_qparams(torch.tensor([1e300], dtype=torch.float64)), "infinity"),
        (lambda: fit_qparams(torch.empty(0, 3)), r"shape \(0, 3\)"),
        (lambda: fit_qparams(torch.tensor([1, 2])), "int64"),
        (lambda: fit_qparams([1.0, 2.0]), "values are list"),
        (lambda: fit_qparams(X, axis=2), "axis is 2"),
        (lambda: fit_qparams(X, axis=-3), "axis is -3"),
        (lambda: fit_qparams(X, group_size=0), "group_size is 0"),
        (lambda: fit_qparams(X, group_size=1.5), "group_size is 1.5"),
        (lambda: fit_qparams(X, axis=0, group_size=2), "both given"),
        (lambda: fit_qparams(torch.tensor(1.0), group_size=2), "single number"),
        (lambda: fit_qparams(X, method="max"), "method is 'max'"),
        (lambda: qparams_of_range(torch.tensor(1.0), torch.tensor(0.0)), "ends before"),
        (lambda: qparams_of_range(torch.zeros(2), torch.ones(3)), "ends before"),
        (lambda: fit_qparams(X).quantize(torch.tensor([math.nan])), "NaN"),
        (lambda: fit_qparams(X, axis=0).quantize(torch.ones(3, 3)), "do not fit"),
        (lambda: fit_qparams(X, axis=0).quantize(torch.ones(3)), "do not fit"),
        (lambda: fit_qparams(X, group_size=2).quantize(torch.ones(2, 5)), "do not fit"),
        (lambda: fit_qparams(X, group_size=2).dequantize(torch.ones(1, 3)), "do not fit"),
        (lambda: fake_quantize(torch.ones(3, 3), fit_qparams(X, axis=0)), "do not fit"),
        (lambda: quantization_error(torch.empty(0), simple()), "shape"),
        (lambda: simple(bits=9), "bits is 9"),
        (lambda: simple(group_size=-1), "group_size is -1"),
        (lambda: QuantParams(torch.tensor(0.0), torch.tensor(0)), "a scale is"),
        (lambda: QuantParams(torch.tensor(math.nan), torch.tensor(0)), "a scale is"),
        (lambda: QuantParams(torch.ones(2), torch.tensor(0)), "zero points have shape"),
    ],
)
def test_bad_input(make: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make()
