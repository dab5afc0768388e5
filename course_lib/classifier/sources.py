"""Where encoders and saved classifiers come from: the course, a folder, a hub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from course_lib import assets
from course_lib.classifier.model import AnyEncoder, BERTForSentimentAnalysis
from course_lib.encoder import walks
from course_lib.errors import BadInput, CorruptAsset, MissingAsset, Offline

if TYPE_CHECKING:
    from transformers import BertModel

    from course_lib.classifier.estimator import TextClassifier

COURSE_FILE = "course.json"  # what a saved classifier notes beside transformers' own files
_TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


def encoder_folder(encoder: str) -> Path | str:
    """Where an encoder's configuration, tokenizer and weights are: a folder, or a hub name."""
    if encoder in ("course", "scratch", "tiny"):
        return assets.path("course_encoder")
    return folder_or_hub(encoder)


def folder_or_hub(name: str) -> Path | str:
    if Path(name).is_dir():
        if not (Path(name) / "config.json").exists():
            raise MissingAsset(f"{name} holds no config.json", "give the folder of a saved transformers model")
        return Path(name)
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or not name.strip() or "\x00" in name:
        raise MissingAsset(f"there is no folder {name!r}", "give an existing transformers folder, or a hub name")
    return name


def encoder_config(encoder: str) -> Any:
    from transformers import AutoConfig

    folder = encoder_folder(encoder)
    config = _from_hub(AutoConfig.from_pretrained, folder)
    if encoder == "tiny":
        config.update(_TINY)
    return config


def _from_hub(load: Callable[..., Any], folder: Path | str, **settings: Any) -> Any:
    """Calls a `from_pretrained`, and says in plain words what failed."""
    try:
        return load(str(folder), **settings)
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]
        if isinstance(folder, Path):
            raise CorruptAsset(
                f"{folder} cannot be loaded ({reason})", "save it again, or give another folder"
            ) from error
        raise Offline(
            f"{str(folder)!r} is no folder here and could not be had from the hub ({reason})",
            "check the name, go online once to fetch it, or use encoder='course', which needs no network",
        ) from error


def load_encoder(encoder: str, folder: Path | str, outputs: int, dropout: float, rating_head: bool) -> nn.Module:
    """A module with a new head on the named encoder."""
    from transformers import AutoModel, AutoModelForSequenceClassification, BertModel

    _quiet()
    config = encoder_config(encoder)
    if config.model_type != "bert":
        if rating_head:
            raise BadInput(f"head='multitask' with a {config.model_type} encoder", "use a BERT encoder")
        config.num_labels = outputs
        return AnyEncoder(_from_hub(AutoModelForSequenceClassification.from_pretrained, folder, config=config))
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = dropout
    if encoder in ("scratch", "tiny"):
        bert: nn.Module = BertModel(config)
    else:
        bert = _from_hub(AutoModel.from_pretrained, folder, config=config, dtype=torch.float32)
    if not walks(bert):
        raise BadInput(f"encoder {encoder!r} is a variant of BERT that the course cannot run", "use a plain BERT")
    return BERTForSentimentAnalysis(outputs, bert, dropout, rating_head)


def load_bert(folder: Path) -> BertModel:
    """The plain encoder of a transformers folder, in evaluation mode."""
    from transformers import BertModel

    _quiet()
    model: BertModel = _from_hub(BertModel.from_pretrained, folder, dtype=torch.float32)
    model.eval()
    return model


def _quiet() -> None:
    """transformers reports each new head as missing weights and draws a bar for a load of 0.1 s."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def read_course_file(folder: Path | str) -> dict[str, Any]:
    """What `save` noted beside the weights; sensible guesses for a folder that transformers wrote."""
    file = Path(folder) / COURSE_FILE
    if isinstance(folder, Path) and file.exists():
        try:
            saved: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return {"parameters": saved["parameters"], "classes": saved["classes"]}
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptAsset(f"{file} is damaged: {error}", "save the classifier again") from error
    from transformers import AutoConfig

    config = _from_hub(AutoConfig.from_pretrained, folder)
    head = "regression" if config.num_labels == 1 else "classification"
    return {"parameters": {"head": head}, "classes": [config.id2label[i] for i in range(config.num_labels)]}


def load_classifier(folder: Path | str, classifier: TextClassifier) -> nn.Module:
    from transformers import AutoConfig, AutoModelForSequenceClassification, BertModel

    _quiet()
    config = _from_hub(AutoConfig.from_pretrained, folder)
    if config.model_type != "bert" or not isinstance(folder, Path):
        model = _from_hub(AutoModelForSequenceClassification.from_pretrained, folder, dtype=torch.float32)
        if config.model_type != "bert":
            return AnyEncoder(model).eval()
        module = BERTForSentimentAnalysis(config.num_labels, model.bert, classifier.dropout)
        module.classifier.load_state_dict(model.classifier.state_dict())
        return module.eval()
    module = BERTForSentimentAnalysis(
        config.num_labels, BertModel(config), classifier.dropout, classifier.head == "multitask"
    )
    try:
        module.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:300]
        raise CorruptAsset(f"{folder / 'model.safetensors'} cannot be loaded: {reason}", "save it again") from error
    return module.eval()
