"""BERT's sentence pairs: [CLS] A [SEP] B [SEP], where B follows A in its document or comes from another one.

After `create_pretraining_data.py` of Devlin et al. 2019 (A.2), with two changes. Rows are drawn anew in every epoch
instead of ten times beforehand. And what could give the answer away is alike in both kinds of pairs: the length of a
row is settled before its kind, and a B from elsewhere begins where the B of another row would have begun.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int64, UInt16
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.pretraining.batches import PaddedRows
from course_lib.pretraining.corpus import PretrainingCorpus

_SPECIAL = 3  # [CLS] and two [SEP]
LEAST_B = 8  # tokens that are left for B where the document has more than one place to part it
_DRAWS = 50  # of a B from elsewhere that is long enough, before a shorter one is taken

_Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """One epoch of sentence pairs, one row after another, nothing padded.

    Attributes:
        tokens: ids of all rows.
        starts: where each row begins in `tokens`; the last entry is the number of tokens.
        segment_starts: where each row's B begins in `tokens`.
        is_next: whether B follows A.
        a_starts, b_starts: where A and B begin in the corpus's own `tokens`.
        pad_id: what shorter rows of a batch are filled up with.
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

    def padded(self, index: NDArray[np.int64]) -> PaddedRows:
        """Some of the rows, as the batches take them."""
        lengths, starts = self.lengths[index], self.starts[:-1][index]
        columns = np.arange(lengths.max(initial=0))
        inside = columns < lengths[:, None]  # (rows, seq)
        places = np.where(inside, starts[:, None] + columns, 0)
        ids = np.where(inside, self.tokens[places], self.pad_id).astype(np.int64)
        return PaddedRows(ids, lengths, self.segment_starts[index] - starts, self.is_next[index])


@dataclass(frozen=True)
class PairRows:
    """Sentence pairs of a corpus, drawn anew for every epoch; an epoch depends on (seed, number) alone.

    A row is `length` tokens wherever its document is long enough; a shorter document gives one row, all of itself. B
    begins with a sentence, and A too, but that the front of a very long one and of a document's last row is cut away
    (one A in ten). B ends where the row is full. An epoch holds about as many tokens as the corpus. Documents of one
    sentence are left out.

    Attributes:
        corpus: at least two of its documents must have two sentences.
        length: of a full row, special tokens included.
        seed: of all draws.
        within_source: takes the B of other documents from the same source, so that the style does not tell.

    Raises:
        BadInput: `length` is under 8, or there are not two documents with two sentences (in each source).
    """

    corpus: PretrainingCorpus
    length: int = 128
    seed: int = 0
    within_source: bool = False

    def __post_init__(self) -> None:
        if self.length < 8:
            raise BadInput(f"length is {self.length}", "use 8 or more")
        names = {name for name, usable in zip(self.corpus.names, self._documents.usable, strict=True) if usable}
        fewest = min(Counter(source if self.within_source else "" for source, _ in names).values(), default=0)
        if fewest < 2:
            raise BadInput(
                f"of documents with two sentences or more there are {fewest}{' in a source' * self.within_source}",
                "give two or more: half of the pairs need a B from another document",
            )

    @cached_property
    def _documents(self) -> _Documents:
        return _Documents.of(self.corpus)

    def epoch(self, number: int) -> Rows:
        """The rows of an epoch, in an order as good as shuffled."""
        random = np.random.default_rng([self.seed, number])
        windows = self._windows(random)
        windows = windows.take(random.permutation(len(windows.starts)))
        is_next = random.random(len(windows.starts)) < 0.5
        b_starts, b_lengths = windows.middles.copy(), windows.ends - windows.middles
        other = np.flatnonzero(~is_next)
        b_starts[other], b_lengths[other] = self._elsewhere(windows, other, random)
        return self._assembled(windows, b_starts, b_lengths, is_next)

    def _windows(self, random: np.random.Generator) -> _Windows:
        """Stretches of text with a sentence's beginning inside, where A ends and B begins."""
        documents, body = self._documents, self.length - _SPECIAL
        starts, owners = _window_starts(documents, body, random)
        ends = np.minimum(starts + body, documents.ends[owners])
        # Sentences are numbered over the corpus. B may begin with any sentence after A's first that leaves it room.
        sentence_starts = documents.sentence_starts
        first = np.searchsorted(sentence_starts, starts, side="right")
        last = np.searchsorted(sentence_starts, ends - LEAST_B, side="right")
        # Where there is none (A's first sentence fills the window), the window is moved onto that sentence's end.
        last_sentence = documents.last_sentence[owners]
        crowded = last <= first
        first = np.where(crowded, np.minimum(first, last_sentence), first)
        count = np.where(crowded, 1, np.minimum(last, last_sentence + 1) - first)
        middles = sentence_starts[first + (random.random(len(starts)) * count).astype(np.int64)]
        width = ends - starts
        moved = np.clip(middles - width // 2, documents.starts[owners], documents.ends[owners] - width)
        starts = np.where(crowded, moved, starts)
        return _Windows(starts, middles, starts + width, owners)

    def _elsewhere(self, windows: _Windows, rows: _Ints, random: np.random.Generator) -> tuple[_Ints, _Ints]:
        """Where the B of each of these rows begins in another document, and how long it is."""
        documents, wanted = self._documents, windows.ends[rows] - windows.middles[rows]
        sources = documents.source[windows.owners] if self.within_source else np.zeros(len(windows.owners), np.int64)
        room = documents.ends[windows.owners] - windows.middles
        found = np.empty_like(rows)
        for source in np.unique(sources[rows]):
            asking = np.flatnonzero(sources[rows] == source)
            candidates = np.flatnonzero(sources == source)
            names = documents.name[windows.owners]
            found[asking] = _strangers(names, room, candidates, rows[asking], wanted[asking], random)
        return windows.middles[found], np.minimum(wanted, room[found])

    def _assembled(self, windows: _Windows, b_starts: _Ints, b_lengths: _Ints, is_next: NDArray[np.bool_]) -> Rows:
        """Copies A and B of every row from the corpus and puts the special tokens around them."""
        a_lengths = windows.middles - windows.starts
        starts = np.concatenate([[0], np.cumsum(a_lengths + b_lengths + _SPECIAL)])
        segments = starts[:-1] + a_lengths + 2
        tokens = np.empty(starts[-1], dtype=np.uint16)
        tokens[starts[:-1]] = self.corpus.cls_id
        tokens[segments - 1] = tokens[starts[1:] - 1] = self.corpus.sep_id
        for places, sources, lengths in (
            (starts[:-1] + 1, windows.starts, a_lengths),
            (segments, b_starts, b_lengths),
        ):
            tokens[_ranges(places, lengths)] = self.corpus.tokens[_ranges(sources, lengths)]
        return Rows(tokens, starts, segments, is_next, windows.starts, b_starts, self.corpus.pad_id)


@dataclass(frozen=True)
class _Windows:
    """Stretches of the corpus's tokens [start, end), parted at `middle`; `owners` are their documents."""

    starts: _Ints
    middles: _Ints
    ends: _Ints
    owners: _Ints

    def take(self, order: _Ints) -> _Windows:
        return _Windows(self.starts[order], self.middles[order], self.ends[order], self.owners[order])


@dataclass(frozen=True)
class _Documents:
    """By document: its first token and the one after its last, the number of its last sentence, whether it has two
    sentences, the number of its name (pieces of one document share it) and of its source."""

    starts: _Ints
    ends: _Ints
    last_sentence: _Ints
    usable: NDArray[np.bool_]
    name: _Ints
    source: _Ints
    sentence_starts: _Ints

    @classmethod
    def of(cls, corpus: PretrainingCorpus) -> _Documents:
        offsets, names = corpus.document_offsets, corpus.names
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        sources = {source: number for number, source in enumerate(dict.fromkeys(source for source, _ in names))}
        return cls(
            offsets[:-1], offsets[1:], np.asarray(corpus.document_starts[1:]) - 1, np.diff(corpus.document_starts) > 1,
            np.array([numbers[name] for name in names]), np.array([sources[source] for source, _ in names]),
            np.asarray(corpus.sentence_starts),
        )  # fmt: skip


def _window_starts(documents: _Documents, body: int, random: np.random.Generator) -> tuple[_Ints, _Ints]:
    """Where rows of `body` tokens begin, and in which document.

    A document that fits into one row gives that row. In a longer one, cuts lie `body` apart from a random first one
    on. The pieces before the first and after the last whole one are filled up with text that others have too, so each
    is kept with the probability of its own share: an epoch shows as many tokens as there are, and every row is full.
    """
    starts, ends = documents.starts[documents.usable], documents.ends[documents.usable]
    owners, sizes = np.flatnonzero(documents.usable), ends - starts
    short = sizes <= body
    phase = random.integers(0, body, len(sizes))
    whole = np.where(short, 0, (sizes - phase) // body)
    rest = sizes - phase - whole * body
    head = short | (random.random(len(sizes)) * body < phase)
    tail = ~short & (random.random(len(sizes)) * body < rest)
    head |= (whole == 0) & ~tail  # no document is without a row
    middle_owner = np.repeat(np.arange(len(sizes)), whole)
    inner = starts[middle_owner] + phase[middle_owner] + body * _ranges(np.zeros_like(whole), whole)
    sentence = np.searchsorted(documents.sentence_starts, inner, side="right") - 1
    return (
        np.concatenate([starts[head], documents.sentence_starts[sentence], ends[tail] - body]),
        np.concatenate([owners[head], owners[middle_owner], owners[tail]]),
    )


def _strangers(
    names: _Ints, room: _Ints, candidates: _Ints, rows: _Ints, wanted: _Ints, random: np.random.Generator
) -> _Ints:
    """For each row a candidate of another name with as much room as is wanted, or any of another name if none is found.

    Drawn blindly and drawn again where it does not fit: with many documents nearly all fit at the second draw.
    """
    found, open_rows = np.empty_like(rows), np.arange(len(rows))
    for draw in range(_DRAWS):
        drawn = candidates[random.integers(len(candidates), size=len(open_rows))]
        fits = names[drawn] != names[rows[open_rows]]
        if draw < _DRAWS // 2:
            fits &= room[drawn] >= wanted[open_rows]
        found[open_rows[fits]] = drawn[fits]
        open_rows = open_rows[~fits]
    for row in open_rows:  # of a document that is nearly all of the text
        found[row] = random.choice(candidates[names[candidates] != names[rows[row]]])
    return found


def _ranges(starts: _Ints, lengths: _Ints) -> _Ints:
    """start, start + 1, ... for each pair, one after another."""
    ends = np.cumsum(lengths)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths))
