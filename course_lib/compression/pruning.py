"""Single weights set to zero: which ones go, and in what pattern.

A mask is True where a weight stays. A zero in a dense matrix is multiplied like any other number: it saves no time and
no memory until the matrix is stored and multiplied in a sparse form. Zeros anywhere need the place of every number that
is left; zeros in a pattern (`n_of_m_mask`) need two bits each, and NVIDIA's cards have circuits for them.
"""

from __future__ import annotations

import copy
from numbers import Real

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from course_lib.classifier import TextClassifier
from course_lib.compression.structure import bert_of, matrices, whole
from course_lib.errors import BadInput

PATTERNS = ("unstructured", "2:4")
SCOPES = ("global", "layer")


def score_mask(scores: Float[Tensor, "*shape"], sparsity: float, per_row: bool = False) -> Bool[Tensor, "*shape"]:
    """Keeps the highest scores; exactly `round(sparsity * n)` of n go. Of equal ones the first stay.

    Args:
        scores: what each weight is worth, in any unit.
        sparsity: share that goes, from 0 to 1.
        per_row: each row (last dimension) loses equally many, instead of the lowest of all.

    Raises:
        BadInput: a share outside of 0 to 1, or scores that are NaN.
    """
    _check_share(sparsity)
    if scores.isnan().any():
        raise BadInput(f"{int(scores.isnan().sum())} scores are NaN", "look at the weights: training went wrong")
    rows = scores if per_row else scores.flatten()
    gone = round(sparsity * rows.shape[-1])
    if not rows.numel() or gone == rows.shape[-1]:
        return torch.zeros_like(scores, dtype=torch.bool)
    least = rows.kthvalue(gone + 1, dim=-1, keepdim=True).values  # the lowest score that stays; faster than sorting
    above, equal = rows > least, rows == least
    room = rows.shape[-1] - gone - above.sum(-1, keepdim=True)
    return (above | (equal & (equal.cumsum(-1) <= room))).reshape(scores.shape)


def _check_share(sparsity: float) -> None:
    if not isinstance(sparsity, Real) or not 0 <= float(sparsity) <= 1:
        raise BadInput(f"sparsity is {sparsity!r}", "use a share from 0 (all stay) to 1 (all go)")


def magnitude_mask(weight: Float[Tensor, "*shape"], sparsity: float, per_row: bool = False) -> Bool[Tensor, "*shape"]:
    """Keeps the weights farthest from zero (Han et al. 2015, arXiv:1506.02626). Arguments as of `score_mask`."""
    return score_mask(weight.abs(), sparsity, per_row)


def n_of_m_mask(weight: Float[Tensor, "*rows inputs"], n: int = 2, m: int = 4) -> Bool[Tensor, "*rows inputs"]:
    """Keeps the n weights farthest from zero in each m neighbours of a row; of equal ones the first.

    With 2 of 4 a sparse tensor core stores half of the numbers and two bits for the place of each, and multiplies up
    to twice as fast (Mishra et al. 2021, arXiv:2104.08378).

    Raises:
        BadInput: n or m out of range, rows that m does not divide, or weights that are NaN.
    """
    m = whole(m, "m", 1, max(1, weight.shape[-1]))
    n = whole(n, "n", 0, m)
    if weight.shape[-1] % m:
        raise BadInput(f"rows of {weight.shape[-1]} weights do not part into groups of {m}", "use another m")
    groups = weight.unflatten(-1, (-1, m))  # (*rows, groups, m)
    return score_mask(groups.abs(), 1 - n / m, per_row=True).flatten(-2)


def movement_scores(
    weight: Float[Tensor, "*shape"], gradient: Float[Tensor, "*shape"], before: Tensor | float = 0.0
) -> Float[Tensor, "*shape"]:
    """Scores that favour weights which training moves away from zero: before - w * dL/dw.

    Added up over the steps of fine-tuning, for `score_mask` (Sanh et al. 2020, arXiv:2005.07683; without
    the learning rate). A large weight on its way to zero scores low, where `magnitude_mask` would keep it.

    Args:
        weight: at this step.
        gradient: of the loss, at this step.
        before: the scores of the steps so far.

    Raises:
        BadInput: weight and gradient of different shapes.
    """
    if weight.shape != gradient.shape:
        raise BadInput(f"weight is {tuple(weight.shape)}, gradient {tuple(gradient.shape)}", "give equal shapes")
    scores: Tensor = before - weight.detach() * gradient.detach()
    return scores


# ---- classifiers -----------------------------------------------------------------------------------------------


def sparse(
    classifier: TextClassifier, sparsity: float = 0.5, pattern: str = "unstructured", scope: str = "global"
) -> TextClassifier:
    """A classifier with zeros in the matrices of its layers, by magnitude. No faster and no smaller: see above.

    Biases, norms, the embedding table, the pooler and the head stay.

    Args:
        classifier: fitted; it stays as it is.
        sparsity: share of the weights that become zero.
        pattern: `unstructured` (anywhere), or `2:4`, which goes with `sparsity=0.5` alone.
        scope: `global` compares the weights of all layers, so that a layer of small ones loses more; `layer` takes
            the same share of each matrix. `2:4` compares four neighbours in any case.

    Raises:
        BadInput: not a fitted BERT classifier, an unknown pattern or scope, a share that the pattern does not have.
    """
    for name, value, known in (("pattern", pattern, PATTERNS), ("scope", scope, SCOPES)):
        if value not in known:
            raise BadInput(f"{name} is {value!r}", f"use one of {', '.join(known)}")
    _check_share(sparsity)
    if pattern == "2:4" and sparsity != 0.5:
        raise BadInput(f"sparsity is {sparsity} with the pattern 2:4", "use 0.5, or pattern='unstructured'")
    bert_of(classifier)
    thinner = copy.deepcopy(classifier)
    weights = [matrix.weight for matrix in matrices(thinner).values()]
    with torch.no_grad():
        for weight, mask in zip(weights, _masks(weights, sparsity, pattern, scope), strict=True):
            weight.masked_fill_(~mask, 0.0)  # a product with the mask would leave zeros that are negative
    return thinner


def _masks(weights: list[Tensor], sparsity: float, pattern: str, scope: str) -> list[Tensor]:
    if pattern == "2:4":
        return [n_of_m_mask(weight) for weight in weights]
    if scope == "layer":
        return [magnitude_mask(weight, sparsity) for weight in weights]
    together = magnitude_mask(torch.cat([weight.flatten() for weight in weights]), sparsity)
    parts = together.split([weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]


def sparsity_of(classifier: TextClassifier) -> float:
    """Share of zeros in the matrices of the layers, from 0 to 1. Raises BadInput as `sparse`."""
    weights = [matrix.weight for matrix in matrices(classifier).values()]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
