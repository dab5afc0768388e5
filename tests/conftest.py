"""For all unit tests: no model hub, no window, no parallel tokenizers, no deadline on a busy machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import matplotlib
import pytest
from hypothesis import settings

# Before torch is loaded; programs that tests start inherit it.
if beside := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(beside))))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["COURSE_PROGRESS"] = "off"  # a learner's own file stays as it is
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Not through MPLBACKEND: a Jupyter kernel that a test starts would inherit it and show no figure.
matplotlib.use("Agg")
# A slow example says that the machine is busy, not that the code is wrong.
settings.register_profile("course", deadline=None)
settings.load_profile("course")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: left out by `make check`: takes more than about two seconds")


@pytest.fixture(autouse=True)
def figures_are_closed() -> Iterator[None]:
    """Figures that one test leaves open are not found by the next one."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
