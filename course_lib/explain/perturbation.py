"""Scores from masked texts: occlusion, and LIME, a linear model that fits the classifier near one text.

LIME (Ribeiro et al. 2016, arXiv:1602.04938) gives the same numbers as the `lime` package on the same samples, without
its loop over samples and for many texts at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats, relative_gap
from course_lib.explain.masked_model import Coalitions, MaskedModel

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
    n = coalitions.shape[1]
    reference = float(values[0])  # is subtracted before values are squared
    products = np.zeros((n + 2, n + 2))  # of the columns 1, z_1 .. z_n, y
    step = max(1, _NUMBERS_AT_ONCE // (n + 2))
    for start in range(0, len(values), step):
        part, outputs = coalitions[start : start + step], values[start : start + step]
        columns = np.column_stack([np.ones(len(part)), part, outputs - reference])
        products += (columns * kernel(part)[:, None]).T @ columns
    total, sums = products[0, 0], products[0, 1:]
    centred = products[1:, 1:] - np.outer(sums, sums) / total  # as Ridge: weighted means are subtracted
    inner, outer, spread = centred[:-1, :-1], centred[:-1, -1], float(centred[-1, -1])
    coefficients = np.linalg.solve(inner + np.eye(n), outer)
    residual = spread - 2 * coefficients @ outer + coefficients @ inner @ coefficients
    intercept = reference + (sums[-1] - coefficients @ sums[:-1]) / total
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


def lime(model: MaskedModel, *, samples: int = 1000, seed: int = 0) -> list[Attribution]:
    """LIME of every text; its error is 1 - R2 of the local model, from 0 (it fits) to 1 (it explains nothing).

    Args:
        model: classifier and texts.
        samples: perturbations of a text, the text itself among them.
        seed: of the perturbations.

    Raises:
        BadInput: fewer than 2 samples.
    """
    if samples < 2:
        raise BadInput(f"samples is {samples}", "use 2 or more; 1000 is usual")
    drawn = [neighbours(len(one), samples if len(one) else 0, model.random(text, seed))
             for text, one in enumerate(model.texts)]  # fmt: skip
    found = []
    for text, values in enumerate(model.evaluate([coalitions[1:] for coalitions in drawn])):
        fit = LocalModel(0.0, np.empty(0), 1.0)
        if len(values):
            fit = fit_local_model(drawn[text], np.append(model.full_outputs[text], values))
        found.append(model.attribution(text, fit.coefficients, fit.intercept, "lime", 1 - fit.r2, "1 - R2"))
    return found
