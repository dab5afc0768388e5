"""How far rewrites moved from their originals, and whether they kept the label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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


class Predictor(Protocol):
    """Anything with `predict`. It must not have been trained on these texts, or it only repeats their labels."""

    def predict(self, texts: Sequence[str]) -> Any:
        """(n,) labels."""
        ...


@dataclass(frozen=True, eq=False)
class AugmentationReport:
    """Means over the texts with 95 % intervals (bootstrap; Wilson for fractions of texts).

    Attributes:
        n: texts.
        words_changed: edits (words inserted, deleted, replaced) over the words of the longer text, 0 to 1.
        words_changed_std: spread over the texts, standard deviation.
        cosine: of the sentence vectors before and after, -1 to 1; 1 is the same meaning to the encoder.
        cosine_std: spread over the texts.
        unchanged: fraction of the texts that are as before.
        agreement: fraction of the rewrites whose label the judge predicts; None without a judge.
        agreement_before: the same of the originals: more than this cannot be expected of rewrites.
        rows: a row a text: original, augmented, words_changed, cosine and, with a judge, label and judged.
    """

    n: int
    words_changed: Interval
    words_changed_std: float
    cosine: Interval
    cosine_std: float
    unchanged: Interval
    agreement: Interval | None
    agreement_before: Interval | None
    rows: pd.DataFrame

    def to_frame(self, operation: str = "") -> pd.DataFrame:
        """One row for a table of operations; intervals as three columns: x, x_low, x_high."""
        row: dict[str, Any] = {"operation": operation, "n": self.n}
        for name in ("words_changed", "cosine", "unchanged", "agreement", "agreement_before"):
            interval = getattr(self, name)
            row[name], row[f"{name}_low"], row[f"{name}_high"] = (
                (interval.estimate, interval.low, interval.high) if interval else (np.nan,) * 3
            )
        row |= {"words_changed_std": self.words_changed_std, "cosine_std": self.cosine_std}
        return pd.DataFrame([row])

    def __str__(self) -> str:
        lines = [
            f"{self.n:,} texts; 95 % intervals in brackets",
            f"words changed     {self.words_changed}, spread {self.words_changed_std:.3f}",
            f"cosine            {self.cosine}, spread {self.cosine_std:.3f}",
            f"unchanged texts   {self.unchanged}",
        ]
        if self.agreement:
            lines.append(f"label by judge    {self.agreement} (of the originals: {self.agreement_before})")
        return "\n".join(lines)


def report(
    originals: Sequence[str],
    augmented: Sequence[str],
    labels: ArrayLike | None = None,
    judge: Predictor | None = None,
    vectors: Callable[[Sequence[str]], NDArray[Any]] = sentence_vectors,
) -> AugmentationReport:
    """Compares rewrites with their originals, pair by pair.

    Args:
        originals: n texts, at least one.
        augmented: the rewrite of each.
        labels: of the originals; the judge's predictions of them when left out.
        judge: a held-out classifier.
        vectors: maps texts to sentence vectors, (n, size).

    Raises:
        BadInput: mismatched lengths, no text, labels without a judge.
    """
    return _reports(originals, {"augmented": augmented}, labels, judge, vectors)["augmented"]


def compare(
    originals: Sequence[str],
    rewrites: Mapping[str, Sequence[str]],
    labels: ArrayLike | None = None,
    judge: Predictor | None = None,
    vectors: Callable[[Sequence[str]], NDArray[Any]] = sentence_vectors,
) -> pd.DataFrame:
    """The reports of several operations on the same texts, a row an operation: see `AugmentationReport.to_frame`.

    Each different text is encoded once and judged once, however many operations there are.

    Args:
        originals: n texts, at least one.
        rewrites: operation -> its rewrite of each text; at least one operation.
        labels, judge, vectors: as for `report`.

    Raises:
        BadInput: no operation, and what `report` raises.
    """
    if not rewrites:
        raise BadInput("there are no rewrites to compare", "give those of at least one operation")
    reports = _reports(originals, rewrites, labels, judge, vectors)
    return pd.concat([one.to_frame(name) for name, one in reports.items()], ignore_index=True)


def _reports(
    originals: Sequence[str],
    rewrites: Mapping[str, Sequence[str]],
    labels: ArrayLike | None,
    judge: Predictor | None,
    vectors: Callable[[Sequence[str]], NDArray[Any]],
) -> dict[str, AugmentationReport]:
    before = check_texts(originals, "originals")
    after = {name: check_texts(texts, name) for name, texts in rewrites.items()}
    for texts in after.values():
        if len(texts) != len(before) or not before:
            raise BadInput(f"{len(before)} originals and {len(texts)} rewrites", "give pairs, at least one")
    if judge is None and labels is not None:
        raise BadInput("labels are given, but no judge", "give a judge that was not trained on these texts")
    every = [*before, *(text for texts in after.values() for text in texts)]
    n, first = len(before), pd.DataFrame({"original": before})
    vector = np.asarray(predict_unique(vectors, every), np.float64)
    predicted = None if judge is None else predict_unique(judge.predict, every)
    if predicted is not None:
        first["label"] = predicted[:n] if labels is None else _checked_labels(labels, n)
    reports = {}
    for number, (name, texts) in enumerate(after.items(), 1):
        mine = slice(number * n, (number + 1) * n)
        rows = first.assign(augmented=texts)
        rows["words_changed"] = [words_changed(old, new) for old, new in zip(before, texts, strict=True)]
        rows["cosine"] = _cosines(vector[:n], vector[mine])
        agreement = agreement_before = None
        if predicted is not None:
            rows["judged"] = predicted[mine]
            agreement, agreement_before = (_rate(rows["label"] == part) for part in (predicted[mine], predicted[:n]))
        reports[name] = AugmentationReport(
            n, bootstrap(rows["words_changed"]), float(rows["words_changed"].std(ddof=0)),
            bootstrap(rows["cosine"]), float(rows["cosine"].std(ddof=0)),
            _rate(rows["original"] == rows["augmented"]), agreement, agreement_before, rows,
        )  # fmt: skip
    return reports


def words_changed(original: str, augmented: str) -> float:
    """Fewest words inserted, deleted or replaced (Levenshtein), over the words of the longer text; 0 without words."""
    left, right = Document.of(original).words, Document.of(augmented).words
    return Levenshtein.normalized_distance(left, right)


def _cosines(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row by row."""
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosines: NDArray[np.float64] = (before * after).sum(1) / np.maximum(lengths, 1e-12)
    return cosines


def _rate(hits: pd.Series) -> Interval:
    return wilson_interval(int(hits.sum()), len(hits))


def _checked_labels(labels: ArrayLike, n: int) -> NDArray[Any]:
    wanted = np.asarray(labels)
    if wanted.shape != (n,):
        raise BadInput(f"{n} texts, but labels has the shape {wanted.shape}", "give one label for each text")
    return wanted
