"""Scores from masked texts: occlusion, and LIME, a linear model that fits the classifier near one text.

LIME (Ribeiro et al. 2016, arXiv:1602.04938) gives the same numbers as the `lime` package on the same samples, without
its loop over samples and for many texts at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats, relative_gap
from course_lib.explain.masked_model import Coalitions, MaskedModel
from course_lib.explain.surrogates import Surrogate

_USUAL = 1000  # samples
_OF_SURROGATE = 8192  # coalitions for which a surrogate is asked: they cost as much as a few queries of the model
_GROUPS = 10  # of the jackknife
_NUMBERS_AT_ONCE = 2**18  # of coalitions that are drawn or fitted: bounds memory


def occlusion(model: MaskedModel) -> list[Attribution]:
    """output - output without the word, for every word of every text (Zeiler and Fergus 2014, arXiv:1311.2901).

    n + 2 queries. The scores need not sum to value - base_value: what two words do together is counted twice, and what
    either of them would do alone is not counted. The error is the fraction of value - base_value that they miss.
    """
    found = []
    without = model.evaluate([~np.eye(len(one), dtype=bool) for one in model.texts])
    for text, (full, empty, values) in enumerate(zip(model.full_outputs, model.empty_outputs, without, strict=True)):
        error = relative_gap(full - empty - float((full - values).sum()), full - empty)
        found.append(model.attribution(text, full - values, empty, "occlusion", error, "efficiency gap"))
    return found


@dataclass(frozen=True, eq=False)
class LocalModel:
    """A local linear model: intercept, one coefficient for each word, and its weighted R2."""

    intercept: float
    coefficients: Floats
    r2: float


def kernel(coalitions: Coalitions, width: float = 25.0) -> Floats:
    """(rows,), sqrt(exp(-d^2 / width^2)), d = 100 x the cosine distance from the whole text, as in the package."""
    kept, n = coalitions.sum(1), coalitions.shape[1]
    distance = 100 * (1 - np.sqrt(kept / max(n, 1)))
    return np.asarray(np.sqrt(np.exp(-(distance**2) / width**2)), np.float64)


def fit_local_model(coalitions: Coalitions, values: Floats) -> LocalModel:
    """Ridge regression of the outputs on the coalitions, weighted by `kernel`, as in the package.

    The penalty is 1, on the coefficients alone, as in scikit-learn's `Ridge`. Rows enter as sums, in parts, so that no
    matrix of real numbers is as large as the coalitions.

    Args:
        coalitions: (rows, n).
        values: (rows,), the output for each.
    """
    reference = float(values[0])  # is subtracted before values are squared
    fit = _ridge(_sums(coalitions, values - reference, kernel))
    return replace(fit, intercept=fit.intercept + reference)


def _sums(coalitions: Coalitions, values: Floats, weigh: Callable[[Coalitions], Floats]) -> Floats:
    """(n + 2, n + 2), weighted sums of the products of the columns 1, z_1 .. z_n, y."""
    n = coalitions.shape[1]
    products = np.zeros((n + 2, n + 2))
    step = max(1, _NUMBERS_AT_ONCE // (n + 2))
    for start in range(0, len(values), step):
        part = coalitions[start : start + step]
        columns = np.column_stack([np.ones(len(part)), part, values[start : start + step]])
        products += (columns * weigh(part)[:, None]).T @ columns
    return products


def _ridge(products: Floats, penalty: float = 1.0) -> LocalModel:
    """The local model whose sums these are."""
    total, sums = products[0, 0], products[0, 1:]
    centred = products[1:, 1:] - np.outer(sums, sums) / total  # as Ridge: weighted means are subtracted
    inner, outer, spread = centred[:-1, :-1], centred[:-1, -1], float(centred[-1, -1])
    coefficients = np.linalg.solve(inner + penalty * np.eye(len(inner)), outer)
    residual = spread - 2 * coefficients @ outer + coefficients @ inner @ coefficients
    intercept = (sums[-1] - coefficients @ sums[:-1]) / total
    constant = spread <= 1e-14 * max(total, 1.0)  # zeros explain a model whose output is always the same
    return LocalModel(float(intercept), coefficients, 1.0 if constant else 1.0 - max(float(residual), 0.0) / spread)


def neighbours(words: int, rows: int, random: np.random.Generator) -> Coalitions:
    """(rows, words), as the package draws them: first the whole text; then k words go, k uniform from 1 to all, and
    any k of them are equally likely.
    """
    found = np.ones((rows, words), bool)
    step = max(1, _NUMBERS_AT_ONCE // max(1, words))
    for start in range(1, rows, step):
        part = found[start : start + step]
        removed = random.integers(1, words + 1, len(part))
        rank = random.random(part.shape).argsort(1).argsort(1)  # each row a random order
        part[:] = rank >= removed[:, None]
    return found


def lime(
    model: MaskedModel, *, samples: int | None = None, seed: int = 0, surrogate: bool = False
) -> list[Attribution]:
    """LIME of every text; its error is 1 - R2 of the local model, from 0 (it fits) to 1 (it explains nothing).

    Args:
        model: classifier and texts.
        samples: perturbations of a text, the text itself among them; 1,000 when left out, 250 with a surrogate.
        seed: of the perturbations.
        surrogate: takes the coefficients of a Gaussian process that is fitted to the outputs, and adds those of what it
            leaves (see `surrogates`). The scores estimate those of LIME with 1,000 samples, averaged over seeds; the
            error is the largest standard error of a score.

    Raises:
        BadInput: fewer than 2 samples, or than 20 with a surrogate.
    """
    samples = (_USUAL // 4 if surrogate else _USUAL) if samples is None else samples
    least = 2 * _GROUPS if surrogate else 2
    if samples < least:
        raise BadInput(f"samples is {samples}", f"use {least} or more; {_USUAL} is usual")
    return _adjusted_lime(model, samples, seed) if surrogate else _plain_lime(model, samples, seed)


def _plain_lime(model: MaskedModel, samples: int, seed: int) -> list[Attribution]:
    drawn = [neighbours(len(one), samples if len(one) else 0, model.random(text, seed))
             for text, one in enumerate(model.texts)]  # fmt: skip
    found = []
    for text, values in enumerate(model.evaluate([coalitions[1:] for coalitions in drawn])):
        fit = LocalModel(0.0, np.empty(0), 1.0)
        if len(values):
            fit = fit_local_model(drawn[text], np.append(model.full_outputs[text], values))
        found.append(model.attribution(text, fit.coefficients, fit.intercept, "lime", 1 - fit.r2, "1 - R2"))
    return found


# ---- with a surrogate ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Design:
    """How coalitions of a text of n words are drawn for LIME with a surrogate, and what they count.

    LIME draws the number of kept words uniformly and weighs it by its kernel. Here large and small numbers, which add
    little to the error, are drawn more rarely and count more (importance sampling), so that the expected sums are those
    of LIME.

    Attributes:
        drawn: (n + 1,), for each number of kept words its probability.
        counts: (n + 1,), what a coalition of that size counts; their expectation is the mean weight of LIME's samples.
    """

    drawn: Floats
    counts: Floats

    @classmethod
    def of(cls, words: int) -> Design:
        """For a text of n > 0 words."""
        share = np.full(words + 1, (1 - 1 / _USUAL) / words)
        share[-1] = 1 / _USUAL  # the whole text is the first of LIME's samples, and not drawn again
        wanted = share * kernel(np.tri(words + 1, words, -1, bool))
        kept = np.arange(words + 1)
        drawn = wanted * np.sqrt((words + 1 - kept) / (kept + 1))
        drawn /= drawn.sum()
        return cls(drawn, wanted / drawn)

    def draw(self, rows: int, random: np.random.Generator) -> Coalitions:
        """(rows, n): sizes spread evenly over their distribution, in a random order; the words of each at random."""
        words = len(self.drawn) - 1
        steps = (random.permutation(rows) + random.random()) / rows
        kept = np.searchsorted(np.cumsum(self.drawn), steps).clip(max=words)
        rank = random.random((rows, words)).argsort(1).argsort(1)
        return np.asarray(rank < kept[:, None], np.bool_)

    def fit(self, coalitions: Coalitions, values: Floats) -> tuple[Floats, Floats]:
        """Intercept and coefficients of LIME, (1 + n,), and their standard errors by a jackknife over ten groups."""
        rows = len(coalitions)
        sums = [_sums(coalitions[g::_GROUPS], values[g::_GROUPS], lambda part: self.counts[part.sum(1)])
                for g in range(_GROUPS)]  # fmt: skip

        def fitted(products: Floats, rows: int) -> Floats:
            fit = _ridge(products, rows / _USUAL)
            return np.append(fit.intercept, fit.coefficients)

        total = np.sum(sums, 0)
        sizes = [len(coalitions[g::_GROUPS]) for g in range(_GROUPS)]
        again = np.array([fitted(total - part, rows - size) for part, size in zip(sums, sizes, strict=True)])
        variance = (_GROUPS - 1) / _GROUPS * ((again - again.mean(0)) ** 2).sum(0)
        return fitted(total, rows), np.sqrt(variance)


def _adjusted_lime(model: MaskedModel, samples: int, seed: int) -> list[Attribution]:
    random = [model.random(text, seed) for text in range(len(model.texts))]
    designs = [Design.of(max(1, len(one))) for one in model.texts]
    drawn = [design.draw(samples, numbers) if len(one) else np.empty((0, 0), bool)
             for one, design, numbers in zip(model.texts, designs, random, strict=True)]  # fmt: skip
    found = []
    for text, values in enumerate(model.evaluate(drawn)):
        scores, errors = np.zeros(1), np.zeros(1)
        if len(values):
            bounded = model.output == "probability"
            surrogate = Surrogate.fit(drawn[text], values, np.arange(samples) % _GROUPS, bounded=bounded)
            many = designs[text].draw(_OF_SURROGATE, random[text])
            known, much = designs[text].fit(many, surrogate.predict(many))
            rest, little = designs[text].fit(drawn[text], values - surrogate.predict_unseen(drawn[text]))
            scores, errors = known + rest, np.hypot(much, little)
        error = errors[1:].max(initial=0.0)
        found.append(model.attribution(text, scores[1:], scores[0], "lime", error, "standard error"))
    return found
