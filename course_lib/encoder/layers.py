"""The parts of an encoder around attention: embeddings, feed-forward block, and the layer that joins them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.encoder.attention import Attend, SelfAttention
from course_lib.encoder.config import EncoderConfig


class Embeddings(nn.Module):
    """A token's first vector: which piece of a word it is + its position + the sentence that it belongs to.

    BERT normalises the sum (Devlin et al. 2019, arXiv:1810.04805, figure 2). With `norm="pre"` each block normalises
    what it reads, so the sum stays as it is.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_id)
        self.positions = nn.Embedding(config.max_positions, config.hidden_size)
        self.segments = nn.Embedding(config.n_segments, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, config.norm_eps) if config.norm == "post" else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        input_ids: Int[Tensor, "*batch seq"] | None,
        token_type_ids: Int[Tensor, "*batch seq"] | None = None,
        positions: Int[Tensor, "seq"] | None = None,
        inputs_embeds: Float[Tensor, "*batch seq hidden"] | None = None,
    ) -> Float[Tensor, "*batch seq hidden"]:
        """The sum of the three tables' rows; all one sentence, and positions 0, 1, 2, ..., where not given.

        `inputs_embeds` are used in place of the rows of `input_ids`.
        """
        vectors = self.words(input_ids) if inputs_embeds is None else inputs_embeds
        seq = vectors.shape[-2]
        place = self.positions.weight[:seq] if positions is None else self.positions(positions)
        segment = self.segments.weight[0] if token_type_ids is None else self.segments(token_type_ids)
        output: Tensor = self.dropout(self.norm(vectors + (place + segment)))
        return output


class FeedForward(nn.Module):
    """Each token by itself through one wide layer: W2 gelu(W1 x + b1) + b2 (Vaswani et al. 2017, eq. 2).

    GELU instead of ReLU since BERT (Hendrycks and Gimpel 2016, arXiv:1606.08415).
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.hidden_size, config.intermediate_size)
        self.contract = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Float[Tensor, "*batch seq hidden"]) -> Float[Tensor, "*batch seq hidden"]:
        inner = self.expand(hidden)
        # Without gradients the states before GELU are not needed again; a second buffer would cost a tenth more.
        inner = F.gelu(inner) if torch.is_grad_enabled() else torch.ops.aten.gelu_(inner)
        output: Tensor = self.contract(inner)
        return output


class EncoderLayer(nn.Module):
    """Attention, then the feed-forward block; what a block adds is added to what it read, and normalised.

    "post": norm(x + block(x)), as in the Transformer and BERT. "pre": x + block(norm(x)), as in GPT-2.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.norm_first = config.norm == "pre"
        self.attention = SelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, config.norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, config.norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, hidden: Float[Tensor, "*batch seq hidden"], attend: Attend, cls_only: bool = False
    ) -> Float[Tensor, "*batch queries hidden"]:
        """The new states of all positions, or of the first one alone, which attend to all of `hidden`."""
        if self.norm_first:
            normed = self.attention_norm(hidden)
            queries = _first(normed, cls_only)
            states = _first(hidden, cls_only) + self.dropout(self.attention(queries, normed, attend))
            output: Tensor = states + self.dropout(self.feed_forward(self.feed_forward_norm(states)))
        else:
            queries = _first(hidden, cls_only)
            states = self.attention_norm(queries + self.dropout(self.attention(queries, hidden, attend)))
            output = self.feed_forward_norm(states + self.dropout(self.feed_forward(states)))
        return output


def _first(states: Tensor, cls_only: bool) -> Tensor:
    return states[..., :1, :] if cls_only else states
