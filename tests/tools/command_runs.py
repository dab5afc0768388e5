"""What tests of the command line share."""

from __future__ import annotations

import json
from typing import Any

import pytest
from interruption import interrupt_at

from course_lib.commands.progress_bar import ProgressBar


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Standard output as the one JSON object, on one line, that it must be."""
    out = capsys.readouterr().out
    assert out.endswith("\n") and out.count("\n") == 1
    answer = json.loads(out)
    assert isinstance(answer, dict)
    return answer


def interrupt_command_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the user stops every command that trains (Ctrl-C) when this step is done."""
    callback = interrupt_at(step, KeyboardInterrupt)
    monkeypatch.setattr(ProgressBar, "__call__", lambda bar, row: callback(row))
