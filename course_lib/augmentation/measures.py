"""How far rewrites moved from their originals, and whether they kept the label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from rapidfuzz.distance import Levenshtein

from course_lib.batching import check_texts
from course_lib.classifier import sentence_vectors
from course_lib.errors import BadInput
from course_lib.evaluation import Interval, bootstrap, wilson_interval
from course_lib.text.classifiers import predict_unique
from course_lib.text.document import Document

Vectors = Callable[[Sequence[str]], NDArray[Any]]  # n texts -> (n, size)


class Predictor(Protocol):
    """Anything with `predict`. It must not have been trained on these texts, or it only repeats their labels."""

    def predict(self, texts: Sequence[str]) -> Any:
        """(n,) labels."""
        ...


def compare(
    originals: Sequence[str],
    rewrites: Mapping[str, Sequence[str]],
    labels: ArrayLike | None = None,
    judge: Predictor | None = None,
    vectors: Vectors = sentence_vectors,
) -> pd.DataFrame:
    """Means over the texts of several operations, with 95 % intervals (bootstrap; Wilson for fractions of texts).

    Each different text is encoded once and judged once, however many operations there are.

    Args:
        originals: n texts, at least one.
        rewrites: operation -> its rewrite of each text; at least one operation.
        labels: of the originals; the judge's predictions of them when left out.
        judge: a held-out classifier.
        vectors: maps texts to sentence vectors.

    Returns:
        A row an operation: operation, n, and each of these as x, x_low, x_high: words_changed and cosine (see
        `movement`), unchanged (fraction of texts), agreement (fraction of the rewrites whose label the judge predicts;
        NaN without a judge), agreement_before (the same of the originals: the most to be expected of rewrites).

    Raises:
        BadInput: no operation, mismatched lengths, no text, labels without a judge.
    """
    if not rewrites:
        raise BadInput("there are no rewrites to compare", "give those of at least one operation")
    if judge is None and labels is not None:
        raise BadInput("labels are given, but no judge", "give a judge that was not trained on these texts")
    before = check_texts(originals, "originals")
    after = {name: check_texts(texts, name) for name, texts in rewrites.items()}
    every = [*before, *(text for texts in after.values() for text in texts)]
    vector = dict(zip(every, predict_unique(vectors, every), strict=True)) if every else {}
    label_of = dict(zip(every, predict_unique(judge.predict, every), strict=True)) if judge and every else {}
    wanted = [label_of.get(text) for text in before] if labels is None else np.asarray(labels).tolist()
    if not isinstance(wanted, list) or len(wanted) != len(before):
        raise BadInput(f"{len(before)} texts, but labels is {labels!r:.80}", "give one label for each text")
    rows = []
    for name, texts in after.items():
        moved = movement(before, texts, lambda some: np.array([vector[text] for text in some]))
        row: dict[str, Any] = {"operation": name, "n": len(moved)}
        row |= _columns("words_changed", bootstrap(moved["words_changed"]))
        row |= _columns("cosine", bootstrap(moved["cosine"]))
        row |= _columns("unchanged", _rate(before, texts))
        for column, part in (("agreement", texts), ("agreement_before", before)):
            row |= _columns(column, _rate(wanted, [label_of[text] for text in part]) if judge else None)
        rows.append(row)
    return pd.DataFrame(rows)


def movement(originals: Sequence[str], augmented: Sequence[str], vectors: Vectors = sentence_vectors) -> pd.DataFrame:
    """How far each text moved: original, augmented, words_changed, cosine of the sentence vectors before and after.

    Raises:
        BadInput: mismatched lengths, or no text.
    """
    before, after = check_texts(originals, "originals"), check_texts(augmented, "augmented")
    if len(before) != len(after) or not before:
        raise BadInput(f"{len(before)} originals and {len(after)} rewrites", "give pairs, at least one")
    rows = pd.DataFrame({"original": before, "augmented": after})
    rows["words_changed"] = [words_changed(old, new) for old, new in zip(before, after, strict=True)]
    old, new = np.split(np.asarray(vectors([*before, *after]), np.float64), 2)
    lengths = np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1)
    rows["cosine"] = (old * new).sum(1) / np.maximum(lengths, 1e-12)
    return rows


def words_changed(original: str, augmented: str) -> float:
    """Fewest words inserted, deleted or replaced (Levenshtein), over the words of the longer text; 0 without words."""
    left, right = Document.of(original).words, Document.of(augmented).words
    return Levenshtein.normalized_distance(left, right)


def _rate(left: Sequence[Any], right: Sequence[Any]) -> Interval:
    """Fraction of equal pairs."""
    return wilson_interval(sum(bool(one == other) for one, other in zip(left, right, strict=True)), len(left))


def _columns(name: str, interval: Interval | None) -> dict[str, float]:
    values = (interval.estimate, interval.low, interval.high) if interval else (np.nan,) * 3
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
