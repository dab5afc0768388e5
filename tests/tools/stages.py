"""What `make test` runs after the set-up: every stage with its heading and summary, then one closing pytest line.

A stage that fails does not stop the later ones; the exit status is 0 only where all of them are green.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "tests" / "reports"


@dataclass(frozen=True)
class Stage:
    """One tool: its commands, run in order. One that writes a JUnit report names it as `{report}`."""

    name: str
    title: str
    commands: tuple[tuple[str, ...], ...]

    @property
    def report(self) -> Path:
        """Where the stage's JUnit report lies."""
        return REPORTS / f"{self.name}.xml"

    @property
    def reports_itself(self) -> bool:
        """Whether the tool writes the report, so that its tests are counted one by one."""
        return any("{report}" in part for command in self.commands for part in command)


LAYERS = "from importlinter.cli import lint_imports_command; lint_imports_command()"  # it has no `python -m`
BROWSER = ("tests/browser", "-n", "2")  # two notebooks at a time, see its conftest.py
STAGES = (
    Stage("lint", "lint: ruff", (("-m", "ruff", "check", "."), ("-m", "ruff", "format", "--check", "."))),
    Stage("types", "types: mypy on course_lib", (("-m", "mypy"),)),
    Stage("layers", "layers: import-linter", (("-c", LAYERS),)),
    # Two at a time, each on half of the cores: the threads of one product wait for each other, two tests do not.
    Stage(
        "unit",
        "unit tests",
        (("-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "--durations=10", "--junitxml={report}"),),
    ),
    Stage("notebooks", "notebooks: strict nbval", (("-m", "run_notebooks", "check", "--report={report}"),)),
    Stage("browser", "browser: JupyterLab in Chromium", (("-m", "pytest", "-v", *BROWSER, "--junitxml={report}"),)),
)


def environment() -> dict[str, str]:
    """Variables for the stages: the preset that the stored outputs were made with, and no model hub."""
    path = os.pathsep.join(filter(None, (str(ROOT / "tests" / "tools"), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "COURSE_PRESET": "cpu", "HF_HUB_OFFLINE": "1", "PYTHONPATH": path}


def run(stage: Stage) -> bool:
    """Runs a stage under its heading; says whether it is green, and leaves a report in any case."""
    print(f"\n{'=' * 100}\n{stage.title}\n{'=' * 100}", flush=True)
    stage.report.unlink(missing_ok=True)
    start = time.perf_counter()
    codes = [
        subprocess.run(command_line(stage, command), cwd=ROOT, env=environment()).returncode
        for command in stage.commands
    ]
    seconds = time.perf_counter() - start
    green = not any(codes)
    if not stage.reports_itself or not stage.report.exists():
        write_report(stage, seconds, green)
    elif not green:
        hold_against(stage, max(codes))
    print(f"{stage.title}: {'ok' if green else 'FAILED'} in {seconds:.0f} s", flush=True)
    return green


def command_line(stage: Stage, command: Sequence[str]) -> list[str]:
    """The full command of one step, with this interpreter."""
    return [sys.executable, *(part.format(report=stage.report) for part in command)]


def write_report(stage: Stage, seconds: float, green: bool) -> None:
    """A JUnit report of one test for a tool that writes none (or stopped before it could)."""
    suite = ElementTree.Element("testsuite", name=stage.name)
    case = ElementTree.SubElement(suite, "testcase", name=stage.title, time=f"{seconds:.3f}")
    if not green:
        ElementTree.SubElement(case, "failure", message=f"{stage.title}: see its output above")
    ElementTree.ElementTree(suite).write(stage.report, encoding="utf-8", xml_declaration=True)


def hold_against(stage: Stage, code: int) -> None:
    """Makes sure that a stage which exited with `code` has a failure in its report (a crash may leave none)."""
    tree = ElementTree.parse(stage.report)
    if tree.find(".//failure") is None and tree.find(".//error") is None:
        suite = next(tree.iter("testsuite"))
        case = ElementTree.SubElement(suite, "testcase", name=stage.title)
        ElementTree.SubElement(case, "failure", message=f"exit status {code}, see its output above")
        tree.write(stage.report, encoding="utf-8", xml_declaration=True)


def close(stages: Sequence[Stage]) -> int:
    """One pytest run over the stages' reports: the closing line counts every test of every stage."""
    print(f"\n{'=' * 100}\nall stages\n{'=' * 100}", flush=True)
    options = ["-q", "--noconftest", "-p", "replay", "-p", "no:cacheprovider", "-W", "ignore", "--tb=line", "-rf"]
    command = [sys.executable, "-m", "pytest", *options, *(str(stage.report) for stage in stages)]
    alone = {**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=ROOT, env=alone).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", help=f"all where none is named: {', '.join(s.name for s in STAGES)}")
    names = parser.parse_args(arguments).stages
    if unknown := set(names) - {stage.name for stage in STAGES}:
        parser.error(f"unknown stage: {', '.join(sorted(unknown))}")
    stages = [stage for stage in STAGES if not names or stage.name in names]
    REPORTS.mkdir(parents=True, exist_ok=True)
    green = [run(stage) for stage in stages]
    for stage, passed in zip(stages, green, strict=True):
        print(f"  {'ok    ' if passed else 'FAILED'}  {stage.title}")
    return close(stages) or int(not all(green))


if __name__ == "__main__":
    sys.exit(main())
