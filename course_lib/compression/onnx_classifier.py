"""A classifier that ONNX Runtime runs: the same face as a `TextClassifier`, from a folder without torch weights."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score
from tokenizers import Tokenizer

from course_lib import machine
from course_lib.batching import check_texts, collate, sorted_batches
from course_lib.errors import BadInput, CorruptAsset, MissingAsset

MODEL_FILE, TOKENIZER_FILE, NOTE_FILE = "model.onnx", "tokenizer.json", "classes.json"


class OnnxClassifier:
    """Answers texts through ONNX Runtime.

    Args:
        folder: with `model.onnx`, `tokenizer.json` and `classes.json`, as `export` writes it.
        threads: of one answer; as many as torch uses when left out, so that the two can be compared.

    Attributes:
        classes_: the labels, sorted.
        max_length: tokens of a text that are read; the rest is cut.

    Raises:
        MissingAsset: a file is missing.
        CorruptAsset: a file is damaged.
        BadInput: `threads` is under 1.
    """

    head = "classification"

    def __init__(self, folder: str | os.PathLike[str], threads: int | None = None) -> None:
        self.folder = Path(folder)
        for name in (MODEL_FILE, TOKENIZER_FILE, NOTE_FILE):
            if not (self.folder / name).is_file():
                raise MissingAsset(f"there is no {name} in {self.folder}", "write it with python -m course_lib export")
        try:
            note = json.loads((self.folder / NOTE_FILE).read_text(encoding="utf-8"))
            self.classes_: NDArray[Any] = np.asarray(note["classes"])
            self.class_names_ = [str(name) for name in note["names"]]
            self.max_length, self._pad_id = int(note["max_length"]), int(note["pad_id"])
            self._tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER_FILE))
        except Exception as error:  # tokenizers raises bare Exceptions
            raise CorruptAsset(f"{self.folder} is damaged: {error!r}", "export the model again") from error
        self._tokenizer.enable_truncation(self.max_length)
        self._tokenizer.no_padding()
        self._session = session(self.folder / MODEL_FILE, threads)

    def decision_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the head gives before softmax, (n, classes).

        Each different text is computed once, texts of equal length together; the order is that of `texts`.

        Raises:
            BadInput: an item that is not a string.
        """
        texts = check_texts(texts)
        unique = list(dict.fromkeys(texts))
        ids = [row.ids for row in self._tokenizer.encode_batch_fast(unique)]
        output = np.empty((len(unique), len(self.classes_)), np.float32)
        if ids:
            for rows in sorted_batches([len(row) for row in ids], machine.preset().predict_tokens):
                batch = collate(ids, rows, self._pad_id)
                output[rows] = self._run(batch.input_ids.numpy(), batch.attention_mask.numpy())
        place = {text: number for number, text in enumerate(unique)}
        return output[[place[text] for text in texts]]

    def _run(self, input_ids: NDArray[np.int64], attention_mask: NDArray[np.int64]) -> NDArray[np.float32]:
        (logits,) = self._session.run(["logits"], {"input_ids": input_ids, "attention_mask": attention_mask})
        found: NDArray[np.float32] = logits
        return found

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes); rows sum to 1. Raises as `decision_logits`."""
        logits = self.decision_logits(texts)
        powers = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
        answers: NDArray[np.float32] = powers / powers.sum(1, keepdims=True)
        return answers

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """The likeliest class of each text, (n,). Raises as `decision_logits`."""
        answers: NDArray[Any] = self.classes_[self.decision_logits(texts).argmax(1)]
        return answers

    def score(self, texts: Sequence[str], labels: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy."""
        return float(accuracy_score(labels, self.predict(texts), sample_weight=sample_weight))


def session(file: Path, threads: int | None = None) -> onnxruntime.InferenceSession:
    """ONNX Runtime's session for a file on the processor; without a number, with as many threads as torch.

    Raises:
        CorruptAsset: it cannot be read.
        BadInput: `threads` is under 1.
    """
    if threads is not None and threads < 1:
        raise BadInput(f"threads is {threads}", "use 1 or more, or None for as many as torch uses")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.log_severity_level = 3  # errors alone
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions have no common base but this
        reason = " ".join(str(error).split())[:300]
        raise CorruptAsset(f"{file} cannot be loaded ({reason})", "export the model again") from error
