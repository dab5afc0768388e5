"""How far a measured number may be from the true one.

A test set is a sample. Another 2,000 sentences would have given another accuracy; an interval says how
different.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from course_lib.errors import BadInput
from course_lib.evaluation.inputs import numbers, same_length

_DRAWS_AT_ONCE = 2_000_000  # 16 MB of indices: bounds memory on large test sets


@dataclass(frozen=True)
class Interval:
    """An estimate and the range that holds the true value with the stated confidence.

    Attributes:
        estimate: the measured value, in the unit of what was measured.
        low: lower end.
        high: upper end.
    """

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def to_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


def bootstrap(values: ArrayLike, resamples: int = 2000, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean: draw n values with replacement, measure, repeat; keep the middle 95 %.

    Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13. With fewer than about 30 values,
    or where all of them are equal, it is too narrow: use `wilson_interval` for a rate of few sentences.

    Args:
        values: (n,) one number for each sentence, such as 1.0 for right and 0.0 for wrong.
        resamples: number of repeats; the ends of the interval wobble by about 1/sqrt(resamples).
        confidence: fraction of such intervals that hold the true value, in (0, 1).
        seed: makes the interval the same in every run.

    Raises:
        BadInput: no values, a value that is not finite, or a confidence outside (0, 1).
    """
    sample = numbers(values, "values")
    if not 0 < confidence < 1:
        raise BadInput(f"confidence is {confidence}", "pass a number between 0 and 1, such as 0.95")
    if resamples < 1:
        raise BadInput(f"resamples is {resamples}", "draw at least 1,000 resamples")
    draws = [sample[rows].mean(axis=1) for rows in _resampled_rows(len(sample), resamples, seed)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(draws), [tail, 1 - tail])
    return Interval(float(sample.mean()), float(low), float(high))


def paired_bootstrap(correct_a: ArrayLike, correct_b: ArrayLike) -> Interval:
    """95 % interval of mean(a) - mean(b), both measured on the same sentences.

    Drawing the sentences in pairs takes out what both models find hard, so it is narrower than two single
    intervals (Koehn 2004, Statistical significance tests for machine translation evaluation, EMNLP). If the
    interval holds 0, this test set does not tell the two models apart.

    Raises:
        BadInput: different lengths, nothing there, or a value that is not finite.
    """
    a, b = numbers(correct_a, "correct_a"), numbers(correct_b, "correct_b")
    same_length(len(a), b, "values in correct_b")
    return bootstrap(a - b)


def cluster_bootstrap(values: ArrayLike, groups: Sequence[Any], resamples: int = 2000, seed: int = 0) -> Interval:
    """95 % percentile bootstrap of the mean where rows come in groups of similar ones: whole groups are drawn.

    Patients of one hospital, or sentences of one template, tell less than as many unrelated rows, so `bootstrap` would
    give an interval that is too narrow (Field and Welsh 2007, Bootstrapping clustered data). It needs 30 groups.

    Args:
        values: (n,) one number for each row.
        groups: (n,) the group of each row.
        resamples: number of repeats.
        seed: makes the interval the same in every run.

    Raises:
        BadInput: different lengths, nothing there, a value that is not finite, or fewer than two groups.
    """
    sample = numbers(values, "values")
    same_length(len(sample), groups, "groups")
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    sums, counts = np.bincount(group, sample), np.bincount(group)
    if len(counts) < 2:
        raise BadInput("all rows are of one group", "give the group of each row, of at least two")
    draws = [
        sums[rows].sum(axis=1) / counts[rows].sum(axis=1) for rows in _resampled_rows(len(counts), resamples, seed)
    ]
    low, high = np.quantile(np.concatenate(draws), [0.025, 0.975])
    return Interval(float(sample.mean()), float(low), float(high))


def wilson_interval(hits: int, n: int) -> Interval:
    """95 % interval of a rate of few cases, by Wilson's score (Wilson 1927, JASA 22:209).

    Unlike the bootstrap it stays honest where all of ten sentences are right.

    Args:
        hits: how many of the cases count.
        n: how many cases there are, at least one.

    Raises:
        BadInput: no cases, or more hits than cases.
    """
    if not 0 <= hits <= n or n < 1:
        raise BadInput(f"{hits} hits out of {n} cases", "pass 0 <= hits <= n, and at least one case")
    found = stats.binomtest(int(hits), int(n)).proportion_ci(0.95, method="wilson")
    return Interval(hits / n, float(found.low), float(found.high))


def over_seeds(results: ArrayLike) -> Interval:
    """Mean of a few runs that differ only in their seed, with Student's 95 % interval of that mean.

    It says how much luck in training matters, and nothing about luck in the choice of test sentences.

    Args:
        results: (seeds,) the result of each run; at least two.

    Raises:
        BadInput: fewer than two results, or one that is not finite.
    """
    runs = numbers(results, "results", "one result for each seed")
    if len(runs) < 2:
        raise BadInput("there is 1 result: one run has no spread", "train with at least two seeds; five say more")
    half = stats.t.ppf(0.975, len(runs) - 1) * stats.sem(runs)
    return Interval(float(runs.mean()), float(runs.mean() - half), float(runs.mean() + half))


def _resampled_rows(n: int, resamples: int, seed: int) -> Iterator[np.ndarray[Any, np.dtype[np.int64]]]:
    """Row numbers drawn with replacement, (some, n) at a time."""
    draw = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, resamples, at_once):
        yield draw.integers(0, n, size=(min(at_once, resamples - start), n))
