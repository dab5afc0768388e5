"""A decoder with its tokenizer: load the course's own or any small Llama, save, and turn a conversation into tokens."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock
from jaxtyping import Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from course_lib import assets, machine
from course_lib.batching import check_texts, load_tokenizer, tokenizer_lock
from course_lib.checkpoints import atomic_folder
from course_lib.errors import BadInput, CorruptAsset, MissingAsset
from course_lib.generation.decoder import Decoder, DecoderConfig

if TYPE_CHECKING:
    from transformers import LlamaConfig, PreTrainedTokenizerBase

COURSE_DECODER = (
    "smollm2"  # SmolLM2-135M-Instruct (Ben Allal et al. 2025, arXiv:2502.02737), from the asset of that name
)
_WEIGHTS = "model.safetensors"
_REPAIR = f"save the model again; if it is the course's {COURSE_DECODER}, remove the folder, and it is made again"
_THEIR_NAMES = {
    "vocab_size": "vocab_size",
    "hidden_size": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "intermediate_size": "intermediate_size",
    "max_positions": "max_position_embeddings",
    "norm_eps": "rms_norm_eps",
}
# Our weight of a layer -> those of transformers' Llama that are stacked in it.
_LAYER = {
    "attention_norm.weight": ("input_layernorm",),
    "attention.qkv_proj.weight": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.o_proj.weight": ("self_attn.o_proj",),
    "feed_forward_norm.weight": ("post_attention_layernorm",),
    "feed_forward.gate_up_proj.weight": ("mlp.gate_proj", "mlp.up_proj"),
    "feed_forward.down_proj.weight": ("mlp.down_proj",),
}
# transformers' weight of a layer -> GGUF's
_GGUF = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


@dataclass(frozen=True)
class CausalLM:
    """A decoder and the tokenizer that it was pretrained with.

    Attributes:
        model: in evaluation mode.
        tokenizer: with a chat template in ChatML's form (`<|im_start|>role`, the text, `<|im_end|>`).
    """

    model: Decoder
    tokenizer: PreTrainedTokenizerBase

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.embeddings.weight.device

    @property
    def pad_id(self) -> int:
        """The token that fills up rows; which one it is does not matter, since padding is masked."""
        return int(self.tokenizer.pad_token_id or 0)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str] = COURSE_DECODER) -> CausalLM:
        """The course's decoder (`smollm2`), or the transformers folder of a Llama with tied embeddings.

        The course's decoder is downloaded on first use (93 MB) and kept as a transformers folder (540 MB).

        Raises:
            MissingAsset: there is no such folder.
            CorruptAsset: its files are damaged.
            BadInput: its architecture is another one.
            Offline: the course's decoder is missing and cannot be fetched.
        """
        known = (
            str(name) == COURSE_DECODER
        )  # then transformers' configuration, which takes 2 s to import, is not needed
        folder = course_decoder_folder() if known else Path(name)
        if not (folder / _WEIGHTS).is_file():
            raise MissingAsset(
                f"there is no {folder / _WEIGHTS}", f"use {COURSE_DECODER!r}, or the folder of a Llama for transformers"
            )
        config = DecoderConfig() if known else _config(folder)
        try:
            model = _decoder(config, load_file(folder / _WEIGHTS))
        except (OSError, KeyError, RuntimeError, SafetensorError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise CorruptAsset(f"{folder / _WEIGHTS} cannot be loaded ({reason})", _REPAIR) from error
        tokenizer = load_tokenizer(folder, "PreTrainedTokenizerFast" if known else "AutoTokenizer")
        if len(tokenizer) > config.vocab_size:
            raise BadInput(
                f"{folder}: {len(tokenizer)} tokens, but embeddings of {config.vocab_size}",
                "give the model's tokenizer",
            )
        return cls(model.to(machine.device()), tokenizer)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Writes a folder from which transformers' `AutoModelForCausalLM` and `from_pretrained` load the model.

        Raises:
            BadInput: the folder exists and holds no model.
        """
        target = Path(folder)
        if target.exists() and not (target / _WEIGHTS).exists():
            raise BadInput(f"{target} exists and holds no model", "give another folder")
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in llama_weights(self.model).items()}
        with atomic_folder(target) as part:
            _write(part, self.model.config, weights, self.tokenizer)
        return target

    def encode(self, text: str) -> list[int]:
        """Token ids of a text. Special tokens that it spells out, such as `<|im_end|>`, are read as plain text.

        Raises:
            BadInput: the text is empty or no string.
        """
        (checked,) = check_texts([text], "the prompt")
        if not checked.strip():
            raise BadInput(f"the prompt is {text!r:.80}", "give some words")
        return self._token_ids(checked)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def chat_ids(self, messages: str | Sequence[Mapping[str, str]], system: str | None = None) -> list[int]:
        """A conversation in the model's chat template, up to where its answer begins.

        As `apply_chat_template` makes it, except that a message cannot forge a turn: special tokens that it spells out
        are plain text.

        Args:
            messages: `[{"role": "user", "content": ...}, ...]`; a string is one message of the user.
            system: the system prompt; the model's own when left out.

        Raises:
            BadInput: there is no message, a message is empty, its role is not one of `ROLES`, a second system prompt
                is given, or the tokenizer knows no ChatML.
        """
        turns = _turns(messages, system)
        start: Any = self.tokenizer.convert_tokens_to_ids("<|im_start|>")
        end: Any = self.tokenizer.convert_tokens_to_ids("<|im_end|>")
        if {start, end} & {None, self.tokenizer.unk_token_id}:
            raise BadInput("the tokenizer knows no <|im_start|>", "continue token ids, which `encode` makes of a text")
        ids, newline = [], self._token_ids("\n")
        for role, content in turns:
            ids += [start, *self.encode(f"{role}\n{content}"), end, *newline]
        return [*ids, start, *self.encode("assistant"), *newline]

    def check_ids(self, rows: Sequence[Sequence[int]], name: str) -> list[list[int]]:
        """Rows of token ids as lists of int.

        Raises:
            BadInput: there is no row, a row is empty, or a token is not one of the vocabulary.
        """
        size = self.model.config.vocab_size
        try:
            lists = [list(row) for row in rows]
        except TypeError as error:
            raise BadInput(f"{name} are {rows!r:.80}", "give lists of token ids, as `encode` makes them") from error
        if not lists or not all(lists):
            raise BadInput(f"{name} are {rows!r:.80}", "give at least one, with at least one token each")
        for token in (token for row in lists for token in row):
            if not isinstance(token, Integral) or isinstance(token, bool) or not 0 <= token < size:
                raise BadInput(f"{name} hold the token {token!r}", f"use whole numbers from 0 to {size - 1}")
        return [[int(token) for token in row] for row in lists]

    def pad_left(self, rows: Sequence[list[int]]) -> tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]:
        """Rows of token ids, filled up on the left so that all end at the same place, and their attention mask."""
        longest = max(map(len, rows))
        ids = [[self.pad_id] * (longest - len(row)) + row for row in rows]
        mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(ids, device=self.device), torch.tensor(mask, device=self.device)

    def _token_ids(self, text: str) -> list[int]:
        with tokenizer_lock:
            ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return ids


ROLES = ("system", "user", "assistant")
DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"  # of SmolLM2's chat template


def _turns(messages: str | Sequence[Mapping[str, str]], system: str | None) -> list[tuple[str, str]]:
    """(role, content) of each turn, the system prompt first."""
    fix = 'give [{"role": "user", "content": "..."}]'
    given = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
    if not isinstance(given, Sequence) or not given or not all(isinstance(turn, Mapping) for turn in given):
        raise BadInput(f"messages are {messages!r:.80}", fix)
    turns = [(turn.get("role"), turn.get("content")) for turn in given]
    if turns[0][0] != "system":
        turns.insert(0, ("system", DEFAULT_SYSTEM if system is None else system))
    elif system is not None:
        raise BadInput("there are two system prompts", "leave out `system`, or the first message")
    checked = []
    for role, content in turns:
        if role not in ROLES or not isinstance(content, str):
            raise BadInput(f"a message of {role!r:.40} is {content!r:.80}", f"{fix}; the roles are {', '.join(ROLES)}")
        if role != "system" and not content.strip():
            raise BadInput(f"the {role}'s message is {content!r:.80}", "give some words")
        checked.append((str(role), content))
    return checked


def llama_weights(model: Decoder) -> dict[str, Tensor]:
    """The weights under transformers' names. They are views: no memory is copied."""
    config = model.config
    parts = {
        "attention.qkv_proj.weight": [n * config.head_size for n in (config.n_heads, *[config.n_kv_heads] * 2)],
        "feed_forward.gate_up_proj.weight": [config.intermediate_size] * 2,
    }
    weights = {"model.embed_tokens.weight": model.embeddings.weight, "model.norm.weight": model.norm.weight}
    for number, layer in enumerate(model.layers):
        ours = dict(layer.named_parameters())
        for name, theirs in _LAYER.items():
            split = ours[name].split(parts[name]) if name in parts else [ours[name]]
            weights |= {f"model.layers.{number}.{t}.weight": w for t, w in zip(theirs, split, strict=True)}
    return weights


def course_decoder_folder() -> Path:
    """The transformers folder of the course's decoder; made from its GGUF file when it is not there (10 s)."""
    asset = assets.path(COURSE_DECODER)
    folder = assets.cache_folder() / "decoders" / f"{COURSE_DECODER}-{assets.content_sha256(COURSE_DECODER)[:12]}"
    if not (folder / _WEIGHTS).is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not (folder / _WEIGHTS).is_file():  # another process may have been quicker
                print(f"unpacking the weights of {asset.name} (once, about 10 s)", file=sys.stderr)
                with atomic_folder(folder) as part:
                    _unpack_gguf(asset, part)
    return folder


def _unpack_gguf(file: Path, part: Path) -> None:
    """The 4-bit and 8-bit weights as float32, nothing lost, and the tokenizer."""
    import gguf
    from transformers import AutoTokenizer

    config = DecoderConfig()
    stored = {one.name: one for one in gguf.GGUFReader(file).tensors}

    def weight(name: str) -> Tensor:
        one = stored[f"{name}.weight"]
        return torch.from_numpy(gguf.dequantize(one.data, one.tensor_type).copy())

    weights = {"model.embed_tokens.weight": weight("token_embd"), "model.norm.weight": weight("output_norm")}
    for number in range(config.n_layers):
        for theirs, name in _GGUF.items():
            tensor = weight(f"blk.{number}.{name}")
            heads = {"attn_q": config.n_heads, "attn_k": config.n_kv_heads}.get(name)
            weights[f"model.layers.{number}.{theirs}.weight"] = _halves_paired(tensor, heads) if heads else tensor
    tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    _write(part, config, weights, tokenizer)


def _halves_paired(weight: Tensor, heads: int) -> Tensor:
    """GGUF rotates neighbouring numbers of a head, transformers number i with number i + size/2: reorders the rows."""
    return weight.view(heads, -1, 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape).contiguous()


def _write(part: Path, config: DecoderConfig, weights: dict[str, Tensor], tokenizer: PreTrainedTokenizerBase) -> None:
    from transformers import LlamaConfig

    theirs = LlamaConfig(
        **{name: getattr(config, own) for own, name in _THEIR_NAMES.items()},
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        tie_word_embeddings=True,
        **{name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")},
    )
    theirs.architectures = ["LlamaForCausalLM"]
    theirs.save_pretrained(part)
    tokenizer.save_pretrained(part)
    save_file(weights, part / _WEIGHTS, {"format": "pt"})


def _config(folder: Path) -> DecoderConfig:
    from transformers import AutoConfig

    try:
        theirs: LlamaConfig = AutoConfig.from_pretrained(str(folder))
    except Exception as error:  # transformers checks the types of its fields with errors of many kinds
        raise CorruptAsset(f"{folder / 'config.json'} cannot be read ({error})", "save the model again") from error
    rope: dict[str, Any] = getattr(theirs, "rope_parameters", None) or {}
    met = {
        "model_type": (theirs.model_type, "llama"),
        "tie_word_embeddings": (theirs.tie_word_embeddings, True),
        "rope_type": (rope.get("rope_type"), "default"),
        "attention_bias": (getattr(theirs, "attention_bias", False), False),
        "mlp_bias": (getattr(theirs, "mlp_bias", False), False),
        "hidden_act": (getattr(theirs, "hidden_act", None), "silu"),
        "quantization_config": (getattr(theirs, "quantization_config", None), None),
    }
    for name, (value, wanted) in met.items():
        if value != wanted:
            raise BadInput(f"{folder}: {name} is {value!r}, not {wanted!r}", "give a Llama with tied embeddings")
    shape = {own: getattr(theirs, name) for own, name in _THEIR_NAMES.items()}
    config = DecoderConfig(**shape, rope_theta=rope.get("rope_theta"))  # type: ignore[arg-type]
    if theirs.head_dim != config.head_size:
        raise BadInput(f"{folder}: head_dim is {theirs.head_dim}", f"{config.head_size} would fit its hidden_size")
    return config


def _decoder(config: DecoderConfig, weights: dict[str, Tensor]) -> Decoder:
    """A decoder of transformers' weights. Each is used up, so that there is one copy at a time."""
    with machine.init_empty_weights():
        model = Decoder(config)
    ours = {
        "embeddings.weight": weights.pop("model.embed_tokens.weight").float(),
        "norm.weight": weights.pop("model.norm.weight").float(),
    }
    for number in range(config.n_layers):
        for name, theirs in _LAYER.items():
            parts = [weights.pop(f"model.layers.{number}.{their}.weight").float() for their in theirs]
            ours[f"layers.{number}.{name}"] = torch.cat(parts) if len(parts) > 1 else parts[0]
    if unknown := sorted(weights.keys() - {"lm_head.weight"}):  # a tied head is the embeddings, which are loaded
        raise KeyError(f"{len(unknown)} weights of another architecture, such as {unknown[0]}")
    model.load_state_dict(ours, assign=True)
    model.fill_rotation_table()
    return model.eval().requires_grad_(False)
