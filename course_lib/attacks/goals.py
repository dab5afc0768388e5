"""What an attack wants of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
    """One class that the attacker names by its column."""

    target: int

    def scores(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.float32]:
        """p(target)."""
        return probabilities[:, self.target]

    def reached(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.bool_]:
        """The target is the likeliest class."""
        reached: NDArray[np.bool_] = probabilities.argmax(1) == self.target
        return reached


@dataclass(frozen=True)
class ConfidenceReduction:
    """The true class falls below a probability; it may stay the likeliest."""

    below: float = 0.5

    def scores(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.float32]:
        """1 - p(true class)."""
        return 1 - probabilities[:, label]

    def reached(self, probabilities: NDArray[np.float32], label: int) -> NDArray[np.bool_]:
        """p(true class) < below."""
        return probabilities[:, label] < self.below
