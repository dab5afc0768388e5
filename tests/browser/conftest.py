"""Under pytest-xdist each notebook is one worker's alone, and the longest come first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from notebook_cells import length
from xdist.scheduler import LoadScopeScheduling


class ByNotebook(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out all tests of a notebook at once; `--dist loadscope` would hand out all of the file's."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("[")[2]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByNotebook:
    """Called by pytest-xdist with `-n`."""
    return ByNotebook(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest notebook first: beside others, it must not end alone."""
    items.sort(key=lambda item: -opened_cells(item))


def opened_cells(item: pytest.Item) -> int:
    """Code cells of the notebook that a test opens; 0 where it opens none."""
    path = getattr(getattr(item, "callspec", None), "params", {}).get("opened")
    return length(path) if isinstance(path, Path) else 0
