"""What the course expects of any classifier: `classes_` and `predict_proba`, as scikit-learn's have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.batching import unique_rows
from course_lib.errors import BadInput

Scores = NDArray[Any]

TEXTS_AT_ONCE, CHARACTERS_AT_ONCE = 4096, 2_000_000  # of one call of a classifier: bounds memory


class Classifier(Protocol):
    """Anything that gives probabilities: a `TextClassifier`, an ensemble, a scikit-learn pipeline."""

    @property
    def classes_(self) -> NDArray[Any]: ...

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes)."""
        ...


class ProbabilityClassifierMixin:
    """`predict` and `score` for classes that have `classes_` and `predict_proba`."""

    head = "classification"

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels; column i of `predict_proba` is about `classes_[i]`."""
        raise NotImplementedError

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes); rows sum to 1."""
        raise NotImplementedError

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """The most probable class of each text, (n,)."""
        predicted: NDArray[Any] = self.classes_[self.predict_proba(texts).argmax(1)]
        return predicted

    def score(self, texts: Sequence[str], labels: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy."""
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(labels, self.predict(texts), sample_weight=sample_weight))


def check_classifier(one: Any, name: str = "classifier") -> None:
    """Raises BadInput unless it has `predict_proba` and `classes_`."""
    if not hasattr(one, "predict_proba"):
        raise BadInput(f"{name} is a {type(one).__name__} without predict_proba", "give a classifier")
    if not hasattr(one, "classes_"):
        raise BadInput(f"{name} is not fitted yet", "call fit(texts, labels) first")


def check_scores(classifier: Any, scores: Any, n: int) -> NDArray[np.float64]:
    """(n, classes), what a classifier returned for n texts.

    Raises:
        BadInput: another shape, or numbers that are not finite.
    """
    rows, name, classes = np.asarray(scores, np.float64), type(classifier).__name__, len(classifier.classes_)
    if rows.shape != (n, classes):
        raise BadInput(
            f"{name} returned the shape {rows.shape} for {n} texts",
            f"predict_proba must return ({n}, {classes}): one row a text, one column a class",
        )
    if not np.isfinite(rows).all():
        raise BadInput(f"{name} returned numbers that are not finite", "correct the classifier")
    return rows


def columns_of(classes: ArrayLike, labels: ArrayLike, n: int, name: str = "labels") -> NDArray[np.int64]:
    """(n,), the column of each label among the classes, which may be in any order.

    Args:
        classes: of the classifier, `classifier.classes_`.
        labels: n labels, or one label for all n.
        n: how many.
        name: of the labels in messages.

    Raises:
        BadInput: a label that is not one of the classes, or a list of another length.
    """
    known = np.asarray(classes).tolist()
    column = {label: number for number, label in enumerate(known)}
    array = np.asarray(labels, dtype=None if hasattr(labels, "dtype") else object)
    if array.ndim > 1 or (array.ndim == 1 and len(array) != n):
        raise BadInput(f"{name} has the shape {array.shape} for {n} texts", "give one label for each text")
    given = np.broadcast_to(array, (n,)).tolist()
    if unknown := [label for label in given if label not in column]:
        raise BadInput(f"{name} holds {unknown[0]!r}, which is not a class of the model", f"use some of {known}")
    return np.array([column[label] for label in given], np.int64)


def predict_unique(
    predict: Callable[[list[str]], Any], texts: Sequence[str], at_once: int = TEXTS_AT_ONCE
) -> NDArray[Any]:
    """What `predict` returns for each text, with each different text predicted once, in chunks of bounded size.

    Args:
        predict: maps m > 0 texts to an array (m, ...).
        texts: n > 0 strings.
        at_once: texts of one call; fewer where they are long.

    Returns:
        (n, ...), in the order of `texts`.
    """
    different, rows = unique_rows(texts)
    parts, start, characters = [], 0, 0
    for at, text in enumerate(different):
        if at > start and (at - start >= at_once or characters + len(text) > CHARACTERS_AT_ONCE):
            parts.append(np.asarray(predict(different[start:at])))
            start, characters = at, 0
        characters += len(text) + 1
    parts.append(np.asarray(predict(different[start:])))
    found: NDArray[Any] = np.concatenate(parts)[rows]
    return found
