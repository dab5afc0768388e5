"""Occlusion: how far the output falls when one word is left out (Zeiler and Fergus 2014, arXiv:1311.2901)."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from course_lib.explain.attribution import Attribution, relative_gap
from course_lib.explain.game import Game

_KIND = "efficiency gap"


def occlusion(game: Game) -> list[Attribution]:
    """value - value without the word, for every word of every text; n + 2 queries.

    The scores need not sum to value - base_value: what two words do together is counted twice, what either alone would
    do not at all. The error says how much of value - base_value they miss.
    """
    empty = game.empty
    done: dict[int, Attribution] = {}
    jobs = (job for i, one in enumerate(game.players) for job in game.cut(i, ~np.eye(len(one), dtype=bool)))
    for text, answers in groupby(game.answer(jobs), key=lambda one: one[0]):
        scores = game.full[text] - np.concatenate([values for _, _, values in answers])
        change = float(game.full[text] - empty[text])
        error = relative_gap(change - float(scores.sum()), change)
        done[text] = game.attribution(text, scores, empty[text], "occlusion", error, _KIND)
    return [done.get(i) or game.nothing_to_say(i, "occlusion", _KIND) for i in range(len(game.texts))]
