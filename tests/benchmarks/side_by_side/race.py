"""The race to an accuracy: looks at fixed points of a run, with the clock stopped, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .clock import Clock

EVERY = 10  # steps between two calls of the course's callbacks; the peers are looked at on the same steps


def looks(steps_an_epoch: int, epochs: int, fraction: float) -> list[int]:
    """Steps at which accuracy is measured: every `fraction` of an epoch, up to the next multiple of `EVERY`.

    The run's last step is not among them: the model that a run leaves behind is looked at afterwards.
    """
    total = steps_an_epoch * epochs
    wanted = (math.ceil(i * fraction * steps_an_epoch / EVERY) * EVERY for i in range(1, math.ceil(epochs / fraction)))
    return sorted({step for step in wanted if step < total})


@dataclass(frozen=True)
class Point:
    """Accuracy (0 to 1) after so many steps, and the seconds on the clock until then."""

    step: int
    epoch: float
    seconds: float
    accuracy: float


@dataclass
class Race:
    """One run on its way to the target.

    Attributes:
        clock: stops while accuracy is measured.
        steps_an_epoch, epochs: length of the run.
        target: accuracy to reach.
        fraction: of an epoch between two looks.
        evaluate: gives the accuracy now.
        to_the_end: goes on after the target is reached.
    """

    clock: Clock
    steps_an_epoch: int
    epochs: int
    target: float
    fraction: float
    evaluate: Callable[[], float]
    to_the_end: bool = False
    points: list[Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._due = looks(self.steps_an_epoch, self.epochs, self.fraction)

    def may_stop(self, step: int) -> bool:
        """To be called after every step (or every tenth): looks where a look is due; True when all is known."""
        if not self._due or step < self._due[0]:
            return False
        self._due = [later for later in self._due if later > step]
        return self._look(step) >= self.target and not self.to_the_end

    def finish(self) -> None:
        """Looks at the model that the whole run has left behind."""
        self._look(self.steps_an_epoch * self.epochs)

    def _look(self, step: int) -> float:
        with self.clock.stopped():
            accuracy = self.evaluate()
            self.points.append(Point(step, step / self.steps_an_epoch, self.clock.seconds, accuracy))
        return accuracy


def outcome(points: Sequence[Point], target: float, total_steps: int, rows_an_epoch: int) -> dict[str, Any]:
    """What the points say: seconds to the target (None: never reached), best and final accuracy, speed."""
    arrived = next((point for point in points if point.accuracy >= target), None)
    last = points[-1]
    return {
        "seconds_to_target": arrived.seconds if arrived else None,
        "epochs_to_target": arrived.epoch if arrived else None,
        "accuracy_there": arrived.accuracy if arrived else None,
        "best_accuracy": max(point.accuracy for point in points),
        "final_accuracy": last.accuracy if last.step == total_steps else None,
        "seconds": last.seconds,
        "rows_a_second": last.epoch * rows_an_epoch / last.seconds,
    }


@dataclass(frozen=True)
class Time:
    """Seconds to the target; with `reached` false, the seconds after which it was still not reached."""

    seconds: float
    reached: bool


def middle(rows: Sequence[dict[str, Any]]) -> Time:
    """The median over the seeds of one contender; reached only where the median run reached the target."""
    ends = [math.inf if row["seconds_to_target"] is None else row["seconds_to_target"] for row in rows]
    half = median(ends)
    if half < math.inf:
        return Time(half, True)
    return Time(median(row["seconds"] for row in rows), False)


def speed_up(ours: Time, theirs: Time) -> tuple[float | None, str]:
    """Their seconds over ours; None where ours never arrived, marked `>` (a lower bound) where theirs did not."""
    if not ours.reached:
        return None, ""
    return theirs.seconds / ours.seconds, "" if theirs.reached else ">"
