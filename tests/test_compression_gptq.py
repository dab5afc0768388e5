"""GPTQ by hand, against rounding to the nearest and against the elimination that it abbreviates."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from course_lib.compression.gptq import gptq_quantize
from course_lib.compression.quantization import QuantParams, fit_qparams
from course_lib.errors import BadInput

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def case(seed: int, out: int = 6, columns: int = 24, n: int = 100, noise: float = 0.3) -> tuple[Tensor, Tensor]:
    """A weight, and inputs that share a third as many causes as they have columns."""
    generator = torch.Generator().manual_seed(seed)
    causes = torch.randn(n, columns // 3, generator=generator) @ torch.randn(columns // 3, columns, generator=generator)
    inputs = causes + noise * torch.randn(n, columns, generator=generator)
    return torch.randn(out, columns, generator=generator), inputs


def output_errors(weight: Tensor, quantised: Tensor, inputs: Tensor) -> Tensor:
    """Root mean square over the inputs, of each output (out)."""
    return (inputs.double() @ (weight.double() - quantised.double()).T).square().mean(0).sqrt()


@given(
    st.integers(0, 10_000),
    st.sampled_from([2, 3, 4, 8]),
    st.sampled_from([None, 1, 5, 8, 99]),
    st.sampled_from([3, 20, 200]),
    st.sampled_from([0.01, 0.3, 10.0]),
)
@settings(max_examples=60)
def test_no_output_is_worse_than_by_rounding(seed: int, bits: int, group: int | None, n: int, damping: float) -> None:
    weight, inputs = case(seed, n=n)
    result = gptq_quantize(weight, inputs, bits, group, damping)
    grid = fit_qparams(weight, bits, axis=None if group else 0, group_size=group)
    rounded = grid.dequantize(grid.quantize(weight))
    ours, theirs = (output_errors(weight, quantised, inputs) for quantised in (result.weight, rounded))
    assert bool((ours <= theirs * (1 + 1e-6)).all())
    assert result.error == pytest.approx(float(ours.square().mean().sqrt()), rel=1e-4, abs=1e-6)
    assert result.rounding_error == pytest.approx(float(theirs.square().mean().sqrt()), rel=1e-4, abs=1e-6)
    assert torch.equal(result.qparams.scale, grid.scale)
    assert torch.equal(result.weight, result.qparams.dequantize(result.integers))
    assert result.qparams.low <= int(result.integers.min()) and int(result.integers.max()) <= result.qparams.high


def eliminated(weight: Tensor, inputs: Tensor, grid: QuantParams, damping: float) -> np.ndarray:
    """The integers by the paper's equations 2 and 3: the inverse Hessian, a column struck out after each step."""
    x, rest, scale = (tensor.double().numpy() for tensor in (inputs, weight.clone(), grid.scale))
    hessian = x.T @ x
    inverse = np.linalg.inv(hessian + damping * np.diag(hessian).mean() * np.eye(len(hessian)))
    integers = np.zeros(rest.shape, int)
    for j in range(rest.shape[1]):
        step = scale[:, 0 if grid.group_size is None else j // grid.group_size]
        integers[:, j] = np.clip(np.round(rest[:, j] / step), grid.low, grid.high)
        lost = rest[:, j] - integers[:, j] * step
        rest = rest - np.outer(lost / inverse[j, j], inverse[j])
        inverse = inverse - np.outer(inverse[:, j], inverse[j]) / inverse[j, j]
    return integers


@pytest.mark.parametrize(("bits", "group_size"), [(3, None), (4, 7), (8, None)])
def test_the_cholesky_factor_stands_for_the_elimination(bits: int, group_size: int | None) -> None:
    alike = 0
    for seed in range(5):
        weight, inputs = case(seed)
        result = gptq_quantize(weight, inputs, bits, group_size)
        expected = torch.tensor(eliminated(weight, inputs, result.qparams, 0.01))
        rounded = result.qparams.quantize(weight)
        ours, theirs = (
            output_errors(weight, result.qparams.dequantize(integers), inputs) for integers in (expected, rounded)
        )
        expected = torch.where((ours < theirs)[:, None], expected, rounded)
        assert torch.equal(result.integers.long(), expected.long())
        alike += int((result.integers == rounded).all(1).sum())
    assert alike < 5  # it is not rounding that was compared


def test_two_columns_by_hand() -> None:
    """Equal inputs: what the first weight is rounded up, the second goes down, as far as the damping lets it."""
    weight = torch.tensor([[0.4, 0.4, 7.0]])  # scale 1 at 4 bits, by the third weight
    inputs = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    result = gptq_quantize(weight, inputs, 4, damping=1e-6)
    assert result.integers.tolist() == [[0, 1, 7]]  # 0.4 -> 0, then 0.4 + 0.4 -> 1: the sum 0.8 becomes 1, not 0
    assert result.error == pytest.approx(math.sqrt(0.2**2 / 2))
    assert result.rounding_error == pytest.approx(math.sqrt(0.8**2 / 2))


def test_the_best_there_is_is_not_far() -> None:
    """All 3^5 ways to round five weights up, down, or one more step."""
    shares = []
    for seed in range(10):
        weight, inputs = case(seed, out=1, columns=5, n=40, noise=0.2)
        result = gptq_quantize(weight, inputs, 4)
        around = [range(q - 1, q + 2) for q in result.qparams.quantize(weight)[0].tolist()]
        choices = torch.tensor(list(itertools.product(*around))).clamp(-7, 7)
        points = choices * result.qparams.scale
        best = output_errors(weight.expand(len(points), -1), points, inputs).min().item()
        shares.append((result.error - best) / (result.rounding_error - best + 1e-9))
    assert np.mean(shares) < 0.5 and max(shares) <= 1


@pytest.mark.parametrize("damping", [0.0, 0.01])
def test_dead_columns_are_merely_rounded(damping: float) -> None:
    weight, inputs = case(1)
    alone = gptq_quantize(weight, inputs, 4, damping=damping)
    inputs[:, [0, 7, 23]] = 0
    dead = gptq_quantize(weight, inputs, 4, damping=damping)
    rounded = dead.qparams.quantize(weight)
    assert torch.equal(dead.integers[:, [0, 7, 23]], rounded[:, [0, 7, 23]])
    assert not torch.equal(alone.integers[:, [0, 7, 23]], rounded[:, [0, 7, 23]])
    assert dead.error < 0.8 * dead.rounding_error
    nothing = gptq_quantize(weight, torch.zeros(5, 24), 4, damping=damping)
    assert torch.equal(nothing.integers, rounded) and nothing.error == 0


def test_the_weight_stays_as_it_was() -> None:
    weight, inputs = case(4)
    copies = weight.clone(), inputs.clone()
    result = gptq_quantize(weight.requires_grad_(), inputs)
    assert torch.equal(weight, copies[0]) and torch.equal(inputs, copies[1]) and not result.weight.requires_grad


W, X = torch.ones(2, 3), torch.ones(4, 3)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: gptq_quantize(W[0], X), "weight has shape"),
        (lambda: gptq_quantize(W, X[0]), r"inputs \(3,\)"),
        (lambda: gptq_quantize(W, torch.ones(4, 2)), r"inputs \(4, 2\)"),
        (lambda: gptq_quantize(W, torch.ones(0, 3)), "inputs have shape"),
        (lambda: gptq_quantize(W.long(), X), "weights are torch.int64"),
        (lambda: gptq_quantize(W, X * math.nan), "inputs hold"),
        (lambda: gptq_quantize(W * math.inf, X), "weights hold"),
        (lambda: gptq_quantize(W, X, 1), "bits is 1"),
        (lambda: gptq_quantize(W, X, group_size=0), "group_size is 0"),
        (lambda: gptq_quantize(W, X, damping=-0.1), "damping is -0.1"),
        (lambda: gptq_quantize(W, X, damping=math.inf), "damping is inf"),
        (lambda: gptq_quantize(W, torch.tensor([[1.0, 2.0, 3.0]]), damping=0), "span"),
    ],
)
def test_bad_input(make: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        make()
