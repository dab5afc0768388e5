"""One sentence under attack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.attacks.document import Document
from course_lib.attacks.report import AttackResult, Step
from course_lib.attacks.task import Answer, Steps, Wish
from course_lib.attacks.view import View


@dataclass
class Run:
    """A sentence, what its search wants next, and what it has found.

    Args:
        original: the sentence.
        label: the column of its true class; a regression model's first answer.
        before: the model's answer to it.
        score: of that answer.
        skipped: whether there is nothing to attack.
    """

    original: Document
    label: float
    before: NDArray[np.float32]
    score: float
    skipped: bool
    after: NDArray[np.float32] = field(init=False)
    found: Document = field(init=False)
    won: bool = False
    queries: int = 1
    wish: Wish | None = None
    best: Document = field(init=False)  # of what was answered so far: for the way, not for the result
    best_score: float = field(init=False)
    best_reached: bool = False
    _steps: Steps | None = None

    def __post_init__(self) -> None:
        self.after, self.found = self.before, self.original
        self.best, self.best_score = self.original, self.score

    def start(self, steps: Steps) -> None:
        """Takes the search's first wish."""
        self._steps = steps
        self._go_on(lambda: next(steps))

    def tell(self, answer: Answer) -> None:
        """The answer to the wish."""
        steps = self._steps
        assert steps is not None
        self._go_on(lambda: steps.send(answer))

    def _go_on(self, turn: Any) -> None:
        try:
            self.wish = turn()
        except StopIteration as end:
            self.wish, self.found = None, end.value

    def stop(self, found: Document | None) -> None:
        """The budget is spent; what is found must have been answered."""
        assert self._steps is not None
        self._steps.close()
        self.wish, self.found = None, found or self.original

    def first_step(self) -> Step:
        """The sentence as it is."""
        return Step("the text as it is", 1, self.original.text, self.score, self.skipped, ())

    def result(self, view: View, label: Any) -> AttackResult:
        """What became of it; the original where the goal was not reached."""
        kept, answer = (self.found, self.after) if self.won else (self.original, self.before)
        return AttackResult(
            text=self.original.text, adversarial=kept.text,
            status="skipped" if self.skipped else "succeeded" if self.won else "failed",
            label=label, before=view.named(self.before), after=view.named(answer),
            words=len(self.original.words), queries=self.queries, changed=tuple(sorted(kept.changed)),
        )  # fmt: skip
