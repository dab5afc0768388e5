"""Which words made the model predict what it predicts: Shapley values within a budget of predictions.

The same values as `course_lib.explain` computes, by the method that needs nothing but predictions: permutation sampling
(Castro et al. 2009, doi:10.1016/j.cor.2008.04.004) with each permutation also in reverse (Mitchell et al. 2022,
arXiv:2104.12199). Where the budget suffices for every subset of the words, the values are exact.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Probabilities = Callable[[Sequence[str]], Awaitable[NDArray[np.float64]]]  # of texts: (texts, classes)
_WORD = re.compile(r"\S+")
_ROWS_AT_ONCE = 16  # so that predictions of others come in between
_EXACT_WORDS = 6  # 6! = 720 permutations; those of more words would take longer than the model


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
    standard_error: float | None  # 0 if the value is exact, None if one pair of permutations was affordable


@dataclass(frozen=True)
class Explanation:
    """Shapley values of a text's words."""

    words: list[WordValue]
    base: float  # probability of the text without any word; base + the sum of the values is the probability
    probability: float
    rows: int  # predictions that it took
    column: int  # of the class that is explained: the predicted one


async def shapley_values(predict: Probabilities, text: str, budget: int, seed: int = 0) -> Explanation:
    """Explains the prediction of one text.

    Args:
        predict: gives the probabilities of each class for each of several texts.
        text: with at least one word.
        budget: most texts that are predicted, the text itself included.
        seed: of the permutations.

    Raises:
        TooManyWords: the budget does not suffice for one permutation.
    """
    spans = [match.span() for match in _WORD.finditer(text)]
    n = len(spans)
    if n + 1 > budget:
        raise TooManyWords(n)
    is_exact = n <= _EXACT_WORDS and 2**n <= budget
    orders = list(itertools.permutations(range(n))) if is_exact else _permutations(n, (budget - 2) // (n - 1), seed)
    coalitions = [[frozenset(order[:size]) for size in range(n + 1)] for order in orders]
    whole = frozenset(range(n))
    different = list(dict.fromkeys([whole, *itertools.chain.from_iterable(coalitions)]))
    found: list[NDArray[np.float64]] = []
    for start in range(0, len(different), _ROWS_AT_ONCE):
        found += list(await predict([_kept(text, spans, each) for each in different[start : start + _ROWS_AT_ONCE]]))
    column = int(found[0].argmax())
    values = {coalition: float(row[column]) for coalition, row in zip(different, found, strict=True)}
    gains = np.empty((len(orders), n))
    for row, (order, along) in enumerate(zip(orders, coalitions, strict=True)):
        gains[row, list(order)] = np.diff([values[coalition] for coalition in along])
    errors = [0.0] * n if is_exact else _standard_errors(gains)
    words = [
        WordValue(text[start:end], start, end, float(gain), error)
        for (start, end), gain, error in zip(spans, gains.mean(0), errors, strict=True)
    ]
    return Explanation(words, values[frozenset()], values[whole], len(different), column)


def _standard_errors(gains: NDArray[np.float64]) -> Sequence[float | None]:
    """Of the mean over pairs of a permutation and its reverse: (permutations, words) -> (words,)."""
    if len(gains) < 4:
        return [None] * gains.shape[1]
    pairs = gains.reshape(-1, 2, gains.shape[1]).mean(1)
    errors: list[float | None] = (pairs.std(0, ddof=1) / len(pairs) ** 0.5).tolist()
    return errors


def _permutations(n: int, count: int, seed: int) -> list[tuple[int, ...]]:
    """Random orders of n words, each followed by its reverse; one alone if more than one would be too many."""
    random = np.random.default_rng(seed)
    drawn = [tuple(random.permutation(n).tolist()) for _ in range(max(1, count // 2))]
    return [order for each in drawn for order in (each, each[::-1])] if count > 1 else drawn


def _kept(text: str, spans: Sequence[tuple[int, int]], coalition: frozenset[int]) -> str:
    return " ".join(text[start:end] for word, (start, end) in enumerate(spans) if word in coalition)
