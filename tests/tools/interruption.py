"""Training runs that are interrupted, for tests of resuming."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class Interrupted(Exception):
    """Stands for a power cut."""


def interrupt_at(step: int, error: type[BaseException] = Interrupted) -> Callable[[Mapping[str, Any]], None]:
    """A callback that ends the run at the first row of its history that is of this step or a later one."""

    def callback(row: Mapping[str, Any]) -> None:
        if row["step"] >= step:
            raise error

    return callback
