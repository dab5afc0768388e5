"""Searches that keep the best few texts at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from course_lib.attacks.problem import Queries, Query, QueryResult, Search, SearchProblem
from course_lib.attacks.victim import VictimModel, WordGradient
from course_lib.errors import BadInput
from course_lib.text.document import Document


@dataclass(frozen=True)
class Beam(Search):
    """Every candidate at every position; the best `width` texts go on, until the goal is reached.

    Thorough and expensive: about width x words x candidates queries for each changed word.

    Raises:
        BadInput: a width under 1.
    """

    width: int = 8

    def __post_init__(self) -> None:
        _check_width(self.width)

    def queries(self, problem: SearchProblem) -> Queries:
        """All successors of the beam in one query; a text that two members lead to is queried once."""
        beam = [problem.start]
        for _ in range(len(problem.original.words)):
            made = [new for one in beam for at in problem.positions(one) for new in problem.candidates(one, at)]
            documents = list({one.words: one for one in made}.values())
            if not documents:
                return
            beam = _best(documents, (yield Query(documents, used=self.width)), self.width)


def _best(documents: list[Document], result: QueryResult, width: int) -> list[Document]:
    """The documents with the highest scores, without those that were not predicted."""
    order = np.argsort(-result.scores, kind="stable")[:width]
    return [documents[i] for i in order if np.isfinite(result.scores[i])]


def _check_width(width: int) -> None:
    if width < 1:
        raise BadInput(f"width is {width}", "use 1 or more")


@dataclass(frozen=True)
class GradientBeam(Search):
    """A beam that queries only the most promising changes of each member, by the gradient.

    Each round takes the gradient at every member (one query each) and queries the `per_member` most promising changes
    of a member; of the first text, which is alone, `per_member` x `width`. The best `width` texts go on, until the goal
    is reached. `Beam` queries every change of every member.

    Raises:
        BadInput: a number under 1.
    """

    needs_gradients = True

    width: int = 8
    per_member: int = 4

    def __post_init__(self) -> None:
        _check_width(self.width)
        if self.per_member < 1:
            raise BadInput(f"per_member is {self.per_member}", "use 1 or more")

    def queries(self, problem: SearchProblem) -> Queries:
        """Gradients of the beam in one query, its most promising successors in the next."""
        beam, queried = [problem.start], set[tuple[str, ...]]()
        for _ in range(len(problem.original.words)):
            if not (beam := [one for one in beam if problem.positions(one)]):
                return
            gradients = (yield Query(beam, "gradients")).gradients
            most = self.per_member * (self.width if len(beam) == 1 else 1)
            documents: list[Document] = []
            for one, gradient in zip(beam, gradients, strict=True):
                documents += self._successors(problem, one, gradient, most, queried)
            if not documents:
                return
            beam = _best(documents, (yield Query(documents, used=self.width)), self.width)

    def _successors(
        self, problem: SearchProblem, document: Document, gradient: WordGradient, most: int,
        queried: set[tuple[str, ...]],
    ) -> list[Document]:  # fmt: skip
        """The most promising allowed changes that were not queried before; they are added to `queried`."""
        changes: list[tuple[float, int, str]] = []
        for at in problem.positions(document):
            words, gains = problem.ranked(gradient, document, at)
            changes += [(float(gain), at, word) for gain, word in zip(gains, words, strict=True)]
        found: list[Document] = []
        for _, at, word in sorted(changes, key=lambda change: -change[0]):
            if len(found) == most:
                break
            new = document.replace(at, word)
            if new.words not in queried and problem.allowed([new]):
                queried.add(new.words)
                found.append(new)
        return found


@dataclass(frozen=True)
class Sequential(Search):
    """Searches from the cheapest to the most expensive, each from the original text, until one reaches the goal.

    Raises:
        BadInput: no search.
    """

    searches: tuple[Search, ...]

    def __post_init__(self) -> None:
        if not self.searches:
            raise BadInput("there is no search", "give one or more")

    def check(self, victim: VictimModel) -> None:
        """Every search must be able to work with the model."""
        for search in self.searches:
            search.check(victim)

    def queries(self, problem: SearchProblem) -> Queries:
        """The queries of one search after another."""
        for search in self.searches:
            yield from search.queries(problem)
