"""Mixup: training on sums of two sentences, with the same sum of their targets (Zhang et al. 2018, arXiv:1710.09412).

Sentences cannot be added, their vectors can: either those of the words or the one of the whole sentence (Guo et al.
2019, arXiv:1905.08941, wordMixup and senMixup).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.batching import Batch
from course_lib.classifier import BERTForSentimentAnalysis, Loss
from course_lib.errors import BadInput

WHERE = ("sentence", "words")


@dataclass(frozen=True)
class Mixup:
    """`TextClassifier.fit(..., loss_wrapper=Mixup())`.

    In each step every row of the batch is mixed with another one of it: share * row + (1 - share) * other, share drawn
    from Beta(alpha, alpha) once a step. The loss is share * loss(row's target) + (1 - share) * loss(other's target),
    which for cross-entropy is the loss of the mixed target. One forward and one backward pass, as without it.

    Args:
        alpha: 0.2 mixes a little most of the time, 1 takes every share as often.
        where: `sentence` mixes the vector that the heads read, `words` the word embeddings, place by place.

    Raises:
        BadInput: an alpha of 0 or less, an unknown place; while training an encoder that is no BERT.
    """

    alpha: float = 0.2
    where: str = "sentence"

    def __post_init__(self) -> None:
        if not 0 < self.alpha < float("inf"):
            raise BadInput(f"alpha is {self.alpha}", "use a finite number above 0")
        if self.where not in WHERE:
            raise BadInput(f"where is {self.where!r}", f"use {' or '.join(WHERE)}")

    def __call__(self, usual: Loss) -> Loss:
        """The usual loss, on mixed sentences."""

        def mixed(module: nn.Module, batch: Batch) -> Tensor:
            # From torch's own numbers: a resumed run finds them where the broken one left them.
            share = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
            order = torch.randperm(len(batch.index)).to(batch.index.device)
            answer = Answer(self._forward(module, batch, share, order))
            other = replace(batch, index=batch.index[order])
            return share * usual(answer, batch) + (1 - share) * usual(answer, other)

        return mixed

    def _forward(self, module: nn.Module, batch: Batch, share: float, order: Int[Tensor, "batch"]) -> Tensor:
        if not isinstance(module, BERTForSentimentAnalysis):
            raise BadInput(f"mixup of a {type(module).__name__}", "use a BERT encoder")
        if self.where == "sentence":
            with _changed(module.bert.pooler, lambda vectors: mix(vectors, share, order)):
                output: Tensor = module(batch.input_ids, batch.attention_mask)
            return output
        present = batch.attention_mask[..., None]  # (batch, seq, 1): behind its end a sentence adds nothing
        both = torch.maximum(batch.attention_mask, batch.attention_mask[order])
        with _changed(module.bert.embeddings.word_embeddings, lambda vectors: mix(vectors * present, share, order)):
            output = module(batch.input_ids, both)
        return output

    def __str__(self) -> str:
        return f"mixup of {self.where} vectors, Beta({self.alpha:g}, {self.alpha:g})"


class Answer(nn.Module):
    """Gives an output that was computed before, so that the usual loss can be asked about it with several targets."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The output, whatever the tokens."""
        return self.output


def mix(vectors: Float[Tensor, "batch ..."], share: float, order: Int[Tensor, "batch"]) -> Float[Tensor, "batch ..."]:
    """share * row + (1 - share) * the row that `order` puts beside it."""
    return share * vectors + (1 - share) * vectors[order]


@contextmanager
def _changed(layer: nn.Module, change: Any) -> Iterator[None]:
    """Inside the block the layer gives the changed output."""
    hook = layer.register_forward_hook(lambda _module, _inputs, output: change(output))
    try:
        yield
    finally:
        hook.remove()
