"""What an attack wants the model to predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from course_lib.errors import BadInput
from course_lib.text.gradients import log_odds

Columns = int | NDArray[np.int64]  # of the true class, for all rows or for each
Probabilities = Float[NDArray[np.float32], "n classes"]
Logits = Float[Tensor, "n classes"]


class Goal:
    """Scores predictions; `columns` says which column of each row is the true class."""

    def scores(self, probabilities: Probabilities, columns: Columns) -> NDArray[np.float32]:
        """(n,), from 0 to 1, the higher the nearer to the goal."""
        raise NotImplementedError

    def reached(self, probabilities: Probabilities, columns: Columns) -> NDArray[np.bool_]:
        """(n,), whether the goal is reached."""
        raise NotImplementedError

    def log_odds(self, logits: Logits, columns: NDArray[np.int64]) -> Float[Tensor, "n"]:
        """Log-odds of what the attacker wants, for gradients."""
        raise NotImplementedError

    def check(self, classes: int) -> None:
        """Raises BadInput where a model with so many classes cannot be brought to the goal."""


class _AwayFromTruth(Goal):
    """Goals that only want the true class to be less likely; the score is 1 - p(true class)."""

    def scores(self, probabilities: Probabilities, columns: Columns) -> NDArray[np.float32]:
        return 1 - _of_truth(probabilities, columns)

    def log_odds(self, logits: Logits, columns: NDArray[np.int64]) -> Float[Tensor, "n"]:
        return -log_odds(logits, columns)


@dataclass(frozen=True)
class Untargeted(_AwayFromTruth):
    """Any class but the true one becomes the likeliest."""

    def reached(self, probabilities: Probabilities, columns: Columns) -> NDArray[np.bool_]:
        reached: NDArray[np.bool_] = probabilities.argmax(1) != columns
        return reached


@dataclass(frozen=True)
class Targeted(Goal):
    """One class, which the attacker names by its column, becomes the likeliest; the score is its probability.

    Raises:
        BadInput: when run, if the model has no such column.
    """

    target: int

    def scores(self, probabilities: Probabilities, columns: Columns) -> NDArray[np.float32]:
        return probabilities[:, self.target]

    def reached(self, probabilities: Probabilities, columns: Columns) -> NDArray[np.bool_]:
        reached: NDArray[np.bool_] = probabilities.argmax(1) == self.target
        return reached

    def log_odds(self, logits: Logits, columns: NDArray[np.int64]) -> Float[Tensor, "n"]:
        return log_odds(logits, np.full_like(columns, self.target))

    def check(self, classes: int) -> None:
        if not 0 <= self.target < classes:
            raise BadInput(f"the target is the column {self.target}", f"use one from 0 to {classes - 1}")


@dataclass(frozen=True)
class ConfidenceReduction(_AwayFromTruth):
    """The true class falls below a probability; it may stay the likeliest.

    Raises:
        BadInput: a probability that is not above 0 and at most 1.
    """

    below: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.below <= 1:
            raise BadInput(f"below is {self.below}", "use a probability above 0 and at most 1")

    def reached(self, probabilities: Probabilities, columns: Columns) -> NDArray[np.bool_]:
        return _of_truth(probabilities, columns) < self.below


def _of_truth(probabilities: NDArray[np.float32], columns: Columns) -> NDArray[np.float32]:
    """p(true class), (n,)."""
    chosen: NDArray[np.float32] = probabilities[np.arange(len(probabilities)), columns]
    return chosen
