"""A ranking of all items, of which one is right: where that one is, hit rate and NDCG, with ties counted fairly.

Krichene and Rendle (2020), On Sampled Metrics for Item Recommendation (KDD), on why all items are ranked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.evaluation.inputs import Codes, Floats, same_length


@dataclass(frozen=True)
class TargetRanks:
    """Where the right item of each row is. With ties it has one of several ranks, each equally likely.

    Attributes:
        above: (n,) items with a higher score.
        tied: (n,) items with the same score, the right one among them.
    """

    above: Codes
    tied: Codes

    def hits(self, k: int) -> Floats:
        """Probability that the right item is among the first k, (n,); their mean is HR@k (= recall@k here)."""
        return self._mean_value(np.ones(k))

    def gains(self, k: int) -> Floats:
        """Mean of 1 / log2(1 + rank), 0 below rank k, (n,); their mean is NDCG@k (Järvelin and Kekäläinen 2002)."""
        return self._mean_value(1 / np.log2(np.arange(2, k + 2)))

    def _mean_value(self, value_of_rank: Floats) -> Floats:
        """Mean over the ranks above + 1, ..., above + tied, of which those beyond the last have the value 0."""
        total = np.append(0.0, np.cumsum(value_of_rank))
        first, last = (np.minimum(ends, len(value_of_rank)) for ends in (self.above, self.above + self.tied))
        return np.asarray((total[last] - total[first]) / self.tied)


def target_ranks(scores: ArrayLike, targets: ArrayLike) -> TargetRanks:
    """The rank of the right item of each row.

    Args:
        scores: (n, items) higher is better; -inf for an item that must not be recommended.
        targets: (n,) column of the right item.

    Raises:
        BadInput: another shape, nan, a target that is no column, or one that must not be recommended.
    """
    table, columns = np.asarray(scores), np.asarray(targets)
    if table.ndim != 2 or not len(table) or np.isnan(table).any():
        raise BadInput(f"scores has the shape {table.shape}, or holds nan", "give one finite number for each item")
    same_length(len(table), columns, "targets")
    if columns.min() < 0 or columns.max() >= table.shape[1]:
        raise BadInput(f"targets go from {columns.min()} to {columns.max()}", f"use columns under {table.shape[1]}")
    right = table[np.arange(len(table)), columns][:, None]
    if np.isneginf(right).any():
        row = int(np.isneginf(right).argmax())
        raise BadInput(f"the target of row {row} has the score -inf", "exclude only items seen before the target")
    return TargetRanks((table > right).sum(axis=1), (table == right).sum(axis=1))
