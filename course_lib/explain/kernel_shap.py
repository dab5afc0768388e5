"""Shapley values by weighted regression on few coalitions, drawn in pairs by their leverage.

KernelSHAP fits a linear model whose coefficients are the Shapley values when every coalition is asked (Lundberg and Lee
2017, arXiv:1705.07874, theorem 2). Which to ask when that is too many: the leverage score of a coalition of s words is
1 / (n choose s), so each size gets as many as any other (Musco and Witter 2024, arXiv:2410.01917, lemma 3.2); each
coalition comes with its complement, and none twice. Sizes with fewer coalitions than that are asked in full. Efficiency
holds by construction: the regression is solved among values that sum to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, groupby

import numpy as np
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.game import Game, Job
from course_lib.explain.shapley import KIND, of_one_word
from course_lib.explain.words import Coalitions

_GROUPS = 10  # of the jackknife
_LISTED = 4096  # coalitions of one size that are listed rather than drawn
_ROWS = 1024  # pairs that enter the sums at once


@dataclass(frozen=True, eq=False)
class Pairs:
    """Coalitions to be asked together with their complements.

    Attributes:
        coalitions: (pairs, n), of 1 to n / 2 words each.
        weights: (pairs,), Shapley kernel over the share of its size that is asked.
        groups: (pairs,), part of the jackknife, -1 where all coalitions of the size are asked: those have no error.
    """

    coalitions: Coalitions
    weights: Floats
    groups: NDArray[np.int64]


def usual_samples(words: int) -> int:
    """Coalitions that a text is asked when nobody says: 16 a word, at least 128."""
    return max(128, 16 * words)


def draw_pairs(words: int, samples: int, random: np.random.Generator) -> Pairs:
    """Pairs for `samples` coalitions, of which the empty and the whole text are two.

    Raises:
        BadInput: fewer samples than unknowns, 2 n.
    """
    _check(samples, words)
    available = [_pairs_of_size(words, size) for size in range(1, words // 2 + 1)]
    wanted = _shares(words, available, (samples - 2) // 2)
    # One random offset rounds all shares: each is right on average, and their sum always.
    ends = np.floor(np.round(np.cumsum([0.0, *wanted]), 9) + random.random())
    parts, weights, groups, sampled = [], [], [], 0
    for size, (most, share) in enumerate(zip(available, wanted, strict=True), 1):
        count = int(ends[size] - ends[size - 1])
        drawn = _subsets(words, size, count, most, random)
        parts.append(drawn)
        # (n - 1) / (C(n, s) s (n - s)) a coalition, over the chance share / most to be asked. C(n, s) is beyond a float
        # for 1,024 words and more, but most / C(n, s) is not: 1, or 1 / 2 in the middle.
        part = most / math.comb(words, size)
        weights.append(np.full(count, (words - 1) * part / (size * (words - size)) / share if count else 0.0))
        dealt = -1 if share >= most else (random.permutation(count) + sampled) % _GROUPS
        groups.append(np.full(count, dealt))
        sampled += 0 if share >= most else count  # the next size goes on with the group after the last
    return Pairs(np.concatenate(parts), np.concatenate(weights), np.concatenate(groups))


def _check(samples: int, words: int) -> None:
    if samples < 2 * words:
        raise BadInput(f"samples is {samples} for a text of {words} words", f"use {2 * words} or more, or None")


def _pairs_of_size(words: int, size: int) -> int:
    whole = math.comb(words, size)
    return whole // 2 if 2 * size == words else whole


def _shares(words: int, available: list[int], pairs: int) -> list[float]:
    """Expected pairs of each size: as many of each, the middle one half, no more than there are, the rest passed on."""
    leverage = [0.5 if 2 * size == words else 1.0 for size in range(1, len(available) + 1)]
    shares, open_sizes, left = [0.0] * len(available), set(range(len(available))), float(pairs)
    while open_sizes:
        unit = left / sum(leverage[i] for i in open_sizes)
        full = {i for i in open_sizes if available[i] <= unit * leverage[i]}
        for i in full or open_sizes:
            shares[i] = float(available[i]) if full else unit * leverage[i]
            left -= shares[i]
        open_sizes -= full or open_sizes
    return shares


def _subsets(words: int, size: int, count: int, most: int, random: np.random.Generator) -> Coalitions:
    """`count` different coalitions of `size` words; of the middle size only those with word 0, one of each pair."""
    fixed = 2 * size == words
    rows = np.zeros((count, words), bool)
    if not count:
        return rows
    if most <= _LISTED:
        listed = np.array(list(combinations(range(fixed, words), size - fixed)), np.int64).reshape(most, -1)
        chosen = listed[random.choice(most, count, replace=False)]
    else:
        found: dict[bytes, NDArray[np.int64]] = {}
        while len(found) < count:
            for row in random.random((count - len(found), words - fixed)).argsort(1)[:, : size - fixed] + fixed:
                found.setdefault(np.sort(row).tobytes(), row)
        chosen = np.array(list(found.values()))
    np.put_along_axis(rows, chosen, True, 1)
    rows[:, 0] |= fixed
    return rows


def kernel_values(
    pairs: Pairs, values: Floats, complements: Floats, empty: float, full: float
) -> tuple[Floats, Floats]:
    """Shapley values (n,) and their standard errors (n,), the latter by a jackknife over groups of pairs.

    The errors are nan where the pairs without one group are too few to tell n values.

    With phi = (full - empty) / n + u the constraint is that u sums to 0. A coalition of s words asks for
    (z - s / n) u = v(S) - empty - s (full - empty) / n, and its complement for the same with the other sign.

    Args:
        pairs: what was asked.
        values: (pairs,), of the coalitions.
        complements: (pairs,), of their complements.
        empty: without any word.
        full: of the whole text.
    """
    n, share = pairs.coalitions.shape[1], (full - empty) / pairs.coalitions.shape[1]
    left = np.zeros((_GROUPS + 1, n, n))  # the last are the pairs without error
    right = np.zeros((_GROUPS + 1, n))
    for group in range(-1, _GROUPS):
        of = np.flatnonzero(pairs.groups == group)
        for part in np.split(of, range(_ROWS, len(of), _ROWS)):  # so that memory does not grow with the pairs
            size = pairs.coalitions[part].sum(1)
            rows = pairs.coalitions[part] - size[:, None] / n
            weighted = rows * pairs.weights[part, None]
            left[group] += 2 * weighted.T @ rows
            right[group] += weighted.T @ (values[part] - complements[part] - (2 * size - n) * share)
    found = share + _solve(left.sum(0), right.sum(0))[0]
    used = [group for group in range(_GROUPS) if (pairs.groups == group).any()]
    if len(used) < 2:
        return found, np.full(n, math.nan if used else 0.0)
    scale = len(used) / (len(used) - 1)
    drawn = left[:-1].sum(0), right[:-1].sum(0)
    fits = []
    for g in used:
        fit, rank = _solve(left[-1] + scale * (drawn[0] - left[g]), right[-1] + scale * (drawn[1] - right[g]))
        if rank < n - 1:
            return found, np.full(n, math.nan)
        fits.append(fit)
    again = np.array(fits)
    return found, np.asarray(np.sqrt(((again - again.mean(0)) ** 2).sum(0) / scale), np.float64)


def _solve(left: Floats, right: Floats) -> tuple[Floats, int]:
    """The shortest solution and the rank; it sums to 0, since all rows do, and the rank is at most n - 1."""
    solution, _, rank, _ = np.linalg.lstsq(left, right, rcond=1e-10)
    return np.asarray(solution, np.float64), int(rank)


def kernel_shap(game: Game, *, samples: int | None = None, seed: int = 0) -> list[Attribution]:
    """Shapley values of every text from few coalitions; exact where `samples` reaches 2^n.

    The error is the largest standard error of a word's value. It is itself an estimate from ten groups of pairs, and
    nan (not known) where nine of them are too few to tell n values, as with 2 n samples.

    Args:
        game: classifier and texts.
        samples: coalitions asked of each text; `usual_samples` of its words when left out.
        seed: of the coalitions.

    Raises:
        BadInput: fewer samples than twice the words of a text.
    """
    for players in game.players if samples is not None else []:
        _check(samples or 0, len(players))
    empty = game.empty
    done: dict[int, Attribution] = {}
    drawn: dict[int, Pairs] = {}

    def jobs() -> Iterator[Job]:
        for text, players in enumerate(game.players):
            if len(players) > 1:
                asked = usual_samples(len(players)) if samples is None else samples
                pairs = drawn[text] = draw_pairs(len(players), asked, game.random(text, seed))
                yield from game.cut(text, pairs.coalitions)
                yield from game.cut(text, ~pairs.coalitions)

    for text, answers in groupby(game.answer(jobs()), key=lambda one: one[0]):
        values = np.concatenate([part for _, _, part in answers])
        pairs, half = drawn.pop(text), len(values) // 2
        scores, errors = kernel_values(pairs, values[:half], values[half:], empty[text], game.full[text])
        done[text] = game.attribution(text, scores, empty[text], "shap", errors.max(), KIND)
    return [done.get(i) or of_one_word(game, i, "shap") for i in range(len(game.texts))]
