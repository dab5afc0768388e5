"""The loss around a text, on a plane through its embeddings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import NDArray

from course_lib.errors import BadInput


@dataclass(frozen=True)
class LossSurface:
    """Loss and probability on a grid; the text itself stands at (0, 0).

    Args:
        along: distances in the direction of the gradient, in units of the embeddings, rising.
        across: distances in a random direction at right angles to it, rising.
        loss: of the true class, in nats; entry [i, j] is at (along[i], across[j]).
        probability: of the true class, from 0 to 1, laid out as `loss`.

    Raises:
        BadInput: shapes that do not fit, an axis that does not rise or does not hold 0, a number that is not finite.
    """

    along: Float[NDArray[np.floating], "a"]
    across: Float[NDArray[np.floating], "b"]
    loss: Float[NDArray[np.floating], "a b"]
    probability: Float[NDArray[np.floating], "a b"]

    def __post_init__(self) -> None:
        for name in ("along", "across"):
            axis = getattr(self, name)
            if np.ndim(axis) != 1 or len(axis) < 2 or not (np.diff(axis) > 0).all() or not axis[0] <= 0 <= axis[-1]:
                raise BadInput(f"{name} is {np.asarray(axis).tolist()}", "pass two or more rising numbers around 0")
        shape = (len(self.along), len(self.across))
        for name in ("loss", "probability"):
            if np.shape(getattr(self, name)) != shape:
                raise BadInput(
                    f"{name} has the shape {np.shape(getattr(self, name))}", f"pass {shape}, as the axes say"
                )
            if not np.isfinite(getattr(self, name)).all():
                raise BadInput(f"{name} holds a number that is not finite", "compute it again in float32")

    @classmethod
    def of(cls, table: pd.DataFrame) -> LossSurface:
        """The surface of a classifier in the form of `embedding.loss_surface`: gradient, random, loss, on a full grid.

        The loss is the cross-entropy, -log p(true class), so that the probability is exp(-loss).

        Raises:
            BadInput: a column is missing, or the grid has holes or double points.
        """
        columns = ["gradient", "random", "loss"]
        if missing := [name for name in columns if name not in table]:
            raise BadInput(f"the table has no column {missing[0]!r}", f"pass a table with the columns {columns}")
        along, across = (np.unique(table[name].to_numpy(np.float64)) for name in columns[:2])
        places = table[columns[:2]].drop_duplicates()
        if not len(places) == len(table) == len(along) * len(across):
            raise BadInput(
                f"{len(table)} rows are no grid of {len(along)} x {len(across)} points", "pass each point of it once"
            )
        rows = table.sort_values(columns[:2])
        loss = rows["loss"].to_numpy(np.float64).reshape(len(along), len(across))
        return cls(along, across, loss, np.exp(-loss))

    @property
    def start(self) -> tuple[int, int]:
        """The grid point nearest to the text itself."""
        return int(np.abs(self.along).argmin()), int(np.abs(self.across).argmin())

    @property
    def reach(self) -> float:
        """Radius of the largest ball around the text that lies on the grid."""
        return float(min(abs(end) for axis in (self.along, self.across) for end in (axis[0], axis[-1])))

    def highest(self, epsilon: float) -> tuple[int, int]:
        """The grid point of the largest loss no further than epsilon (Euclidean) from the text; at least the start.

        Raises:
            BadInput: a negative epsilon, or no number.
        """
        if not epsilon >= 0:
            raise BadInput(f"epsilon is {epsilon}", "use 0 or more")
        distance = np.hypot(self.along[:, None], self.across[None, :])
        inside = distance <= epsilon * (1 + 1e-6)  # a grid point on the border is inside, whatever rounding does
        inside[self.start] = True
        i, j = np.unravel_index(np.where(inside, self.loss, -np.inf).argmax(), self.loss.shape)
        return int(i), int(j)

    def place(self, point: tuple[int, int]) -> tuple[float, float]:
        """Where a grid point stands: along, across."""
        return float(self.along[point[0]]), float(self.across[point[1]])
