"""Which words a model uses in all: the scores of words, averaged over many explained texts (Ribeiro et al. 2016,
arXiv:1602.04938, section 4, argue for such a view of a whole data set).

A mean hides the single case: a word that speaks for a class here and against it there has a mean near 0 and a wide
interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution


def important_words(attributions: Sequence[Attribution], *, least: int = 5) -> pd.DataFrame:
    """The words that speak most for each class, from explanations of many texts.

    A text counts once for a word, with the mean score of the word's occurrences in it; capitals do not count. The 95 %
    interval is Student's t over texts, nan for a single text. Among many words some intervals miss 0 by chance: one of
    twenty that mean nothing.

    Args:
        attributions: by one method, of one output.
        least: texts of a class that must hold a word.

    Returns:
        A row for each class and word, the largest mean of each class first: `class`, `word`, `texts` (how many hold
        it), `mean` (in the output's unit), `low` and `high`.

    Raises:
        BadInput: explanations by several methods or of several outputs, `least` below 1.
    """
    for name, values in (
        ("methods", {one.method for one in attributions}), ("outputs", {one.output for one in attributions})
    ):  # fmt: skip
        if len(values) > 1:
            raise BadInput(f"explanations of several {name}: {', '.join(sorted(values))}", "summarise one at a time")
    if least < 1:
        raise BadInput(f"least is {least}", "use 1 or more")
    rows = pd.DataFrame(
        [(number, one.target, word.lower(), score) for number, one in enumerate(attributions)
         for word, score in zip(one.words, one.scores.tolist(), strict=True)],
        columns=["text", "class", "word", "score"],
    )  # fmt: skip
    by_text = rows.groupby(["text", "class", "word"], sort=False)["score"].mean().reset_index()
    table = by_text.groupby(["class", "word"])["score"].agg(["size", "mean", "std"]).reset_index()
    table = table[table["size"] >= least].rename(columns={"size": "texts"})
    quantile = stats.t.ppf(0.975, (table["texts"] - 1).clip(lower=1))
    half = quantile * table["std"] / np.sqrt(table["texts"])  # std is nan for a single text
    table = table.assign(low=table["mean"] - half, high=table["mean"] + half)
    table = table.sort_values(["class", "mean", "word"], ascending=[True, False, True])
    return table[["class", "word", "texts", "mean", "low", "high"]].reset_index(drop=True)
