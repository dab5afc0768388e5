"""Claims: a measured figure beside its target, and `met` or `not met`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Claim:
    """One sentence that a measurement can refute.

    Attributes:
        text: what is claimed, with the unit.
        target: the figure that it is held against.
        measured: None where the measurement gave no figure.
        at_most: the target is an upper bound, else a lower one.
        bound: `>` or `<` where the true figure lies beyond `measured` (a peer that never arrived).
    """

    text: str
    target: float
    measured: float | None
    at_most: bool = False
    bound: str = ""

    @property
    def met(self) -> bool:
        """Whether the measured figure is on the target's good side."""
        if self.measured is None:
            return False
        return self.measured <= self.target if self.at_most else self.measured >= self.target

    def __str__(self) -> str:
        side = "at most" if self.at_most else "at least"
        measured = "nothing measured" if self.measured is None else f"measured {self.bound}{self.measured:.3g}"
        return f"{self.text}: target {side} {self.target:g}, {measured}: {'met' if self.met else 'not met'}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "claim": self.text,
            "target": self.target,
            "side": "at most" if self.at_most else "at least",
            "measured": self.measured,
            "bound": self.bound,
            "met": self.met,
        }


def off_by(estimated: float, measured: float) -> float:
    """By what factor an estimate misses, in either direction: 1 is exact, 1.5 half too much or a third too little."""
    return max(estimated / measured, measured / estimated)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, the first aligned to the left, the others to the right; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
