"""A saved BERT classifier that starts quickly: neither transformers nor scikit-learn is loaded for it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn import functional as F

from course_lib import assets, machine
from course_lib.batching import check_texts, collate, sorted_batches, unique_rows, warn_about_cut_texts
from course_lib.encoder import BertEncoder, EncoderConfig
from course_lib.encoder.difference import FILE, add_difference
from course_lib.encoder.weights import our_name
from course_lib.errors import BadInput

_FILES = ("config.json", "course.json", "model.safetensors", "tokenizer.json")
CLASSES = ("negative", "positive")  # of the shipped models


class SavedBert:
    """A classifier or regression on a BERT encoder, saved by `TextClassifier.save` or shipped with the course.

    It is run by `course_lib.encoder`, and predicts what `TextClassifier.from_pretrained` predicts.

    Args:
        folder: of the model.

    Raises:
        Exception: of any kind, if the folder holds no such model, or a damaged one.
    """

    def __init__(self, folder: Path) -> None:
        course = _json(folder / "course.json")
        parameters = course["parameters"]
        self.head: str = parameters.get("head", "classification")
        if self.head == "multitask" or parameters.get("precision", "float32") != "float32":
            raise BadInput(f"head is {self.head!r}, parameters are {parameters}", "use TextClassifier")
        if (folder / FILE).is_file():
            files, names = assets.path("course_encoder"), list(CLASSES)
            weights = _shipped_weights(files, folder)
        else:
            files, weights = folder, load_file(folder / "model.safetensors")
            names = list(_json(folder / "config.json")["id2label"].values())
        self.class_names_, self.max_length = names, int(parameters["max_length"])
        self._classifier = weights.pop("classifier.weight"), weights.pop("classifier.bias")
        if len(self._classifier[1]) != len(names):
            raise BadInput(f"{len(names)} classes", "use TextClassifier")
        config: Any = SimpleNamespace(**_json(files / "config.json"))
        with machine.init_empty_weights():
            self._encoder = BertEncoder(EncoderConfig.from_transformers(config, dropout=0.0)).eval()
        self._encoder.load_state_dict(
            {our_name(name.removeprefix("bert.")): tensor for name, tensor in weights.items()}, assign=True
        )
        self._tokenizer = Tokenizer.from_file(str(files / "tokenizer.json"))
        self._tokenizer.no_padding()

    def decision_logits(self, texts: list[str]) -> NDArray[np.float32]:
        """The outputs of the head before softmax, (n, classes); for regression (n, 1)."""
        unique, places = unique_rows(check_texts(texts))
        self._tokenizer.enable_truncation(self.max_length)
        ids = self._token_ids(unique)
        warn_about_cut_texts(unique, ids, self._whole_token_ids, self.max_length)
        where = machine.device()
        weight, bias = (tensor.to(where) for tensor in self._classifier)
        logits = torch.empty(len(ids), len(bias))
        encoder = self._encoder.to(where)
        with torch.inference_mode():
            for rows in sorted_batches([len(row) for row in ids], machine.preset().predict_tokens):
                batch = collate(ids, rows, self._encoder.config.pad_id or 0).to(where)
                states = encoder(batch.input_ids, batch.attention_mask, cls_only=True)
                logits[batch.index.cpu()] = F.linear(encoder.pool(states), weight, bias).cpu()
        found: NDArray[np.float32] = logits.numpy()[places]
        return found

    def _token_ids(self, texts: list[str]) -> list[list[int]]:
        return [row.ids for row in self._tokenizer.encode_batch_fast(texts)]

    def _whole_token_ids(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        self._tokenizer.no_truncation()
        return {"input_ids": self._token_ids(texts)}

    def predict(self, texts: list[str]) -> NDArray[Any]:
        """The number of each text, for regression."""
        numbers: NDArray[Any] = self.decision_logits(texts)[:, 0]
        return numbers

    def predict_proba(self, texts: list[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes)."""
        return torch.from_numpy(self.decision_logits(texts)).softmax(-1).numpy()

    @staticmethod
    def is_saved(folder: Path) -> bool:
        """Whether the folder has the files of such a model."""
        return all((folder / name).is_file() for name in _FILES)


def _shipped_weights(encoder: Path, folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a shipped model, by the names of transformers' `BertForSequenceClassification`."""
    base, stored = load_file(encoder / "model.safetensors"), load_file(folder / FILE)
    weights = {f"bert.{name}": tensor for name, tensor in base.items() if not name.endswith("position_ids")}
    weights |= {name: stored[name].float() for name in ("classifier.weight", "classifier.bias")}
    add_difference(weights, stored)
    return weights


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
