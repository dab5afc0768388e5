"""Greedy searches: one word after another, the most important first.

A search is a generator: it yields the documents that it wants answered and is sent their scores. It never calls the
model, so that the engine can answer many sentences' wishes in one batch.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from course_lib.attacks.document import Document
from course_lib.attacks.task import Answer, Steps, Task, Wish
from course_lib.errors import BadInput


@dataclass(frozen=True)
class Greedy:
    """The most important word first, each word at most once, each change kept if it comes nearer to the goal.

    Args:
        importance: how a word's weight is asked: `unknown` puts [UNK] in its place (Li et al. 2016,
            arXiv:1612.08220, in DeepWordBug's public form), `deletion` leaves it out (Jin et al. 2020,
            arXiv:1907.11932, equation 2), `gradient` takes the length of the goal's gradient with respect to its
            embedding, for one query in place of one a word, `random` asks nothing.

    Raises:
        BadInput: another importance.
    """

    importance: str = "unknown"

    def __post_init__(self) -> None:
        if self.importance not in ("unknown", "deletion", "gradient", "random"):
            raise BadInput(f"importance is {self.importance!r}", "use unknown, deletion, gradient or random")

    def steps(self, task: Task) -> Steps:
        """Asks for the words' weights, then for one position's candidates at a time."""
        best, best_score = task.original, task.score
        for position in (yield from self._order(task)):
            candidates = task.candidates(best, position)
            if not candidates:
                continue
            best, best_score, reached = yield from improved(best, best_score, candidates, position)
            if reached:
                break
        return best

    def _order(self, task: Task) -> Generator[Wish, Answer, list[int]]:
        positions = task.positions()
        if not positions:
            return []
        if self.importance == "random":
            return task.draw.sample(positions, len(positions))
        if self.importance == "gradient":
            answer = yield Wish([task.original], "slopes")
            weights = answer.slopes[0].lengths[positions]
        else:
            probes = [probe(task.original, position, self.importance) for position in positions]
            weights = (yield Wish(probes, "probes", tuple(positions))).scores
        return [positions[i] for i in np.argsort(-weights, kind="stable")]


def improved(
    best: Document, best_score: float, candidates: list[Document], position: int
) -> Generator[Wish, Answer, tuple[Document, float, bool]]:
    """The best candidate for a position, its score, whether it reaches the goal; what was there if none is better."""
    answer = yield Wish(candidates, positions=(position,))
    first = int(answer.scores.argmax())
    if answer.scores[first] <= best_score:
        return best, best_score, False
    return candidates[first], float(answer.scores[first]), bool(answer.reached[first])


def probe(document: Document, position: int, importance: str) -> Document:
    """The document that shows what one word weighs."""
    return document.without(position) if importance == "deletion" else document.replace(position, "[UNK]")


@dataclass(frozen=True)
class WeightedSaliency:
    """Each word's best change weighed by the word's own weight (Ren et al. 2019, PWWS, equations 4 to 8).

    First every candidate of every position is asked about; then the best of each position are put in one after
    another, in the order of (gain of the change) x softmax(saliency of the word), until the goal is reached.
    """

    def steps(self, task: Task) -> Steps:
        """One wish for the saliency, one for all candidates, then one document at a time."""
        positions = task.positions()
        choices = [(at, one) for at in positions for one in task.candidates(task.original, at)]
        if not choices:
            return task.original
        probes = [probe(task.original, position, "unknown") for position in positions]
        saliency = (yield Wish(probes, "probes", tuple(positions))).scores - task.score
        weight = dict(zip(positions, np.exp(saliency - saliency.max()), strict=True))
        answer = yield Wish([document for _, document in choices])
        best_of: dict[int, int] = {}
        for i in np.argsort(answer.scores, kind="stable"):  # the best comes last and stays
            best_of[choices[i][0]] = int(i)
        order = sorted(best_of, key=lambda at: -weight[at] * (answer.scores[best_of[at]] - task.score))
        return (yield from self._put_in(task, [(at, choices[best_of[at]][1].words[at]) for at in order]))

    def _put_in(self, task: Task, changes: list[tuple[int, str]]) -> Steps:
        best, best_score = task.original, task.score
        for position, word in changes:
            if not (allowed := task.allowed([best.replace(position, word)])):
                continue
            best, best_score, reached = yield from improved(best, best_score, allowed, position)
            if reached:
                break
        return best
