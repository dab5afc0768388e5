"""Surrogates: functions of coalitions that are cheap to ask and near to the model's output.

LIME's coefficients and Shapley values are linear in the output. So they are those of a surrogate plus those of what it
leaves of the output, and only the second part needs queries of the model: the smaller it is, the fewer
(regression-adjusted Monte Carlo: Witter et al. 2025, arXiv:2506.11849; control variates: Owen 2013, Monte Carlo theory,
section 8.9). The surrogate here is a Gaussian process that is fitted to the queries of the text at hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from course_lib.explain.attribution import Floats
from course_lib.explain.masked_model import Coalitions

FOLDS = 5
_RANGE = 4.0  # the kernel falls to exp(-4) between the whole text and the empty one
_LINEAR = 10.0  # prior variance of intercept and coefficients, in units of that of the rest
_NOISE = 0.02  # variance of what no smooth function explains, in the same unit
_SMALLEST = 1e-4  # probability whose log-odds are told from those of smaller ones
_MOST_OBSERVED = 2048  # coalitions: their covariances are a matrix that is inverted
_AT_ONCE = 2048  # coalitions of one prediction, in float32: bounds memory
_MOST_NODES = 32  # of the quadrature


@dataclass(frozen=True, eq=False)
class CoalitionProcess:
    """The mean of a Gaussian process over coalitions, given some outputs.

    Its covariance is linear in the words, plus exp(-4 d): d is the part of the text in which two coalitions differ, and
    a word counts in proportion to the size of its coefficient in a linear fit (Rasmussen and Williams 2006, Gaussian
    processes for machine learning, section 5.1, where such lengths are fitted).

    Attributes:
        coalitions: (m, n), those that were observed.
        weights: (m,), of the covariances with them.
        lengths: (n,), what a word adds to 4 d.
    """

    coalitions: Coalitions
    weights: Floats
    lengths: Floats

    @classmethod
    def fit(cls, coalitions: Coalitions, values: Floats) -> CoalitionProcess:
        """Given the output, (m,), for each of some coalitions, (m, n); of more than 2,048 some evenly spread ones."""
        step = -(-len(values) // _MOST_OBSERVED)
        coalitions, values = coalitions[::step], values[::step]
        kept = coalitions.astype(np.float64)
        n = kept.shape[1]
        centred = kept - kept.mean(0)
        slopes = np.abs(np.linalg.solve(centred.T @ centred + np.eye(n), centred.T @ values))
        lengths = _RANGE * (slopes / slopes.sum() if slopes.sum() else np.full(n, 1 / n))
        covariance = _exponential(kept, kept, lengths) + _LINEAR * (1 + kept @ kept.T)
        covariance[np.diag_indices(len(kept))] += _NOISE
        weights = np.asarray(np.linalg.solve(covariance, values), np.float64)
        return cls(coalitions, weights, lengths)

    def predict(self, coalitions: Coalitions) -> Floats:
        """(rows,), the expected output for each coalition, (rows, n)."""
        seen, lengths, weights = (one.astype(np.float32) for one in (self.coalitions, self.lengths, self.weights))
        parts = np.split(coalitions.astype(np.float32), range(_AT_ONCE, len(coalitions), _AT_ONCE))
        rest = np.concatenate([_exponential(part, seen, lengths) @ weights for part in parts])
        linear = self.weights.sum() + coalitions @ (self.weights @ self.coalitions)
        found: Floats = rest + _LINEAR * linear
        return found

    def shapley_values(self) -> Floats:
        """(n,), exact for up to 63 words; beyond, the integral is approximated by 32 nodes.

        The value of word i is the integral over t of the derivative by word i where every word is kept with
        probability t (Owen 1972). The exponential is a product over words, so the integrand is a polynomial in t.
        """
        n = self.coalitions.shape[1]
        linear: Floats = _LINEAR * self.weights @ self.coalitions
        gone = np.exp(-self.lengths)
        present, absent = np.where(self.coalitions, 1.0, gone), np.where(self.coalitions, gone, 1.0)  # (m, n)
        nodes, shares = np.polynomial.legendre.leggauss(min(n // 2 + 1, _MOST_NODES))
        for node, share in zip((nodes + 1) / 2, shares / 2, strict=True):
            mixed = node * present + (1 - node) * absent
            others = np.exp(np.log(mixed).sum(1, keepdims=True)) / mixed
            linear = linear + share * (self.weights @ ((present - absent) * others))
        return linear


def _exponential(left: NDArray[Any], right: NDArray[Any], lengths: NDArray[Any]) -> NDArray[Any]:
    """(rows, others), exp(-4 d) of coalitions (rows, n) and (others, n) of ones and zeros."""
    weighted = right * lengths
    found = 2 * left @ weighted.T  # in place from here on: it may have millions of numbers
    found -= (left @ lengths)[:, None]
    found -= weighted.sum(1)
    np.exp(found, out=found)
    return np.asarray(found)


@dataclass(frozen=True, eq=False)
class Surrogate:
    """The mean of several processes, each fitted without one fold of the observed coalitions.

    Attributes:
        processes: one a fold.
        bounded: they describe log-odds of outputs between 0 and 1: a sum of words that saturates is then a plain sum.
        folds: (m,), in which fold each observed coalition is; -1 for one that all processes have seen.
    """

    processes: tuple[CoalitionProcess, ...]
    bounded: bool
    folds: NDArray[np.int64]

    @classmethod
    def fit(
        cls, coalitions: Coalitions, values: Floats, groups: NDArray[np.int64], *, bounded: bool = False
    ) -> Surrogate:
        """Fits one process a fold.

        Args:
            coalitions: (m, n).
            values: (m,), the output for each.
            groups: (m,), which coalitions leave together: fold k has the groups k, k + 5, ...; -1 never leaves.
            bounded: see the attribute.
        """
        folds = np.where(groups < 0, -1, groups % FOLDS)
        goals = logit(values.clip(_SMALLEST, 1 - _SMALLEST)) if bounded else values
        processes = [CoalitionProcess.fit(coalitions[folds != k], goals[folds != k]) for k in range(FOLDS)]
        return cls(tuple(processes), bounded, folds)

    def _each(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """(folds, rows), what each process expects."""
        said = np.stack([one.predict(coalitions) for one in self.processes])
        return expit(said) if self.bounded else said

    def predict(self, coalitions: Coalitions) -> Floats:
        """(rows,), the mean of what the processes expect of each coalition."""
        found: Floats = self._each(coalitions).mean(0)
        return found

    def predict_unseen(self, coalitions: Coalitions, fractions: Floats | float = 0.0) -> Floats:
        """(m,), for the observed coalitions, in their order, what the process that has not seen it expects.

        So no process flatters itself, and what it leaves of the output has the right mean. Where a notable part of all
        coalitions of a kind was observed, those that a process has not seen are not like all: the same part of the
        mean of all processes is mixed in.

        Args:
            coalitions: those that were observed.
            fractions: (m,), which part of all coalitions of its kind was drawn without replacement; 0 with replacement.
        """
        said = self._each(coalitions)
        unseen = said[self.folds, np.arange(len(self.folds))]  # of fold -1 any: its fraction is 1
        found: Floats = (1 - fractions) * unseen + fractions * said.mean(0)
        return found

    def shapley_values(self) -> Floats:
        """(n,), of `predict`; for surrogates that are not bounded."""
        found: Floats = np.mean([one.shapley_values() for one in self.processes], axis=0)
        return found
