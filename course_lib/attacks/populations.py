"""Searches that keep several texts at a time: beam and genetic."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from course_lib.attacks.document import Document
from course_lib.attacks.task import Answer, Steps, Task, Wish
from course_lib.errors import BadInput


@dataclass(frozen=True)
class Beam:
    """Every candidate at every position, the best `width` texts go on, until the goal is reached.

    Thorough and dear: about width x words x candidates queries for each changed word.

    Raises:
        BadInput: a width under 1.
    """

    width: int = 8

    def __post_init__(self) -> None:
        if self.width < 1:
            raise BadInput(f"width is {self.width}", "use 1 or more")

    def steps(self, task: Task) -> Steps:
        """All successors of the beam in one wish; a text that two members lead to is asked about once."""
        beam, best, best_score = [task.original], task.original, task.score
        for _ in range(len(task.original.words)):
            made = [new for one in beam for at in task.positions(one) for new in task.candidates(one, at)]
            documents = list({one.words: one for one in made}.values())
            if not documents:
                break
            answer = yield Wish(documents)
            order = np.argsort(-answer.scores, kind="stable")[: self.width]
            beam = [documents[i] for i in order if np.isfinite(answer.scores[i])]
            if answer.scores[order[0]] > best_score:
                best, best_score = documents[order[0]], float(answer.scores[order[0]])
            if answer.reached[order[0]] or not beam:
                break
        return best


@dataclass(frozen=True)
class Genetic:
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

    def steps(self, task: Task) -> Steps:
        """Mutates the original, then crosses and mutates; the best text always lives on."""
        people = yield from self._mutated(task, [task.original] * self.population)
        best, best_score = task.original, task.score
        for _ in range(self.generations):
            if not people:
                break
            fittest = max(people, key=lambda one: one[1])
            if fittest[1] > best_score:
                best, best_score = fittest[0], fittest[1]
            if fittest[2]:
                break
            children = [self._child(task, people) for _ in range(self.population - 1)]
            people = [fittest, *(yield from self._mutated(task, children))]
        return best

    def _mutated(
        self, task: Task, documents: list[Document]
    ) -> Generator[Wish, Answer, list[tuple[Document, float, bool]]]:
        """Each document with the best candidate of one position that chance chose."""
        groups = [group for one in documents if (group := self._candidates(task, one))]
        if not groups:
            return []
        answer = yield Wish([one for group in groups for one in group])
        people, start = [], 0
        for group in groups:
            i = start + int(answer.scores[start : start + len(group)].argmax())
            if np.isfinite(answer.scores[i]):
                people.append((group[i - start], float(answer.scores[i]), bool(answer.reached[i])))
            start += len(group)
        return people

    def _candidates(self, task: Task, document: Document) -> list[Document]:
        positions = task.positions(document)
        for position in task.draw.sample(positions, len(positions)):
            if found := task.candidates(document, position):
                return found
        return []

    def _child(self, task: Task, people: list[tuple[Document, float, bool]]) -> Document:
        """At each position the word of one of two parents; one parent alone if the mix breaks a constraint."""
        scores = np.array([score for _, score, _ in people])
        weights = np.exp(self.sharpness * (scores - scores.max()))
        left, right = (one for one, _, _ in task.draw.choices(people, weights.tolist(), k=2))
        child = left
        for position in sorted(left.changed | right.changed):
            if task.draw.random() < 0.5:
                child = child.replace(position, right.words[position])
        kept = frozenset(at for at in child.changed if child.words[at] != task.original.words[at])
        mixed = Document(child.words, child.gaps, kept)
        return mixed if task.allowed([mixed]) else left
