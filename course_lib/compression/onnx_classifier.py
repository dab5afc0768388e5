"""A classifier run by ONNX Runtime, with the methods of a `TextClassifier`, from a folder without torch weights."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from course_lib import machine
from course_lib.batching import check_texts, sorted_batches, unique_rows
from course_lib.onnx_model import OnnxModel, softmax
from course_lib.text.classifiers import ProbabilityClassifierMixin


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
        self._model = OnnxModel(folder, torch.get_num_threads() if threads is None else threads)
        self.folder, self.max_length = self._model.folder, self._model.max_length
        self.class_names_ = self._model.class_names
        self._classes = np.asarray(self._model.classes)

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
        ids = [row.ids for row in self._model.encode(different)]
        output = np.empty((len(different), len(self.classes_)), np.float32)
        for rows in sorted_batches([len(row) for row in ids], machine.preset().predict_tokens):
            output[rows] = self._model.logits([ids[row] for row in rows])
        found: NDArray[np.float32] = output[index]
        return found

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes); rows sum to 1. Raises as `decision_logits`."""
        return softmax(self.decision_logits(texts))
