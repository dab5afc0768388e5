"""Words from the vocabulary of a model: neighbours in its embedding table, any word, or what it predicts at a mask."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from course_lib.attacks.constraints import check_cosine
from course_lib.attacks.transformations import Substitutes, Transformation, check_most
from course_lib.attacks.victim import VictimModel, WordEmbeddings, WordGradient
from course_lib.batching import tokenize
from course_lib.errors import BadInput
from course_lib.pretraining import LanguageModel
from course_lib.text.document import Document, match_case
from course_lib.text.masked_lm import check_bidirectional, masked_lm_logits, whole_words

_MOST_TOKENS = 128


class _FromTable(Substitutes):
    """Words of the embedding table of the model under attack."""

    def __init__(self, embeddings: WordEmbeddings, most: int) -> None:
        self.embeddings, self.most = embeddings, most
        self.ids = np.array(list(embeddings.whole_words), np.int64)

    def named(self, best: NDArray[np.int64], old: str) -> list[str]:
        """Words by their places in `ids`, with the capitals of the old word and without that word itself."""
        words = [self.embeddings.whole_words[number] for number in self.ids[best].tolist()]
        return [match_case(word, old) for word in words if word.lower() != old.lower()][: self.most]


class _NearestWords(_FromTable):
    def __init__(self, embeddings: WordEmbeddings, most: int, least_cosine: float) -> None:
        super().__init__(embeddings, most)
        self.least_cosine = least_cosine
        self._known: dict[str, list[str]] = {}

    def words(self, document: Document, position: int, rng: random.Random) -> list[str]:
        word = document.words[position]
        if word not in self._known:
            self._known[word] = self._search(word)
        return self._known[word]

    def _search(self, word: str) -> list[str]:
        vector = self.embeddings.of([word])[0]
        length = float(np.linalg.norm(vector))
        if length == 0:
            return []
        cosines = self.embeddings.unit_table[self.ids] @ (vector / length)
        best = np.argsort(-cosines, kind="stable")[: self.most + 1]
        return self.named(best[cosines[best] >= self.least_cosine], word)


@dataclass(frozen=True)
class Neighbours(Transformation):
    """Words whose embeddings lie near the word's, in the table of the model under attack.

    Jin et al. 2020 (arXiv:1907.11932) search in word vectors that were trained to separate synonyms from antonyms
    (Mrkšić et al. 2016). No package has those; a model's own table keeps opposites close together, so that these
    neighbours keep the meaning less often.

    Args:
        most: of a word.
        least_cosine: of the two embeddings.

    Raises:
        BadInput: `most` under 1, a cosine outside -1 to 1; when run, a model without embeddings.
    """

    needs_gradients = True  # the embedding table

    most: int = 15
    least_cosine: float = 0.4

    def __post_init__(self) -> None:
        check_most(self.most)
        check_cosine(self.least_cosine)

    def prepare(self, victim: VictimModel, documents: Sequence[Document]) -> list[Substitutes]:
        """One look-up, shared by all documents."""
        return [_NearestWords(victim.embeddings, self.most, self.least_cosine)] * len(documents)


class _SteepestWords(_FromTable):
    def __init__(self, embeddings: WordEmbeddings, most: int) -> None:
        super().__init__(embeddings, most)
        self.table = embeddings.table[self.ids]

    def words(self, document: Document, position: int, rng: random.Random) -> list[str]:
        raise BadInput("a search without gradients would query every word", "use GradientGuided with AnyWord")

    def ranked(
        self, gradient: WordGradient, document: Document, position: int, rng: random.Random
    ) -> tuple[list[str], NDArray[np.float32]]:
        old = document.words[position]
        gains = self.table @ gradient.vectors[position]  # the old word subtracts the same from each
        best = np.argpartition(-gains, min(self.most, len(gains) - 1))[: self.most + 1]
        words = self.named(best[np.argsort(-gains[best])], old)
        return words, gradient.gains(position, old, words)


@dataclass(frozen=True)
class AnyWord(Transformation):
    """Any whole word of the vocabulary, the steepest first: one product with the table for a position.

    This is HotFlip's exchange of words (Ebrahimi et al. 2018, arXiv:1712.06751, section 5): it needs a search that
    has gradients, and constraints that keep the meaning.

    Args:
        most: of a position.

    Raises:
        BadInput: `most` under 1; when run, a model without embeddings or a search without gradients.
    """

    needs_gradients = True

    most: int = 20

    def __post_init__(self) -> None:
        check_most(self.most)

    def prepare(self, victim: VictimModel, documents: Sequence[Document]) -> list[Substitutes]:
        """One table, shared by all documents."""
        return [_SteepestWords(victim.embeddings, self.most)] * len(documents)


class _LikelyWords(Substitutes):
    """Words by position, computed before."""

    def __init__(self) -> None:
        self.known: dict[int, list[str]] = {}

    def words(self, document: Document, position: int, rng: random.Random) -> list[str]:
        now = document.words[position].lower()
        return [word for word in self.known.get(position, []) if word.lower() != now]


@dataclass(frozen=True)
class MaskedWords(Transformation):
    """What a masked language model predicts for a hidden word (BAE, Garg & Ramakrishnan 2020, arXiv:2004.01970).

    Args:
        model: a shipped model's name or a folder.
        most: of a word, the likeliest first.

    Raises:
        BadInput: `most` under 1; when run, a causal language model.
    """

    model: str = "course"
    most: int = 20

    def __post_init__(self) -> None:
        check_most(self.most)

    def check(self, victim: VictimModel) -> None:
        """The language model must read in both directions."""
        check_bidirectional(_loaded(self.model))

    def prepare(self, victim: VictimModel, documents: Sequence[Document]) -> list[Substitutes]:
        """All words of all documents in one sorted batch."""
        language_model = _loaded(self.model)
        names = whole_words(language_model.tokenizer)
        ids = torch.tensor(list(names), device=language_model.model.encoder.word_embeddings.device)
        found = [_LikelyWords() for _ in documents]
        queries = [
            (i, *query) for i, one in enumerate(documents) for query in self._rows(language_model.tokenizer, one)
        ]
        for some, logits in masked_lm_logits(language_model, [one[2] for one in queries], [one[3] for one in queries]):
            best = ids[logits[:, ids].topk(min(self.most + 1, len(ids))).indices].tolist()
            for query, likeliest in zip(some.tolist(), best, strict=True):
                document, position, *_ = queries[query]
                old = documents[document].words[position]
                words = [match_case(names[number], old) for number in likeliest if names[number] != old.lower()]
                found[document].known[position] = words[: self.most]
        return list(found)

    def _rows(self, tokenizer: Any, document: Document) -> Iterator[tuple[int, list[int], int]]:
        """(position, token ids, place of the token that is predicted), of the words that the model reads."""
        texts = [document.replace(position, tokenizer.mask_token).text for position in range(len(document.words))]
        for position, ids in enumerate(tokenize(texts, tokenizer, _MOST_TOKENS)):
            if tokenizer.mask_token_id in ids:
                yield position, ids, ids.index(tokenizer.mask_token_id)


@lru_cache(maxsize=2)
def _loaded(name: str) -> LanguageModel:
    return LanguageModel.from_pretrained(name)
