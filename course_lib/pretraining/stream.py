"""Rows of running text, full to the last place; and, to compare, a row for each sentence, filled up with padding."""

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


@dataclass(frozen=True)
class PaddedSentences:
    """A sentence a row: [CLS], the sentence as far as it fits, [SEP], and padding up to `length`."""

    corpus: PretrainingCorpus
    length: int

    def __len__(self) -> int:
        return len(self.corpus.sentence_starts) - 1

    @property
    def lengths(self) -> Int64[NDArray[np.int64], "rows"]:
        """Places of each row, the empty ones included: all the same."""
        return np.full(len(self), self.length, dtype=np.int64)

    def padded(self, index: NDArray[np.int64]) -> PaddedRows:
        """Some of the rows, as the batches take them."""
        starts = self.corpus.sentence_starts[index]
        words = np.minimum(self.corpus.sentence_starts[index + 1] - starts, self.length - 2)[:, None]
        columns = np.arange(self.length)
        places = np.minimum(starts[:, None] + np.maximum(columns - 1, 0), self.corpus.n_tokens - 1)
        ids = np.where(columns <= words, self.corpus.tokens[places].astype(np.int64), self.corpus.pad_id)
        ids[:, 0] = self.corpus.cls_id
        np.put_along_axis(ids, words + 1, self.corpus.sep_id, axis=1)
        return PaddedRows(ids, words[:, 0] + 2)


@dataclass(frozen=True)
class SentenceRows:
    """Every sentence is a row in every epoch: the layout that wastes what it pads.

    Attributes:
        corpus: the text.
        length: places of a row.

    Raises:
        BadInput: `length` is under 3.
    """

    corpus: PretrainingCorpus
    length: int = 128

    def __post_init__(self) -> None:
        if self.length < 3:
            raise BadInput(f"length is {self.length}", "use 3 or more: [CLS], a token, [SEP]")

    def epoch(self, number: int) -> PaddedSentences:
        """The rows, the same in each epoch; the batches shuffle them."""
        return PaddedSentences(self.corpus, self.length)
