"""Rows of different lengths without padding: their tokens follow one another, and no row sees another.

Every part of an encoder but attention treats a token by itself, so it needs no rows at all. Attention gets told where
they begin, in one of three ways with the same result:

* `block_mask`: one large table, False between rows. The plainest; its size grows with the square of all tokens.
* `by_rows`: neighbouring rows of one length make a batch. Linear in the tokens; runs anywhere.
* `by_varlen`: torch's kernel for rows of any length, in half precision on a GPU.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, groupby
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.encoder.attention import attention_fast
from course_lib.errors import BadInput


@dataclass(frozen=True)
class Packing:
    """Where the rows of a packed batch are. Make it once where the same lengths occur again: see `packing`.

    Attributes:
        lengths: tokens of each row.
        positions: of each token in its own row: 0, 1, 2, 0, 1, ...
        boundaries: where each row begins, and where the last one ends.
    """

    lengths: tuple[int, ...]
    positions: Int[Tensor, "tokens"]
    boundaries: Int[Tensor, "rows+1"]

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return sum(self.lengths)


def packing(lengths: Sequence[int], device: torch.device | None = None) -> Packing:
    """Where rows of these lengths are when they are packed.

    Raises:
        BadInput: no row, or one without a token.
    """
    sizes = tuple(int(length) for length in lengths)
    if not sizes or min(sizes) < 1:
        raise BadInput(f"rows of {list(sizes)[:10]} tokens", "pack at least one row, each of at least one token")
    positions = torch.cat([torch.arange(length) for length in sizes])
    boundaries = torch.tensor([0, *accumulate(sizes)], dtype=torch.int32)  # int32: what the kernel of a GPU reads
    return Packing(sizes, positions.to(device), boundaries.to(device))


def block_mask(lengths: Sequence[int], device: torch.device | None = None) -> Bool[Tensor, "tokens tokens"]:
    """True where two tokens are in the same row: blocks along the diagonal."""
    sizes = torch.tensor(list(lengths), device=device)
    row = torch.arange(len(sizes), device=device).repeat_interleave(sizes)
    return row[:, None] == row


def by_rows(
    query: Float[Tensor, "heads tokens size"],
    key: Float[Tensor, "heads tokens size"],
    value: Float[Tensor, "heads tokens size"],
    *,
    packed: Packing,
    causal: bool = False,
    dropout: float = 0.0,
) -> Float[Tensor, "heads tokens size"]:
    """Attention inside each row; neighbours of one length go together."""
    mixed, start = [], 0
    for length, run in groupby(packed.lengths):
        rows = len(list(run))
        part = slice(start, start + rows * length)
        parts = (states[:, part].unflatten(1, (rows, length)).transpose(0, 1) for states in (query, key, value))
        done = attention_fast(*parts, causal=causal, dropout=dropout)  # (rows, heads, length, size)
        mixed.append(done.transpose(1, 2).flatten(0, 1))  # (rows * length, heads, size)
        start = part.stop
    return torch.cat(mixed).transpose(0, 1)


def by_varlen(
    query: Float[Tensor, "heads tokens size"],
    key: Float[Tensor, "heads tokens size"],
    value: Float[Tensor, "heads tokens size"],
    *,
    packed: Packing,
    causal: bool = False,
) -> Float[Tensor, "heads tokens size"]:
    """The same by `torch.nn.attention.varlen`, on a GPU and in half precision."""
    kernel = varlen_kernel()
    assert kernel is not None, "varlen_fits said yes"
    bounds, longest = packed.boundaries, max(packed.lengths)
    if "window_size" in inspect.signature(kernel).parameters:
        ahead: dict[str, Any] = {"window_size": (-1, 0) if causal else (-1, -1)}
    else:  # before torch 2.11
        ahead = {"is_causal": causal}
    turned = (states.transpose(0, 1) for states in (query, key, value))  # (tokens, heads, size)
    mixed: Tensor = kernel(*turned, bounds, bounds, longest, longest, **ahead)
    return mixed.transpose(0, 1)


@lru_cache(maxsize=1)
def varlen_kernel() -> Any:
    """torch's attention for rows of any length, or None where this torch has none."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn


def varlen_fits(states: Tensor, dropout: float) -> bool:
    """Whether the kernel can take these states. On a GPU that could use it, a warning says why it cannot."""
    if states.device.type != "cuda":
        return False
    lacks = None
    if varlen_kernel() is None:
        lacks = f"torch {torch.__version__} has no torch.nn.attention.varlen"
    elif states.dtype not in (torch.float16, torch.bfloat16):
        lacks = f"it takes half precision, not {states.dtype}"
    elif dropout:
        lacks = f"it knows no dropout, which is {dropout}"
    elif torch.cuda.get_device_capability(states.device) < (8, 0):
        lacks = "this GPU is older than its kernels"
    if lacks:
        warnings.warn(
            f"packed rows run without the variable-length kernel, several times slower: {lacks}", stacklevel=2
        )
    return lacks is None
