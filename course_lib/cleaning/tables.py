"""Cleaning a table of texts and counting the rows it costs; distribution of labels, agreement of raters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from course_lib.cleaning.texts import clean_text, normalise, repair, unescape
from course_lib.errors import BadInput

_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class CleaningReport:
    """Rows in, rows out, and why. rows = kept + empty + zero_ratings + duplicates + conflicting."""

    rows: int
    empty: int  # nothing left after cleaning
    zero_ratings: int  # rated exactly 0: neither label
    duplicates: int  # the same normalised text with the same label as an earlier row
    conflicting: int  # the same normalised text with different labels: all of them go
    kept: int
    entities_unescaped: int  # texts that held HTML entities
    broken_characters: int  # texts that held mojibake or control characters

    def to_dict(self) -> dict[str, int]:
        return asdict(self)


def clean(raw: pd.DataFrame) -> tuple[pd.DataFrame, CleaningReport]:
    """The rows that can be used, in their order, and what happened to the others.

    raw: column text; and label, or rating (then the label is its sign and ratings of exactly 0 are dropped).
    Returns the frame with clean texts and an int64 label, index 0..n-1.

    Raises:
        BadInput: a missing column, a text that is no string, a missing rating.
    """
    need(raw, "text")
    frame, counts = raw.copy(), _damage(raw["text"])
    frame["text"] = [clean_text(text) for text in raw["text"]]
    empty = frame["text"] == ""
    frame, zero = _label(frame[~empty])
    same, conflict = _repeats(frame)
    frame = frame[~(same | conflict)].reset_index(drop=True)
    report = CleaningReport(
        rows=len(raw),
        empty=int(empty.sum()),
        zero_ratings=zero,
        duplicates=int((same & ~conflict).sum()),
        conflicting=int(conflict.sum()),
        kept=len(frame),
        **counts,
    )
    return frame, report


def report(raw: pd.DataFrame) -> CleaningReport:
    """What cleaning does to a raw table (`corpora.raw(name)`, or any frame with text and label or rating)."""
    return clean(raw)[1]


def _damage(texts: Iterable[str]) -> dict[str, int]:
    unescaped = [(text, unescape(text)) for text in texts]
    entities = sum(before != after for before, after in unescaped)
    broken = sum(after != repair(after) for _, after in unescaped)
    return {"entities_unescaped": entities, "broken_characters": broken}


def _label(frame: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The frame with its label, and how many rows a rating of 0 cost."""
    if "label" in frame:
        return frame, 0
    need(frame, "rating")
    if len(missing := np.flatnonzero(frame["rating"].isna())):
        raise BadInput(f"Row {frame.index[missing[0]]} has no rating.", "drop the rows without a rating.")
    signed = frame[frame["rating"] != 0].copy()
    signed["label"] = (signed["rating"] > 0).astype("int64")
    return signed, len(frame) - len(signed)


def _repeats(frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Boolean per row: (repeats an earlier text; has the text of a row with another label)."""
    keys = pd.Series([normalise(text) for text in frame["text"]], index=frame.index, dtype=object)
    conflict = frame["label"].groupby(keys).transform("nunique") > 1
    return keys.duplicated(), conflict.astype(bool)


def label_distribution(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows per split and label: columns split, label (the class's name), n, fraction (of the split)."""
    need(frame, "split", "label")
    names = dict(enumerate(frame.attrs.get("classes", ()))) or {
        label: label for label in sorted(frame["label"].unique().tolist())
    }
    table = pd.crosstab(frame["split"], frame["label"]).reindex(index=_SPLITS, columns=list(names), fill_value=0)
    rows = table.rename(columns=names).rename_axis(columns="label").stack().rename("n").reset_index()
    return rows.assign(fraction=rows["n"] / rows.groupby("split")["n"].transform("sum"))


def disagreement(frame: pd.DataFrame, edges: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0)) -> pd.DataFrame:
    """How far the raters agree, by the distance of the mean rating from 0.

    Columns: low, high (|rating| in (low, high]), n (texts), opposed (mean fraction of a text's raters
    whose own rating has the sign of the other label) and rating_std (mean standard deviation of a text's
    ratings, in rating points). Where `opposed` is near 0 the raters agree on the label; near 0.5 it is a coin toss.
    """
    need(frame, "rating", "rating_std", "opposed")
    bins = pd.cut(frame["rating"].abs(), list(edges))
    grouped = frame.groupby(bins, observed=False)
    table = grouped.agg(n=("rating", "size"), opposed=("opposed", "mean"), rating_std=("rating_std", "mean"))
    table.insert(0, "low", [interval.left for interval in table.index])
    table.insert(1, "high", [interval.right for interval in table.index])
    return table.reset_index(drop=True)


def need(frame: pd.DataFrame, *columns: str) -> None:
    missing = [column for column in columns if column not in frame]
    if missing:
        raise BadInput(
            f"The table has no column {', '.join(map(repr, missing))}.",
            f"its columns are: {', '.join(map(repr, frame.columns))}; rename one, or load it with course_lib.corpora.",
        )
