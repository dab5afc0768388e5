"""How much of what this machine can multiply a forward pass uses: counted operations over the measured peak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .clock import now

_SIZE = {"cpu": 2048, "cuda": 8192}


def peak(where: torch.device, dtype: torch.dtype, size: int | None = None, repeats: int = 4) -> float:
    """FLOP/s of a product of two square matrices, the best of `repeats`. A multiply-add counts as two."""
    size = size or _SIZE[where.type]
    left, right = (torch.randn(size, size, device=where, dtype=dtype) for _ in range(2))
    left @ right  # the first product also sets the library up

    def seconds() -> float:
        started = now()
        left @ right
        return now() - started

    return 2 * size**3 / min(seconds() for _ in range(repeats))


def counted_flops(work: Callable[[], object]) -> int:
    """Floating-point operations of all matrix products in `work`, padding included.

    Attention is taken apart for it: the counter does not know the CPU's fused kernel, which multiplies the same.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


@dataclass(frozen=True)
class Share:
    """What `share_of_peak` measured: the medians over its rounds."""

    share: float
    gflops: float  # of the work
    peak_gflops: float
    seconds: float


def share_of_peak(work: Callable[[], object], where: torch.device, dtype: torch.dtype, rounds: int = 5) -> Share:
    """Share of the peak that `work` reaches; each round's peak is the better of those just before and after it."""
    flops = counted_flops(work)
    work()
    peaks, seconds = [peak(where, dtype)], []
    for _ in range(rounds):
        started = now()
        work()
        seconds.append(now() - started)
        peaks.append(peak(where, dtype))
    tops = [max(before, after) for before, after in pairwise(peaks)]
    shares = [flops / took / top for took, top in zip(seconds, tops, strict=True)]
    return Share(median(shares), flops / median(seconds) / 1e9, median(tops) / 1e9, median(seconds))
