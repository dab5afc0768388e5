"""Texts to token ids to batches with almost no padding.

The tokenizer is called once for a text, never inside a training loop. A batch is padded to its own longest row, and
its rows have nearly the same length, so that hardly any arithmetic is spent on padding.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.errors import BadInput, CorruptAsset, MissingAsset, Offline

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

tokenizer_lock = threading.Lock()  # a tokenizer of Rust refuses a second call that sets its truncation
_SURROGATE = re.compile("[\ud800-\udfff]")
MEGABATCH = 50  # batches that are shuffled together before they are sorted by length
_TEXTS_AT_ONCE = 4096  # texts per call of the tokenizer: bounds memory, costs nothing
_Item = TypeVar("_Item", bound=Hashable)


@dataclass(frozen=True)
class Batch:
    """Rows padded to the longest of them.

    Attributes:
        input_ids: token ids, padded on the right.
        attention_mask: 1 for a token, 0 for padding.
        index: which row of the data set each row is.
        weight: what the mean loss of these rows counts. Where several processes compute a batch, it is the number of
            processes times this one's rows over all rows: the mean over the processes is then the mean over the batch.
    """

    input_ids: Int[Tensor, "batch seq"]
    attention_mask: Int[Tensor, "batch seq"]
    index: Int[Tensor, "batch"]
    weight: float = 1.0

    def to(self, where: torch.device) -> Batch:
        """The same batch on another device."""
        ids, mask, index = (
            part.to(where, non_blocking=True) for part in (self.input_ids, self.attention_mask, self.index)
        )
        return Batch(ids, mask, index, self.weight)


def load_tokenizer(folder: str | Path, kind: str = "AutoTokenizer") -> PreTrainedTokenizerBase:
    """The tokenizer of a transformers folder or hub name.

    Args:
        folder: or the name.
        kind: its class in transformers. Where it is known, the configuration of the model is not read.

    Raises:
        MissingAsset: the folder holds none.
        CorruptAsset: its files are damaged.
        Offline: the hub was needed and could not be reached.
    """
    import transformers

    try:
        tokenizer: PreTrainedTokenizerBase = getattr(transformers, kind).from_pretrained(str(folder))
    except Exception as error:  # damaged JSON gives errors of any kind, and tokenizers raises bare Exceptions
        reason = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:300]
        if Path(folder).is_dir():
            raise CorruptAsset(
                f"the tokenizer in {folder} cannot be loaded ({reason})", "save it again, or give another folder"
            ) from error
        raise Offline(
            f"the tokenizer of {str(folder)!r} could not be downloaded from the hub ({reason})",
            "check the name, and go online once to fetch it",
        ) from error
    # Without its vocabulary transformers makes a tokenizer all the same, one that knows no word.
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise MissingAsset(
            f"no vocabulary of a tokenizer in {str(folder)!r}",
            "give a transformers folder that holds tokenizer.json (or vocab.txt)",
        )
    return tokenizer


def check_texts(texts: Sequence[str], name: str = "texts") -> list[str]:
    """The texts as a list of strings that a tokenizer can take.

    Unpaired surrogates, which no encoding can write, become the replacement character U+FFFD.

    Raises:
        BadInput: one string instead of a sequence of them, or an item that is not a string.
    """
    if isinstance(texts, (str, bytes)):
        raise BadInput(
            f"{name} is a single {type(texts).__name__}: {shortened(texts)}", f"put it into a list: [{name}]"
        )
    dimensions = getattr(texts, "ndim", 1)
    if dimensions != 1:
        raise BadInput(f"{name} has {dimensions} dimensions", "give one dimension: a list of strings")
    if not isinstance(texts, Iterable) or isinstance(texts, (Mapping, Set)):
        raise BadInput(f"{name} is {shortened(texts)} of type {type(texts).__name__}", "give a list of strings")
    rows = list(texts)
    for row, text in enumerate(rows):
        if not isinstance(text, str):
            raise BadInput(
                f"{name}[{row}] is {shortened(text)} of type {type(text).__name__}, not a string",
                "drop the row, or turn its value into text with str(...)",
            )
    return [text if text.isascii() else _SURROGATE.sub("\ufffd", text) for text in rows]


def tokenize(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int = 128) -> list[list[int]]:
    """Token ids of each text with the special tokens, cut to `max_length`. An empty text gives `[CLS] [SEP]`.

    Raises:
        BadInput: an item is not a string, or `max_length` is under 3.
    """
    if max_length < 3:
        raise BadInput(f"max_length is {max_length}", "use 3 or more: [CLS], one token, [SEP]")
    rows, ids = check_texts(texts), []
    for start in range(0, len(rows), _TEXTS_AT_ONCE):
        part = rows[start : start + _TEXTS_AT_ONCE]
        with tokenizer_lock:
            encoded = tokenizer(
                part, truncation=True, max_length=max_length, padding=False, return_attention_mask=False
            )
        ids.extend(encoded["input_ids"])
    return without_empty_rows(ids, tokenizer)


def without_empty_rows(ids: list[list[int]], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids in which an empty row is a special token: a decoder's tokenizer has no [CLS] for an empty text."""
    if all(ids):
        return ids
    special = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id, 0)
    return [row or [next(token for token in special if token is not None)] for row in ids]


def warn_about_cut_texts(
    texts: Sequence[str], ids: Sequence[Sequence[int]], tokenizer: Callable[..., Any], max_length: int
) -> bool:
    """Warns if texts are longer than `max_length` tokens, and returns whether it did.

    Args:
        texts: n strings.
        ids: what `tokenize` returned for them.
        tokenizer: the same one.
        max_length: tokens of a text that are read.
    """
    full = [text for text, row in zip(texts, ids, strict=True) if len(row) >= max_length]
    if not full:
        return False
    with tokenizer_lock:
        lengths = [len(row) for row in tokenizer(full, truncation=False, verbose=False)["input_ids"]]
    if not (cut := [length - max_length for length in lengths if length > max_length]):
        return False
    warnings.warn(
        f"{len(cut)} of {len(texts)} texts are longer than max_length={max_length} tokens: "
        f"{sum(cut):,} tokens at their ends are not read (a larger max_length reads more)",
        stacklevel=3,
    )
    return True


def unique_rows(items: Sequence[_Item]) -> tuple[list[_Item], np.ndarray]:
    """The different items in order of their first occurrence, and for each item its number among them, (n,)."""
    numbers = {item: number for number, item in enumerate(dict.fromkeys(items))}
    return list(numbers), np.array([numbers[item] for item in items], dtype=np.int64)


def collate(token_ids: Sequence[Sequence[int]], index: Sequence[int] | np.ndarray, pad_id: int = 0) -> Batch:
    """Pads the rows `index` of `token_ids` to the longest of them."""
    rows = [token_ids[i] for i in index]
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]  # (batch, seq)
    input_ids = np.full(mask.shape, pad_id, dtype=np.int64)
    input_ids[mask] = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows]) if rows else []
    return Batch(
        torch.from_numpy(input_ids),
        torch.from_numpy(mask.astype(np.int64)),
        torch.from_numpy(np.asarray(index, dtype=np.int64)),
    )


@dataclass(frozen=True)
class LengthBuckets:
    """The batches of each epoch: shuffled, yet of rows with nearly equal lengths.

    An epoch's order depends on `seed` and the epoch's number alone, so a resumed run meets the same batches.

    Attributes:
        token_ids: the tokenised data set.
        batch_size: rows of a batch; the last one may be smaller.
        seed: of the order.
        pad_id: token id used for padding.
        rank, world: with several processes, which part of each batch is this one's: rows rank, rank + world, ...
    """

    token_ids: Sequence[Sequence[int]]
    batch_size: int
    seed: int = 0
    pad_id: int = 0
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise BadInput(f"batch_size is {self.batch_size}", "use 1 or more")
        if not len(self.token_ids):
            raise BadInput("there is no row to train on", "give at least one text")

    @property
    def steps(self) -> int:
        """Batches of one epoch."""
        rows, chunk = len(self.token_ids), self.batch_size * MEGABATCH
        return rows // chunk * MEGABATCH + -(-(rows % chunk) // self.batch_size)

    def order(self, epoch: int) -> list[np.ndarray]:
        """Row numbers of every batch of an epoch: shuffle, sort inside megabatches, cut, shuffle the batches."""
        random = np.random.default_rng([self.seed, epoch])
        lengths = np.array([len(row) for row in self.token_ids])
        permuted, batches = random.permutation(len(lengths)), []
        for start in range(0, len(permuted), self.batch_size * MEGABATCH):
            chunk = permuted[start : start + self.batch_size * MEGABATCH]
            chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
            batches += [chunk[at : at + self.batch_size] for at in range(0, len(chunk), self.batch_size)]
        return [batches[i] for i in random.permutation(len(batches))]

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, beginning with batch `start`; with several processes, this one's rows of them.

        A process without a row computes one that counts nothing, since all processes must take part in each step.
        """
        for index in self.order(number)[start:]:
            rows = index[self.rank :: self.world]
            weight = self.world * len(rows) / len(index)
            yield replace(collate(self.token_ids, rows if len(rows) else index[:1], self.pad_id), weight=weight)

    def tokens(self) -> int:
        """Tokens of epoch 0, padding included."""
        return sum(len(index) * max(len(self.token_ids[i]) for i in index) for index in self.order(0))


def sorted_batches(lengths: Sequence[int] | np.ndarray, token_budget: int) -> list[np.ndarray]:
    """Row numbers in order of length, cut so that no padded batch holds more than `token_budget` tokens.

    A single row longer than the budget makes a batch of its own.
    """
    order = np.argsort(np.asarray(lengths), kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    for at, row in enumerate(order):
        if at > start and (at - start + 1) * lengths[row] > token_budget:
            batches.append(order[start:at])
            start = at
    return [*batches, order[start:]] if len(order) else []


def padding_fraction(batches: Sequence[Sequence[int] | np.ndarray], lengths: Sequence[int]) -> float:
    """Fraction of the positions of these batches that is padding, in [0, 1)."""
    positions = sum(len(batch) * max(lengths[i] for i in batch) for batch in batches)
    return 1 - sum(lengths[i] for batch in batches for i in batch) / positions if positions else 0.0
