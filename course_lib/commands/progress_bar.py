"""A progress bar for training, on standard error."""

from __future__ import annotations

import sys
from typing import Any


class ProgressBar:
    """A bar on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self.bar: Any = None

    def __call__(self, row: dict[str, float]) -> None:
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(total=int(row["total_steps"]), unit="step", disable=None, file=sys.stderr)
        if row["step"] < self.bar.n:  # the next member of a soup
            self.bar.reset()
        self.bar.update(int(row["step"]) - self.bar.n)
        if "loss" in row:
            self.bar.set_postfix(loss=f"{row['loss']:.3f}")

    def close(self) -> None:
        """Ends the line."""
        if self.bar is not None:
            self.bar.close()
