"""What a search works on, and what passes between a search and the attack that runs it."""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from course_lib.attacks.constraints import Constraint
from course_lib.attacks.transformations import Substitutes
from course_lib.attacks.victim import VictimModel, WordGradient
from course_lib.text.document import Document


@dataclass(frozen=True)
class Query:
    """Documents that a search needs the model's predictions or gradients of.

    Args:
        documents: at least one.
        kind: `candidates` may be returned; `probes` only show which words matter; `gradients` need no prediction.
        positions: of probes, the word that each is about; of candidates, the word that all of them change.
        stops: whether the attack ends as soon as one of the candidates reaches the goal.
        used: of candidates, how many the search goes on with at most; all of them when left out. An attack with a
            surrogate queries the model for only so many, those with the highest scores by the surrogate; for 0 of them
            the scores themselves are the surrogate's.
    """

    documents: list[Document]
    kind: str = "candidates"
    positions: tuple[int, ...] = ()
    stops: bool = True
    used: int | None = None

    @property
    def most_predicted(self) -> int:
        """How many of the documents the model itself must predict where a surrogate can choose them."""
        if self.kind == "probes":
            return 0
        return len(self.documents) if self.kind == "gradients" or self.used is None else self.used


class QueryResult(NamedTuple):
    """One entry for each document of a query.

    Attributes:
        scores: how near to the goal; minus infinity for what a constraint forbids, a surrogate does not choose, or the
            budget no longer pays for.
        reached: whether the goal is reached.
        gradients: where the query is for them.
    """

    scores: NDArray[np.float32]
    reached: NDArray[np.bool_]
    gradients: list[WordGradient]


Queries = Generator[Query, QueryResult, None]


@dataclass(frozen=True)
class SearchProblem:
    """One document, and the attack's other parts.

    Args:
        original: what the constraints compare with.
        start: where the search starts; the original, or what an earlier search made of it.
        score: of `start`.
        substitutes: what may replace a word.
        constraints: that need no model.
        rng: of all draws.
    """

    original: Document
    start: Document
    score: float
    substitutes: Substitutes
    constraints: tuple[Constraint, ...]
    rng: random.Random

    def positions(self, document: Document) -> list[int]:
        """Where a word of the document may be changed."""
        return [
            position
            for position in range(len(document.words))
            if all(rule.allows_position(document, position) for rule in self.constraints)
        ]

    def candidates(self, document: Document, position: int) -> list[Document]:
        """The document with each allowed word at a position."""
        words = self.substitutes.words(document, position, self.rng)
        return self.allowed([document.replace(position, word) for word in words])

    def ranked(
        self, gradient: WordGradient, document: Document, position: int
    ) -> tuple[list[str], NDArray[np.float32]]:
        """Words for a position and their first-order gains, the most promising first."""
        return self.substitutes.ranked(gradient, document, position, self.rng)

    def allowed(self, documents: list[Document]) -> list[Document]:
        """Those that no constraint forbids."""
        return [one for one in documents if all(rule.allows(self.original, one) for rule in self.constraints)]


class Search:
    """The order in which changes of a document are tried."""

    needs_gradients = False

    def check(self, victim: VictimModel) -> None:
        """Raises BadInput where this search cannot work with the model."""
        if self.needs_gradients:
            victim.check_gradients()

    def queries(self, problem: SearchProblem) -> Queries:
        """Yields queries and is sent their results; never calls the model.

        The attack keeps the best candidate and ends the search when the goal is reached or the budget is spent.
        """
        raise NotImplementedError
