"""How important each feed-forward neuron of a classifier is, from one forward and one backward pass.

Each neuron gets a gate of 1 that multiplies its output. The derivative of the loss with respect to the gate says, to
first order, how much the loss would change with the gate closed.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from course_lib.errors import BadInput
from course_lib.text.classifiers import columns_of
from course_lib.text.modules import inference_copy


def neuron_importance(classifier: TextClassifier, texts: Sequence[str], labels: ArrayLike) -> NDArray[np.float64]:
    """How much the loss depends on each feed-forward neuron, in nats, (layers, neurons).

    For each text the absolute value of the sum over its tokens of activation * gradient, then the mean over texts
    (Molchanov et al. 2017, arXiv:1611.06440). It is a first-order estimate, not a trial: of two neurons that can
    replace each other, both seem unimportant.

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
    total = np.zeros((config.num_hidden_layers, config.intermediate_size))
    module = inference_copy(classifier.module_)
    gates = _gated(module)
    with torch.enable_grad():
        for batch in batches(classifier, texts):
            gradients = _gate_gradients(module, gates, columns, batch, total.shape)
            total += gradients.abs().sum(1, dtype=torch.float64).cpu().numpy()
    return total / len(texts)


def _gate_gradients(
    module: Any, gates: dict[nn.Module, Tensor], columns: Tensor, batch: Batch, shape: tuple[int, ...]
) -> Float[Tensor, "layers batch neurons"]:
    """The derivative of each text's loss with respect to the gates of its neurons."""
    layers, neurons = module.bert.encoder.layer, shape[1]
    ones = torch.ones(len(layers), len(batch.index), neurons, device=batch.input_ids.device, requires_grad=True)
    for layer, gate in zip(layers, ones, strict=True):
        gates[layer.output.dense] = gate
    logits = module(batch.input_ids, batch.attention_mask).float()
    # A sum, so that the gradient of each text is its own; the column of a rating, if there is one, is left out.
    loss = F.cross_entropy(logits[:, : len(module.classifier.weight)], columns[batch.index], reduction="sum")
    return torch.autograd.grad(loss, [ones])[0]


def _gated(module: Any) -> dict[nn.Module, Float[Tensor, "batch neurons"]]:
    """Multiplies what the second matrix of each block reads by the gates that the caller puts into the dictionary."""
    gates: dict[nn.Module, Tensor] = {}

    def apply(linear: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        return (inputs[0] * gates[linear][:, None],)

    for layer in module.bert.encoder.layer:
        layer.output.dense.register_forward_pre_hook(apply)
    return gates
