"""Texts of one split that are also in another: the same texts, and texts that are nearly the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from course_lib.cleaning.tables import need
from course_lib.cleaning.texts import normalise

WORDS = 5  # of a shingle, a run of words
SHARED = 3  # shingles that near duplicates have in common, at least
COMMON = 50  # a shingle in more texts than these is a phrase; to follow it would make the time quadratic


class LeakageReport(NamedTuple):
    """How much of one split is also in another."""

    same_texts: int  # normalised texts that are in two splits
    near: pd.DataFrame  # pairs: split_a, id_a, split_b, id_b, shared, containment, jaccard, text_a, text_b
    test_near_train: int  # test rows with a near duplicate in train
    shared_documents: int  # documents with rows in two splits
    common_shingles: int  # shingles in so many texts that they were not followed


def leakage(frame: pd.DataFrame, *, overlap: float = 0.5) -> LeakageReport:
    """Texts that are in two splits, exactly or nearly.

    Two texts are near duplicates when at least 3 shingles (runs of 5 words) are in both, and these are at least
    `overlap` of the shorter one's shingles (containment; Broder 1997, "On the resemblance and containment of
    documents"). Texts of fewer than 7 words are compared exactly only, and shingles of more than 50 texts are not
    followed.

    frame: columns text and split; id (else the index) and document (else none are shared) where there are.
    """
    need(frame, "text", "split")
    keys = [normalise(text) for text in frame["text"]]
    split = np.asarray(frame["split"], dtype=object)
    shingles = [_shingles(key) for key in keys]
    pairs, skipped = _shared_shingles(shingles, split)
    near = _near(frame, shingles, pairs, overlap)
    documents = _in_two_splits(frame["document"], split) if "document" in frame else 0
    return LeakageReport(_in_two_splits(keys, split), near, _test_near_train(near), documents, skipped)


def _shingles(key: str) -> set[tuple[str, ...]]:
    parts = key.split()
    return {tuple(parts[start : start + WORDS]) for start in range(len(parts) - WORDS + 1)}


def _shared_shingles(
    shingles: list[set[tuple[str, ...]]], split: np.ndarray[Any, Any]
) -> tuple[Counter[tuple[int, int]], int]:
    """For each pair of rows of different splits, how many shingles they share (inverted index)."""
    rows_of: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, found in enumerate(shingles):
        for shingle in found:
            rows_of[shingle].append(row)
    followed = [rows for rows in rows_of.values() if len(rows) <= COMMON]
    pairs = Counter(pair for rows in followed for pair in combinations(rows, 2) if split[pair[0]] != split[pair[1]])
    return pairs, len(rows_of) - len(followed)


def _near(
    frame: pd.DataFrame, shingles: list[set[tuple[str, ...]]], pairs: Counter[tuple[int, int]], overlap: float
) -> pd.DataFrame:
    texts, splits = frame["text"].tolist(), frame["split"].tolist()
    ids = frame["id"].tolist() if "id" in frame else frame.index.tolist()
    found = []
    for (a, b), count in pairs.items():
        containment = count / min(len(shingles[a]), len(shingles[b]))
        if count >= SHARED and containment >= overlap:
            jaccard = count / (len(shingles[a]) + len(shingles[b]) - count)
            rows = (splits[a], ids[a], splits[b], ids[b])
            found.append((*rows, count, containment, jaccard, texts[a], texts[b]))
    columns = ["split_a", "id_a", "split_b", "id_b", "shared", "containment", "jaccard", "text_a", "text_b"]
    table = pd.DataFrame(found, columns=columns)
    return table.sort_values(["containment", "jaccard", "id_a", "id_b"], ascending=False, ignore_index=True)


def _test_near_train(near: pd.DataFrame) -> int:
    """Test rows that are in a pair with a train row."""
    forward = near[(near["split_a"] == "test") & (near["split_b"] == "train")]["id_a"]
    backward = near[(near["split_b"] == "test") & (near["split_a"] == "train")]["id_b"]
    return len({*forward, *backward})


def _in_two_splits(keys: Iterable[str], split: np.ndarray[Any, Any]) -> int:
    splits_of: dict[str, set[str]] = defaultdict(set)
    for key, where in zip(keys, split, strict=True):
        splits_of[key].add(where)
    return sum(len(found) > 1 for found in splits_of.values())
