"""Attention: every token reads every other, weighted by how well its query fits the other's key.

    Attention(Q, K, V) = softmax(Q K^T / sqrt(d)) V        (Vaswani et al. 2017, arXiv:1706.03762, eq. 1)

First by hand, a line a step; then torch's fused kernel, which never writes the table of weights to memory. Both take
the same arguments, and a test holds them together.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.encoder.config import EncoderConfig

# How query, key and value become one mixed vector a token. The model chooses it; layers only pass it on.
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def attention_by_hand(
    query: Float[Tensor, "*batch queries size"],
    key: Float[Tensor, "*batch seq size"],
    value: Float[Tensor, "*batch seq size"],
    mask: Bool[Tensor, "*#batch #queries seq"] | None = None,
    *,
    causal: bool = False,
    dropout: float = 0.0,
) -> tuple[Float[Tensor, "*batch queries size"], Float[Tensor, "*batch queries seq"]]:
    """Scaled dot-product attention, a line a step.

    Args:
        query: what each token searches for.
        key: what queries are compared with.
        value: what each token passes on where it is attended to.
        mask: True where a token may attend.
        causal: a token attends to itself and what came before it, never ahead.
        dropout: probability with which a weight is dropped.

    Returns:
        The mixed values, and the weights: rows that sum to 1 (before dropout).
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (*batch, queries, seq)
    if causal:
        ahead = ~causal_mask(key.shape[-2], query.device)[: query.shape[-2]]
        scores = scores.masked_fill(ahead, _lowest(scores))
    if mask is not None:
        scores = scores.masked_fill(~mask, _lowest(scores))
    weights = scores.softmax(-1)
    return F.dropout(weights, dropout) @ value, weights


def _lowest(scores: Tensor) -> float:
    # Not minus infinity: a token that may attend to nothing would get 0 / 0, and spread it.
    return torch.finfo(scores.dtype).min


def attention_fast(
    query: Float[Tensor, "*batch queries size"],
    key: Float[Tensor, "*batch seq size"],
    value: Float[Tensor, "*batch seq size"],
    mask: Bool[Tensor, "*#batch #queries seq"] | None = None,
    *,
    causal: bool = False,
    dropout: float = 0.0,
) -> Float[Tensor, "*batch queries size"]:
    """The same by torch's fused kernel, which keeps no table of weights (Dao et al. 2022, arXiv:2205.14135)."""
    if causal and mask is not None:  # the kernel takes one or the other
        mask, causal = mask & causal_mask(key.shape[-2], query.device)[: query.shape[-2]], False
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, is_causal=causal)


def causal_mask(seq: int, device: torch.device | None = None) -> Bool[Tensor, "seq seq"]:
    """True at [i, j] where token i may attend to token j: to itself and what came before it."""
    return torch.ones(seq, seq, dtype=torch.bool, device=device).tril()


def mask_unless_full(attention_mask: Int[Tensor, "batch seq"] | None) -> Bool[Tensor, "batch 1 1 seq"] | None:
    """`padding_mask`, or None without padding, which is faster. Only a CPU is queried: an accelerator would wait."""
    if attention_mask is None or (attention_mask.device.type == "cpu" and bool(attention_mask.all())):
        return None
    return padding_mask(attention_mask)


def padding_mask(attention_mask: Int[Tensor, "batch seq"]) -> Bool[Tensor, "batch 1 1 seq"]:
    """True at tokens and False at padding, for every head and every query."""
    return attention_mask[:, None, None, :].bool()


class SelfAttention(nn.Module):
    """Several heads side by side, each with a part of the width (Vaswani et al. 2017, section 3.2.2).

    One large product makes the queries of all heads, and one each their keys and values.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        queries: Float[Tensor, "*batch queries hidden"],
        hidden: Float[Tensor, "*batch seq hidden"],
        attend: Attend,
    ) -> Float[Tensor, "*batch queries hidden"]:
        """The attention output of the tokens `queries` over all of `hidden`. The two are often the same."""
        mixed = attend(self.split(self.query(queries)), self.split(self.key(hidden)), self.split(self.value(hidden)))
        merged = mixed.transpose(-3, -2).flatten(-2)  # (*batch, queries, hidden)
        output: Tensor = self.output(merged)
        return output

    def split(self, states: Float[Tensor, "*batch seq hidden"]) -> Float[Tensor, "*batch heads seq size"]:
        """Each head's part of the width."""
        parted: Tensor = states.unflatten(-1, (self.n_heads, -1))
        return parted.transpose(-3, -2)
