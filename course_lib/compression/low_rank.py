"""A matrix as the product of two thin ones: W (out, inputs) by A (out, rank) @ B (rank, inputs).

The factors hold rank * (out + inputs) numbers and take as many multiplications per token. They save both only if the
rank is below out * inputs / (out + inputs): for a square matrix, below half of its width.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.classifier import TextClassifier
from course_lib.compression.linear_layers import LINEAR_LAYERS, Place, check_integer, linear_layers, observe_inputs
from course_lib.errors import BadInput

_RIDGE = 1e-8  # of the mean square of an input: makes a singular covariance of inputs invertible

Factors = tuple[Float[Tensor, "out rank"], Float[Tensor, "rank inputs"]]


def low_rank_factors(
    weight: Float[Tensor, "out inputs"], rank: int, gram: Float[Tensor, "inputs inputs"] | None = None
) -> Factors:
    """The two factors that are nearest to a matrix, or to its outputs for inputs X with `gram` = X^T X.

    Without inputs they come from the singular value decomposition, cut after `rank`. Its squared error is the sum of
    the squares of the singular values cut off: no other product of this rank has less (Eckart and Young 1936). With
    inputs the error is that of the outputs, |X (W - A B)^T|: W S is decomposed instead, with S the Cholesky factor of
    X^T X, which whitens the inputs, and S is removed from B again (SVD-LLM, Wang et al. 2024, arXiv:2403.07378). On
    those inputs it is never worse than the plain one.

    Raises:
        BadInput: no matrix, values that are not finite, a rank below 1 or over the smaller side, or a gram of another
            shape.
    """
    if weight.ndim != 2 or not weight.isfinite().all():
        raise BadInput(f"weight of shape {tuple(weight.shape)} is not a finite matrix", "give a matrix (out, inputs)")
    rank = check_integer(rank, "rank", 1, min(weight.shape))
    dense = weight.detach().double()
    if gram is None:
        left, values, right = torch.linalg.svd(dense, full_matrices=False)
        right = values[:rank, None] * right[:rank]
    else:
        if gram.shape != (dense.shape[1],) * 2:
            raise BadInput(f"gram is {tuple(gram.shape)}, weight {tuple(weight.shape)}", "give X^T X of its inputs")
        root = _root(gram.double())  # (inputs, inputs), lower
        left, values, right = torch.linalg.svd(dense @ root, full_matrices=False)
        whitened = values[:rank, None] * right[:rank]
        right = torch.linalg.solve_triangular(root, whitened, upper=False, left=False)
    return left[:, :rank].to(weight.dtype).contiguous(), right.to(weight.dtype).contiguous()


def _root(gram: Tensor) -> Tensor:
    """L with L L^T = gram, plus a ridge so small that it matters only in directions without any input."""
    mean_square = float(gram.diagonal().mean())
    ridge = _RIDGE * mean_square if mean_square else 1.0
    root: Tensor = torch.linalg.cholesky(gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))
    return root


def rank_within(shape: Sequence[int], budget: float) -> int:
    """The largest rank whose two factors hold at most `budget` numbers.

    Args:
        shape: of the matrix, (out, inputs).
        budget: how many numbers the factors may hold.

    Raises:
        BadInput: not even rank 1 fits.
    """
    out, inputs = shape
    rank = min(budget / (out + inputs) + 1e-9, out, inputs)  # a fraction of a count may fall short by rounding
    if not rank >= 1:
        raise BadInput(f"budget is {budget}", f"rank 1 takes {out + inputs} numbers")
    return int(rank)


def factorize_layers(
    classifier: TextClassifier,
    fraction: float,
    names: Collection[str] = tuple(LINEAR_LAYERS),
    texts: Sequence[str] | None = None,
) -> TextClassifier:
    """A classifier whose matrices are products of thin ones, multiplied out again: it predicts as the factors would.

    The shapes do not change, so it saves nothing itself: a plain BERT folder has no place for factors.

    Args:
        fraction: numbers in the factors over numbers in the matrix, for each matrix.
        names: of linear layers (`LINEAR_LAYERS`).
        texts: weights the errors by what the layers read in these texts (see `low_rank_factors`).

    Raises:
        BadInput: as `linear_layers` and `rank_within`, a fraction that is not positive, or no text.
    """
    if not isinstance(fraction, Real) or not 0 < float(fraction) < float("inf"):
        raise BadInput(f"fraction is {fraction!r}", "use a number above 0, such as 0.5")
    shapes = {place: linear.weight.shape for place, linear in linear_layers(classifier, names).items()}
    ranks = {place: rank_within(shape, fraction * shape.numel()) for place, shape in shapes.items()}
    grams: dict[Place, Tensor] = {}
    if texts is not None:

        def add(place: Place, inputs: Tensor) -> None:
            gram = inputs.double().T @ inputs.double()
            grams[place] = grams[place] + gram if place in grams else gram

        observe_inputs(classifier, texts, add, names)
    copied = copy.deepcopy(classifier)
    with torch.no_grad():
        for place, linear in linear_layers(copied, names).items():
            left, right = low_rank_factors(linear.weight, ranks[place], grams.get(place))
            linear.weight.copy_(left @ right)
    return copied
