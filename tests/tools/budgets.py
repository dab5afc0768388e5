"""A pytest plugin: a test file that has become several times slower than recorded fails the run.

`make test` and `make check` load it. The seconds of each file are in tests/durations.json, and

    PYTHONPATH=tests/tools python -m pytest -n 2 --dist loadfile -p budgets --record

writes them again, best on a machine that does nothing else. A file may take eight times its seconds, and 30 s in any
case. Tests of many short products were seen to take six times as long beside other programs as alone: the budget finds
what became far slower, not a machine that was busy for a minute.
On a slower or a busy machine all files take longer: the median file says how much longer, and all may take so much
more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import pytest

FILE = Path(__file__).parents[1] / "durations.json"
TIMES, LEAST = 8.0, 30.0  # a file may take so many times its recorded seconds, and at least so many seconds
SHORT = 1.0  # the seconds of a file below it say nothing about the speed of the machine
seconds: Counter[str] = Counter()


def recorded() -> dict[str, float]:
    """The seconds of each test file, as they were recorded."""
    found: dict[str, float] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


def faults(measured: Mapping[str, float], known: Mapping[str, float]) -> dict[str, str]:
    """One sentence for each file that took longer than it may, or of which nothing is recorded."""
    both = [measured[file] / known[file] for file in measured.keys() & known.keys() if known[file] >= SHORT]
    slowness = max(1.0, median(both)) if both else 1.0
    found = {file: f"{file} is not in {FILE.name}: record it" for file in sorted(measured.keys() - known.keys())}
    for file in sorted(measured.keys() & known.keys()):
        most = slowness * max(LEAST, TIMES * known[file])
        if measured[file] > most:
            found[file] = f"{file} took {measured[file]:.0f} s; {most:.0f} s are allowed ({known[file]:.1f} s recorded)"
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help=f"write the seconds of each test file to {FILE.name}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest file first: a process that begins with it does not end alone."""
    known = recorded()
    items.sort(key=lambda item: -known.get(item.path.name, 0.0))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Under pytest-xdist, the process that hands out the tests gets the reports of all."""
    seconds[Path(report.nodeid.partition("::")[0]).name] += report.duration


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Each fault is a failed test of its file, so that the terminal and the JUnit report name it."""
    if hasattr(session.config, "workerinput"):
        return
    if session.config.getoption("record"):
        FILE.write_text(json.dumps({file: round(seconds[file], 1) for file in sorted(seconds)}, indent=1) + "\n")
        return
    for file, fault in faults(seconds, recorded()).items():
        session.config.hook.pytest_runtest_logreport(report=failed(file, fault))
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def failed(file: str, fault: str) -> pytest.TestReport:
    """The report of a failed test "budget" of a file."""
    return pytest.TestReport(f"{file}::budget", (file, None, "budget"), {}, "failed", fault, "call")
