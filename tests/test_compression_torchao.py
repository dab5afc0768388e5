"""Quantisation by hand holds torchao's integers.

Where torchao is installed, importing peft or transformers prints warnings of it, which a notebook would show. So the
course's environment leaves it out; `pip install torchao` runs these tests.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from course_lib.compression.uniform import grid_of

pytest.importorskip("torchao", reason="torchao is not part of the environment: pip install torchao")
from torchao.quantization import Int8WeightOnlyConfig, quantize_
from torchao.quantization.quant_primitives import (
    MappingType,
    choose_qparams_affine,
    dequantize_affine,
    quantize_affine,
)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


INT8: dict[str, Any] = {"target_dtype": torch.int8, "quant_min": -128, "quant_max": 127}
NARROW: dict[str, Any] = {"target_dtype": torch.int8, "quant_min": -127, "quant_max": 127}
INT4: dict[str, Any] = {"target_dtype": torch.int8, "quant_min": -8, "quant_max": 7}


def torchao_integers(
    values: Tensor, block: tuple[int, ...], range_: dict[str, Any], mapping: MappingType
) -> tuple[Tensor, Tensor, Tensor]:
    scale, zero_point = choose_qparams_affine(values, mapping, block, **range_)
    ends = range_["quant_min"], range_["quant_max"]
    return quantize_affine(values, block, scale, zero_point, torch.int8, *ends), scale, zero_point


@pytest.mark.parametrize(
    ("block", "range_", "settings"),
    [
        ((1, 768), INT8, {"bits": 8, "axis": 0, "full": True}),
        ((1, 768), NARROW, {"bits": 8, "axis": 0}),
        ((384, 768), NARROW, {"bits": 8}),
        ((1, 32), INT4, {"bits": 4, "group": 32, "full": True}),
        ((1, 128), INT8, {"bits": 8, "group": 128, "full": True}),
        ((384, 1), INT4, {"bits": 4, "axis": 1, "full": True}),
    ],
    ids=str,
)
def test_the_integers_are_those_of_torchao(
    block: tuple[int, ...], range_: dict[str, Any], settings: dict[str, Any]
) -> None:
    values = normal(384, 768) * 0.05
    theirs, scale, zero_point = torchao_integers(values, block, range_, MappingType.SYMMETRIC)
    grid = replace(grid_of(values, **settings), reciprocal=True)
    assert torch.equal(grid.scale.flatten(), scale.flatten())
    assert torch.equal(grid.quantize(values), theirs)
    ends = range_["quant_min"], range_["quant_max"]
    points = dequantize_affine(theirs, block, scale, zero_point, torch.int8, *ends)
    assert torch.equal(grid.dequantize(theirs), points)


def test_affine_integers_are_those_of_torchao_on_its_grid() -> None:
    """Torchao finds affine scales in float32, so that their last bit may differ from ours."""
    values = normal(64, 256) + 0.5
    for block, bits, range_, settings in (
        ((1, 256), 8, INT8, {"axis": 0}),
        ((1, 32), 4, INT4, {"group": 32}),
    ):
        theirs, scale, zero_point = torchao_integers(values, block, range_, MappingType.ASYMMETRIC)
        grid = grid_of(values, bits, False, **settings)
        assert torch.allclose(grid.scale.flatten(), scale.flatten(), rtol=2e-7, atol=0)
        assert torch.equal(grid.zero_point.flatten(), zero_point.flatten().int())
        taken = replace(grid, scale=scale.reshape(grid.scale.shape), reciprocal=True)
        assert torch.equal(taken.quantize(values), theirs)


def test_a_layer_quantised_by_torchao_holds_the_same_integers() -> None:
    layer = nn.Linear(384, 128)
    weight = layer.weight.detach().clone()
    quantize_(layer, Int8WeightOnlyConfig(version=2))
    grid = replace(grid_of(weight, axis=0, full=True), reciprocal=True)
    assert torch.equal(layer.weight.qdata, grid.quantize(weight))
    assert torch.equal(layer.weight.scale.flatten(), grid.scale.flatten())
    assert torch.equal(layer.weight.dequantize(), grid.dequantize(grid.quantize(weight)))
