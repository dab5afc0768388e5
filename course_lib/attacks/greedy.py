"""Searches that change one word after another, the most important or most promising first."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from course_lib.attacks.problem import Queries, Query, QueryResult, Search, SearchProblem
from course_lib.attacks.victim import VictimModel, WordGradient
from course_lib.errors import BadInput
from course_lib.text.document import Document


@dataclass(frozen=True)
class Greedy(Search):
    """The most important word first, each word at most once, each change kept if it comes nearer to the goal.

    Args:
        importance: how a word's importance is measured: `unknown` puts [UNK] in its place (Li et al. 2016,
            arXiv:1612.08220, in DeepWordBug's public form), `deletion` leaves it out (Jin et al. 2020,
            arXiv:1907.11932, equation 2), `gradient` takes the length of the goal's gradient with respect to its
            embedding, for one query instead of one for each word.

    Raises:
        BadInput: another importance.
    """

    importance: str = "unknown"

    def __post_init__(self) -> None:
        if self.importance not in ("unknown", "deletion", "gradient"):
            raise BadInput(f"importance is {self.importance!r}", "use unknown, deletion or gradient")

    def check(self, victim: VictimModel) -> None:
        """Importance by gradient needs a model with gradients."""
        if self.importance == "gradient":
            victim.check_gradients()

    def queries(self, problem: SearchProblem) -> Queries:
        """First the importance of the words, then the candidates of one position after another."""
        best, score = problem.start, problem.score
        for position in (yield from self._order(problem)):
            if candidates := problem.candidates(best, position):
                best, score = yield from _improved(best, score, candidates, position)

    def _order(self, problem: SearchProblem) -> Generator[Query, QueryResult, list[int]]:
        positions = problem.positions(problem.start)
        if not positions:
            return []
        if self.importance == "gradient":
            result = yield Query([problem.start], "gradients")
            importance = result.gradients[0].lengths[positions]
        else:
            probes = [_probe(problem.start, position, self.importance) for position in positions]
            importance = (yield Query(probes, "probes", tuple(positions))).scores
        return [positions[i] for i in np.argsort(-importance, kind="stable")]


def _improved(
    best: Document, score: float, candidates: list[Document], position: int
) -> Generator[Query, QueryResult, tuple[Document, float]]:
    """The best candidate for a position and its score; the old document where none is better."""
    result = yield Query(candidates, positions=(position,), used=1)
    first = int(result.scores.argmax())
    return (candidates[first], float(result.scores[first])) if result.scores[first] > score else (best, score)


def _probe(document: Document, position: int, importance: str) -> Document:
    """The document that shows how important one word is."""
    return document.without(position) if importance == "deletion" else document.replace(position, "[UNK]")


@dataclass(frozen=True)
class WeightedSaliency(Search):
    """The best change of each word, weighted by the word's saliency (Ren et al. 2019, PWWS, equations 4 to 8).

    First it queries every candidate of every position; then it makes the best changes of all positions one after
    another, in the order of (gain of the change) x softmax(saliency of the word), until the goal is reached.
    """

    def queries(self, problem: SearchProblem) -> Queries:
        """One query for the saliency, one for all candidates, then one document at a time."""
        best, score = problem.start, problem.score
        positions = problem.positions(best)
        choices = [(at, one) for at in positions for one in problem.candidates(best, at)]
        if not choices:
            return
        probes = [_probe(best, position, "unknown") for position in positions]
        saliency = (yield Query(probes, "probes", tuple(positions))).scores - score
        weight = dict(zip(positions, np.exp(saliency - saliency.max()), strict=True))
        # The paper goes on to its own order even if a single change reaches the goal already.
        scores = (yield Query([document for _, document in choices], stops=False, used=0)).scores
        best_of = {choices[i][0]: int(i) for i in np.argsort(scores, kind="stable")}  # the best comes last and stays
        for position in sorted(best_of, key=lambda at: -weight[at] * (scores[best_of[at]] - problem.score)):
            word = choices[best_of[position]][1].words[position]
            if allowed := problem.allowed([best.replace(position, word)]):
                best, score = yield from _improved(best, score, allowed, position)


@dataclass(frozen=True)
class GradientGuided(Search):
    """Positions and candidates in the order of their first-order gain; only a few of them are queried.

    The gain of a candidate is (its embedding - the old word's) x the goal's gradient there (Ebrahimi et al. 2018,
    arXiv:1712.06751, equation 1). One backward pass gives it for every position and candidate, and counts as one query.

    Args:
        per_position: candidates of a position that are queried.
        rounds: passes over the text; each begins with a new gradient, at the best document so far. From the second
            pass on, all candidates of a position are queried.

    Raises:
        BadInput: a number under 1.
    """

    needs_gradients = True

    per_position: int = 2
    rounds: int = 2

    def __post_init__(self) -> None:
        for name in ("per_position", "rounds"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}", "use 1 or more")

    def queries(self, problem: SearchProblem) -> Queries:
        """A gradient, then a few candidates of one position after another."""
        best, score = problem.start, problem.score
        for number in range(self.rounds):
            if not problem.positions(best):
                return
            gradient = (yield Query([best], "gradients")).gradients[0]
            for position, words in self._choices(problem, best, gradient, None if number else self.per_position):
                if candidates := problem.allowed([best.replace(position, word) for word in words]):
                    best, score = yield from _improved(best, score, candidates, position)

    def _choices(
        self, problem: SearchProblem, document: Document, gradient: WordGradient, most: int | None
    ) -> list[tuple[int, list[str]]]:
        """Each position with its words, the most promising position and word first."""
        found = [(at, *problem.ranked(gradient, document, at)) for at in problem.positions(document)]
        found = sorted((one for one in found if one[1]), key=lambda one: -one[2][0])
        return [(position, words[:most]) for position, words, _ in found]
