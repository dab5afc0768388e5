"""Contextual augmentation: words that a masked language model expects, and that keep the label.

Kobayashi 2018 (arXiv:1805.06201) trains a language model that reads the label, too. Here the model stays as it is, and
a judge of the label is asked besides: by Bayes' rule p(word | context, label) is in proportion to
p(word | context) * p(label | text with the word).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from course_lib import machine
from course_lib.attacks.constraints import STOP_WORDS
from course_lib.attacks.document import Document
from course_lib.augmentation.counts import WordLabelCounts
from course_lib.augmentation.operation import changes, check_seed, check_share, stream
from course_lib.batching import check_texts, collate, sorted_batches
from course_lib.errors import BadInput
from course_lib.pretraining import LanguageModel

REACH = 60  # words before and behind a masked one that model and judge are shown
AT_ONCE = 512  # texts whose candidates are held in memory together


class Judge(Protocol):
    """Says how likely each label is: a `TextClassifier`, `WordLabelCounts`, any scikit-learn pipeline on texts."""

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, in the order of the columns."""
        ...

    def predict_proba(self, texts: Sequence[str]) -> NDArray[Any]:
        """(n, classes)."""
        ...


@dataclass
class Gap:
    """A word of a text that is to be replaced."""

    text: int
    position: int
    words: list[str] = field(default_factory=list)  # the candidates
    weights: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # not normalised


@dataclass(frozen=True)
class ContextualReplacement:
    """Words drawn from a masked language model stand in place of n = max(1, alpha * words) words, each masked alone.

    All masked words of 512 texts go through the model together, in rows of about equal length. Another batch may move
    a probability by 1e-6: once in some 100,000 words another word may be drawn.

    Args:
        model: a masked language model.
        judge: of the label; None asks the language model alone, which is as ready to write "bad" as "good".
        alpha: share of the words. Function words (`attacks.constraints.STOP_WORDS`) and numbers stay.
        top: the likeliest words that are drawn from.
        strength: exponent of the judge's probability; 1 is Bayes' rule, more is stricter.

    Raises:
        BadInput: a causal model, alpha not above 0 and at most 1, top under 1, a negative strength.
    """

    model: LanguageModel = field(repr=False)
    judge: Judge | None = field(default=None, repr=False)
    alpha: float = 0.15
    top: int = 10
    strength: float = 1.0

    def __post_init__(self) -> None:
        check_share("alpha", self.alpha)
        if self.model.model.encoder.causal:
            raise BadInput("the model is causal: it reads only what stands before a word", "use a masked one")
        if self.top < 1:
            raise BadInput(f"top is {self.top}", "use 1 or more words")
        if not 0 <= self.strength < np.inf:
            raise BadInput(f"strength is {self.strength}", "use 0 or more")

    def __call__(self, texts: Sequence[str], seed: int = 0, labels: Sequence[Any] | None = None) -> list[str]:
        """One rewrite of each text; see `Operation`.

        Args:
            texts: n strings.
            seed: another seed, other words.
            labels: to be kept; what the judge says of each text when left out.

        Raises:
            BadInput: a label that the judge does not know, and what `Operation` raises.
        """
        check_seed(seed)
        rows = check_texts(texts)
        columns = self._columns(rows, labels)
        parts = range(0, len(rows), AT_ONCE)
        return [new for at in parts for new in self._part(rows[at : at + AT_ONCE], columns[at : at + AT_ONCE], seed)]

    def _columns(self, texts: list[str], labels: Sequence[Any] | None) -> NDArray[np.int64]:
        """Where among the judge's classes each text's label stands."""
        if self.judge is None or not texts:
            return np.zeros(len(texts), np.int64)
        if labels is None:
            said: NDArray[np.int64] = np.asarray(self.judge.predict_proba(texts)).argmax(1)
            return said
        places = {label: place for place, label in enumerate(self.judge.classes_.tolist())}
        given = np.asarray(labels).tolist()
        if len(given) != len(texts) or not set(given) <= set(places):
            odd = sorted(map(repr, set(given) - set(places)))
            raise BadInput(
                f"{len(texts)} texts, {len(given)} labels, of which the judge does not know {', '.join(odd) or 'none'}",
                f"give one of {list(places)} for each text, or a judge that was fitted on these labels",
            )
        return np.array([places[label] for label in given], np.int64)

    def _part(self, texts: list[str], columns: NDArray[np.int64], seed: int) -> Iterator[str]:
        documents = [Document.of(text) for text in texts]
        draws = [stream("ContextualReplacement", seed, text) for text in texts]
        gaps = [
            Gap(text, position)
            for text, (document, draw) in enumerate(zip(documents, draws, strict=True))
            for position in self._positions(document, draw)
        ]
        self._fill(documents, gaps)
        self._judge(documents, gaps, columns)
        for gap in gaps:
            old = documents[gap.text].words[gap.position]
            new = draws[gap.text].choices(gap.words, gap.weights.tolist())[0]
            documents[gap.text] = documents[gap.text].replace(gap.position, in_case_of(old, new))
        return (document.text for document in documents)

    def _positions(self, document: Document, draw: random.Random) -> list[int]:
        open_to = [at for at, word in enumerate(document.words) if word.isalpha() and word.lower() not in STOP_WORDS]
        return draw.sample(open_to, min(len(open_to), changes(self.alpha, len(document.words)))) if open_to else []

    def _fill(self, documents: Sequence[Document], gaps: Sequence[Gap]) -> None:
        """Gives each gap its candidates and their p(word | context)."""
        model, tokenizer = self.model.model, self.model.tokenizer
        rows, places = masked_rows(documents, gaps, tokenizer, model.encoder.config.max_positions)
        vocabulary = whole_words(tokenizer)
        ids = torch.tensor(sorted(vocabulary), device=model.encoder.word_embeddings.device)
        for index in sorted_batches([len(row) for row in rows], machine.preset().predict_tokens):
            batch = collate(rows, index, tokenizer.pad_token_id).to(ids.device)
            with torch.inference_mode():
                hidden = model.encoder(batch.input_ids, batch.attention_mask)
                asked = hidden[torch.arange(len(index)), [places[row] for row in index]]
                shares = model.words(asked, model.encoder.word_embeddings)[:, ids].float().softmax(-1)
                best = shares.topk(min(self.top + 1, len(ids)))  # one more: the old word may be among them
            for row, words, weights in zip(index, ids[best.indices].tolist(), best.values.tolist(), strict=True):
                old = documents[gaps[row].text].words[gaps[row].position].lower()
                found = [(vocabulary[i], p) for i, p in zip(words, weights, strict=True) if vocabulary[i] != old]
                gaps[row].words = [word for word, _ in found[: self.top]]
                gaps[row].weights = np.array([p for _, p in found[: self.top]])

    def _judge(self, documents: Sequence[Document], gaps: Sequence[Gap], columns: NDArray[np.int64]) -> None:
        """Weighs each candidate with p(label | text with it), all of them asked in one call."""
        if self.judge is None or not gaps or not self.strength:
            return
        views = [
            view
            for gap in gaps
            for near, at in [neighbourhood(documents[gap.text], gap.position)]
            for view in (near.replace(at, in_case_of(near.words[at], word)).text for word in gap.words)
        ]
        answers, start = np.asarray(self.judge.predict_proba(views), np.float64), 0
        for gap in gaps:
            kept = answers[start : start + len(gap.words), columns[gap.text]]
            start += len(gap.words)
            if kept.any():  # a judge that gives every candidate 0 tells none of them from the others
                gap.weights = gap.weights * (kept / kept.max()) ** self.strength  # the best keeps its weight

    def __str__(self) -> str:
        judged = "not judged" if self.judge is None else f"judged by {type(self.judge).__name__}"
        return f"masked-model words for {self.alpha:.0%} of the words ({judged})"


def contextual(
    texts: Sequence[str], labels: ArrayLike, model: LanguageModel | str = "course", alpha: float = 0.15, top: int = 10
) -> ContextualReplacement:
    """Contextual replacement that needs no classifier: the words of these labelled texts are counted for a judge.

    Args:
        texts: the training texts.
        labels: of the texts.
        model: a masked language model, or the name of one.
        alpha: share of the words.
        top: the likeliest words that are drawn from.

    Raises:
        BadInput: what `WordLabelCounts.of` and `ContextualReplacement` raise.
        MissingAsset, CorruptAsset: the model cannot be had.
    """
    chosen = LanguageModel.from_pretrained(model) if isinstance(model, str) else model
    return ContextualReplacement(chosen, WordLabelCounts.of(texts, labels), alpha, top)


def neighbourhood(document: Document, position: int) -> tuple[Document, int]:
    """Up to `REACH` words around a position, and the position among them."""
    start, end = max(0, position - REACH), position + REACH + 1
    return Document(document.words[start:end], document.gaps[start : end + 1]), position - start


def in_case_of(old: str, new: str) -> str:
    """The new word with the capitals of the old one: Good -> Great, GOOD -> GREAT."""
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


def whole_words(tokenizer: Any) -> dict[int, str]:
    """Id -> word of the vocabulary's whole words that may stand in place of another: letters only, two or more."""
    return {
        number: word
        for word, number in tokenizer.get_vocab().items()
        if word.isalpha() and len(word) > 1 and word not in STOP_WORDS
    }


def masked_rows(
    documents: Sequence[Document], gaps: Sequence[Gap], tokenizer: Any, room: int
) -> tuple[list[list[int]], list[int]]:
    """For each gap a row of at most `room` token ids with one mask more, and where that mask stands."""
    near = [neighbourhood(documents[gap.text], gap.position) for gap in gaps]
    lefts = [Document(one.words[:at], one.gaps[: at + 1]).text for one, at in near]
    rights = [Document(one.words[at + 1 :], one.gaps[at + 1 :]).text for one, at in near]
    ids = tokenizer([*lefts, *rights], add_special_tokens=False, verbose=False)["input_ids"] if gaps else []
    half, rows, places = (room - 3) // 2, [], []
    for left, right in zip(ids[: len(gaps)], ids[len(gaps) :], strict=True):
        left = left[-half:]
        right = right[: room - 3 - len(left)]
        rows.append([tokenizer.cls_token_id, *left, tokenizer.mask_token_id, *right, tokenizer.sep_token_id])
        places.append(len(left) + 1)
    return rows, places
