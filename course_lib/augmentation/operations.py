"""Operations that rewrite texts and keep their labels, and those of easy data augmentation (EDA).

The rewrite of a text depends on the text and the seed alone, not on the other texts, so that a copy can be made again,
and made in batches of any size.

EDA has four operations on words (Wei & Zou 2019, arXiv:1901.11196, section 2). Each changes n = max(1, alpha * words)
of them, rounded down. Unlike the authors' program they leave punctuation and capitals where they are.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol

from course_lib import wordnet
from course_lib.batching import check_texts
from course_lib.errors import BadInput
from course_lib.text.document import Document


class Operation(Protocol):
    """Rewrites texts."""

    def __call__(self, texts: Sequence[str], seed: int = 0, labels: Sequence[Any] | None = None) -> list[str]:
        """One rewrite of each text; the text itself where nothing in it can be changed.

        Args:
            texts: n strings.
            seed: another seed, another rewrite.
            labels: of the texts; used only by operations that depend on the label.

        Raises:
            BadInput: an item that is not a string, a seed that is no whole number.
        """
        ...


@dataclass(frozen=True)
class WordOperation(ABC):
    """Base of the operations that rewrite each text by itself; a text without a word stays as it is.

    Args:
        alpha: fraction of the words that is changed.

    Raises:
        BadInput: alpha is not above 0 and at most 1.
    """

    alpha: float = 0.1

    def __post_init__(self) -> None:
        check_alpha(self.alpha)

    def __call__(self, texts: Sequence[str], seed: int = 0, labels: Sequence[Any] | None = None) -> list[str]:
        """See `Operation`."""
        check_seed(seed)
        return [self._rewritten(text, seed) for text in check_texts(texts)]

    def _rewritten(self, text: str, seed: int) -> str:
        document = Document.of(text)
        return self.rewrite(document, stream(type(self).__name__, seed, text)).text if document.words else text

    @abstractmethod
    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """Another document of the same label; `document` has at least one word."""


@dataclass(frozen=True)
class SynonymReplacement(WordOperation):
    """Replaces n words, function words excepted, by WordNet synonyms."""

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The same sentence with n other words, fewer where not so many have a synonym."""
        words, left = list(document.words), changes(self.alpha, len(document.words))
        for position in draw.sample(range(len(words)), len(words)):
            if found := synonyms(document, position):
                words[position] = draw.choice(found)
                left -= 1
            if not left:
                break
        return Document(tuple(words), document.gaps)

    def __str__(self) -> str:
        return f"synonyms for {self.alpha:.0%} of the words"


@dataclass(frozen=True)
class RandomInsertion(WordOperation):
    """Inserts synonyms of n random words at random places."""

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The same sentence and n words more; none where no word has a synonym."""
        words, gaps = list(document.words), list(document.gaps)
        found: list[str] = []
        wanted = changes(self.alpha, len(words))
        for position in draw.sample(range(len(words)), len(words)):
            if len(found) < wanted and (known := synonyms(document, position)):
                found.append(draw.choice(known))
        for new in found:
            place = draw.randint(0, len(words))  # before that word, or after the last one
            gaps.insert(min(place + 1, len(words)), " ")
            words.insert(place, new)
        return Document(tuple(words), tuple(gaps))

    def __str__(self) -> str:
        return f"synonyms of {self.alpha:.0%} of the words inserted"


@dataclass(frozen=True)
class RandomSwap(WordOperation):
    """Swaps two random words, n times."""

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The same words in another order; a single word stays."""
        words = list(document.words)
        for _ in range(changes(self.alpha, len(words)) if len(words) > 1 else 0):
            one, other = draw.sample(range(len(words)), 2)
            words[one], words[other] = words[other], words[one]
        return Document(tuple(words), document.gaps)

    def __str__(self) -> str:
        return f"{self.alpha:.0%} of the words swapped"


@dataclass(frozen=True)
class RandomDeletion(WordOperation):
    """Deletes each word with probability alpha, a "not" like any other word."""

    def rewrite(self, document: Document, draw: random.Random) -> Document:
        """The words that are left, at least one."""
        places = range(len(document.words))
        kept = [place for place in places if draw.random() >= self.alpha] or [draw.choice(places)]
        # A word goes with the gap after it; what is before the first word and after the last stays.
        gaps = [document.gaps[0], *(document.gaps[place + 1] for place in kept[:-1]), document.gaps[-1]]
        return Document(tuple(document.words[place] for place in kept), tuple(gaps))

    def __str__(self) -> str:
        return f"{self.alpha:.0%} of the words deleted"


@dataclass(frozen=True)
class OneOf:
    """Rewrites each text by one of several operations, drawn with equal chances.

    Args:
        operations: at least one.

    Raises:
        BadInput: none, or something that is no operation.
    """

    operations: tuple[Operation, ...]

    def __post_init__(self) -> None:
        if not self.operations or not all(callable(one) for one in self.operations):
            raise BadInput(f"operations is {self.operations!r:.80}", "give at least one operation: (RandomSwap(),)")

    def __call__(self, texts: Sequence[str], seed: int = 0, labels: Sequence[Any] | None = None) -> list[str]:
        """Every operation gets its texts in one call; see `Operation`."""
        check_seed(seed)
        rows, every = check_texts(texts), None if labels is None else list(labels)
        if every is not None and len(every) != len(rows):
            raise BadInput(f"{len(rows)} texts and {len(every)} labels", "give one label for each text")
        chosen = [stream("OneOf", seed, text).randrange(len(self.operations)) for text in rows]
        for place, operation in enumerate(self.operations):
            mine = [row for row, choice in enumerate(chosen) if choice == place]
            if not mine:
                continue
            known = None if every is None else [every[row] for row in mine]
            made = operation([rows[row] for row in mine], derived_seed(seed, place), known)
            for row, text in zip(mine, made, strict=True):
                rows[row] = text
        return rows

    def __str__(self) -> str:
        return f"one of ({', '.join(map(str, self.operations))})"


def eda(alpha: float = 0.1) -> OneOf:
    """The four operations of EDA, each text by one of them.

    Args:
        alpha: fraction of the words that each changes. The paper's advice: 0.05 for up to 2,000 labels, else 0.1.

    Raises:
        BadInput: alpha is not above 0 and at most 1.
    """
    return OneOf((SynonymReplacement(alpha), RandomInsertion(alpha), RandomSwap(alpha), RandomDeletion(alpha)))


def synonyms(document: Document, position: int) -> tuple[str, ...]:
    """Synonyms of a word as it is used there, none of them the word itself."""
    word = document.words[position]
    found = wordnet.synonyms(word, wordnet.likely_pos(document.words, position))
    return tuple(new for new in found if new.lower() != word.lower())


def stream(name: str, seed: int, text: str) -> random.Random:
    """The random numbers of one operation for one text (Python seeds by the text's SHA-512, not by its hash)."""
    return random.Random(f"{name}/{int(seed)}/{text}")


def derived_seed(seed: int, place: int) -> int:
    """A seed for the operation at a place, so that two operations with one seed do not draw alike."""
    return random.Random(f"{int(seed)}/{place}").getrandbits(32)


def check_seed(seed: Any) -> None:
    """Raises BadInput for a seed that is no whole number from 0 on."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or int(seed) < 0:
        raise BadInput(f"seed is {seed!r}", "use a whole number from 0 on, such as 0, 1, 2")


def check_alpha(alpha: Any) -> None:
    """Raises BadInput unless alpha is above 0 and at most 1."""
    if not isinstance(alpha, Real) or isinstance(alpha, bool) or not 0 < float(alpha) <= 1:
        raise BadInput(f"alpha is {alpha!r}", "alpha is a fraction of the words: above 0 and at most 1, such as 0.1")


def changes(alpha: float, words: int) -> int:
    """How many of a text's words are changed: n = max(1, alpha * words), rounded down (Wei & Zou 2019, 2)."""
    return max(1, int(alpha * words))
