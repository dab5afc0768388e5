"""What an encoder costs, by formula: weights, operations, memory. Tests hold each against torch's own count.

With H the width, I the inner width, L layers, h heads, and T = batch * seq tokens.
"""

from __future__ import annotations

import torch

from course_lib.encoder.config import EncoderConfig
from course_lib.errors import BadInput


class Parts(dict[str, int]):
    """A number for each part of an encoder, and their sum."""

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.values())


def parameter_count(config: EncoderConfig) -> Parts:
    """Weights by part. The norms are those of all layers and of the embeddings (or the last one, with norm="pre")."""
    width, inner, layers = config.hidden_size, config.intermediate_size, config.n_layers
    return Parts(
        words=config.vocab_size * width,
        positions=config.max_positions * width,
        segments=config.n_segments * width,
        attention=layers * 4 * (width * width + width),
        feed_forward=layers * (2 * width * inner + inner + width),
        norms=(2 * layers + 1) * 2 * width,
        pooler=width * width + width,
    )


def flops_by_part(config: EncoderConfig, batch: int, seq: int, cls_only: bool = False) -> Parts:
    """Floating-point operations of the matrix products of one forward pass, a multiply-add as two, by part.

    Counted as `torch.utils.flop_counter` does: products alone, causal or not. Softmax, norms and GELU, about 1 % of
    the operations but more of the time, are left out; so are the pooler and the heads above.

    Args:
        config: of the encoder.
        batch: rows.
        seq: tokens of a row, padding included.
        cls_only: as in `BertEncoder.forward`: leaves out what only the other positions of the last layer need.
    """
    width, inner = config.hidden_size, config.intermediate_size
    queries = [seq] * (config.n_layers - 1) + [1 if cls_only else seq]
    return Parts(
        projections=sum(batch * (4 * seq + 4 * n) * width * width for n in queries),  # key, value; query, output
        attention=sum(4 * batch * n * seq * width for n in queries),  # Q K^T, and the weights times V
        feed_forward=sum(4 * batch * n * width * inner for n in queries),
    )


def forward_flops(config: EncoderConfig, batch: int, seq: int, cls_only: bool = False) -> int:
    """The sum of `flops_by_part`."""
    return flops_by_part(config, batch, seq, cls_only).total


def activation_bytes(config: EncoderConfig, batch: int, seq: int, dtype: torch.dtype = torch.float32) -> int:
    """Memory that a forward pass keeps for the backward pass, in bytes.

    Counted are the tensors that autograd saves, each once, when nothing is padded, dropped or run under autocast. Not
    counted: weights, gradients and the optimiser (16 bytes a weight with AdamW in float32), what lives only for a
    moment, the output itself, and what the heads above keep. The fused kernel of attention does not keep the table of
    weights (seq * seq values a head): it computes it again, and keeps one number a query.

    Args:
        config: of the encoder.
        batch: rows.
        seq: tokens of a row.
        dtype: of weights and states.
    """
    if not dtype.is_floating_point:
        raise BadInput(f"dtype is {dtype}", "use a floating-point type, such as torch.float32")
    width, inner, heads, layers = config.hidden_size, config.intermediate_size, config.n_heads, config.n_layers
    # A layer: query, key, value, mixed; what its two norms read and return; the inner states before and after GELU.
    layer = 4 * width + 4 * width + 2 * inner
    # And what one more norm reads: the embeddings' (post) or the last one (pre).
    values = batch * seq * (layers * layer + width)
    statistics = batch * seq * (2 * (2 * layers + 1) + layers * heads)
    return values * dtype.itemsize + statistics * 4 + batch * seq * 8  # norms' and softmax's are float32; ids int64
