"""Running text cut into full rows: nothing is padded, and a row may hold the end of one document and the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt16
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.pretraining.batches import PaddedRows
from course_lib.pretraining.corpus import PretrainingCorpus


@dataclass(frozen=True)
class FullRows:
    """One epoch of rows of one length."""

    ids: UInt16[NDArray[np.uint16], "rows length"]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Int64[NDArray[np.int64], "rows"]:
        """All the same."""
        return np.full(len(self.ids), self.ids.shape[1], dtype=np.int64)

    def row(self, number: int) -> Int64[NDArray[np.int64], "length"]:
        """The ids of one row."""
        return np.asarray(self.ids[number], dtype=np.int64)

    def padded(self, index: NDArray[np.int64]) -> PaddedRows:
        """Some of the rows, as the batches take them."""
        return PaddedRows(self.ids[index].astype(np.int64), self.lengths[index])


@dataclass(frozen=True)
class StreamRows:
    """Documents in an order of the epoch's own, each followed by [SEP], cut into rows (RoBERTa's "full sentences",
    Liu et al. 2019, arXiv:1907.11692, section 4.2; also the form for causal models).

    An epoch depends on (seed, number) alone. What does not fill the last row, under `length` tokens, is left out.

    Attributes:
        corpus: the text.
        length: tokens of a row.
        seed: of the order.
        framed: each row begins with [CLS] and ends with [SEP], as a text does that a model is asked about.

    Raises:
        BadInput: `length` is under 2 (framed: 3), or the corpus has no row of that length.
    """

    corpus: PretrainingCorpus
    length: int = 128
    seed: int = 0
    framed: bool = False

    def __post_init__(self) -> None:
        frame = 2 * self.framed
        held = self.corpus.n_tokens + len(self.corpus.names) + frame
        if not 2 <= self.length <= held or self.length <= frame:
            least = max(2, frame + 1)
            raise BadInput(
                f"length is {self.length}", f"use {least} to {held}, the tokens of this corpus with their [SEP]"
            )

    def epoch(self, number: int) -> FullRows:
        """The rows of an epoch, in the order of the stream."""
        offsets = self.corpus.document_offsets
        order = np.random.default_rng([self.seed, number]).permutation(len(offsets) - 1)
        end = np.array([self.corpus.sep_id], dtype=np.uint16)
        pieces = [piece for i in order for piece in (self.corpus.tokens[offsets[i] : offsets[i + 1]], end)]
        stream = np.concatenate(pieces)
        width = self.length - 2 * self.framed
        rows = stream[: len(stream) // width * width].reshape(-1, width)
        return FullRows(self._frame(rows) if self.framed else rows)

    def _frame(self, rows: NDArray[np.uint16]) -> NDArray[np.uint16]:
        ends = (np.full((len(rows), 1), token, dtype=np.uint16) for token in (self.corpus.cls_id, self.corpus.sep_id))
        first, last = ends
        return np.concatenate([first, rows, last], axis=1)
