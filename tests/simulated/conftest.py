"""Starts the simulated accelerator, on which the course then runs by itself, and compares with the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import simulated_accelerator as accelerator

accelerator.start()


@pytest.fixture(autouse=True)
def preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine with a GPU where nothing is set."""
    monkeypatch.delenv("COURSE_PRESET", raising=False)


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """Runs a function with the course on the CPU, and returns what it returns."""

    def run(function: Callable[[], Any]) -> Any:
        with monkeypatch.context() as patch:
            patch.setenv("COURSE_PRESET", "cpu")
            return function()

    return run
