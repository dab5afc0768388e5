"""Encoders and saved classifiers: found in the course, a folder or the hub, loaded, and written as such a folder."""

from __future__ import annotations

import copy
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from huggingface_hub.errors import HfHubHTTPError, StrictDataclassError
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from course_lib import assets
from course_lib.batching import collate, load_tokenizer, tokenize
from course_lib.classifier.data import check_parameters
from course_lib.classifier.model import BERTForSentimentAnalysis, TransformersClassifier, forward
from course_lib.encoder import supports_cls_only
from course_lib.encoder.weights import check_weight_files, load_weights
from course_lib.errors import BadInput, CorruptAsset, MissingAsset, Offline
from course_lib.text.modules import input_embeddings

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedModel, PreTrainedTokenizerBase

COURSE_FILE = "course.json"  # what a saved classifier notes beside transformers' own files
_TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]
_PROBES = ["", "good", "a film that is not as good as it could have been"]
# What transformers raises over a damaged folder: there is no common base.
_LOADING_ERRORS = (
    OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError, StrictDataclassError,
)  # fmt: skip
# What `save_classifier` may leave, whatever the tokenizer. Only a folder with nothing else in it is ever replaced.
_OURS = {
    "config.json", "model.safetensors", COURSE_FILE, "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model",
    "tokenizer.model", "sentencepiece.bpe.model",
}  # fmt: skip
_quiet_lock = threading.RLock()


@dataclass
class Pretrained:
    """A fitted classifier as it is stored.

    Attributes:
        parameters: of the `TextClassifier`.
        classes: the class of each output, None for regression.
        module: in evaluation mode.
        tokenizer: of transformers.
    """

    parameters: dict[str, Any]
    classes: NDArray[Any] | None
    module: nn.Module
    tokenizer: PreTrainedTokenizerBase


# ---- where models are --------------------------------------------------------------------------------------------


def encoder_folder(encoder: str | os.PathLike[str]) -> Path:
    """The folder of an encoder's configuration, tokenizer and weights. Raises as `find_folder`."""
    return assets.path("course_encoder") if encoder in ("course", "scratch", "tiny") else find_folder(encoder)


def find_folder(name: str | os.PathLike[str]) -> Path:
    """The folder of a model; what can only be a hub name is downloaded.

    Raises:
        BadInput: not a name at all.
        MissingAsset: there is no such folder, or no model in it.
        Offline: it cannot be downloaded.
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
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(text, allow_patterns=_HUB_FILES))
    except (OSError, ValueError, RuntimeError, HfHubHTTPError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise Offline(
            f"{text!r} is no folder here and could not be downloaded from the hub ({reason})",
            "check the name, go online once to fetch it, or use encoder='course', which needs no network",
        ) from error


def check_save_dir(folder: str | os.PathLike[str]) -> Path:
    """The folder as an absolute path, if a classifier may be written there.

    Raises:
        BadInput: it is a file, or holds something that is no part of a saved classifier.
    """
    if not isinstance(folder, (str, os.PathLike)) or "\x00" in str(folder):
        raise BadInput(f"{folder!r} names no folder", "give a new or empty folder")
    target = Path(folder).resolve()
    if os.path.isdir(target):
        foreign = sorted({entry.name for entry in target.iterdir()} - _OURS)
    else:
        foreign = [target.name] if os.path.exists(target) else []
    if foreign or target == target.parent:
        held = f"it holds {foreign[0]}" if foreign else "it is the root"
        raise BadInput(f"{target} exists and is not a saved classifier: {held}", "give a new or empty folder")
    return target


# ---- loading -----------------------------------------------------------------------------------------------------


def encoder_config(encoder: str | os.PathLike[str]) -> Any:
    """The configuration of an encoder, as transformers reads it. Raises as `find_folder`, and CorruptAsset."""
    config = _config(encoder_folder(encoder))
    if encoder == "tiny":
        config.update(_TINY)
    return config


def load_encoder(
    encoder: str | os.PathLike[str], outputs: int, dropout: float, rating_head: bool, max_length: int
) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """A module with a new head on the named encoder, and its tokenizer, for rows of up to `max_length` tokens.

    New weights are drawn from torch's global generator.
    """
    from transformers import AutoModel, AutoModelForSequenceClassification, BertModel

    folder, config = encoder_folder(encoder), encoder_config(encoder)
    tokenizer = load_tokenizer(folder)
    for name, value in config.to_dict().items():
        if "drop" in name and "layer" not in name and isinstance(value, (int, float)) and not isinstance(value, bool):
            setattr(config, name, dropout)
    if not supports_cls_only(config):
        if rating_head:
            raise BadInput(f"head='multitask' with a {config.model_type} encoder", "use a BERT encoder")
        _check_family(config, folder)
        config.num_labels, config.problem_type = outputs, None
        model = _load(AutoModelForSequenceClassification, folder, config=config, ignore_mismatched_sizes=True)
        module: nn.Module = _adapted(model, tokenizer, folder)
    elif encoder in ("scratch", "tiny"):
        module = BERTForSentimentAnalysis(outputs, BertModel(config), dropout, rating_head)
    else:
        module = BERTForSentimentAnalysis(outputs, _load(AutoModel, folder, config=config), dropout, rating_head)
    check_length(module, max_length)
    return module, tokenizer


def load_bert(folder: Path) -> BertModel:
    """The plain encoder of a transformers folder, in evaluation mode."""
    from transformers import BertModel

    with torch.random.fork_rng(devices=[]):  # a missing pooler is drawn
        model: BertModel = _load(BertModel, folder)
    model.eval()
    return model


def load_classifier(name: str | os.PathLike[str]) -> Pretrained:
    """A saved classifier: a folder that this course or transformers wrote, or a hub name.

    Raises:
        BadInput: a kind of model that the course does not run.
        MissingAsset, Offline, CorruptAsset: there is no such model, no network to fetch it, or it is damaged.
    """
    folder = find_folder(name)
    config = _config(folder)
    parameters, classes = _course_file(folder, config)
    tokenizer = load_tokenizer(folder)
    outputs = 1 if classes is None else len(classes)
    if config.num_labels != outputs:
        raise CorruptAsset(
            f"{folder}: config.json has {config.num_labels} outputs, {COURSE_FILE} {outputs}", "save it again"
        )
    with torch.random.fork_rng(devices=[]):  # weights that are drawn are overwritten at once
        module = _saved_module(folder, config, parameters, tokenizer).eval()
    parameters.setdefault("max_length", min(128, max_positions(module) or 128, tokenizer.model_max_length))
    return Pretrained({**parameters, "encoder": str(name)}, classes, module, tokenizer)


def _saved_module(
    folder: Path, config: Any, parameters: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase
) -> nn.Module:
    from transformers import AutoModelForSequenceClassification, BertModel

    if not supports_cls_only(config):
        return _adapted(_load(AutoModelForSequenceClassification, folder), tokenizer, folder)
    with _said_plainly(folder):
        bert, rating_head = BertModel(config), parameters.get("head") == "multitask"
        module = BERTForSentimentAnalysis(config.num_labels, bert, parameters.get("dropout", 0.1), rating_head)
    try:
        weights = load_weights(folder)
        weights.pop("bert.embeddings.position_ids", None)  # 0, 1, 2, ...: older transformers saved them
        module.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise CorruptAsset(
            f"the weights in {folder} are not those of a classifier: {' '.join(str(error).split())[:300]}",
            "save it again; if it is an encoder, fine-tune it first: TextClassifier(encoder=...).fit(texts, labels)",
        ) from error
    return module


def _course_file(folder: Path, config: Any) -> tuple[dict[str, Any], NDArray[Any] | None]:
    """Parameters and classes that `save_classifier` noted, or those that a folder of transformers implies."""
    file = folder / COURSE_FILE
    if not file.exists():
        _check_family(config, folder)
        if config.num_labels == 1:
            return {"head": "regression"}, None
        return {}, np.asarray([config.id2label[i] for i in range(config.num_labels)])
    try:
        saved = json.loads(file.read_text(encoding="utf-8"))
        parameters, classes = dict(saved["parameters"]), saved["classes"]
        check_parameters(parameters)
        if parameters["head"] == "regression":
            return parameters, None
        if not isinstance(classes, list):
            raise ValueError(f"classes are {classes!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptAsset(f"{file} is damaged: {error!r}", "save the classifier again") from error
    names = [config.id2label.get(i) for i in range(len(classes))]
    if names != [str(label) for label in classes]:
        parameters.setdefault("class_names", names)
    return parameters, np.asarray(classes)


def _check_family(config: Any, folder: Path) -> None:
    """Raises BadInput for what the course would misread."""
    kind = config.problem_type
    if kind == "multi_label_classification" or (kind == "regression" and config.num_labels > 1):
        raise BadInput(
            f"{folder}: problem_type is {kind!r} with {config.num_labels} outputs",
            "give a model that chooses one of several labels, or a regression with one output",
        )
    if config.is_encoder_decoder:
        raise BadInput(
            f"{folder} is an encoder-decoder ({config.model_type})", "give an encoder such as BERT, or a decoder"
        )
    names = [config.id2label.get(i) for i in range(config.num_labels)]
    if len(set(names)) < len(names) or None in names:
        raise BadInput(f"{folder}: id2label in config.json is {config.id2label}", "give each output a name of its own")


def _adapted(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> TransformersClassifier:
    """The model, whose outputs in a padded batch are those of transformers for one text at a time.

    Whether padding changes its outputs is measured on a few texts, not looked up by family.

    Raises:
        BadInput: its outputs differ in any case, it fails on short texts, or the tokenizer is another model's.
    """
    known = input_embeddings(model).num_embeddings
    if (largest := max(tokenizer.get_vocab().values())) >= known:
        raise BadInput(
            f"{folder}: the tokenizer has a token {largest}, the model a table of {known}", "give the model's own one"
        )
    first = tokenizer("good")
    kinds = zip(first["input_ids"], first.get("token_type_ids", first["input_ids"]), strict=True)
    token_types = {token: kind for token, kind in kinds if kind} if "token_type_ids" in first else {}
    model.eval()
    longest = min(32, max_positions(TransformersClassifier(model, {})) or 32)
    probes = [text for text in _PROBES if tokenizer(text)["input_ids"]]
    batch = collate(tokenize(probes, tokenizer, longest), range(len(probes)), pad_token_id(tokenizer))
    with torch.inference_mode():
        try:
            encoded = [tokenizer(text, truncation=True, max_length=longest, return_tensors="pt") for text in probes]
            alone = torch.cat([model(**one).logits for one in encoded])
        except (RuntimeError, ValueError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise BadInput(
                f"{folder}: a {model.config.model_type} fails on texts such as {probes}: {reason}",
                "give a model of another family",
            ) from error
        for padded in (True, False):
            module = TransformersClassifier(model, token_types, padded)
            try:
                found = module(batch.input_ids, batch.attention_mask)
            except ValueError:  # a decoder without a padding token refuses a batch
                continue
            if torch.allclose(found, alone, rtol=1e-3, atol=1e-4):
                return module
    raise BadInput(
        f"{folder}: a {model.config.model_type} has other outputs from token ids than from the inputs of its tokenizer",
        "give a model of another family",
    )


def pad_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id that fills up rows; 0 where the tokenizer has none, since what is masked does not count."""
    return int(tokenizer.pad_token_id or 0)


def max_positions(module: nn.Module) -> int | None:
    """How many tokens of a text the module's table of positions has room for; None without such a table."""
    model: Any = module.bert if isinstance(module, BERTForSentimentAnalysis) else module.model
    positions = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(positions, int) or positions < 1:  # relative positions only
        return None
    for name, layer in model.named_modules():
        # RoBERTa and others count positions from the padding id + 1 on.
        if "position" in name and isinstance(layer, nn.Embedding) and layer.padding_idx is not None:
            return positions - layer.padding_idx - 1
    return positions


def check_length(module: nn.Module, max_length: int) -> None:
    """Raises BadInput if the module cannot read `max_length` tokens."""
    longest = max_positions(module)
    if longest is not None and max_length > longest:
        raise BadInput(f"max_length is {max_length}", f"this encoder reads {longest} tokens at most")


@contextmanager
def _said_plainly(folder: Path) -> Iterator[None]:
    """Names the folder whose loading failed."""
    try:
        yield
    except _LOADING_ERRORS as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CorruptAsset(f"{folder} cannot be loaded ({reason})", "save it again, or give another folder") from error


def _config(folder: Path) -> Any:
    from transformers import AutoConfig

    with _said_plainly(folder):
        return AutoConfig.from_pretrained(str(folder))


def _load(kind: Any, folder: Path, **settings: Any) -> Any:
    """A model in float32 with all its weights read; only the weights of a head or pooler may be new.

    Args:
        kind: a class of transformers.
        folder: where from.
        settings: of `from_pretrained`. With `config` a head may be missing.
    """
    check_weight_files(folder)
    with _said_plainly(folder), _quiet():
        model, told = kind.from_pretrained(
            str(folder), dtype=torch.float32, output_loading_info=True, use_safetensors=True, **settings
        )
    # The names of an encoder's weights begin with a prefix, unless the model is the encoder itself.
    encoder = f"{model.base_model_prefix}." if hasattr(model, model.base_model_prefix) else ""
    required = [name for name in told["missing_keys"] if "config" not in settings or name.startswith(encoder)]
    lacking = sorted(name for name in required if "pooler." not in name)
    if lacking:
        raise CorruptAsset(
            f"{folder} lacks {len(lacking)} weights of a {type(model).__name__}, such as {lacking[0]}",
            "give a folder with all weights; an encoder becomes a classifier by TextClassifier(encoder=...).fit(...)",
        )
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """transformers reports each new head as missing weights and draws a bar for a load of 0.1 s: not in here."""
    from transformers.utils import logging

    with _quiet_lock:  # two loads at once would restore each other's settings
        verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if bar:
                logging.enable_progress_bar()


# ---- saving ------------------------------------------------------------------------------------------------------


def save_classifier(saved: Pretrained, folder: Path) -> None:
    """Weights, configuration, tokenizer and the course's note; no pickle."""
    module: Any = saved.module
    saved.tokenizer.save_pretrained(folder)
    if isinstance(module, TransformersClassifier):
        _name_outputs(module.model.config, saved)
        module.model.save_pretrained(folder)
    else:
        config = copy.deepcopy(module.bert.config)
        config.architectures = ["BertForSequenceClassification"]
        config.classifier_dropout = saved.parameters["dropout"]
        _name_outputs(config, saved)
        config.save_pretrained(folder)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    parameters = {name: value for name, value in saved.parameters.items() if name != "training"}
    classes = None if saved.classes is None else saved.classes.tolist()
    note = json.dumps({"parameters": parameters, "classes": classes}, indent=1, default=_plain)
    (folder / COURSE_FILE).write_text(note, encoding="utf-8")


def class_names(parameters: Mapping[str, Any], classes: NDArray[Any]) -> list[str]:
    """The classes in words: `class_names`, or the labels as text."""
    return [str(name) for name in parameters["class_names"] or classes.tolist()]


def _name_outputs(config: Any, saved: Pretrained) -> None:
    """Tells `AutoModelForSequenceClassification` and its pipeline what the outputs mean."""
    regression = saved.classes is None
    config.problem_type = "regression" if regression else "single_label_classification"
    names = ["rating"] if saved.classes is None else class_names(saved.parameters, saved.classes)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}


def _plain(value: Any) -> Any:
    """JSON for what a search over parameters may have put there: numbers of NumPy, paths."""
    if isinstance(value, np.generic):
        return value.item()
    return os.fspath(value)


# ---- the untouched encoder ---------------------------------------------------------------------------------------


def sentence_vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """The untouched course encoder's vectors, (n, 384): the mean of the last layer's token states.

    Raises:
        BadInput: an item that is not a string.
    """
    bert, tokenizer = _sentence_encoder(assets.path("course_encoder"))

    def mean_state(bert: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask[..., None].to(states.dtype)  # (batch, seq, 1)
        return (states * weights).sum(1) / weights.sum(1)  # type: ignore[no-any-return]

    ids = tokenize(texts, tokenizer)
    return forward(bert, ids, compute=mean_state) if ids else np.empty((0, 384), dtype=np.float32)


@lru_cache(maxsize=1)
def _sentence_encoder(folder: Path) -> tuple[Any, Any]:
    """Kept in memory (91 MB), since sentences are compared again and again."""
    return load_bert(folder), load_tokenizer(folder)
