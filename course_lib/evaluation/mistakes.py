"""Where a model fails: by how strongly people feel, by kind of sentence; its surest mistakes.

Every function takes a frame with the columns of `corpora` (text, label, rating) and the probabilities (n,
classes) of its rows. Intervals of rates are Wilson's, since slices are small.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_lib import corpora
from course_lib.baselines import valences
from course_lib.errors import BadInput
from course_lib.evaluation.inputs import codes, probability_rows, same_length
from course_lib.evaluation.intervals import wilson_interval

Mask = NDArray[np.bool_]
Slice = Callable[[pd.DataFrame, Mapping[str, float]], Mask]

RATINGS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)  # |mean human rating|, the edges of cleaning.disagreement

_NEGATION = re.compile(r"\b(?:no|not|none|nobody|nothing|nowhere|neither|nor|never|without|cannot)\b|n['’]t\b")
_CONTRAST = re.compile(r"\b(?:but|yet|although|though|however|despite|nevertheless|nonetheless)\b")


def _matches(pattern: re.Pattern[str]) -> Slice:
    return lambda frame, lexicon: np.array(
        [bool(pattern.search(text.casefold())) for text in frame["text"]], dtype=bool
    )


def _lexicon_blind(frame: pd.DataFrame, lexicon: Mapping[str, float]) -> Mask:
    known: NDArray[np.int64] = valences(frame["text"], lexicon)["known"].to_numpy()
    return np.asarray(known == 0)


def _lexicon_says(sign: int) -> Slice:
    """The lexicon's sum has the sign of the human rating (+1) or the other one (-1)."""

    def mask(frame: pd.DataFrame, lexicon: Mapping[str, float]) -> Mask:
        total = valences(frame["text"], lexicon)["total"].to_numpy()
        return np.asarray(np.sign(total) * np.sign(frame["rating"].to_numpy()) == sign)

    return mask


SLICES: dict[str, Slice] = {
    "all sentences": lambda frame, lexicon: np.ones(len(frame), dtype=bool),
    "negation (not, n't, never)": _matches(_NEGATION),
    "contrast (but, though, yet)": _matches(_CONTRAST),
    "question": _matches(re.compile(r"\?")),
    "no word of the lexicon": _lexicon_blind,
}
"""Kinds of sentences that are known to be hard, or that tell what a model has learned beyond single words."""

_RATED: dict[str, Slice] = {  # these read the human rating
    "people unsure (|rating| < 1)": lambda frame, lexicon: (frame["rating"].abs() < 1).to_numpy(),
    "lexicon agrees": _lexicon_says(+1),
    "lexicon disagrees": _lexicon_says(-1),
}


def by_rating(frame: pd.DataFrame, probabilities: ArrayLike, classes: Sequence[Any] | None = None) -> pd.DataFrame:
    """Accuracy by how strongly people felt: |mean rating|, from 0 (torn) to 4 (all of them sure).

    Returns:
        rating (such as "0.5-1"), n, accuracy, low, high; bins that do not occur are left out.

    Raises:
        BadInput: probabilities that do not fit the frame, or a column or rating that is missing.
    """
    right = _right(frame, probabilities, classes)
    strength = _ratings(frame).abs().to_numpy()
    names = [f"{low:g}-{high:g}" for low, high in pairwise(RATINGS)]
    number = np.clip(np.digitize(strength, RATINGS, right=True) - 1, 0, len(names) - 1)
    rows = [{"rating": names[i], **_level(right[number == i])} for i in np.unique(number)]
    return pd.DataFrame(rows)[["rating", "n", "accuracy", "low", "high"]]


def by_slice(
    frame: pd.DataFrame,
    probabilities: ArrayLike,
    classes: Sequence[Any] | None = None,
    slices: Mapping[str, Slice] | None = None,
) -> pd.DataFrame:
    """Accuracy on each kind of sentence.

    Args:
        frame: text, label, rating.
        probabilities: (n, classes).
        classes: the class of each column.
        slices: name -> function(frame, lexicon) -> mask (n,); `SLICES` where left out,
            and where every row has a rating also those by rating and by what the lexicon says of it.

    Returns:
        slice, n, share (of all sentences), accuracy, low, high; slices without a sentence are left out.

    Raises:
        BadInput: probabilities that do not fit the frame, no sentence in any slice, or a column that is missing.
    """
    right = _right(frame, probabilities, classes)
    rows = [
        {"slice": name, "share": float(mask.mean()), **_level(right[mask])}
        for name, mask in slice_masks(frame, slices).items()
    ]
    return pd.DataFrame(rows)[["slice", "n", "share", "accuracy", "low", "high"]]


def slice_masks(frame: pd.DataFrame, slices: Mapping[str, Slice] | None = None) -> dict[str, Mask]:
    """Which sentences belong to each kind of sentence, (n,) each; kinds without a sentence are left out.

    Args:
        frame, slices: as in `by_slice`.

    Raises:
        BadInput: no sentence in any slice.
    """
    words = corpora.lexicon()
    chosen = (SLICES | _RATED if _has_ratings(frame) else SLICES) if slices is None else slices
    masks = {name: choose(frame, words) for name, choose in chosen.items()}
    masks = {name: mask for name, mask in masks.items() if mask.any()}
    if not masks:
        raise BadInput(f"none of {len(frame)} sentences is in one of the slices {list(chosen)}", "pass other slices")
    return masks


def hardest(
    frame: pd.DataFrame, probabilities: ArrayLike, n: int = 10, classes: Sequence[Any] | None = None
) -> pd.DataFrame:
    """The mistakes that the model was most sure of. Read them: some are the labels' mistakes.

    Returns:
        At most n rows, surest first: text, label, predicted, confidence, and rating where the frame has it.

    Raises:
        BadInput: probabilities that do not fit the frame, or a column that is missing.
    """
    right = _right(frame, probabilities, classes)
    rows = probability_rows(probabilities)
    names = np.asarray(list(range(rows.shape[1])) if classes is None else list(classes))
    shown = [column for column in ("text", "label", "rating") if column in frame]
    found = frame[shown].assign(predicted=names[rows.argmax(axis=1)], confidence=rows.max(axis=1))
    order = [column for column in ("text", "label", "predicted", "confidence", "rating") if column in found]
    return found[~right].sort_values("confidence", ascending=False, kind="stable").head(n)[order]


def _right(frame: pd.DataFrame, probabilities: ArrayLike, classes: Sequence[Any] | None) -> Mask:
    """Which predictions are right, (n,)."""
    for column in ("text", "label"):
        if column not in frame:
            raise BadInput(
                f"the frame has no column {column!r}, only {list(frame)}",
                "pass a frame made by course_lib.corpora",
            )
    rows = probability_rows(probabilities)
    same_length(len(rows), frame, "rows in the frame")
    return np.asarray(rows.argmax(axis=1) == codes(frame["label"], classes, rows.shape[1]))


def _ratings(frame: pd.DataFrame) -> pd.Series[Any]:
    """Human ratings of all rows."""
    if not _has_ratings(frame):
        raise BadInput(
            "the frame has rows without a human rating",
            "use a corpus with ratings, or by_slice, which needs none",
        )
    return frame["rating"]


def _has_ratings(frame: pd.DataFrame) -> bool:
    return "rating" in frame and not frame["rating"].isna().any()


def _level(right: Mask) -> dict[str, Any]:
    found = wilson_interval(int(right.sum()), len(right))
    return {"n": len(right), "accuracy": found.estimate, "low": found.low, "high": found.high}
