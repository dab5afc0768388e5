"""Uniform quantisation by hand: real numbers are moved to evenly spaced ones, and each is kept as a small integer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from numbers import Integral
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int8
from torch import Tensor

from course_lib.errors import BadInput

BITS = (2, 8)  # the fewest and the most: an integer is stored in an int8
_TINY = torch.finfo(torch.float32).tiny
_METHODS = ("minmax", "mse")
_FRACTIONS = [1 - 0.02 * step for step in range(1, 46)]  # of the widest range, 0.98 down to 0.1, tried by `mse`


@dataclass(frozen=True, eq=False)
class QuantParams:
    """Scale and zero point: the numbers scale * (integer - zero_point) (Jacob et al. 2018, arXiv:1712.05877, eq. 1).

    Zero is always represented exactly. A value is rounded to the nearest of these numbers, ties to the even integer
    as in `torch.round`, IEEE 754 and ONNX; a value outside the range is clipped to its end.

    Args:
        scale: the distance between neighbours, float32: a single number (); one per channel, with 1 for the size of
            the other dimensions; or one per group (..., groups).
        zero_point: the integer that represents 0: int32, of the scale's shape.
        symmetric: the range of integers is symmetric around a zero point of 0.
        group_size: so many neighbours along the last dimension share a scale; the last group may be shorter.
        narrow_range: symmetric integers begin at -(2^(bits-1) - 1), not at -2^(bits-1). Affine ones use all integers.

    Raises:
        BadInput: bits or group_size out of range, scales that are not positive, finite and normal (not below
            1.2e-38), or zero points of another shape.
    """

    scale: Float[Tensor, "*shape"]
    zero_point: Int[Tensor, "*shape"]
    bits: int = 8
    symmetric: bool = True
    group_size: int | None = None
    narrow_range: bool = True

    def __post_init__(self) -> None:
        _check_sizes(self.bits, self.group_size)
        if self.zero_point.shape != self.scale.shape:
            shapes = f"{tuple(self.zero_point.shape)}, scales of shape {tuple(self.scale.shape)}"
            raise BadInput(f"zero points have shape {shapes}", "give one zero point per scale")
        if not bool((torch.isfinite(self.scale) & (self.scale >= _TINY)).all()):
            raise BadInput("a scale is infinite, NaN, or not a normal number above 0", "compute it with fit_qparams")

    @property
    def low(self) -> int:
        """The lowest integer."""
        return _integer_range(self.bits, self.symmetric, self.narrow_range)[0]

    @property
    def high(self) -> int:
        """The highest integer."""
        return _integer_range(self.bits, self.symmetric, self.narrow_range)[1]

    def quantize(self, values: Float[Tensor, "*shape"]) -> Int8[Tensor, "*shape"]:
        """The integers of values, as int8 for any number of bits.

        Raises:
            BadInput: values that are not finite, or of a shape that the scales do not fit.
        """
        values = check_finite(values)
        self._check_fit(values)
        return self._steps(values).clamp(self.low, self.high).to(torch.int8)

    def dequantize(self, integers: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The real numbers of integers, float32.

        Raises:
            BadInput: integers of a shape that the scales do not fit.
        """
        self._check_fit(integers)
        return (integers.float() - self._expand(self.zero_point, integers)) * self._expand(self.scale, integers)

    def _steps(self, values: Tensor) -> Tensor:
        """The integers, in float32, before clipping."""
        return (values / self._expand(self.scale, values)).round() + self._expand(self.zero_point, values)

    def _expand(self, shared: Tensor, values: Tensor) -> Tensor:
        """Scales or zero points in a shape that broadcasts with the values."""
        if self.group_size is None or shared.shape[-1] == 1:
            return shared
        return shared.repeat_interleave(self.group_size, dim=-1)[..., : values.shape[-1]]

    def _check_fit(self, values: Tensor) -> None:
        shape, scales = tuple(values.shape), tuple(self.scale.shape)
        if self.group_size is None:
            fit = len(scales) <= len(shape) and all(
                mine in (1, theirs) for mine, theirs in zip(scales[::-1], shape[::-1], strict=False)
            )
        else:
            fit = bool(shape) and scales == (*shape[:-1], math.ceil(shape[-1] / self.group_size))
        if not fit:
            raise BadInput(
                f"values of shape {shape} do not fit scales of shape {scales}", "fit the scales to these values"
            )


def fit_qparams(
    values: Float[Tensor, "*shape"],
    bits: int = 8,
    symmetric: bool = True,
    axis: int | None = None,
    group_size: int | None = None,
    method: str = "minmax",
    narrow_range: bool = True,
) -> QuantParams:
    """Scales and zero points that suit values: one scale for all of them, for each channel or for each group.

    Args:
        values: any shape, at least one, all finite.
        symmetric: puts the integer 0 at 0. Affine parameters (False) use the range of one-sided values fully.
        axis: one scale for each index along it: 0 gives each output row of a weight (out, in) its own scale.
        group_size: one scale for so many consecutive values along the last dimension.
        method: `minmax` covers the range from the smallest to the largest value; `mse` clips the range so that the
            squared error is smallest, among 46 ranges from the whole one down to a tenth of it. Its error is never
            larger than that of `minmax`.
        narrow_range: for symmetric integers; see `QuantParams`. True gives scale max|x| / 127 with 8 bits, as ONNX
            Runtime's int8; False gives max|x| / 127.5, as torchao and ONNX Runtime's int4 (max|x| / 7.5). In both
            cases no value inside the range moves by more than half a step.

    Raises:
        BadInput: no value, values that are not finite, an impossible bits, axis, group_size or method.
    """
    values = check_finite(values)
    _check_sizes(bits, group_size)
    _check_layout(values, axis, group_size, method)
    grouped, shape = _grouped(values, axis, group_size)
    smallest, largest = grouped.amin(-1).reshape(shape), grouped.amax(-1).reshape(shape)
    best = qparams_of_range(smallest, largest, bits, symmetric, group_size, narrow_range)
    if method == "minmax":
        return best
    least = _squared_error(values, best, axis)
    for fraction in _FRACTIONS:
        clipped = qparams_of_range(fraction * smallest, fraction * largest, bits, symmetric, group_size, narrow_range)
        squares = _squared_error(values, clipped, axis)
        # The zero point depends only on the ratio of the ends, so it does not change.
        best = replace(best, scale=torch.where(squares < least, clipped.scale, best.scale))
        least = torch.minimum(squares, least)
    return best


def qparams_of_range(
    smallest: Float[Tensor, "*shape"],
    largest: Float[Tensor, "*shape"],
    bits: int = 8,
    symmetric: bool = True,
    group_size: int | None = None,
    narrow_range: bool = True,
) -> QuantParams:
    """The parameters for given ranges, each widened to contain 0; for the other arguments see `fit_qparams`.

    Scales are computed in float64 and rounded once. A range too small for a normal float32 scale, such as that of
    zeros only, gets scale 1, as in ONNX Runtime.

    Raises:
        BadInput: bits or group_size out of range, or a range that is not finite or ends before it begins.
    """
    _check_sizes(bits, group_size)
    smallest, largest = check_finite(smallest), check_finite(largest)
    if smallest.shape != largest.shape or bool((smallest > largest).any()):
        raise BadInput("a range ends before it begins", "give the smallest values first, then the largest")
    low, high = _integer_range(bits, symmetric, narrow_range)
    bottom, top = smallest.double().clamp(max=0), largest.double().clamp(min=0)
    if symmetric:
        top = torch.maximum(-bottom, top)
        bottom = -top
    scale = (top - bottom) / torch.full_like(top, high - low)  # by a tensor: CUDA multiplies by 1 / a Python number
    usable = scale >= _TINY
    zero = torch.zeros_like(scale) if symmetric else (low - bottom / scale).round().clamp(low, high)
    scale, zero = torch.where(usable, scale, 1.0).float(), torch.where(usable, zero, 0.0).to(torch.int32)
    return QuantParams(scale, zero, bits, symmetric, group_size, narrow_range)


def fake_quantize(values: Float[Tensor, "*shape"], qparams: QuantParams) -> Float[Tensor, "*shape"]:
    """Quantises and dequantises values, with a gradient: 1 inside the range, 0 where a value was clipped.

    The gradient of rounding is 0 almost everywhere; the straight-through estimator passes the gradient through
    unchanged (Bengio et al. 2013, arXiv:1308.3432). The scales get no gradient.

    Returns:
        of the values' own dtype.

    Raises:
        BadInput: values of a shape that the scales do not fit. A NaN stays NaN, so that training can notice it.
    """
    qparams._check_fit(values)
    steps = qparams._steps(values.detach().float())
    inside = (steps >= qparams.low) & (steps <= qparams.high)
    quantized = qparams.dequantize(steps.clamp(qparams.low, qparams.high)).to(values.dtype)
    return quantized + (values - values.detach()) * inside  # adds exactly 0, and the gradient


class QuantizationError(NamedTuple):
    """How far quantised values are from the true ones."""

    max_abs: float  # in units of the values
    mean_abs: float  # in units of the values
    sqnr_db: float  # 10 log10(sum x^2 / sum (x - q)^2), decibel; infinite where nothing was lost


def quantization_error(values: Float[Tensor, "*shape"], qparams: QuantParams) -> QuantizationError:
    """Compares values with their quantised form.

    Raises:
        BadInput: no value, values that are not finite, or of a shape that the scales do not fit.
    """
    values = check_finite(values)
    difference = values.double() - qparams.dequantize(qparams.quantize(values)).double()
    signal, noise = values.double().square().sum().item(), difference.square().sum().item()
    decibel = math.inf if noise == 0 else 10 * math.log10(signal / noise) if signal else -math.inf
    return QuantizationError(difference.abs().max().item(), difference.abs().mean().item(), decibel)


def check_finite(values: Float[Tensor, "*shape"], name: str = "values") -> Float[Tensor, "*shape"]:
    """The values in float32, without their gradient.

    Raises:
        BadInput: not a tensor of floating-point numbers, an empty one, or one that is not finite in float32.
    """
    if not isinstance(values, Tensor) or not values.is_floating_point():
        kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise BadInput(f"{name} are {kind}", "give a tensor of floating-point numbers")
    values = values.detach().float()
    if not values.numel():
        raise BadInput(f"{name} have shape {tuple(values.shape)}", "give at least one number")
    if not bool(torch.isfinite(values).all()):
        raise BadInput(f"{name} hold an infinity or a NaN (in float32)", "look for the step that produced it")
    return values


def _integer_range(bits: int, symmetric: bool, narrow_range: bool) -> tuple[int, int]:
    high: int = 2 ** (bits - 1) - 1
    return (-high if symmetric and narrow_range else -high - 1), high


def _grouped(values: Tensor, axis: int | None, group_size: int | None) -> tuple[Tensor, tuple[int, ...]]:
    """The values with those that share a scale along the last dimension, and the shape of the scales.

    A shorter last group is padded with zeros: they change neither a range that contains 0 nor a sum of errors.
    """
    if group_size is not None:
        width = min(group_size, values.shape[-1])
        parts = F.pad(values, (0, -values.shape[-1] % width)).unflatten(-1, (-1, width))
        return parts, tuple(parts.shape[:-1])
    if axis is None:
        return values.reshape(1, -1), ()
    shape = [1] * values.ndim
    shape[axis] = values.shape[axis]
    return values.movedim(axis, 0).reshape(values.shape[axis], -1), tuple(shape)


def _squared_error(values: Tensor, qparams: QuantParams, axis: int | None) -> Float[Tensor, "*scales"]:
    quantized = qparams.dequantize(qparams._steps(values).clamp(qparams.low, qparams.high))
    squares, shape = _grouped((values.double() - quantized).square(), axis, qparams.group_size)
    return squares.sum(-1).reshape(shape)


def _check_sizes(bits: int, group_size: int | None) -> None:
    if not isinstance(bits, Integral) or not BITS[0] <= bits <= BITS[1]:
        raise BadInput(f"bits is {bits!r}", f"use a whole number from {BITS[0]} to {BITS[1]}")
    if group_size is not None and (not isinstance(group_size, Integral) or group_size < 1):
        raise BadInput(f"group_size is {group_size!r}", "use a whole number from 1 on, or None")


def _check_layout(values: Tensor, axis: int | None, group_size: int | None, method: str) -> None:
    if method not in _METHODS:
        raise BadInput(f"method is {method!r}", f"use one of {', '.join(_METHODS)}")
    if axis is not None and group_size is not None:
        raise BadInput("axis and group_size are both given", "give group_size alone: its scales are per row anyway")
    if axis is not None and not (isinstance(axis, Integral) and -values.ndim <= axis < values.ndim):
        raise BadInput(f"axis is {axis!r}", f"values have {values.ndim} dimensions; count from 0")
    if group_size is not None and values.ndim == 0:
        raise BadInput("a single number has no groups", "leave group_size out")
