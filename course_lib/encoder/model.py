"""The whole encoder: embeddings, a stack of layers, a pooler."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.encoder.attention import Attend, attention_by_hand, attention_fast, mask_unless_full
from course_lib.encoder.config import EncoderConfig
from course_lib.encoder.layers import Embeddings, EncoderLayer
from course_lib.encoder.packed import Packing, block_mask, by_rows, by_varlen, packing, varlen_fits
from course_lib.encoder.weights import bert_weights, their_name
from course_lib.errors import BadInput

if TYPE_CHECKING:
    from transformers import BertModel


class BertEncoder(nn.Module):
    """BERT (Devlin et al. 2019, arXiv:1810.04805), equal to transformers' `BertModel` on the same weights.

    Args:
        config: its shape. Weights start as in BERT: N(0, 0.02^2), biases 0.

    Attributes:
        config: its shape.
        causal: True makes it autoregressive: a token reads only what came before. The weights stay the same.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.causal = config.causal
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.n_layers))
        pre = config.norm == "pre"
        self.last_norm = nn.LayerNorm(config.hidden_size, config.norm_eps) if pre else nn.Identity()
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)
        self.apply(start_as_bert)

    @property
    def word_embeddings(self) -> Float[Tensor, "vocab hidden"]:
        """The vectors of the vocabulary. Prediction heads are tied to them."""
        return self.embeddings.words.weight

    def forward(
        self,
        input_ids: Int[Tensor, "batch seq"] | None = None,
        attention_mask: Int[Tensor, "batch seq"] | None = None,
        token_type_ids: Int[Tensor, "batch seq"] | None = None,
        *,
        inputs_embeds: Float[Tensor, "batch seq hidden"] | None = None,
        cls_only: bool = False,
        by_hand: bool = False,
    ) -> Float[Tensor, "batch queries hidden"]:
        """The last layer's states.

        Args:
            input_ids: token ids, rows of one length.
            attention_mask: 1 for a token, 0 for padding; left out where nothing is padded.
            token_type_ids: 0 for the first sentence, 1 for the second; all 0 when left out.
            inputs_embeds: vectors in place of those of `input_ids`, for tokens that are no words: patches of an image,
                columns of a table. Positions and segments are added to them, as in transformers.
            cls_only: computes the last layer for position 0 alone, all that a classifier reads. It spares a
                seventh of a 6-layer encoder.
            by_hand: attention written out instead of the fused kernel.

        Raises:
            BadInput: rows longer than the table of positions, shapes that do not fit, or not exactly one of `input_ids`
                and `inputs_embeds`.
        """
        self._check(self._places(input_ids, inputs_embeds), attention_mask)
        attend = self._attend(attention_mask, by_hand)
        hidden = self.embeddings(input_ids, token_type_ids, inputs_embeds=inputs_embeds)
        return self._encode(hidden, attend, cls_only)

    def forward_packed(
        self,
        input_ids: Int[Tensor, "tokens"],
        lengths: Sequence[int] | Packing,
        token_type_ids: Int[Tensor, "tokens"] | None = None,
        *,
        by_hand: bool = False,
    ) -> Float[Tensor, "tokens hidden"]:
        """The last layer's states of rows that follow one another, without padding; no row sees another.

        Args:
            input_ids: the tokens of all rows.
            lengths: tokens of each row, or their `packing`, made once for lengths that come again.
            token_type_ids: as in `forward`.
            by_hand: attention written out, with one large mask, instead of the kernels.

        Raises:
            BadInput: lengths that do not add up to the tokens, or a row longer than the table of positions.
        """
        rows = lengths if isinstance(lengths, Packing) else packing(lengths, input_ids.device)
        if input_ids.shape != (rows.tokens,):
            shape = tuple(input_ids.shape)
            raise BadInput(f"input_ids has the shape {shape}, lengths add up to {rows.tokens}", "give all rows as one")
        self._check_length(max(rows.lengths))
        hidden = self.embeddings(input_ids, token_type_ids, rows.positions)
        return self._encode(hidden, self._attend_packed(rows, by_hand))

    def pool(self, hidden: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch hidden"]:
        """tanh(W h_0 + b): one vector a row, made from its first token."""
        pooled: Tensor = self.pooler(hidden[:, 0])
        return pooled.tanh()

    def attention_maps(
        self, input_ids: Int[Tensor, "batch seq"], attention_mask: Int[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "layers batch heads seq seq"]:
        """The attention weights of each layer and head, computed by hand. Rows sum to 1."""
        self._check(input_ids, attention_mask)
        mask, maps = mask_unless_full(attention_mask), []

        def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            mixed, weights = attention_by_hand(query, key, value, mask, causal=self.causal)
            maps.append(weights)
            return mixed

        self._encode(self.embeddings(input_ids), attend)
        return torch.stack(maps)

    def _encode(self, hidden: Tensor, attend: Attend, cls_only: bool = False) -> Tensor:
        *lower, last = self.layers
        for layer in lower:
            hidden = layer(hidden, attend)
        output: Tensor = self.last_norm(last(hidden, attend, cls_only))
        return output

    def _attend(self, attention_mask: Tensor | None, by_hand: bool) -> Attend:
        mask, dropout = mask_unless_full(attention_mask), self.config.dropout if self.training else 0.0
        if by_hand:
            return lambda q, k, v: attention_by_hand(q, k, v, mask, causal=self.causal, dropout=dropout)[0]
        return partial(attention_fast, mask=mask, causal=self.causal, dropout=dropout)

    def _attend_packed(self, rows: Packing, by_hand: bool) -> Attend:
        dropout = self.config.dropout if self.training else 0.0
        if by_hand:
            mask = block_mask(rows.lengths, rows.positions.device)
            return lambda q, k, v: attention_by_hand(q, k, v, mask, causal=self.causal, dropout=dropout)[0]

        def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            if varlen_fits(query, dropout):
                return by_varlen(query, key, value, packed=rows, causal=self.causal)
            return by_rows(query, key, value, packed=rows, causal=self.causal, dropout=dropout)

        return attend

    def _places(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        """Something of the shape (batch, seq): the ids, or one number of each vector."""
        if input_ids is not None and inputs_embeds is None:
            return input_ids
        if inputs_embeds is None or input_ids is not None:
            raise BadInput("give exactly one of input_ids and inputs_embeds", "leave the other one out")
        if inputs_embeds.shape[-1] != self.config.hidden_size:
            raise BadInput(
                f"inputs_embeds has the shape {tuple(inputs_embeds.shape)}",
                f"give vectors of {self.config.hidden_size} numbers: (batch, seq, hidden)",
            )
        return inputs_embeds[..., 0]

    def _check(self, input_ids: Tensor, attention_mask: Tensor | None) -> None:
        if input_ids.ndim != 2:
            raise BadInput(f"input_ids has the shape {tuple(input_ids.shape)}", "give rows of tokens: (batch, seq)")
        self._check_length(input_ids.shape[1])
        if attention_mask is not None and attention_mask.shape != input_ids.shape:
            shapes = tuple(attention_mask.shape), tuple(input_ids.shape)
            raise BadInput("attention_mask has the shape {}, input_ids {}".format(*shapes), "give one value a token")

    def _check_length(self, tokens: int) -> None:
        if tokens > self.config.max_positions:
            raise BadInput(
                f"a row of {tokens} tokens", f"this encoder has {self.config.max_positions} positions: cut it"
            )

    @classmethod
    def from_transformers(cls, source: BertModel | str | os.PathLike[str], dropout: float | None = None) -> BertEncoder:
        """The same encoder with the same weights, as copies.

        Args:
            source: transformers' `BertModel` (or a model with one as `.bert`), or a folder that it was saved in.
            dropout: replaces the configuration's own.

        Raises:
            BadInput: it is no plain BERT.
            MissingAsset, CorruptAsset: the folder holds none, or a damaged one.
        """
        config, weights, training = bert_weights(source, dropout)
        encoder = cls(config).to(next(iter(weights.values())).device)
        missing, unexpected = encoder.load_state_dict(weights, strict=False)
        lacking = [name for name in missing if not name.startswith("pooler.")]  # a missing pooler is drawn
        if lacking or unexpected:
            raise BadInput(f"weights that do not fit: {[*lacking, *unexpected][:3]}", "give weights of a plain BERT")
        return encoder.train(training)

    def to_transformers(self) -> BertModel:
        """transformers' `BertModel` with copies of these weights.

        Raises:
            BadInput: `norm="pre"`, which transformers' BERT does not know.
        """
        from transformers import BertModel

        config = self.config.to_transformers()
        config.is_decoder = self.causal
        with torch.random.fork_rng(devices=[]):  # the weights that it draws are overwritten at once
            model: BertModel = BertModel(config)
        model.load_state_dict({their_name(name): tensor for name, tensor in self.state_dict().items()})
        model.train(self.training)
        return model


def start_as_bert(module: nn.Module) -> None:
    """Weights from N(0, 0.02^2), biases 0, the vector of padding 0; for `Module.apply`."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        nn.init.zeros_(module.weight[module.padding_idx])
