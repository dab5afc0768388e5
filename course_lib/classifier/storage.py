"""A fitted classifier as an ordinary transformers folder: configuration, safetensors, tokenizer; no pickle."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from course_lib.checkpoints import flush_file
from course_lib.classifier.model import AnyEncoder
from course_lib.classifier.sources import COURSE_FILE

if TYPE_CHECKING:
    from course_lib.classifier.estimator import TextClassifier


def write(classifier: TextClassifier, folder: Path) -> None:
    """Weights, configuration, tokenizer and the course's note, flushed to the disk."""
    module: Any = classifier.module_
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    classifier.tokenizer_.save_pretrained(folder)
    if isinstance(module, AnyEncoder):
        module.model.save_pretrained(folder)
    else:
        transformers_config(classifier).save_pretrained(folder)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    parameters = {name: value for name, value in classifier.get_params(deep=False).items() if name != "training"}
    classes = None if classifier.head == "regression" else classifier.classes_.tolist()
    (folder / COURSE_FILE).write_text(json.dumps({"parameters": parameters, "classes": classes}, indent=1))
    for file in folder.iterdir():
        flush_file(file)


def transformers_config(classifier: TextClassifier) -> Any:
    """The configuration with which `AutoModelForSequenceClassification` finds the same model."""
    module: Any = classifier.module_
    config = copy.deepcopy(module.bert.config)
    regression = classifier.head == "regression"
    config.architectures = ["BertForSequenceClassification"]
    config.classifier_dropout = classifier.dropout
    config.problem_type = "regression" if regression else "single_label_classification"
    names = ["rating"] if regression else classifier.class_names_
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}
    return config
