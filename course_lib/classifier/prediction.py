"""The hot path of the whole course: rows of token ids through a module, with no work done twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from course_lib import machine
from course_lib.assets import path
from course_lib.batching import collate, load_tokenizer, sorted_batches, tokenize
from course_lib.classifier.sources import load_bert
from course_lib.errors import BadInput


def forward(
    module: nn.Module,
    ids: Sequence[Sequence[int]],
    pad_id: int = 0,
    compute: Callable[[Tensor, Tensor], Tensor] | None = None,
    precision: str = "float32",
) -> NDArray[np.float32]:
    """Runs n > 0 rows of token ids through `module` in evaluation mode, (n, outputs).

    Equal rows are computed once, rows of equal length together; the order is that of `ids`.

    Args:
        module: called with input_ids and attention_mask, unless `compute` is given.
        ids: the rows.
        pad_id: token id used for padding.
        compute: another function of input_ids and attention_mask on the same weights.
        precision: `float32`, or `auto` for what the hardware multiplies fastest.

    Raises:
        BadInput: an unknown precision.
    """
    if precision not in ("float32", "auto"):
        raise BadInput(f"precision is {precision!r}", "use 'float32' or 'auto'")
    first = {tuple(row): i for i, row in reversed(list(enumerate(ids)))}
    index = [first[tuple(row)] for row in ids]
    unique = sorted(set(index))
    where = machine.device()
    dtype = machine.precision() if precision == "auto" else torch.float32
    was_training, parts, places = module.training, [], []
    module.eval().to(where)
    with torch.inference_mode(), torch.autocast(where.type, dtype=dtype, enabled=dtype != torch.float32):
        for rows in sorted_batches([len(ids[i]) for i in unique], machine.preset().predict_tokens):
            batch = collate(ids, [unique[i] for i in rows], pad_id).to(where)
            parts.append((compute or module)(batch.input_ids, batch.attention_mask).float())
            places.append(batch.index)
    module.train(was_training)
    answers = torch.cat(parts)
    output = answers.new_empty(len(ids), answers.shape[-1])
    output[torch.cat(places)] = answers
    return output[torch.tensor(index, device=where)].cpu().numpy()


def sentence_vectors(texts: Sequence[str], max_length: int = 128) -> NDArray[np.float32]:
    """The untouched course encoder's vectors, (n, 384): the mean of the last layer's token states.

    Raises:
        BadInput: an item that is not a string.
    """
    bert, tokenizer = _sentence_encoder(path("course_encoder"))

    def mean_state(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask[..., None].to(states.dtype)  # (batch, seq, 1)
        return (states * weights).sum(1) / weights.sum(1)  # type: ignore[no-any-return]

    ids = tokenize(texts, tokenizer, max_length)
    return forward(bert, ids, compute=mean_state) if ids else np.empty((0, 384), dtype=np.float32)


@lru_cache(maxsize=1)
def _sentence_encoder(folder: Path) -> tuple[Any, Any]:
    """Kept in memory (91 MB): whoever compares sentences asks again and again."""
    return load_bert(folder), load_tokenizer(folder)
