"""Shapley values of words: exact for short texts, from random orders for longer ones, and of pairs of words.

A word's Shapley value is what it adds to the output, averaged over all orders in which the words could come (Shapley
1953; for models Lundberg and Lee 2017, arXiv:1705.07874). Values and `base_value`, the output without any word, sum to
the output of the whole text: that is efficiency.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from reprlib import repr as shortened

import numpy as np

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats, Word
from course_lib.explain.game import Game, Job
from course_lib.explain.words import Coalitions

MOST_WORDS = 12  # 4096 coalitions
FEWEST_PAIRS = 4  # of orders, from which an error is stated
KIND = "standard error"


@dataclass(frozen=True, eq=False)
class Interactions:
    """What pairs of words do together beyond what each does alone.

    Attributes:
        text: the whole.
        tokens: its n words.
        matrix: (n, n), symmetric, in the output's unit; the diagonal is 0.
        queries: different texts that the model was asked.
    """

    text: str
    tokens: tuple[Word, ...]
    matrix: Floats
    queries: int

    def top(self, k: int = 5) -> list[tuple[str, str, float]]:
        """The k pairs that interact most, whatever the sign."""
        rows, columns = np.triu_indices(len(self.tokens), 1)
        order = np.argsort(-np.abs(self.matrix[rows, columns]), kind="stable")[:k]
        return [(self.tokens[rows[i]].text, self.tokens[columns[i]].text, float(self.matrix[rows[i], columns[i]]))
                for i in order]  # fmt: skip


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


def interaction_values(table: Floats) -> Floats:
    """(n, n), the Shapley interaction index from the output of every coalition, (2^n,).

    I_ij = sum over S without i, j of |S|! (n - |S| - 2)! / (n - 1)! (v(S + ij) - v(S + i) - v(S + j) + v(S))
    (Grabisch and Roubens 1999; Lundberg et al. 2018, arXiv:1802.03888, eq. 4, who give each of a pair one half.)
    """
    n = _words(table)
    matrix = np.zeros((n, n))
    coalitions = all_coalitions(n)
    sizes = coalitions.sum(1)
    weights = np.array([1 / ((n - 1) * math.comb(n - 2, size)) for size in range(n - 1)])
    for i in range(n):
        for j in range(i):
            without = np.flatnonzero(~(coalitions[:, i] | coalitions[:, j]))
            both, left, right = (table[without + more] for more in (2**i + 2**j, 2**i, 2**j))
            matrix[i, j] = matrix[j, i] = weights[sizes[without]] @ (both - left - right + table[without])
    return matrix


def _words(table: Floats) -> int:
    n = len(table).bit_length() - 1
    if table.shape != (2**n,):
        raise BadInput(f"a table of shape {table.shape}", "give the value of each of the 2^n coalitions")
    return n


def exact(game: Game) -> list[Attribution]:
    """Exact Shapley values of every text, by asking for all 2^n coalitions. Their error is 0.

    Raises:
        BadInput: a text of more than 12 words.
    """
    found = [game.attribution(i, shapley_values(table), table[0], "exact", 0.0, KIND) if table.size > 1
             else game.nothing_to_say(i, "exact", KIND) for i, table in enumerate(_tables(game))]  # fmt: skip
    return found


def interactions(game: Game) -> list[Interactions]:
    """What pairs of words of every text do together, by asking for all 2^n coalitions.

    Raises:
        BadInput: a text of more than 12 words.
    """
    tables = _tables(game)
    return [Interactions(game.texts[i], game.players[i].words, interaction_values(table), int(game.queries[i]))
            for i, table in enumerate(tables)]  # fmt: skip


def _tables(game: Game) -> list[Floats]:
    """The value of every coalition of every text."""
    for players in game.players:
        if len(players) > MOST_WORDS:
            raise BadInput(
                f"{shortened(players.text)} has {len(players)} words, so 2^{len(players)} coalitions",
                f"use a sampling method ('shap' or 'permutation'), or texts of at most {MOST_WORDS} words",
            )
    tables = [np.full(2 ** len(one), float(whole)) for one, whole in zip(game.players, game.full, strict=True)]
    jobs = ((i, all_coalitions(len(one))[:-1]) for i, one in enumerate(game.players) if len(one))
    for text, _, values in game.answer(jobs):
        tables[text][:-1] = values
    return tables


def permutation(game: Game, *, samples: int | None = None, seed: int = 0) -> list[Attribution]:
    """Shapley values from random orders of the words, each also backwards (Mitchell et al. 2022, arXiv:2104.12199).

    An order and its reverse together are exact where no more than two words work together. The error is the largest
    standard error of a word's value, from the spread over pairs of orders. It is nan (not known) for fewer than 4
    pairs, which may agree by chance.

    Args:
        game: classifier and texts.
        samples: coalitions asked of each text; 10 pairs of orders when left out: 20 (n - 1) + 2.
        seed: of the orders.

    Raises:
        BadInput: too few samples for two pairs of orders of a text's words: 4 (n - 1) + 2.
    """
    pairs = [_pairs(len(one), samples) for one in game.players]
    empty = game.empty
    done: dict[int, Attribution] = {}
    for text, answers in groupby(game.answer(_order_jobs(game, pairs, seed)), key=lambda one: one[0]):
        drawn = np.array([_of_pair(found, values, empty[text], game.full[text]) for _, found, values in answers])
        error = drawn.std(0, ddof=1).max() / math.sqrt(len(drawn)) if len(drawn) >= FEWEST_PAIRS else math.nan
        done[text] = game.attribution(text, drawn.mean(0), empty[text], "permutation", error, KIND)
    return [done.get(i) or of_one_word(game, i, "permutation") for i in range(len(game.texts))]


def _pairs(words: int, samples: int | None) -> int:
    if samples is None or words < 2:
        return 10
    pairs = (samples - 2) // (2 * (words - 1))
    if pairs < 2:
        raise BadInput(
            f"samples is {samples} for a text of {words} words", f"use {4 * (words - 1) + 2} or more, or None"
        )
    return pairs


def _order_jobs(game: Game, pairs: list[int], seed: int) -> Iterator[Job]:
    for text, players in enumerate(game.players):
        n, random = len(players), game.random(text, seed)
        for _ in range(pairs[text] if n > 1 else 0):
            rank = random.permutation(n)
            forwards = rank[None] < np.arange(1, n)[:, None]  # (n - 1, n): the first 1, 2, ... words of the order
            yield text, np.concatenate([forwards, rank[None] >= np.arange(1, n)[:, None]])


def _of_pair(coalitions: Coalitions, values: Floats, empty: float, full: float) -> Floats:
    """(n,), the mean of what each word adds in an order and in its reverse."""
    n = coalitions.shape[1]
    rank = n - 1 - coalitions[: n - 1].sum(0)
    first = np.concatenate([[empty], values[: n - 1], [full]])
    last = np.concatenate([[full], values[n - 1 :], [empty]])  # without the first 0, 1, 2, ... words
    return np.asarray((np.diff(first)[rank] - np.diff(last)[rank]) / 2, np.float64)


def of_one_word(game: Game, text: int, method: str) -> Attribution:
    """The values of a text of one word, which did it all, or of none."""
    if not len(game.players[text]):
        return game.nothing_to_say(text, method, KIND)
    base = game.empty[text]
    return game.attribution(text, np.array([game.full[text] - base]), base, method, 0.0, KIND)
