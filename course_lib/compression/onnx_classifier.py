"""A classifier run by ONNX Runtime, with the methods of a `TextClassifier`, from a folder without torch weights."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from course_lib import machine
from course_lib.batching import check_texts, collate, sorted_batches, unique_rows
from course_lib.errors import BadInput, CorruptAsset, MissingAsset
from course_lib.text.classifiers import ProbabilityClassifierMixin

MODEL_FILE, TOKENIZER_FILE, NOTE_FILE = "model.onnx", "tokenizer.json", "classes.json"
FILES = {MODEL_FILE, TOKENIZER_FILE, NOTE_FILE}


class OnnxClassifier(ProbabilityClassifierMixin):
    """Predicts with ONNX Runtime. A text's prediction does not depend on the other texts of a batch.

    Args:
        folder: with `model.onnx`, `tokenizer.json` and `classes.json`, as `export_onnx` writes it.
        threads: of one prediction; as many as torch uses when left out, so that the two can be compared.

    Raises:
        MissingAsset: a file is missing.
        CorruptAsset: a file is damaged.
        BadInput: `threads` is under 1.
    """

    def __init__(self, folder: str | os.PathLike[str], threads: int | None = None) -> None:
        self.folder = Path(folder)
        for name in (MODEL_FILE, TOKENIZER_FILE, NOTE_FILE):
            if not (self.folder / name).is_file():
                raise MissingAsset(f"there is no {name} in {self.folder}", "write it with python -m course_lib export")
        try:
            note = json.loads((self.folder / NOTE_FILE).read_text(encoding="utf-8"))
            self._classes: NDArray[Any] = np.asarray(note["classes"])
            self.class_names_ = [str(name) for name in note["names"]]
            self.max_length, self._pad_id = int(note["max_length"]), int(note["pad_id"])
            self._tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER_FILE))
        except Exception as error:  # tokenizers raises bare Exceptions
            raise CorruptAsset(f"{self.folder} is damaged: {error!r}", "export the model again") from error
        self._tokenizer.enable_truncation(self.max_length)
        self._tokenizer.no_padding()
        self._session = session(self.folder / MODEL_FILE, threads)

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels of the columns of `predict_proba`."""
        return self._classes

    def decision_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The output before softmax, (n, classes), in the order of `texts`.

        Each different text is computed once, texts of similar length together.

        Raises:
            BadInput: an item that is not a string.
        """
        different, index = unique_rows(check_texts(texts))
        ids = [row.ids for row in self._tokenizer.encode_batch_fast(different)]
        output = np.empty((len(different), len(self.classes_)), np.float32)
        if ids:
            for rows in sorted_batches([len(row) for row in ids], machine.preset().predict_tokens):
                batch = collate(ids, rows, self._pad_id)
                inputs = {"input_ids": batch.input_ids.numpy(), "attention_mask": batch.attention_mask.numpy()}
                output[rows] = self._session.run(["logits"], inputs)[0]
        found: NDArray[np.float32] = output[index]
        return found

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes); rows sum to 1. Raises as `decision_logits`."""
        return torch.from_numpy(self.decision_logits(texts)).softmax(-1).numpy()


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
