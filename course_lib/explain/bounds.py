"""The best and the worst order in which the words of a text could be removed, by AOPC."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np

from course_lib.errors import BadInput
from course_lib.explain.attribution import Floats
from course_lib.explain.game import Game
from course_lib.explain.shapley import all_coalitions
from course_lib.explain.words import Coalitions

EXACT_WORDS = 8  # 256 coalitions


def aopc_bounds(game: Game, beam: int = 5) -> tuple[Floats, Floats]:
    """(texts,) and (texts,), the lowest and the highest AOPC of any order of each text's words.

    Exact for texts of up to 8 words. For longer ones a beam search, which finds orders that are nearly as good (Edin et
    al. 2024, arXiv:2408.08137, section 4.2); all texts take their steps together, in shared batches.

    Raises:
        BadInput: a beam below 1.
    """
    if beam < 1:
        raise BadInput(f"beam is {beam}", "use 1 or more")
    lowest, highest = np.zeros(len(game.texts)), np.zeros(len(game.texts))
    short = [i for i, one in enumerate(game.players) if 0 < len(one) <= EXACT_WORDS]
    for text, _, values in game.answer((i, all_coalitions(len(game.players[i]))) for i in short):
        least, most = _best_sums(values)
        n, full = len(game.players[text]), game.full[text]
        lowest[text], highest[text] = full - most / n, full - least / n
    long = [i for i, one in enumerate(game.players) if len(one) > EXACT_WORDS]
    for found, sign in ((highest, 1.0), (lowest, -1.0)):
        for text, fall in _searched(game, long, beam, sign).items():
            found[text] = fall
    return lowest, highest


def _best_sums(table: Floats) -> tuple[float, float]:
    """The least and the largest sum of outputs along any order of removal, from the output of every coalition.

    What comes after a coalition does not depend on how it was reached, so one pass over all of them is enough.
    """
    n = len(table).bit_length() - 1
    least, most = np.zeros(len(table)), np.zeros(len(table))  # of what is still to come from each coalition
    for kept in range(1, len(table)):
        after = [kept - 2**i for i in range(n) if kept >> i & 1]
        least[kept] = (table[after] + least[after]).min()
        most[kept] = (table[after] + most[after]).max()
    return float(least[-1]), float(most[-1])


@dataclass
class _Beam:
    """The coalitions that a text's best orders have come to, and the sum of falls on the way to each."""

    kept: Coalitions
    falls: Floats


def _searched(game: Game, texts: list[int], beam: int, sign: float) -> dict[int, float]:
    """The best AOPC found for each text: the highest for sign 1, the lowest for -1."""
    beams = {i: _Beam(np.ones((1, len(game.players[i])), bool), np.zeros(1)) for i in texts}
    for step in range(max((len(game.players[i]) for i in texts), default=0)):
        going = [i for i in texts if step < len(game.players[i])]
        jobs = (job for i in going for job in game.cut(i, _without_one(beams[i].kept)))
        for text, answers in groupby(game.answer(jobs), key=lambda one: one[0]):
            parts = list(answers)
            rows = np.concatenate([coalitions for _, coalitions, _ in parts])
            falls = game.full[text] - np.concatenate([values for _, _, values in parts])
            falls += np.repeat(beams[text].falls, len(rows) // len(beams[text].falls))
            beams[text] = _pruned(rows, falls, beam, sign)
    return {i: float((sign * one.falls).max() * sign) / len(game.players[i]) for i, one in beams.items()}


def _without_one(kept: Coalitions) -> Coalitions:
    """Every coalition less each of its words in turn."""
    rows, words = np.nonzero(kept)
    smaller = kept[rows].copy()
    smaller[np.arange(len(rows)), words] = False
    return smaller


def _pruned(rows: Coalitions, falls: Floats, beam: int, sign: float) -> _Beam:
    """The best ones; two orders that came to the same coalition count as one."""
    order = np.argsort(-sign * falls, kind="stable")
    first = {rows[i].tobytes(): i for i in reversed(order)}
    best = sorted(first.values(), key=lambda i: -sign * falls[i])[:beam]
    return _Beam(rows[best], falls[best])
