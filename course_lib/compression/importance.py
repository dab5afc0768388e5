"""How important each part of a classifier is: heads, feed-forward neurons, layers.

Heads and neurons get a gate of 1 that multiplies their output. The loss's derivative with respect to the gate says, to
first order, how much the loss would change with the gate closed: one forward and backward pass for all of them,
instead of one evaluation for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from course_lib import machine
from course_lib.batching import Batch, check_texts
from course_lib.classifier import TextClassifier
from course_lib.compression.linear_layers import batches, bert_encoder
from course_lib.compression.pruning import drop_layers
from course_lib.errors import BadInput
from course_lib.text.classifiers import columns_of
from course_lib.text.modules import inference_copy


@dataclass(frozen=True, eq=False)
class Importance:
    """First-order importances: the mean over texts of |change of the loss|, in nats, if the part's output were zero."""

    heads: NDArray[np.float64]  # (layers, heads)
    neurons: NDArray[np.float64]  # (layers, neurons), of the feed-forward blocks


def compute_importance(classifier: TextClassifier, texts: Sequence[str], labels: ArrayLike) -> Importance:
    """How much the loss depends on each head and each feed-forward neuron.

    For each text the sum, over its tokens and the part's values, of activation * gradient, without its sign, then the
    mean over texts: Michel et al. 2019 (arXiv:1905.10650, section 4.1) for heads, Molchanov et al. 2016
    (arXiv:1611.06440) for neurons. It is a gradient, not a trial: of two parts that can replace each other, both seem
    unimportant.

    Args:
        classifier: fitted. Dropout is off.
        texts: n > 0 texts, best ones that it was trained on: the test set must not choose the model.
        labels: their classes.

    Raises:
        BadInput: not a fitted BERT classifier with classes, no text, labels missing or unknown to the classifier.
    """
    config = bert_encoder(classifier).config
    texts = check_texts(texts)
    if classifier.head == "regression" or not texts:
        raise BadInput(f"{len(texts)} texts, head {classifier.head!r}", "give a classifier with classes, and texts")
    columns = torch.from_numpy(columns_of(classifier.classes_, labels, len(texts))).to(machine.device())
    parts = (config.num_attention_heads, config.intermediate_size)
    totals = [np.zeros((config.num_hidden_layers, n)) for n in parts]
    module = inference_copy(classifier.module_)
    gates = _gated(module)
    with torch.enable_grad():
        for batch in batches(classifier, texts):
            for total, gradient in zip(totals, _gate_gradients(module, gates, columns, batch, parts), strict=True):
                total += gradient.abs().sum(1, dtype=torch.float64).cpu().numpy()
    return Importance(totals[0] / len(texts), totals[1] / len(texts))


def _gate_gradients(
    module: Any, gates: dict[nn.Module, Tensor], columns: Tensor, batch: Batch, parts: tuple[int, int]
) -> tuple[Tensor, ...]:
    """Derivatives of each text's loss by the gates of heads and of neurons: (layers, batch, parts) each."""
    layers = list(module.bert.encoder.layer)
    of_heads, of_neurons = (
        torch.ones(len(layers), len(batch.index), n, device=batch.input_ids.device, requires_grad=True) for n in parts
    )
    for layer, heads, neurons in zip(layers, of_heads, of_neurons, strict=True):
        gates[layer.attention.output.dense], gates[layer.output.dense] = heads, neurons
    logits = module(batch.input_ids, batch.attention_mask).float()
    # A sum, so that the gradient of each text is its own; the column of a rating, if there is one, is left out.
    loss = F.cross_entropy(logits[:, : len(module.classifier.weight)], columns[batch.index], reduction="sum")
    return torch.autograd.grad(loss, [of_heads, of_neurons])


def _gated(module: Any) -> dict[nn.Module, Float[Tensor, "batch parts"]]:
    """Multiplies what two linear layers of each layer read by the gates that the caller puts into the dictionary."""
    gates: dict[nn.Module, Tensor] = {}

    def apply(linear: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        gate = gates[linear]
        parts = inputs[0].unflatten(-1, (gate.shape[1], -1))  # (batch, seq, parts, size)
        return ((parts * gate[:, None, :, None]).flatten(2),)

    for layer in module.bert.encoder.layer:
        for linear in (layer.attention.output.dense, layer.output.dense):
            linear.register_forward_pre_hook(apply)
    return gates


def layer_importance(classifier: TextClassifier, texts: Sequence[str]) -> NDArray[np.float64]:
    """How far the probabilities move when one layer is left out, (layers,).

    The mean over texts of the total variation distance, half of the sum of |p - q| over the classes: 0 is no change, 1
    is certainty of another class. Layers are left out one at a time; two of them together may do more than their sum.

    Args:
        classifier: fitted, of two layers or more, with classes.
        texts: n > 0 texts; labels are not needed.

    Raises:
        BadInput: not a fitted BERT classifier, one of a single layer or for regression, or no text.
    """
    layers = range(len(bert_encoder(classifier).encoder.layer))
    texts = check_texts(texts)
    if len(layers) < 2:
        raise BadInput("the classifier has a single layer", "give one of two layers or more")
    if classifier.head == "regression":
        raise BadInput("head is 'regression', which gives no probabilities", "give a classifier with classes")
    if not texts:
        raise BadInput("there is no text", "give one or more; labels are not needed")
    before = classifier.predict_proba(texts)
    rest = (drop_layers(classifier, [n for n in layers if n != left_out]) for left_out in layers)
    return np.array([abs(other.predict_proba(texts) - before).sum(1, dtype=np.float64).mean() / 2 for other in rest])
