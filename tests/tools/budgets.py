"""A pytest plugin: a test file that has become several times slower than recorded fails the run.

`make test` and `make check` load it. The seconds of each file are in tests/durations.json, and

    PYTHONPATH=tests/tools python -m pytest -n 2 --dist loadfile -p budgets --record

writes them again. A file may take twice its seconds, and 5 s in any case. On a slower or a busy machine all files take
longer: the median file says how much longer, and all may take so much more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import pytest

FILE = Path(__file__).parents[1] / "durations.json"
TIMES, LEAST = 2.0, 5.0  # a file may take so many times its recorded seconds, and at least so many seconds
SHORT = 1.0  # the seconds of a file below it say nothing about the speed of the machine
seconds: Counter[str] = Counter()


def faults(measured: Mapping[str, float], recorded: Mapping[str, float]) -> list[str]:
    """One sentence for each file that took longer than it may, or of which nothing is recorded."""
    both = [measured[file] / recorded[file] for file in measured.keys() & recorded if recorded[file] >= SHORT]
    slowness = max(1.0, median(both)) if both else 1.0
    found = [f"{file} is not in {FILE.name}: record it" for file in sorted(measured.keys() - recorded)]
    for file in sorted(measured.keys() & recorded):
        most = slowness * max(LEAST, TIMES * recorded[file])
        if measured[file] > most:
            found.append(
                f"{file} took {measured[file]:.0f} s; {most:.0f} s are allowed ({recorded[file]:.1f} s recorded)"
            )
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help=f"write the seconds of each test file to {FILE.name}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Under pytest-xdist, the process that hands out the tests gets the reports of all."""
    seconds[Path(report.nodeid.partition("::")[0]).name] += report.duration


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workerinput"):
        return
    if session.config.getoption("record"):
        FILE.write_text(json.dumps({file: round(seconds[file], 1) for file in sorted(seconds)}, indent=1) + "\n")
    elif session.exitstatus == 0 and faults(seconds, json.loads(FILE.read_text())):
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("record"):
        for fault in faults(seconds, json.loads(FILE.read_text())):
            terminalreporter.write_line(f"TOO SLOW {fault}", red=True)
