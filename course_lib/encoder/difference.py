"""Small differences between the weights of two BERT models: few bits for each weight.

Fine-tuning changes each weight a little, so few bits are enough for the difference (BitDelta, Liu et al. 2024,
arXiv:2402.10193, uses one). Here a matrix has two bits for each weight and one scale for each group of `GROUP` weights
of a row. Of the table of words only some rows are stored, with one bit for each weight. Biases, layer norms, pooler and
head are stored in half precision, pooler and head as they are.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

FILE = "difference.safetensors"
GROUP = 384  # weights that share a scale
MATRIX_BITS, WORD_BITS = 2, 1
WORDS, POSITIONS = "bert.embeddings.word_embeddings.weight", "bert.embeddings.position_embeddings.weight"
WHOLE = ("bert.pooler", "classifier")  # stored as they are, not as a difference
_LEVELS = {1: (-1.0, 1.0), 2: (-1.5, -0.5, 0.5, 1.5)}  # in units of the scale


def quantized(
    groups: Float[Tensor, "groups size"], bits: int
) -> tuple[Float[Tensor, "groups"], UInt8[Tensor, "groups size"]]:
    """Scales and codes whose levels are nearest to the weights, the best of some scales for each group.

    Args:
        groups: each row gets one scale.
        bits: 1 or 2; the levels are -1 and 1, or -1.5, -0.5, 0.5 and 1.5 times the scale.
    """
    levels = torch.tensor(_LEVELS[bits])
    if bits == 1:  # the mean size is the best scale for signs
        return groups.abs().mean(1), (groups >= 0).to(torch.uint8)
    spread = groups.square().mean(1).sqrt()
    best = torch.full_like(spread, float("inf"))
    scales, codes = torch.zeros_like(spread), torch.zeros_like(groups, dtype=torch.uint8)
    for factor in np.linspace(0.5, 1.5, 21):
        scale = (spread * factor).clamp_min(1e-12)
        code = (groups / scale[:, None] - levels[0]).round().clamp(0, len(levels) - 1)
        error = (levels[code.long()] * scale[:, None] - groups).square().sum(1)
        better = error < best
        best = torch.where(better, error, best)
        scales = torch.where(better, scale, scales)
        codes = torch.where(better[:, None], code.to(torch.uint8), codes)
    return scales, codes


def packed(codes: UInt8[Tensor, "groups size"], bits: int) -> UInt8[Tensor, "bytes"]:
    """Codes in as few bytes as they need, the first one in the lowest bits."""
    apart = codes.reshape(-1, 8 // bits).int()
    whole: Tensor = (apart << torch.arange(0, 8, bits)).sum(1)
    return whole.to(torch.uint8)


def unpacked(stored: UInt8[Tensor, "bytes"], bits: int) -> UInt8[Tensor, "codes"]:
    """What `packed` was given, in one row."""
    apart: Tensor = (stored.int()[:, None] >> torch.arange(0, 8, bits)) & (2**bits - 1)
    return apart.to(torch.uint8).flatten()


@torch.no_grad()
def add_difference(weights: dict[str, Tensor], stored: dict[str, Tensor]) -> None:
    """Adds a stored difference to the weights of the model that it was taken from, in place.

    Args:
        weights: by the names of transformers' `BertForSequenceClassification`.
        stored: what `save_difference` has written.

    Raises:
        KeyError, RuntimeError: tensors are missing, or do not fit.
    """
    for name, weight in weights.items():
        if name in stored:
            weight.copy_(stored[name] if name.startswith(WHOLE) else weight + stored[name])
            continue
        rows = stored.get(f"{name}.rows")
        bits = WORD_BITS if name == WORDS else MATRIX_BITS
        difference = _restored(stored[f"{name}.codes"], stored[f"{name}.scales"], bits)
        if rows is None:
            weight += difference.reshape(weight.shape)
        else:
            weight[rows] += difference.reshape(len(rows), -1)


def _restored(codes: Tensor, scales: Tensor, bits: int) -> Float[Tensor, "groups size"]:
    # All codes of a byte are looked up at once, which takes a third of the time of one by one.
    every_byte = unpacked(torch.arange(256, dtype=torch.uint8), bits).long()
    table = torch.tensor(_LEVELS[bits])[every_byte].reshape(256, -1)
    return F.embedding(codes.int(), table).reshape(-1, GROUP).mul_(scales.float()[:, None])
