"""The cheapest judge of a label: how often each word stood in texts of each class (naive Bayes)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.attacks.document import Document
from course_lib.batching import check_texts
from course_lib.errors import BadInput


@dataclass(frozen=True, eq=False)
class WordLabelCounts:
    """Multinomial naive Bayes on lower-case words; it has `classes_`, `predict_proba` and `predict` as any classifier.

    Attributes:
        classes_: the labels, sorted.
        weights: word -> log p(word | class), (classes,).
        prior: log p(class), (classes,).
    """

    classes_: NDArray[Any]
    weights: dict[str, NDArray[np.float64]]
    prior: NDArray[np.float64]

    @classmethod
    def of(cls, texts: Sequence[str], labels: ArrayLike, smoothing: float = 1.0) -> WordLabelCounts:
        """Counts the words of labelled texts.

        Args:
            texts: n strings.
            labels: n labels of two classes or more.
            smoothing: added to every count; larger trusts rare words less.

        Raises:
            BadInput: not as many labels as texts, fewer than two classes, a smoothing of 0 or less.
        """
        rows, given = check_texts(texts), np.asarray(labels)
        if given.shape != (len(rows),) or len(classes := np.unique(given)) < 2:
            raise BadInput(f"{len(rows)} texts and labels of shape {given.shape}", "give a label each, of two classes")
        if not smoothing > 0:
            raise BadInput(f"smoothing is {smoothing!r}", "use a number above 0")
        counts = [_words_of([text for text, of in zip(rows, given, strict=True) if of == one]) for one in classes]
        vocabulary = sorted(set().union(*counts))
        table = np.array([[count[word] for count in counts] for word in vocabulary], float).reshape(-1, len(classes))
        totals = np.maximum((table + smoothing).sum(0), smoothing)  # not 0 where there is no word at all
        shares = np.log(table + smoothing) - np.log(totals)
        prior = np.log([(given == one).mean() for one in classes])
        return cls(classes, dict(zip(vocabulary, shares, strict=True)), prior)

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probability of each class, (n, classes); words that were never counted say nothing."""
        scores = np.array([self._score(text) for text in check_texts(texts)]).reshape(-1, len(self.classes_))
        shares = np.exp(scores - scores.max(1, keepdims=True, initial=-np.inf))
        normalised: NDArray[np.float64] = shares / shares.sum(1, keepdims=True)
        return normalised

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """The likeliest class of each text, (n,)."""
        likeliest: NDArray[Any] = self.classes_[self.predict_proba(texts).argmax(1)]
        return likeliest

    def _score(self, text: str) -> NDArray[np.float64]:
        known = (self.weights.get(word.lower()) for word in Document.of(text).words)
        return sum((weights for weights in known if weights is not None), start=self.prior)

    def __str__(self) -> str:
        return f"word counts ({len(self.weights):,} words)"


def _words_of(texts: Sequence[str]) -> Counter[str]:
    return Counter(word.lower() for text in texts for word in Document.of(text).words)
