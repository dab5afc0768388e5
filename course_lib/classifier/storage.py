"""A fitted classifier as an ordinary transformers folder: configuration, safetensors, tokenizer; no pickle."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.torch import save_file

from course_lib.classifier.model import AnyEncoder
from course_lib.classifier.sources import COURSE_FILE
from course_lib.errors import BadInput

if TYPE_CHECKING:
    from course_lib.classifier.estimator import TextClassifier

# What `write` may leave, whatever the tokenizer. Only a folder with nothing else in it is ever replaced.
_OURS = {
    "config.json", "model.safetensors", COURSE_FILE, "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt", "spiece.model",
    "tokenizer.model", "sentencepiece.bpe.model",
}  # fmt: skip


def place(folder: str | os.PathLike[str]) -> Path:
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


def write(classifier: TextClassifier, folder: Path) -> None:
    """Weights, configuration, tokenizer and the course's note, flushed to the disk."""
    module: Any = classifier.module_
    classifier.tokenizer_.save_pretrained(folder)
    if isinstance(module, AnyEncoder):
        _name_outputs(module.model.config, classifier)
        module.model.save_pretrained(folder)
    else:
        config = copy.deepcopy(module.bert.config)
        config.architectures = ["BertForSequenceClassification"]
        config.classifier_dropout = classifier.dropout
        _name_outputs(config, classifier)
        config.save_pretrained(folder)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    parameters = {name: value for name, value in classifier.get_params(deep=False).items() if name != "training"}
    classes = None if classifier.head == "regression" else classifier.classes_.tolist()
    note = json.dumps({"parameters": parameters, "classes": classes}, indent=1, default=_plain)
    (folder / COURSE_FILE).write_text(note, encoding="utf-8")


def _name_outputs(config: Any, classifier: TextClassifier) -> None:
    """Tells `AutoModelForSequenceClassification` and its pipeline what the outputs mean."""
    regression = classifier.head == "regression"
    config.problem_type = "regression" if regression else "single_label_classification"
    names = ["rating"] if regression else classifier.class_names_
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}


def _plain(value: Any) -> Any:
    """JSON for what a search over parameters may have put there: numbers of NumPy, paths."""
    if isinstance(value, np.generic):
        return value.item()
    return os.fspath(value)
