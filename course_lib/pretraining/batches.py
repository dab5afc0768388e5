"""From rows of a corpus to masked batches, in an order fixed by the seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from course_lib.batching import MEGABATCH, sorted_batches
from course_lib.errors import BadInput
from course_lib.pretraining.masking import IGNORED, MaskingRule, mask_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_ASKED_AGAIN = 1000  # times: enough for one token at a rate of 1 %


@dataclass(frozen=True)
class PretrainingBatch:
    """Rows with their questions.

    Attributes:
        input_ids: masks in place.
        attention_mask: 1 for a token, 0 for padding; None where nothing is padded.
        token_type_ids: 0 in segment A, 1 in segment B; None where rows have one segment.
        positions: of the predicted tokens in the flattened batch.
        targets: the tokens that stand there.
        follows: 1 where B follows A; None where that is not asked.
        index: number of each row in the run, from 0.
        word_weight, pair_weight: what the mean losses of this part of a batch count, so that the mean over the
            processes of a run is the mean over the whole batch. 1 for a whole batch.
    """

    input_ids: Int[Tensor, "batch seq"]
    attention_mask: Int[Tensor, "batch seq"] | None
    token_type_ids: Int[Tensor, "batch seq"] | None
    positions: Int[Tensor, "predicted"]
    targets: Int[Tensor, "predicted"]
    follows: Int[Tensor, "batch"] | None
    index: Int[Tensor, "batch"]
    word_weight: float = 1.0
    pair_weight: float = 1.0

    def to(self, where: torch.device) -> PretrainingBatch:
        """The same batch on another device."""
        moved = vars(self) | {n: p.to(where, non_blocking=True) for n, p in vars(self).items() if isinstance(p, Tensor)}
        return PretrainingBatch(**moved)

    def part(self, rank: int, world: int) -> PretrainingBatch:
        """The rows rank, rank + world, ... with their predicted tokens, weighted as said above.

        A process without a row, or without a predicted token, computes one that counts nothing.
        """
        width, n_rows = self.input_ids.shape[1], len(self.index)
        rows = slice(rank, None, world) if rank < n_rows else slice(0, 1)
        row, column = self.positions // width, self.positions % width
        own = (row % world == rank) & (rank < n_rows)
        positions, targets = (row // world * width + column)[own], self.targets[own]
        word_weight = world * len(targets) / len(self.targets)
        if not len(targets):
            positions, targets = torch.zeros(1, dtype=torch.int64), self.input_ids[rows][0, :1]
        optional = [None if t is None else t[rows] for t in (self.attention_mask, self.token_type_ids, self.follows)]
        mask, segments, follows = optional
        pair_weight = world * len(self.index[rank::world]) / n_rows
        return PretrainingBatch(
            self.input_ids[rows],
            mask,
            segments,
            positions,
            targets,
            follows,
            self.index[rows],
            word_weight,
            pair_weight,
        )


@dataclass(frozen=True)
class PaddedRows:
    """Rows before masking: ids padded on the right, lengths, where segment B begins, whether it follows."""

    ids: Int[NDArray[np.int64], "rows seq"]
    lengths: Int[NDArray[np.int64], "rows"]
    segment_starts: Int[NDArray[np.int64], "rows"] | None = None
    follows: Bool[NDArray[np.bool_], "rows"] | None = None


class Rows(Protocol):
    """One epoch's rows. `lengths` says how long each is, `padded` gives some of them."""

    @property
    def lengths(self) -> NDArray[np.int64]: ...
    def padded(self, index: NDArray[np.int64]) -> PaddedRows: ...


class RowSource(Protocol):
    """Gives the rows of an epoch: equal for equal numbers."""

    def epoch(self, number: int) -> Rows: ...


@dataclass(frozen=True)
class Vocabulary:
    """What masking must know of a tokenizer.

    Attributes:
        size: number of token ids.
        mask_id: of `[MASK]`.
        pad_id: of `[PAD]`.
        special: (size,) whether an id is a special or unused token, which is never predicted or drawn.
        continues: (size,) whether an id goes on with a word (`##ing`).
    """

    size: int
    mask_id: int
    pad_id: int
    special: Bool[NDArray[np.bool_], "vocab"]
    continues: Bool[NDArray[np.bool_], "vocab"]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        """Reads a BERT tokenizer.

        Raises:
            BadInput: it has no `[MASK]`.
        """
        if tokenizer.mask_token_id is None:
            raise BadInput("this tokenizer has no mask token", "use a BERT tokenizer, or the causal objective")
        words = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        special = np.array([word.startswith("[unused") for word in words])
        special[tokenizer.all_special_ids] = True
        continues = np.array([word.startswith("##") for word in words])
        return cls(len(words), int(tokenizer.mask_token_id), int(tokenizer.pad_token_id or 0), special, continues)


def masked_batch(
    rows: PaddedRows,
    index: NDArray[np.int64],
    rule: MaskingRule,
    vocabulary: Vocabulary,
    random: np.random.Generator,
) -> PretrainingBatch:
    """Masks rows under `rule`. Where chance has chosen no token (a batch of one short row), it is asked again."""
    for _ in range(_ASKED_AGAIN):
        seen, labels = mask_tokens(
            rows.ids, vocabulary.special[rows.ids], rule, random,
            mask_id=vocabulary.mask_id, special=vocabulary.special, continues=vocabulary.continues,
        )  # fmt: skip
        positions = np.flatnonzero(labels != IGNORED)
        if len(positions):
            break
    return _batch(rows, seen, positions, labels.reshape(-1)[positions], index)


def causal_batch(rows: PaddedRows, index: NDArray[np.int64]) -> PretrainingBatch:
    """Every token predicts the one after it in its row."""
    columns = np.arange(rows.ids.shape[1])
    positions = np.flatnonzero(columns < rows.lengths[:, None] - 1)
    return _batch(rows, rows.ids, positions, rows.ids.reshape(-1)[positions + 1], index)


def _batch(
    rows: PaddedRows,
    seen: NDArray[np.int64],
    positions: NDArray[np.int64],
    targets: NDArray[np.int64],
    index: NDArray[np.int64],
) -> PretrainingBatch:
    columns, mask, segments = np.arange(seen.shape[1]), None, None
    if (rows.lengths < seen.shape[1]).any():
        mask = torch.from_numpy((columns < rows.lengths[:, None]).astype(np.int64))
    if rows.segment_starts is not None:
        later = (columns >= rows.segment_starts[:, None]) & (columns < rows.lengths[:, None])
        segments = torch.from_numpy(later.astype(np.int64))
    follows = None if rows.follows is None else torch.from_numpy(rows.follows.astype(np.int64))
    return PretrainingBatch(
        torch.from_numpy(seen), mask, segments, torch.from_numpy(positions), torch.from_numpy(targets), follows,
        torch.from_numpy(index),
    )  # fmt: skip


@dataclass
class PretrainingBatches:
    """The batches of a run, as `training.train` takes them.

    A run is some stretches of `steps` batches each; the loop calls one an epoch and looks at held-out text after it.
    The data's own epochs go on underneath. What batch number n holds depends on the seed and n alone.

    Attributes:
        source: of rows.
        vocabulary: of the tokenizer.
        rule: of masking; None predicts the next token instead.
        steps: batches of a stretch.
        batch_tokens: positions of a batch, padding included, at most.
        seed: of the order and the masks.
        first: sources of the first stretches, one for each, where they differ from `source`.
        rank, world: with several processes, which part of a batch is this one's (see `PretrainingBatch.part`).
    """

    source: RowSource
    vocabulary: Vocabulary
    rule: MaskingRule | None
    steps: int
    batch_tokens: int = 8192
    seed: int = 0
    rank: int = 0
    world: int = 1
    first: tuple[RowSource, ...] = ()

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_tokens < 1:
            raise BadInput(f"steps={self.steps}, batch_tokens={self.batch_tokens}", "use 1 or more for both")

    def epoch(self, number: int, start: int = 0) -> Iterator[PretrainingBatch]:
        """The batches of stretch `number`, beginning with its batch `start`."""
        source = self.first[number] if number < len(self.first) else self.source
        coming = self._from(source, number * self.steps + start)
        for epoch, at, rows, index in islice(coming, self.steps - start):
            yield self._made(rows, index, epoch, at)

    def _from(self, source: RowSource, first: int) -> Iterator[tuple[int, int, Rows, NDArray[np.int64]]]:
        """(data epoch, batch in it, its rows, row numbers) from batch number `first` of a run on `source` on."""
        epoch = 0
        while True:
            rows = source.epoch(epoch)
            order = self._order(rows.lengths, epoch)
            if not order:
                raise BadInput("the corpus gives no row of this length", "use more text, or shorter rows")
            for at in range(first, len(order)):
                yield epoch, at, rows, order[at]
            first, epoch = max(0, first - len(order)), epoch + 1

    def _order(self, lengths: NDArray[np.int64], epoch: int) -> list[NDArray[np.int64]]:
        """Row numbers of each batch: shuffled, sorted by length inside megabatches, cut by tokens, shuffled again."""
        random = np.random.default_rng([self.seed, 1, epoch])
        permuted, batches = random.permutation(len(lengths)), []
        chunk = max(1, self.batch_tokens // int(lengths.max(initial=1))) * MEGABATCH
        for start in range(0, len(permuted), chunk):
            part = permuted[start : start + chunk]
            batches += [part[index] for index in sorted_batches(lengths[part], self.batch_tokens)]
        return [batches[i] for i in random.permutation(len(batches))]

    def _made(self, rows: Rows, index: NDArray[np.int64], epoch: int, at: int) -> PretrainingBatch:
        padded, random = rows.padded(index), np.random.default_rng([self.seed, 2, epoch, at, 0])
        if self.rule is None:
            batch = causal_batch(padded, index)
        else:
            batch = masked_batch(padded, index, self.rule, self.vocabulary, random)
        return batch if self.world == 1 else batch.part(self.rank, self.world)
