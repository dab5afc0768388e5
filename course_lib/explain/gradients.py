"""Explanations from gradients with respect to token embeddings, summed from a word's tokens to the word.

Gradients live in the space of embeddings, in units of the output per unit of embedding. Each method multiplies them by
a difference of embeddings, and so gives scores in the output's unit.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats, relative_gap
from course_lib.explain.masked_model import MaskedModel, check_seed
from course_lib.text.gradients import EmbeddingGradients, Shift, embedding_gradients, log_odds, probability
from course_lib.text.modules import input_embeddings

BASELINES = ("pad", "mask", "zero")
RULES = ("gauss-legendre", "riemann")
_ROUNDING = 1e-4

# Numbers of texts (batch,) and their embeddings (batch, seq, hidden) -> baseline less embeddings of the words' tokens.
_ToBaseline = Callable[[NDArray[np.int64], Tensor], Tensor]


def quadrature(rule: str, steps: int) -> tuple[Floats, Floats]:
    """Points in [0, 1] and their weights, (steps,) and (steps,); weights sum to 1.

    `riemann` takes the middle of equal parts; `gauss-legendre` is exact for polynomials of degree 2 steps - 1.

    Raises:
        BadInput: an unknown rule, or fewer than 1 step.
    """
    if rule not in RULES:
        raise BadInput(f"rule is {rule!r}", f"use one of {', '.join(RULES)}")
    if steps < 1:
        raise BadInput(f"steps is {steps}", "use 1 or more; 32 is usual")
    if rule == "riemann":
        return (np.arange(steps) + 0.5) / steps, np.full(steps, 1 / steps)
    points, weights = np.polynomial.legendre.leggauss(steps)
    return (points + 1) / 2, weights / 2


def integrated_gradients(
    model: MaskedModel,
    *,
    steps: int = 32,
    baseline: str = "pad",
    rule: str = "gauss-legendre",
    tolerance: float | None = 0.01,
    most_steps: int = 1024,
) -> list[Attribution]:
    """Integrated gradients of every text (Sundararajan et al. 2017, arXiv:1703.01365, eq. 1).

    (x - x') times the gradient's mean on the line from the baseline x' to the embeddings x. The scores sum to
    value - base_value, as far as the sum over steps is the integral; the error is the fraction that they miss. Words
    beyond the classifier's `max_length` tokens are not read and score 0.

    Args:
        model: a `TextClassifier` and texts.
        steps: points of the line at first.
        baseline: replaces each token of a word: the `pad` token's embedding, the `mask` token's, or `zero`, as in the
            paper. Special tokens and punctuation stay.
        rule: `gauss-legendre`, or `riemann` for the middles of equal parts.
        tolerance: texts that miss a larger fraction are repeated with twice the steps; None repeats nothing.
        most_steps: never more than these.

    Raises:
        BadInput: a classifier without gradients, an unknown baseline or rule, fewer than 1 step.
    """
    to_baseline = _to_baseline(model, baseline)
    done: dict[int, Attribution] = {}
    waiting = np.arange(len(model.texts))
    while len(waiting):
        points, weights = quadrature(rule, steps)
        alphas = np.append(points, [0.0, 1.0])  # job number k is at alphas[k mod their number]
        sums, outputs = _weighted(model, waiting, 1 - alphas, np.append(weights, [0.0, 0.0]), to_baseline)
        for text, scores, row in zip(waiting.tolist(), sums, outputs, strict=True):
            done[text] = _with_gap(model, text, scores, row[-1], row[-2], "ig")
        steps *= 2
        again = tolerance is not None and steps <= most_steps
        waiting = np.array([i for i in waiting.tolist() if again and _misses(done[i], tolerance or 0.0)], np.int64)
    return [done[i] for i in range(len(model.texts))]


def _misses(found: Attribution, tolerance: float) -> bool:
    """Whether too much is missed; a gap that float32 alone can make does not count."""
    return found.error > tolerance and found.error * abs(found.value - found.base_value) > _ROUNDING


def gradient_x_input(model: MaskedModel) -> list[Attribution]:
    """Each word's embedding times the gradient at the text (Shrikumar et al. 2016, arXiv:1605.01713).

    The first-order estimate of what the word adds to an embedding of 0. The error is the fraction of value - base_value
    that the scores miss, where base_value is the output with all words' embeddings at 0.

    Raises:
        BadInput: a classifier without gradients.
    """
    texts, to_zero = np.arange(len(model.texts)), _to_baseline(model, "zero")
    sums, outputs = _weighted(model, texts, np.array([1.0, 0.0]), np.array([0.0, 1.0]), to_zero)
    return [_with_gap(model, text, scores, row[1], row[0], "gradient")
            for text, (scores, row) in enumerate(zip(sums, outputs, strict=True))]  # fmt: skip


def _with_gap(model: MaskedModel, text: int, scores: Floats, full: float, base: float, method: str) -> Attribution:
    error = relative_gap(float(full - base - scores.sum()), float(full - base))
    return model.attribution(text, scores, base, method, error, "completeness gap")


def _weighted(
    model: MaskedModel, texts: NDArray[np.int64], distances: Floats, weights: Floats, to_baseline: _ToBaseline
) -> tuple[list[Floats], Floats]:
    """For some texts the words' sums of weight x gradient x (embedding - baseline), and the outputs at all points.

    Args:
        model: classifier and texts.
        texts: their numbers.
        distances: (points,), 0 at the text, 1 at the baseline.
        weights: (points,).
        to_baseline: from the embeddings.

    Returns:
        An array (words,) for each text, and (texts, points).
    """
    points = len(weights)
    sums = [np.zeros(len(model.texts[text])) for text in texts]
    outputs = np.zeros((len(texts), points))

    def shift(rows: NDArray[np.int64], _: Tensor, embeddings: Tensor) -> Tensor:
        distance = torch.from_numpy(distances[rows % points]).to(embeddings)[:, None, None]
        return distance * to_baseline(texts[rows // points], embeddings)

    for found in _gradients(model, np.repeat(texts, points), shift):
        difference = to_baseline(texts[found.rows // points], found.embeddings)
        tokens = -(found.gradient * difference).double().sum(-1).cpu().numpy()  # (batch, seq)
        for row, (place, at) in enumerate(zip(*np.divmod(found.rows, points), strict=True)):
            outputs[place, at] = found.outputs[row]
            if weights[at]:
                sums[place] += weights[at] * _by_word(model, int(texts[place]), tokens[row])
    model.queries[texts] += points
    return sums, outputs


def _gradients(model: MaskedModel, texts: NDArray[np.int64], shift: Shift) -> Iterator[EmbeddingGradients]:
    """Of the target's output with respect to the embeddings of each of these texts, shifted."""
    columns = model.columns[texts]
    pairs = None if model.foils is None else np.stack([columns, model.foils[texts]], 1)

    def objective(logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        if model.output == "probability":
            return probability(logits, columns[rows])
        if pairs is None:
            return log_odds(logits, columns[rows])
        return log_odds(logits.gather(1, torch.from_numpy(pairs[rows]).to(logits.device)), np.zeros_like(rows))

    return embedding_gradients(model.classifier, model.alignment.ids, objective, texts, shift)


def _by_word(model: MaskedModel, text: int, tokens: NDArray[np.floating]) -> Floats:
    """(n,), the sum of each word's tokens."""
    return model.alignment.sum_by_word(text, tokens.astype(np.float64), len(model.texts[text]))


def _in_words(model: MaskedModel, texts: NDArray[np.int64], embeddings: Tensor) -> Float[Tensor, "batch seq 1"]:
    """1 for tokens that are part of a word, else 0."""
    inside = np.zeros(embeddings.shape[:2], np.float32)
    for row, text in enumerate(texts.tolist()):
        tokens = model.alignment.in_words(text)
        inside[row, : len(tokens)] = tokens
    return torch.from_numpy(inside)[..., None].to(embeddings)


def _to_baseline(model: MaskedModel, baseline: str) -> _ToBaseline:
    """Baseline less embeddings, for the tokens of words; 0 for all others."""
    if baseline not in BASELINES:
        raise BadInput(f"baseline is {baseline!r}", f"use one of {', '.join(BASELINES)}")
    _ = model.alignment  # a classifier without gradients is refused here
    there: Tensor | float = 0.0
    if baseline != "zero":
        token = getattr(model.classifier.tokenizer_, f"{baseline}_token_id")
        if token is None:
            raise BadInput(f"the tokenizer has no {baseline} token", "use baseline='zero'")
        layer = input_embeddings(model.classifier.module_)
        with torch.no_grad():
            there = layer(torch.tensor(token, device=layer.weight.device))

    def to_baseline(texts: NDArray[np.int64], embeddings: Tensor) -> Tensor:
        reference = there if isinstance(there, float) else there.to(embeddings)
        return (reference - embeddings) * _in_words(model, texts, embeddings)

    return to_baseline


def smoothgrad(model: MaskedModel, *, samples: int = 32, seed: int = 0, noise: float = 0.15) -> list[Attribution]:
    """Gradient x input with the gradient averaged over noisy embeddings (Smilkov et al. 2017, arXiv:1706.03825, eq. 2).

    The error is the largest standard error of a score. `base_value` is the output with all words' embeddings at 0.

    Args:
        model: a `TextClassifier` and texts.
        samples: noisy copies of a text.
        seed: of the noise.
        noise: standard deviation, as a fraction of the largest less the smallest number in the words' embeddings.

    Raises:
        BadInput: a classifier without gradients, fewer than 2 samples, noise below 0.
    """
    if samples < 2:
        raise BadInput(f"samples is {samples}", "use 2 or more; 32 is usual")
    if not (math.isfinite(noise) and noise >= 0):
        raise BadInput(f"noise is {noise}", "use a number from 0 on; 0.15 is usual")
    check_seed(seed)
    to_zero, draws = _to_baseline(model, "zero"), samples + 1  # the last of each text is the baseline

    def shift(rows: NDArray[np.int64], _: Tensor, embeddings: Tensor) -> Tensor:
        inside = _in_words(model, rows // draws, embeddings)[..., 0] > 0
        delta = to_zero(rows // draws, embeddings)
        for at, (text, draw) in enumerate(zip(*np.divmod(rows, draws), strict=True)):
            words = embeddings[at, inside[at]]  # (tokens, hidden)
            if draw < samples and len(words):
                drawn = _noise(model.texts[text].text, int(draw), seed, words.shape).to(words)
                delta[at, inside[at]] = noise * (words.max() - words.min()) * drawn
        return delta

    single = [np.zeros((samples, len(one))) for one in model.texts]
    base = np.zeros(len(model.texts))
    for found in _gradients(model, np.repeat(np.arange(len(model.texts)), draws), shift):
        tokens = (found.gradient * found.embeddings).sum(-1).cpu().numpy()
        for at, (text, draw) in enumerate(zip(*np.divmod(found.rows, draws), strict=True)):
            if draw == samples:
                base[text] = found.outputs[at]
            else:
                single[text][draw] = _by_word(model, int(text), tokens[at])
    model.queries += draws
    errors = [(one.std(0, ddof=1) / math.sqrt(samples)).max(initial=0.0) for one in single]
    return [model.attribution(i, one.mean(0), base[i], "smoothgrad", errors[i], "standard error")
            for i, one in enumerate(single)]  # fmt: skip


def _noise(text: str, draw: int, seed: int, shape: tuple[int, ...]) -> Tensor:
    """Normal numbers that depend on seed, draw and text alone."""
    digest = hashlib.sha256(f"{seed}:{draw}:{text}".encode("utf-8", "surrogatepass")).digest()
    return torch.randn(shape, generator=torch.Generator().manual_seed(int.from_bytes(digest[:7], "big")))
