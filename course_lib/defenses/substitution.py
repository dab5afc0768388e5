"""Adversarial training with words: each batch is rewritten against the model as it is now, and trained on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from course_lib import wordnet
from course_lib.attacks.constraints import STOP_WORDS
from course_lib.attacks.transformations import TYPOS
from course_lib.batching import Batch, collate, tokenizer_lock
from course_lib.classifier import Loss
from course_lib.defenses.preprocessing import TextNormalizer
from course_lib.errors import BadInput
from course_lib.text.document import Document
from course_lib.text.gradients import TokenAlignment
from course_lib.text.modules import capture_embeddings, input_embeddings, shared_copy


@dataclass(frozen=True)
class WordSubstitution:
    """A loss wrapper for `TextClassifier.fit`: synonyms and typing errors, chosen by the gradient, in every batch.

    For each sentence a fraction of its words is drawn from 0 to `most_words`. The words where a change promises most
    are replaced by the candidate whose first-order gain is largest (Ebrahimi et al. 2018, arXiv:1712.06751), and the
    step is taken on the rewritten batch. Unlike an attack it makes no queries: one gradient ranks all candidates of all
    words of the batch. A step costs a forward and a backward pass to the inputs beside the usual one, about 1.5 times a
    usual step. (Yoo & Qi 2021, arXiv:2109.00544, rank by gradient, too, and then search.)

    Args:
        texts: the training texts, in the order that `fit` is given.
        tokenizer: the classifier's.
        normalizer: of the defended classifier; replaced words are normalised before they are trained on.
        synonyms: whether WordNet's synonyms are candidates.
        typos: typing errors drawn for each word.
        most_words: largest fraction of a sentence's words that is changed.
        clean: fraction of sentences of a batch that stay as they are.
        steepest: fraction of the rewritten ones in which the gradient chooses the places, too; in the others they are
            drawn.
        max_length: tokens of a text that are read, the classifier's.
        seed: of all draws.

    Raises:
        BadInput: fractions outside 0 to 1, or no candidates at all; while training, texts that are not those of `fit`.
    """

    texts: Sequence[str] = field(repr=False)
    tokenizer: Any = field(repr=False)
    normalizer: TextNormalizer = field(default_factory=TextNormalizer, repr=False)
    synonyms: bool = True
    typos: int = 4
    most_words: float = 0.6
    clean: float = 0.25
    steepest: float = 0.5
    max_length: int = 128
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("most_words", "clean", "steepest"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInput(f"{name} is {getattr(self, name)}", "use a fraction from 0 to 1")
        if not self.synonyms and self.typos < 1:
            raise BadInput("synonyms is False and typos is 0: nothing can be changed", "allow one of them")

    def __call__(self, usual: Loss) -> Loss:
        """The usual loss, of the rewritten batch."""
        rewriter = _Rewriter(self)

        def loss_of(module: nn.Module, batch: Batch) -> Tensor:
            return usual(module, rewriter.rewrite(module, batch, usual))

        return loss_of


class _Rewriter:
    """Rewrites batches."""

    def __init__(self, settings: WordSubstitution) -> None:
        self.settings, self.pad_id = settings, int(settings.tokenizer.pad_token_id or 0)
        self.documents = [Document.of(text) for text in settings.texts]
        characters = [document.word_of_characters() for document in self.documents]
        self.aligned = TokenAlignment.of(settings.tokenizer, settings.texts, characters, settings.max_length)
        self.tokens: dict[str, list[int]] = {}  # of words that occurred before

    def rewrite(self, module: nn.Module, batch: Batch, usual: Loss) -> Batch:
        """The batch with some sentences changed.

        Raises:
            BadInput: the batch is not of these texts.
        """
        rows = batch.index.tolist()
        self._check_texts(batch, rows)
        seed = int(torch.randint(2**31, ()))  # torch's state is part of a checkpoint: a resumed run draws the same
        draws = [random.Random(f"{self.settings.seed} {seed} {row}") for row in rows]
        changing = [i for i, draw in enumerate(draws) if draw.random() >= self.settings.clean]
        if not changing:
            return batch
        documents = [self.documents[rows[i]] for i in changing]
        gradients = self._word_gradients(module, [rows[i] for i in changing], usual, batch.index.device)
        candidates = [self._candidates(document, draws[i]) for i, document in zip(changing, documents, strict=True)]
        gains = self._gains(input_embeddings(module).weight.detach(), documents, candidates, gradients)
        texts = [self.documents[row].text for row in rows]
        for i, document, choices, mine in zip(changing, documents, candidates, gains, strict=True):
            texts[i] = self._changed(document, choices, mine, draws[i])
        with tokenizer_lock:  # other threads may predict with the same tokenizer
            encoded = self.settings.tokenizer(
                texts, truncation=True, max_length=self.settings.max_length, return_attention_mask=False
            )["input_ids"]
        made = collate(encoded, np.arange(len(rows)), self.pad_id)
        return Batch(made.input_ids, made.attention_mask, batch.index.cpu()).to(batch.index.device)

    def _check_texts(self, batch: Batch, rows: Sequence[int]) -> None:
        lengths = batch.attention_mask.sum(1).tolist()
        for row, ids, length in zip(rows, batch.input_ids.tolist(), lengths, strict=True):
            if row >= len(self.documents) or ids[:length] != self.aligned.ids[row]:
                raise BadInput(
                    f"text {row} of WordSubstitution is not text {row} of fit",
                    "give both the same texts in the same order, and the classifier's tokenizer and max_length",
                )

    def _word_gradients(
        self, module: nn.Module, rows: Sequence[int], usual: Loss, device: torch.device
    ) -> list[NDArray[np.float32]]:
        """For each text the loss's gradient with respect to each word, (words, hidden)."""
        private, batch = shared_copy(module), collate(self.aligned.ids, rows, self.pad_id).to(device)
        with capture_embeddings(private) as captured:
            (gradient,) = torch.autograd.grad(usual(private, batch), captured)
        found = zip(rows, gradient.float().cpu().numpy(), strict=True)
        return [self.aligned.sum_by_word(row, one, len(self.documents[row].words)) for row, one in found]

    def _candidates(self, document: Document, draw: random.Random) -> list[list[str]]:
        """The words that may replace each word."""
        return [self._candidates_of_word(document, position, draw) for position in range(len(document.words))]

    def _candidates_of_word(self, document: Document, position: int, draw: random.Random) -> list[str]:
        word = document.words[position]
        if word.lower() in STOP_WORDS:
            return []
        made = list(_synonyms(document.words, position)) if self.settings.synonyms else []
        for _ in range(self.settings.typos):
            if typo := TYPOS[draw.choice(tuple(TYPOS))](word, draw):
                made.append(typo)
        normal = dict.fromkeys(self.settings.normalizer.word(new) for new in made)
        return [new for new in normal if new.lower() != word.lower()]

    def _gains(
        self, table: Tensor, documents: Sequence[Document], candidates: Sequence[list[list[str]]], gradients: Any
    ) -> list[list[NDArray[np.float32]]]:
        """First-order gain of every candidate, by the embedding table as it is now."""
        words = {word for one in candidates for choices in one for word in choices}
        words |= {word for document in documents for word in document.words}
        order = {word: i for i, word in enumerate(sorted(words))}
        vectors = self._vectors(table, list(order))
        return [
            [
                (vectors[[order[new] for new in choices]] - vectors[order[word]]) @ gradient
                if choices
                else np.empty(0, np.float32)
                for word, choices, gradient in zip(document.words, one, by_word, strict=True)
            ]
            for document, one, by_word in zip(documents, candidates, gradients, strict=True)
        ]

    def _vectors(self, table: Tensor, words: list[str]) -> NDArray[np.float32]:
        """(n, hidden): the mean embedding of each word's tokens."""
        if new := [word for word in words if word not in self.tokens]:
            inside = [f" {word}" for word in new]  # byte-level tokens of a word differ after a blank
            with tokenizer_lock:
                encoded = self.settings.tokenizer(inside, add_special_tokens=False, return_attention_mask=False)
            found = encoded["input_ids"]
            self.tokens.update(zip(new, found, strict=True))
        tokens = [self.tokens[word] for word in words]
        flat = torch.tensor([i for one in tokens for i in one], device=table.device)
        starts = torch.tensor(np.cumsum([0, *(len(one) for one in tokens[:-1])]), device=table.device)
        means: NDArray[np.float32] = F.embedding_bag(flat, table, starts, mode="mean").float().cpu().numpy()
        return means

    def _changed(
        self, document: Document, candidates: list[list[str]], gains: list[NDArray[np.float32]], draw: random.Random
    ) -> str:
        """The document with a fraction of its words replaced."""
        open_places = [position for position, choices in enumerate(candidates) if choices]
        if draw.random() < self.settings.steepest:
            open_places.sort(key=lambda position: -float(gains[position].max()))
        else:
            draw.shuffle(open_places)
        count = round(draw.random() * self.settings.most_words * len(document.words))
        words = list(document.words)
        for position in open_places[:count]:
            words[position] = candidates[position][int(gains[position].argmax())]
        return Document(tuple(words), document.gaps).text


@lru_cache(maxsize=500_000)
def _synonyms(words: tuple[str, ...], position: int) -> tuple[str, ...]:
    return wordnet.synonyms(words[position], wordnet.likely_pos(words, position))
