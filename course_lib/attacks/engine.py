"""Runs an attack on many sentences at once.

All sentences go forward together: in each round every sentence still under attack says which texts it wants answered,
and the model answers all of them in one call (equal texts once, sorted by length). What is found for a sentence does
not depend on the sentences beside it, but for the rounding of floating point numbers in batches of other sizes.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.attacks.constraints import Constraint
from course_lib.attacks.document import Document
from course_lib.attacks.goals import Goal
from course_lib.attacks.meaning import SentenceSimilarity
from course_lib.attacks.report import AttackReport, Step
from course_lib.attacks.rounds import Rounds
from course_lib.attacks.runs import Run
from course_lib.attacks.task import Search, Task
from course_lib.attacks.transformations import Transformation
from course_lib.attacks.view import View
from course_lib.batching import check_texts
from course_lib.classifier.data import as_labels, finite
from course_lib.errors import BadInput


@dataclass(frozen=True)
class Attack:
    """Goal, transformation, constraints and search.

    Args:
        name: of the recipe.
        goal: what the model is to answer.
        transformation: what may stand in place of a word.
        search: the order in which words are tried.
        constraints: what every returned text keeps.
        query_budget: queries a text may cost at most; none when left out.
        precision: of the search's questions; `auto` takes what the hardware multiplies fastest and asks again in the
            classifier's own precision wherever the goal seems reached.
    """

    name: str
    goal: Goal
    transformation: Transformation
    search: Search
    constraints: tuple[Constraint, ...] = ()
    query_budget: int | None = None
    precision: str = "auto"

    def __str__(self) -> str:
        rules = "\n                  ".join(str(rule) for rule in self.constraints) or "none"
        budget = f"\n  query budget    {self.query_budget}" if self.query_budget else ""
        return (
            f"{self.name}\n  goal            {self.goal}\n  transformation  {self.transformation}\n"
            f"  search          {self.search}\n  constraints     {rules}{budget}"
        )

    def run(
        self, classifier: Any, texts: Sequence[str], labels: ArrayLike, seed: int = 0, twin: Any = None
    ) -> AttackReport:
        """Attacks every text that the model has right and whose goal is not reached already.

        At the end the model is asked once more about every changed text: a success is what it says then.

        Args:
            classifier: a fitted `TextClassifier`; for attacks that take no gradient anything with `classes_`,
                `predict` and `predict_proba`.
            texts: n strings.
            labels: their n true labels, of the classifier's classes; for regression the true numbers, which are only
                noted.
            seed: of all draws; the same seed gives the same texts.
            twin: a faster model that answers nearly alike, such as the classifier's export in 8 bits. The search asks
                it, and the classifier itself wherever the goal seems reached.

        Raises:
            BadInput: an item that is not a string, lengths that differ, a twin of other classes, a label that the
                classifier does not know, a target that it has not, a goal that does not fit a regression model, a
                budget under 1.
            NotFitted: before `fit` or `from_pretrained`.
        """
        texts = check_texts(texts)
        columns, truth = self._columns(classifier, labels, len(texts))
        started = time.perf_counter()
        view = View(classifier, self.goal, self.precision, twin)
        runs = self._begin(view, texts, columns, seed)
        rounds = Rounds(view, self.constraints, self.query_budget)
        while active := [run for run in runs if run.wish]:
            rounds.answer(active)
        self._ask_again(view, runs)
        results = tuple(run.result(view, label) for run, label in zip(runs, truth, strict=True))
        return AttackReport(self.name, results, time.perf_counter() - started, view.seconds, seed)

    def steps(self, classifier: Any, text: str, label: Any, seed: int = 0) -> list[Step]:
        """The way to one adversarial text, question by question; the arguments are those of `run`.

        Begins with the text as it is. A text that `run` would skip has that one step.
        """
        (column,), _ = self._columns(classifier, [label], 1)
        view = View(classifier, self.goal, self.precision)
        (run,) = self._begin(view, check_texts([text]), [column], seed)
        rounds, way = Rounds(view, self.constraints, self.query_budget), [run.first_step()]
        while run.wish:
            way.append(rounds.step(run))
        return way

    def _begin(self, view: View, texts: list[str], columns: Sequence[float] | NDArray[Any], seed: int) -> list[Run]:
        """Each text's run with its first wish; none for a text that is skipped."""
        goal, before = self.goal, view.confirm(texts)
        runs = []
        for text, column, row in zip(texts, columns, before, strict=True):
            wrong = not view.regression and bool(row.argmax() != column)
            base = float(row[0]) if view.regression else float(column)
            skipped = wrong or bool(goal.reached(row[None], base)[0])
            runs.append(Run(Document.of(text), base, row, float(goal.scores(row[None], base)[0]), skipped))
        open_runs = [run for run in runs if not run.skipped]
        prepared = self.transformation.prepare(view, [run.original for run in open_runs])
        # Similarity is left to `Rounds`, which asks it for all sentences at once.
        rules = tuple(rule for rule in self.constraints if not isinstance(rule, SentenceSimilarity))
        for run, substitutes in zip(open_runs, prepared, strict=True):
            task = Task(run.original, run.score, substitutes, rules, _draw(run.original.text, seed))
            run.start(self.search.steps(task))
        return runs

    def _ask_again(self, view: View, runs: list[Run]) -> None:
        turned = [run for run in runs if run.found.changed]
        for run, row in zip(turned, view.confirm([run.found.text for run in turned]), strict=True):
            run.after = row
            run.won = bool(self.goal.reached(row[None], run.label)[0])

    def _columns(self, classifier: Any, labels: ArrayLike, n: int) -> tuple[NDArray[Any], list[Any]]:
        """The column of each label, and the labels themselves; for regression zeros and the numbers."""
        if self.query_budget is not None and self.query_budget < 1:
            raise BadInput(f"query_budget is {self.query_budget}", "use 1 or more, or None")
        regression = getattr(classifier, "head", "") == "regression"
        if regression != self.goal.for_regression:
            kind = "a regression model" if regression else "a classifier"
            raise BadInput(f"the goal {self.goal} does not fit {kind}", "Shift is for regression, the others are not")
        if not hasattr(classifier, "classes_"):
            classifier.predict([])  # says so itself when it is not fitted; fitted regression models have no classes
        if n == 0 and np.size(labels) == 0:
            return np.empty(0, dtype=np.int64), []
        if regression:
            return np.zeros(n), finite(labels, n, "labels").tolist()
        wanted = as_labels(labels, n, "labels")
        known: list[Any] = classifier.classes_.tolist()
        unknown = [label for label in wanted.tolist() if label not in known]
        if unknown:
            raise BadInput(f"the model does not know the label {unknown[0]!r}", f"use some of {known}")
        return np.searchsorted(classifier.classes_, wanted), wanted.tolist()


def _draw(text: str, seed: int) -> random.Random:
    """Random numbers that follow from a text and a seed, whatever stands beside the text."""
    return random.Random(hashlib.sha256(f"{seed}\0{text}".encode()).digest())
