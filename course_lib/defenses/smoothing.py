"""Randomised smoothing: the mean answer over copies of a text in which chance has masked some words.

A word that an attacker has changed is masked in many of the copies, so it cannot turn all of them (Zeng et al. 2021,
RanMASK, arXiv:2105.03743; Ye et al. 2020, arXiv:2005.14424, replace words by synonyms instead). The base classifier
does better on masked copies when it was trained on some: see `masked_copies`.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_lib.attacks.document import Document
from course_lib.batching import check_texts
from course_lib.defenses.answers import Answers, Classifier, check_classifier
from course_lib.errors import BadInput


def masked_copies(text: str, rate: float, copies: int, seed: int = 0, mask: str = "[MASK]") -> list[str]:
    """Copies of a text in each of which round(rate * words) words are masked, every set of them equally likely.

    They depend on the seed and the text alone.

    Raises:
        BadInput: a rate outside of 0 to 1, or less than one copy.
    """
    if not 0 <= rate <= 1:
        raise BadInput(f"rate is {rate}", "use a share from 0 to 1")
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
class Smoothed(Answers):
    """A classifier asked about masked copies; asking costs `samples` times as much.

    The noise follows from the seed and the text. An attacker who may ask this very object can therefore fit texts to
    these draws: judge what was found with `reseeded`, and let a strong attacker ask `expected` (Athalye et al. 2018,
    arXiv:1802.00420: where a defence is random, attack its expectation).

    Args:
        classifier: the base.
        rate: share of a text's words that is masked in each copy.
        samples: copies of each text.
        seed: of the noise.
        mask: what stands in a masked word's place; the tokenizer must know it.

    Raises:
        BadInput: a base that is not fitted, a rate outside of 0 to 1, less than one sample.
    """

    classifier: Classifier
    rate: float = 0.3
    samples: int = 16
    seed: int = 0
    mask: str = "[MASK]"

    def __post_init__(self) -> None:
        check_classifier(self.classifier, "classifier")
        masked_copies("", self.rate, self.samples)

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted."""
        return self.classifier.classes_

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, classes): the mean over each text's copies; the base answers all copies in one call."""
        texts = check_texts(texts)
        copies = [one for text in texts for one in masked_copies(text, self.rate, self.samples, self.seed, self.mask)]
        each = self.classifier.predict_proba(copies).reshape(len(texts), self.samples, len(self.classes_))
        mean: NDArray[np.float32] = each.mean(1, dtype=np.float64).astype(np.float32)
        return mean

    def reseeded(self, seed: int) -> Smoothed:
        """The same defence with other noise."""
        return replace(self, seed=seed)

    def expected(self, times: int, seed: int) -> Smoothed:
        """The mean over `times` fresh draws of the noise: an estimate of what this defence answers on average."""
        return replace(self, samples=self.samples * times, seed=seed)

    def certificate(self, texts: Sequence[str], copies: int = 1000, alpha: float = 0.05) -> pd.DataFrame:
        """How many words of each text may be replaced, one for one and by whatever, without turning the answer.

        Said of the expected answer, over all masks, not of the mean over a few samples. A copy with k of n words left
        shows none of d replaced words with probability C(n - d, k) / C(n, k), and is then the same copy as before; so
        no class's expected probability moves by more than 1 minus that (Levine & Feizi 2020, arXiv:1911.09076, theorem
        1). A class that is expected above 0.5 by more stays on top. The expectation is bounded from below by
        Hoeffding's inequality, for all classes at once; the statement for one text is wrong with probability `alpha`
        at most. Words are those of `Document`; adding or leaving out words is not covered.

        Args:
            texts: n strings.
            copies: masked copies behind each estimate.
            alpha: chance of a wrong statement.

        Returns:
            n rows: answer (None where no class is surely above 0.5), lower (bound of the likeliest class), words
            (that may be replaced).

        Raises:
            BadInput: an item that is not a string, less than one copy, alpha outside of (0, 1).
        """
        if not 0 < alpha < 1:
            raise BadInput(f"alpha is {alpha}", "use a probability above 0 and below 1")
        mean = replace(self, samples=copies).predict_proba(texts)
        slack = math.sqrt(math.log(len(self.classes_) / alpha) / (2 * copies))
        rows = []
        for text, row in zip(check_texts(texts), mean, strict=True):
            lower, n = float(row.max()) - slack, len(Document.of(text).words)
            answer = self.classes_.tolist()[row.argmax()] if lower > 0.5 else None
            rows.append((answer, lower, _certified_words(lower, n, n - round(self.rate * n))))
        return pd.DataFrame(rows, columns=["answer", "lower", "words"])


def _certified_words(lower: float, n: int, left: int) -> int:
    """The largest d for which 1 - C(n - d, left) / C(n, left) leaves a lower bound above 0.5; 0 if there is none."""
    moves = (1 - math.comb(n - d, left) / math.comb(n, left) for d in range(1, n + 1))
    return next((d for d, move in enumerate(moves) if lower - move <= 0.5), n)
