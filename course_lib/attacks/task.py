"""What passes between a search, the engine and the parts of an attack."""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from course_lib.attacks.constraints import Constraint
from course_lib.attacks.document import Document
from course_lib.attacks.transformations import Substitutes
from course_lib.attacks.view import Slope


@dataclass(frozen=True)
class Wish:
    """Documents that a search wants answered.

    Args:
        documents: at least one.
        kind: `candidates` may be returned; `probes` only show which words matter; `slopes` asks for gradients.
        positions: of probes, the word that each is about.
    """

    documents: list[Document]
    kind: str = "candidates"
    positions: tuple[int, ...] = ()


class Answer(NamedTuple):
    """One entry for each document of a wish.

    Attributes:
        scores: how near to the goal; minus infinity for what a constraint forbids or the budget no longer pays.
        reached: whether the goal is reached.
        slopes: gradients, where the wish asks for them.
    """

    scores: NDArray[np.float32]
    reached: NDArray[np.bool_]
    slopes: list[Slope]


Steps = Generator[Wish, Answer, Document]


@dataclass(frozen=True)
class Task:
    """What a search works on: one document, its score before, and the attack's other parts."""

    original: Document
    score: float
    substitutes: Substitutes
    constraints: tuple[Constraint, ...]
    draw: random.Random

    def positions(self, current: Document | None = None) -> list[int]:
        """Where a word of the current document, the original when left out, may be changed."""
        document = current or self.original
        return [
            position
            for position in range(len(document.words))
            if all(rule.allows_position(document, position) for rule in self.constraints)
        ]

    def candidates(self, current: Document, position: int) -> list[Document]:
        """The current document with each allowed word at a position."""
        words = self.substitutes.words(current, position, self.draw)
        return self.allowed([current.replace(position, word) for word in words])

    def ranked(self, slope: Slope, current: Document, position: int, most: int | None) -> tuple[list[str], float]:
        """Words for a position, the most promising by the gradient first, and what the first one promises."""
        words, gains = self.substitutes.ranked(slope, current, position, self.draw)
        order = np.argsort(-gains, kind="stable")[:most]
        return [words[i] for i in order], float(gains[order[0]]) if len(order) else -np.inf

    def allowed(self, documents: list[Document]) -> list[Document]:
        """Those that no constraint forbids."""
        return [one for one in documents if all(rule.allows(self.original, one) for rule in self.constraints)]


class Search(Protocol):
    """Finds an adversarial document."""

    def steps(self, task: Task) -> Steps:
        """Yields wishes, is sent their answers, and returns the best document that it found."""
        ...
