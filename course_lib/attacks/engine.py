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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.attacks.constraints import Constraint
from course_lib.attacks.document import Document
from course_lib.attacks.goals import Goal
from course_lib.attacks.report import AttackReport, AttackResult
from course_lib.attacks.search import Search, Steps, Task
from course_lib.attacks.transformations import Transformation
from course_lib.batching import check_texts
from course_lib.classifier import TextClassifier
from course_lib.classifier.targets import as_labels
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
    """

    name: str
    goal: Goal
    transformation: Transformation
    search: Search
    constraints: tuple[Constraint, ...] = ()
    query_budget: int | None = None

    def __str__(self) -> str:
        rules = ", ".join(str(rule) for rule in self.constraints) or "none"
        return (
            f"{self.name}\n  goal            {self.goal}\n  transformation  {self.transformation}\n"
            f"  search          {self.search}\n  constraints     {rules}"
        )

    def run(self, classifier: TextClassifier, texts: Sequence[str], labels: ArrayLike, seed: int = 0) -> AttackReport:
        """Attacks every text that the model has right and whose goal is not reached already.

        At the end the model is asked once more about every changed text: a success is what it says then.

        Args:
            classifier: a fitted classifier.
            texts: n strings.
            labels: their n true labels, of the classifier's classes.
            seed: of the transformations' draws; the same seed gives the same texts.

        Raises:
            BadInput: an item that is not a string, lengths that differ, a label that the classifier does not know, a
                target that it has not, a regression model, a budget under 1.
            NotFitted: before `fit` or `from_pretrained`.
        """
        texts = check_texts(texts)
        columns = self._columns(classifier, labels, len(texts))
        started = time.perf_counter()
        model = _Model(classifier)
        before = model.ask(texts)
        runs = [
            _Run.begin(self, text, int(column), row, seed)
            for text, column, row in zip(texts, columns, before, strict=True)
        ]
        while active := [run for run in runs if run.wish]:
            answers = model.ask([document.text for run in active for document in run.wish])
            ends = np.cumsum([len(run.wish) for run in active])[:-1]
            for run, rows in zip(active, np.split(answers, ends), strict=True):
                run.tell(rows)
        turned = [run for run in runs if run.found.changed]
        for run, row in zip(turned, model.ask([run.found.text for run in turned]), strict=True):
            run.after = row
        classes = classifier.classes_.tolist()
        results = tuple(run.result(classes) for run in runs)
        return AttackReport(self.name, results, time.perf_counter() - started, model.seconds, seed)

    def _columns(self, classifier: TextClassifier, labels: ArrayLike, n: int) -> NDArray[np.int64]:
        if classifier.head == "regression":
            raise BadInput("the model is a regression model", "attack a classifier")
        if self.query_budget is not None and self.query_budget < 1:
            raise BadInput(f"query_budget is {self.query_budget}", "use 1 or more, or None")
        classifier.predict([])  # says so itself when it is not fitted
        if n == 0 and np.size(labels) == 0:
            return np.empty(0, dtype=np.int64)
        wanted = as_labels(labels, n, "labels")
        known: list[Any] = classifier.classes_.tolist()
        unknown = [label for label in wanted.tolist() if label not in known]
        if unknown:
            raise BadInput(f"the model does not know the label {unknown[0]!r}", f"use some of {known}")
        return np.searchsorted(classifier.classes_, wanted)


class _Model:
    """Answers texts and keeps the time that this took."""

    def __init__(self, classifier: TextClassifier) -> None:
        self.classifier = classifier
        self.seconds = 0.0

    def ask(self, texts: list[str]) -> NDArray[np.float32]:
        started = time.perf_counter()
        answers: NDArray[np.float32] = self.classifier.predict_proba(texts)
        self.seconds += time.perf_counter() - started
        return answers


@dataclass
class _Run:
    """One sentence under attack."""

    attack: Attack
    original: Document
    label: int
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    found: Document
    skipped: bool
    queries: int = 1
    wish: list[Document] = field(default_factory=list)
    steps: Steps | None = None

    @classmethod
    def begin(cls, attack: Attack, text: str, label: int, before: NDArray[np.float32], seed: int) -> _Run:
        """The first wish; none for a text that the model has wrong already, or whose goal is reached."""
        document = Document.of(text)
        skipped = bool(before.argmax() != label or attack.goal.reached(before[None], label)[0])
        run = cls(attack, document, label, before, before, document, skipped)
        if not skipped:
            score = float(attack.goal.scores(before[None], label)[0])
            task = Task(document, score, attack.transformation, attack.constraints, _draw(text, seed))
            run.steps = attack.search.steps(task)
            run._advance(None)
        return run

    def tell(self, rows: NDArray[np.float32]) -> None:
        """The model's answers to the wish."""
        self.queries += len(rows)
        goal = self.attack.goal
        self._advance((goal.scores(rows, self.label), goal.reached(rows, self.label)))

    def _advance(self, answer: Any) -> None:
        assert self.steps is not None
        try:
            self.wish = self.steps.send(answer)
        except StopIteration as end:
            self.wish, self.found = [], end.value
            return
        budget = self.attack.query_budget
        if budget is not None and self.queries + len(self.wish) > budget:
            self.steps.close()
            self.wish = []

    def result(self, classes: list[Any]) -> AttackResult:
        won = not self.skipped and bool(self.attack.goal.reached(self.after[None], self.label)[0])
        kept, answer = (self.found, self.after) if won else (self.original, self.before)
        return AttackResult(
            text=self.original.text, adversarial=kept.text,
            status="skipped" if self.skipped else "succeeded" if won else "failed",
            label=classes[self.label], before=classes[self.before.argmax()], after=classes[answer.argmax()],
            words=len(self.original.words), queries=self.queries, changed=tuple(sorted(kept.changed)),
        )  # fmt: skip


def _draw(text: str, seed: int) -> random.Random:
    """Draws that depend on the seed and the text alone, not on the texts beside it."""
    return random.Random(hashlib.sha256(f"{seed}:{text}".encode()).digest())
