"""What an attack wants of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from course_lib.errors import BadInput


class Goal(Protocol):
    """Scores answers of the model; `label` is the column of the true class, or a regression model's first answer."""

    @property
    def for_regression(self) -> bool:
        """Whether the answers are numbers, (n, 1), instead of probabilities."""
        ...

    def scores(self, probabilities: NDArray[np.float32], label: float) -> NDArray[np.float32]:
        """(n, classes) -> (n,), the higher the nearer to the goal."""
        ...

    def reached(self, probabilities: NDArray[np.float32], label: float) -> NDArray[np.bool_]:
        """(n, classes) -> (n,)."""
        ...

    def rise(self, logits: Float[Tensor, "n classes"], labels: Tensor) -> Float[Tensor, "n"]:
        """What grows as the goal comes nearer, as a tensor that can be derived."""
        ...


class _OfClassifier:
    for_regression = False


class _AwayFromLabel(_OfClassifier):
    """Goals that only want the true class to be less likely."""

    def rise(self, logits: Float[Tensor, "n classes"], labels: Tensor) -> Float[Tensor, "n"]:
        """-log p(true class)."""
        chosen: Tensor = -logits.log_softmax(-1).gather(1, labels.long()[:, None])[:, 0]
        return chosen

    def scores(self, probabilities: NDArray[np.float32], label: float) -> NDArray[np.float32]:
        """1 - p(true class)."""
        return 1 - probabilities[:, int(label)]


@dataclass(frozen=True)
class Untargeted(_AwayFromLabel):
    """Any class but the true one."""

    def reached(self, probabilities: NDArray[np.float32], label: float) -> NDArray[np.bool_]:
        """Another class is the likeliest."""
        reached: NDArray[np.bool_] = probabilities.argmax(1) != label
        return reached


@dataclass(frozen=True)
class Targeted(_OfClassifier):
    """One class that the attacker names by its column.

    Both methods raise BadInput where the model has no such column.
    """

    target: int

    def scores(self, probabilities: NDArray[np.float32], label: float) -> NDArray[np.float32]:
        """p(target)."""
        self._check(probabilities)
        return probabilities[:, self.target]

    def reached(self, probabilities: NDArray[np.float32], label: float) -> NDArray[np.bool_]:
        """The target is the likeliest class."""
        self._check(probabilities)
        reached: NDArray[np.bool_] = probabilities.argmax(1) == self.target
        return reached

    def rise(self, logits: Float[Tensor, "n classes"], labels: Tensor) -> Float[Tensor, "n"]:
        """log p(target)."""
        return logits.log_softmax(-1)[:, self.target]

    def _check(self, probabilities: NDArray[np.float32]) -> None:
        classes = probabilities.shape[1]
        if not 0 <= self.target < classes:
            raise BadInput(f"the target is the column {self.target}", f"use one from 0 to {classes - 1}")


@dataclass(frozen=True)
class ConfidenceReduction(_AwayFromLabel):
    """The true class falls below a probability; it may stay the likeliest.

    Raises:
        BadInput: a probability that is not above 0 and at most 1.
    """

    below: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.below <= 1:
            raise BadInput(f"below is {self.below}", "use a probability above 0 and at most 1")

    def reached(self, probabilities: NDArray[np.float32], label: float) -> NDArray[np.bool_]:
        """p(true class) < below."""
        return probabilities[:, int(label)] < self.below


@dataclass(frozen=True)
class Shift:
    """For regression models: the predicted number moves by at least so much; `label` is the first prediction.

    Args:
        by: how far; positive upwards, negative downwards.

    Raises:
        BadInput: 0, or not a finite number.
    """

    by: float = -0.2
    for_regression = True

    def __post_init__(self) -> None:
        if self.by == 0 or not np.isfinite(self.by):
            raise BadInput(f"by is {self.by}", "use a number above 0 to push up, under 0 to push down")

    def scores(self, predictions: NDArray[np.float32], label: float) -> NDArray[np.float32]:
        """How far each prediction, (n, 1), lies in the wanted direction."""
        moved: NDArray[np.float32] = np.sign(self.by) * (predictions[:, 0] - label)
        return moved

    def reached(self, predictions: NDArray[np.float32], label: float) -> NDArray[np.bool_]:
        """The move is at least `by`."""
        reached: NDArray[np.bool_] = self.scores(predictions, label) >= abs(self.by)
        return reached

    def rise(self, logits: Float[Tensor, "n 1"], labels: Tensor) -> Float[Tensor, "n"]:
        """The prediction, or what is below 0 of it when pushed down."""
        return float(np.sign(self.by)) * logits[:, 0]
