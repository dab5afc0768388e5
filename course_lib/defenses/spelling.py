"""Spelling correction by a noisy channel (Kernighan, Church & Gale 1990, COLING C90-2036).

The writer meant the word for which frequency x probability of this typing error is highest. Pruthi et al. 2019
(arXiv:1905.11268) put a word recogniser before a classifier in the same way; theirs is a trained network that reads the
sentence, ours a table of words. Words that differ in one error are found by their forms with one letter missing (the
symmetric delete index of Garbe's SymSpell).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from course_lib.attacks.transformations import HOMOGLYPHS
from course_lib.errors import BadInput
from course_lib.pretraining.documents import documents, train_documents
from course_lib.text.document import Document

_PLAIN = str.maketrans({theirs: ours for ours, theirs in HOMOGLYPHS.items()})


@dataclass(frozen=True)
class Spelling:
    """A word list with counts, and the channel's one parameter.

    Args:
        counts: how often each word (in lower case) was seen.
        typo_rate: probability that a word is mistyped; the higher, the sooner a rare word is replaced by a common one.

    Raises:
        BadInput: no word, a rate that is not between 0 and 1.
    """

    counts: Mapping[str, float]
    typo_rate: float = 0.05
    _index: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.counts:
            raise BadInput("counts is empty", "give words with their counts, or use Spelling.of(texts)")
        if not 0 < self.typo_rate < 1:
            raise BadInput(f"typo_rate is {self.typo_rate}", "use a probability between 0 and 1")
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

    def correct(self, written: str) -> str:
        """The word that was probably meant, in lower case where it is another one."""
        low = written.translate(_PLAIN).lower()
        if low.isdigit() or low in ("a", "i"):
            return written
        near = {word for form in (low, *_one_missing(low)) for word in self._index.get(form, ())} - {low}
        scores = {word: self.counts[word] * self.typo_rate * typo_probability(low, word) for word in near}
        scores[low] = self.counts.get(low, 0.0) * (1 - self.typo_rate)
        best = max(scores, key=lambda word: (scores[word], word))
        if best == low or not scores[best]:
            return written if written.lower() == low else low
        return best


def _one_missing(word: str) -> Iterator[str]:
    """The word without one of its letters."""
    return (word[:at] + word[at + 1 :] for at in range(len(word)))


def typo_probability(written: str, word: str) -> float:
    """Probability that one typing error in the word gives what is written; 0 if no single error does.

    The four kinds of Gao et al. 2018 are equally likely, as are the places, and the 26 letters where one is drawn.
    """
    n = len(word)
    if len(written) == n - 1:
        return sum(written == form for form in _one_missing(word)) / n / 4
    if len(written) == n + 1:
        return sum(word == form for form in _one_missing(written)) / (n + 1) / 26 / 4
    differ = [at for at, (left, right) in enumerate(zip(written, word, strict=False)) if left != right]
    if len(written) != n or not differ or len(differ) > 2:
        return 0.0
    if len(differ) == 1:
        return 1 / n / 26 / 4
    first, second = differ
    swapped = second == first + 1 and written[first] == word[second] and written[second] == word[first]
    return 1 / (n - 1) / 4 if swapped else 0.0


def english_spelling(texts: Iterable[str]) -> Spelling:
    """Spelling with the words of the task's training texts, counted tenfold, and of the course's English prose."""
    prose = (sentence for one in train_documents(documents()) for sentence in one.sentences)
    return Spelling.of(texts, 10.0, prose)
