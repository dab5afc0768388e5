"""Under pytest-xdist each notebook is one worker's alone, and the longest come first."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from needed_cells import cells_to_run
from xdist.scheduler import LoadScopeScheduling


class ByNotebook(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out all tests of a notebook at once; `--dist loadscope` would hand out all of the file's."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.partition("[")[2]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByNotebook:
    """Called by pytest-xdist with `-n`."""
    return ByNotebook(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The notebook with most cells to run first: beside others, it must not end alone."""
    items.sort(key=lambda item: -opened_cells(item))


def opened_cells(item: pytest.Item) -> int:
    """How many cells of its notebook a test runs; 0 where it opens none."""
    path = getattr(getattr(item, "callspec", None), "params", {}).get("opened")
    return len(cached_cells_to_run(path)) if isinstance(path, Path) else 0


cached_cells_to_run = cache(cells_to_run)
