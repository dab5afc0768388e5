"""What a run tells while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

Row = dict[str, float]
Callback = Callable[[Row], None]


@dataclass
class History:
    """What happened, row by row: `step, epoch, loss, learning_rate, seconds` and, where measured, `validation_*`."""

    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    stopped_early: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    def column(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of the rows that hold `name`."""
        rows = [row for row in self.rows if name in row]
        return [row["step"] for row in rows], [row[name] for row in rows]
