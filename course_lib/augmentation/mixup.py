"""Mixup: training on sums of two sentences, with the same sum of their targets (Zhang et al. 2018, arXiv:1710.09412).

Sentences cannot be added, but their vectors can (senMixup in Guo et al. 2019, arXiv:1905.08941).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.batching import Batch
from course_lib.classifier import BERTForSentimentAnalysis, Loss
from course_lib.errors import BadInput
from course_lib.text.modules import shared_copy


@dataclass(frozen=True)
class Mixup:
    """`TextClassifier.fit(..., loss_wrapper=Mixup())`.

    In each step every row of the batch is mixed with another one of it: weight * row + (1 - weight) * other, with one
    weight a step, drawn from Beta(alpha, alpha). The loss is weight * loss(row's target) + (1 - weight) * loss(other's
    target), which for cross-entropy is the loss of the mixed target. One forward and one backward pass, as without it.

    Args:
        alpha: 0.2 mixes a little most of the time, 1 draws every weight equally often.

    Raises:
        BadInput: an alpha of 0 or less; while training an encoder that is no BERT.
    """

    alpha: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.alpha < float("inf"):
            raise BadInput(f"alpha is {self.alpha}", "use a finite number above 0")

    def __call__(self, usual: Loss) -> Loss:
        """The usual loss, on mixed sentences."""

        def mixed(module: nn.Module, batch: Batch) -> Tensor:
            # From torch's own numbers: a resumed run draws what the interrupted one would have drawn.
            weight = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
            order = torch.randperm(len(batch.index)).to(batch.index.device)
            output = FixedOutput(self._forward(module, batch, weight, order))
            other = replace(batch, index=batch.index[order])
            return weight * usual(output, batch) + (1 - weight) * usual(output, other)

        return mixed

    def _forward(self, module: nn.Module, batch: Batch, weight: float, order: Int[Tensor, "batch"]) -> Tensor:
        if not isinstance(module, BERTForSentimentAnalysis):
            raise BadInput(f"mixup of a {type(module).__name__}", "use a BERT encoder")
        private: Any = shared_copy(module)  # other threads do not see its hooks
        private.bert.pooler.register_forward_hook(lambda _, __, vectors: mix(vectors, weight, order))
        output: Tensor = private(batch.input_ids, batch.attention_mask)
        return output

    def __str__(self) -> str:
        return f"mixup of sentence vectors, Beta({self.alpha:g}, {self.alpha:g})"


class FixedOutput(nn.Module):
    """Returns an output that was computed before, so that the usual loss can be taken with several targets."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The output, whatever the tokens."""
        return self.output


def mix(vectors: Float[Tensor, "batch ..."], weight: float, order: Int[Tensor, "batch"]) -> Float[Tensor, "batch ..."]:
    """weight * row + (1 - weight) * the row that `order` pairs it with."""
    return weight * vectors + (1 - weight) * vectors[order]
