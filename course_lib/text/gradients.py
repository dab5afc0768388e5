"""The alignment of words with tokens, and gradients of a classifier's output with respect to token embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from course_lib import machine
from course_lib.batching import collate, sorted_batches, tokenizer_lock, without_empty_rows
from course_lib.errors import BadInput
from course_lib.text.modules import add_to_embeddings, inference_copy, input_embeddings


@dataclass(frozen=True, eq=False)
class WordTokens:
    """Which tokens of one text belong to which words, as k pairs.

    Attributes:
        tokens: (k,), a token of each pair.
        words: (k,), the word that it is part of.
        weights: (k,), 1, or 1/m for a token that covers m words.
    """

    tokens: NDArray[np.int64]
    words: NDArray[np.int64]
    weights: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class TokenAlignment:
    """Texts as a tokenizer splits them, aligned with their words.

    Attributes:
        ids: token ids of each text, special tokens included.
        pairs: of each text.
        ends: for each text, the character after the last one that was read.
        cut: for each text, whether it may have been cut at `max_length`.
    """

    ids: list[list[int]]
    pairs: list[WordTokens]
    ends: list[int]
    cut: list[bool]

    @classmethod
    def of(
        cls, tokenizer: Any, texts: Sequence[str], word_of_characters: Sequence[NDArray[np.int64]], max_length: int
    ) -> TokenAlignment:
        """Tokenizes the texts.

        Args:
            tokenizer: a fast one of transformers, of any family.
            texts: n strings.
            word_of_characters: for each text (characters + 1,), see `Document.word_of_characters`.
            max_length: tokens that the model reads.

        Raises:
            BadInput: a tokenizer that does not tell where its tokens are in the text.
        """
        if not getattr(tokenizer, "is_fast", False):
            raise BadInput(
                f"{type(tokenizer).__name__} does not tell where its tokens are in the text",
                "use a model whose tokenizer has a fast version (tokenizer.json)",
            )
        if not texts:
            return cls([], [], [], [])
        with tokenizer_lock:
            encoded = tokenizer(
                list(texts), truncation=True, max_length=max_length,
                return_attention_mask=False, return_offsets_mapping=True,
            )  # fmt: skip
        offsets = encoded["offset_mapping"]
        pairs = [_pairs(one.tolist(), places) for one, places in zip(word_of_characters, offsets, strict=True)]
        ends = [max((end for _, end in places), default=0) for places in offsets]
        ids = without_empty_rows(encoded["input_ids"], tokenizer)
        return cls(ids, pairs, ends, [len(places) >= max_length for places in offsets])

    def in_words(self, text: int) -> NDArray[np.bool_]:
        """(tokens,), whether each token of a text is part of a word; special tokens and punctuation are not."""
        inside = np.zeros(len(self.ids[text]), bool)
        inside[self.pairs[text].tokens] = True
        return inside

    def sum_by_word(self, text: int, values: NDArray[Any], n_words: int) -> NDArray[Any]:
        """(n_words, ...), the sum over each word's tokens; a token that covers m words adds 1/m to each.

        Args:
            text: number of the text.
            values: (tokens, ...) or longer, padded.
            n_words: of the text.
        """
        pairs, shape = self.pairs[text], (-1, *[1] * (values.ndim - 1))
        sums = np.zeros((n_words, *values.shape[1:]), values.dtype)
        np.add.at(sums, pairs.words, values[pairs.tokens] * pairs.weights.reshape(shape).astype(values.dtype))
        return sums


def _pairs(word_of_characters: list[int], offsets: Sequence[tuple[int, int]]) -> WordTokens:
    """A token belongs to all words that it has a character of; offsets are start and end of each token."""
    found = [
        (token, word, 1 / len(words))
        for token, (start, end) in enumerate(offsets)
        for words in [sorted({word for word in word_of_characters[start:end] if word >= 0})]
        for word in words
    ]
    tokens, words, weights = zip(*found, strict=True) if found else ((), (), ())
    return WordTokens(np.array(tokens, np.int64), np.array(words, np.int64), np.array(weights, np.float64))


@dataclass(frozen=True, eq=False)
class EmbeddingGradients:
    """A batch of rows at which the objective was differentiated.

    Attributes:
        rows: (batch,), their numbers.
        outputs: (batch,), the objective at each, in double precision.
        gradient: of the objective with respect to the token embeddings.
        embeddings: of the unshifted texts.
    """

    rows: NDArray[np.int64]
    outputs: NDArray[np.float64]
    gradient: Float[Tensor, "batch seq hidden"]
    embeddings: Float[Tensor, "batch seq hidden"]


# Logits (batch, classes) in double precision and row numbers (batch,) -> the objective (batch,).
Objective = Callable[[Tensor, NDArray[np.int64]], Tensor]
# Row numbers, token ids (batch, seq) and embeddings -> what is added to the embeddings (batch, seq, hidden).
Shift = Callable[[NDArray[np.int64], Tensor, Tensor], Tensor]


def check_differentiable(classifier: Any) -> None:
    """Raises BadInput unless the classifier has a torch module and a tokenizer."""
    if not (hasattr(classifier, "module_") and hasattr(classifier, "tokenizer_")):
        raise BadInput(
            f"a {type(classifier).__name__} has no gradients: it has no torch module",
            "use a TextClassifier, or a method that only needs predictions",
        )


def embedding_gradients(
    classifier: Any,
    ids: Sequence[Sequence[int]],
    objective: Objective,
    texts: NDArray[np.int64] | None = None,
    shift: Shift | None = None,
) -> Iterator[EmbeddingGradients]:
    """Gradients of an objective of the logits with respect to token embeddings, one backward pass a batch.

    The module itself is not touched: the passes run on an `inference_copy`, and many threads may call this at once.

    Args:
        classifier: a fitted `TextClassifier`.
        ids: token ids of each text.
        objective: such as `log_odds` of a class. Logits come in double precision: where the softmax of float32 is 1,
            its gradient is 0.
        texts: (rows,), which text each row is about; each text once when left out.
        shift: what is added to the embeddings of the rows; nothing when left out.

    Raises:
        BadInput: a classifier without gradients.
    """
    check_differentiable(classifier)
    module = inference_copy(classifier.module_)
    layer, texts = input_embeddings(module), np.arange(len(ids)) if texts is None else texts
    width = 1 if classifier.head == "regression" else len(classifier.classes_)
    pad_id = int(classifier.tokenizer_.pad_token_id or 0)
    for rows in sorted_batches([len(ids[text]) for text in texts], machine.preset().predict_tokens // 2):
        batch = collate(ids, texts[rows], pad_id).to(machine.device())
        with torch.no_grad():
            embeddings = layer(batch.input_ids)
            delta = torch.zeros_like(embeddings) if shift is None else shift(rows, batch.input_ids, embeddings)
        delta = delta.detach().requires_grad_()
        with torch.enable_grad(), add_to_embeddings(module, delta):
            logits = module(batch.input_ids, batch.attention_mask).double()[:, :width]
            outputs = objective(logits, rows)
            (gradient,) = torch.autograd.grad(outputs.sum(), delta)
        yield EmbeddingGradients(rows, outputs.detach().cpu().numpy(), gradient, embeddings)


def log_odds(logits: Float[Tensor, "batch classes"], columns: NDArray[np.int64]) -> Float[Tensor, "batch"]:
    """log p / (1 - p) of one class of each row: its logit less the log-sum-exp of the others'. Never saturates."""
    chosen = torch.from_numpy(columns).to(logits.device)[:, None]
    others = logits.scatter(1, chosen, -torch.inf).logsumexp(-1)
    return logits.gather(1, chosen)[:, 0] - others


def probability(logits: Float[Tensor, "batch classes"], columns: NDArray[np.int64]) -> Float[Tensor, "batch"]:
    """p of one class of each row."""
    chosen = torch.from_numpy(columns).to(logits.device)[:, None]
    return logits.softmax(-1).gather(1, chosen)[:, 0]
