"""A decoder by hand: Llama's architecture (Touvron et al. 2023, arXiv:2302.13971), as SmolLM2 and most others have it.

What differs from BERT's layers: RMSNorm before each block instead of LayerNorm after it, positions as rotations of
queries and keys, several query heads to one key/value head, a gated feed-forward block, and no biases. The model reads
only to the left, so what it has computed for a prefix stays valid: `KVCache` keeps it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from course_lib.errors import BadInput

_MANY_ROWS = 32  # from so many on, `product` leaves a matrix product to torch


@dataclass(frozen=True)
class DecoderConfig:
    """What decides a decoder's shape. The defaults are those of SmolLM2-135M.

    A toy: `DecoderConfig(vocab_size=12, hidden_size=16, n_layers=2, n_heads=4, n_kv_heads=2, intermediate_size=32)`.

    Raises:
        BadInput: a size below 1, or heads that do not divide the width or each other.
    """

    vocab_size: int = 49152
    hidden_size: int = 576
    n_layers: int = 30
    n_heads: int = 9  # query heads
    n_kv_heads: int = 3  # each serves n_heads / n_kv_heads query heads (Ainslie et al. 2023, arXiv:2305.13245)
    intermediate_size: int = 1536
    max_positions: int = 8192
    rope_theta: float = 100_000.0  # the slowest rotation's period grows with it (Su et al. 2021, arXiv:2104.09864)
    norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for field in fields(self):
            if not isinstance(value := getattr(self, field.name), (int, float)) or not value > 0:
                raise BadInput(f"{field.name} is {value!r}", "use a positive number")
        if self.hidden_size % (2 * self.n_heads) or self.n_heads % self.n_kv_heads:
            raise BadInput(
                f"hidden_size {self.hidden_size}, n_heads {self.n_heads} and n_kv_heads {self.n_kv_heads} do not fit",
                "hidden_size must be an even multiple of n_heads, and n_heads a multiple of n_kv_heads",
            )

    @property
    def head_size(self) -> int:
        """Numbers of one head's query, key or value."""
        return self.hidden_size // self.n_heads


def kv_cache_bytes(config: DecoderConfig, tokens: int, batch: int = 1, bytes_per_value: int = 4) -> int:
    """Memory of a KV cache in bytes: a key and a value for each layer, key/value head and token."""
    return 2 * config.n_layers * config.n_kv_heads * config.head_size * tokens * batch * bytes_per_value


class KVCache:
    """Keys and values of the tokens that the model has read, for every layer.

    Args:
        config: of the decoder.
        batch: rows.
        capacity: tokens that each row has room for.
        like: a tensor with the dtype and device of the model's weights.

    Attributes:
        length: tokens that are stored, padding included.
    """

    def __init__(self, config: DecoderConfig, batch: int, capacity: int, like: Tensor) -> None:
        shape = (config.n_layers, batch, config.n_kv_heads, capacity, config.head_size)
        self.config = config
        self.keys = like.new_empty(shape)
        self.values = like.new_empty(shape)
        self.length = 0

    @property
    def nbytes(self) -> int:
        """Bytes that the stored tokens take."""
        return 2 * self.keys[..., : self.length, :].nbytes

    def append(
        self,
        layer: int,
        keys: Float[Tensor, "batch kv_heads new size"],
        values: Float[Tensor, "batch kv_heads new size"],
    ) -> tuple[Float[Tensor, "batch kv_heads seq size"], Float[Tensor, "batch kv_heads seq size"]]:
        """Stores one layer's keys and values of new tokens; returns those of all tokens so far.

        The decoder raises `length` when all its layers have stored theirs.
        """
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def crop(self, length: int) -> None:
        """Forgets the tokens from position `length` on."""
        self.length = min(self.length, length)

    def repeated(self, batch: int, extra: int) -> KVCache:
        """A copy of a cache of one row for `batch` rows that begin alike, with room for `extra` more tokens each."""
        copy = KVCache(self.config, batch, self.length + extra, self.keys)
        copy.keys[..., : self.length, :] = self.keys[..., : self.length, :]
        copy.values[..., : self.length, :] = self.values[..., : self.length, :]
        copy.length = self.length
        return copy


def product(x: Float[Tensor, "*batch in"], weight: Float[Tensor, "out in"]) -> Float[Tensor, "*batch out"]:
    """x W^T. For few rows on a CPU, without gradients, it is computed as (W x^T)^T, which MKL does faster.

    The result of that has its columns in one piece, for which the fused attention of long prompts has no kernel: many
    rows are left to torch. With one row, the weight is read as two halves: torch shares the products of a batch among
    its threads, but not one product of a matrix and a vector (tests/benchmarks/bench_generate.py).
    """
    outputs, inputs = weight.shape
    rows = x.numel() // inputs
    needs_gradients = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if rows >= _MANY_ROWS or needs_gradients or x.device.type != "cpu":
        return F.linear(x, weight)
    columns = x.reshape(-1, inputs).t()
    if rows == 1 and outputs % 2 == 0:
        result = torch.bmm(weight.view(2, -1, inputs), columns.expand(2, -1, -1)).view(1, outputs)
    else:
        result = (weight @ columns).t()
    return result.view(*x.shape[:-1], outputs)


class Linear(nn.Linear):
    """A linear layer without a bias, computed by `product`."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        return product(x, self.weight)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps), times a learned scale (Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4).

    LayerNorm also subtracts the mean and adds a bias; training goes as well without.
    """

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*batch size"]) -> Float[Tensor, "*batch size"]:
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def rotation_table(config: DecoderConfig) -> tuple[Float[Tensor, "positions size"], Float[Tensor, "positions size"]]:
    """Cosine and sine of the angle by which each pair of numbers is rotated at each position.

    Pair i of a head turns by position / theta^(2i/size) (Su et al. 2021, eq. 15). Number i is paired with number
    i + size/2, as transformers does.
    """
    frequencies = config.rope_theta ** (-torch.arange(0, config.head_size, 2).float() / config.head_size)
    angles = torch.outer(torch.arange(config.max_positions).float(), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(
    x: Float[Tensor, "*batch size"], cos: Float[Tensor, "*#batch size"], sin: Float[Tensor, "*#batch size"]
) -> Float[Tensor, "*batch size"]:
    """Rotates each pair of numbers: a product of two rotated vectors depends only on how far apart they are."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat((-second, first), -1) * sin


class GroupedQueryAttention(nn.Module):
    """Causal attention in which several query heads read the keys and values of one head."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.head_size = config.n_heads, config.n_kv_heads, config.head_size
        self.qkv_proj = Linear(config.hidden_size, (config.n_heads + 2 * config.n_kv_heads) * config.head_size)
        self.o_proj = Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden: Float[Tensor, "batch new hidden"],
        rotation: tuple[Tensor, Tensor],
        mask: Bool[Tensor, "#batch 1 new seq"] | None,
        cache: KVCache | None,
        layer: int,
    ) -> Float[Tensor, "batch new hidden"]:
        """The attention output of new tokens over themselves and what is in the cache."""
        batch, new, _ = hidden.shape
        heads = self.qkv_proj(hidden).view(batch, new, -1, self.head_size).transpose(1, 2)
        turned = rotate(heads[:, : self.n_heads + self.n_kv_heads], *rotation)
        queries, keys = turned.split((self.n_heads, self.n_kv_heads), 1)
        values = heads[:, self.n_heads + self.n_kv_heads :]
        if cache is not None:
            keys, values = cache.append(layer, keys, values)
        mixed = self._attend(queries, keys, values, mask)
        output: Tensor = self.o_proj(mixed)
        return output

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        batch, _, new, size = queries.shape
        if new == 1:  # the query heads of a group are rows of one product, so that no key is copied
            grouped = queries.view(batch, self.n_kv_heads, -1, size)
            mixed = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)
            return mixed.reshape(batch, 1, -1)
        copies = self.n_heads // self.n_kv_heads
        keys, values = keys.repeat_interleave(copies, 1), values.repeat_interleave(copies, 1)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask, is_causal=mask is None)
        return mixed.transpose(1, 2).reshape(batch, new, -1)


class SwiGLU(nn.Module):
    """W_down (silu(W_gate x) * W_up x): one branch decides how much of the other passes.

    Shazeer 2020, arXiv:2002.05202, eq. 6.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_up_proj = Linear(config.hidden_size, 2 * config.intermediate_size)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch hidden"]:
        gate, up = self.gate_up_proj(x).chunk(2, -1)
        output: Tensor = self.down_proj(F.silu(gate) * up)
        return output


class DecoderLayer(nn.Module):
    """Attention, then the feed-forward block; each reads a normalised copy of the state and adds its output to it."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.attention = GroupedQueryAttention(config)
        self.feed_forward_norm = RMSNorm(config.hidden_size, config.norm_eps)
        self.feed_forward = SwiGLU(config)

    def forward(
        self, hidden: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor | None, cache: KVCache | None, layer: int
    ) -> Float[Tensor, "batch new hidden"]:
        """The new states; the arguments are those of the attention."""
        hidden = hidden + self.attention(self.attention_norm(hidden), rotation, mask, cache, layer)
        output: Tensor = hidden + self.feed_forward(self.feed_forward_norm(hidden))
        return output


class Decoder(nn.Module):
    """The whole decoder, equal to transformers' `LlamaModel` on the same weights; its head is tied to the embeddings.

    Args:
        config: its shape. Weights start as N(0, 0.02^2).
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.n_layers))
        self.norm = RMSNorm(config.hidden_size, config.norm_eps)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
        if not self.embeddings.weight.is_meta:
            self.fill_rotation_table()

    def fill_rotation_table(self) -> None:
        """Computes the angles of all positions. They are no weights: a state dictionary lacks them.

        A decoder that was built on the meta device needs this call after its weights are loaded.
        """
        for name, table in zip(("cos", "sin"), rotation_table(self.config), strict=True):
            self.register_buffer(name, table, persistent=False)

    def forward(
        self,
        input_ids: Int[Tensor, "batch new"],
        attention_mask: Int[Tensor, "batch seq"] | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "batch new hidden"]:
        """The last layer's states of new tokens; `logits` makes scores of them.

        Args:
            input_ids: the new tokens, those after what is in the cache.
            attention_mask: 1 for a token, 0 for padding, for all tokens, those in the cache included. None: no padding.
            cache: of the tokens before; the new ones are added to it.

        Raises:
            BadInput: more tokens than positions, or a cache or mask of another size.
        """
        past, new = cache.length if cache else 0, input_ids.shape[1]
        self._check(input_ids, attention_mask, cache)
        mask = attention_mask_of(attention_mask, past, new, input_ids.device)
        rotation = self._rotation(_positions(attention_mask, past, new, input_ids.device))
        hidden = self.embeddings(input_ids)
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden, rotation, mask, cache, number)
        if cache is not None:
            cache.length = past + new
        output: Tensor = self.norm(hidden)
        return output

    def hidden_states(
        self, input_ids: Int[Tensor, "batch seq"], layers: Collection[int]
    ) -> dict[int, Float[Tensor, "batch seq hidden"]]:
        """The states after some layers, of rows that are padded on the right or not at all.

        Those that transformers returns with `output_hidden_states=True`; no layer beyond the last one is computed.

        Args:
            input_ids: token ids.
            layers: after how many layers: 0 gives the embeddings; after all of them the states are normalised.

        Raises:
            BadInput: more tokens than positions, no layer, or one that the decoder does not have.
        """
        if not layers or min(layers) < 0 or max(layers) > len(self.layers):
            raise BadInput(f"layers are {list(layers)}", f"give some numbers from 0 to {len(self.layers)}")
        self._check(input_ids, None, None)
        rotation = self._rotation(_positions(None, 0, input_ids.shape[1], input_ids.device))
        hidden = self.embeddings(input_ids)
        found = {0: hidden}
        for number, layer in enumerate(self.layers[: max(layers)], 1):
            hidden = layer(hidden, rotation, None, None, number - 1)
            if number in layers:
                found[number] = self.norm(hidden) if number == len(self.layers) else hidden
        return {number: found[number] for number in layers}

    def _rotation(self, positions: Int[Tensor, "#batch new"]) -> tuple[Tensor, Tensor]:
        """Cosines and sines, (#batch, 1, new, size)."""
        return self.cos[positions][:, None], self.sin[positions][:, None]

    def _check(self, input_ids: Tensor, attention_mask: Tensor | None, cache: KVCache | None) -> None:
        """Torch would broadcast some of these sizes without an error."""
        batch, end = len(input_ids), input_ids.shape[1] + (cache.length if cache else 0)
        if end > self.config.max_positions:
            raise BadInput(f"{end} tokens", f"this model has {self.config.max_positions} positions: shorten it")
        if attention_mask is not None and attention_mask.shape != (batch, end):
            raise BadInput(
                f"the attention mask has the shape {tuple(attention_mask.shape)}",
                f"give ({batch}, {end}): the tokens in the cache are included",
            )
        if cache and (cache.keys.shape[1] != batch or cache.keys.shape[3] < end):
            raise BadInput(
                f"the cache has room for {cache.keys.shape[1]} rows of {cache.keys.shape[3]} tokens",
                f"make a new one: new_cache({batch}, {end})",
            )

    def logits(self, hidden: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch vocab"]:
        """Scores of every token of the vocabulary as the next one."""
        return product(hidden, self.embeddings.weight)

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """An empty cache for `batch` rows of at most `capacity` tokens."""
        return KVCache(self.config, batch, capacity, self.embeddings.weight)


def attention_mask_of(
    attention_mask: Int[Tensor, "batch seq"] | None, past: int, new: int, device: torch.device
) -> Bool[Tensor, "#batch 1 new seq"] | None:
    """True where a new token may attend: to tokens up to itself that are no padding. None where no mask is needed."""
    if attention_mask is None and (new == 1 or past == 0):
        return None  # the kernel's own causal mask, or no mask at all
    allowed = torch.ones(new, past + new, dtype=torch.bool, device=device).tril(past)[None, None]
    if attention_mask is not None:
        itself = torch.ones_like(allowed).triu(past) & allowed  # padding attends to itself: a row of -inf gives NaN
        allowed = allowed & attention_mask[:, None, None, :].bool() | itself
    return allowed


def _positions(attention_mask: Tensor | None, past: int, new: int, device: torch.device) -> Int[Tensor, "#batch new"]:
    if attention_mask is None:
        return torch.arange(past, past + new, device=device)[None]
    return (attention_mask.cumsum(1) - 1).clamp(min=0)[:, past:]
