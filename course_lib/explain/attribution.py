"""What an explanation is: one number a word, with what it starts from, what it explains, and its own error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.errors import BadInput

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Word:
    """A word of a text, which is kept or masked as a whole.

    Attributes:
        text: its letters.
        spans: where it is, as (start, end) in characters; several where equal words are one (bag of words).
    """

    text: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each word of a text contributes to one class.

    Attributes:
        text: what was explained.
        tokens: its n words with their places.
        scores: (n,), in the unit of the output; above 0 speaks for the target.
        base_value: what the method starts from: the output without any word, or a linear model's intercept.
        value: the output for the whole text.
        target: the class that is explained.
        method: which one.
        output: what is explained: `probability` of the target, or its `log-odds`.
        error: the method's own error, in the unit that `error_kind` says; nan where it has none.
        error_kind: `1 - R2` (LIME without a surrogate), `standard error` (the largest of a score, in its unit),
            `completeness gap` or `efficiency gap` (as a fraction of value - base_value), or `none`.
        queries: texts that the model was queried for to explain this one; equal ones count once.
        spread: (n,), standard deviation of each score over seeds, where `repeats` is above 1.
        foil: the class that the target is compared with: `log-odds` are those of the target among the two.
    """

    text: str
    tokens: tuple[Word, ...]
    scores: Floats
    base_value: float
    value: float
    target: Any
    method: str
    output: str = "probability"
    error: float = math.nan
    error_kind: str = "none"
    queries: int = 0
    spread: Floats | None = None
    foil: Any = None

    @property
    def words(self) -> list[str]:
        """The words without their places."""
        return [token.text for token in self.tokens]

    @property
    def gap(self) -> float:
        """value - base_value - sum of scores: what the words' scores leave unexplained."""
        return self.value - self.base_value - float(self.scores.sum())

    def top(self, k: int = 5) -> list[tuple[str, float]]:
        """The k words of the largest scores, whatever their sign, largest first; of equal ones the earlier.

        Raises:
            BadInput: k below 0.
        """
        if k < 0:
            raise BadInput(f"k is {k}", "use 0 or more")
        order = np.argsort(-np.abs(self.scores), kind="stable")[:k]
        return [(self.tokens[i].text, float(self.scores[i])) for i in order]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain Python values for JSON; what is no finite number (nan, infinite) becomes None."""
        target, foil = (one.item() if isinstance(one, np.generic) else one for one in (self.target, self.foil))
        return {
            "text": self.text, "tokens": self.words,
            "spans": [[list(span) for span in one.spans] for one in self.tokens],
            "scores": [_plain(one) for one in self.scores.tolist()],
            "base_value": _plain(self.base_value), "value": _plain(self.value),
            "target": target, "method": self.method, "output": self.output, "error": _plain(self.error),
            "error_kind": self.error_kind, "gap": _plain(self.gap), "queries": int(self.queries),
            "spread": None if self.spread is None else [_plain(one) for one in self.spread.tolist()],
            **({} if foil is None else {"foil": foil}),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Attribution:
        """An explanation from the output of `to_dict`; None becomes nan."""
        tokens = tuple(
            Word(word, tuple((start, end) for start, end in spans))
            for word, spans in zip(stored["tokens"], stored["spans"], strict=True)
        )
        facts: dict[str, Any] = {
            name: stored[name] for name in ("text", "target", "method", "output", "error_kind", "queries")
        }
        for name in ("base_value", "value", "error"):
            facts[name] = math.nan if stored[name] is None else stored[name]
        spread = None if stored["spread"] is None else np.array(stored["spread"], float)
        scores = np.array(stored["scores"], float)
        return cls(tokens=tokens, scores=scores, spread=spread, foil=stored.get("foil"), **facts)


def _plain(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def relative_gap(gap: float, change: float) -> float:
    """|gap| as a fraction of |change|; 0 where both are 0, infinite where only the change is."""
    if abs(gap) <= 1e-12:
        return 0.0
    return abs(gap) / abs(change) if change else math.inf
