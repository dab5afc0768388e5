"""A pretrained language model with its tokenizer: save, load by name, predict a masked or the next word."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from course_lib import assets, machine
from course_lib.batching import load_tokenizer
from course_lib.checkpoints import atomic_folder
from course_lib.encoder import BertEncoder, EncoderConfig
from course_lib.encoder.weights import our_name, their_name
from course_lib.errors import BadInput, CorruptAsset, MissingAsset
from course_lib.pretraining.adapters import adapter_weights, merge_adapters
from course_lib.pretraining.model import BertForPretraining

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHIPPED = {"tiny-bert": "tiny-bert", "course": "course-words"}  # name -> folder under data/checkpoints/
_WEIGHTS, _NOTE = "model.safetensors", "course.json"
# Our heads' names, and those of transformers' BertForPreTraining.
_HEADS = {
    "words.dense.weight": "cls.predictions.transform.dense.weight",
    "words.dense.bias": "cls.predictions.transform.dense.bias",
    "words.norm.weight": "cls.predictions.transform.LayerNorm.weight",
    "words.norm.bias": "cls.predictions.transform.LayerNorm.bias",
    "words.bias": "cls.predictions.bias",
    "next_sentence.weight": "cls.seq_relationship.weight",
    "next_sentence.bias": "cls.seq_relationship.bias",
}
_OUR_HEADS = {theirs: ours for ours, theirs in _HEADS.items()}


@dataclass(frozen=True)
class LanguageModel:
    """A model and the tokenizer that it was pretrained with.

    Attributes:
        model: in evaluation mode.
        tokenizer: a BERT tokenizer.
    """

    model: BertForPretraining
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str]) -> LanguageModel:
        """A shipped model by its name (`tiny-bert`, `course`), or the folder of a saved one.

        Raises:
            MissingAsset: there is no such model.
            CorruptAsset: its files are damaged.
        """
        folder = shipped_folder(str(name)) if str(name) in SHIPPED else Path(name)
        if not (folder / _WEIGHTS).is_file():
            raise MissingAsset(
                f"there is no language model {str(name)!r}",
                f"use {' or '.join([*shipped(), 'a folder that python -m course_lib pretrain --out has written'])}",
            )
        try:
            note = json.loads((folder / _NOTE).read_text(encoding="utf-8"))
            weights = {name: tensor.float() for name, tensor in load_file(folder / _WEIGHTS).items()}
            model = _on_course_encoder(weights, note) if note["base"] == "course" else _whole(weights, note)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise CorruptAsset(f"{folder} cannot be loaded ({reason})", "fetch or make it again") from error
        tokenizer = load_tokenizer(assets.path("course_encoder") if note["base"] == "course" else folder)
        return cls(model.eval().to(machine.device()), tokenizer)

    def fill(self, text: str, top: int = 5) -> list[list[tuple[str, float]]]:
        """The likeliest words for each `[MASK]` of a text, with their probabilities, the likeliest first.

        Raises:
            BadInput: there is no mask in the text, the text is too long, or the model is causal.
        """
        if self.model.encoder.causal:
            raise BadInput("fill with a causal model, which reads only to the left", "use generate")
        ids = self._ids(text)
        places = (ids[0] == self.tokenizer.mask_token_id).nonzero()[:, 0]
        if not len(places):
            raise BadInput(f"no {self.tokenizer.mask_token} in {text!r:.80}", "put one in the place of a word")
        with torch.inference_mode():
            hidden = self.model.encoder(ids)[0, places]
            probabilities = self.model.words(hidden, self.model.encoder.word_embeddings).softmax(-1)
            best = probabilities.topk(min(top, probabilities.shape[-1]))
        words = [self.tokenizer.convert_ids_to_tokens(row.tolist()) for row in best.indices]
        return [list(zip(w, p.tolist(), strict=True)) for w, p in zip(words, best.values, strict=True)]

    @torch.inference_mode()
    def generate(self, text: str, tokens: int = 30, temperature: float = 0.8, seed: int = 0) -> str:
        """Continues a text, token by token, each drawn from softmax(logits / temperature); 0 takes the likeliest.

        Raises:
            BadInput: the model is not causal, or the temperature is negative.
        """
        if not self.model.encoder.causal:
            raise BadInput("generate with a model that reads in both directions", "use fill, or a causal model")
        if temperature < 0:
            raise BadInput(f"temperature is {temperature}", "use 0 for the likeliest word, or a positive number")
        ids, random = self._ids(text), torch.Generator().manual_seed(seed)
        for _ in range(tokens):
            hidden = self.model.encoder(ids[:, -self.model.encoder.config.max_positions :])[:, -1]
            logits = self.model.words(hidden, self.model.encoder.word_embeddings)[0].float().cpu()
            if temperature == 0:
                drawn = logits.argmax()[None]
            else:
                drawn = torch.multinomial((logits / temperature).softmax(-1), 1, generator=random)
            ids = torch.cat([ids, drawn.to(ids.device)[None]], 1)
        return str(self.tokenizer.decode(ids[0].tolist(), skip_special_tokens=True))

    def _ids(self, text: str) -> Tensor:
        if not isinstance(text, str) or not text.strip():
            raise BadInput(f"the text is {text!r:.80}", "give some words")
        if self.model.encoder.causal:  # in its corpus a document begins after the [SEP] of the one before
            ids = [self.tokenizer.sep_token_id, *self.tokenizer(text, add_special_tokens=False)["input_ids"]]
        else:
            ids = self.tokenizer(text)["input_ids"]
        room = self.model.encoder.config.max_positions
        if len(ids) > room:
            raise BadInput(f"the text has {len(ids)} tokens", f"this model reads {room}: shorten it")
        return torch.tensor([ids], device=next(self.model.parameters()).device)


def shipped() -> list[str]:
    """Names of the models that come with the course."""
    return [name for name in SHIPPED if (shipped_folder(name) / _WEIGHTS).is_file()]


def shipped_folder(name: str) -> Path:
    """The folder of a shipped model."""
    return assets.data_folder() / "checkpoints" / SHIPPED[name]


def save_language_model(
    model: BertForPretraining,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    *,
    base: str | None = None,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Writes a model, complete or not at all; one that is there is replaced.

    A post-norm model becomes a folder that transformers' `BertForPreTraining` loads. On the course encoder (`base` is
    `course`) only the head and the adapters are written.

    Args:
        model: trained.
        tokenizer: its own.
        folder: to write to.
        base: `course` for a frozen course encoder.
        dtype: of the stored weights; half precision takes half the room and changes a probability by about 1e-3.

    Raises:
        BadInput: the folder holds something else.
        CourseError: it cannot be written.
    """
    target = check_save_dir(folder)
    with atomic_folder(target) as part:
        _write(model, tokenizer, part, base, dtype)
    return target


def check_save_dir(folder: str | Path) -> Path:
    """The folder, if a model may be written there: it is free, or holds a model of the course.

    Raises:
        BadInput: it holds something else.
    """
    target = Path(folder)
    if target.exists() and not (target / _NOTE).exists():
        raise BadInput(f"{target} exists and is no language model of the course", "give another folder")
    return target


def _write(
    model: BertForPretraining, tokenizer: PreTrainedTokenizerBase, part: Path, base: str | None, dtype: torch.dtype
) -> None:
    config = model.encoder.config
    if base == "course":
        heads = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("encoder.")}
        weights = heads | {f"adapters.{name}": tensor for name, tensor in adapter_weights(model.encoder).items()}
    else:
        weights = {_saved_name(name): _turned(name, tensor) for name, tensor in model.state_dict().items()}
        tokenizer.save_pretrained(part)
        if config.norm == "post":
            theirs = config.to_transformers()
            theirs.architectures = ["BertForPreTraining"]
            theirs.save_pretrained(part)
    save_file(
        {n: t.detach().to("cpu", dtype).contiguous() for n, t in weights.items()}, part / _WEIGHTS, {"format": "pt"}
    )
    note = {"base": base, "shape": None if base else asdict(config), "next_sentence": model.next_sentence is not None}
    (part / _NOTE).write_text(json.dumps(note, indent=1), encoding="utf-8")


def _saved_name(name: str) -> str:
    """transformers' name of a weight; a pre-norm encoder's last norm, which it does not have, keeps ours."""
    if name in _HEADS or not name.startswith("encoder.") or name.startswith("encoder.last_norm."):
        return _HEADS.get(name, name)
    return "bert." + their_name(name.removeprefix("encoder."))


def _turned(name: str, tensor: Tensor) -> Tensor:
    """In transformers "it follows" is the first of the two classes, here the second, so that 1 means yes."""
    return tensor.flip(0) if name.startswith("next_sentence.") else tensor


def _our_name(name: str) -> str:
    if name.startswith("bert."):
        return "encoder." + our_name(name.removeprefix("bert."))
    return _OUR_HEADS.get(name, name)


def _whole(weights: dict[str, Tensor], note: dict[str, Any]) -> BertForPretraining:
    model = BertForPretraining(BertEncoder(EncoderConfig(**note["shape"])), note["next_sentence"])
    named = {_our_name(name): tensor for name, tensor in weights.items()}
    model.load_state_dict({name: _turned(name, tensor) for name, tensor in named.items()})
    return model


def _on_course_encoder(weights: dict[str, Tensor], note: dict[str, Any]) -> BertForPretraining:
    encoder = BertEncoder.from_transformers(assets.path("course_encoder"))
    merge_adapters(encoder, {n[9:]: tensor for n, tensor in weights.items() if n.startswith("adapters.")})
    model = BertForPretraining(encoder, note["next_sentence"])
    heads = {name: tensor for name, tensor in weights.items() if not name.startswith("adapters.")}
    found = model.load_state_dict(heads, strict=False)
    missing = [name for name in found.missing_keys if not name.startswith("encoder.")]
    if missing or found.unexpected_keys:
        raise KeyError(f"weights of the heads: missing {missing}, unknown {found.unexpected_keys}")
    return model
