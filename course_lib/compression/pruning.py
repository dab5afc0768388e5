"""Pruning: single weights, feed-forward neurons and whole layers.

A weight mask is True where a weight is kept. A zero in a dense matrix is multiplied like any other number: it saves
neither time nor memory until the matrix is stored and multiplied in a sparse form. `drop_layers` and `prune_ffn` give a
smaller dense model, which needs no special kernels: its configuration has the new shape, and any transformers reads it.
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


def magnitude_mask(weight: Float[Tensor, "*shape"], sparsity: float) -> Bool[Tensor, "*shape"]:
    """Keeps the weights farthest from zero (Han et al. 2015, arXiv:1506.02626).

    Exactly `round(sparsity * n)` of n are removed. Of weights of equal size the first are kept.

    Args:
        sparsity: the fraction that is removed, from 0 to 1.

    Raises:
        BadInput: a fraction outside of 0 to 1, or weights that are NaN.
    """
    if not isinstance(sparsity, Real) or not 0 <= float(sparsity) <= 1:
        raise BadInput(f"sparsity is {sparsity!r}", "use a fraction from 0 (all are kept) to 1 (none is kept)")
    if weight.isnan().any():
        raise BadInput(f"{int(weight.isnan().sum())} weights are NaN", "look at the weights: training went wrong")
    sizes = weight.abs().flatten()
    removed = round(sparsity * len(sizes))
    if removed == len(sizes):
        return torch.zeros_like(weight, dtype=torch.bool)
    least = sizes.kthvalue(removed + 1).values  # the smallest size kept; faster than sorting
    above, equal = sizes > least, sizes == least
    room = len(sizes) - removed - above.sum()
    return (above | (equal & (equal.cumsum(0) <= room))).reshape(weight.shape)


# ---- weights of a classifier ----------------------------------------------------------------------------------


def prune_weights(classifier: TextClassifier, sparsity: float = 0.5) -> TextClassifier:
    """A classifier with zeros in its linear layers, by magnitude. It is neither faster nor smaller: see above.

    The weights of all layers are compared, so that a layer of small ones loses more. Biases, norms, the embedding
    table, the pooler and the head are not pruned.

    Args:
        sparsity: fraction of the weights that become zero.

    Raises:
        BadInput: not a fitted BERT classifier, or a sparsity outside of 0 to 1.
    """
    pruned = copy.deepcopy(classifier)
    weights = [linear.weight for linear in linear_layers(pruned).values()]
    together = magnitude_mask(torch.cat([weight.flatten() for weight in weights]), sparsity)
    parts = together.split([weight.numel() for weight in weights])
    with torch.no_grad():
        for weight, part in zip(weights, parts, strict=True):
            weight.masked_fill_(~part.view_as(weight), 0.0)  # a product with the mask would leave negative zeros
    return pruned


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
        importance: (layers, neurons), such as `neuron_importance` gives.

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
