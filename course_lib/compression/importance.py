"""What each part of a classifier is worth: heads, feed-forward neurons, layers.

Heads and neurons get a gate of 1 that multiplies what they give. The loss's derivative by the gate says, to first
order, how much the loss would change with the gate shut: one pass forward and back for all of them, instead of one
evaluation each.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from course_lib import machine
from course_lib.batching import Batch, check_texts, collate, sorted_batches, tokenize
from course_lib.classifier import TextClassifier
from course_lib.classifier.data import Loss, as_labels, finite, task_loss
from course_lib.compression.structure import bert_of, keep_layers
from course_lib.errors import BadInput


@dataclass(frozen=True, eq=False)
class Importance:
    """First-order importances: the mean over texts of |change of the loss| if the part gave nothing.

    In the loss's unit: nats for classes, squares of the rating's unit for regression.

    Attributes:
        heads: (layers, heads).
        neurons: (layers, width), of the feed-forward blocks.
    """

    heads: NDArray[np.float64]
    neurons: NDArray[np.float64]


def importance(classifier: TextClassifier, texts: Sequence[str], labels: ArrayLike) -> Importance:
    """How much the loss leans on each head and each feed-forward neuron.

    For each text the sum, over its tokens and the part's values, of activation * gradient, without its sign, then the
    mean over texts: Michel et al. 2019 (arXiv:1905.10650, section 4.1) for heads, Molchanov et al. 2016
    (arXiv:1611.06440) for neurons. It is a slope, not a trial: parts that stand in for each other both seem to be
    worth little.

    Args:
        classifier: fitted; it stays as it is. Dropout is off.
        texts: n > 0 texts, best ones that it was trained on: the test set must not choose the model.
        labels: their classes, also for `multitask`; numbers for regression.

    Raises:
        BadInput: not a fitted BERT classifier, no text, labels missing or unknown to the classifier.
    """
    bert = bert_of(classifier)
    texts = check_texts(texts)
    loss_of = _loss(classifier, texts, labels)
    parts = (bert.config.num_attention_heads, bert.config.intermediate_size)
    totals = [np.zeros((len(bert.encoder.layer), n)) for n in parts]
    with in_evaluation(classifier) as module, torch.enable_grad():
        for batch in batches(classifier, texts):
            for total, slope in zip(totals, _slopes(module, loss_of, batch, parts), strict=True):
                total += slope.abs().sum(1, dtype=torch.float64).cpu().numpy()
    return Importance(totals[0] / len(texts), totals[1] / len(texts))


def _slopes(module: Any, loss_of: Loss, batch: Batch, parts: tuple[int, int]) -> tuple[Tensor, ...]:
    """Derivatives of each text's loss by the gates of heads and of neurons: (layers, batch, parts) each."""
    layers = list(module.bert.encoder.layer)
    open_gates = [torch.ones(len(layers), len(batch.index), n, device=batch.input_ids.device) for n in parts]
    of_heads, of_neurons = (gates.requires_grad_() for gates in open_gates)
    gated = {layer.attention.output.dense: gate for layer, gate in zip(layers, of_heads, strict=True)}
    gated |= {layer.output.dense: gate for layer, gate in zip(layers, of_neurons, strict=True)}
    with _gated(gated):
        loss = loss_of(module, batch) * len(batch.index)  # a sum: the slope of each text is its own
    return torch.autograd.grad(loss, [of_heads, of_neurons])


def _loss(classifier: TextClassifier, texts: Sequence[str], labels: ArrayLike) -> Loss:
    """The mean loss of a batch of these texts, as in training."""
    if not len(texts):
        raise BadInput("there is no text", "give some of the training set")
    if classifier.head == "regression":
        ratings = torch.from_numpy(finite(labels, len(texts), "labels"))
        return task_loss({"ratings": ratings.to(machine.device())}, 0)
    classes = classifier.classes_
    known = as_labels(labels, len(texts), "labels")
    if unknown := sorted(set(known.tolist()) - set(classes.tolist())):
        raise BadInput(f"labels hold {unknown[0]!r}", f"use the classifier's classes: {classes.tolist()}")
    codes = torch.from_numpy(np.searchsorted(classes, known))
    return task_loss({"labels": codes.to(machine.device())}, len(classes))


def batches(classifier: TextClassifier, texts: Sequence[str]) -> Iterator[Batch]:
    """The texts in batches of nearly equal lengths, on the device."""
    ids = tokenize(texts, classifier.tokenizer_, classifier.max_length)
    pad = int(classifier.tokenizer_.pad_token_id or 0)
    for rows in sorted_batches([len(row) for row in ids], machine.preset().predict_tokens):
        yield collate(ids, rows, pad).to(machine.device())


@contextmanager
def in_evaluation(classifier: TextClassifier) -> Iterator[Any]:
    """The module on the device and without dropout inside the block, as it was (but for the device) after it."""
    module = classifier.module_
    was_training = module.training
    module.eval().to(machine.device())
    try:
        yield module
    finally:
        module.train(was_training)


@contextmanager
def _gated(gates: Mapping[nn.Module, Float[Tensor, "batch parts"]]) -> Iterator[None]:
    """Multiplies what goes into each module, (batch, seq, parts * size), by a number for each text and part."""

    def gate_of(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        gate = gates[module]
        parts = inputs[0].unflatten(-1, (gate.shape[1], -1))  # (batch, seq, parts, size)
        return ((parts * gate[:, None, :, None]).flatten(2),)

    hooks = [module.register_forward_pre_hook(gate_of) for module in gates]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


# ---- heads -----------------------------------------------------------------------------------------------------


def mask_heads(classifier: TextClassifier, mask: ArrayLike | Tensor) -> TextClassifier:
    """A classifier whose pruned heads give nothing: their columns of the attention output matrix are zero.

    It computes them all the same and saves neither time nor memory. In a plain `BertModel` every layer has
    `num_attention_heads` heads of hidden size / that many values, so no folder could tell of a layer that has fewer:
    what this shows is which heads could go.

    Args:
        classifier: fitted; it stays as it is.
        mask: (layers, heads), True or 1 where a head stays, such as `pruning.score_mask` of `Importance.heads`.

    Raises:
        BadInput: not a fitted BERT classifier, or a mask of another shape or with other values.
    """
    config = bert_of(classifier).config
    shape = (config.num_hidden_layers, config.num_attention_heads)
    kept = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)
    if kept.shape != shape or not np.isin(kept, (0, 1)).all():
        raise BadInput(f"mask has shape {kept.shape}, or other values than 0 and 1", f"give True or False, {shape}")
    masked = copy.deepcopy(classifier)
    with torch.no_grad():
        for layer, row in zip(bert_of(masked).encoder.layer, kept.astype(bool), strict=True):
            weight = layer.attention.output.dense.weight
            by_head = weight.unflatten(1, (len(row), -1))  # (hidden, heads, size), the same memory
            by_head[:, torch.from_numpy(~row).to(weight.device)] = 0.0
    return masked


# ---- layers ----------------------------------------------------------------------------------------------------


def layer_damage(classifier: TextClassifier, texts: Sequence[str]) -> NDArray[np.float64]:
    """How far the probabilities move when one layer is left out, (layers,).

    The mean over texts of the total variation distance, half of the sum of |p - q| over the classes: 0 is no change, 1
    is certainty of another class. Layers are left out one at a time; two of them together may do more than their sum.

    Args:
        classifier: fitted, of two layers or more, with classes; it stays as it is.
        texts: n > 0 texts; labels are not needed.

    Raises:
        BadInput: not a fitted BERT classifier, one of a single layer or for regression, or no text.
    """
    layers = range(len(bert_of(classifier).encoder.layer))
    texts = check_texts(texts)
    if len(layers) < 2:
        raise BadInput("the classifier has a single layer", "give one of two layers or more")
    if classifier.head == "regression":
        raise BadInput("head is 'regression', which gives no probabilities", "give a classifier with classes")
    if not texts:
        raise BadInput("there is no text", "give one or more; labels are not needed")
    whole = classifier.predict_proba(texts)
    rest = (keep_layers(classifier, [n for n in layers if n != left_out]) for left_out in layers)
    return np.array([abs(other.predict_proba(texts) - whole).sum(1, dtype=np.float64).mean() / 2 for other in rest])
