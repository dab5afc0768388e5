"""The model under attack: its predictions, and gradients with respect to word embeddings."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from course_lib import machine
from course_lib.attacks.goals import Goal
from course_lib.errors import BadInput
from course_lib.text.classifiers import check_classifier, check_scores, columns_of, predict_unique
from course_lib.text.document import Document
from course_lib.text.gradients import TokenAlignment, check_differentiable, embedding_gradients
from course_lib.text.masked_lm import whole_words
from course_lib.text.modules import input_embeddings

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class WordGradient:
    """The gradient of the goal's log-odds at one document.

    Args:
        vectors: (words, hidden), with respect to each word's embedding, summed over its tokens.
        embeddings: of the model.
        log_odds: of the goal.
    """

    vectors: Rows
    embeddings: WordEmbeddings
    log_odds: float

    @property
    def lengths(self) -> Rows:
        """(words,), how much the goal depends on each word."""
        lengths: Rows = np.linalg.norm(self.vectors, axis=1)
        return lengths

    def gains(self, position: int, old: str, new: Sequence[str]) -> Rows:
        """What each new word would add to the log-odds, to first order (Ebrahimi et al. 2018, arXiv:1712.06751, eq. 1).

        A word of several tokens counts as the mean of their embeddings.
        """
        vectors = self.embeddings.of([old, *new])
        gains: Rows = (vectors[1:] - vectors[:1]) @ self.vectors[position]
        return gains


class WordEmbeddings:
    """The embedding table of a classifier's module, by word."""

    def __init__(self, classifier: Any) -> None:
        self.tokenizer = classifier.tokenizer_
        self.table: Rows = input_embeddings(classifier.module_).weight.detach().float().cpu().numpy()
        self._known: dict[str, Rows] = {}

    def of(self, words: Sequence[str]) -> Rows:
        """(n words, hidden): the mean embedding of each word's tokens inside a text; zeros where a word has none."""
        if missing := [word for word in dict.fromkeys(words) if word not in self._known]:
            places = [np.array([-1, *[0] * len(word), -1]) for word in missing]  # a blank comes before the word
            tokens = TokenAlignment.of(self.tokenizer, [f" {word}" for word in missing], places, 512)
            for number, word in enumerate(missing):
                ids = np.array(tokens.ids[number])[tokens.in_words(number)]
                self._known[word] = self.table[ids].mean(0) if len(ids) else np.zeros_like(self.table[0])
        return np.stack([self._known[word] for word in words])

    @cached_property
    def whole_words(self) -> dict[int, str]:
        """Token id -> word, of the tokens that are a word on their own."""
        return whole_words(self.tokenizer)

    @cached_property
    def unit_table(self) -> Rows:
        """The table with rows of length 1."""
        unit: Rows = self.table / np.maximum(np.linalg.norm(self.table, axis=1, keepdims=True), 1e-9)
        return unit


class VictimModel:
    """A classifier as attacks query it, with the time that this takes.

    Args:
        classifier: anything with `classes_` and `predict_proba`.
        goal: whose gradients are taken.
        precision: of the search's queries, for classifiers that can choose.
        surrogate: a much cheaper model of the same classes, which chooses what the classifier is queried for.

    Attributes:
        seconds: inside the classifier, forward and backward.
        surrogate_seconds: inside the surrogate.

    Raises:
        BadInput: a classifier that is not fitted, a regression model, a surrogate of other classes.
    """

    def __init__(self, classifier: Any, goal: Goal, precision: str | None = None, surrogate: Any = None) -> None:
        check_classes(classifier)
        self.classifier, self.goal, self.seconds, self.surrogate_seconds = classifier, goal, 0.0, 0.0
        self.surrogate, self.searched = surrogate, classifier
        if surrogate is not None:
            self._surrogate_columns = _matching_columns(classifier, surrogate)
        faster = precision != "auto" or machine.precision() != torch.float32
        if precision and faster and getattr(classifier, "precision", precision) != precision:
            self.searched = copy.copy(classifier)
            self.searched.precision = precision

    def query(self, texts: list[str]) -> Rows:
        """(n, classes) probabilities by the classifier in the precision of the search."""
        rows, seconds = self._predict(self.searched, texts)
        self.seconds += seconds
        return rows

    def confirm(self, texts: list[str]) -> Rows:
        """(n, classes) probabilities by the classifier in its own precision."""
        rows, seconds = self._predict(self.classifier, texts)
        self.seconds += seconds
        return rows

    def estimate(self, texts: list[str]) -> Rows:
        """(n, classes) probabilities by the surrogate."""
        rows, seconds = self._predict(self.surrogate, texts)
        self.surrogate_seconds += seconds
        return rows[:, self._surrogate_columns]

    @property
    def exact(self) -> bool:
        """Whether `query` is as exact as `confirm`."""
        return self.searched is self.classifier

    def columns(self, labels: ArrayLike, n: int) -> NDArray[np.int64]:
        """(n,), the column of each label."""
        return columns_of(self.classifier.classes_, labels, n)

    def label(self, column: int) -> Any:
        """The class of a column, as a Python value."""
        return self.classifier.classes_.tolist()[column]

    def _predict(self, classifier: Any, texts: list[str]) -> tuple[Rows, float]:
        """The rows, and the seconds that they took."""
        if not texts:  # scikit-learn's models refuse an empty list
            return np.empty((0, len(self.classifier.classes_)), np.float32), 0.0
        started = time.perf_counter()
        rows = predict_unique(lambda some: check_scores(classifier, classifier.predict_proba(some), len(some)), texts)
        return rows.astype(np.float32), time.perf_counter() - started

    def check_gradients(self) -> None:
        """Raises BadInput where the classifier has no gradients with respect to words."""
        check_differentiable(self.classifier)
        TokenAlignment.of(self.classifier.tokenizer_, [], [], self.classifier.max_length)
        input_embeddings(self.classifier.module_)

    @cached_property
    def embeddings(self) -> WordEmbeddings:
        """Of the classifier."""
        return WordEmbeddings(self.classifier)

    def gradients(self, documents: Sequence[Document], columns: Sequence[int]) -> list[WordGradient]:
        """The gradient of the goal's log-odds at each document; one backward pass for a batch of them."""
        started, true = time.perf_counter(), np.array(columns, np.int64)
        tokens = TokenAlignment.of(
            self.classifier.tokenizer_, [one.text for one in documents],
            [one.word_of_characters() for one in documents], self.classifier.max_length,
        )  # fmt: skip
        found: dict[int, WordGradient] = {}
        for batch in embedding_gradients(
            self.classifier, tokens.ids, lambda logits, rows: self.goal.log_odds(logits, true[rows])
        ):
            gradients = batch.gradient.float().cpu().numpy()
            for row, gradient, log_odds in zip(batch.rows.tolist(), gradients, batch.outputs.tolist(), strict=True):
                vectors = tokens.sum_by_word(row, gradient, len(documents[row].words))
                found[row] = WordGradient(vectors, self.embeddings, log_odds)
        self.seconds += time.perf_counter() - started
        return [found[row] for row in range(len(documents))]


def check_classes(classifier: Any) -> None:
    """Raises BadInput for a regression model, and for a classifier that is not fitted."""
    if getattr(classifier, "head", "") == "regression":
        raise BadInput("the model predicts numbers, not classes", "attack a classifier")
    check_classifier(classifier)


def _matching_columns(classifier: Any, surrogate: Any) -> NDArray[np.int64]:
    """The surrogate's column of each of the classifier's classes."""
    check_classifier(surrogate, "surrogate")
    classes = classifier.classes_.tolist()
    if set(classes) != set(surrogate.classes_.tolist()):
        raise BadInput("the surrogate has other classes than the model", "give a smaller model of the same classes")
    return columns_of(surrogate.classes_, classes, len(classes))
