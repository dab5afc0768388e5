"""A classifier as a function of a perturbation of its token embeddings: loss and answer of each text."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from course_lib import machine
from course_lib.attacks.perturbation import shifted
from course_lib.attacks.view import input_embeddings
from course_lib.batching import Batch, check_texts, collate, tokenize
from course_lib.classifier import TextClassifier
from course_lib.classifier.data import as_labels, finite
from course_lib.errors import BadInput


@dataclass(frozen=True)
class Differentiable:
    """Texts, what they should give, and the module that reads them."""

    classifier: TextClassifier
    texts: list[str]
    ids: list[list[int]]
    wanted: NDArray[Any]

    @classmethod
    def of(cls, classifier: TextClassifier, texts: Sequence[str], labels: ArrayLike) -> Differentiable:
        if not isinstance(classifier, TextClassifier):
            raise BadInput(f"a {type(classifier).__name__} gives no gradient", "attack a TextClassifier, or ask only")
        classifier.predict([])  # says so itself when it is not fitted
        texts = check_texts(texts)
        ids = tokenize(texts, classifier.tokenizer_, classifier.max_length)
        return cls(classifier, texts, ids, _wanted(classifier, labels, len(texts)))

    @property
    def module(self) -> nn.Module:
        return self.classifier.module_

    @property
    def layer(self) -> nn.Embedding:
        return input_embeddings(self.module)

    @property
    def regression(self) -> bool:
        return self.classifier.head == "regression"

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        return collate(self.ids, rows, int(self.classifier.tokenizer_.pad_token_id or 0)).to(machine.device())

    def look(self, batch: Batch, delta: Tensor) -> tuple[Float[Tensor, "batch"], Tensor]:
        """Each row's loss and answer: the column of the likeliest class, or the predicted number."""
        with shifted(self.layer, delta):
            # In double precision: at 18 nats between two logits the gradient of a float32 softmax is 0.
            output = self.module(batch.input_ids, batch.attention_mask).double()
        wanted = torch.from_numpy(self.wanted[batch.index.cpu().numpy()]).to(output.device)
        if self.regression:
            return F.mse_loss(output[:, 0], wanted.double(), reduction="none"), output[:, 0]
        logits = output[:, : len(self.classifier.classes_)]
        return F.cross_entropy(logits, wanted, reduction="none"), logits.argmax(1)

    def answers(self, found: list[Any]) -> NDArray[Any]:
        if self.regression:
            return np.array(found, np.float32)
        answers: NDArray[Any] = self.classifier.classes_[np.array(found, np.int64)]
        return answers


def _wanted(classifier: TextClassifier, labels: ArrayLike, n: int) -> NDArray[Any]:
    """The labels' columns, or the numbers of a regression model."""
    if n == 0 and np.size(labels) == 0:
        return np.empty(0, np.int64)
    if classifier.head == "regression":
        return finite(labels, n, "labels")
    given, known = as_labels(labels, n, "labels"), classifier.classes_.tolist()
    if unknown := [label for label in given.tolist() if label not in known]:
        raise BadInput(f"the model does not know the label {unknown[0]!r}", f"use some of {known}")
    return np.searchsorted(classifier.classes_, given)


@contextmanager
def evaluated(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode on the course's device; afterwards in its own mode."""
    was_training = module.training
    module.eval().to(machine.device())
    try:
        yield
    finally:
        module.train(was_training)


def noise_of(texts: Sequence[str], shape: tuple[int, ...], seed: int) -> Float[Tensor, "batch seq hidden"]:
    """Numbers from -1 to 1 that depend on the seed and each text alone, not on the texts beside it."""
    noise = torch.empty(shape)
    for row, text in enumerate(texts):
        digest = hashlib.sha256(f"{seed}:{text}".encode()).digest()
        noise[row].uniform_(-1, 1, generator=torch.Generator().manual_seed(int.from_bytes(digest[:7], "big")))
    return noise
