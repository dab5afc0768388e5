"""A search that breeds a population of texts."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from course_lib.attacks.problem import Queries, Query, QueryResult, Search, SearchProblem
from course_lib.errors import BadInput
from course_lib.text.document import Document

Scored = tuple[Document, float]


@dataclass(frozen=True)
class Genetic(Search):
    """A population of texts, its fittest crossed and mutated (Alzantot et al. 2018, arXiv:1804.07998, algorithm 1).

    Args:
        population: texts of a generation.
        generations: at most.
        sharpness: how much likelier a fitter text becomes a parent.

    Raises:
        BadInput: a number under 1 (population: under 2), or a sharpness that is not above 0.
    """

    population: int = 12
    generations: int = 12
    sharpness: float = 3.0

    def __post_init__(self) -> None:
        if self.population < 2 or self.generations < 1 or not self.sharpness > 0:
            raise BadInput(f"{self} cannot search", "use population >= 2, generations >= 1, sharpness > 0")

    def queries(self, problem: SearchProblem) -> Queries:
        """Mutates the original, then crosses and mutates; the best text always survives."""
        members = yield from self._mutated(problem, [problem.original] * self.population)
        for _ in range(self.generations):
            if not members:
                return
            fittest = max(members, key=lambda member: member[1])
            children = [self._child(problem, members) for _ in range(self.population - 1)]
            members = [fittest, *(yield from self._mutated(problem, children))]

    def _mutated(
        self, problem: SearchProblem, documents: list[Document]
    ) -> Generator[Query, QueryResult, list[Scored]]:
        """Each document with the best candidate of one position drawn at random."""
        groups = [group for one in documents if (group := self._candidates(problem, one))]
        if not groups:
            return []
        result = yield Query([one for group in groups for one in group])
        members, start = list[Scored](), 0
        for group in groups:
            i = int(result.scores[start : start + len(group)].argmax())
            if np.isfinite(result.scores[start + i]):
                members.append((group[i], float(result.scores[start + i])))
            start += len(group)
        return members

    def _candidates(self, problem: SearchProblem, document: Document) -> list[Document]:
        positions = problem.positions(document)
        for position in problem.rng.sample(positions, len(positions)):
            if found := problem.candidates(document, position):
                return found
        return []

    def _child(self, problem: SearchProblem, members: list[Scored]) -> Document:
        """At each position the word of one of two parents; one parent alone if the mix breaks a constraint."""
        scores = np.array([score for _, score in members])
        weights = np.exp(self.sharpness * (scores - scores.max()))
        left, right = (one for one, _ in problem.rng.choices(members, weights.tolist(), k=2))
        child = left
        for position in sorted(left.changed | right.changed):
            if problem.rng.random() < 0.5:
                child = child.replace(position, right.words[position])
        kept = frozenset(at for at in child.changed if child.words[at] != problem.original.words[at])
        mixed = Document(child.words, child.gaps, kept)
        return mixed if problem.allowed([mixed]) else left
