"""What an operation is, and how operations are put together.

An operation rewrites texts and keeps their labels. What it makes of a text follows from the text and the seed alone,
whatever stands beside it, so that a copy can be made again, and made in batches of any size.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol

from course_lib.attacks.document import Document
from course_lib.batching import check_texts
from course_lib.errors import BadInput


class Operation(Protocol):
    """Rewrites texts."""

    def __call__(self, texts: Sequence[str], seed: int = 0, labels: Sequence[Any] | None = None) -> list[str]:
        """One rewrite of each text; the text itself where nothing in it can be changed.

        Args:
            texts: n strings.
            seed: another seed, another rewrite.
            labels: of the texts; only operations that look at the label read them.

        Raises:
            BadInput: an item that is not a string, a seed that is no whole number.
        """
        ...


class WordOperation(ABC):
    """Base of the operations that look at one text at a time; a text without a word stays as it is."""

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
class Compose:
    """One operation after another.

    Args:
        operations: at least one.

    Raises:
        BadInput: none, or something that is no operation.
    """

    operations: tuple[Operation, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", _checked(self.operations))

    def __call__(self, texts: Sequence[str], seed: int = 0, labels: Sequence[Any] | None = None) -> list[str]:
        """Each operation rewrites what the one before has made; see `Operation`."""
        check_seed(seed)
        rows = check_texts(texts)
        for place, operation in enumerate(self.operations):
            rows = operation(rows, derived_seed(seed, place), labels)
        return rows

    def __str__(self) -> str:
        return " then ".join(map(str, self.operations))


@dataclass(frozen=True)
class OneOf:
    """Each text by one of several operations, drawn with equal chances.

    Args:
        operations: at least one.

    Raises:
        BadInput: none, or something that is no operation.
    """

    operations: tuple[Operation, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", _checked(self.operations))

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


def _checked(operations: Any) -> tuple[Operation, ...]:
    several = tuple(operations) if isinstance(operations, Sequence) and not isinstance(operations, str) else ()
    if not several or not all(callable(one) for one in several):
        raise BadInput(f"operations is {operations!r:.80}", "give at least one operation, such as (RandomSwap(),)")
    return several


def stream(name: str, seed: int, text: str) -> random.Random:
    """The random numbers of one operation for one text (Python seeds by the text's SHA-512, not by its hash)."""
    return random.Random(f"{name}/{int(seed)}/{text}")


def derived_seed(seed: int, place: int) -> int:
    """A seed for the operation at a place, so that neighbours with one seed don't draw alike."""
    return random.Random(f"{int(seed)}/{place}").getrandbits(32)


def check_seed(seed: Any) -> None:
    """Raises BadInput for a seed that is no whole number from 0 on."""
    if not isinstance(seed, Integral) or isinstance(seed, bool) or int(seed) < 0:
        raise BadInput(f"seed is {seed!r}", "use a whole number from 0 on, such as 0, 1, 2")


def check_share(name: str, value: Any) -> None:
    """Raises BadInput for what is no share of the words above 0 and up to 1."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) <= 1:
        raise BadInput(f"{name} is {value!r}", f"{name} is a share of the words: above 0 and at most 1, such as 0.1")


def changes(share: float, words: int) -> int:
    """How many of a text's words are changed: n = max(1, share * words), rounded down (Wei & Zou 2019, 2)."""
    return max(1, int(share * words))
