"""Texts made plainer before the model reads them: spelling corrected, rare words put in common ones.

What stands before the model takes away most of an attacker's choices: many changed words are read as the same word.
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
from course_lib.attacks.document import Document
from course_lib.checkpoints import write_atomically
from course_lib.classifier import TextClassifier
from course_lib.defenses.answers import Answers
from course_lib.defenses.spelling import Spelling
from course_lib.errors import BadInput, CorruptAsset, MissingAsset

_FILE = "reading.json"


@dataclass(frozen=True)
class CommonWords:
    """A word that the training texts seldom hold is read as its commonest synonym there.

    Attacks by synonyms live on rare words, which the model has hardly met (frequency-guided substitution, Mozes et al.
    2021, arXiv:2004.05887; one code for all synonyms: Wang et al. 2021, arXiv:1909.06723).

    Args:
        counts: how often each word (in lower case) stands in the training texts.
        least: a word that is seen so often stays.

    Raises:
        BadInput: `least` is negative.
    """

    counts: Mapping[str, int]
    least: int = 10
    _known: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.least < 0:
            raise BadInput(f"least is {self.least}", "use 0 or more")

    @classmethod
    def of(cls, texts: Iterable[str], least: int = 10) -> Self:
        """Counts the words of texts."""
        return cls(dict(Counter(word for text in texts for word in Document.of(text.lower()).words)), least)

    def word(self, written: str) -> str:
        """The word as it is read."""
        if written not in self._known:
            if len(self._known) > 500_000:  # an attack writes many words once
                self._known.clear()
            self._known[written] = self._common(written)
        return self._known[written]

    def _common(self, written: str) -> str:
        own = self.counts.get(written.lower(), 0)
        if own >= self.least:
            return written
        count, best = max(
            ((self.counts.get(new.lower(), 0), new) for new in wordnet.synonyms(written)), default=(0, "")
        )
        return best if count > own else written


@dataclass(frozen=True)
class Reading:
    """How texts are read: spelling first, then common words; either may be left out."""

    spelling: Spelling | None = None
    common: CommonWords | None = None

    def word(self, written: str) -> str:
        """A word as the model is given it."""
        meant = self.spelling.word(written) if self.spelling else written
        return self.common.word(meant) if self.common else meant

    def read(self, texts: Sequence[str]) -> list[str]:
        """The texts as the model is given them; what stands between the words is kept."""
        return [self._read(text) for text in texts]

    def _read(self, text: str) -> str:
        document = Document.of(text)
        around = zip(document.gaps, document.gaps[1:], strict=False)
        words = (
            word if before.endswith("[") and after.startswith("]") else self.word(word)  # [UNK], [MASK]
            for word, (before, after) in zip(document.words, around, strict=True)
        )
        return Document(tuple(words), document.gaps).text


class Corrected(Answers):
    """A classifier that reads texts after a `Reading`; it has the face of the classifier that it stands before.

    Args:
        classifier: fitted.
        reading: applied to every text before the classifier sees it.

    Raises:
        BadInput: a regression model.
    """

    def __init__(self, classifier: TextClassifier, reading: Reading) -> None:
        if classifier.head == "regression":
            raise BadInput("the model is a regression model", "give a classifier")
        self.classifier = classifier
        self.reading = reading

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted."""
        found: NDArray[Any] = self.classifier.classes_
        return found

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, classes); rows sum to 1."""
        found: NDArray[np.float32] = self.classifier.predict_proba(self.reading.read(texts))
        return found

    def save(self, folder: str | Path) -> Path:
        """Writes the classifier into `folder/model`, an ordinary transformers folder, and the reading beside it.

        Raises:
            BadInput: the place holds something else.
        """
        target, spelling, common = Path(folder), self.reading.spelling, self.reading.common
        self.classifier.save(target / "model")
        note = {
            "spelling": spelling and {"counts": dict(spelling.counts), "typo_rate": spelling.typo_rate},
            "common": common and {"counts": dict(common.counts), "least": common.least},
        }
        write_atomically(target / _FILE, json.dumps(note, ensure_ascii=False))
        return target

    @staticmethod
    def is_saved(folder: str | Path) -> bool:
        """Whether `save` has written into this folder."""
        return (Path(folder) / _FILE).is_file()

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Corrected:
        """Loads what `save` wrote.

        Raises:
            MissingAsset: there is none.
            CorruptAsset: it is damaged.
        """
        file = Path(folder) / _FILE
        if not file.is_file():
            raise MissingAsset(f"there is no {_FILE} in {folder}", "give a folder that Corrected.save has written")
        try:
            note = json.loads(file.read_text(encoding="utf-8"))
            spelling = Spelling(**note["spelling"]) if note["spelling"] else None
            common = CommonWords(**note["common"]) if note["common"] else None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptAsset(f"{file} is damaged: {error!r}", "save the model again") from error
        return cls(TextClassifier.from_pretrained(Path(folder) / "model"), Reading(spelling, common))
