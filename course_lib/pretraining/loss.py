"""The loss of a language model whose output matrix is the embedding table, without ever holding all logits.

A vocabulary of 30,522 makes the logits the largest tensor of pretraining by far: 8,192 positions x 30,522 x 4 bytes is
1 GB, written and read several times a step. Two savings, neither of which changes the result:

* only predicted positions (15 % under BERT's rule) reach the output matrix;
* these go through it in chunks, and each chunk's gradient is taken at once, while its logits are still in the cache.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.errors import BadInput

_CHUNK_BYTES = 32e6  # of float32 logits alive at one moment


def tied_cross_entropy(
    hidden: Float[Tensor, "predicted hidden"],
    embeddings: Float[Tensor, "vocab hidden"],
    bias: Float[Tensor, "vocab"],
    targets: Int[Tensor, "predicted"],
    *,
    chunk: int | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy, in nats, of softmax(hidden @ embeddings.T + bias) against the targets.

    Equal to `torch.nn.functional.cross_entropy` on the whole logits; gradients reach all three tensors. Products run in
    autocast's precision where that is on, everything else in float32.

    Args:
        hidden: states of the predicted positions alone.
        embeddings: the encoder's word embeddings, to which the output is tied (Press & Wolf 2017, arXiv:1608.05859).
        bias: one number a word.
        targets: token ids.
        chunk: positions at a time; chosen by memory when left out.

    Raises:
        BadInput: there is no position to predict.
    """
    if not len(targets):
        raise BadInput("no position is predicted in this batch", "mask at least one token: raise rate or the batch")
    chunk = chunk or max(1, int(_CHUNK_BYTES / (4 * len(embeddings))))
    loss: Tensor = _TiedCrossEntropy.apply(hidden, embeddings, bias, targets, chunk)  # type: ignore[no-untyped-call]
    return loss


class _TiedCrossEntropy(torch.autograd.Function):
    """Loss and gradients in one pass over the chunks; the backward pass only scales what forward has stored.

    It scales in place, which spares a copy of the table's size, so a second backward pass through it is refused.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, embeddings: Tensor, bias: Tensor, targets: Tensor, chunk: int) -> Tensor:
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
        with torch.autocast(kind, enabled=False):
            loss, gradients = _pass(
                hidden.to(dtype), embeddings.to(dtype), bias.float(), targets, chunk, ctx.needs_input_grad[:3]
            )
        ctx.save_for_backward(*(part for part in gradients if part is not None))
        ctx.spent = False
        ctx.present = [part is not None for part in gradients]
        ctx.dtypes = (hidden.dtype, embeddings.dtype, bias.dtype)
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = outer
        if ctx.spent:
            raise BadInput("a second backward pass through the loss", "compute the loss again for each")
        ctx.spent = True
        saved = iter(ctx.saved_tensors)
        scaled = [
            next(saved).mul_(scale).to(dtype) if there else None
            for there, dtype in zip(ctx.present, ctx.dtypes, strict=True)
        ]
        return (*scaled, None, None)


def _pass(
    hidden: Tensor, embeddings: Tensor, bias: Tensor, targets: Tensor, chunk: int, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """Mean loss, and the gradients that are wanted, of (hidden, embeddings, bias), all in float32."""
    total = hidden.new_zeros((), dtype=torch.float32)
    like = (hidden, embeddings, bias)
    gradients = [torch.zeros_like(t, dtype=torch.float32) if w else None for t, w in zip(like, wanted, strict=True)]
    for start in range(0, len(targets), chunk):
        part, wanted_ids = hidden[start : start + chunk], targets[start : start + chunk, None]
        scores = torch.addmm(bias, part, embeddings.T) if part.dtype == bias.dtype else part @ embeddings.T + bias
        log_p = torch.log_softmax(scores, dim=1, dtype=torch.float32)
        total -= log_p.gather(1, wanted_ids).sum()
        if any(wanted):
            # d loss / d logits = softmax - one-hot, over the number of positions.
            slope = log_p.exp_().scatter_add_(1, wanted_ids, log_p.new_full((len(part), 1), -1.0)).div_(len(targets))
            _add(gradients, slope, part, embeddings, start)
    return total / len(targets), gradients


def _add(gradients: list[Tensor | None], slope: Tensor, part: Tensor, embeddings: Tensor, start: int) -> None:
    """Adds one chunk's share to the gradients."""
    of_hidden, of_embeddings, of_bias = gradients
    if of_bias is not None:
        of_bias += slope.sum(0)
    slope = slope.to(part.dtype)
    if of_hidden is not None:
        of_hidden[start : start + len(part)] = slope @ embeddings
    if of_embeddings is not None:
        if part.dtype == torch.float32:
            of_embeddings.addmm_(slope.T, part)
        else:
            of_embeddings += slope.T @ part
