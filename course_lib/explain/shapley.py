"""Shapley values of words: exact, or by regression on few coalitions.

A word's Shapley value is what it adds to the output, averaged over all orders in which the words could come (Shapley
1953; for models Lundberg and Lee 2017, arXiv:1705.07874). Values and `base_value`, the output without any word, sum to
the output of the whole text: that is efficiency.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from reprlib import repr as shortened

import numpy as np
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.masked_model import Coalitions, MaskedModel
from course_lib.explain.surrogates import Surrogate

MOST_WORDS = 12  # 4096 coalitions
_GROUPS = 10  # of the jackknife
_LISTED = 4096  # coalitions of one size that are listed rather than drawn
_FEWEST_PAIRS = 4  # a word, for a surrogate
_PAIRS_AT_ONCE = 1024  # that enter the sums
_KIND = "standard error"


# ---- exact -----------------------------------------------------------------------------------------------------


def all_coalitions(words: int) -> Coalitions:
    """(2^n, n), row number k keeps word i where bit i of k is 1."""
    return np.asarray(np.arange(2**words)[:, None] >> np.arange(words) & 1, np.bool_)


def shapley_values(table: Floats) -> Floats:
    """(n,), exact values from the output of every coalition, (2^n,) in the order of `all_coalitions`.

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S))     (Lundberg and Lee 2017, eq. 4)
    """
    n = _words(table)
    values = np.empty(n)
    coalitions = all_coalitions(n)
    sizes = coalitions.sum(1)
    weights = np.array([1 / (n * math.comb(n - 1, size)) for size in range(n)])
    for i in range(n):
        without = np.flatnonzero(~coalitions[:, i])
        values[i] = weights[sizes[without]] @ (table[without + 2**i] - table[without])
    return values


def _words(table: Floats) -> int:
    n = len(table).bit_length() - 1
    if table.shape != (2**n,):
        raise BadInput(f"a table of shape {table.shape}", "give the value of each of the 2^n coalitions")
    return n


def exact(model: MaskedModel) -> list[Attribution]:
    """Exact Shapley values of every text, from all 2^n coalitions. Their error is 0.

    Raises:
        BadInput: a text of more than 12 words.
    """
    return [model.attribution(text, shapley_values(table), table[0], "exact", 0.0, _KIND)
            for text, table in enumerate(_tables(model))]  # fmt: skip


def _tables(model: MaskedModel) -> list[Floats]:
    """For each text the output of every coalition, (2^n,)."""
    for one in model.texts:
        if len(one) > MOST_WORDS:
            raise BadInput(
                f"{shortened(one.text)} has {len(one)} words, so 2^{len(one)} coalitions",
                f"use the sampling method 'shap', or texts of at most {MOST_WORDS} words",
            )
    values = model.evaluate([all_coalitions(len(one))[:-1] for one in model.texts])
    return [np.append(rows, full) for rows, full in zip(values, model.full_outputs, strict=True)]


# ---- regression ------------------------------------------------------------------------------------------------

# KernelSHAP fits a linear model whose coefficients are the Shapley values when every coalition is evaluated (Lundberg
# and Lee 2017, theorem 2). Which of them to draw when that is too many: the leverage score of a coalition of s words is
# 1 / (n choose s), so each size gets as many as any other (Musco and Witter 2024, arXiv:2410.01917, lemma 3.2); each
# coalition comes with its complement, and none twice. Sizes with fewer coalitions than that are taken in full.
# Efficiency holds by construction: the regression is solved among values that sum to it.


@dataclass(frozen=True, eq=False)
class Pairs:
    """Coalitions to be evaluated together with their complements.

    Attributes:
        coalitions: (pairs, n), of 1 to n / 2 words each.
        weights: (pairs,), Shapley kernel over the fraction of its size that is drawn.
        groups: (pairs,), part of the jackknife, -1 where all coalitions of the size are drawn: those have no error.
        fractions: (pairs,), expected fraction of the pairs of its size that is drawn.
    """

    coalitions: Coalitions
    weights: Floats
    groups: NDArray[np.int64]
    fractions: Floats


def usual_samples(words: int) -> int:
    """Coalitions of a text by default: 16 a word, at least 128."""
    return max(128, 16 * words)


def draw_pairs(words: int, samples: int, random: np.random.Generator) -> Pairs:
    """Pairs for `samples` coalitions, of which the empty and the whole text are two.

    Raises:
        BadInput: fewer samples than unknowns, 2 n.
    """
    _check_samples(samples, words)
    available = [_pairs_of_size(words, size) for size in range(1, words // 2 + 1)]
    wanted = _expected_pairs(words, available, (samples - 2) // 2)
    # One random offset rounds all numbers: each is right on average, and their sum always.
    ends = np.floor(np.round(np.cumsum([0.0, *wanted]), 9) + random.random())
    parts, sampled = [np.empty((0, words), bool)], 0
    weights, groups, fractions = [np.empty(0)], [np.empty(0)], [np.empty(0)]
    for size, (most, expected) in enumerate(zip(available, wanted, strict=True), 1):
        count = int(ends[size] - ends[size - 1])
        drawn = _subsets(words, size, count, most, random)
        parts.append(drawn)
        # (n - 1) / (C(n, s) s (n - s)) a coalition, over the chance expected / most to be drawn. C(n, s) is too large
        # for a float from 1,024 words on, but most / C(n, s) is not: 1, or 1 / 2 in the middle.
        part = most / math.comb(words, size)
        weights.append(np.full(count, (words - 1) * part / (size * (words - size)) / expected if count else 0.0))
        group = -1 if expected >= most else (random.permutation(count) + sampled) % _GROUPS
        groups.append(np.full(count, group))
        fractions.append(np.full(count, expected / most if most < 2**64 else 0.0))  # more are too large for a float
        sampled += 0 if expected >= most else count  # the next size begins with the group after the last
    return Pairs(
        np.concatenate(parts),
        np.concatenate(weights),
        np.concatenate(groups).astype(np.int64),
        np.concatenate(fractions),
    )


def _check_samples(samples: int, words: int) -> None:
    if samples < 2 * words:
        raise BadInput(f"samples is {samples} for a text of {words} words", f"use {2 * words} or more, or None")


def _pairs_of_size(words: int, size: int) -> int:
    whole = math.comb(words, size)
    return whole // 2 if 2 * size == words else whole


def _expected_pairs(words: int, available: list[int], pairs: int) -> list[float]:
    """Expected pairs of each size: as many of each, the middle one half, no more than there are, the rest passed on."""
    leverage = [0.5 if 2 * size == words else 1.0 for size in range(1, len(available) + 1)]
    expected, open_sizes, left = [0.0] * len(available), set(range(len(available))), float(pairs)
    while open_sizes:
        unit = left / sum(leverage[i] for i in open_sizes)
        full = {i for i in open_sizes if available[i] <= unit * leverage[i]}
        for i in full or open_sizes:
            expected[i] = float(available[i]) if full else unit * leverage[i]
            left -= expected[i]
        open_sizes -= full or open_sizes
    return expected


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

    With phi = (full - empty) / n + u the constraint is that u sums to 0. A coalition of s words gives the
    equation (z - s / n) u = v(S) - empty - s (full - empty) / n, and its complement the same with the other sign.

    Args:
        pairs: the coalitions.
        values: (pairs,), the outputs for them.
        complements: (pairs,), for their complements.
        empty: without any word.
        full: of the whole text.
    """
    n = pairs.coalitions.shape[1]
    if n < 2:  # one word did it all
        return np.full(n, full - empty), np.zeros(n)
    mean = (full - empty) / n
    left = np.zeros((_GROUPS + 1, n, n))  # the last are the pairs without error
    right = np.zeros((_GROUPS + 1, n))
    for group in range(-1, _GROUPS):
        of = np.flatnonzero(pairs.groups == group)
        for part in np.split(
            of, range(_PAIRS_AT_ONCE, len(of), _PAIRS_AT_ONCE)
        ):  # so that memory does not grow with the pairs
            size = pairs.coalitions[part].sum(1)
            rows = pairs.coalitions[part] - size[:, None] / n
            weighted = rows * pairs.weights[part, None]
            left[group] += 2 * weighted.T @ rows
            right[group] += weighted.T @ (values[part] - complements[part] - (2 * size - n) * mean)
    found = mean + _solve(left.sum(0), right.sum(0))[0]
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


def kernel_shap(
    model: MaskedModel, *, samples: int | None = None, seed: int = 0, surrogate: bool = False
) -> list[Attribution]:
    """Shapley values of every text from few coalitions; exact where `samples` reaches 2^n.

    The error is the largest standard error of a word's value. It is itself an estimate from ten groups of pairs, and
    nan (not known) where nine of them are too few to tell n values, as with 2 n samples.

    Args:
        model: classifier and texts.
        samples: coalitions of each text; `usual_samples` of its words when left out.
        seed: of the coalitions.
        surrogate: takes the Shapley values of a Gaussian process that is fitted to the outputs, and adds those of what
            it leaves: the same expected values, and a smaller error, as about 1.5 times as many samples would give
            (see `surrogates` and tests/benchmarks). With fewer than 8 samples a word it changes nothing.

    Raises:
        BadInput: fewer samples than twice the words of a text.
    """
    for one in model.texts if samples is not None else []:
        _check_samples(samples or 0, len(one))
    drawn = [draw_pairs(len(one), samples or usual_samples(len(one)), model.random(text, seed))
             for text, one in enumerate(model.texts)]  # fmt: skip
    values = model.evaluate([pairs.coalitions for pairs in drawn])
    complements = model.evaluate([~pairs.coalitions for pairs in drawn])
    estimate = adjusted_values if surrogate else kernel_values
    found = []
    for text, (empty, full) in enumerate(zip(model.empty_outputs, model.full_outputs, strict=True)):
        scores, errors = estimate(drawn[text], values[text], complements[text], empty, full)
        found.append(model.attribution(text, scores, empty, "shap", errors.max(initial=0.0), _KIND))
    return found


def adjusted_values(
    pairs: Pairs, values: Floats, complements: Floats, empty: float, full: float
) -> tuple[Floats, Floats]:
    """Shapley values (n,) and their standard errors (n,): those of a surrogate plus `kernel_values` of what it leaves.

    Arguments as for `kernel_values`.
    """
    n = pairs.coalitions.shape[1]
    few = len(pairs.coalitions) < _FEWEST_PAIRS * n  # too few to fit anything
    if n < 2 or few or not (pairs.groups >= 0).any():
        return kernel_values(pairs, values, complements, empty, full)
    ends = np.stack([np.zeros(n, bool), np.ones(n, bool)])
    rows = np.concatenate([pairs.coalitions, ~pairs.coalitions, ends])
    groups = np.concatenate([pairs.groups, pairs.groups, [-1, -1]])
    outputs = np.concatenate([values, complements, [empty, full]])
    surrogate = Surrogate.fit(rows, outputs, groups)
    fractions = np.concatenate([pairs.fractions, pairs.fractions, [1, 1]])
    left = outputs - surrogate.predict_unseen(rows, fractions)
    own, others = np.split(left[:-2], 2)
    rest, errors = kernel_values(pairs, own, others, float(left[-2]), float(left[-1]))
    return surrogate.shapley_values() + rest, errors
