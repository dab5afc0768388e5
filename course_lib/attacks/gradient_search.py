"""Searches that let the gradient choose what to ask about: few questions, where a beam would ask about everything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from course_lib.attacks.document import Document
from course_lib.attacks.search import improved
from course_lib.attacks.task import Search, Steps, Task, Wish
from course_lib.attacks.view import Slope
from course_lib.errors import BadInput


@dataclass(frozen=True)
class GradientGuided:
    """Positions and candidates in the order of their first-order gain; the model is asked about few of them.

    The gain of a candidate is (its embedding - the old word's) x the goal's gradient there (Ebrahimi et al. 2018,
    arXiv:1712.06751, equation 1). One backward pass gives it for every position and candidate, and counts as one query.

    Args:
        asked: candidates of a position that the model is asked about.
        rounds: passes over the text; each begins with a new gradient, at the best document so far. From the second
            pass on, all candidates of a position are asked about.

    Raises:
        BadInput: a number under 1.
    """

    asked: int = 2
    rounds: int = 2

    def __post_init__(self) -> None:
        for name in ("asked", "rounds"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}", "use 1 or more")

    def steps(self, task: Task) -> Steps:
        """A gradient, then a few candidates of one position after another."""
        best, best_score = task.original, task.score
        for number in range(self.rounds):
            if not task.positions(best):
                break
            slope = (yield Wish([best], "slopes")).slopes[0]
            for position, words in self._choices(task, best, slope, None if number else self.asked):
                candidates = task.allowed([best.replace(position, word) for word in words])
                if not candidates:
                    continue
                best, best_score, reached = yield from improved(best, best_score, candidates, position)
                if reached:
                    return best
        return best

    def _choices(self, task: Task, current: Document, slope: Slope, most: int | None) -> list[tuple[int, list[str]]]:
        """Each position with its words, the most promising position and word first."""
        found = {position: task.ranked(slope, current, position, most) for position in task.positions(current)}
        order = sorted((position for position, (words, _) in found.items() if words), key=lambda at: -found[at][1])
        return [(position, found[position][0]) for position in order]


@dataclass(frozen=True)
class GradientBeam:
    """A beam whose members are asked about their most promising changes only, as the gradient sees them.

    Each round takes the gradient at every member (one query each) and asks about the `asked` changes of a member that
    promise most; of the first text, which is alone, about `asked` x `width`. The best `width` texts go on, until the
    goal is reached. `Beam` asks about every change of every member.

    Raises:
        BadInput: a number under 1.
    """

    width: int = 8
    asked: int = 4

    def __post_init__(self) -> None:
        for name in ("width", "asked"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} is {getattr(self, name)}", "use 1 or more")

    def steps(self, task: Task) -> Steps:
        """Gradients of the beam in one wish, its most promising successors in the next."""
        beam, best, best_score = [task.original], task.original, task.score
        asked: set[tuple[str, ...]] = set()
        for _ in range(len(task.original.words)):
            if not (beam := [one for one in beam if task.positions(one)]):
                break
            slopes = (yield Wish(beam, "slopes")).slopes
            most = self.asked * (self.width if len(beam) == 1 else 1)
            documents: list[Document] = []
            for one, slope in zip(beam, slopes, strict=False):  # the budget may not pay for every gradient
                documents += self._successors(task, one, slope, most, asked)
            if not documents:
                break
            answer = yield Wish(documents)
            order = np.argsort(-answer.scores, kind="stable")[: self.width]
            if answer.scores[order[0]] > best_score:
                best, best_score = documents[order[0]], float(answer.scores[order[0]])
            if answer.reached[order[0]]:
                break
            beam = [documents[i] for i in order if np.isfinite(answer.scores[i])]
        return best

    def _successors(
        self, task: Task, document: Document, slope: Slope, most: int, asked: set[tuple[str, ...]]
    ) -> list[Document]:
        """The most promising allowed changes that were not asked about before; they are now."""
        changes: list[tuple[float, int, str]] = []
        for at in task.positions(document):
            words, gains = task.substitutes.ranked(slope, document, at, task.draw)
            changes += [(float(gain), at, word) for gain, word in zip(gains, words, strict=True)]
        found: list[Document] = []
        for _, at, word in sorted(changes, key=lambda change: -change[0]):
            if len(found) == most:
                break
            new = document.replace(at, word)
            if new.words not in asked and task.allowed([new]):
                asked.add(new.words)
                found.append(new)
        return found


@dataclass(frozen=True)
class InTurn:
    """Searches from the cheapest to the dearest, each from the original text, until one reaches the goal.

    Raises:
        BadInput: no search.
    """

    searches: tuple[Search, ...]

    def __post_init__(self) -> None:
        if not self.searches:
            raise BadInput("there is no search", "give one or more")

    def steps(self, task: Task) -> Steps:
        """Passes wishes and answers on, and stops as soon as an answer reaches the goal."""
        best, best_score = task.original, task.score
        for search in self.searches:
            inner = search.steps(task)
            answer = None
            while True:
                try:
                    wish = next(inner) if answer is None else inner.send(answer)
                except StopIteration:
                    break
                answer = yield wish
                if wish.kind != "candidates":
                    continue
                # Of what reaches the goal, and of what does not, the one with the highest score.
                first = int(np.lexsort((answer.scores, answer.reached))[-1])
                if answer.reached[first]:
                    return wish.documents[first]
                if answer.scores[first] > best_score:
                    best, best_score = wish.documents[first], float(answer.scores[first])
        return best
