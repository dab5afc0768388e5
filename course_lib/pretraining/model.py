"""An encoder with the heads of pretraining (masked words, the next sentence, the next word) and their loss."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.encoder import BertEncoder
from course_lib.errors import BadInput

# Of float32 logits alive at one moment: what the cache of a CPU holds. A GPU gets larger chunks, so fewer launches.
_CPU_CHUNK_BYTES, _GPU_CHUNK_BYTES = 32e6, 256e6


class WordHead(nn.Module):
    """From a hidden state to a score for every word (Devlin et al. 2019, 3.1).

    A dense layer, GELU, layer norm, then the product with the encoder's own word embeddings, plus a bias. The
    embeddings are an argument and no attribute, so that a state dictionary holds them once.
    """

    def __init__(self, hidden_size: int, vocab_size: int, norm_eps: float = 1e-12) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=norm_eps)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        nn.init.normal_(self.dense.weight, std=0.02)
        nn.init.zeros_(self.dense.bias)

    def transform(self, hidden: Float[Tensor, "*rows hidden"]) -> Float[Tensor, "*rows hidden"]:
        """What is compared with the embedding of each word."""
        transformed: Tensor = self.norm(F.gelu(self.dense(hidden)))
        return transformed

    def forward(
        self, hidden: Float[Tensor, "*rows hidden"], embeddings: Float[Tensor, "vocab hidden"]
    ) -> Float[Tensor, "*rows vocab"]:
        """Logits of every word."""
        return F.linear(self.transform(hidden), embeddings, self.bias)


class BertForPretraining(nn.Module):
    """BERT with its two pretraining heads, or, with a causal encoder, a small autoregressive language model.

    Args:
        encoder: its word embeddings are the output matrix too.
        next_sentence: adds the head that tells a following sentence from one of another document.
    """

    next_sentence: nn.Linear | None

    def __init__(self, encoder: BertEncoder, next_sentence: bool = True) -> None:
        super().__init__()
        config = encoder.config
        if next_sentence and config.causal:
            raise BadInput("next_sentence=True with a causal encoder", "its first token sees no other: leave it out")
        self.encoder = encoder
        self.words = WordHead(config.hidden_size, config.vocab_size, config.norm_eps)
        self.next_sentence = nn.Linear(config.hidden_size, 2) if next_sentence else None
        if self.next_sentence is not None:
            nn.init.normal_(self.next_sentence.weight, std=0.02)
            nn.init.zeros_(self.next_sentence.bias)

    def forward(
        self,
        input_ids: Int[Tensor, "batch seq"],
        attention_mask: Int[Tensor, "batch seq"] | None = None,
        token_type_ids: Int[Tensor, "batch seq"] | None = None,
    ) -> Float[Tensor, "batch seq vocab"]:
        """Logits of every word at every position. Large: for reading, not for training (see `losses`)."""
        hidden = self.encoder(input_ids, attention_mask, token_type_ids)
        logits: Tensor = self.words(hidden, self.encoder.word_embeddings)
        return logits

    def losses(
        self,
        input_ids: Int[Tensor, "batch seq"],
        attention_mask: Int[Tensor, "batch seq"] | None,
        token_type_ids: Int[Tensor, "batch seq"] | None,
        positions: Int[Tensor, "predicted"],
        targets: Int[Tensor, "predicted"],
        follows: Int[Tensor, "batch"] | None = None,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""] | None]:
        """Mean loss of the predicted words and, where `follows` is given, of next-sentence prediction, in nats.

        Args:
            input_ids: with masks in place.
            attention_mask: 1 for a token, 0 for padding; None where nothing is padded.
            token_type_ids: 0 in the first segment, 1 in the second.
            positions: predicted positions in the flattened batch, row * seq + column.
            targets: the true word there.
            follows: 1 where the second segment follows the first in its document.

        Raises:
            BadInput: `follows` is given to a model without that head.
        """
        hidden = self.encoder(input_ids, attention_mask, token_type_ids)
        chosen = hidden.flatten(0, 1)[positions]
        words = tied_cross_entropy(self.words.transform(chosen), self.encoder.word_embeddings, self.words.bias, targets)
        if follows is None:
            return words, None
        return words, F.cross_entropy(self.follows(hidden).float(), follows)

    def follows(self, hidden: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch 2"]:
        """Logits of (other document, following) for the second segment.

        Raises:
            BadInput: the model has no such head.
        """
        if self.next_sentence is None:
            raise BadInput("this model has no next-sentence head", "make it with next_sentence=True")
        logits: Tensor = self.next_sentence(self.encoder.pool(hidden))
        return logits


# ---- the loss ------------------------------------------------------------------------------------------------


def tied_cross_entropy(
    hidden: Float[Tensor, "predicted hidden"],
    embeddings: Float[Tensor, "vocab hidden"],
    bias: Float[Tensor, "vocab"],
    targets: Int[Tensor, "predicted"],
    *,
    chunk: int | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy, in nats, of softmax(hidden @ embeddings.T + bias) against the targets, without ever holding
    all logits.

    A vocabulary of 30,522 makes the logits the largest tensor of pretraining by far: 8,192 positions x 30,522 x 4 bytes
    is 1 GB, written and read several times a step. Two savings leave the result unchanged: only predicted positions
    (15 % under BERT's rule) reach the output matrix, and they pass through it in chunks, whose gradients are computed
    at once, while the logits are still in a CPU's cache.

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
    limit = _CPU_CHUNK_BYTES if hidden.device.type == "cpu" else _GPU_CHUNK_BYTES
    chunk = chunk or max(1, int(limit / (4 * len(embeddings))))
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
            loss, gradients = _loss_and_gradients(
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


def _loss_and_gradients(
    hidden: Tensor, embeddings: Tensor, bias: Tensor, targets: Tensor, chunk: int, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """Mean loss, and the gradients that are wanted, of (hidden, embeddings, bias), all in float32."""
    total = hidden.new_zeros((), dtype=torch.float32)
    like = (hidden, embeddings, bias)
    gradients = [torch.zeros_like(t, dtype=torch.float32) if w else None for t, w in zip(like, wanted, strict=True)]
    of_hidden, of_embeddings, of_bias = gradients
    for start in range(0, len(targets), chunk):
        part, wanted_ids = hidden[start : start + chunk], targets[start : start + chunk, None]
        scores = torch.addmm(bias, part, embeddings.T) if part.dtype == bias.dtype else part @ embeddings.T + bias
        log_p = torch.log_softmax(scores, dim=1, dtype=torch.float32)
        total -= log_p.gather(1, wanted_ids).sum()
        if not any(wanted):
            continue
        # d loss / d logits = softmax - one-hot, over the number of positions.
        of_logits = log_p.exp_().scatter_add_(1, wanted_ids, log_p.new_full((len(part), 1), -1.0)).div_(len(targets))
        if of_bias is not None:
            of_bias += of_logits.sum(0)
        of_logits = of_logits.to(part.dtype)
        if of_hidden is not None:
            of_hidden[start : start + len(part)] = of_logits @ embeddings
        if of_embeddings is not None and part.dtype == torch.float32:
            of_embeddings.addmm_(of_logits.T, part)
        elif of_embeddings is not None:
            of_embeddings += of_logits.T @ part
    return total / len(targets), gradients
