"""Where encoders and saved classifiers come from: the course, a folder, a hub."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from course_lib import assets
from course_lib.classifier.model import AnyEncoder, BERTForSentimentAnalysis
from course_lib.classifier.targets import HEADS
from course_lib.encoder import supports_cls_only
from course_lib.errors import BadInput, CorruptAsset, MissingAsset, Offline

if TYPE_CHECKING:
    from transformers import BertModel

    from course_lib.classifier.estimator import TextClassifier

COURSE_FILE = "course.json"  # what a saved classifier notes beside transformers' own files
_TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
# Names under which the configurations of BERT and its relatives keep the probability of dropout.
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")
_HEAD_DROPOUTS = ("classifier_dropout", "seq_classif_dropout")
_NEW_HEADS = ("classifier.", "pre_classifier.", "score.", "pooler.")
# What transformers raises over a damaged folder: there is no common base.
_LOADING_ERRORS = (
    OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError, StrictDataclassError,
)  # fmt: skip


def encoder_folder(encoder: str) -> Path | str:
    """Where an encoder's configuration, tokenizer and weights are: a folder, or a hub name."""
    if encoder in ("course", "scratch", "tiny"):
        return assets.path("course_encoder")
    return folder_or_hub(encoder)


def folder_or_hub(name: str | os.PathLike[str]) -> Path | str:
    """A `Path` for a folder that is here, a string for what can only be a hub name.

    Raises:
        BadInput: not a name at all.
        MissingAsset: there is no such folder, or no model in it.
    """
    if not isinstance(name, (str, os.PathLike)) or not str(name).strip():
        raise BadInput(f"{name!r} names no model", "give a transformers folder or a hub name")
    text = str(name)
    if os.path.isdir(text):
        if not (Path(text) / "config.json").exists():
            raise MissingAsset(f"{text} holds no config.json", "give the folder of a saved transformers model")
        return Path(text)
    like_a_path = text.startswith((".", "/", "~")) or text.count("/") > 1 or "\\" in text
    if not isinstance(name, str) or like_a_path or not text.isprintable() or len(text) > 200:
        shown = text if len(text) <= 200 else f"{text[:40]}... ({len(text)} characters)"
        raise MissingAsset(f"there is no folder {shown!r}", "give an existing transformers folder, or a hub name")
    return text


def encoder_config(encoder: str) -> Any:
    from transformers import AutoConfig

    folder = encoder_folder(encoder)
    config = _from_hub(AutoConfig.from_pretrained, folder)
    if encoder == "tiny":
        config.update(_TINY)
    return config


def longest_row(config: Any) -> int:
    """How many tokens the position table of a model has room for."""
    positions = getattr(config, "max_position_embeddings", None) or 10**9
    # RoBERTa and its kin count positions from the padding id + 1 on.
    return int(positions - (config.pad_token_id + 1 if "roberta" in config.model_type else 0))


@contextmanager
def _said_plainly(folder: Path | str) -> Iterator[None]:
    """Says in plain words what failed in a `from_pretrained`."""
    try:
        yield
    except _LOADING_ERRORS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        if isinstance(folder, Path):
            raise CorruptAsset(
                f"{folder} cannot be loaded ({reason})", "save it again, or give another folder"
            ) from error
        raise Offline(
            f"{str(folder)!r} is no folder here and could not be had from the hub ({reason})",
            "check the name, go online once to fetch it, or use encoder='course', which needs no network",
        ) from error


def _from_hub(load: Callable[..., Any], folder: Path | str, **settings: Any) -> Any:
    with _said_plainly(folder):
        return load(str(folder), **settings)


def _with_weights(load: Callable[..., Any], folder: Path | str, new: tuple[str, ...] = (), **settings: Any) -> Any:
    """A model in float32 with all its weights read; transformers itself draws random numbers for those not found.

    Args:
        load: a `from_pretrained`.
        folder: where from.
        new: how the names of those weights begin that may be missing, and are then made new.
        settings: passed on.
    """
    model, told = _from_hub(load, folder, dtype=torch.float32, output_loading_info=True, **settings)
    lacking = sorted(name for name in told["missing_keys"] if not name.startswith(new))
    if lacking:
        raise CorruptAsset(
            f"{folder} lacks {len(lacking)} weights of a {type(model).__name__}, such as {lacking[0]}",
            "give a folder with all weights; an encoder becomes a classifier by TextClassifier(encoder=...).fit(...)",
        )
    return model


def load_encoder(
    encoder: str, folder: Path | str, outputs: int, dropout: float, rating_head: bool, max_length: int
) -> nn.Module:
    """A module with a new head on the named encoder, for rows of up to `max_length` tokens."""
    from transformers import AutoModel, AutoModelForSequenceClassification, BertModel

    _quiet()
    config = encoder_config(encoder)
    if max_length > longest_row(config):
        raise BadInput(f"max_length is {max_length}", f"encoder {encoder!r} reads {longest_row(config)} tokens at most")
    for name in _DROPOUTS + _HEAD_DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, dropout)
    if config.model_type != "bert":
        if rating_head:
            raise BadInput(f"head='multitask' with a {config.model_type} encoder", "use a BERT encoder")
        config.num_labels = outputs
        load = AutoModelForSequenceClassification.from_pretrained
        return AnyEncoder(_with_weights(load, folder, _NEW_HEADS, config=config, ignore_mismatched_sizes=True))
    if encoder in ("scratch", "tiny"):
        bert: nn.Module = BertModel(config)
    else:
        bert = _with_weights(AutoModel.from_pretrained, folder, ("pooler.",), config=config)
    if not supports_cls_only(bert):
        raise BadInput(f"encoder {encoder!r} is a variant of BERT that the course cannot run", "use a plain BERT")
    return BERTForSentimentAnalysis(outputs, bert, dropout, rating_head)


def load_bert(folder: Path) -> BertModel:
    """The plain encoder of a transformers folder, in evaluation mode."""
    from transformers import BertModel

    _quiet()
    model: BertModel = _with_weights(BertModel.from_pretrained, folder, ("pooler.",))
    model.eval()
    return model


def _quiet() -> None:
    """transformers reports each new head as missing weights and draws a bar for a load of 0.1 s."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def read_course_file(folder: Path | str, known: Collection[str]) -> dict[str, Any]:
    """What `save` noted beside the weights; sensible guesses for a folder that transformers wrote.

    Args:
        folder: of the model, or its hub name.
        known: the parameters that a classifier has.
    """
    file = Path(folder) / COURSE_FILE
    if isinstance(folder, Path) and file.exists():
        try:
            return _noted(json.loads(file.read_text(encoding="utf-8")), known)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptAsset(f"{file} is damaged: {error!r}", "save the classifier again") from error
    from transformers import AutoConfig

    config = _from_hub(AutoConfig.from_pretrained, folder)
    head = "regression" if config.num_labels == 1 else "classification"
    parameters = {"head": head, "max_length": min(128, longest_row(config))}
    return {"parameters": parameters, "classes": [config.id2label[i] for i in range(config.num_labels)]}


def _noted(saved: Any, known: Collection[str]) -> dict[str, Any]:
    parameters, classes = dict(saved["parameters"]), saved["classes"]
    if unknown := sorted(set(parameters) - set(known)):
        raise ValueError(f"unknown parameters {unknown}")
    if parameters["head"] not in HEADS:
        raise ValueError(f"head is {parameters['head']!r}")
    if not isinstance(classes, list) and parameters["head"] != "regression":
        raise ValueError(f"classes are {classes!r}")
    return {"parameters": parameters, "classes": classes}


def load_classifier(folder: Path | str, classifier: TextClassifier) -> nn.Module:
    """The trained module; `classifier` has its parameters and classes already."""
    from transformers import AutoConfig, AutoModelForSequenceClassification, BertModel

    _quiet()
    config = _from_hub(AutoConfig.from_pretrained, folder)
    outputs = 1 if classifier.head == "regression" else len(classifier.classes_)
    if config.num_labels != outputs:
        raise CorruptAsset(
            f"{folder}: config.json has {config.num_labels} outputs, {COURSE_FILE} {outputs}", "save it again"
        )
    if config.model_type != "bert" or not isinstance(folder, Path):
        model = _with_weights(AutoModelForSequenceClassification.from_pretrained, folder)
        if config.model_type != "bert":
            return AnyEncoder(model).eval()
        module = BERTForSentimentAnalysis(config.num_labels, model.bert, classifier.dropout)
        module.classifier.load_state_dict(model.classifier.state_dict())
        return module.eval()
    with _said_plainly(folder):
        bert = BertModel(config)
        module = BERTForSentimentAnalysis(outputs, bert, classifier.dropout, classifier.head == "multitask")
    try:
        weights = load_file(folder / "model.safetensors")
        weights.pop("bert.embeddings.position_ids", None)  # 0, 1, 2, ...: older transformers saved them
        module.load_state_dict(weights, strict=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CorruptAsset(
            f"{folder / 'model.safetensors'} cannot be loaded: {' '.join(str(error).split())[:300]}",
            "save it again; if it is an encoder, fine-tune it first: TextClassifier(encoder=...).fit(texts, labels)",
        ) from error
    return module.eval()
