"""Activations as integers: ranges found beforehand (static) or for every token (dynamic), and the int8 product."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int8, Int32
from torch import Tensor

from course_lib.compression.uniform import Grid, finite, grid_between, grid_of
from course_lib.errors import BadInput

_METHODS = ("minmax", "percentile")
_EXACT = 1024  # products of two int8 whose sum float32 still holds exactly: 1024 * 128 * 128 = 2^24
_MOST = 2**17  # and int32: as many products may reach 2^31


class Observer:
    """Watches the activations of some batches and gives the grid that later ones are put on (static calibration).

    Args:
        method: `minmax` keeps the smallest and the largest value; `percentile` leaves out the outermost ones, so that a
            few outliers do not make every step wide.
        percentile: of the values, the share in percent that stays inside, half of the rest cut off at either end.
        kept: values that `percentile` remembers: all up to so many, beyond that a uniform random sample.
        seed: of that sample.

    Raises:
        BadInput: an unknown method, a percentile outside ]0, 100], or `kept` outside 1 to 2^24.
    """

    def __init__(self, method: str = "minmax", percentile: float = 99.99, kept: int = 1_000_000, seed: int = 0) -> None:
        if method not in _METHODS:
            raise BadInput(f"method is {method!r}", f"use one of {', '.join(_METHODS)}")
        if not 0 < percentile <= 100:
            raise BadInput(f"percentile is {percentile!r}", "use a number above 0, up to 100, such as 99.99")
        if not isinstance(kept, int) or not 1 <= kept <= 2**24:
            raise BadInput(f"kept is {kept!r}", "use a whole number from 1 to 2**24")
        self.method, self.percentile, self.kept = method, percentile, kept
        self.seen = 0  # values, over all batches
        self._values = torch.empty(0)
        self._keys = torch.empty(0, dtype=torch.float64)
        self._generator = torch.Generator().manual_seed(seed)

    def observe(self, values: Float[Tensor, "*shape"]) -> None:
        """Takes the activations of one batch into account.

        Raises:
            BadInput: no value, or values that are not finite.
        """
        values = finite(values, "activations").flatten()
        self.seen += len(values)
        values = torch.cat([self._values.to(values.device), values])
        if self.method == "minmax":
            self._values = torch.stack([values.amin(), values.amax()])
        else:
            self._values = self._sample(values)

    def _sample(self, values: Tensor) -> Tensor:
        """Those with the largest random keys: a uniform sample of all that ever came, in one pass over them."""
        new = torch.rand(len(values) - len(self._keys), generator=self._generator, dtype=torch.float64)
        self._keys = torch.cat([self._keys, new])
        if len(values) > self.kept:
            self._keys, chosen = self._keys.topk(self.kept)
            values = values[chosen.to(values.device)]
        return values

    @property
    def range(self) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The smallest and the largest value to be told apart.

        Raises:
            BadInput: no batch was observed.
        """
        if not self.seen:
            raise BadInput("the observer has seen no batch", "call observe on a few batches first")
        if self.method == "minmax":
            return self._values[0], self._values[1]
        cut = (1 - self.percentile / 100) / 2
        ends = torch.tensor([cut, 1 - cut], dtype=self._values.dtype, device=self._values.device)
        low, high = self._values.quantile(ends)
        return low, high

    def grid(self, bits: int = 8, symmetric: bool = False, full: bool = False) -> Grid:
        """One scale for all activations; affine unless asked otherwise, since they are seldom centred on 0.

        Raises:
            BadInput: no batch was observed, or bits out of range.
        """
        return grid_between(*self.range, bits, symmetric, full=full)


def token_grid(x: Float[Tensor, "*batch hidden"], bits: int = 8, symmetric: bool = True) -> Grid:
    """One scale for each token, found from the token itself (dynamic; Yao et al. 2022, arXiv:2206.01861).

    Nothing is calibrated, and an outlier in one token does not make the steps of another wide.

    Returns:
        A grid whose scales have shape (*batch, 1).

    Raises:
        BadInput: no value, values that are not finite, a single number, or bits out of range.
    """
    x = finite(x, "activations")
    return grid_of(x, bits, symmetric, group=x.shape[-1] if x.ndim else 1)


def int8_linear(
    x: Float[Tensor, "*batch in"],
    weight_int8: Int8[Tensor, "out in"],
    weight_scale: Float[Tensor, "out"] | Float[Tensor, "out 1"] | Float[Tensor, ""],
    bias: Float[Tensor, "out"] | None = None,
    grid: Grid | None = None,
) -> Float[Tensor, "*batch out"]:
    """x W^T + b with the product in integers: int8 times int8, summed exactly in int32, scaled once at the end.

    Scales can be taken out of the sum as long as they do not change along `in`, so no groups here. An affine grid adds
    zero_point * (sum of a weight row) to the sum, which is taken off again (Jacob et al. 2018, arXiv:1712.05877,
    section 2.3).

    Args:
        weight_int8: from a symmetric grid, whose scale is `weight_scale`.
        grid: of the activations, calibrated (`Observer.grid`); one scale a token, found now, when left out.

    Returns:
        float32.

    Raises:
        BadInput: shapes that do not fit, a weight that is not int8, activations that are not finite, or a grid with
            groups.
    """
    x = finite(x, "activations")
    _check_product(x, weight_int8, weight_scale, bias)
    if grid is None:
        grid = token_grid(x)
    elif grid.scale.ndim:
        raise BadInput(f"the grid has scales of shape {tuple(grid.scale.shape)}", "give one scale for all activations")
    tokens = grid.quantize(x)
    sums = integer_product(tokens.flatten(0, -2) if x.ndim > 1 else tokens[None], weight_int8)
    sums = sums.reshape(*x.shape[:-1], len(weight_int8))
    if not grid.symmetric:
        sums = sums - grid.zero_point * weight_int8.sum(1, dtype=torch.int32)
    output = sums.float() * grid.scale * weight_scale.flatten()
    return output if bias is None else output + bias


def integer_product(a: Int8[Tensor, "m k"], b: Int8[Tensor, "n k"]) -> Int32[Tensor, "m n"]:
    """a b^T, exactly, by the fastest way that this device has.

    A CPU that multiplies int8 (VNNI) and a CUDA card do so. Elsewhere slices of 1024 columns go through float32, whose
    24 bits hold every partial sum exactly.

    Raises:
        BadInput: so many columns that a sum could leave int32.
    """
    if a.shape[1] >= _MOST:
        raise BadInput(f"{a.shape[1]} products in a sum may overflow an int32", f"use fewer than {_MOST}")
    if a.is_cuda:
        # cuBLAS wants more than 16 rows, and multiples of 8: zeros change no sum.
        k, m, n = -a.shape[1] % 8, max(-len(a) % 8, 24 - len(a)), -len(b) % 8
        return torch._int_mm(F.pad(a, (0, k, 0, m)), F.pad(b, (0, k, 0, n)).T)[: len(a), : len(b)]
    if _multiplies_int8():
        return torch._int_mm(a, b.T)
    slices = zip(a.split(_EXACT, 1), b.split(_EXACT, 1), strict=True)
    return torch.stack([(x.float() @ y.float().T).to(torch.int32) for x, y in slices]).sum(0, dtype=torch.int32)


@lru_cache(maxsize=1)
def _multiplies_int8() -> bool:
    """Whether the CPU has AVX512-VNNI; without it `torch._int_mm` is a plain loop (an older torch may not tell)."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_vnni", False))


def _check_product(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> None:
    if weight.dtype != torch.int8 or weight.ndim != 2:
        met = f"{weight.dtype} of shape {tuple(weight.shape)}"
        raise BadInput(f"the weight is {met}", "give a matrix (out, in) from Grid.quantize")
    if not x.ndim or x.shape[-1] != weight.shape[1]:
        raise BadInput(f"x has shape {tuple(x.shape)}, the weight {tuple(weight.shape)}", "their last sizes must agree")
    if tuple(scale.shape) not in ((), (1,), (1, 1), (len(weight),), (len(weight), 1)):
        raise BadInput(f"weight_scale has shape {tuple(scale.shape)}", "give one scale, or one an output row")
    if bias is not None and tuple(bias.shape) != (len(weight),):
        raise BadInput(f"the bias has shape {tuple(bias.shape)}", f"give {len(weight)} numbers")
