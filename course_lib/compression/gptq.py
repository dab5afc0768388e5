"""GPTQ by hand: columns are rounded one after the other, and the remaining ones compensate for each error."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Int8
from torch import Tensor

from course_lib.compression.quantization import QuantParams, check_finite, fit_qparams
from course_lib.errors import BadInput

_ROWS = 4096  # inputs converted to float64 at a time


class GPTQResult(NamedTuple):
    """A quantised weight (out, in), and the error of the layer's output."""

    weight: Float[Tensor, "out in"]  # qparams.dequantize(integers)
    integers: Int8[Tensor, "out in"]
    qparams: QuantParams
    error: float  # root mean square of X (W - Wq)^T, in units of the output
    rounding_error: float  # the same after rounding each weight to the nearest value


def gptq_quantize(
    weight: Float[Tensor, "out in"],
    inputs: Float[Tensor, "*n in"],
    bits: int = 4,
    group_size: int | None = None,
    damping: float = 0.01,
) -> GPTQResult:
    """Quantises a linear layer's weight so that its *output* for given inputs changes little.

    Column by column: round to the nearest value, then change the remaining columns against the output error that
    this caused, as far as the inputs' correlations allow (Frantar et al. 2022, arXiv:2210.17323, algorithm 1).

    The scales are those of the given weight, the same as for rounding to the nearest value. A row whose output error
    is larger than after rounding (greedy steps can go wrong) is rounded. So the result is never worse than rounding.

    Args:
        weight: of `nn.Linear`.
        inputs: of the layer: some thousand tokens. A column that is always 0 is only rounded.
        group_size: weights along a row that share a scale; the whole row when left out.
        damping: fraction of the mean of the Hessian's diagonal that is added to it, against noise and missing rank.

    Raises:
        BadInput: shapes that do not fit, values that are not finite, bits or group_size as in `fit_qparams`, a negative
            damping, or one too small for inputs that do not span all columns.
    """
    weight, inputs = check_finite(weight, "weights"), check_finite(inputs, "inputs")
    _check(weight, inputs, damping)
    qparams = fit_qparams(weight, bits, axis=None if group_size else 0, group_size=group_size)
    hessian = _hessian(inputs).to(weight.device)
    rounded = qparams.quantize(weight)
    corrected = _columns(weight.double(), _factor(hessian, damping), qparams)
    before, after = (_output_error(weight, integers, qparams, hessian) for integers in (rounded, corrected))
    integers = torch.where((after < before)[:, None], corrected, rounded)
    error = _root_mean(torch.minimum(after, before))
    return GPTQResult(qparams.dequantize(integers), integers, qparams, error, _root_mean(before))


def _hessian(inputs: Tensor) -> Float[Tensor, "in in"]:
    """X^T X / n in float64: how much a change of two weights of a row changes the mean squared output."""
    rows = inputs.reshape(-1, inputs.shape[-1])
    total = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64, device=rows.device)
    for part in rows.split(_ROWS):
        total += part.double().T @ part.double()
    return total / len(rows)


def _factor(hessian: Tensor, damping: float) -> Float[Tensor, "in in"]:
    """The upper Cholesky factor of the inverse Hessian.

    Its row j holds what the elimination of columns 0 to j-1 leaves of row j of the inverse, over the square root of
    its diagonal: all that the corrections need, found at once and without the noise of repeated elimination.
    """
    diagonal = hessian.diagonal()
    damped = hessian + torch.diag(
        damping * diagonal.mean() + (diagonal == 0).double()
    )  # a column without inputs gets 1
    lower, failed = torch.linalg.cholesky_ex(damped)
    if not failed:
        upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
    if failed or not bool(torch.isfinite(upper).all()):
        raise BadInput(f"the inputs do not span all columns (damping is {damping})", "give more inputs, or 0.01")
    factor: Tensor = upper
    return factor


def _columns(weight: Float[Tensor, "out in"], factor: Tensor, qparams: QuantParams) -> Int8[Tensor, "out in"]:
    """The integers, column by column; `weight` is overwritten."""
    integers = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    for j in range(weight.shape[1]):
        column = _column(qparams, j)
        integers[:, j, None] = column.quantize(weight[:, j, None])
        error = (weight[:, j, None] - column.dequantize(integers[:, j, None])) / factor[j, j]
        weight[:, j + 1 :] -= error * factor[j, j + 1 :]
    return integers


def _column(qparams: QuantParams, j: int) -> QuantParams:
    """The parameters of one column (out, 1)."""
    group = 0 if qparams.group_size is None else j // qparams.group_size
    scale, zero_point = qparams.scale[:, group, None], qparams.zero_point[:, group, None]
    return QuantParams(scale, zero_point, qparams.bits, qparams.symmetric, narrow_range=qparams.narrow_range)


def _output_error(weight: Tensor, integers: Tensor, qparams: QuantParams, hessian: Tensor) -> Float[Tensor, "out"]:
    """Mean squared error of each output."""
    difference = weight.double() - qparams.dequantize(integers).double()
    return ((difference @ hessian) * difference).sum(1).clamp(min=0)


def _root_mean(squares: Tensor) -> float:
    return math.sqrt(squares.mean().item())


def _check(weight: Tensor, inputs: Tensor, damping: float) -> None:
    if weight.ndim != 2 or inputs.ndim < 2 or inputs.shape[-1] != weight.shape[1]:
        shapes = f"weight has shape {tuple(weight.shape)}, inputs {tuple(inputs.shape)}"
        raise BadInput(shapes, "give (out, in) and (n, in)")
    if not 0 <= damping < math.inf:
        raise BadInput(f"damping is {damping!r}", "use a number from 0 on, such as 0.01")
