"""Words from the model's own vocabulary: neighbours in its embedding table, and any word that the gradient names."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.attacks.document import Document
from course_lib.attacks.transformations import Substitutes, check_most, with_gains
from course_lib.attacks.view import Embeddings, Slope, View
from course_lib.errors import BadInput


def as_written(word: str, like: str) -> str:
    """A word of a lower-case vocabulary with the capitals of another."""
    if len(like) > 1 and like.isupper():
        return word.upper()
    return word.capitalize() if like[:1].isupper() else word


class _OfTable:
    """Looks words up in the embedding table of the model under attack, each different word once."""

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings

    def named(self, ids: NDArray[np.int64], like: str) -> list[str]:
        """Words of token ids, without the word itself."""
        tokens: list[Any] = self.embeddings.tokenizer.convert_ids_to_tokens(ids.tolist())
        return [as_written(token, like) for token in tokens if token.lower() != like.lower()]


class _Near(_OfTable):
    def __init__(self, embeddings: Embeddings, most: int, least_cosine: float) -> None:
        super().__init__(embeddings)
        self.most, self.least_cosine = most, least_cosine
        self._known: dict[str, list[str]] = {}

    def words(self, document: Document, position: int, draw: random.Random) -> list[str]:
        word = document.words[position]
        if word not in self._known:
            self._known[word] = self._search(word)
        return self._known[word]

    def _search(self, word: str) -> list[str]:
        vector, allowed = self.embeddings.of([word])[0], self.embeddings.whole_words
        length = float(np.linalg.norm(vector))
        if length == 0:
            return []
        cosines = self.embeddings.unit_table[allowed] @ (vector / length)
        best = np.argsort(-cosines, kind="stable")[: self.most + 1]
        return self.named(allowed[best[cosines[best] >= self.least_cosine]], word)[: self.most]

    def ranked(
        self, slope: Slope, document: Document, position: int, draw: random.Random
    ) -> tuple[list[str], NDArray[np.float32]]:
        return with_gains(slope, document, position, self.words(document, position, draw))


@dataclass(frozen=True)
class Neighbours:
    """Words whose embeddings lie near the word's, in the table of the model under attack.

    Jin et al. 2020 (arXiv:1907.11932) search in word vectors that were trained to part synonyms from antonyms
    (Mrkšić et al. 2016). No package has those; a model's own table keeps opposites close together, so that these
    neighbours keep the meaning less often.

    Args:
        most: of a word.
        least_cosine: of the two embeddings.

    Raises:
        BadInput: `most` under 1, a cosine outside -1 to 1; when run, a model without embeddings.
    """

    most: int = 15
    least_cosine: float = 0.4

    def __post_init__(self) -> None:
        check_most(self.most)
        if not -1 <= self.least_cosine <= 1:
            raise BadInput(f"least_cosine is {self.least_cosine}", "use a cosine from -1 to 1")

    def prepare(self, view: View, documents: Sequence[Document]) -> list[Substitutes]:
        """One look-up, shared by all documents."""
        return [_Near(view.embeddings, self.most, self.least_cosine)] * len(documents)


class _Steepest(_OfTable):
    def __init__(self, embeddings: Embeddings, most: int) -> None:
        super().__init__(embeddings)
        self.most = most
        self.table = embeddings.table[embeddings.whole_words]

    def words(self, document: Document, position: int, draw: random.Random) -> list[str]:
        raise BadInput("a search without gradients would ask about every word", "use GradientGuided with AnyWord")

    def ranked(
        self, slope: Slope, document: Document, position: int, draw: random.Random
    ) -> tuple[list[str], NDArray[np.float32]]:
        old = document.words[position]
        gains = self.table @ slope.vectors[position]  # the old word takes the same from each
        best = np.argpartition(-gains, min(self.most, len(gains) - 1))[: self.most + 1]
        words = self.named(self.embeddings.whole_words[best[np.argsort(-gains[best])]], old)[: self.most]
        return with_gains(slope, document, position, words)


@dataclass(frozen=True)
class AnyWord:
    """Any whole word of the vocabulary, the steepest first: one product with the table for a position.

    This is HotFlip's exchange of words (Ebrahimi et al. 2018, arXiv:1712.06751, section 5): it needs a search that
    has gradients, and constraints that keep the meaning.

    Args:
        most: of a position.

    Raises:
        BadInput: `most` under 1; when run, a model without embeddings or a search without gradients.
    """

    most: int = 20

    def __post_init__(self) -> None:
        check_most(self.most)

    def prepare(self, view: View, documents: Sequence[Document]) -> list[Substitutes]:
        """One table, shared by all documents."""
        return [_Steepest(view.embeddings, self.most)] * len(documents)
