"""Queries of a masked language model: which words fit a place of a text?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from course_lib import machine
from course_lib.batching import collate, sorted_batches, unique_rows
from course_lib.errors import BadInput

_BLANK_MARKS = "▁Ġ"  # of SentencePiece and of byte-level BPE
_QUERIES_AT_ONCE = 512  # rows of logits over the vocabulary in memory: 62 MB for 30,522 words


def check_bidirectional(language_model: Any) -> None:
    """Raises BadInput for a causal model, which reads only what is to the left of a mask."""
    if language_model.model.encoder.causal:
        raise BadInput("a causal model reads only to the left of a mask", "use a masked language model")


def masked_lm_logits(
    language_model: Any, rows: Sequence[Sequence[int]], places: Sequence[int]
) -> Iterator[tuple[NDArray[np.int64], Float[Tensor, "queries vocabulary"]]]:
    """The logits of the vocabulary at one place of each row. Equal rows go through the encoder once.

    Args:
        language_model: a `pretraining.LanguageModel` that reads in both directions.
        rows: token ids with special tokens, one row a query; the caller has put the mask token where a word is hidden.
        places: the position in each row that is predicted.

    Yields:
        Numbers of some queries and their logits, until all have come; the order is by length.

    Raises:
        BadInput: a causal model.
    """
    check_bidirectional(language_model)
    model, pad_id = language_model.model, int(language_model.tokenizer.pad_token_id or 0)
    table = model.encoder.word_embeddings
    different, row_of = unique_rows([tuple(row) for row in rows])
    queries: list[list[int]] = [[] for _ in different]
    for query, row in enumerate(row_of.tolist()):
        queries[row].append(query)
    for index in sorted_batches([len(row) for row in different], machine.preset().predict_tokens):
        batch = collate(different, index, pad_id).to(table.device)
        with torch.inference_mode():
            hidden = model.encoder(batch.input_ids, batch.attention_mask)
        here = [(query, row) for row, i in enumerate(index.tolist()) for query in queries[i]]
        for start in range(0, len(here), _QUERIES_AT_ONCE):
            some, at = zip(*here[start : start + _QUERIES_AT_ONCE], strict=True)
            with torch.inference_mode():
                logits = model.words(hidden[list(at), [places[query] for query in some]], table).float()
            yield np.array(some, np.int64), logits


def whole_words(tokenizer: Any) -> dict[int, str]:
    """Token id -> word, for the tokens that are a word of two or more letters on their own, in order of their ids.

    SentencePiece and byte-level vocabularies mark the blank before a word. There the marked tokens are the words, and
    byte-level ones only if they are ASCII, since other letters are several bytes.
    """
    special, vocabulary = set(tokenizer.all_special_ids), tokenizer.get_vocab()
    counts = {mark: sum(token[0] == mark and token[1:].isalpha() for token in vocabulary) for mark in _BLANK_MARKS}
    mark = max(counts, key=lambda one: counts[one])
    mark = mark if counts[mark] > len(vocabulary) / 20 else ""
    words = sorted((number, token.removeprefix(mark)) for token, number in vocabulary.items() if token.startswith(mark))
    return {
        number: word
        for number, word in words
        if word.isalpha() and len(word) > 1 and number not in special and (word.isascii() or mark != "Ġ")
    }
