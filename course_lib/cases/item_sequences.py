"""Sequences of items on the course's encoder: SASRec predicts each next item, BERT4Rec masked ones.

Kang and McAuley (2018), Self-Attentive Sequential Recommendation (arXiv:1808.09781); Sun et al. (2019), BERT4Rec
(arXiv:1904.06690).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from course_lib import machine
from course_lib.encoder import BertEncoder, EncoderConfig
from course_lib.errors import BadInput
from course_lib.training import TensorBatch, TensorBatches, TrainingConfig, train

Films = NDArray[np.int64]  # (items of one person,), oldest first, numbered from 0
Scores = NDArray[np.float64]  # (people, items)
LENGTH = 50  # items that a model reads


class ItemSequenceModel(nn.Module):
    """The course's encoder on items in place of words. An item has the id number + 1; 0 is padding, the last is [MASK].

    `causal=True` predicts each next item (SASRec, but with the cross-entropy over all items in place of one sampled
    negative; Klenitskiy and Vasilev 2023, arXiv:2309.07602). `causal=False` predicts masked items (BERT4Rec). Output
    vectors are tied to the input's.
    """

    def __init__(self, n_items: int, causal: bool, length: int = LENGTH, width: int = 64, dropout: float = 0.2) -> None:
        super().__init__()
        self.mask_id, self.length = n_items + 1, length
        config = EncoderConfig(
            vocab_size=n_items + 2, hidden_size=width, n_layers=2, n_heads=2, intermediate_size=4 * width,
            max_positions=length, n_segments=1, dropout=dropout, norm="pre", causal=causal,
        )  # fmt: skip
        self.encoder = BertEncoder(config)

    def forward(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq hidden"]:
        """States. A causal model needs no mask for padding on the right: nothing before it reads it."""
        states: Tensor = self.encoder(ids, None if self.encoder.causal else (ids != 0).long())
        return states

    def logits(self, states: Float[Tensor, "*n hidden"]) -> Float[Tensor, "*n items"]:
        """Scores of the items, without padding and [MASK]."""
        return states @ self.encoder.word_embeddings[1:-1].T

    @torch.no_grad()
    def recommend(self, histories: Sequence[Films]) -> Scores:
        """Scores of the next item, from the latest items of each history.

        Raises:
            BadInput: a history without an item.
        """
        if not all(map(len, histories)):
            raise BadInput("a history has no item", "give each person at least one")
        known = self.length - (not self.encoder.causal)
        rows = [[*(items[-known:] + 1), *([] if self.encoder.causal else [self.mask_id])] for items in histories]
        parts = []
        for start in range(0, len(rows), 256):
            ids = padded(rows[start : start + 256], self.length).to(self.encoder.word_embeddings.device)
            last = (ids != 0).sum(1) - 1
            parts.append(self.logits(self(ids)[torch.arange(len(ids)), last]).double().cpu().numpy())
        return np.concatenate(parts)


def padded(rows: Sequence[Any], length: int) -> Int[Tensor, "rows length"]:
    """Ids padded with 0 on the right."""
    table = torch.zeros(len(rows), length, dtype=torch.long)
    for place, row in zip(table, rows, strict=True):
        place[: len(row)] = torch.as_tensor(np.asarray(row))
    return table


def windows(histories: Sequence[Films], length: int) -> Int[Tensor, "rows length"]:
    """Histories cut from their end into windows of `length` ids; neighbours share one item, so no step is lost."""
    rows = []
    for items in histories:
        for end in range(len(items), 1, -(length - 1)):
            rows.append(items[max(0, end - length) : end] + 1)
    return padded(rows, length)


def next_item_loss(model: nn.Module, batch: TensorBatch) -> Tensor:
    """Cross-entropy of each next item; padding is no target."""
    assert isinstance(model, ItemSequenceModel)
    (ids,) = batch.tensors
    inputs, targets = ids[:, :-1], ids[:, 1:]
    real = targets != 0
    return F.cross_entropy(model.logits(model(inputs)[real]), targets[real] - 1)


def masked_item_loss(model: nn.Module, batch: TensorBatch, fraction: float = 0.3) -> Tensor:
    """Cross-entropy of the items behind [MASK]: a random `fraction`, and the last one of half of the rows."""
    assert isinstance(model, ItemSequenceModel)
    (ids,) = batch.tensors
    masked = torch.rand(ids.shape, device=ids.device) < fraction
    last = (ids != 0).sum(1) - 1
    masked[torch.arange(len(ids)), last] |= torch.rand(len(ids), device=ids.device) < 0.5
    masked &= ids != 0
    states = model(ids.masked_fill(masked, model.mask_id))
    total = F.cross_entropy(model.logits(states[masked]), ids[masked] - 1, reduction="sum")
    return total / masked.sum().clamp_min(1)  # a small batch may have no mask at all: 0, not nan


def train_item_sequences(
    histories: Sequence[Films],
    n_items: int,
    *,
    causal: bool,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int = 0,
    **shape: Any,
) -> ItemSequenceModel:
    """A trained model; `shape` are arguments of `ItemSequenceModel`."""
    with machine.seeded(seed):  # of the weights, dropout and masks
        model = ItemSequenceModel(n_items, causal, **shape).to(machine.device())
        batches = TensorBatches(windows(histories, model.length + causal), batch_size=batch_size, seed=seed)
        config = TrainingConfig(epochs=epochs, learning_rate=learning_rate, precision="float32", seed=seed)
        train(model, batches, next_item_loss if causal else masked_item_loss, config)
    return model
