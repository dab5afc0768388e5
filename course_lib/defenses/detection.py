"""Detection of attacks: scores of texts, and the ROC curve of such scores.

Typing errors make unknown words; synonyms make words that a language model finds improbable
(`pretraining.pseudo_perplexity`). An attacker who knows the detector can avoid it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from course_lib.batching import check_texts
from course_lib.errors import BadInput
from course_lib.text.document import Document

Floats = NDArray[np.float64]
_PART = re.compile(r"[^\W_]+")  # of a word such as well-made


@dataclass(frozen=True)
class UnknownWords:
    """The fraction of a text's words that are not in a vocabulary: typing errors raise it.

    Args:
        known: words in lower case. A word such as `well-made` is known when its parts are.
    """

    known: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, texts: Sequence[str], tokenizer: Any = None) -> UnknownWords:
        """Knows the words of (training) texts and those that are one token of a tokenizer."""
        words = {part.lower() for text in check_texts(texts) for part in _PART.findall(text)}
        vocabulary = [] if tokenizer is None else list(tokenizer.get_vocab())
        marked = [token[1:] for token in vocabulary if token[:1] in ("▁", "Ġ")]  # of SentencePiece and byte-level BPE
        tokens = marked if len(marked) > len(vocabulary) / 20 else vocabulary
        return cls(frozenset(words | {token.lower() for token in tokens if _PART.fullmatch(token)}))

    def scores(self, texts: Sequence[str]) -> Floats:
        """(n,) from 0 to 1; 0 for a text without a word."""
        return np.array([self._unknown(Document.of(text).words) for text in check_texts(texts)], np.float64)

    def _unknown(self, words: Sequence[str]) -> float:
        return sum(not self._knows(word.lower()) for word in words) / max(1, len(words))

    def _knows(self, word: str) -> bool:
        return word in self.known or all(part in self.known for part in _PART.findall(word))


class Roc(NamedTuple):
    """A detector's detections against its false alarms, threshold by threshold.

    Args:
        fpr: fraction of clean texts at or above each threshold, rising from 0 to 1.
        tpr: fraction of attacked texts at or above it.
        auc: area under the curve: how often an attacked text scores above a clean one, a tie counted half.
    """

    fpr: Floats
    tpr: Floats
    auc: float


def roc(clean: ArrayLike, attacked: ArrayLike) -> Roc:
    """The curve of a detector from its scores of clean and of attacked texts.

    Raises:
        BadInput: no score of either kind, or one that is not finite.
    """
    both = [_checked(clean, "clean"), _checked(attacked, "attacked")]
    truth = np.repeat([0, 1], [len(part) for part in both])
    scores = np.concatenate(both)
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    return Roc(fpr, tpr, float(roc_auc_score(truth, scores)))


def _checked(values: ArrayLike, name: str) -> Floats:
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise BadInput(f"the {name} scores are {values!r:.80}", "give one finite number for each text, at least one")
    return scores
