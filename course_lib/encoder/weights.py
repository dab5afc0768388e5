"""Weights to and from transformers: the same tensors under other names."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from course_lib.encoder.config import EncoderConfig
from course_lib.errors import BadInput, CorruptAsset, MissingAsset

if TYPE_CHECKING:
    from transformers import BertModel

# Every module that holds weights: its name here, and in transformers' BertModel. {} is the number of a layer.
NAMES = (
    ("embeddings.words", "embeddings.word_embeddings"),
    ("embeddings.positions", "embeddings.position_embeddings"),
    ("embeddings.segments", "embeddings.token_type_embeddings"),
    ("embeddings.norm", "embeddings.LayerNorm"),
    ("layers.{}.attention.query", "encoder.layer.{}.attention.self.query"),
    ("layers.{}.attention.key", "encoder.layer.{}.attention.self.key"),
    ("layers.{}.attention.value", "encoder.layer.{}.attention.self.value"),
    ("layers.{}.attention.output", "encoder.layer.{}.attention.output.dense"),
    ("layers.{}.attention_norm", "encoder.layer.{}.attention.output.LayerNorm"),
    ("layers.{}.feed_forward.expand", "encoder.layer.{}.intermediate.dense"),
    ("layers.{}.feed_forward.contract", "encoder.layer.{}.output.dense"),
    ("layers.{}.feed_forward_norm", "encoder.layer.{}.output.LayerNorm"),
    ("pooler", "pooler.dense"),
)
_TO_THEIRS = dict(NAMES)
_TO_OURS = {theirs: ours for ours, theirs in NAMES}


def their_name(name: str) -> str:
    """`layers.0.attention.query.weight` -> `encoder.layer.0.attention.self.query.weight`."""
    return _translated(name, _TO_THEIRS)


def our_name(name: str) -> str:
    """`encoder.layer.0.attention.self.query.weight` -> `layers.0.attention.query.weight`."""
    return _translated(name, _TO_OURS)


def _translated(name: str, table: dict[str, str]) -> str:
    module, _, kind = name.rpartition(".")
    number = re.search(r"\.(\d+)\.", module)
    general = re.sub(r"\.\d+\.", ".{}.", module, count=1)
    if general not in table:
        raise BadInput(f"{name!r} names no weight of a BERT encoder", f"the modules are {', '.join(table)}")
    return f"{table[general].format(number[1] if number else '')}.{kind}"


def bert_weights(
    source: BertModel | str | os.PathLike[str], dropout: float | None = None
) -> tuple[EncoderConfig, dict[str, Tensor], bool]:
    """Shape, weights under the course's names, and whether it is in training mode, of a BERT or of its folder.

    Raises:
        BadInput: it is no plain BERT.
        MissingAsset, CorruptAsset: the folder holds none, or a damaged one.
    """
    if isinstance(source, (str, os.PathLike)):
        config, weights = _from_folder(Path(source))
        training = False
    else:
        bert: Any = getattr(source, "bert", source)
        if not hasattr(getattr(bert, "config", None), "hidden_size"):
            raise BadInput(
                f"{type(source).__name__} is no BERT", "give a BertModel, or the folder that it was saved in"
            )
        config, weights, training = bert.config, bert.state_dict(), bert.training
    shape = EncoderConfig.from_transformers(config, dropout)  # refuses other models before their weights are renamed
    named = {our_name(name): tensor for name, tensor in weights.items() if not name.endswith("position_ids")}
    return shape, named, training


def load_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a transformers folder, from one safetensors file or from several.

    Raises:
        MissingAsset, CorruptAsset: there are none, or they are damaged.
    """
    weights: dict[str, Tensor] = {}
    for file in check_weight_files(folder):
        try:
            weights |= load_file(file)
        except (OSError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:300]
            raise CorruptAsset(f"{file} cannot be loaded: {reason}", "save it again, or download it again") from error
    return weights


def check_weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a transformers folder, all of them there.

    Raises:
        MissingAsset: it holds none, or its index names some that are not there.
    """
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return [whole]
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptAsset(f"{index} is damaged: {error!r}", "download it again") from error
        if absent := [name for name in names if not (folder / name).is_file()]:
            raise MissingAsset(f"{folder} lacks {absent[0]}, which {index.name} names", "download the folder again")
        return [folder / name for name in names]
    if any(folder.glob("pytorch_model*.bin")):
        raise MissingAsset(
            f"{folder} holds its weights as pytorch_model.bin, a pickle; the course reads safetensors only",
            "convert it: AutoModelForSequenceClassification.from_pretrained(folder).save_pretrained(new_folder), "
            "and save the tokenizer there, too",
        )
    raise MissingAsset(f"{folder} holds no model.safetensors", "give a folder that transformers' save_pretrained wrote")


def _from_folder(folder: Path) -> tuple[Any, dict[str, Tensor]]:
    from transformers import BertConfig

    if not (folder / "config.json").is_file():
        raise MissingAsset(f"{folder} holds no config.json", "give a folder that transformers' save_pretrained wrote")
    try:
        config = BertConfig.from_pretrained(str(folder))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise CorruptAsset(f"{folder} cannot be loaded ({reason})", "save it again, or give another folder") from error
    weights = load_weights(folder)
    prefix = "bert." if any(name.startswith("bert.") for name in weights) else ""
    return config, {n.removeprefix(prefix): tensor.float() for n, tensor in weights.items() if n.startswith(prefix)}
