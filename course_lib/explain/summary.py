"""What a model heeds in all: the scores of words, averaged over many explained texts (Ribeiro et al. 2016,
arXiv:1602.04938, section 4, ask for such a view of a whole data set).

A mean hides the cases: a word that speaks for a class here and against it there has a mean near 0 and a wide interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats

COLUMNS = ["class", "group", "word", "texts", "mean", "low", "high"]


def important_words(
    attributions: Sequence[Attribution],
    *,
    groups: ArrayLike | None = None,
    least: int = 5,
    top: int | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """The words that speak most for each class, from explanations of many texts.

    A text counts once for a word, with the mean score of the word's occurrences in it; capitals do not count. The
    interval is Student's t over texts, nan for a single text. Among many words some intervals miss 0 by luck: at 95 %
    one of twenty that mean nothing.

    Args:
        attributions: by one method, of one output.
        groups: one value a text, such as its corpus: words are then counted in each group apart.
        least: texts of a class, and of a group, that a word must stand in.
        top: at most so many words of each class, and group; all when left out.
        confidence: of the intervals, in (0, 1).

    Returns:
        A row a class, group and word, the largest mean of each class and group first: `class`, `group` (only with
        groups), `word`, `texts` (how many hold it), `mean` (in the output's unit), `low` and `high`.

    Raises:
        BadInput: explanations by several methods or of several outputs, groups of another number or missing ones,
            `least` or `top` below 1, a confidence outside (0, 1).
    """
    _check(attributions, least, top, confidence)
    keys = ["class", "word"] if groups is None else ["class", "group", "word"]
    rows = _rows(attributions, _groups(groups, len(attributions)))
    by_text = rows.groupby(["text", *keys], sort=False)["score"].mean().reset_index()
    table = by_text.groupby(keys)["score"].agg(["size", "mean", "std"]).reset_index()
    table = table[table["size"] >= least].rename(columns={"size": "texts"})
    half = _half_width(table["std"].to_numpy(float), table["texts"].to_numpy(), confidence)
    table = table.assign(low=table["mean"] - half, high=table["mean"] + half)
    order = [*keys[:-1], "mean", "word"]
    table = table.sort_values(order, ascending=[name != "mean" for name in order])
    if top is not None:
        table = table.groupby(keys[:-1], sort=False).head(top)
    return table[[name for name in COLUMNS if name in table]].reset_index(drop=True)


def _check(attributions: Sequence[Attribution], least: int, top: int | None, confidence: float) -> None:
    for what, values in (
        ("methods", {one.method for one in attributions}), ("outputs", {one.output for one in attributions})
    ):  # fmt: skip
        if len(values) > 1:
            raise BadInput(f"explanations of several {what}: {', '.join(sorted(values))}", "sum up one at a time")
    if least < 1:
        raise BadInput(f"least is {least}", "use 1 or more")
    if top is not None and top < 1:
        raise BadInput(f"top is {top}", "use 1 or more, or None for all")
    if not 0 < confidence < 1:
        raise BadInput(f"confidence is {confidence}", "use a share between 0 and 1, such as 0.95")


def _groups(groups: ArrayLike | None, n: int) -> list[Any]:
    if groups is None:
        return [None] * n
    values = list(np.asarray(groups))
    if len(values) != n:
        raise BadInput(f"{len(values)} groups for {n} explanations", "give one a text")
    missing = int(pd.isna(np.asarray(groups, object)).sum())
    if missing:
        raise BadInput(
            f"{missing} of {n} groups are missing (None or nan)", "give them a name, or leave out their texts"
        )
    return values


def _rows(attributions: Sequence[Attribution], groups: list[Any]) -> pd.DataFrame:
    """A row a word of every text."""
    rows = [(number, one.target, group, word.lower(), score)
            for number, (one, group) in enumerate(zip(attributions, groups, strict=True))
            for word, score in zip(one.words, one.scores.tolist(), strict=True)]  # fmt: skip
    return pd.DataFrame(rows, columns=["text", "class", "group", "word", "score"])


def _half_width(spread: Floats, counts: Any, confidence: float) -> Floats:
    """(words,), half of Student's interval of a mean; nan for a count of 1."""
    known = counts > 1
    width = np.full(len(counts), np.nan)
    quantile = stats.t.ppf((1 + confidence) / 2, counts[known] - 1)
    width[known] = quantile * spread[known] / np.sqrt(counts[known])
    return width
