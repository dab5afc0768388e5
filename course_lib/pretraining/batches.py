"""From rows of a corpus to masked batches, in an order fixed by the seed alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from course_lib.batching import MEGABATCH, sorted_batches
from course_lib.errors import BadInput
from course_lib.pretraining.masking import IGNORED, MaskingRule, mask_tokens
from course_lib.pretraining.rows import PaddedRows, Rows, RowSource

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


_DRAWS = 1000  # of the masks of a batch: enough for one token at a rate of 1 %


@dataclass(frozen=True)
class PretrainingBatch:
    """Rows with the tokens to predict.

    Attributes:
        input_ids: masked.
        attention_mask: 1 for a token, 0 for padding; None where nothing is padded.
        token_type_ids: 0 in segment A, 1 in segment B; None where rows have one segment.
        positions: of the predicted tokens in the flattened batch.
        targets: the tokens there.
        follows: 1 where B follows A; None without that objective.
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
        """The same batch on another device, but for `index`: row numbers are counted, not computed with."""
        parts = {name: part for name, part in vars(self).items() if isinstance(part, Tensor) and name != "index"}
        return PretrainingBatch(**vars(self) | {n: part.to(where, non_blocking=True) for n, part in parts.items()})

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
        by_row = {name: getattr(self, name) for name in ("attention_mask", "token_type_ids", "follows")}
        return PretrainingBatch(
            self.input_ids[rows], positions=positions, targets=targets, index=self.index[rows],
            word_weight=word_weight, pair_weight=world * len(self.index[rank::world]) / n_rows,
            **{name: None if part is None else part[rows] for name, part in by_row.items()},
        )  # fmt: skip


@dataclass(frozen=True)
class Vocabulary:
    """What masking needs of a tokenizer.

    Attributes:
        mask_id: of `[MASK]`.
        special: (size,) whether an id is a special or unused token, which is never predicted or drawn.
        continues: (size,) whether an id continues a word (`##ing`).
    """

    mask_id: int
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
        return cls(int(tokenizer.mask_token_id), special, np.array([word.startswith("##") for word in words]))


def _masked(
    rows: PaddedRows, rule: MaskingRule, vocabulary: Vocabulary, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids and labels under `rule`. Where chance has chosen no token (a batch of one short row), it is drawn again."""
    for _ in range(_DRAWS):
        seen, labels = mask_tokens(
            rows.ids, vocabulary.special[rows.ids], rule, random,
            mask_id=vocabulary.mask_id, special=vocabulary.special, continues=vocabulary.continues,
        )  # fmt: skip
        if (labels != IGNORED).any():
            break
    return seen, labels


def _next_tokens(rows: PaddedRows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids, and as labels the token after each in its row."""
    columns, labels = np.arange(rows.ids.shape[1]), np.full_like(rows.ids, IGNORED)
    labels[:, :-1] = np.where(columns[:-1] < rows.lengths[:, None] - 1, rows.ids[:, 1:], IGNORED)
    return rows.ids, labels


def _batch(
    rows: PaddedRows, seen: NDArray[np.int64], labels: NDArray[np.int64], index: NDArray[np.int64]
) -> PretrainingBatch:
    columns, mask, segments = np.arange(seen.shape[1]), None, None
    if (rows.lengths < seen.shape[1]).any():
        mask = torch.from_numpy((columns < rows.lengths[:, None]).astype(np.int64))
    if rows.segment_starts is not None:
        later = (columns >= rows.segment_starts[:, None]) & (columns < rows.lengths[:, None])
        segments = torch.from_numpy(later.astype(np.int64))
    follows = None if rows.follows is None else torch.from_numpy(rows.follows.astype(np.int64))
    positions = np.flatnonzero(labels != IGNORED)
    return PretrainingBatch(
        torch.from_numpy(seen), mask, segments, torch.from_numpy(positions),
        torch.from_numpy(labels.reshape(-1)[positions]), follows, torch.from_numpy(index),
    )  # fmt: skip


@dataclass
class PretrainingBatches:
    """The batches of a run, as `training.train` takes them.

    A run is some phases of `steps` batches each; the loop calls a phase an epoch and evaluates after it. The epochs of
    the data are counted separately. What batch number n holds depends on the seed and n alone.

    Attributes:
        sources: of the rows of each phase.
        vocabulary: of the tokenizer.
        rule: of masking; None predicts the next token instead.
        steps: batches of a phase.
        batch_tokens: positions of a batch, padding included, at most.
        seed: of the order and the masks.
        rank, world: with several processes, which part of a batch is this one's (see `PretrainingBatch.part`).
    """

    sources: tuple[RowSource, ...]
    vocabulary: Vocabulary
    rule: MaskingRule | None
    steps: int
    batch_tokens: int = 8192
    seed: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch_tokens < 1:
            raise BadInput(f"steps={self.steps}, batch_tokens={self.batch_tokens}", "use 1 or more for both")

    def epoch(self, number: int, start: int = 0) -> Iterator[PretrainingBatch]:
        """The batches of phase `number`, beginning with its batch `start`."""
        coming = self._from(self.sources[number], number * self.steps + start)
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
        seen, labels = (
            _next_tokens(padded) if self.rule is None else _masked(padded, self.rule, self.vocabulary, random)
        )
        batch = _batch(padded, seen, labels, index)
        return batch if self.world == 1 else batch.part(self.rank, self.world)
