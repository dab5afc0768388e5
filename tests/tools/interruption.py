"""Training runs that are interrupted, for tests of resuming."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest


class Interrupted(Exception):
    """Stands for a power cut."""


def interrupt_at(step: int, error: type[BaseException] = Interrupted) -> Callable[[Mapping[str, Any]], None]:
    """A callback that ends the run at the first row of its history that is of this step or a later one."""

    def callback(row: Mapping[str, Any]) -> None:
        if row["step"] >= step:
            raise error

    return callback


def interrupt_command_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the user stops every command that trains (Ctrl-C) when this step is done."""
    from course_lib.commands.progress import ProgressBar

    callback = interrupt_at(step, KeyboardInterrupt)
    monkeypatch.setattr(ProgressBar, "__call__", lambda bar, row: callback(row))
