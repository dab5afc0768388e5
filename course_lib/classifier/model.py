"""The torch modules under a `TextClassifier`."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.encoder import cls_state


class BERTForSentimentAnalysis(nn.Module):
    """A BERT encoder, its pooled output, dropout, a linear head (Devlin et al. 2019, arXiv:1810.04805, figure 4b).

    Parameters carry the names of transformers' `BertForSequenceClassification`, so that either loads the other's.

    Args:
        num_labels: size of the logits; 1 makes a regression head.
        bert: the encoder; a new one of BERT-base's shape, with random weights, when left out.
        dropout: probability with which a value of the pooled output is dropped in training.
        rating_head: adds a second head with one output (multi-task).
    """

    bert: Any  # transformers' BertModel
    rating: nn.Linear | None

    def __init__(
        self,
        num_labels: int = 2,
        bert: nn.Module | None = None,
        dropout: float = 0.1,
        rating_head: bool = False,
    ) -> None:
        super().__init__()
        if bert is None:
            from transformers import BertConfig, BertModel

            bert = BertModel(BertConfig())
        self.bert = bert
        self.dropout = nn.Dropout(dropout)
        hidden: int = self.bert.config.hidden_size
        self.classifier = new_head(hidden, num_labels)
        self.rating = new_head(hidden, 1) if rating_head else None

    def pooled(
        self,
        input_ids: Int[Tensor, "batch seq"],
        attention_mask: Int[Tensor, "batch seq"],
        token_type_ids: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch hidden"]:
        """tanh(W h_CLS + b): the vector that the heads read."""
        state = cls_state(self.bert, input_ids, attention_mask, token_type_ids)
        pooled: Tensor = self.bert.pooler(state[:, None])
        return pooled

    def forward(
        self,
        input_ids: Int[Tensor, "batch seq"],
        attention_mask: Int[Tensor, "batch seq"],
        token_type_ids: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch labels"]:
        """Logits; with a rating head, its output is the last column."""
        pooled = self.dropout(self.pooled(input_ids, attention_mask, token_type_ids))
        logits = self.classifier(pooled)
        return logits if self.rating is None else torch.cat([logits, self.rating(pooled)], dim=-1)


class AnyEncoder(nn.Module):
    """A sequence classifier of transformers that is not BERT, under the same face."""

    model: Any

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def new_head(hidden: int, outputs: int) -> nn.Linear:
    """A linear layer started as in BERT: weights from N(0, 0.02^2), biases 0."""
    head = nn.Linear(hidden, outputs)
    nn.init.normal_(head.weight, std=0.02)
    nn.init.zeros_(head.bias)
    return head
