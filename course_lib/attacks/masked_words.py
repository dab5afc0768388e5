"""Words that a masked language model would put in a place."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from course_lib import machine
from course_lib.attacks.document import Document
from course_lib.attacks.transformations import Substitutes, check_most, with_gains
from course_lib.attacks.view import Slope, View
from course_lib.attacks.vocabularies import as_written
from course_lib.batching import collate, sorted_batches
from course_lib.errors import BadInput
from course_lib.pretraining import LanguageModel

_MOST_TOKENS = 128


@dataclass(frozen=True)
class MaskedWords:
    """What a masked language model finds likely in a word's place, given the original sentence.

    Args:
        model: a shipped model's name or a folder.
        most: of a word, the likeliest first.
        masked: the word is hidden (BAE, Garg & Ramakrishnan 2020, arXiv:2004.01970) or left in view (BERT-Attack, Li
            et al. 2020, arXiv:2004.09984): then the model sees what it is to replace, and one pass a sentence does.

    Raises:
        BadInput: `most` under 1.
    """

    model: str = "course"
    most: int = 20
    masked: bool = True

    def __post_init__(self) -> None:
        check_most(self.most)

    def prepare(self, view: View, documents: Sequence[Document]) -> list[Substitutes]:
        """All words of all documents in one sorted batch."""
        language_model = _loaded(self.model)
        found = [_Likely({}) for _ in documents]
        asked = [one for i, document in enumerate(documents) for one in self._asked(language_model, i, document)]
        for (i, position, _, _), ids in zip(asked, _likeliest(language_model, asked, self.most + 1), strict=True):
            old = documents[i].words[position]
            words = language_model.tokenizer.convert_ids_to_tokens(ids)
            kept = [as_written(word, old) for word in words if word != old.lower()]
            found[i].known[position] = kept[: self.most]
        return list(found)

    def _asked(self, language_model: LanguageModel, i: int, document: Document) -> Iterator[_Asked]:
        """(document, position, token ids, place of the token that is asked about)."""
        tokenizer: Any = language_model.tokenizer

        def encode(text: str) -> Any:
            return tokenizer(text, truncation=True, max_length=_MOST_TOKENS)

        if self.masked:
            for position in range(len(document.words)):
                ids = encode(document.replace(position, tokenizer.mask_token).text)["input_ids"]
                if tokenizer.mask_token_id in ids:
                    yield i, position, ids, ids.index(tokenizer.mask_token_id)
            return
        encoded = encode(document.text)
        for position, start in enumerate(document.spans[0]):
            place = encoded.char_to_token(int(start))
            if place is not None:
                yield i, position, encoded["input_ids"], place


_Asked = tuple[int, int, list[int], int]


@dataclass(frozen=True)
class _Likely:
    known: dict[int, list[str]] = field(repr=False)

    def words(self, document: Document, position: int, draw: random.Random) -> list[str]:
        now = document.words[position].lower()
        return [word for word in self.known.get(position, []) if word.lower() != now]

    def ranked(
        self, slope: Slope, document: Document, position: int, draw: random.Random
    ) -> tuple[list[str], NDArray[np.float32]]:
        return with_gains(slope, document, position, self.words(document, position, draw))


@lru_cache(maxsize=2)
def _loaded(name: str) -> LanguageModel:
    return LanguageModel.from_pretrained(name)


def _likeliest(language_model: LanguageModel, asked: Sequence[_Asked], most: int) -> list[list[int]]:
    """The likeliest whole words for each question; equal rows go through the encoder once."""
    model, tokenizer = language_model.model, language_model.tokenizer
    if model.encoder.causal:
        raise BadInput("a causal model reads only to the left", "use a masked language model")
    table = model.encoder.word_embeddings
    vocabulary: Any = tokenizer
    names = vocabulary.convert_ids_to_tokens(list(range(len(table))))
    words = torch.tensor([i for i, name in enumerate(names) if name.isalpha() and len(name) > 1], device=table.device)
    rows = list(dict.fromkeys(tuple(ids) for _, _, ids, _ in asked))
    number = {row: i for i, row in enumerate(rows)}
    questions: dict[int, list[tuple[int, int]]] = {}
    for at, (_, _, ids, place) in enumerate(asked):
        questions.setdefault(number[tuple(ids)], []).append((at, place))
    answers: list[list[int]] = [[] for _ in asked]
    with torch.inference_mode():
        for index in sorted_batches([len(row) for row in rows], machine.preset().predict_tokens):
            batch = collate(rows, index, int(vocabulary.pad_token_id)).to(table.device)
            hidden = model.encoder(batch.input_ids, batch.attention_mask)
            here = [(at, row, place) for row, i in enumerate(index) for at, place in questions[int(i)]]
            states = hidden[[row for _, row, _ in here], [place for _, _, place in here]]
            logits = model.words(states, table)[:, words]
            best = words[logits.topk(min(most, len(words))).indices].tolist()
            for (at, _, _), ids in zip(here, best, strict=True):
                answers[at] = ids
    return answers
