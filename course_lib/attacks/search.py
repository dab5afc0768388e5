"""The order in which words are tried.

A search is a generator: it yields the documents that it wants answered and is sent their scores. It never calls the
model, so that the engine can answer many sentences' wishes in one batch.
"""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from course_lib.attacks.constraints import Constraint
from course_lib.attacks.document import Document
from course_lib.attacks.transformations import Transformation
from course_lib.errors import BadInput

Answer = tuple[NDArray[np.float32], NDArray[np.bool_]]  # scores and whether the goal is reached, one each a document
Steps = Generator[list[Document], Answer, Document]


@dataclass(frozen=True)
class Task:
    """What a search works on: one document, its score before, and the attack's other parts."""

    original: Document
    score: float
    transformation: Transformation
    constraints: tuple[Constraint, ...]
    draw: random.Random

    def positions(self) -> list[int]:
        """Where a word may be changed."""
        return [
            position
            for position in range(len(self.original.words))
            if all(rule.allows_position(self.original, position) for rule in self.constraints)
        ]

    def candidates(self, current: Document, position: int) -> list[Document]:
        """The current document with each allowed word at a position."""
        new = self.transformation.candidates(self.original.words[position], self.draw)
        changed = [current.replace(position, word) for word in new]
        return [one for one in changed if all(rule.allows(self.original, one) for rule in self.constraints)]


class Search(Protocol):
    """Finds an adversarial document."""

    def steps(self, task: Task) -> Steps:
        """Yields documents, is sent their answers, and returns the best document that it found."""
        ...


@dataclass(frozen=True)
class Greedy:
    """The most important word first, each word at most once, each change kept if it comes nearer to the goal.

    Args:
        importance: how a word's weight is asked: `unknown` puts [UNK] in its place (Li et al. 2016,
            arXiv:1612.08220, in DeepWordBug's public form), `deletion` leaves it out (Jin et al. 2020, equation 1).

    Raises:
        BadInput: another importance.
    """

    importance: str = "unknown"

    def __post_init__(self) -> None:
        if self.importance not in ("unknown", "deletion"):
            raise BadInput(f"importance is {self.importance!r}", "use unknown or deletion")

    def steps(self, task: Task) -> Steps:
        """Asks once for every position, then for one position's candidates at a time."""
        positions = task.positions()
        if not positions:
            return task.original
        masked = [self._masked(task.original, position) for position in positions]
        scores, _ = yield masked
        best, best_score = task.original, task.score
        for i in np.argsort(-scores, kind="stable"):
            candidates = task.candidates(best, positions[i])
            if not candidates:
                continue
            scores, reached = yield candidates
            first = int(scores.argmax())
            if scores[first] <= best_score:
                continue
            best, best_score = candidates[first], float(scores[first])
            if reached[first]:
                break
        return best

    def _masked(self, document: Document, position: int) -> Document:
        if self.importance == "deletion":
            return document.without(position)
        return document.replace(position, "[UNK]")
