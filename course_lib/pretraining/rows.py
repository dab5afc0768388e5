"""Rows of a corpus, epoch by epoch: sentence pairs, or running text.

An epoch depends on the seed and its number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int, Int64, UInt16
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.pretraining.corpus import PretrainingCorpus

LEAST_B = 8  # tokens that are left for B where the document can be divided at more than one sentence
_SPECIAL = 3  # [CLS] and two [SEP] of a sentence pair
_DRAWS = 50  # draws of a B of another document that is long enough, before a shorter one is taken

_Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PaddedRows:
    """Rows before masking: ids padded on the right, lengths, where segment B begins, whether it follows."""

    ids: Int[NDArray[np.int64], "rows seq"]
    lengths: Int[NDArray[np.int64], "rows"]
    segment_starts: Int[NDArray[np.int64], "rows"] | None = None
    follows: Bool[NDArray[np.bool_], "rows"] | None = None


# ---- running text --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FullRows:
    """One epoch of rows of one length."""

    ids: UInt16[NDArray[np.uint16], "rows length"]

    @property
    def lengths(self) -> Int64[NDArray[np.int64], "rows"]:
        """All equal."""
        return np.full(len(self.ids), self.ids.shape[1], dtype=np.int64)

    def padded(self, index: _Ints) -> PaddedRows:
        """Some of the rows, as the batches take them."""
        return PaddedRows(self.ids[index].astype(np.int64), self.lengths[index])


@dataclass(frozen=True)
class StreamRows:
    """Documents in a random order, each followed by [SEP], cut into rows (RoBERTa's "full sentences", Liu et al. 2019,
    arXiv:1907.11692, section 4.2; also the form for causal models).

    What does not fill the last row, under `length` tokens, is left out.

    Attributes:
        corpus: the text.
        length: tokens of a row.
        seed: of the order.
        framed: each row begins with [CLS] and ends with [SEP], like a text that a trained model is given.

    Raises:
        BadInput: `length` is under 2 (framed: 3), or the corpus has no row of that length.
    """

    corpus: PretrainingCorpus
    length: int = 128
    seed: int = 0
    framed: bool = False

    def __post_init__(self) -> None:
        frame = 2 * self.framed
        tokens, least = self.corpus.n_tokens + len(self.corpus.names) + frame, max(2, frame + 1)
        if not least <= self.length <= tokens:
            raise BadInput(
                f"length is {self.length}", f"use {least} to {tokens}, the tokens of this corpus with their [SEP]"
            )

    def epoch(self, number: int) -> FullRows:
        """The rows of an epoch, in the order of the stream."""
        offsets = self.corpus.document_offsets
        order = np.random.default_rng([self.seed, number]).permutation(len(offsets) - 1)
        end = np.array([self.corpus.sep_id], dtype=np.uint16)
        pieces = [piece for i in order for piece in (self.corpus.tokens[offsets[i] : offsets[i + 1]], end)]
        stream, width = np.concatenate(pieces), self.length - 2 * self.framed
        rows = stream[: len(stream) // width * width].reshape(-1, width)
        if self.framed:
            rows = np.pad(rows, ((0, 0), (1, 1)))
            rows[:, 0], rows[:, -1] = self.corpus.cls_id, self.corpus.sep_id
        return FullRows(rows)


# ---- sentence pairs ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pairs:
    """One epoch of sentence pairs, one row after another, nothing padded.

    Attributes:
        tokens: ids of all rows.
        starts: where each row begins in `tokens`; the last entry is the number of tokens.
        segment_starts: where each row's B begins in `tokens`.
        is_next: whether B follows A.
        a_starts, b_starts: where A and B begin in the corpus's own `tokens`.
        pad_id: fills shorter rows of a batch.
    """

    tokens: UInt16[NDArray[np.uint16], "tokens"]
    starts: Int64[NDArray[np.int64], "rows+1"]
    segment_starts: Int64[NDArray[np.int64], "rows"]
    is_next: Bool[NDArray[np.bool_], "rows"]
    a_starts: Int64[NDArray[np.int64], "rows"]
    b_starts: Int64[NDArray[np.int64], "rows"]
    pad_id: int

    def __len__(self) -> int:
        return len(self.is_next)

    @property
    def lengths(self) -> Int64[NDArray[np.int64], "rows"]:
        """Tokens of each row, special ones included."""
        return np.diff(self.starts)

    def row(self, number: int) -> Int64[NDArray[np.int64], "length"]:
        """The ids of one row."""
        return self.tokens[self.starts[number] : self.starts[number + 1]].astype(np.int64)

    def padded(self, index: _Ints) -> PaddedRows:
        """Some of the rows, as the batches take them."""
        lengths, starts = self.lengths[index], self.starts[:-1][index]
        columns = np.arange(lengths.max(initial=0))
        inside = columns < lengths[:, None]  # (rows, seq)
        places = np.where(inside, starts[:, None] + columns, 0)
        ids = np.where(inside, self.tokens[places], self.pad_id).astype(np.int64)
        return PaddedRows(ids, lengths, self.segment_starts[index] - starts, self.is_next[index])


@dataclass(frozen=True)
class PairRows:
    """BERT's sentence pairs: [CLS] A [SEP] B [SEP], where B follows A in its document or comes from another one.

    After `create_pretraining_data.py` of Devlin et al. 2019 (A.2), with two changes. Rows are drawn again in every
    epoch instead of ten times beforehand. And nothing but the text tells the two kinds of pairs apart: the length of a
    row is drawn before its kind, and a B of another document begins where the B of another row would have begun.

    A row is `length` tokens wherever its document is long enough; a shorter document gives one row, all of itself. A
    and B begin with a sentence, but the front of the first row of a very long document and of its last row is cut off
    (one A in ten). B ends where the row is full. An epoch holds about as many tokens as the corpus. Documents of one
    sentence are left out.

    Attributes:
        corpus: at least two of its documents must have two sentences.
        length: of a full row, special tokens included.
        seed: of all draws.

    Raises:
        BadInput: `length` is under 8, or there are not two documents with two sentences.
    """

    corpus: PretrainingCorpus
    length: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        if self.length < 8:
            raise BadInput(f"length is {self.length}", "use 8 or more")
        usable = len(set(self._names[np.diff(self.corpus.document_starts) > 1]))
        if usable < 2:
            raise BadInput(
                f"of documents with two sentences or more there are {usable}",
                "give two or more: half of the pairs need a B from another document",
            )

    @cached_property
    def _names(self) -> _Ints:
        """A number for the name of each document: pieces of one document share it."""
        numbers = {name: number for number, name in enumerate(dict.fromkeys(self.corpus.names))}
        return np.array([numbers[name] for name in self.corpus.names])

    def epoch(self, number: int) -> Pairs:
        """The rows of an epoch, in a random order."""
        random = np.random.default_rng([self.seed, number])
        windows = self._windows(random)
        starts, middles, ends, owners = windows[:, random.permutation(windows.shape[1])]
        is_next = random.random(len(starts)) < 0.5
        b_starts, b_lengths, other = middles.copy(), ends - middles, np.flatnonzero(~is_next)
        room = self.corpus.document_offsets[1:][owners] - middles
        found = _rows_of_other_documents(self._names[owners], room, other, b_lengths[other], random)
        b_starts[other], b_lengths[other] = middles[found], np.minimum(b_lengths[other], room[found])
        return self._assembled(starts, middles - starts, b_starts, b_lengths, is_next)

    def _windows(self, random: np.random.Generator) -> Int64[NDArray[np.int64], "4 rows"]:
        """Parts of documents with a sentence's beginning inside, where A ends and B begins.

        Returns:
            Start, beginning of B, end (all in the corpus's tokens), and number of the document of each row.
        """
        body, sentence_starts = self.length - _SPECIAL, np.asarray(self.corpus.sentence_starts)
        document_starts, document_ends = self.corpus.document_offsets[:-1], self.corpus.document_offsets[1:]
        starts, owners = self._window_starts(random)
        ends = np.minimum(starts + body, document_ends[owners])
        # Sentences are numbered over the corpus. B may begin with any sentence after A's first that leaves it room.
        first = np.searchsorted(sentence_starts, starts, side="right")
        last = np.searchsorted(sentence_starts, ends - LEAST_B, side="right")
        # Where there is none (A's first sentence fills the window), the window is moved onto that sentence's end.
        last_sentence = np.asarray(self.corpus.document_starts[1:])[owners] - 1
        crowded = last <= first
        first = np.where(crowded, np.minimum(first, last_sentence), first)
        count = np.where(crowded, 1, np.minimum(last, last_sentence + 1) - first)
        middles = sentence_starts[first + (random.random(len(starts)) * count).astype(np.int64)]
        width = ends - starts
        moved = np.clip(middles - width // 2, document_starts[owners], document_ends[owners] - width)
        starts = np.where(crowded, moved, starts)
        return np.stack([starts, middles, starts + width, owners])

    def _window_starts(self, random: np.random.Generator) -> tuple[_Ints, _Ints]:
        """Where rows begin, and in which document.

        A document that fits into one row gives that row. In a longer one, cuts are one body (a row without its special
        tokens) apart from a random first one on. The pieces before the first and after the last whole one are extended
        with text that other rows have too, so each is kept with a probability of its own length over the body: an epoch
        shows as many tokens as there are, and every row is full.
        """
        body, sentence_starts = self.length - _SPECIAL, np.asarray(self.corpus.sentence_starts)
        owners = np.flatnonzero(np.diff(self.corpus.document_starts) > 1)
        starts, ends = self.corpus.document_offsets[:-1][owners], self.corpus.document_offsets[1:][owners]
        sizes = ends - starts
        short = sizes <= body
        phase = random.integers(0, body, len(sizes))
        whole = np.where(short, 0, (sizes - phase) // body)
        rest = sizes - phase - whole * body
        head = short | (random.random(len(sizes)) * body < phase)
        tail = ~short & (random.random(len(sizes)) * body < rest)
        head |= (whole == 0) & ~tail  # no document is without a row
        middle_owner = np.repeat(np.arange(len(sizes)), whole)
        inner = starts[middle_owner] + phase[middle_owner] + body * _ranges(np.zeros_like(whole), whole)
        sentence = np.searchsorted(sentence_starts, inner, side="right") - 1
        return (
            np.concatenate([starts[head], sentence_starts[sentence], ends[tail] - body]),
            np.concatenate([owners[head], owners[middle_owner], owners[tail]]),
        )

    def _assembled(
        self, a_starts: _Ints, a_lengths: _Ints, b_starts: _Ints, b_lengths: _Ints, is_next: NDArray[np.bool_]
    ) -> Pairs:
        """Copies A and B of every row from the corpus and puts the special tokens around them."""
        starts = np.concatenate([[0], np.cumsum(a_lengths + b_lengths + _SPECIAL)])
        segments = starts[:-1] + a_lengths + 2
        tokens = np.empty(starts[-1], dtype=np.uint16)
        tokens[starts[:-1]] = self.corpus.cls_id
        tokens[segments - 1] = tokens[starts[1:] - 1] = self.corpus.sep_id
        tokens[_ranges(starts[:-1] + 1, a_lengths)] = self.corpus.tokens[_ranges(a_starts, a_lengths)]
        tokens[_ranges(segments, b_lengths)] = self.corpus.tokens[_ranges(b_starts, b_lengths)]
        return Pairs(tokens, starts, segments, is_next, a_starts, b_starts, self.corpus.pad_id)


def _rows_of_other_documents(
    names: _Ints, room: _Ints, rows: _Ints, wanted: _Ints, random: np.random.Generator
) -> _Ints:
    """For each of these rows one of another document with as much room as is wanted, or with less if none is found.

    Drawn at random and drawn again where it does not fit: with many documents nearly all fit at the second draw.
    """
    found, open_rows = np.empty_like(rows), np.arange(len(rows))
    for draw in range(_DRAWS):
        drawn = random.integers(len(names), size=len(open_rows))
        fits = names[drawn] != names[rows[open_rows]]
        if draw < _DRAWS // 2:
            fits &= room[drawn] >= wanted[open_rows]
        found[open_rows[fits]] = drawn[fits]
        open_rows = open_rows[~fits]
    for row in open_rows:  # of a document that is nearly all of the text
        found[row] = random.choice(np.flatnonzero(names != names[rows[row]]))
    return found


def _ranges(starts: _Ints, lengths: _Ints) -> _Ints:
    """start, start + 1, ... for each pair, one after another."""
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths))


RowSource = PairRows | StreamRows
Rows = Pairs | FullRows
