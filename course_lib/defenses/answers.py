"""What a defended classifier needs to be asked, attacked and compared like any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score

from course_lib.errors import BadInput


class Classifier(Protocol):
    """Anything that gives probabilities: a `TextClassifier`, an `Ensemble`, a `Smoothed`."""

    @property
    def classes_(self) -> NDArray[Any]: ...

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes)."""
        ...


class Answers:
    """The rest of a classifier's face for whoever has `classes_` and `predict_proba`."""

    head = "classification"

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted."""
        raise NotImplementedError

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes); rows sum to 1."""
        raise NotImplementedError

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """The likeliest class of each text, (n,)."""
        answers: NDArray[Any] = self.classes_[self.predict_proba(texts).argmax(1)]
        return answers

    def score(self, texts: Sequence[str], labels: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy."""
        return float(accuracy_score(labels, self.predict(texts), sample_weight=sample_weight))


def check_classifier(one: Any, name: str) -> None:
    """Raises BadInput unless it gives probabilities of classes that it knows."""
    if not hasattr(one, "predict_proba"):
        raise BadInput(f"{name} is a {type(one).__name__} without predict_proba", "give a classifier")
    if not hasattr(one, "classes_"):
        raise BadInput(f"{name} is not fitted yet", "call fit(texts, labels) first")
