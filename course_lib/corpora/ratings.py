"""The four corpora of rated sentences, and the lexicon, read from the verified files."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from course_lib import assets
from course_lib.cleaning import clean
from course_lib.corpora.splits import SPLITS, hash_fraction, split_of
from course_lib.errors import BadInput

# name -> (how its files are called, whether its ids are document_position)
_FILES = {
    "movie_reviews": ("movieReviewSnippets", False),
    "product_reviews": ("amazonReviewSnippets", True),
    "news": ("nytEditorialSnippets", True),
    "tweets": ("tweets", False),
}
NAMES = tuple(_FILES)
CLASSES = ("negative", "positive")  # label 0, label 1
# Of load() and from_csv().
COLUMNS = ["id", "text", "rating", "rating_std", "raters", "label", "split", "document", "position", "opposed"]


def raw(name: str) -> pd.DataFrame:
    """A corpus as its files have it, before any cleaning.

    Columns: id, text, rating (mean human rating, -4 to 4), rating_std (of one text's ratings, population
    formula), raters (how many), document, position (of the sentence in its document; 0 where the corpus has
    single sentences), opposed (fraction of the raters whose rating has the other sign than the mean).

    Raises BadInput for an unknown name; what assets.path raises.
    """
    return _raw(_known(name)).copy()


def load(name: str) -> pd.DataFrame:
    """A corpus, cleaned, labelled and split; index 0..n-1, in the order of its file.

    Columns: those of raw(), and label (int64: 1 when the mean rating is above 0, else 0) and split ("train",
    "validation" or "test", by corpora.split_of). attrs: name, classes (label -> word), cleaning (counts).

    Raises BadInput for an unknown name; what assets.path raises.
    """
    return _load(_known(name)).copy()


def part(name: str, split: str, limit: int | None = None) -> pd.DataFrame:
    """One split of a corpus in hash order (as good as shuffled, the same on every machine).

    limit: the first rows only, all of them if there are fewer. A smaller part is always inside a larger one,
    so accuracy against the number of labels is measured on nested sets.
    """
    if split not in SPLITS:
        raise BadInput(f"There is no split {split!r}.", f"use one of: {', '.join(SPLITS)}.")
    if limit is not None and (not isinstance(limit, int | np.integer) or limit < 1):
        raise BadInput(f"limit is {limit!r}.", "give a whole number of rows, 1 or more, or None for all.")
    order = _hash_order(_known(name))
    frame = _load(name).iloc[order]
    return frame[frame["split"] == split].head(limit if limit is not None else len(frame)).reset_index(drop=True)


def soft_labels(ratings: npt.ArrayLike, sharpness: float = 2.0) -> npt.NDArray[np.float32]:
    """Ratings as class probabilities: float32 (n, 2), rows [1 - p, p] with p = sigmoid(sharpness * rating).

    A sentence that people rated +0.1 is positive with p = 0.55, one rated +3 with p = 0.998.

    ratings: (n,) finite numbers, rating points. sharpness: per rating point, above 0.
    """
    values = np.asarray(ratings, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise BadInput(
            f"The ratings have the shape {values.shape} and {int((~np.isfinite(values)).sum())} of them are not "
            "finite numbers.",
            "give a list of finite numbers, such as frame['rating'].",
        )
    if not 0 < sharpness < np.inf:
        raise BadInput(f"sharpness is {sharpness!r}.", "give a number above 0 (2.0 is the course's).")
    positive = 0.5 * (1.0 + np.tanh(0.5 * sharpness * values))  # the sigmoid, without overflow
    return np.stack([1.0 - positive, positive], axis=1).astype(np.float32)


def lexicon() -> dict[str, float]:
    """VADER's lexicon: word or emoticon -> mean valence, -4 to 4 (10 raters each; Hutto & Gilbert 2014).

    14 entries are there twice; the later one counts, as in VADER's own reader.
    """
    return dict(_lexicon())


def _known(name: str) -> str:
    if name not in _FILES:
        raise BadInput(
            f"There is no corpus {name!r}.",
            f"use one of: {', '.join(NAMES)}; or corpora.from_csv(path) for a file of your own.",
        )
    return name


@lru_cache(maxsize=len(_FILES))
def _raw(name: str) -> pd.DataFrame:
    stem, documents = _FILES[name]
    folder = assets.path("sentiment_ratings")
    ratings = {row[0]: json.loads(row[3]) for row in _rows(folder / f"{stem}_anonDataRatings.txt")}
    truth = _rows(folder / f"{stem}_GroundTruth.txt")
    return pd.DataFrame([_sentence(row, ratings[row[0]], documents) for row in truth])


def _rows(file: Path) -> list[list[str]]:
    """The fields of each line. Some of the files begin with a byte-order mark; all end lines with CRLF."""
    return [line.split("\t") for line in file.read_text(encoding="utf-8-sig").split("\n") if line]


def _sentence(row: list[str], ratings: list[int], documents: bool) -> dict[str, Any]:
    key, mean, text = row
    document, _, position = key.partition("_") if documents else (key, "", "0")
    rating = float(mean)
    against = sum(vote * rating < 0 for vote in ratings) / len(ratings)
    return {
        "id": key,
        "text": text,
        "rating": rating,
        "rating_std": float(np.std(ratings)),
        "raters": len(ratings),
        "document": document,
        "position": int(position),
        "opposed": against if rating else np.nan,
    }


@lru_cache(maxsize=len(_FILES))
def _load(name: str) -> pd.DataFrame:
    frame, report = clean(_raw(name))
    frame["split"] = [split_of(text) for text in frame["text"]]
    frame = frame[COLUMNS]
    frame.attrs = {"name": name, "classes": list(CLASSES), "cleaning": report.to_dict()}
    return frame


@lru_cache(maxsize=len(_FILES))
def _hash_order(name: str) -> npt.NDArray[np.int64]:
    return np.argsort([hash_fraction(text) for text in _load(name)["text"]], kind="stable")


@lru_cache(maxsize=1)
def _lexicon() -> dict[str, float]:
    rows = _rows(assets.path("vader_lexicon"))
    return {row[0]: float(row[1]) for row in rows}
