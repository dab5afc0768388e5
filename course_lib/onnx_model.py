"""A classifier as ONNX Runtime runs it, without torch: tokens, one padded batch, logits.

`compression.OnnxClassifier` gives it the methods of a `TextClassifier`; `serving` answers requests with it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from course_lib.assets.manifest import sha256_of
from course_lib.errors import BadInput, CorruptAsset, MissingAsset

MODEL_FILE, TOKENIZER_FILE, NOTE_FILE = "model.onnx", "tokenizer.json", "classes.json"
FILES = {MODEL_FILE, TOKENIZER_FILE, NOTE_FILE}


class Tokens(NamedTuple):
    """A text for the model."""

    ids: tuple[int, ...]  # with [CLS] and [SEP], at most `max_length`
    truncated: bool  # whether the end of the text is missing


class OnnxModel:
    """The model in a folder that `export_onnx` has written.

    Args:
        folder: with `model.onnx`, `tokenizer.json` and `classes.json`.
        threads: of one prediction.

    Raises:
        MissingAsset: a file is missing.
        CorruptAsset: a file is damaged, or its hash is not the one that the export wrote into `classes.json`.
        BadInput: `threads` is under 1.
    """

    def __init__(self, folder: str | os.PathLike[str], threads: int = 1) -> None:
        self.folder = Path(folder)
        for name in (MODEL_FILE, TOKENIZER_FILE, NOTE_FILE):
            if not (self.folder / name).is_file():
                raise MissingAsset(f"there is no {name} in {self.folder}", "write it with python -m course_lib export")
        try:
            note = json.loads((self.folder / NOTE_FILE).read_text(encoding="utf-8"))
            self.classes: list[Any] = list(note["classes"])
            self.class_names = [str(name) for name in note["names"]]
            self.max_length, self.pad_id = int(note["max_length"]), int(note["pad_id"])
            hashes = dict(note.get("sha256", {}))  # an export of an older version has none
            self._tokenizer = Tokenizer.from_file(str(self.folder / TOKENIZER_FILE))
            self._tokenizer.enable_truncation(self.max_length)
            self._tokenizer.no_padding()
        except Exception as error:  # tokenizers raises bare Exceptions
            raise CorruptAsset(f"{self.folder} is damaged: {error!r}", "export the model again") from error
        for name, expected in hashes.items():
            if sha256_of(self.folder / name) != expected:
                raise CorruptAsset(f"{self.folder / name} is not the file that was exported", "export the model again")
        self._session = session(self.folder / MODEL_FILE, threads)

    def encode(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of each text, in order."""
        rows = self._tokenizer.encode_batch(list(texts))
        return [Tokens(tuple(row.ids), bool(row.overflowing)) for row in rows]

    def logits(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The output before softmax of one batch, padded to its longest row: (batch, classes)."""
        lengths = np.array([len(row) for row in ids])
        mask = np.arange(lengths.max(initial=0)) < lengths[:, None]  # (batch, seq)
        input_ids = np.full(mask.shape, self.pad_id, np.int64)
        input_ids[mask] = np.concatenate([np.asarray(row, np.int64) for row in ids])
        feed = {"input_ids": input_ids, "attention_mask": mask.astype(np.int64)}
        output: NDArray[np.float32] = self._session.run(["logits"], feed)[0]
        return output


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities: NDArray[np.float32] = powers / powers.sum(-1, keepdims=True)
    return probabilities


def session(file: Path, threads: int) -> onnxruntime.InferenceSession:
    """ONNX Runtime's session for a file, on the CPU.

    Raises:
        CorruptAsset: it cannot be read.
        BadInput: `threads` is under 1.
    """
    if threads < 1:
        raise BadInput(f"threads is {threads}", "use 1 or more")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors alone
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own exceptions have no common base but this
        reason = " ".join(str(error).split())[:300]
        raise CorruptAsset(f"{file} cannot be loaded ({reason})", "export the model again") from error
