"""The shape of an encoder, as one small frozen record."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from course_lib.errors import BadInput

if TYPE_CHECKING:
    from transformers import BertConfig

NORMS = ("post", "pre")


@dataclass(frozen=True)
class EncoderConfig:
    """What decides an encoder's shape and behaviour. The defaults are the course encoder's.

    A toy to print and step through: `EncoderConfig(vocab_size=12, hidden_size=8, n_layers=1, n_heads=2,
    intermediate_size=16, max_positions=10)`.

    Raises:
        BadInput: a size that is no whole number from 1 on, heads that do not divide the width, or an unknown norm.
    """

    vocab_size: int = 30522  # words and pieces of words that have a vector of their own
    hidden_size: int = 384  # numbers of one token's vector
    n_layers: int = 6
    n_heads: int = 12  # each head reads hidden_size / n_heads of those numbers
    intermediate_size: int = 1536  # four times the width, as in Vaswani et al. 2017, section 3.3
    max_positions: int = 512  # positions are learned, so there is a last one
    n_segments: int = 2  # sentence A and sentence B
    dropout: float = 0.0  # 0.1 in the BERT paper; small data seen once needs none
    norm: Literal["post", "pre"] = "post"  # BERT's; "pre" trains without warm-up (Xiong et al. 2020, arXiv:2002.04745)
    norm_eps: float = 1e-12
    causal: bool = False  # True: a token reads only what came before it
    pad_id: int | None = 0  # its vector is not trained through the embeddings

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise BadInput(f"{field.name} is {value!r}", "use a whole number from 1 on")
        if self.hidden_size % self.n_heads:
            raise BadInput(
                f"hidden_size {self.hidden_size} is not divisible by n_heads {self.n_heads}",
                "choose n_heads so that every head gets the same part of the width",
            )
        if not 0 <= self.dropout < 1:
            raise BadInput(f"dropout is {self.dropout!r}", "use a probability from 0 to below 1")
        if self.norm not in NORMS:
            raise BadInput(f"norm is {self.norm!r}", f"use one of {', '.join(map(repr, NORMS))}")
        if self.pad_id is not None and not 0 <= self.pad_id < self.vocab_size:
            raise BadInput(f"pad_id is {self.pad_id!r}", f"use a token id under {self.vocab_size}, or None")

    @classmethod
    def from_transformers(cls, config: BertConfig, dropout: float | None = None) -> EncoderConfig:
        """The same shape as a `BertConfig`.

        Args:
            config: of a plain BERT.
            dropout: replaces the configuration's own.

        Raises:
            BadInput: it describes something that this encoder cannot compute.
        """
        _check_plain(config)
        drops = config.hidden_dropout_prob, config.attention_probs_dropout_prob
        if dropout is None and drops[0] != drops[1]:
            raise BadInput(f"two different probabilities of dropout: {drops}", "name one: dropout=0.1")
        return cls(
            **{own: getattr(config, theirs) for own, theirs in _THEIR_NAMES.items()},
            dropout=drops[0] if dropout is None else dropout,
            causal=bool(getattr(config, "is_decoder", False)),
        )

    def to_transformers(self) -> BertConfig:
        """The same shape as a `BertConfig`.

        Raises:
            BadInput: `norm="pre"`, which transformers' BERT does not know.
        """
        from transformers import BertConfig

        if self.norm != "post":
            raise BadInput("transformers' BertModel has no norm='pre'", "save it as torch weights, or use norm='post'")
        return BertConfig(
            **{theirs: getattr(self, own) for own, theirs in _THEIR_NAMES.items()},
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            is_decoder=self.causal,
        )


_THEIR_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "intermediate_size": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "n_segments": "type_vocab_size",
    "norm_eps": "layer_norm_eps",
    "pad_id": "pad_token_id",
}
# What a BERT must have, or lack, to be computed here.
_PLAIN: dict[str, tuple[Any, ...]] = {
    "model_type": ("bert",),
    "hidden_act": ("gelu",),
    "position_embedding_type": ("absolute", None),
    "add_cross_attention": (False, None),
}


def _check_plain(config: BertConfig) -> None:
    for name, allowed in _PLAIN.items():
        value = getattr(config, name, allowed[0])
        if value not in allowed:
            raise BadInput(f"{name} is {value!r}, not {allowed[0]!r}", "give a plain BERT encoder")
