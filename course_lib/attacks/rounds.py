"""One round of an attack: the wishes of all sentences, answered together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from course_lib.attacks.constraints import Constraint
from course_lib.attacks.document import Document
from course_lib.attacks.meaning import SentenceSimilarity
from course_lib.attacks.report import Step
from course_lib.attacks.runs import Run
from course_lib.attacks.task import Answer, Wish
from course_lib.attacks.view import Slope, View


class Rounds:
    """Answers wishes from the model.

    Args:
        view: the model under attack.
        constraints: of the attack; those on sentence similarity are asked here, for all sentences at once.
        budget: queries that each sentence may cost.
    """

    def __init__(self, view: View, constraints: Sequence[Constraint], budget: int | None) -> None:
        self.view = view
        self.budget = budget
        self.similarities = [rule for rule in constraints if isinstance(rule, SentenceSimilarity)]

    def answer(self, runs: Sequence[Run]) -> list[Answer]:
        """Sends every run the answer to its wish; the answers are those that were sent."""
        wishes = [run.wish for run in runs if run.wish is not None]
        asked = [self._paid(run, places) for run, places in zip(runs, self._similar(runs, wishes), strict=True)]
        gradients = [wish.kind == "slopes" for wish in wishes]
        documents = [[wish.documents[i] for i in places] for wish, places in zip(wishes, asked, strict=True)]
        rows = self._rows(runs, wishes, documents, gradients)
        slopes = self._slopes(runs, documents, gradients)
        answers = []
        for run, wish, places, answered, slope in zip(runs, wishes, asked, rows, slopes, strict=True):
            run.queries += len(places)
            answers.append(self._answer(run, wish, places, answered, slope))
        for run, wish, places, answer in zip(runs, wishes, asked, answers, strict=True):
            self._send(run, wish, places, answer)
        return answers

    def step(self, run: Run) -> Step:
        """As `answer` for one run, told as a step."""
        wish, queries = run.wish, run.queries
        assert wish is not None
        (answer,) = self.answer([run])
        best, score, reached = self._best(run, wish, answer)
        weights: tuple[tuple[int, float], ...] = ()
        if wish.kind == "probes":
            weights = tuple(zip(wish.positions, (answer.scores - run.score).tolist(), strict=True))
        elif wish.kind == "slopes":
            weights = tuple(enumerate(answer.slopes[0].lengths.tolist()))
        return Step(_note(run.original, wish), run.queries - queries, best.text, score, reached, weights)

    def _best(self, run: Run, wish: Wish, answer: Answer) -> tuple[Document, float, bool]:
        """The best document so far, its score, whether it reaches the goal."""
        if wish.kind == "candidates" and answer.scores.max() > run.best_score:
            first = int(answer.scores.argmax())
            run.best, run.best_score = wish.documents[first], float(answer.scores[first])
            run.best_reached = bool(answer.reached[first])
        return run.best, run.best_score, run.best_reached

    def _similar(self, runs: Sequence[Run], wishes: Sequence[Wish]) -> list[list[int]]:
        """Places of each wish's documents that keep their meaning; probes and gradients need not."""
        places = [(number, i) for number, wish in enumerate(wishes) for i in range(len(wish.documents))]
        for rule in self.similarities:
            asked = [(number, i) for number, i in places if wishes[number].kind == "candidates"]
            kept = rule.allows_all(
                [runs[number].original.text for number, _ in asked], [wishes[n].documents[i].text for n, i in asked]
            )
            lost = {place for place, keep in zip(asked, kept, strict=True) if not keep}
            places = [place for place in places if place not in lost]
        found: list[list[int]] = [[] for _ in wishes]
        for number, i in places:
            found[number].append(i)
        return found

    def _paid(self, run: Run, places: list[int]) -> list[int]:
        return places if self.budget is None else places[: self.budget - run.queries]

    def _rows(
        self, runs: Sequence[Run], wishes: Sequence[Wish], documents: Sequence[list[Document]], gradients: list[bool]
    ) -> list[NDArray[np.float32]]:
        """The model's answers to each run's documents; none to those whose gradient is asked."""
        texts = [[] if only else [one.text for one in mine] for mine, only in zip(documents, gradients, strict=True)]
        answers = self.view.ask([text for mine in texts for text in mine])
        rows = np.split(answers, np.cumsum([len(mine) for mine in texts])[:-1])
        if self.view.differs:
            self._look_closer(runs, wishes, texts, rows)
        return rows

    def _look_closer(
        self, runs: Sequence[Run], wishes: Sequence[Wish], texts: Sequence[list[str]], rows: list[NDArray[np.float32]]
    ) -> None:
        """Where a rough answer says that the goal is reached, the exact one takes its place."""
        found = [
            (number, i)
            for number, (run, wish) in enumerate(zip(runs, wishes, strict=True))
            if wish.kind == "candidates" and len(rows[number])
            for i in np.flatnonzero(self.view.goal.reached(rows[number], run.label))
        ]
        exact = self.view.confirm([texts[number][i] for number, i in found])
        for (number, i), row in zip(found, exact, strict=True):
            rows[number][i] = row

    def _slopes(
        self, runs: Sequence[Run], documents: Sequence[list[Document]], gradients: list[bool]
    ) -> list[list[Slope]]:
        """The gradients that are asked, all in one call."""
        wanted = [
            (run, one) for run, mine, asks in zip(runs, documents, gradients, strict=True) if asks for one in mine
        ]
        found = iter(self.view.slopes([one for _, one in wanted], [run.label for run, _ in wanted]) if wanted else [])
        return [[next(found) for _ in mine] if asks else [] for mine, asks in zip(documents, gradients, strict=True)]

    def _answer(
        self, run: Run, wish: Wish, places: list[int], rows: NDArray[np.float32], slopes: list[Slope]
    ) -> Answer:
        """The answers at the places of the wish."""
        n = len(wish.documents)
        scores, reached = np.full(n, -np.inf, np.float32), np.zeros(n, bool)
        if len(rows):
            scores[places] = self.view.goal.scores(rows, run.label)
            reached[places] = self.view.goal.reached(rows, run.label)
        return Answer(scores, reached, slopes)

    def _send(self, run: Run, wish: Wish, places: list[int], answer: Answer) -> None:
        """Goes on; where the budget is spent, stops with what has reached the goal in this round, if anything has."""
        cut = wish.kind == "slopes" and not answer.slopes
        if not cut and (self.budget is None or run.queries < self.budget):
            run.tell(answer)
            return
        best = int(np.where(answer.reached, answer.scores, -np.inf).argmax())
        run.stop(wish.documents[best] if wish.kind == "candidates" and answer.reached[best] else None)


def _note(original: Document, wish: Wish) -> str:
    """What a wish asks, in words."""
    if wish.kind == "probes":
        return "importance of the words"
    if wish.kind == "slopes":
        return "gradient"
    if len(wish.positions) == 1:
        return f"candidates for “{original.words[wish.positions[0]]}”"
    return f"{len(wish.documents)} texts"
