"""LIME: a linear model that fits the classifier near one text (Ribeiro et al. 2016, arXiv:1602.04938).

The same numbers as the `lime` package gives on the same samples, without its loop over samples and for many texts at
once: a neighbourhood enters as sums, so that memory does not grow with its size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.game import Game, Job
from course_lib.explain.words import Coalitions


@dataclass(frozen=True, eq=False)
class LimeFit:
    """The local linear model: intercept, one coefficient a word, and its weighted R2."""

    intercept: float
    coefficients: Floats
    r2: float


class LocalModel:
    """Weighted ridge regression on coalitions, fed in parts.

    The penalty is on the coefficients alone, as in scikit-learn's `Ridge`, which the package uses.

    Args:
        words: n.
        reference: a number near the values, taken off before they are squared.
        width: of the kernel.
    """

    def __init__(self, words: int, reference: float = 0.0, width: float = 25.0) -> None:
        self.reference, self.width = reference, width
        self.products = np.zeros((words + 2, words + 2))  # of the columns 1, z_1 .. z_n, y

    def add(self, coalitions: Coalitions, values: Floats) -> None:
        """Samples: (rows, n) and the model's output for each (rows,)."""
        weights = kernel(coalitions, self.width)
        columns = np.column_stack([np.ones(len(values)), coalitions, values - self.reference])
        self.products += (columns * weights[:, None]).T @ columns

    def fit(self, alpha: float = 1.0) -> LimeFit:
        """The best model so far; alpha is the ridge penalty."""
        total, sums = self.products[0, 0], self.products[0, 1:]
        centred = self.products[1:, 1:] - np.outer(sums, sums) / total  # as Ridge: weighted means are taken off
        inner, outer, spread = centred[:-1, :-1], centred[:-1, -1], float(centred[-1, -1])
        coefficients = np.linalg.solve(inner + alpha * np.eye(len(outer)), outer)
        rest = spread - 2 * coefficients @ outer + coefficients @ inner @ coefficients
        intercept = self.reference + (sums[-1] - coefficients @ sums[:-1]) / total
        flat = spread <= 1e-14 * max(total, 1.0)  # a model that always says the same is explained by zeros
        return LimeFit(float(intercept), coefficients, 1.0 if flat else 1.0 - max(float(rest), 0.0) / spread)


def kernel(coalitions: Coalitions, width: float = 25.0) -> Floats:
    """(rows,), sqrt(exp(-d^2 / width^2)), d = 100 x the cosine distance from the whole text, as in the package."""
    kept, n = coalitions.sum(1), coalitions.shape[1]
    distance = 100 * (1 - np.sqrt(kept / max(n, 1)))
    return np.asarray(np.sqrt(np.exp(-(distance**2) / width**2)), np.float64)


def neighbours(words: int, rows: int, random: np.random.Generator) -> Coalitions:
    """(rows, words), as the package draws them: k words go, k evenly from 1 to all, any k of them alike."""
    gone = random.integers(1, words + 1, rows)
    order = random.random((rows, words)).argsort(1).argsort(1)  # each row a random order
    return np.asarray(order >= gone[:, None], np.bool_)


def lime(
    game: Game, *, samples: int = 1000, seed: int = 0, width: float = 25.0, alpha: float = 1.0
) -> list[Attribution]:
    """LIME of every text; its error is 1 - R2 of the local model, from 0 (it fits) to 1 (it says nothing).

    Args:
        game: classifier and texts.
        samples: perturbations of a text, the text itself among them.
        seed: of the perturbations.
        width: of the kernel, in hundredths of cosine distance.
        alpha: ridge penalty.

    Raises:
        BadInput: fewer than 2 samples, a width or penalty that is not above 0.
    """
    if samples < 2:
        raise BadInput(f"samples is {samples}", "use 2 or more; 1000 is usual")
    for name, number in (("width", width), ("alpha", alpha)):
        if not (math.isfinite(number) and number > 0):
            raise BadInput(f"{name} is {number}", "use a number above 0")
    done: dict[int, Attribution] = {}
    for text, answers in groupby(game.answer(_jobs(game, samples, seed)), key=lambda one: one[0]):
        words, whole = len(game.players[text]), game.full[text : text + 1]
        model = LocalModel(words, float(whole[0]), width)
        model.add(np.ones((1, words), bool), whole)
        for _, coalitions, values in answers:
            model.add(coalitions, values)
        found = model.fit(alpha)
        done[text] = game.attribution(text, found.coefficients, found.intercept, "lime", 1 - found.r2, "1 - R2")
    return [done.get(i) or game.nothing_to_say(i, "lime", "1 - R2") for i in range(len(game.texts))]


def _jobs(game: Game, samples: int, seed: int) -> Iterator[Job]:
    for text, players in enumerate(game.players):
        if not len(players):
            continue
        random, step = game.random(text, seed), game.rows_at_once(text)
        for start in range(1, samples, step):
            yield text, neighbours(len(players), min(step, samples - start), random)
