"""Texts normalised before the model reads them: spelling corrected, rare words replaced by common synonyms.

This takes away most of an attacker's choices: many changed words become the same word again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from course_lib import wordnet
from course_lib.checkpoints import atomic_folder
from course_lib.classifier import TextClassifier
from course_lib.defenses.spelling import Spelling
from course_lib.errors import BadInput, CorruptAsset, MissingAsset
from course_lib.text.classifiers import ProbabilityClassifierMixin
from course_lib.text.document import Document

_FILE, _MODEL = "normalizer.json", "model"
_CACHED = 500_000  # words: an attack writes many words once


@dataclass(frozen=True)
class CommonWords:
    """Replaces a word that is rare in the training texts by its most frequent synonym there.

    Attacks by synonyms use rare words, which the model has hardly seen (frequency-guided substitution, Mozes et al.
    2021, arXiv:2004.05887; one code for all synonyms: Wang et al. 2021, arXiv:1909.06723).

    Args:
        counts: how often each word (in lower case) occurs in the training texts.
        least: a word that occurs so often stays.

    Raises:
        BadInput: `least` is negative.
    """

    counts: Mapping[str, int]
    least: int = 10

    def __post_init__(self) -> None:
        if self.least < 0:
            raise BadInput(f"least is {self.least}", "use 0 or more")

    @classmethod
    def of(cls, texts: Iterable[str], least: int = 10) -> Self:
        """Counts the words of texts."""
        return cls(dict(Counter(word for text in texts for word in Document.of(text.lower()).words)), least)

    def replace(self, word: str) -> str:
        """The word, or its most frequent synonym."""
        own = self.counts.get(word.lower(), 0)
        if own >= self.least:
            return word
        counted = ((self.counts.get(new.lower(), 0), new) for new in wordnet.synonyms(word))
        count, best = max(counted, default=(0, ""))
        return best if count > own else word


@dataclass(frozen=True)
class TextNormalizer:
    """Corrects spelling, then replaces rare words; either may be left out."""

    spelling: Spelling | None = None
    common: CommonWords | None = None
    _cache: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def word(self, written: str) -> str:
        """A word as the model reads it."""
        if (known := self._cache.get(written)) is not None:
            return known
        corrected = self.spelling.correct(written) if self.spelling else written
        normal = self.common.replace(corrected) if self.common else corrected
        if len(self._cache) >= _CACHED:
            self._cache.clear()
        self._cache[written] = normal
        return normal

    def normalize(self, texts: Sequence[str]) -> list[str]:
        """The texts as the model reads them; the gaps between the words are kept."""
        return [self._normalize(text) for text in texts]

    def _normalize(self, text: str) -> str:
        document = Document.of(text)
        around = zip(document.gaps, document.gaps[1:], strict=False)
        words = (
            word if before[-1:] + after[:1] in ("[]", "<>") else self.word(word)  # [UNK], [MASK], <mask>
            for word, (before, after) in zip(document.words, around, strict=True)
        )
        return Document(tuple(words), document.gaps).text


class NormalizedClassifier(ProbabilityClassifierMixin):
    """A classifier that predicts on normalised texts, for use in place of the one that it wraps.

    Args:
        classifier: fitted.
        normalizer: applied to every text before the classifier reads it.

    Raises:
        BadInput: a regression model.
    """

    def __init__(self, classifier: TextClassifier, normalizer: TextNormalizer) -> None:
        if classifier.head == "regression":
            raise BadInput("the model is a regression model", "give a classifier")
        self.classifier = classifier
        self.normalizer = normalizer

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of the columns."""
        classes: NDArray[Any] = self.classifier.classes_
        return classes

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, classes); rows sum to 1."""
        probabilities: NDArray[np.float32] = self.classifier.predict_proba(self.normalizer.normalize(texts))
        return probabilities

    def save(self, folder: str | Path) -> Path:
        """Writes the classifier into `folder/model`, an ordinary transformers folder, and the normaliser beside it.

        Complete or not at all; a folder that `save` wrote before is replaced.

        Raises:
            BadInput: the folder holds something else.
        """
        target, spelling, common = Path(folder), self.normalizer.spelling, self.normalizer.common
        held = {entry.name for entry in target.iterdir()} if target.is_dir() else set()
        if target.is_file() or held - {_FILE, _MODEL}:
            raise BadInput(f"{target} exists and is not a saved classifier", "give a new or empty folder")
        note = {
            "spelling": spelling and {"counts": dict(spelling.counts), "typo_rate": spelling.typo_rate},
            "common": common and {"counts": dict(common.counts), "least": common.least},
        }
        with atomic_folder(target) as part:
            self.classifier.save(part / _MODEL)
            (part / _FILE).write_text(json.dumps(note, ensure_ascii=False), encoding="utf-8")
        return target

    @staticmethod
    def is_saved(folder: str | Path) -> bool:
        """Whether `save` has written into this folder."""
        return (Path(folder) / _FILE).is_file()

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> NormalizedClassifier:
        """Loads what `save` wrote.

        Raises:
            MissingAsset: there is none.
            CorruptAsset: it is damaged.
        """
        file = Path(folder) / _FILE
        if not file.is_file():
            raise MissingAsset(f"there is no {_FILE} in {folder}", "give a folder that NormalizedClassifier.save wrote")
        try:
            note = json.loads(file.read_text(encoding="utf-8"))
            spelling = Spelling(**note["spelling"]) if note["spelling"] else None
            common = CommonWords(**note["common"]) if note["common"] else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptAsset(f"{file} is damaged: {error!r}", "save the model again") from error
        return cls(TextClassifier.from_pretrained(Path(folder) / _MODEL), TextNormalizer(spelling, common))
