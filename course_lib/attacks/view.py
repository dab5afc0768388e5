"""How an attack sees the model: answers to texts, and gradients with respect to word embeddings."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from course_lib import machine
from course_lib.attacks.document import Document
from course_lib.attacks.goals import Goal
from course_lib.batching import collate, sorted_batches
from course_lib.errors import BadInput

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Slope:
    """The gradient of the goal at one document.

    Args:
        vectors: (words, hidden), the gradient with respect to each word's embedding, summed over its tokens.
        embeddings: of the model that was asked.
    """

    vectors: Rows
    embeddings: Embeddings

    @property
    def lengths(self) -> Rows:
        """(words,), how much the goal depends on each word."""
        lengths: Rows = np.linalg.norm(self.vectors, axis=1)
        return lengths

    def gains(self, position: int, old: str, new: Sequence[str]) -> Rows:
        """What each new word would add to the goal, to first order (Ebrahimi et al. 2018, arXiv:1712.06751, eq. 1).

        A word of several tokens counts as the mean of their embeddings.
        """
        vectors = self.embeddings.of([old, *new])
        gains: Rows = (vectors[1:] - vectors[:1]) @ self.vectors[position]
        return gains


class Embeddings:
    """The word embeddings of a classifier's module, and what is known of words in them."""

    def __init__(self, classifier: Any) -> None:
        layer = input_embeddings(classifier.module_)
        self.tokenizer = classifier.tokenizer_
        self.table: Rows = layer.weight.detach().float().cpu().numpy()
        self._known: dict[str, Rows] = {}

    def of(self, words: Sequence[str]) -> Rows:
        """(n words, hidden): the mean embedding of each word's tokens; zeros where a word has none."""
        if missing := [word for word in dict.fromkeys(words) if word not in self._known]:
            pieces = self.tokenizer(missing, add_special_tokens=False, return_attention_mask=False)["input_ids"]
            for word, ids in zip(missing, pieces, strict=True):
                self._known[word] = self.table[ids].mean(0) if ids else np.zeros_like(self.table[0])
        return np.stack([self._known[word] for word in words])

    @cached_property
    def whole_words(self) -> NDArray[np.int64]:
        """Token ids that are a word of letters on their own."""
        vocabulary = self.tokenizer.get_vocab()
        special = set(self.tokenizer.all_special_ids)
        return np.array([i for word, i in vocabulary.items() if word.isalpha() and len(word) > 1 and i not in special])

    @cached_property
    def unit_table(self) -> Rows:
        """The table with rows of length 1."""
        lengths = np.linalg.norm(self.table, axis=1, keepdims=True)
        unit: Rows = self.table / np.maximum(lengths, 1e-9)
        return unit


class View:
    """A classifier as attacks ask it, with the time that this took.

    Args:
        classifier: anything with `predict_proba`, or a regression `TextClassifier`.
        goal: what gradients are taken of.
        precision: of the answers, for classifiers that can choose.
        twin: another model of the same classes that is asked in the classifier's place, such as its export in 8 bits.

    Raises:
        BadInput: a twin of other classes.
    """

    def __init__(self, classifier: Any, goal: Goal, precision: str | None = None, twin: Any = None) -> None:
        self.original = classifier
        self.classifier = classifier
        if twin is not None:
            _same_classes(classifier, twin)
            self.classifier, precision = twin, None
        gains = precision != "auto" or machine.precision() != torch.float32
        if precision and gains and getattr(classifier, "precision", precision) != precision:
            self.classifier = copy.copy(classifier)
            self.classifier.precision = precision
        self.goal = goal
        self.seconds = 0.0

    def ask(self, texts: list[str]) -> Rows:
        """(n, classes) probabilities, or (n, 1) numbers of a regression model."""
        return self._timed(self.classifier, texts)

    def confirm(self, texts: list[str]) -> Rows:
        """As `ask`, in the classifier's own precision."""
        return self._timed(self.original, texts)

    @property
    def differs(self) -> bool:
        """Whether `ask` is rougher than `confirm`."""
        return self.classifier is not self.original

    @property
    def regression(self) -> bool:
        """Whether the answers are numbers."""
        return bool(self.goal.for_regression)

    def named(self, row: Rows) -> Any:
        """A row of answers as the label that it stands for, or as the number."""
        return float(row[0]) if self.regression else self.original.classes_.tolist()[int(row.argmax())]

    def _timed(self, classifier: Any, texts: list[str]) -> Rows:
        if not texts:  # scikit-learn's models refuse an empty list
            return np.empty((0, 1 if self.regression else len(self.original.classes_)), np.float32)
        started = time.perf_counter()
        rows: Rows = classifier.predict(texts)[:, None] if self.regression else classifier.predict_proba(texts)
        self.seconds += time.perf_counter() - started
        return rows

    @cached_property
    def embeddings(self) -> Embeddings:
        """Of the classifier.

        Raises:
            BadInput: it has no torch module, so nobody can take its gradient.
        """
        if not hasattr(self.original, "module_"):
            raise BadInput(
                f"a {type(self.original).__name__} gives no gradient",
                "use an attack that only asks, such as deepwordbug or pwws",
            )
        return Embeddings(self.original)

    def slopes(self, documents: Sequence[Document], labels: Sequence[float]) -> list[Slope]:
        """The goal's gradient at each document; one backward pass for a batch of them."""
        embeddings = self.embeddings
        started = time.perf_counter()
        ids, words = tokens_of_words(self.original.tokenizer_, documents, self.original.max_length)
        vectors: list[Rows] = [np.zeros((len(one.words), embeddings.table.shape[1]), np.float32) for one in documents]
        for rows in sorted_batches([len(row) for row in ids], machine.preset().predict_tokens // 2):
            gradients = self._gradients(ids, rows, [labels[i] for i in rows])
            for gradient, i in zip(gradients, rows, strict=True):
                add_up(vectors[i], gradient, words[i])
        self.seconds += time.perf_counter() - started
        return [Slope(one, embeddings) for one in vectors]

    def _gradients(self, ids: list[list[int]], rows: NDArray[np.int64], labels: list[float]) -> Rows:
        classifier, where = self.original, machine.device()
        batch = collate(ids, rows, int(classifier.tokenizer_.pad_token_id or 0)).to(where)
        module = classifier.module_.to(where).eval()
        with torch.enable_grad(), watched(input_embeddings(module)) as seen:
            logits = module(batch.input_ids, batch.attention_mask).float()
            if classifier.head != "regression":
                logits = logits[:, : len(classifier.classes_)]
            rise = self.goal.rise(logits, torch.tensor(labels, device=where)).sum()
            (gradient,) = torch.autograd.grad(rise, seen)
        found: Rows = gradient.float().cpu().numpy()
        return found


def _same_classes(classifier: Any, twin: Any) -> None:
    mine, its = (getattr(one, "classes_", None) for one in (classifier, twin))
    if mine is None or its is None or mine.tolist() != its.tolist():
        raise BadInput("the twin does not know the classifier's classes", "give an export of this very classifier")


def input_embeddings(module: nn.Module) -> nn.Embedding:
    """The layer that turns token ids into vectors.

    Raises:
        BadInput: the module has none that transformers names.
    """
    inners: tuple[Any, ...] = (module, getattr(module, "bert", None), getattr(module, "model", None))
    for inner in inners:
        if hasattr(inner, "get_input_embeddings"):
            layer: nn.Embedding = inner.get_input_embeddings()
            return layer
    raise BadInput(f"{type(module).__name__} has no input embeddings", "use a TextClassifier")


@contextmanager
def watched(layer: nn.Embedding) -> Iterator[list[Tensor]]:
    """While inside, the layer's outputs are collected as leaves of which a gradient can be taken."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    hook = layer.register_forward_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()


def tokens_of_words(
    tokenizer: Any, documents: Sequence[Document], max_length: int
) -> tuple[list[list[int]], list[NDArray[np.int64]]]:
    """Token ids, and for each token the number of its word, -1 where it belongs to none."""
    encoded = tokenizer(
        [one.text for one in documents], truncation=True, max_length=max_length,
        return_attention_mask=False, return_offsets_mapping=True,
    )  # fmt: skip
    words = []
    for document, offsets in zip(documents, encoded["offset_mapping"], strict=True):
        starts, ends = document.spans
        middle = np.array([(start, end) for start, end in offsets]).reshape(-1, 2)
        at = np.searchsorted(starts, middle[:, 0], side="right") - 1
        inside = (at >= 0) & (middle[:, 1] > middle[:, 0])
        inside[inside] &= middle[inside, 0] < ends[at[inside]]
        words.append(np.where(inside, at, -1))
    return encoded["input_ids"], words


def add_up(vectors: Rows, gradient: Rows, words: NDArray[np.int64]) -> None:
    """Adds each token's gradient, (seq, hidden), to that of its word."""
    inside = words >= 0
    np.add.at(vectors, words[inside], gradient[: len(words)][inside])
