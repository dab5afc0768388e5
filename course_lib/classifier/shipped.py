"""Fine-tuned models that ship with the course: stored as small differences to the course encoder.

Of the table of words only the rows of tokens that the training texts hold are stored: see `encoder.difference`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from course_lib import assets
from course_lib.assets.files import write_atomically
from course_lib.batching import load_tokenizer, tokenize
from course_lib.classifier.data import check_parameters
from course_lib.classifier.model import BERTForSentimentAnalysis
from course_lib.classifier.pretrained import COURSE_FILE, Pretrained, load_bert
from course_lib.encoder.difference import (
    FILE,
    GROUP,
    MATRIX_BITS,
    POSITIONS,
    WHOLE,
    WORD_BITS,
    WORDS,
    add_difference,
    packed,
    quantized,
)
from course_lib.errors import BadInput, CorruptAsset

SENTIMENT_CLASSES = ("negative", "positive")  # all shipped models are trained on sentiment data


def shipped_models() -> list[str]:
    """Names of the fine-tuned models that ship with the course."""
    return sorted(file.parent.name for file in _checkpoints().glob(f"*/{FILE}"))


def shipped_model_folder(name: str) -> Path:
    """Where a shipped model's difference is."""
    return _checkpoints() / name


def _checkpoints() -> Path:
    return assets.data_folder() / "checkpoints"


def save_difference(classifier: Any, folder: Path, texts: Sequence[str]) -> Path:
    """Writes a classifier that was fine-tuned from the course encoder as its difference to it.

    Args:
        classifier: a fitted `TextClassifier`; it is not changed, and differs a little from what `load_shipped` returns.
        folder: made where it is missing.
        texts: those that it was trained on. Words that they do not hold keep the encoder's vectors.

    Raises:
        BadInput: no classifier on the course encoder's shape.
    """
    module, base = getattr(classifier, "module_", None), load_bert(assets.path("course_encoder"))
    if not isinstance(module, BERTForSentimentAnalysis) or module.rating is not None:
        raise BadInput(f"a {type(classifier).__name__} that is no fitted BERT classifier", "fine-tune one first")
    theirs = {f"bert.{name}": tensor for name, tensor in base.state_dict().items()}
    used = {
        WORDS: torch.tensor(sorted({i for row in tokenize(texts, classifier.tokenizer_) for i in row})),
        POSITIONS: torch.arange(classifier.max_length),
    }
    stored: dict[str, Tensor] = {}
    for name, mine in module.state_dict().items():
        mine = mine.detach().cpu()
        if name.startswith(WHOLE):
            stored[name] = mine.half()
        elif name in used:
            rows = used[name]
            stored[f"{name}.rows"] = rows.int()
            _store(stored, name, (mine - theirs[name])[rows], WORD_BITS if name == WORDS else MATRIX_BITS)
        elif mine.dim() == 2 and mine.shape[1] % GROUP == 0 and mine.shape[0] > 2:
            _store(stored, name, mine - theirs[name], MATRIX_BITS)
        else:
            stored[name] = (mine - theirs[name]).half()
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in stored.items()}, folder / FILE)
    parameters = {"max_length": classifier.max_length, "dropout": classifier.dropout}
    note = {"base": "course", "parameters": parameters, "classes": classifier.classes_.tolist()}
    write_atomically(folder / COURSE_FILE, json.dumps(note, indent=1))
    return folder


def _store(stored: dict[str, Tensor], name: str, difference: Float[Tensor, "out in"], bits: int) -> None:
    scales, codes = quantized(difference.reshape(-1, GROUP), bits)
    stored[f"{name}.scales"], stored[f"{name}.codes"] = scales.half(), packed(codes, bits)


def load_shipped(name: str) -> Pretrained:
    """The shipped model of that name.

    Raises:
        CorruptAsset: the files are damaged.
    """
    folder, encoder = shipped_model_folder(name), assets.path("course_encoder")
    bert = load_bert(encoder)
    try:
        note = json.loads((folder / COURSE_FILE).read_text(encoding="utf-8"))
        parameters, classes = {**note["parameters"], "class_names": SENTIMENT_CLASSES}, np.asarray(note["classes"])
        check_parameters(parameters)
        with torch.random.fork_rng(devices=[]):  # the head that it draws is overwritten at once
            module = BERTForSentimentAnalysis(len(classes), bert, parameters["dropout"])
        add_difference(module.state_dict(), load_file(folder / FILE))  # the tensors are the module's own
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CorruptAsset(f"{folder} cannot be loaded ({reason})", f"restore it: git checkout -- {FILE}") from error
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = parameters["dropout"]
    return Pretrained({**parameters, "encoder": "course"}, classes, module.eval(), load_tokenizer(encoder))
