"""Contextual augmentation: words that a masked language model expects, and that keep the label.

Kobayashi 2018 (arXiv:1805.06201) trains a language model that reads the label, too. Here the model stays as it is, and
a judge of the label weighs its words: by Bayes' rule p(word | context, label) is in proportion to
p(word | context) * p(label | text with the word).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import Pipeline, make_pipeline

from course_lib.attacks.constraints import STOP_WORDS
from course_lib.augmentation.operations import changes, check_alpha, check_seed, stream
from course_lib.batching import check_texts
from course_lib.errors import BadInput
from course_lib.pretraining import LanguageModel
from course_lib.text.classifiers import Classifier, columns_of
from course_lib.text.document import Document, match_case
from course_lib.text.masked_lm import check_bidirectional, masked_lm_logits, whole_words

CONTEXT = 60  # words before and after a masked one that the model and the judge read
AT_ONCE = 512  # texts whose candidates are held in memory together


@dataclass
class Masked:
    """A masked word of a text and its candidates."""

    text: int
    position: int
    words: list[str] = field(default_factory=list)  # the candidates
    weights: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # not normalised


@dataclass(frozen=True)
class ContextualReplacement:
    """Replaces n = max(1, alpha * words) words, each masked alone, by words drawn from a masked language model.

    All masked words of 512 texts go through the model together, in rows of about equal length. Another batch may move
    a probability by 1e-6: once in some 100,000 words another word may be drawn.

    Args:
        model: a masked language model.
        judge: of the label, any classifier; None uses the language model alone, which as readily writes "bad" as
            "good".
        alpha: fraction of the words. Function words (`attacks.constraints.STOP_WORDS`) and numbers stay.
        top: the most probable words that are drawn from.
        strength: exponent of the judge's probability; 1 is Bayes' rule, more is stricter.

    Raises:
        BadInput: a causal model, alpha not above 0 and at most 1, top under 1, a negative strength.
    """

    model: LanguageModel = field(repr=False)
    judge: Classifier | None = field(default=None, repr=False)
    alpha: float = 0.15
    top: int = 10
    strength: float = 1.0

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        check_bidirectional(self.model)
        if self.top < 1:
            raise BadInput(f"top is {self.top}", "use 1 or more words")
        if not 0 <= self.strength < np.inf:
            raise BadInput(f"strength is {self.strength}", "use 0 or more")

    def __call__(self, texts: Sequence[str], seed: int = 0, labels: Sequence[Any] | None = None) -> list[str]:
        """One rewrite of each text; see `Operation`.

        Args:
            texts: n strings.
            seed: another seed, other words.
            labels: to be kept; the judge's predictions when left out.

        Raises:
            BadInput: a label that the judge does not know, and what `Operation` raises.
        """
        check_seed(seed)
        rows = check_texts(texts)
        columns = self._columns(rows, labels)
        parts = range(0, len(rows), AT_ONCE)
        return [new for at in parts for new in self._part(rows[at : at + AT_ONCE], columns[at : at + AT_ONCE], seed)]

    def _columns(self, texts: list[str], labels: Sequence[Any] | None) -> NDArray[np.int64]:
        """The column of each text's label among the judge's classes."""
        if self.judge is None or not texts:
            return np.zeros(len(texts), np.int64)
        if labels is None:
            predicted: NDArray[np.int64] = np.asarray(self.judge.predict_proba(texts)).argmax(1)
            return predicted
        return columns_of(self.judge.classes_, np.asarray(labels), len(texts))

    def _part(self, texts: list[str], columns: NDArray[np.int64], seed: int) -> Iterator[str]:
        documents = [Document.of(text) for text in texts]
        draws = [stream("ContextualReplacement", seed, text) for text in texts]
        masked = [
            Masked(text, position)
            for text, (document, draw) in enumerate(zip(documents, draws, strict=True))
            for position in self._positions(document, draw)
        ]
        self._fill(documents, masked)
        self._judge(documents, masked, columns)
        for one in masked:
            old = documents[one.text].words[one.position]
            new = draws[one.text].choices(one.words, one.weights.tolist())[0]
            documents[one.text] = documents[one.text].replace(one.position, match_case(new, like=old))
        return (document.text for document in documents)

    def _positions(self, document: Document, draw: random.Random) -> list[int]:
        content = [at for at, word in enumerate(document.words) if word.isalpha() and word.lower() not in STOP_WORDS]
        return draw.sample(content, min(len(content), changes(self.alpha, len(document.words)))) if content else []

    def _fill(self, documents: Sequence[Document], masked: Sequence[Masked]) -> None:
        """Gives each masked word its candidates and their p(word | context)."""
        tokenizer = self.model.tokenizer
        vocabulary = {number: word for number, word in whole_words(tokenizer).items() if word not in STOP_WORDS}
        ids = torch.tensor(list(vocabulary), device=self.model.model.encoder.word_embeddings.device)
        rows, places = masked_rows(documents, masked, tokenizer, self.model.model.encoder.config.max_positions)
        for index, logits in masked_lm_logits(self.model, rows, places):
            probabilities = logits[:, ids].softmax(-1)
            best = probabilities.topk(min(self.top + 1, len(ids)))  # one more: the old word may be among them
            for row, words, weights in zip(index, ids[best.indices].tolist(), best.values.tolist(), strict=True):
                old = documents[masked[row].text].words[masked[row].position].lower()
                found = [(vocabulary[i], p) for i, p in zip(words, weights, strict=True) if vocabulary[i] != old]
                masked[row].words = [word for word, _ in found[: self.top]]
                masked[row].weights = np.array([p for _, p in found[: self.top]])

    def _judge(self, documents: Sequence[Document], masked: Sequence[Masked], columns: NDArray[np.int64]) -> None:
        """Multiplies each candidate's weight by p(label | text with it), all of them judged in one call."""
        if self.judge is None or not masked or not self.strength:
            return
        views = [
            view
            for one in masked
            for near, at in [neighbourhood(documents[one.text], one.position)]
            for view in (near.replace(at, match_case(word, like=near.words[at])).text for word in one.words)
        ]
        judged, start = np.asarray(self.judge.predict_proba(views), np.float64), 0
        for one in masked:
            kept = judged[start : start + len(one.words), columns[one.text]]
            start += len(one.words)
            if kept.any():  # a judge that gives every candidate 0 does not distinguish them
                one.weights = one.weights * (kept / kept.max()) ** self.strength  # the best keeps its weight

    def __str__(self) -> str:
        judged = "not judged" if self.judge is None else f"judged by {type(self.judge).__name__}"
        return f"masked-model words for {self.alpha:.0%} of the words ({judged})"


def naive_bayes(texts: Sequence[str], labels: ArrayLike, smoothing: float = 1.0) -> Pipeline:
    """The cheapest judge of a label: scikit-learn's multinomial naive Bayes on lower-case words.

    Args:
        texts: n strings.
        labels: n labels of two classes or more.
        smoothing: added to every count; larger trusts rare words less.

    Raises:
        BadInput: not as many labels as texts, fewer than two classes, texts without a word.
    """
    rows, given = check_texts(texts), np.asarray(labels)
    if given.shape != (len(rows),) or len(np.unique(given)) < 2:
        raise BadInput(f"{len(rows)} texts and labels of shape {given.shape}", "give a label each, of two classes")
    if not any(Document.of(text).words for text in rows):
        raise BadInput("no text holds a word", "give texts with words")
    counts = CountVectorizer(tokenizer=_words, token_pattern=None)
    return make_pipeline(counts, MultinomialNB(alpha=smoothing)).fit(rows, given)


def _words(text: str) -> tuple[str, ...]:
    return Document.of(text).words


def contextual(texts: Sequence[str], labels: ArrayLike, model: LanguageModel | str = "course") -> ContextualReplacement:
    """Contextual replacement that needs no classifier: `naive_bayes` of these labelled texts is the judge.

    Args:
        texts: the training texts.
        labels: of the texts.
        model: a masked language model, or the name of one.

    Raises:
        BadInput: what `naive_bayes` and `ContextualReplacement` raise.
        MissingAsset, CorruptAsset: the model cannot be loaded.
    """
    chosen = LanguageModel.from_pretrained(model) if isinstance(model, str) else model
    return ContextualReplacement(chosen, naive_bayes(texts, labels))


def neighbourhood(document: Document, position: int) -> tuple[Document, int]:
    """Up to `CONTEXT` words around a position, and the position among them."""
    start, end = max(0, position - CONTEXT), position + CONTEXT + 1
    return Document(document.words[start:end], document.gaps[start : end + 1]), position - start


def masked_rows(
    documents: Sequence[Document], masked: Sequence[Masked], tokenizer: Any, max_length: int
) -> tuple[list[list[int]], list[int]]:
    """For each masked word a row of at most `max_length` token ids, and the position of the mask in it."""
    if not masked:
        return [], []
    near = [neighbourhood(documents[one.text], one.position) for one in masked]
    lefts = [Document(one.words[:at], one.gaps[: at + 1]).text for one, at in near]
    rights = [Document(one.words[at + 1 :], one.gaps[at + 1 :]).text for one, at in near]
    ids = tokenizer([*lefts, *rights], add_special_tokens=False, verbose=False)["input_ids"]
    half, rows, places = (max_length - 3) // 2, [], []
    for left, right in zip(ids[: len(masked)], ids[len(masked) :], strict=True):
        left = left[-half:]
        right = right[: max_length - 3 - len(left)]
        rows.append([tokenizer.cls_token_id, *left, tokenizer.mask_token_id, *right, tokenizer.sep_token_id])
        places.append(len(left) + 1)
    return rows, places
