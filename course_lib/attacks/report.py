"""The results of an attack, text by text and in all, and how its texts transfer to other models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from course_lib.errors import BadInput
from course_lib.evaluation import wilson_interval


@dataclass(frozen=True)
class AttackResult:
    """One text under attack.

    Args:
        text: the original.
        adversarial: the changed text; the original where the attack did not succeed.
        status: `succeeded`, `failed`, or `skipped` (the model had it wrong before, or the goal was
            reached before).
        label: the true label.
        before: the model's prediction for the original.
        after: its prediction for `adversarial`.
        words: of the original.
        queries: texts that the model predicted for the search, the original included, repeated ones counted each
            time; the last prediction for what it found is not counted.
        changed: positions of the changed words.
        surrogate_queries: texts that a surrogate predicted for the search.
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
    surrogate_queries: int = 0


@dataclass(frozen=True)
class Step:
    """One query on the path to an adversarial text.

    Args:
        note: what was queried.
        queries: how many texts.
        text: the best text so far.
        score: how near to the goal the model sees it, from 0 to 1.
        reached: whether that is the goal.
        weights: (position, importance) of each word, where the query was about that.
    """

    note: str
    queries: int
    text: str
    score: float
    reached: bool
    weights: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class AttackReport:
    """The results of one attack on many texts.

    Args:
        recipe: the attack's name.
        results: one a text, in the texts' order.
        seconds: of the whole run.
        model_seconds: of them inside the model, forward and backward.
        seed: of the draws.
        surrogate_seconds: inside a surrogate.
    """

    recipe: str
    results: tuple[AttackResult, ...]
    seconds: float
    model_seconds: float
    seed: int
    surrogate_seconds: float = 0.0

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
        """Fraction of texts that the model has right before; not a number where there is none."""
        return _mean([result.before == result.label for result in self.results])

    @property
    def accuracy_under_attack(self) -> float:
        """Fraction of texts that the model still has right; not a number where there is none."""
        return _mean([result.after == result.label for result in self.results])

    @property
    def queries_per_text(self) -> float:
        """Queries of the model, mean over the attacked texts; not a number where none was."""
        return _mean([result.queries for result in self.results if result.status != "skipped"])

    @property
    def surrogate_queries_per_text(self) -> float:
        """Queries of a surrogate, mean over the attacked texts; not a number where none was."""
        return _mean([result.surrogate_queries for result in self.results if result.status != "skipped"])

    @property
    def words_changed(self) -> float:
        """Mean fraction of a text's words, over the successes; not a number where there is none."""
        won = [result for result in self.results if result.status == "succeeded"]
        return _mean([len(result.changed) / result.words for result in won])


def _mean(values: list[Any]) -> float:
    return float(np.mean(values)) if values else float("nan")


def transfer_table(made: Mapping[str, Sequence[AttackResult]], readers: Mapping[str, Any]) -> pd.DataFrame:
    """How many of the texts that fooled one model fool another (Papernot et al. 2016, arXiv:1605.07277).

    Only successful texts count whose original the other model has right: what it had wrong before says nothing.

    Args:
        made: model that was attacked -> results of the attack.
        readers: by name, with `predict`.

    Returns:
        A row for each pair: made_against, read_by, n (texts that count), success (fraction of them that the reader
        misclassifies) with its 95 % interval (Wilson), low and high.

    Raises:
        BadInput: no text of a pair counts.
    """
    rows = []
    for source, results in made.items():
        won = [result for result in results if result.status == "succeeded"]
        labels = np.array([result.label for result in won])
        for name, reader in readers.items():
            right = np.asarray(reader.predict([result.text for result in won]) if won else []) == labels
            if not right.any():
                raise BadInput(
                    f"of {len(won)} texts that fooled {source}, {name} has no original right", "attack more texts"
                )
            wrong = np.asarray(reader.predict([result.adversarial for result in won])) != labels
            rate = wilson_interval(int(wrong[right].sum()), int(right.sum()))
            rows.append((source, name, int(right.sum()), rate.estimate, rate.low, rate.high))
    return pd.DataFrame(rows, columns=["made_against", "read_by", "n", "success", "low", "high"])
