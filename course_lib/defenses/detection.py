"""Is this text under attack? A detector scores texts; a ROC curve says what the scores are worth.

What unnoticed attacks look like follows from the detector: one of typing errors makes unknown words, one of synonyms
makes words that stand oddly in their sentence. An attacker who knows the detector can avoid it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from course_lib.attacks.document import Document
from course_lib.batching import check_texts
from course_lib.errors import BadInput
from course_lib.pretraining.pseudo_perplexity import pseudo_perplexity

if TYPE_CHECKING:
    from course_lib.pretraining import LanguageModel

Floats = NDArray[np.float64]
_PART = re.compile(r"[^\W_]+")  # of a word such as well-made


class Detector(Protocol):
    """Scores texts: the higher, the more suspicious."""

    def scores(self, texts: Sequence[str]) -> Floats:
        """(n,); not a number where a text gives nothing to judge by."""
        ...


@dataclass(frozen=True)
class UnknownWords:
    """The share of a text's words that are not in a vocabulary: what typing errors leave behind.

    Args:
        known: words in lower case. A word such as `well-made` is known when its parts are.
    """

    known: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, texts: Sequence[str], tokenizer: Any = None) -> UnknownWords:
        """Knows the words of (training) texts and those that a tokenizer has as one piece."""
        words = [part.lower() for text in check_texts(texts) for part in _PART.findall(text)]
        pieces = [] if tokenizer is None else [piece for piece in tokenizer.get_vocab() if _PART.fullmatch(piece)]
        return cls(frozenset(words) | {piece.lower() for piece in pieces})

    def scores(self, texts: Sequence[str]) -> Floats:
        """(n,) from 0 to 1; 0 for a text without a word."""
        return np.array([self._share(Document.of(text).words) for text in check_texts(texts)], np.float64)

    def _share(self, words: Sequence[str]) -> float:
        return sum(not self._knows(word.lower()) for word in words) / max(1, len(words))

    def _knows(self, word: str) -> bool:
        return word in self.known or all(part in self.known for part in _PART.findall(word))


@dataclass(frozen=True)
class PseudoPerplexity:
    """How odd each word is in its place, asked of a masked language model: what replaced words leave behind.

    Args:
        language_model: reads in both directions.
    """

    language_model: LanguageModel = field(repr=False)

    def scores(self, texts: Sequence[str]) -> Floats:
        """(n,), see `pseudo_perplexity`."""
        return pseudo_perplexity(self.language_model, texts)


@dataclass(frozen=True)
class Roc:
    """What a detector can do: its detections against its false alarms, threshold by threshold.

    Args:
        fpr: share of clean texts at or above each threshold, rising from 0 to 1.
        tpr: share of attacked texts at or above it.
        thresholds: falling from infinity.
        auc: area under the curve: how often an attacked text scores above a clean one, a tie counted half.
    """

    fpr: Floats
    tpr: Floats
    thresholds: Floats
    auc: float

    def threshold(self, false_alarms: float) -> float:
        """The lowest score that may count as an attack while at most this share of clean texts is accused.

        Infinite where every threshold accuses more.

        Raises:
            BadInput: a share outside of 0 to 1.
        """
        return float(self.thresholds[self._place(false_alarms)])

    def detected(self, false_alarms: float) -> float:
        """Share of attacked texts that is found at that threshold."""
        return float(self.tpr[self._place(false_alarms)])

    def _place(self, false_alarms: float) -> int:
        if not 0 <= false_alarms <= 1:
            raise BadInput(f"false_alarms is {false_alarms}", "use a share from 0 to 1")
        return int(np.flatnonzero(self.fpr <= false_alarms)[-1])


def roc(clean: ArrayLike, attacked: ArrayLike) -> Roc:
    """The curve of a detector from its scores of clean and of attacked texts.

    Raises:
        BadInput: no score of either kind, or one that is not finite.
    """
    both = [_scores(clean, "clean"), _scores(attacked, "attacked")]
    truth = np.repeat([0, 1], [len(part) for part in both])
    scores = np.concatenate(both)
    fpr, tpr, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    return Roc(fpr, tpr, thresholds, float(roc_auc_score(truth, scores)))


def _scores(values: ArrayLike, name: str) -> Floats:
    scores = np.asarray(values, np.float64)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise BadInput(f"the {name} scores are {values!r:.80}", "give one finite number for each text, at least one")
    return scores
