"""Pruning: single weights, attention heads, feed-forward neurons and whole layers.

A weight mask is True where a weight is kept. A zero in a dense matrix is multiplied like any other number: it saves
neither time nor memory until the matrix is stored and multiplied in a sparse form. Zeros anywhere need the position of
every number that is left; zeros in a pattern (`n_of_m_mask`) need two bits each, and NVIDIA's GPUs have circuits for
them.

`drop_layers` and `prune_ffn` give a smaller dense model, which needs no special kernels: its configuration has the new
shape, and any transformers reads it. Heads cannot be removed like that: in a plain `BertModel` every layer has
`num_attention_heads` heads of hidden size / that many values, so `mask_heads` sets them to zero.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor, nn

from course_lib.classifier import TextClassifier
from course_lib.compression.linear_layers import bert_encoder, check_integer, linear_layers
from course_lib.errors import BadInput

PATTERNS = ("unstructured", "2:4")


def score_mask(scores: Float[Tensor, "*shape"], sparsity: float, per_row: bool = False) -> Bool[Tensor, "*shape"]:
    """Keeps the highest scores; exactly `round(sparsity * n)` of n are removed. Of equal ones the first are kept.

    Args:
        scores: of the weights, in any unit.
        sparsity: the fraction that is removed, from 0 to 1.
        per_row: removes equally many of each row (last dimension), instead of the lowest of all.

    Raises:
        BadInput: a fraction outside of 0 to 1, or scores that are NaN.
    """
    _check_sparsity(sparsity)
    if scores.isnan().any():
        raise BadInput(f"{int(scores.isnan().sum())} scores are NaN", "look at the weights: training went wrong")
    rows = scores if per_row else scores.flatten()
    removed = round(sparsity * rows.shape[-1])
    if not rows.numel() or removed == rows.shape[-1]:
        return torch.zeros_like(scores, dtype=torch.bool)
    least = rows.kthvalue(removed + 1, dim=-1, keepdim=True).values  # the lowest score kept; faster than sorting
    above, equal = rows > least, rows == least
    room = rows.shape[-1] - removed - above.sum(-1, keepdim=True)
    return (above | (equal & (equal.cumsum(-1) <= room))).reshape(scores.shape)


def _check_sparsity(sparsity: float) -> None:
    if not isinstance(sparsity, Real) or not 0 <= float(sparsity) <= 1:
        raise BadInput(f"sparsity is {sparsity!r}", "use a fraction from 0 (all are kept) to 1 (none is kept)")


def magnitude_mask(weight: Float[Tensor, "*shape"], sparsity: float) -> Bool[Tensor, "*shape"]:
    """Keeps the weights farthest from zero (Han et al. 2015, arXiv:1506.02626). Raises as `score_mask`."""
    return score_mask(weight.abs(), sparsity)


def n_of_m_mask(weight: Float[Tensor, "*rows inputs"], n: int = 2, m: int = 4) -> Bool[Tensor, "*rows inputs"]:
    """Keeps the n weights farthest from zero in each m neighbours of a row; of equal ones the first.

    With 2 of 4 a sparse tensor core stores half of the numbers and two bits for the position of each, and multiplies up
    to twice as fast (Mishra et al. 2021, arXiv:2104.08378).

    Raises:
        BadInput: n or m out of range, rows that m does not divide, or weights that are NaN.
    """
    m = check_integer(m, "m", 1, max(1, weight.shape[-1]))
    n = check_integer(n, "n", 0, m)
    if weight.shape[-1] % m:
        raise BadInput(f"rows of {weight.shape[-1]} weights cannot be divided into groups of {m}", "use another m")
    groups = weight.unflatten(-1, (-1, m))  # (*rows, groups, m)
    return score_mask(groups.abs(), 1 - n / m, per_row=True).flatten(-2)


def movement_scores(
    weight: Float[Tensor, "*shape"], gradient: Float[Tensor, "*shape"], before: Tensor | float = 0.0
) -> Float[Tensor, "*shape"]:
    """Scores that favour weights which training moves away from zero: before - w * dL/dw.

    Added up over the steps of fine-tuning, for `score_mask` (Sanh et al. 2020, arXiv:2005.07683; without
    the learning rate). A large weight that moves towards zero has a low score, though `magnitude_mask` would keep it.

    Args:
        weight, gradient: of the loss, at this step.
        before: the scores of the steps so far.

    Raises:
        BadInput: weight and gradient of different shapes.
    """
    if weight.shape != gradient.shape:
        raise BadInput(f"weight is {tuple(weight.shape)}, gradient {tuple(gradient.shape)}", "give equal shapes")
    scores: Tensor = before - weight.detach() * gradient.detach()
    return scores


# ---- weights of a classifier ----------------------------------------------------------------------------------


def prune_weights(classifier: TextClassifier, sparsity: float = 0.5, pattern: str = "unstructured") -> TextClassifier:
    """A classifier with zeros in its linear layers, by magnitude. It is neither faster nor smaller: see above.

    The weights of all layers are compared, so that a layer of small ones loses more. Biases, norms, the embedding
    table, the pooler and the head are not pruned.

    Args:
        sparsity: fraction of the weights that become zero.
        pattern: `unstructured` (anywhere), or `2:4` (`n_of_m_mask`), for `sparsity=0.5` only.

    Raises:
        BadInput: not a fitted BERT classifier, an unknown pattern, or a sparsity that does not fit the pattern.
    """
    if pattern not in PATTERNS:
        raise BadInput(f"pattern is {pattern!r}", f"use one of {', '.join(PATTERNS)}")
    _check_sparsity(sparsity)
    if pattern == "2:4" and sparsity != 0.5:
        raise BadInput(f"sparsity is {sparsity} with the pattern 2:4", "use 0.5, or pattern='unstructured'")
    pruned = copy.deepcopy(classifier)
    weights = [linear.weight for linear in linear_layers(pruned).values()]
    if pattern == "2:4":
        masks = [n_of_m_mask(weight) for weight in weights]
    else:
        together = magnitude_mask(torch.cat([weight.flatten() for weight in weights]), sparsity)
        parts = together.split([weight.numel() for weight in weights])
        masks = [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]
    with torch.no_grad():
        for weight, mask in zip(weights, masks, strict=True):
            weight.masked_fill_(~mask, 0.0)  # a product with the mask would leave zeros that are negative
    return pruned


def sparsity_of(classifier: TextClassifier) -> float:
    """Fraction of zeros in the linear layers, from 0 to 1. Raises BadInput as `prune_weights`."""
    weights = [linear.weight for linear in linear_layers(classifier).values()]
    return sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)


# ---- parts of a classifier ------------------------------------------------------------------------------------


def evenly_spaced_layers(layers: int, kept: int) -> list[int]:
    """Which layers to keep: the first, the last, and others evenly between; of one alone, the first.

    Raises:
        BadInput: more layers than there are, or none.
    """
    if not 1 <= kept <= layers:
        raise BadInput(f"{kept} of {layers} layers", f"keep 1 to {layers}")
    return sorted({round(i * (layers - 1) / max(1, kept - 1)) for i in range(kept)})


def drop_layers(classifier: TextClassifier, keep: Sequence[int]) -> TextClassifier:
    """A classifier that keeps some of its layers, in their order.

    A layer adds to what it reads, so the next kept layer can still use what came before (Sajjad et al. 2020,
    arXiv:2004.03844). Time and the layers' memory shrink in proportion.

    Args:
        keep: numbers of layers from 0, ascending.

    Raises:
        BadInput: as `bert_encoder`; no layer, a number out of range, or numbers that do not ascend.
    """
    layers = list(bert_encoder(classifier).encoder.layer)
    numbers = [check_integer(number, "a layer", 0, len(layers) - 1) for number in keep]
    if not numbers or sorted(set(numbers)) != numbers:
        raise BadInput(f"keep is {list(keep)}", "give one layer or more, each once, in ascending order")
    smaller = copy.deepcopy(classifier)
    bert = bert_encoder(smaller)
    bert.encoder.layer = nn.ModuleList([bert.encoder.layer[number] for number in numbers])
    for number, layer in enumerate(bert.encoder.layer):
        layer.attention.self.layer_idx = number
    bert.config.num_hidden_layers = len(numbers)
    return smaller


def prune_ffn(classifier: TextClassifier, size: int, importance: ArrayLike) -> TextClassifier:
    """A classifier whose feed-forward blocks keep their `size` most important neurons.

    A neuron is a row of the first matrix, its bias, and a column of the second. Each layer keeps equally many, since
    the configuration has one `intermediate_size` for all. Of equally important neurons the first are kept.

    Args:
        size: neurons per layer afterwards.
        importance: (layers, neurons), such as `compute_importance(...).neurons`.

    Raises:
        BadInput: as `bert_encoder`; a size above the present one, or importances of another shape or not finite.
    """
    config = bert_encoder(classifier).config
    size = check_integer(size, "size", 1, config.intermediate_size)
    scores = _scores(importance, (config.num_hidden_layers, config.intermediate_size))
    smaller = copy.deepcopy(classifier)
    bert = bert_encoder(smaller)
    for layer, row in zip(bert.encoder.layer, scores, strict=True):
        best = np.sort(np.argsort(-row, kind="stable")[:size])
        _keep_neurons(layer, torch.from_numpy(best))
    bert.config.intermediate_size = size
    return smaller


def _scores(importance: ArrayLike, shape: tuple[int, ...]) -> np.ndarray:
    try:
        scores = np.asarray(importance, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"importance is not an array of numbers ({error})", f"give numbers of shape {shape}") from error
    if scores.shape != shape or not np.isfinite(scores).all():
        raise BadInput(f"importance has shape {scores.shape}, or is not finite", f"give finite numbers, {shape}")
    return scores


def _keep_neurons(layer: Any, kept: Tensor) -> None:
    expand, contract = layer.intermediate.dense, layer.output.dense
    kept = kept.to(expand.weight.device)
    expand.weight = _parameter(expand.weight, expand.weight[kept])
    expand.bias = _parameter(expand.bias, expand.bias[kept])
    contract.weight = _parameter(contract.weight, contract.weight[:, kept])
    expand.out_features = contract.in_features = len(kept)


def _parameter(old: Tensor, values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone(), requires_grad=old.requires_grad)


def mask_heads(classifier: TextClassifier, mask: ArrayLike | Tensor) -> TextClassifier:
    """A classifier whose pruned heads contribute nothing: their columns of the attention output matrix are zero.

    They are still computed, so it saves neither time nor memory (see above): it shows which heads could be removed.

    Args:
        mask: (layers, heads), True or 1 where a head is kept, such as `score_mask` of `Importance.heads`.

    Raises:
        BadInput: not a fitted BERT classifier, or a mask of another shape or with other values.
    """
    config = bert_encoder(classifier).config
    shape = (config.num_hidden_layers, config.num_attention_heads)
    kept = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)
    if kept.shape != shape or not np.isin(kept, (0, 1)).all():
        raise BadInput(f"mask has shape {kept.shape}, or values other than 0 and 1", f"give True or False, {shape}")
    masked = copy.deepcopy(classifier)
    with torch.no_grad():
        for layer, row in zip(bert_encoder(masked).encoder.layer, kept.astype(bool), strict=True):
            weight = layer.attention.output.dense.weight
            by_head = weight.unflatten(1, (len(row), -1))  # (hidden, heads, size), the same memory
            by_head[:, torch.from_numpy(~row).to(weight.device)] = 0.0
    return masked
