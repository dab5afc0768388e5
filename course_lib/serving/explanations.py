"""Which words made the model predict what it predicts: Shapley values within a budget of predictions.

The same values as `course_lib.explain` computes, by the method that needs nothing but predictions: permutation sampling
(Castro et al. 2009, doi:10.1016/j.cor.2008.04.004) with each permutation also in reverse (Mitchell et al. 2022,
arXiv:2104.12199).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Value = Callable[[Sequence[str]], Awaitable[NDArray[np.float64]]]
_WORD = re.compile(r"\S+")
_ROWS_AT_ONCE = 16  # so that predictions of others come in between


class TooManyWords(Exception):
    """The text has more words than the budget allows."""

    def __init__(self, words: int) -> None:
        super().__init__(f"{words} words need a budget of {words + 1}")
        self.words = words


@dataclass(frozen=True)
class WordValue:
    """A word and what it contributes to the probability."""

    word: str
    start: int  # characters of the text, the end excluded
    end: int
    value: float
    standard_error: float | None  # None where one pair of permutations was affordable


@dataclass(frozen=True)
class Explanation:
    """Shapley values of a text's words."""

    words: list[WordValue]
    base: float  # probability of the text without any word; base + the sum of the values is the probability
    probability: float
    rows: int  # predictions that it took


async def shapley_values(value: Value, text: str, budget: int, seed: int = 0) -> Explanation:
    """Explains the prediction of one text.

    Args:
        value: gives the probability of the explained class for each of several texts.
        text: with at least one word.
        budget: most texts that are predicted.
        seed: of the permutations.

    Raises:
        TooManyWords: the budget does not suffice for one permutation.
    """
    spans = [match.span() for match in _WORD.finditer(text)]
    n = len(spans)
    if n + 1 > budget:
        raise TooManyWords(n)
    orders = _permutations(n, (budget - 2) // max(1, n - 1), seed)
    coalitions = [frozenset(order[:size]) for order in orders for size in range(n + 1)]
    different = list(dict.fromkeys(coalitions))
    found: list[float] = []
    for start in range(0, len(different), _ROWS_AT_ONCE):
        part = different[start : start + _ROWS_AT_ONCE]
        found += (await value([_kept(text, spans, coalition) for coalition in part])).tolist()
    values = dict(zip(different, found, strict=True))
    gains = np.empty((len(orders), n))
    for row, order in enumerate(orders):
        steps = np.diff([values[frozenset(order[:size])] for size in range(n + 1)])
        gains[row, order] = steps
    pairs = gains[: len(gains) // 2 * 2].reshape(-1, 2, n).mean(1)
    errors = pairs.std(0, ddof=1) / len(pairs) ** 0.5 if len(pairs) > 1 else [None] * n
    words = [
        WordValue(text[start:end], start, end, float(gain), None if error is None else float(error))
        for (start, end), gain, error in zip(spans, gains.mean(0), errors, strict=True)
    ]
    return Explanation(words, values[frozenset()], values[frozenset(range(n))], len(different))


def _permutations(n: int, count: int, seed: int) -> list[list[int]]:
    """So many orders of n words, at least one; each random one is followed by its reverse."""
    random, orders = np.random.default_rng(seed), list[list[int]]()
    while len(orders) < max(1, count if n > 1 else 1):
        order = random.permutation(n).tolist()
        orders += [order, order[::-1]]
    return orders[: max(1, count if n > 1 else 1)]


def _kept(text: str, spans: Sequence[tuple[int, int]], coalition: frozenset[int]) -> str:
    return " ".join(text[start:end] for word, (start, end) in enumerate(spans) if word in coalition)
