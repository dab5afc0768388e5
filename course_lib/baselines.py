"""What a large model has to beat: the most frequent class, a word list, and a linear model of word pairs.

A figure without a baseline says nothing. All three are scikit-learn estimators that take a list of texts, so
everything in `evaluation` and `plots` works on them as it does on a `TextClassifier`.
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from course_lib import corpora
from course_lib.errors import BadInput, CourseError

_SOFTENING = 15.0  # VADER's alpha: about the largest sum expected of a short text


class VaderLexicon(ClassifierMixin, BaseEstimator):
    """Add up the valences of the words in a list; above 0 is positive.

    The lexicon is VADER's (Hutto & Gilbert 2014, ICWSM), its rules are not: negation ("not good"),
    intensifiers, capitals and "but" are NOT handled. It needs no labels; `fit` only learns what the two
    classes are called. The probability of the second class is (1 + s) / 2 with VADER's own squashing of the
    sum, s = sum / sqrt(sum**2 + 15). A text without a known word gets 0.5, and counts as the first class.

    Args:
        lexicon: word -> mean valence in [-4, 4]; VADER's where left out.
    """

    def __init__(self, lexicon: Mapping[str, float] | None = None) -> None:
        self.lexicon = lexicon

    def fit(self, texts: Sequence[str], labels: Sequence[Any]) -> VaderLexicon:
        """Remember the two classes, negative first in sorted order.

        Raises:
            BadInput: not exactly two classes.
        """
        classes = np.unique(np.asarray(labels))
        if len(classes) != 2:
            raise BadInput(
                f"the labels have {len(classes)} classes: {classes.tolist()[:10]}",
                "a lexicon only tells negative from positive: pass labels of two classes",
            )
        self.classes_ = classes
        self.lexicon_ = dict(corpora.lexicon() if self.lexicon is None else self.lexicon)
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities (n, 2), rows sum to 1.

        Raises:
            BadInput: one text instead of a list of them, or something that is not a text.
            sklearn.exceptions.NotFittedError: `fit` was not called.
        """
        check_is_fitted(self)
        total = valences(texts, self.lexicon_)["total"].to_numpy(dtype=np.float64)
        positive = (1 + total / np.sqrt(total**2 + _SOFTENING)) / 2
        return np.stack([1 - positive, positive], axis=1).astype(np.float32)

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """The class of each text, (n,)."""
        chosen: NDArray[Any] = self.predict_proba(texts).argmax(axis=1)
        names: NDArray[Any] = self.classes_[chosen]
        return names


def valences(texts: Iterable[str], lexicon: Mapping[str, float]) -> pd.DataFrame:
    """What a lexicon sees in each text.

    Args:
        texts: n texts.
        lexicon: word or emoticon -> valence.

    Returns:
        n rows: `known` (how many words are in the lexicon) and `total` (sum of their valences).

    Raises:
        BadInput: one text instead of a list of them, or something that is not a text.
    """
    if isinstance(texts, str):
        raise BadInput(f"texts is one text, {texts[:40]!r}", "put it into a list: [text]")
    found = [_found(text, lexicon) for text in texts]
    return pd.DataFrame(
        {"known": [len(values) for values in found], "total": [float(sum(values)) for values in found]},
    )


def tfidf_logistic() -> Pipeline:
    """Logistic regression on TF-IDF weights of single words and of pairs of neighbours.

    C = 8 was chosen by 4-fold cross-validation on the movie reviews' training sentences (4 costs 0.4 points there, 16
    gains 0.1).

    Returns:
        An unfitted pipeline; it takes lists of texts.
    """
    return Pipeline(
        [
            # one-letter words stay: the "t" of "don't" is a negation
            ("tfidf", TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 2), sublinear_tf=True)),
            ("logistic", LogisticRegression(C=8.0, max_iter=1000)),
        ]
    )


def majority() -> DummyClassifier:
    """Always the most frequent class; the probabilities are the frequencies of the classes in training."""
    return DummyClassifier(strategy="prior")


def lightgbm(seed: int = 0) -> Any:
    """LightGBM's classifier with its own settings (Ke et al. 2017, NeurIPS), the peer of scikit-learn's boosting.

    Raises:
        CourseError: it is not installed.
    """
    try:
        from lightgbm import LGBMClassifier
    except ImportError as error:
        raise CourseError("LightGBM is not installed", "pip install lightgbm") from error
    return LGBMClassifier(random_state=seed, verbose=-1, n_jobs=1)


def _found(text: str, lexicon: Mapping[str, float]) -> list[float]:
    """Valences of the words of one text. Punctuation around a word is dropped, but emoticons stay whole."""
    if not isinstance(text, str):
        raise BadInput(f"{text!r} is not a text but {type(text).__name__}", "pass a list of texts (str)")
    words = (word if word in lexicon else word.strip(string.punctuation) for word in text.casefold().split())
    return [lexicon[word] for word in words if word in lexicon]
