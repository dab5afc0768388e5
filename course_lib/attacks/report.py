"""What an attack did, text by text and in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class AttackResult:
    """One text under attack.

    Args:
        text: the original.
        adversarial: the changed text; the original where the attack did not succeed.
        status: `succeeded`, `failed`, or `skipped` (the model had it wrong before, or the goal was
            reached before).
        label: the true label.
        before: the model's answer to the original.
        after: its answer to `adversarial`.
        words: of the original.
        queries: texts that the search asked about, the original included, repeated ones counted each time; the
            last look at what it found is not counted.
        changed: positions of the changed words.
    """

    text: str
    adversarial: str
    status: str
    label: Any
    before: Any
    after: Any
    words: int
    queries: int
    changed: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """One question on the way to an adversarial text.

    Args:
        note: what was asked.
        asked: how many texts.
        text: the best text so far.
        score: how near to the goal the model sees it, from 0 to 1 for a classifier.
        reached: whether that is the goal.
        weights: (position, weight) of each word, where the question was about the words' weight.
    """

    note: str
    asked: int
    text: str
    score: float
    reached: bool
    weights: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class AttackReport:
    """The results of one attack on many texts.

    Args:
        recipe: the attack's name.
        results: one a text, in the texts' order.
        seconds: of the whole run.
        model_seconds: of them inside the model, forward and backward.
        seed: of the draws.
    """

    recipe: str
    results: tuple[AttackResult, ...]
    seconds: float
    model_seconds: float
    seed: int

    def count(self, status: str) -> int:
        """How many texts ended so."""
        return sum(result.status == status for result in self.results)

    @property
    def success_rate(self) -> float:
        """Succeeded of those that were attacked; not a number where none was."""
        attacked = len(self.results) - self.count("skipped")
        return self.count("succeeded") / attacked if attacked else float("nan")

    @property
    def accuracy(self) -> float:
        """Share of texts that the model has right before; not a number where there is none, or for numbers."""
        return self._share_right("before")

    @property
    def accuracy_under_attack(self) -> float:
        """Share of texts that the model still has right; not a number where there is none, or for numbers."""
        return self._share_right("after")

    def _share_right(self, when: str) -> float:
        if any(isinstance(result.before, float) for result in self.results):
            return float("nan")
        return _mean([getattr(result, when) == result.label for result in self.results])

    @property
    def queries_per_text(self) -> float:
        """Mean over the attacked texts; not a number where none was."""
        return _mean([result.queries for result in self.results if result.status != "skipped"])

    @property
    def words_changed(self) -> float:
        """Mean share of a text's words, over the successes; not a number where there is none."""
        won = [result for result in self.results if result.status == "succeeded"]
        return _mean([len(result.changed) / result.words for result in won])


def _mean(values: list[Any]) -> float:
    return float(np.mean(values)) if values else float("nan")
