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


class Goal:
    """Scores predictions; `columns` says which column of each row is the true class."""

    def scores(self, probabilities: Float[NDArray[np.float32], "n classes"], columns: Columns) -> NDArray[np.float32]:
        """(n,), from 0 to 1, the higher the nearer to the goal."""
        raise NotImplementedError

    def reached(self, probabilities: Float[NDArray[np.float32], "n classes"], columns: Columns) -> NDArray[np.bool_]:
        """(n,), whether the goal is reached."""
        raise NotImplementedError

    def log_odds(self, logits: Float[Tensor, "n classes"], columns: NDArray[np.int64]) -> Float[Tensor, "n"]:
        """Log-odds of what the attacker wants, for gradients."""
        raise NotImplementedError

    def check(self, classes: int) -> None:
        """Raises BadInput where a model with so many classes cannot be brought to the goal."""


class _AwayFromTruth(Goal):
    """Goals that only want the true class to be less likely."""

    def scores(self, probabilities: Float[NDArray[np.float32], "n classes"], columns: Columns) -> NDArray[np.float32]:
        """1 - p(true class)."""
        return 1 - _chosen(probabilities, columns)

    def log_odds(self, logits: Float[Tensor, "n classes"], columns: NDArray[np.int64]) -> Float[Tensor, "n"]:
        """log (1 - p) / p of the true class."""
        return -log_odds(logits, columns)


@dataclass(frozen=True)
class Untargeted(_AwayFromTruth):
    """Any class but the true one."""

    def reached(self, probabilities: Float[NDArray[np.float32], "n classes"], columns: Columns) -> NDArray[np.bool_]:
        """Another class is the likeliest."""
        reached: NDArray[np.bool_] = probabilities.argmax(1) != columns
        return reached


@dataclass(frozen=True)
class Targeted(Goal):
    """One class, which the attacker names by its column.

    Raises:
        BadInput: when run, if the model has no such column.
    """

    target: int

    def scores(self, probabilities: Float[NDArray[np.float32], "n classes"], columns: Columns) -> NDArray[np.float32]:
        """p(target)."""
        return probabilities[:, self.target]

    def reached(self, probabilities: Float[NDArray[np.float32], "n classes"], columns: Columns) -> NDArray[np.bool_]:
        """The target is the likeliest class."""
        reached: NDArray[np.bool_] = probabilities.argmax(1) == self.target
        return reached

    def log_odds(self, logits: Float[Tensor, "n classes"], columns: NDArray[np.int64]) -> Float[Tensor, "n"]:
        """log p / (1 - p) of the target."""
        return log_odds(logits, np.full_like(columns, self.target))

    def check(self, classes: int) -> None:
        """Raises BadInput where there is no such column."""
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

    def reached(self, probabilities: Float[NDArray[np.float32], "n classes"], columns: Columns) -> NDArray[np.bool_]:
        """p(true class) < below."""
        return _chosen(probabilities, columns) < self.below


def _chosen(probabilities: NDArray[np.float32], columns: Columns) -> NDArray[np.float32]:
    chosen: NDArray[np.float32] = probabilities[np.arange(len(probabilities)), columns]
    return chosen
