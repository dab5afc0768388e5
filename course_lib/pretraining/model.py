"""An encoder with the heads of pretraining: masked words, the next sentence, the next word."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.encoder import BertEncoder
from course_lib.errors import BadInput
from course_lib.pretraining.loss import tied_cross_entropy


class WordHead(nn.Module):
    """From a hidden state to a score for every word (Devlin et al. 2019, 3.1).

    A dense layer, GELU, layer norm, then the product with the encoder's own word embeddings, plus a bias. These are
    handed in and not held, so that they stand in a state dictionary once.
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
        next_sentence: adds the head that tells a following sentence from a foreign one.
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
        """Mean loss of the predicted words and, where `follows` is given, of the next-sentence question, in nats.

        Args:
            input_ids: with masks in place.
            attention_mask: 1 for a token, 0 for padding; None where nothing is padded.
            token_type_ids: 0 in the first segment, 1 in the second.
            positions: predicted positions in the flattened batch, row * seq + column.
            targets: the word that stands there in truth.
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
        """Logits of (foreign, following) for the second segment.

        Raises:
            BadInput: the model has no such head.
        """
        if self.next_sentence is None:
            raise BadInput("this model has no next-sentence head", "make it with next_sentence=True")
        logits: Tensor = self.next_sentence(self.encoder.pool(hidden))
        return logits
