"""What of one split stands in another: the same texts, and texts that are nearly the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from course_lib.cleaning.tables import need
from course_lib.cleaning.texts import normalise


@dataclass(frozen=True)
class LeakageReport:
    """What of one split stands in another. All counts are of rows unless they say otherwise."""

    rows: int
    same_texts: int  # normalised texts that stand in two splits
    near: pd.DataFrame  # pairs: split_a, id_a, split_b, id_b, shared, containment, jaccard, text_a, text_b
    test_near_train: int  # test rows with a near duplicate in train
    shared_documents: int  # documents with rows in two splits
    common_shingles: int  # word runs in so many texts that they were not followed
    words: int
    overlap: float

    def to_dict(self) -> dict[str, Any]:
        """Counts only, for JSON."""
        facts = {key: value for key, value in vars(self).items() if key != "near"}
        return {**facts, "near_pairs": len(self.near)}


def leakage(
    frame: pd.DataFrame, *, words: int = 5, overlap: float = 0.5, shared: int = 3, common: int = 50
) -> LeakageReport:
    """Texts that stand in two splits, exactly or nearly.

    Two texts are near duplicates when at least `shared` runs of `words` words stand in both, and these are at
    least `overlap` of the shorter one's runs (containment; Broder 1997, "On the resemblance and containment
    of documents"). Texts shorter than words + shared - 1 words are compared exactly only, and runs found in
    more than `common` texts are not followed: they are phrases, and would make the time quadratic.

    frame: columns text and split; id (else the index) and document (else none are shared) where there are.
    """
    need(frame, "text", "split")
    keys = [normalise(text) for text in frame["text"]]
    runs = [_shingles(key, words) for key in keys]
    split = np.asarray(frame["split"], dtype=object)
    pairs, skipped = _shared_runs(runs, split, common)
    near = _near(frame, runs, pairs, overlap, shared)
    return LeakageReport(
        rows=len(frame),
        same_texts=_in_two_splits(keys, split),
        near=near,
        test_near_train=_touched(near),
        shared_documents=_in_two_splits(frame["document"], split) if "document" in frame else 0,
        common_shingles=skipped,
        words=words,
        overlap=overlap,
    )


def _shingles(key: str, words: int) -> set[tuple[str, ...]]:
    parts = key.split()
    return {tuple(parts[start : start + words]) for start in range(len(parts) - words + 1)}


def _shared_runs(
    runs: list[set[tuple[str, ...]]], split: np.ndarray[Any, Any], common: int
) -> tuple[Counter[tuple[int, int]], int]:
    """For each pair of rows of different splits, how many runs they share (inverted index)."""
    rows_of: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, found in enumerate(runs):
        for run in found:
            rows_of[run].append(row)
    followed = [rows for rows in rows_of.values() if len(rows) <= common]
    pairs = Counter(pair for rows in followed for pair in combinations(rows, 2) if split[pair[0]] != split[pair[1]])
    return pairs, len(rows_of) - len(followed)


def _near(
    frame: pd.DataFrame,
    runs: list[set[tuple[str, ...]]],
    pairs: Counter[tuple[int, int]],
    overlap: float,
    shared: int,
) -> pd.DataFrame:
    texts, splits = frame["text"].tolist(), frame["split"].tolist()
    ids = frame["id"].tolist() if "id" in frame else frame.index.tolist()
    found = []
    for (a, b), count in pairs.items():
        containment = count / min(len(runs[a]), len(runs[b]))
        if count >= shared and containment >= overlap:
            jaccard = count / (len(runs[a]) + len(runs[b]) - count)
            one, two = (splits[a], ids[a], splits[b], ids[b]), (count, containment, jaccard, texts[a], texts[b])
            found.append((*one, *two))
    columns = ["split_a", "id_a", "split_b", "id_b", "shared", "containment", "jaccard", "text_a", "text_b"]
    table = pd.DataFrame(found, columns=columns)
    return table.sort_values(["containment", "jaccard", "id_a", "id_b"], ascending=False, ignore_index=True)


def _touched(near: pd.DataFrame) -> int:
    """Test rows that are in a pair with a train row."""
    forward = near[(near["split_a"] == "test") & (near["split_b"] == "train")]["id_a"]
    backward = near[(near["split_b"] == "test") & (near["split_a"] == "train")]["id_b"]
    return len({*forward, *backward})


def _in_two_splits(keys: Iterable[str], split: np.ndarray[Any, Any]) -> int:
    splits_of: dict[str, set[str]] = defaultdict(set)
    for key, where in zip(keys, split, strict=True):
        splits_of[key].add(where)
    return sum(len(found) > 1 for found in splits_of.values())
