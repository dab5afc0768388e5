"""The browser. Under pytest-xdist each notebook is one worker's alone, and the longest come first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from needed_cells import cells_to_run
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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


def absent(what: str, cure: str) -> None:
    """In CI a missing tool is a failure; elsewhere the test is skipped and says why."""
    message = f"{what} is missing, so nothing was opened in a browser: {cure}"
    if os.environ.get("CI"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    executable = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent("playwright", "run `make test`, which installs it")
    if not executable:
        absent("Chromium", "install it (Debian: apt install chromium) or name it in the variable CHROMIUM")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=flags)
        yield chromium
        chromium.close()
