"""A matrix as the product of two thin ones: W (out, inputs) by A (out, rank) @ B (rank, inputs).

The factors hold rank * (out + inputs) numbers and take as many multiplications per token. They save both only if the
rank is below out * inputs / (out + inputs): for a square matrix, below half of its width.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.classifier import TextClassifier
from course_lib.compression.linear_layers import LINEAR_LAYERS, check_integer, linear_layers
from course_lib.errors import BadInput


def low_rank_factors(
    weight: Float[Tensor, "out inputs"], rank: int
) -> tuple[Float[Tensor, "out rank"], Float[Tensor, "rank inputs"]]:
    """The two factors whose product is nearest to a matrix: its singular value decomposition, cut after `rank`.

    The squared error is the sum of the squares of the singular values that were cut off. No other product of this rank
    has a smaller one (Eckart and Young 1936).

    Raises:
        BadInput: no matrix, values that are not finite, or a rank below 1 or above the smaller side.
    """
    if weight.ndim != 2 or not weight.isfinite().all():
        raise BadInput(f"weight of shape {tuple(weight.shape)} is not a finite matrix", "give a matrix (out, inputs)")
    rank = check_integer(rank, "rank", 1, min(weight.shape))
    left, values, right = torch.linalg.svd(weight.detach().double(), full_matrices=False)
    right = values[:rank, None] * right[:rank]
    return left[:, :rank].to(weight.dtype).contiguous(), right.to(weight.dtype).contiguous()


def factorize_layers(
    classifier: TextClassifier, fraction: float, names: Collection[str] = tuple(LINEAR_LAYERS)
) -> TextClassifier:
    """A classifier whose matrices are products of thin ones, multiplied out again: it predicts as the factors would.

    The shapes do not change, so it saves nothing itself: a plain BERT folder has no place for factors.

    Args:
        fraction: numbers in the factors over numbers in the matrix, for each matrix.
        names: of linear layers (`LINEAR_LAYERS`).

    Raises:
        BadInput: as `linear_layers`, a fraction that is not positive, or one too small for rank 1.
    """
    if not isinstance(fraction, Real) or not 0 < float(fraction) < float("inf"):
        raise BadInput(f"fraction is {fraction!r}", "use a number above 0, such as 0.5")
    copied = copy.deepcopy(classifier)
    with torch.no_grad():
        for linear in linear_layers(copied, names).values():
            left, right = low_rank_factors(linear.weight, _rank(linear.weight.shape, float(fraction)))
            linear.weight.copy_(left @ right)
    return copied


def _rank(shape: torch.Size, fraction: float) -> int:
    """The largest rank whose two factors hold at most this fraction of the matrix's numbers."""
    rank = int(fraction * shape.numel() / sum(shape) + 1e-9)  # rounding may put a whole number just below itself
    if rank < 1:
        raise BadInput(f"fraction is {fraction}", f"rank 1 takes {sum(shape)} of {shape.numel()} numbers")
    return min(rank, int(shape[0]), int(shape[1]))
