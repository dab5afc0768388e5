"""Randomised smoothing: the mean prediction over copies of a text in which random words are masked.

A word that an attacker has changed is masked in many of the copies, so it cannot flip all of them (Zeng et al. 2021,
RanMASK, arXiv:2105.03743; Ye et al. 2020, arXiv:2005.14424, replace words by synonyms instead). The base classifier
does better on masked copies when it was trained on some: see `masked_copies`.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.batching import check_texts
from course_lib.errors import BadInput
from course_lib.text.classifiers import Classifier, ProbabilityClassifierMixin, check_classifier
from course_lib.text.document import Document


def masked_copies(text: str, rate: float, copies: int, seed: int = 0, mask: str = "[MASK]") -> list[str]:
    """Copies of a text in each of which round(rate * words) words are masked, every set of them equally likely.

    They depend on the seed and the text alone.

    Raises:
        BadInput: a rate outside of 0 to 1, or less than one copy.
    """
    if not 0 <= rate <= 1:
        raise BadInput(f"rate is {rate}", "use a fraction from 0 to 1")
    if copies < 1:
        raise BadInput(f"the number of copies is {copies}", "use 1 or more")
    document = Document.of(text)
    n = len(document.words)
    draw = random.Random(hashlib.sha256(f"{seed}:{text}".encode()).digest())
    made = []
    for _ in range(copies):
        hidden = set(draw.sample(range(n), round(rate * n)))
        words = tuple(mask if place in hidden else word for place, word in enumerate(document.words))
        made.append(Document(words, document.gaps).text)
    return made


@dataclass(frozen=True, eq=False)
class Smoothed(ProbabilityClassifierMixin):
    """The mean prediction of a classifier over masked copies; a query costs `samples` times as much.

    The noise follows from the seed and the text. An attacker who may query this very object can therefore fit texts to
    these draws: judge what was found with `reseeded`, and let a strong attacker query `expected` (Athalye et al. 2018,
    arXiv:1802.00420: where a defence is random, attack its expectation).

    Args:
        classifier: the base.
        rate: fraction of a text's words that is masked in each copy.
        samples: copies of each text.
        seed: of the noise.

    Raises:
        BadInput: a base that is not fitted or has a tokenizer without a mask token, a rate outside of 0 to 1, less than
            one sample.
    """

    classifier: Classifier
    rate: float = 0.3
    samples: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        check_classifier(self.classifier)
        masked_copies("", self.rate, self.samples)
        if self._mask is None:
            raise BadInput("the classifier's tokenizer has no mask token", "use a model that knows one, such as BERT")

    @property
    def _mask(self) -> str | None:
        """As the classifier's tokenizer writes it."""
        tokenizer = getattr(self.classifier, "tokenizer_", None)
        return "[MASK]" if tokenizer is None else tokenizer.mask_token

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of the columns."""
        return self.classifier.classes_

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, classes): the mean over each text's copies; the base predicts all copies in one call."""
        texts, mask = check_texts(texts), self._mask or ""
        copies = [one for text in texts for one in masked_copies(text, self.rate, self.samples, self.seed, mask)]
        each = self.classifier.predict_proba(copies).reshape(len(texts), self.samples, len(self.classes_))
        mean: NDArray[np.float32] = each.mean(1, dtype=np.float64).astype(np.float32)
        return mean

    def reseeded(self, seed: int) -> Smoothed:
        """The same defense with other noise."""
        return replace(self, seed=seed)

    def expected(self, times: int, seed: int) -> Smoothed:
        """The mean over `times` fresh draws of the noise: an estimate of this defence's expected prediction."""
        return replace(self, samples=self.samples * times, seed=seed)
