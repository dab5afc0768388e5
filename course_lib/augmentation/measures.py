"""How far rewrites moved from their originals, and whether they kept the label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_lib.attacks.document import Document
from course_lib.batching import check_texts
from course_lib.classifier import sentence_vectors
from course_lib.errors import BadInput
from course_lib.evaluation import Interval, bootstrap, wilson_interval


class Predictor(Protocol):
    """Anything with `predict`; one that was not trained on these texts, or it only repeats what it was told."""

    def predict(self, texts: Sequence[str]) -> Any:
        """(n,) labels."""
        ...


@dataclass(frozen=True, eq=False)
class AugmentationReport:
    """Means over the texts with 95 % intervals (bootstrap; Wilson for shares of texts).

    Attributes:
        n: texts.
        words_changed: edits (word put in, left out, replaced) over the words of the longer text, 0 to 1.
        words_changed_std: spread over the texts, standard deviation.
        cosine: of the sentence vectors before and after, -1 to 1; 1 is the same meaning to the encoder.
        cosine_std: spread over the texts.
        unchanged: share of the texts that are as before.
        agreement: share of the rewrites whose label the judge finds; None without a judge.
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
        augmented: what became of each.
        labels: of the originals; what the judge says of them when left out.
        judge: a held-out classifier.
        vectors: gives sentence vectors, (n, size).

    Raises:
        BadInput: mismatched lengths, no text, labels without a judge.
    """
    before, after = check_texts(originals, "originals"), check_texts(augmented, "augmented")
    if len(before) != len(after) or not before:
        raise BadInput(f"{len(before)} originals and {len(after)} rewrites", "give pairs, at least one")
    rows = pd.DataFrame({"original": before, "augmented": after})
    rows["words_changed"] = [words_changed(old, new) for old, new in zip(before, after, strict=True)]
    rows["cosine"] = _cosines(np.asarray(vectors([*before, *after]), np.float64))
    agreement, agreement_before = _judged(rows, labels, judge)
    return AugmentationReport(
        len(rows), bootstrap(rows["words_changed"]), float(rows["words_changed"].std(ddof=0)),
        bootstrap(rows["cosine"]), float(rows["cosine"].std(ddof=0)),
        wilson_interval(int((rows["original"] == rows["augmented"]).sum()), len(rows)),
        agreement, agreement_before, rows,
    )  # fmt: skip


def compare(
    originals: Sequence[str],
    rewrites: Mapping[str, Sequence[str]],
    labels: ArrayLike | None = None,
    judge: Predictor | None = None,
    vectors: Callable[[Sequence[str]], NDArray[Any]] = sentence_vectors,
) -> pd.DataFrame:
    """The reports of several operations on the same texts, a row an operation: see `AugmentationReport.to_frame`.

    Each different text is encoded once and judged once, in one call, however many operations there are.

    Args:
        originals: n texts, at least one.
        rewrites: operation -> what it made of each text; at least one operation.
        labels, judge, vectors: as for `report`.

    Raises:
        BadInput: no operation, and what `report` raises.
    """
    if not rewrites:
        raise BadInput("there are no rewrites to compare", "give those of at least one operation")
    made = [text for name, texts in rewrites.items() for text in check_texts(texts, name)]
    every = list(dict.fromkeys([*check_texts(originals, "originals"), *made]))
    vector = dict(zip(every, vectors(every) if every else [], strict=True))
    told = _Told(dict(zip(every, judge.predict(every), strict=True))) if judge else None
    parts = [
        report(originals, texts, labels, told, lambda asked: np.array([vector[text] for text in asked])).to_frame(name)
        for name, texts in rewrites.items()
    ]
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class _Told:
    """A judge whose predictions are known already."""

    known: Mapping[str, Any]

    def predict(self, texts: Sequence[str]) -> Any:
        return np.array([self.known[text] for text in texts])


def words_changed(original: str, augmented: str) -> float:
    """Fewest words put in, left out or replaced (Levenshtein), over the words of the longer text; 0 without words."""
    left, right = Document.of(original).words, Document.of(augmented).words
    numbers = {word: number for number, word in enumerate(dict.fromkeys([*left, *right]))}
    theirs = np.array([numbers[word] for word in right], np.int64)
    places = np.arange(len(right) + 1)
    row = places
    for i, word in enumerate(left, 1):
        # From above and from the upper left, then along the row: the smallest way to each place, one step a word.
        above = np.concatenate([[i], np.minimum(row[1:] + 1, row[:-1] + (theirs != numbers[word]))])
        row = np.minimum.accumulate(above - places) + places
    return float(row[-1] / max(len(left), len(right), 1))


def _cosines(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of row i and row n + i, for i up to n."""
    before, after = np.split(vectors, 2)
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    cosines: NDArray[np.float64] = (before * after).sum(1) / np.maximum(lengths, 1e-12)
    return cosines


def _judged(
    rows: pd.DataFrame, labels: ArrayLike | None, judge: Predictor | None
) -> tuple[Interval | None, Interval | None]:
    if judge is None:
        if labels is not None:
            raise BadInput("labels are given, but no judge", "give a judge that was not trained on these texts")
        return None, None
    said_before = np.asarray(judge.predict(rows["original"].tolist()))
    wanted = said_before if labels is None else np.asarray(labels)
    if wanted.shape != (len(rows),):
        raise BadInput(f"{len(rows)} texts, but labels has the shape {wanted.shape}", "give one label for each text")
    rows["label"], rows["judged"] = wanted, np.asarray(judge.predict(rows["augmented"].tolist()))
    hits = int((rows["judged"] == rows["label"]).sum())
    return wilson_interval(hits, len(rows)), wilson_interval(int((said_before == wanted).sum()), len(rows))
