"""Batches of plain tensors, for models whose inputs are not texts: images, tables, sequences of items."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.errors import BadInput


@dataclass(frozen=True)
class TensorBatch:
    """Rows of several tensors.

    Attributes:
        index: numbers of the rows in the data set.
        tensors: the same rows of each tensor.
    """

    index: Int[Tensor, "batch"]
    tensors: tuple[Tensor, ...]

    def to(self, where: torch.device) -> TensorBatch:
        """A copy on a device."""
        return TensorBatch(self.index.to(where), tuple(tensor.to(where) for tensor in self.tensors))


class TensorBatches:
    """A data set of tensors for `train`; each epoch has its own order, fixed by the seed and the epoch's number.

    Args:
        tensors: one or more, with one row an example.
        batch_size: rows of a batch; the last one of an epoch may be smaller.
        seed: of the order.

    Raises:
        BadInput: no tensor, no row, lengths that differ, or a batch size below 1.
    """

    def __init__(self, *tensors: Tensor, batch_size: int = 64, seed: int = 0) -> None:
        lengths = {len(tensor) for tensor in tensors}
        if len(lengths) != 1 or not min(lengths):
            raise BadInput(f"the tensors have {sorted(lengths)} rows", "give tensors of one length, at least one row")
        if batch_size < 1:
            raise BadInput(f"batch_size is {batch_size}", "use 1 or more")
        self.tensors, self.batch_size, self.seed = tensors, batch_size, seed

    @property
    def steps(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.tensors[0]) / self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[TensorBatch]:
        """The batches of an epoch, from the batch `start` on."""
        random = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        order = torch.randperm(len(self.tensors[0]), generator=random)
        for rows in order.split(self.batch_size)[start:]:
            yield TensorBatch(rows, tuple(tensor[rows] for tensor in self.tensors))
