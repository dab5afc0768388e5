"""What an attack wants of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from course_lib.errors import BadInput


class Goal(Protocol):
    """Scores answers of the model; `label` is the column of the true class."""

    def scores(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.float32]:
        """(n, classes) -> (n,), the higher the nearer to the goal."""
        ...

    def reached(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.bool_]:
        """(n, classes) -> (n,)."""
        ...


@dataclass(frozen=True)
class Untargeted:
    """Any class but the true one."""

    def scores(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.float32]:
        """1 - p(true class)."""
        return 1 - probabilities[:, label]

    def reached(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.bool_]:
        """Another class is the likeliest."""
        reached: NDArray[np.bool_] = probabilities.argmax(1) != label
        return reached


@dataclass(frozen=True)
class Targeted:
    """One class that the attacker names by its column.

    Both methods raise BadInput where the model has no such column.
    """

    target: int

    def scores(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.float32]:
        """p(target)."""
        self._check(probabilities)
        return probabilities[:, self.target]

    def reached(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.bool_]:
        """The target is the likeliest class."""
        self._check(probabilities)
        reached: NDArray[np.bool_] = probabilities.argmax(1) == self.target
        return reached

    def _check(self, probabilities: NDArray[np.float32]) -> None:
        classes = probabilities.shape[1]
        if not 0 <= self.target < classes:
            raise BadInput(f"the target is the column {self.target}", f"use one from 0 to {classes - 1}")


@dataclass(frozen=True)
class ConfidenceReduction:
    """The true class falls below a probability; it may stay the likeliest.

    Raises:
        BadInput: a probability that is not above 0 and at most 1.
    """

    below: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.below <= 1:
            raise BadInput(f"below is {self.below}", "use a probability above 0 and at most 1")

    def scores(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.float32]:
        """1 - p(true class)."""
        return 1 - probabilities[:, label]

    def reached(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.bool_]:
        """p(true class) < below."""
        return probabilities[:, label] < self.below
