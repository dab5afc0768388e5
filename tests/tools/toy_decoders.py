"""Tiny decoders with a tokenizer of bytes, and one that writes what it is told, shared by several test modules."""

from __future__ import annotations

from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from course_lib.generation import CausalLM, Decoder, DecoderConfig, KVCache

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, after the three special tokens of ChatML. A letter that is no ASCII takes several tokens."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    names = dict(zip(("unk_token", "bos_token", "eos_token"), special, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        **names,
        pad_token="<|im_end|>",
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def toy_config(**sizes: Any) -> DecoderConfig:
    """Two layers of width 16; a token for each byte and three special ones."""
    return DecoderConfig(
        **{"vocab_size": 259, "hidden_size": 16, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "intermediate_size": 32,
           "max_positions": 256, **sizes}
    )  # fmt: skip


def toy_decoder(seed: int = 0, std: float = 0.4, **sizes: Any) -> Decoder:
    """Random weights, large enough that each token moves the scores."""
    torch.manual_seed(seed)
    model = Decoder(toy_config(**sizes)).eval().requires_grad_(False)
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            weight.normal_(std=std * (2 if name.startswith("embed") else 1))
    return model


def toy_lm(seed: int = 0, **sizes: Any) -> CausalLM:
    """In float64, so that no two ways of computing a score differ by what decides a token."""
    return CausalLM(toy_decoder(seed, **sizes).double(), byte_tokenizer())


class Scripted(Decoder):
    """Writes a given text after a prompt of one token, whatever it reads."""

    def __init__(self, script: list[int]) -> None:
        super().__init__(toy_config(max_positions=max(8, len(script) + 1)))
        self.script = torch.tensor(script)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, cache: KVCache | None = None) -> Tensor:
        """The position of each token."""
        assert cache is not None
        places = torch.arange(cache.length, cache.length + input_ids.shape[1])
        cache.length += input_ids.shape[1]
        return places[None, :, None].expand(len(input_ids), -1, 1)

    def logits(self, hidden: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(self.script[hidden[..., 0]], self.config.vocab_size).double()


def scripted_lm(text: str, end: bool = True) -> CausalLM:
    """A model that writes a text after the prompt `[1]`, then its end token."""
    tokenizer = byte_tokenizer()
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return CausalLM(Scripted([*ids, *[tokenizer.eos_token_id] * end]), tokenizer)
