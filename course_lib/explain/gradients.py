"""Explanations from gradients with respect to token embeddings, summed from a word's pieces to the word.

Gradients live in the space of embeddings, in units of the output a unit of embedding. Each method multiplies them by a
difference of embeddings, and so gives scores in the output's unit.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats, relative_gap
from course_lib.explain.game import Game, check_seed
from course_lib.explain.pieces import Pieces, Shift, layer_of, slopes

BASELINES = ("pad", "mask", "zero")
RULES = ("gauss-legendre", "riemann")
_GAP = "completeness gap"
_ROUNDING = 1e-4


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
    game: Game,
    *,
    steps: int = 32,
    baseline: str = "pad",
    rule: str = "gauss-legendre",
    tolerance: float | None = 0.01,
    most_steps: int = 1024,
) -> list[Attribution]:
    """Integrated gradients of every text (Sundararajan et al. 2017, arXiv:1703.01365, eq. 1).

    (x - x') times the gradient's mean on the line from the baseline x' to the embeddings x. The scores sum to
    value - base_value, as far as the sum over steps is the integral; the error is the share that they miss.
    Words beyond the classifier's `max_length` tokens are not read and score 0; a warning says how many.

    Args:
        game: a `TextClassifier` and texts.
        steps: points of the line at first.
        baseline: what stands for each piece of a word: the `pad` token's embedding, the `mask` token's, or `zero`.
            Special tokens and punctuation stay.
        rule: `gauss-legendre`, or `riemann` for the middles of equal parts.
        tolerance: texts that miss a larger share are done again with twice the steps; None does nothing again.
        most_steps: never more than these.

    Raises:
        BadInput: a classifier without gradients, an unknown baseline or rule, fewer than 1 step.
    """
    away = _away(game, baseline)
    done: dict[int, Attribution] = {}
    waiting = np.arange(len(game.texts))
    while len(waiting):
        points, weights = quadrature(rule, steps)
        shift = _on_the_line(np.append(points, [0.0, 1.0]), away)
        sums, outputs = _collected(game, waiting, shift, np.append(weights, [0.0, 0.0]), away)
        for text, scores, row in zip(waiting.tolist(), sums, outputs, strict=True):
            done[text] = _completed(game, text, scores, row[-1], row[-2], "ig")
        steps *= 2
        again = tolerance is not None and steps <= most_steps
        waiting = np.array([i for i in waiting.tolist() if again and _misses(done[i], tolerance or 0.0)], np.int64)
    return [done[i] for i in range(len(game.texts))]


def _on_the_line(alphas: Floats, away: Shift) -> Shift:
    """Job number k is at the share alphas[k mod their number] of the way from the baseline to the text."""

    def shift(jobs: NDArray[np.int64], ids: Tensor, embeddings: Tensor, movable: Tensor) -> Tensor:
        alpha = torch.from_numpy(alphas[jobs % len(alphas)]).to(embeddings)[:, None, None]
        return (1 - alpha) * away(jobs, ids, embeddings, movable)

    return shift


def _misses(found: Attribution, tolerance: float) -> bool:
    """Whether too much is missed; a gap that float32 alone can make does not count."""
    return found.error > tolerance and found.error * abs(found.value - found.base_value) > _ROUNDING


def gradient_x_input(game: Game) -> list[Attribution]:
    """Each word's embedding times the gradient at the text (Shrikumar et al. 2016, arXiv:1605.01713).

    The first-order guess at what the word adds to no embedding at all. The error is the share of value - base_value
    that the scores miss, where base_value is the output with all words' embeddings at 0.

    Raises:
        BadInput: a classifier without gradients.
    """
    away = _away(game, "zero")

    def shift(jobs: NDArray[np.int64], ids: Tensor, embeddings: Tensor, movable: Tensor) -> Tensor:
        at_zero = torch.from_numpy(jobs % 2 == 0).to(embeddings)[:, None, None]
        return at_zero * away(jobs, ids, embeddings, movable)

    sums, outputs = _collected(game, np.arange(len(game.texts)), shift, np.array([0.0, 1.0]), away)
    return [_completed(game, text, scores, row[1], row[0], "gradient")
            for text, (scores, row) in enumerate(zip(sums, outputs, strict=True))]  # fmt: skip


def smoothgrad(game: Game, *, samples: int = 32, seed: int = 0, noise: float = 0.15) -> list[Attribution]:
    """Gradient x input with the gradient averaged over noisy embeddings (Smilkov et al. 2017, arXiv:1706.03825, eq. 2).

    The error is the largest standard error of a score. `base_value` is the output with all words' embeddings at 0.

    Args:
        game: a `TextClassifier` and texts.
        samples: noisy copies of a text.
        seed: of the noise.
        noise: standard deviation, as a share of the largest less the smallest number in the words' embeddings.

    Raises:
        BadInput: a classifier without gradients, fewer than 2 samples, noise below 0.
    """
    if samples < 2:
        raise BadInput(f"samples is {samples}", "use 2 or more; 32 is usual")
    if not (math.isfinite(noise) and noise >= 0):
        raise BadInput(f"noise is {noise}", "use a number from 0 on; 0.15 is usual")
    check_seed(seed)
    away, draws = _away(game, "zero"), samples + 1

    def shift(jobs: NDArray[np.int64], ids: Tensor, embeddings: Tensor, movable: Tensor) -> Tensor:
        delta = away(jobs, ids, embeddings, movable)
        for row, job in enumerate(jobs):
            if job % draws == samples:
                continue
            here = movable[row, :, 0] > 0
            words = embeddings[row, here]  # (pieces, hidden)
            delta[row] = 0
            if len(words):
                drawn = _noise(game.texts[job // draws], int(job % draws), seed, words.shape).to(words)
                delta[row, here] = noise * (words.max() - words.min()) * drawn
        return delta

    pieces = Pieces.of(game)
    single = [np.zeros((samples, len(one))) for one in game.players]
    base = np.zeros(len(game.texts))
    for point in slopes(pieces, np.repeat(np.arange(len(game.texts)), draws), shift):
        tokens = (point.gradient * point.embeddings).sum(-1).cpu().numpy()
        for row, job in enumerate(point.jobs):
            text, draw = divmod(int(job), draws)
            if draw == samples:
                base[text] = point.outputs[row]
            else:
                single[text][draw] = pieces.by_word(text, tokens[row])
    game.queries += draws
    errors = [(one.std(0, ddof=1) / math.sqrt(samples)).max(initial=0.0) for one in single]
    return [game.attribution(i, one.mean(0), base[i], "smoothgrad", errors[i], "standard error")
            for i, one in enumerate(single)]  # fmt: skip


def _noise(text: str, draw: int, seed: int, shape: tuple[int, ...]) -> Tensor:
    """Normal numbers that depend on seed, draw and text alone."""
    digest = hashlib.sha256(f"{seed}:{draw}:{text}".encode("utf-8", "surrogatepass")).digest()
    return torch.randn(shape, generator=torch.Generator().manual_seed(int.from_bytes(digest[:7], "big")))


def _away(game: Game, baseline: str) -> Shift:
    """Baseline less embeddings, for the tokens that may move."""
    if baseline not in BASELINES:
        raise BadInput(f"baseline is {baseline!r}", f"use one of {', '.join(BASELINES)}")
    tokenizer = getattr(game.classifier, "tokenizer_", None)
    name = None if baseline == "zero" or tokenizer is None else f"{baseline}_token_id"
    token = getattr(tokenizer, name) if name else None
    if name and token is None:
        raise BadInput(f"the tokenizer has no {baseline} token", "use baseline='zero'")

    def away(jobs: NDArray[np.int64], ids: Tensor, embeddings: Tensor, movable: Tensor) -> Tensor:
        there = 0.0 if token is None else layer_of(game)(torch.full_like(ids, token))
        return (there - embeddings) * movable

    return away


def _collected(
    game: Game, texts: NDArray[np.int64], shift: Shift, weights: Floats, away: Shift
) -> tuple[list[Floats], Floats]:
    """For some texts the words' sums of weight x gradient x (embedding - baseline), and the outputs at all points.

    Jobs are numbered text by text, len(weights) each; gives an array (words,) a text, and (texts, points).
    """
    pieces, points = Pieces.of(game), len(weights)
    sums = [np.zeros(len(game.players[text])) for text in texts]
    outputs = np.zeros((len(texts), points))
    kept: list[Tensor] = []

    def keep(jobs: NDArray[np.int64], ids: Tensor, embeddings: Tensor, movable: Tensor) -> Tensor:
        kept[:] = [away(jobs, ids, embeddings, movable)]
        return shift(jobs, ids, embeddings, movable)

    for point in slopes(pieces, np.repeat(texts, points), keep):
        tokens = -(point.gradient * kept[0]).double().sum(-1).cpu().numpy()  # (batch, seq)
        for row, job in enumerate(point.jobs):
            place, at = divmod(int(job), points)
            outputs[place, at] = point.outputs[row]
            if weights[at]:
                sums[place] += weights[at] * pieces.by_word(int(texts[place]), tokens[row])
    game.queries[texts] += points
    return sums, outputs


def _completed(game: Game, text: int, scores: Floats, full: float, base: float, method: str) -> Attribution:
    change = float(full - base)
    error = relative_gap(change - float(scores.sum()), change) if len(scores) else 0.0
    return game.attribution(text, scores, base, method, error, _GAP)
