"""Spelling corrected before the model reads: a defence that leaves the model alone.

A noisy channel (Kernighan, Church & Gale 1990, COLING C90-2036): the writer meant the word for which frequency x chance
of this typing error is highest. Pruthi et al. 2019 (arXiv:1905.11268) put a word recogniser before a classifier in the
same way; theirs is a trained network that reads the sentence, ours a table of words. Words that differ in one error
are found by their forms with one letter missing (the symmetric delete index of Garbe's SymSpell).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from course_lib.attacks.document import Document
from course_lib.attacks.transformations import LOOKALIKES
from course_lib.checkpoints import write_atomically
from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput, CorruptAsset, MissingAsset
from course_lib.pretraining.documents import documents, train_documents

_PLAIN = str.maketrans({theirs: ours for ours, theirs in LOOKALIKES.items()})
_FILE = "spelling.json"


@dataclass(frozen=True)
class Spelling:
    """A word list with counts, and the channel's one number.

    Args:
        counts: how often each word (in lower case) was seen.
        typo_rate: chance that a word is mistyped; the higher it is, the sooner a rare word gives way to a common one.

    Raises:
        BadInput: no word, a rate that is not between 0 and 1.
    """

    counts: Mapping[str, float]
    typo_rate: float = 0.05
    _index: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _known: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.counts:
            raise BadInput("counts is empty", "give words with their counts, or use Spelling.of(texts)")
        if not 0 < self.typo_rate < 1:
            raise BadInput(f"typo_rate is {self.typo_rate}", "use a share between 0 and 1")
        for word in self.counts:
            for form in (word, *_one_missing(word)):
                self._index.setdefault(form, []).append(word)

    @classmethod
    def of(cls, texts: Iterable[str], weight: float = 1.0, more: Iterable[str] = (), typo_rate: float = 0.05) -> Self:
        """Counts words of texts of the task, each `weight` times, and of other texts, once."""
        counts: Counter[str] = Counter()
        for part, times in ((texts, weight), (more, 1.0)):
            for text in part:
                for word in Document.of(text.lower()).words:
                    counts[word] += times  # type: ignore[assignment]  # weighted counts
        return cls(dict(counts), typo_rate)

    def correct(self, texts: Sequence[str]) -> list[str]:
        """The texts with each word as it was probably meant; what stands between the words is kept."""
        return [self._corrected(text) for text in texts]

    def word(self, written: str) -> str:
        """The word that was probably meant, in lower case where it is another one."""
        if written not in self._known:
            if len(self._known) > 500_000:  # an attack writes many words once
                self._known.clear()
            self._known[written] = self._meant(written)
        return self._known[written]

    def _corrected(self, text: str) -> str:
        document = Document.of(text.translate(_PLAIN))
        gaps = zip(document.gaps, document.gaps[1:], strict=False)
        words = (
            word if before.endswith("[") and after.startswith("]") else self.word(word)  # [UNK], [MASK]
            for word, (before, after) in zip(document.words, gaps, strict=True)
        )
        return Document(tuple(words), document.gaps).text

    def _meant(self, written: str) -> str:
        low = written.lower()
        if low.isdigit() or len(low) < 2:
            return written
        scores = {word: self.counts[word] * self.typo_rate / _ways(word) for word in self._one_error_away(low)}
        scores[low] = self.counts.get(low, 0.0) * (1 - self.typo_rate)
        best = max(scores, key=lambda word: (scores[word], word))
        return written if best == low or not scores[best] else best

    def _one_error_away(self, low: str) -> set[str]:
        forms = (low, *_one_missing(low))
        near = {word for form in forms for word in self._index.get(form, ())}
        return {word for word in near if word != low and is_one_error(low, word)}

    def to_json(self) -> str:
        """As one JSON object."""
        return json.dumps({"typo_rate": self.typo_rate, "counts": dict(self.counts)}, ensure_ascii=False)


def _one_missing(word: str) -> Iterator[str]:
    """The word without one of its letters."""
    return (word[:at] + word[at + 1 :] for at in range(len(word)))


def _ways(word: str) -> int:
    """How many typing errors a word allows: each is one of so many, roughly."""
    n = len(word)
    return n + (n - 1) + 26 * n + 26 * (n + 1)  # deleted, swapped, substituted, inserted


def is_one_error(left: str, right: str) -> bool:
    """Whether one letter was inserted, deleted or substituted, or two neighbours swapped (Damerau 1964)."""
    if left == right or abs(len(left) - len(right)) > 1:
        return False
    short, long = sorted((left, right), key=len)
    start = 0
    while start < len(short) and short[start] == long[start]:
        start += 1
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    swapped = short[start + 1 : start + 2] + short[start : start + 1]
    return short[start + 1 :] == long[start + 1 :] or (
        swapped == long[start : start + 2] and short[start + 2 :] == long[start + 2 :]
    )


def english_spelling(texts: Iterable[str], typo_rate: float = 0.05, weight: float = 10.0) -> Spelling:
    """Words of the task's training texts, and of the course's speeches, articles and news beside them."""
    prose = (sentence for one in train_documents(documents()) for sentence in one.sentences)
    return Spelling.of(texts, weight, prose, typo_rate)


class Corrected:
    """A classifier that reads corrected texts; it has the face of the classifier that it stands before.

    Args:
        classifier: fitted.
        spelling: applied to every text before the classifier sees it.
    """

    head = "classification"

    def __init__(self, classifier: TextClassifier, spelling: Spelling) -> None:
        if classifier.head == "regression":
            raise BadInput("the model is a regression model", "give a classifier")
        self.classifier = classifier
        self.spelling = spelling

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted."""
        found: NDArray[Any] = self.classifier.classes_
        return found

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, classes); rows sum to 1."""
        found: NDArray[np.float32] = self.classifier.predict_proba(self.spelling.correct(texts))
        return found

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """The likeliest class of each text, (n,)."""
        found: NDArray[Any] = self.classifier.predict(self.spelling.correct(texts))
        return found

    def score(self, texts: Sequence[str], labels: Any) -> float:
        """Accuracy."""
        return float(np.mean(self.predict(texts) == np.asarray(labels)))

    def save(self, folder: str | Path) -> Path:
        """Writes the classifier into `folder/model`, an ordinary transformers folder, and the words beside it.

        Raises:
            BadInput: the place holds something else.
        """
        target = Path(folder)
        self.classifier.save(target / "model")
        write_atomically(target / _FILE, self.spelling.to_json())
        return target

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
            saved = json.loads(file.read_text(encoding="utf-8"))
            spelling = Spelling(saved["counts"], saved["typo_rate"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptAsset(f"{file} is damaged: {error!r}", "save the model again") from error
        return cls(TextClassifier.from_pretrained(Path(folder) / "model"), spelling)


def is_corrected(folder: str | Path) -> bool:
    """Whether a folder holds a classifier with its spelling."""
    return (Path(folder) / _FILE).is_file()
