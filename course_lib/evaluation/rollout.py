"""Is a new version of a model at least as good, and how much traffic does it take to know?

A canary answers a fraction of the requests, so each version is measured on texts of its own (unpaired). A shadow
predicts the same texts as the stable version, and no user sees its predictions (paired). Accuracies need labels of the
texts, which usually come later and for a few; how often the versions agree needs none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from course_lib.errors import BadInput
from course_lib.evaluation.intervals import Interval, wilson_interval

POWER = 0.8  # probability that a difference counts as noticed
_Z = float(stats.norm.ppf(0.975))
_RESAMPLES = 10_000


def unpaired_difference(hits_a: int, n_a: int, hits_b: int, n_b: int) -> Interval:
    """95 % interval of the difference of two rates, a minus b, each measured on cases of its own.

    Newcombe 1998 (Statistics in Medicine 17:873), method 10: made of the two Wilson intervals, so that it stays honest
    where a rate is near 0 or 1 or the cases are few.

    Raises:
        BadInput: no cases, or more hits than cases.
    """
    a, b = wilson_interval(hits_a, n_a), wilson_interval(hits_b, n_b)
    difference = a.estimate - b.estimate
    below = math.hypot(a.estimate - a.low, b.high - b.estimate)
    above = math.hypot(a.high - a.estimate, b.estimate - b.low)
    return Interval(difference, difference - below, difference + above)


def paired_difference(only_a: int, only_b: int, n: int, seed: int = 0) -> Interval:
    """95 % interval of the difference of two accuracies on the same n texts, a minus b.

    The paired bootstrap of `paired_bootstrap`, computed from the counts (a multinomial draw in place of n rows), so
    that a million texts take no longer than a hundred.

    Args:
        only_a: texts that a alone predicts correctly.
        only_b: texts that b alone predicts correctly.
        n: all texts.
        seed: of the draws.

    Raises:
        BadInput: no texts, or counts that do not fit them.
    """
    if n < 1 or min(only_a, only_b) < 0 or only_a + only_b > n:
        raise BadInput(f"{only_a} and {only_b} of {n} texts", "pass counts that are not negative and fit into n")
    counts = np.random.default_rng(seed).multinomial(n, [only_a / n, only_b / n, 1 - (only_a + only_b) / n], _RESAMPLES)
    low, high = np.quantile((counts[:, 0] - counts[:, 1]) / n, [0.025, 0.975])
    return Interval((only_a - only_b) / n, float(low), float(high))


@dataclass(frozen=True)
class Rollout:
    """What a trial of a candidate is expected to show.

    Attributes:
        texts: that the candidate predicts during the trial.
        half_width: of the 95 % interval of the difference of the accuracies.
        hours_to_notice: until this difference is distinguished from 0 with probability `POWER`; infinite for 0.
        users_until_noticed: requests that the candidate has answered by then; 0 in a shadow.
    """

    texts: float
    half_width: float
    hours_to_notice: float
    users_until_noticed: float


def plan_rollout(
    both: float, only_stable: float, only_candidate: float, texts_per_hour: float, fraction: float, hours: float,
    mode: Literal["canary", "shadow"],
) -> Rollout:  # fmt: skip
    """Expected interval and time of a trial, by the normal approximation (Fleiss, Levin & Paik 2003, chapter 4).

    One look at the end of the trial is assumed. If you look every hour and stop at the first interval without 0, far
    more than 5 % of the trials of equally good versions end with a false alarm.

    Args:
        both: fraction of texts that both versions predict correctly.
        only_stable: fraction that only the stable version predicts correctly.
        only_candidate: fraction that only the candidate predicts correctly.
        texts_per_hour: of the service, all of them labelled.
        fraction: of them that the candidate gets, above 0 and below 1 (in a shadow also 1).
        hours: length of the trial.
        mode: "canary" or "shadow".

    Raises:
        BadInput: another mode, or a number outside its range.
    """
    rates = (both, only_stable, only_candidate)
    if not all(0 <= rate <= 1 for rate in rates) or sum(rates) > 1 + 1e-9:
        raise BadInput(f"the fractions {rates} do not fit", "pass fractions from 0 to 1 that sum to 1 at most")
    if mode not in ("canary", "shadow") or not 0 < fraction <= (1 if mode == "shadow" else 0.999):
        raise BadInput(f"mode {mode!r}, fraction {fraction}", "use canary or shadow, and a fraction above 0, below 1")
    if not (0 < texts_per_hour < math.inf and 0 < hours < math.inf):
        raise BadInput(f"{texts_per_hour} texts an hour for {hours} hours", "use numbers above 0")
    stable, candidate = both + only_stable, both + only_candidate
    difference, per_hour = candidate - stable, texts_per_hour * fraction
    if mode == "shadow":
        variance = only_stable + only_candidate - difference**2
    else:
        variance = candidate * (1 - candidate) + stable * (1 - stable) * fraction / (1 - fraction)
    variance = max(variance, 0.0)  # of the estimate, times the texts of the candidate
    half = _Z * math.sqrt(variance / (per_hour * hours))
    needed = (_Z + float(stats.norm.ppf(POWER))) ** 2 * variance / difference**2 if difference else math.inf
    return Rollout(per_hour * hours, half, needed / per_hour, needed if mode == "canary" else 0.0)
