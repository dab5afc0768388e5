"""A labelled training set and its rewrites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_lib.augmentation.operations import Operation, check_seed, derived_seed
from course_lib.batching import check_texts
from course_lib.errors import BadInput


@dataclass(frozen=True, eq=False)
class Augmented:
    """The originals, in their order, then the copies: `fit(rows.texts, rows.labels)`.

    Attributes:
        texts: n strings.
        labels: (n,), a copy's being its original's.
        origin: (n,) which original each row is or was made from; soft labels of the rows are `soft[rows.origin]`.
        originals: how many of the rows are originals.
        dropped: copies that were made and left out: unchanged, or a text that was already in the set.
    """

    texts: list[str]
    labels: NDArray[Any]
    origin: NDArray[np.int64]
    originals: int
    dropped: int

    def to_frame(self) -> pd.DataFrame:
        """A row a text: text, label, copy (whether it is one), origin."""
        copy = np.arange(len(self.texts)) >= self.originals
        return pd.DataFrame({"text": self.texts, "label": self.labels, "copy": copy, "origin": self.origin})

    def __str__(self) -> str:
        copies = len(self.texts) - self.originals
        return f"{self.originals:,} texts and {copies:,} copies ({self.dropped:,} more were no new text)"


def augment(texts: Sequence[str], labels: ArrayLike, op: Operation, copies: int = 1, seed: int = 0) -> Augmented:
    """The originals and up to `copies` rewrites of each, with their labels.

    A copy is kept only where it differs from every text before it, so no copy occurs twice or under two labels.

    Args:
        texts: n strings, of the training part only: a rewrite of a test sentence would leak its label.
        labels: n labels.
        op: the operation.
        copies: rewrites of each text.
        seed: of the rewrites.

    Raises:
        BadInput: mismatched lengths, a number of copies under 1, one text under two labels, and what `op` raises.
    """
    rows, given = check_texts(texts), np.asarray(labels)
    check_seed(seed)
    _check(rows, given, copies)
    known, made, origin = set(rows), list[str](), list(range(len(rows)))
    for copy in range(copies):
        for row, text in enumerate(op(rows, derived_seed(seed, copy), given.tolist())):
            if text not in known:
                known.add(text)
                made.append(text)
                origin.append(row)
    dropped = copies * len(rows) - len(made)
    return Augmented([*rows, *made], given[origin], np.array(origin, np.int64), len(rows), dropped)


def _check(texts: list[str], labels: NDArray[Any], copies: Any) -> None:
    if labels.ndim == 0 or len(labels) != len(texts):
        raise BadInput(f"{len(texts)} texts, but labels has the shape {labels.shape}", "give one for each text")
    if not isinstance(copies, Integral) or isinstance(copies, bool) or copies < 1:
        raise BadInput(f"copies is {copies!r}", "use a whole number, 1 or more")
    label_of: dict[str, Any] = {}
    for text, label in zip(texts, labels.tolist(), strict=True):
        if label_of.setdefault(text, label) != label:
            both = f"{text!r:.80} has the labels {label_of[text]!r} and {label!r}"
            raise BadInput(both, "drop one of them, or both: no model can learn both")
