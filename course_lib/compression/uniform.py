"""Uniform quantisation by hand: real numbers are moved to evenly spaced ones, and each is kept as a small integer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int8, UInt8
from torch import Tensor

from course_lib.errors import BadInput

BITS = (2, 8)  # the fewest and the most: an integer is stored in an int8
_TINY = torch.finfo(torch.float32).tiny
_RANGES = ("minmax", "mse")
_SHARES = [1 - 0.02 * step for step in range(1, 46)]  # of the widest range, 0.98 down to 0.1, tried by `mse`


@dataclass(frozen=True, eq=False)
class Grid:
    """The evenly spaced numbers scale * (integer - zero_point) (Jacob et al. 2018, arXiv:1712.05877, eq. 1).

    Zero is always one of them, exactly. A value goes to the nearest one, and from halfway to the even integer, as in
    `torch.round`, IEEE 754 and ONNX; what lies outside goes to the end of the grid.

    Args:
        scale: the distance of neighbours, float32: a single number (); one a channel, with 1 for the size of the other
            dimensions; or one a group (..., groups).
        zero_point: the integer that stands for 0: int32, of the scale's shape.
        bits: 2 to 8.
        symmetric: integers from -(2^(bits-1) - 1) to 2^(bits-1) - 1, as many below zero as above.
        group: so many neighbours along the last dimension share a scale; the last group may be shorter.
        full: lets a symmetric grid use its lowest integer, -2^(bits-1), too. An affine grid always does.
        reciprocal: multiplies by the rounded 1 / scale (torchao) in place of dividing by the scale (ONNX). The two
            part, by one step, where a rounding error decides a tie: for a few of a million values, and on a full grid
            for one in five of the most negative values, which lie on the tie of -2^(bits-1) and its neighbour.

    Raises:
        BadInput: bits or group out of range, scales that are not positive, finite and normal (not below 1.2e-38), or
            zero points of another shape.
    """

    scale: Float[Tensor, "*shape"]
    zero_point: Int[Tensor, "*shape"]
    bits: int = 8
    symmetric: bool = True
    group: int | None = None
    full: bool = False
    reciprocal: bool = False

    def __post_init__(self) -> None:
        _check_sizes(self.bits, self.group)
        if self.zero_point.shape != self.scale.shape:
            shapes = f"{tuple(self.zero_point.shape)}, scales of shape {tuple(self.scale.shape)}"
            raise BadInput(f"zero points have shape {shapes}", "give one zero point a scale")
        if not bool((torch.isfinite(self.scale) & (self.scale >= _TINY)).all()):
            raise BadInput("a scale is infinite, not a number, or not a normal number above 0", "find it by grid_of")

    @property
    def low(self) -> int:
        """The lowest integer."""
        return _ends(self.bits, self.symmetric, self.full)[0]

    @property
    def high(self) -> int:
        """The highest integer."""
        return _ends(self.bits, self.symmetric, self.full)[1]

    def quantize(self, values: Float[Tensor, "*shape"]) -> Int8[Tensor, "*shape"]:
        """The integers of the nearest grid points, whatever the bits in an int8.

        Raises:
            BadInput: values that are not finite, or of a shape that the scales do not fit.
        """
        values = finite(values)
        self._check_fit(values)
        return self._steps(values).clamp(self.low, self.high).to(torch.int8)

    def dequantize(self, integers: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The grid points of integers, float32.

        Raises:
            BadInput: integers of a shape that the scales do not fit.
        """
        self._check_fit(integers)
        return (integers.float() - self._each(self.zero_point, integers)) * self._each(self.scale, integers)

    def _steps(self, values: Tensor) -> Tensor:
        """The integers, in float32, before the ends of the grid cut them off."""
        scale = self._each(self.scale, values)
        scaled = values * (1 / scale) if self.reciprocal else values / scale
        return scaled.round() + self._each(self.zero_point, values)

    def _each(self, shared: Tensor, values: Tensor) -> Tensor:
        """Scales or zero points, laid out so that they meet their values."""
        if self.group is None or shared.shape[-1] == 1:
            return shared
        return shared.repeat_interleave(self.group, dim=-1)[..., : values.shape[-1]]

    def _check_fit(self, values: Tensor) -> None:
        shape, scales = tuple(values.shape), tuple(self.scale.shape)
        if self.group is None:
            fit = len(scales) <= len(shape) and all(
                mine in (1, theirs) for mine, theirs in zip(scales[::-1], shape[::-1], strict=False)
            )
        else:
            fit = bool(shape) and scales == (*shape[:-1], math.ceil(shape[-1] / self.group))
        if not fit:
            raise BadInput(
                f"values of shape {shape} do not fit scales of shape {scales}", "make a grid of these values"
            )


def grid_of(
    values: Float[Tensor, "*shape"],
    bits: int = 8,
    symmetric: bool = True,
    axis: int | None = None,
    group: int | None = None,
    range_: str = "minmax",
    full: bool = False,
) -> Grid:
    """The grid that suits values: one scale for all of them, for each channel or for each group.

    Args:
        values: any shape, at least one, all finite.
        bits: 2 to 8.
        symmetric: puts the integer 0 at 0. An affine grid (False) uses the range of one-sided values fully.
        axis: one scale for each index along it: 0 gives an output row of a weight (out, in) its own.
        group: one scale for so many consecutive values along the last dimension.
        range_: `minmax` reaches from the smallest to the largest value; `mse` clips as much as makes the squared
            error least, sought among 46 ranges from the whole one down to a tenth of it. It never loses to `minmax`.
        full: for symmetric grids; see `Grid`. False gives scale max|x| / 127 at 8 bits, as ONNX Runtime's int8; True
            gives max|x| / 127.5, as torchao and ONNX Runtime's int4 (max|x| / 7.5). Either way no value inside the
            range moves by more than half a step.

    Raises:
        BadInput: no value, values that are not finite, bits, axis, group or range out of what is possible.
    """
    values = finite(values)
    _check_sizes(bits, group)
    _check_layout(values, axis, group, range_)
    together, shape = _together(values, axis, group)
    smallest, largest = together.amin(-1).reshape(shape), together.amax(-1).reshape(shape)
    best = grid_between(smallest, largest, bits, symmetric, group, full)
    if range_ == "minmax":
        return best
    least = _squared_error(values, best, axis)
    for share in _SHARES:
        grid = grid_between(share * smallest, share * largest, bits, symmetric, group, full)
        lost = _squared_error(values, grid, axis)
        # The zero point depends on the ratio of the ends alone, and so stays.
        best = replace(best, scale=torch.where(lost < least, grid.scale, best.scale))
        least = torch.minimum(lost, least)
    return best


def grid_between(
    smallest: Float[Tensor, "*shape"],
    largest: Float[Tensor, "*shape"],
    bits: int = 8,
    symmetric: bool = True,
    group: int | None = None,
    full: bool = False,
) -> Grid:
    """The grid over given ranges, each widened to contain 0; see `grid_of` for the rest.

    Scales are found in float64 and rounded once. A range too small for a normal float32 scale, such as that of zeros
    only, gets scale 1, as in ONNX Runtime.

    Raises:
        BadInput: bits or group out of range, or a range that is not finite or ends before it begins.
    """
    _check_sizes(bits, group)
    smallest, largest = finite(smallest), finite(largest)
    if smallest.shape != largest.shape or bool((smallest > largest).any()):
        raise BadInput("a range ends before it begins", "give the smallest values first, then the largest")
    low, high = _ends(bits, symmetric, full)
    bottom, top = smallest.double().clamp(max=0), largest.double().clamp(min=0)
    if symmetric:
        top = torch.maximum(-bottom, top)
        bottom = -top
    scale = (top - bottom) / torch.full_like(top, high - low)  # by a tensor: CUDA multiplies by 1 / a Python number
    usable = scale >= _TINY
    zero = torch.zeros_like(scale) if symmetric else (low - bottom / scale).round().clamp(low, high)
    return Grid(
        torch.where(usable, scale, 1.0).float(),
        torch.where(usable, zero, 0.0).to(torch.int32),
        bits,
        symmetric,
        group,
        full,
    )


def fake_quantize(values: Float[Tensor, "*shape"], grid: Grid) -> Float[Tensor, "*shape"]:
    """The grid points of values, with a gradient: 1 inside the grid, 0 where a value was clipped.

    Rounding has slope 0 almost everywhere; the straight-through estimator passes the gradient as if it had not
    happened (Bengio et al. 2013, arXiv:1308.3432). The scales get no gradient.

    Returns:
        of the values' own dtype.

    Raises:
        BadInput: values of a shape that the scales do not fit. A NaN stays one, so that training can notice it.
    """
    grid._check_fit(values)
    steps = grid._steps(values.detach().float())
    inside = (steps >= grid.low) & (steps <= grid.high)
    points = grid.dequantize(steps.clamp(grid.low, grid.high)).to(values.dtype)
    return points + (values - values.detach()) * inside  # adds exactly 0, and the gradient


def pack_int4(integers: Int8[Tensor, "*shape"]) -> UInt8[Tensor, "bytes"]:
    """Integers from -8 to 7, two a byte: the first in the lower half, as in ONNX. An odd last half is 0.

    Raises:
        BadInput: a dtype other than int8, or an integer that has no room in 4 bits.
    """
    if integers.dtype != torch.int8:
        raise BadInput(f"integers are {integers.dtype}", "give what Grid.quantize returns")
    if integers.numel() and not -8 <= int(integers.min()) <= int(integers.max()) <= 7:
        raise BadInput(f"integers reach from {integers.min()} to {integers.max()}", "quantise to 4 bits or fewer")
    halves = F.pad(integers.flatten(), (0, integers.numel() % 2)).view(torch.uint8) & 0xF
    return halves[0::2] | (halves[1::2] << 4)


def unpack_int4(packed: UInt8[Tensor, "bytes"], shape: Sequence[int]) -> Int8[Tensor, "*shape"]:
    """What `pack_int4` packed, in its shape.

    Raises:
        BadInput: a dtype other than uint8, or a shape that needs another number of bytes.
    """
    n = math.prod(shape)
    if packed.dtype != torch.uint8 or packed.shape != ((n + 1) // 2,):
        met = f"{packed.dtype} of shape {tuple(packed.shape)}"
        raise BadInput(f"packed is {met}", f"give the {(n + 1) // 2} bytes (uint8) of shape {tuple(shape)}")
    halves = torch.stack([packed & 0xF, packed >> 4], dim=-1).flatten()[:n].to(torch.int8)
    return ((halves ^ 8) - 8).reshape(tuple(shape))  # 8..15 stand for -8..-1


def finite(values: Float[Tensor, "*shape"], what: str = "values") -> Float[Tensor, "*shape"]:
    """The values in float32, without their gradient.

    Raises:
        BadInput: no tensor of floating-point numbers, none in it, or one that is not finite in float32.
    """
    if not isinstance(values, Tensor) or not values.is_floating_point():
        kind = values.dtype if isinstance(values, Tensor) else type(values).__name__
        raise BadInput(f"{what} are {kind}", "give a tensor of floating-point numbers")
    values = values.detach().float()
    if not values.numel():
        raise BadInput(f"{what} have shape {tuple(values.shape)}", "give at least one number")
    if not bool(torch.isfinite(values).all()):
        raise BadInput(f"{what} hold an infinity or a NaN (in float32)", "look for the step that made it")
    return values


class Deviation(NamedTuple):
    """How far quantised values lie from the true ones."""

    max_abs: float  # in units of the values
    mean_abs: float  # in units of the values
    sqnr_db: float  # 10 log10(sum x^2 / sum (x - q)^2), decibel; infinite where nothing was lost


def error(values: Float[Tensor, "*shape"], grid: Grid) -> Deviation:
    """What the grid loses of values.

    Raises:
        BadInput: no value, values that are not finite, or of a shape that the scales do not fit.
    """
    values = finite(values)
    lost = values.double() - grid.dequantize(grid.quantize(values)).double()
    signal, noise = values.double().square().sum().item(), lost.square().sum().item()
    decibel = math.inf if noise == 0 else 10 * math.log10(signal / noise) if signal else -math.inf
    return Deviation(lost.abs().max().item(), lost.abs().mean().item(), decibel)


def _ends(bits: int, symmetric: bool, full: bool) -> tuple[int, int]:
    high: int = 2 ** (bits - 1) - 1
    return (-high if symmetric and not full else -high - 1), high


def _together(values: Tensor, axis: int | None, group: int | None) -> tuple[Tensor, tuple[int, ...]]:
    """The values with those that share a scale along the last dimension, and the shape of the scales.

    A shorter last group is filled up with zeros: they change neither a range that contains 0 nor a sum of errors.
    """
    if group is not None:
        width = min(group, values.shape[-1])
        parts = F.pad(values, (0, -values.shape[-1] % width)).unflatten(-1, (-1, width))
        return parts, tuple(parts.shape[:-1])
    if axis is None:
        return values.reshape(1, -1), ()
    shape = [1] * values.ndim
    shape[axis] = values.shape[axis]
    return values.movedim(axis, 0).reshape(values.shape[axis], -1), tuple(shape)


def _squared_error(values: Tensor, grid: Grid, axis: int | None) -> Float[Tensor, "*scales"]:
    points = grid.dequantize(grid._steps(values).clamp(grid.low, grid.high))
    lost, shape = _together((values.double() - points).square(), axis, grid.group)
    return lost.sum(-1).reshape(shape)


def _check_sizes(bits: int, group: int | None) -> None:
    if not isinstance(bits, Integral) or not BITS[0] <= bits <= BITS[1]:
        raise BadInput(f"bits is {bits!r}", f"use a whole number from {BITS[0]} to {BITS[1]}")
    if group is not None and (not isinstance(group, Integral) or group < 1):
        raise BadInput(f"group is {group!r}", "use a whole number from 1 on, or None")


def _check_layout(values: Tensor, axis: int | None, group: int | None, range_: str) -> None:
    if range_ not in _RANGES:
        raise BadInput(f"range_ is {range_!r}", f"use one of {', '.join(_RANGES)}")
    if axis is not None and group is not None:
        raise BadInput("axis and group are both given", "give group alone: its scales are a row's own anyway")
    if axis is not None and not (isinstance(axis, Integral) and -values.ndim <= axis < values.ndim):
        raise BadInput(f"axis is {axis!r}", f"values have {values.ndim} dimensions; count from 0")
    if group is not None and values.ndim == 0:
        raise BadInput("a single number has no groups", "leave group out")
