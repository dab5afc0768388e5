"""Probabilities of texts: perplexity, and classification by prompt with its calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from torch import Tensor

from course_lib import machine
from course_lib.batching import check_texts, sorted_batches
from course_lib.errors import BadInput
from course_lib.generation.decoder import KVCache
from course_lib.generation.pretrained import CausalLM
from course_lib.text.classifiers import ProbabilityClassifierMixin, columns_of, predict_unique

Floats = NDArray[np.float64]
_TOKENS_AT_ONCE = 128  # of an answer: each has a score for every token of the vocabulary
_PIECE = 32  # tokens of a text: no more than a quantised decoder reads with its own products


def answer_log_probabilities(
    lm: CausalLM,
    contexts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    *,
    length_normalized: bool = False,
) -> Floats:
    """log P(answer | context) of each given answer after each context, in nats.

    What all contexts begin with is read once, and its keys and values are shared.

    Args:
        lm: the model.
        contexts: token ids of n > 0 contexts.
        answers: token ids of k > 0 answers.
        length_normalized: the mean over an answer's tokens instead of their sum, so that long answers are not at a
            disadvantage (Brown et al. 2020, arXiv:2005.14165, section 2.4).

    Returns:
        (n, k).

    Raises:
        BadInput: there is no context or no answer, one of them is empty, or they are longer than the model's positions.
    """
    starts, ends = lm.check_ids(contexts, "contexts"), lm.check_ids(answers, "answers")
    longest, room = max(map(len, starts)) + max(map(len, ends)), lm.model.config.max_positions
    if longest > room:
        raise BadInput(f"a context and an answer have {longest} tokens", f"this model reads {room}: shorten them")
    shared = _common_prefix(starts)
    prefix = _read(lm, starts[0][:shared]) if shared else None
    found = np.empty((len(starts), len(ends)))
    for batch in sorted_batches([len(row) for row in starts], machine.preset().predict_tokens):
        found[batch] = _score(lm, [starts[row][shared:] for row in batch.tolist()], ends, prefix)
    return found / [len(answer) for answer in ends] if length_normalized else found


def _common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """Tokens with which all rows begin; at least one token of each row is left."""
    shortest = min(map(len, rows)) - 1
    different = (at for at in range(shortest) if len({row[at] for row in rows}) > 1)
    return next(different, shortest)


def _read(lm: CausalLM, ids: Sequence[int]) -> KVCache:
    cache = lm.model.new_cache(1, len(ids))
    with torch.inference_mode():
        lm.model(torch.tensor([list(ids)], device=lm.device), cache=cache)
    return cache


@torch.inference_mode()
def _score(lm: CausalLM, contexts: list[list[int]], answers: Sequence[Sequence[int]], prefix: KVCache | None) -> Floats:
    """(contexts, answers): the contexts end at the same place, so that every answer continues all of them at once."""
    model, n = lm.model, len(contexts)
    ids, own_mask = lm.pad_left(contexts)
    extra = ids.shape[1] + max(map(len, answers))
    cache = prefix.repeated(n, extra) if prefix else model.new_cache(n, extra)
    mask = torch.cat([own_mask.new_ones(n, cache.length), own_mask], 1)  # (contexts, prefix and context)
    first = model.logits(model(ids, mask, cache)[:, -1]).log_softmax(-1)
    found = torch.stack([first[:, answer[0]] for answer in answers], 1)
    for column, answer in enumerate(answers):
        if len(answer) > 1:
            found[:, column] += _continued(lm, answer, mask, cache)
            cache.crop(mask.shape[1])
    return found.double().cpu().numpy()


def _continued(lm: CausalLM, answer: Sequence[int], mask: Tensor, cache: KVCache) -> Tensor:
    """(contexts,): log-probability of an answer's tokens after the first."""
    ids = torch.tensor([list(answer[:-1])], device=mask.device).expand(len(mask), -1)
    hidden = lm.model(ids, torch.cat([mask, torch.ones_like(ids)], 1), cache)
    targets = torch.tensor(answer[1:], device=mask.device).expand(len(mask), -1)
    total: Tensor = hidden.new_zeros(len(mask))
    for part, wanted in zip(hidden.split(_TOKENS_AT_ONCE, 1), targets.split(_TOKENS_AT_ONCE, 1), strict=True):
        total += lm.model.logits(part).log_softmax(-1).gather(-1, wanted[..., None])[..., 0].sum(1)
    return total


@torch.inference_mode()
def token_log_probabilities(lm: CausalLM, text: str, window: int = 512) -> Floats:
    """log P(token | those before it in its window) of every token of a text but the first, in nats.

    The text is read through the cache in pieces of 32 tokens, so that a quantised decoder uses its quantised products.

    Args:
        lm: the model.
        text: at least two tokens.
        window: predictions after which the context begins again.

    Raises:
        BadInput: a text of one token, or a window that is not from 1 to the model's positions.
    """
    ids, room = lm.encode(text), lm.model.config.max_positions
    if len(ids) < 2:
        raise BadInput(f"the text {text!r:.80} is one token", "give a longer one")
    if not isinstance(window, Integral) or not 1 <= window <= room:
        raise BadInput(f"window is {window!r}", f"use a whole number from 1 to {room}")
    found = []
    for start in range(0, len(ids) - 1, window):
        part = torch.tensor(ids[start : start + window + 1], device=lm.device)
        cache = lm.model.new_cache(1, len(part) - 1)
        for read, wanted in zip(part[:-1].split(_PIECE), part[1:].split(_PIECE), strict=True):
            scores = lm.model.logits(lm.model(read[None], cache=cache)[0]).log_softmax(-1)
            found.append(scores.gather(-1, wanted[:, None])[:, 0])
    return torch.cat(found).double().cpu().numpy()


def perplexity(lm: CausalLM, text: str, window: int = 512) -> float:
    """exp(-mean log-probability) of the tokens of a text; for the arguments see `token_log_probabilities`.

    A model that hesitates between so many equally likely tokens has this perplexity. It can be compared between models
    of the same tokenizer.
    """
    return float(np.exp(-token_log_probabilities(lm, text, window).mean()))


class PromptClassifier(ProbabilityClassifierMixin):
    """A classifier made of a prompt: it compares the probabilities of the answers, and trains nothing.

    Args:
        lm: the model.
        instruction: the user's message, with `{text}` where the text goes.
        answers: class -> the answer that means it.
        examples: (text, class) pairs that are shown before the text, as earlier turns of the conversation. None is
            zero-shot, some is few-shot (Brown et al. 2020).

    Attributes:
        scale: of the answers' log-probabilities, and
        bias: that is added to them, (classes,); 1 and 0 until `calibrate` sets them.

    Raises:
        BadInput: no `{text}` in the instruction, fewer than two answers, or an example of an unknown class.
    """

    def __init__(
        self,
        lm: CausalLM,
        instruction: str,
        answers: Mapping[Any, str],
        examples: Sequence[tuple[str, Any]] = (),
    ) -> None:
        if not isinstance(instruction, str) or "{text}" not in instruction:
            raise BadInput(f"the instruction is {instruction!r:.80}", "put {text} where the text goes")
        if not _are_answers(answers):
            raise BadInput(
                f"answers are {answers!r:.80}",
                'give at least two different ones, such as {0: "negative", 1: "positive"}',
            )
        if unknown := [label for _, label in examples if label not in answers]:
            raise BadInput(f"an example has the class {unknown[0]!r}", f"use some of {list(answers)}")
        self.lm, self.instruction, self.answers = lm, instruction, dict(answers)
        self.examples, self.scale, self.bias = list(examples), 1.0, np.zeros(len(answers))

    @property
    def classes_(self) -> NDArray[Any]:
        return np.asarray(pd.Index(list(self.answers), tupleize_cols=False))  # of objects where the types differ

    def messages(self, text: str) -> list[dict[str, str]]:
        """The conversation that the model reads."""
        turns = []
        for shown, label in self.examples:
            turns += [self._user(shown), {"role": "assistant", "content": self.answers[label]}]
        return [*turns, self._user(text)]

    def answer_scores(self, texts: Sequence[str]) -> Floats:
        """(n, classes): log P(answer | text) in nats, before any calibration."""

        def score(rows: list[str]) -> Floats:
            contexts = [self.lm.chat_ids(self.messages(text)) for text in rows]
            return answer_log_probabilities(self.lm, contexts, [self.lm.encode(a) for a in self.answers.values()])

        rows = check_texts(texts)
        if not rows:
            return np.empty((0, len(self.answers)))
        return np.asarray(predict_unique(score, rows), np.float64)

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._probabilities(self.answer_scores(texts))

    def calibrate(self, texts: Sequence[str], labels: ArrayLike | None = None) -> PromptClassifier:
        """Removes the model's preference for one of the answers, which the prompt causes and not the text.

        Without labels the mean log-odds over the texts is subtracted, which assumes balanced classes (Zhou et al. 2024,
        batch calibration, arXiv:2309.17249, on logits). With labels, a scale and a bias are fitted to them by logistic
        regression (Platt 1999).

        Args:
            texts: n > 1 texts, of validation or training data, never of the test part.
            labels: their classes.

        Returns:
            self.

        Raises:
            BadInput: fewer than two texts, or labels that are not classes of the prompt.
        """
        rows = check_texts(texts)
        if len(rows) < 2:
            raise BadInput(f"{len(rows)} texts to calibrate with", "give at least 20")
        columns = None if labels is None else columns_of(self.classes_, labels, len(rows))
        odds = log_softmax(self.answer_scores(rows), axis=1)
        if columns is None:
            self.scale, self.bias = 1.0, -odds.mean(0)
        else:
            self.scale, self.bias = _platt(odds, columns)
        return self

    def _user(self, text: str) -> dict[str, str]:
        return {"role": "user", "content": self.instruction.replace("{text}", text)}

    def _probabilities(self, scores: Floats) -> NDArray[np.float32]:
        rows = softmax(self.scale * log_softmax(scores, axis=1) + self.bias, axis=1) if len(scores) else scores
        return rows.astype(np.float32)


def _are_answers(answers: Any) -> bool:
    """At least two different texts by class."""
    texts = list(answers.values()) if isinstance(answers, Mapping) else []
    return len(set(texts)) == len(texts) > 1 and all(isinstance(text, str) and text.strip() for text in texts)


def _platt(odds: Floats, columns: NDArray[np.int64]) -> tuple[float, Floats]:
    """One scale for all classes and a bias for each, by maximum likelihood with a weak normal prior on all of them."""
    from scipy.optimize import minimize

    rows, classes = np.arange(len(odds)), odds.shape[1]

    def loss(values: Floats) -> float:
        return float(-log_softmax(values[0] * odds + values[1:], axis=1)[rows, columns].mean() + 1e-3 * values @ values)

    found = minimize(loss, np.r_[1.0, np.zeros(classes)]).x
    return float(found[0]), np.asarray(found[1:], np.float64)
