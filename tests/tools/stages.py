"""What `make test` and `make check` run after the set-up: stages, a table of their seconds, one closing pytest line.

A stage that fails does not stop the later ones; the exit status is 0 only where all of them are green.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "tests" / "reports"


@dataclass(frozen=True)
class Stage:
    """One tool: its commands, run in order. One that writes a JUnit report names it as `{report}`.

    Light stages that follow each other are run side by side: each of them keeps one core busy.
    """

    name: str
    title: str
    commands: tuple[tuple[str, ...], ...]
    light: bool = False

    @property
    def report(self) -> Path:
        """Where the stage's JUnit report lies."""
        return REPORTS / f"{self.name}.xml"

    @property
    def reports_itself(self) -> bool:
        """Whether the tool writes the report, so that its tests are counted one by one."""
        return any("{report}" in part for command in self.commands for part in command)


@dataclass(frozen=True)
class Result:
    """How a stage ended."""

    stage: Stage
    green: bool
    seconds: float


LAYERS = "from importlinter.cli import lint_imports_command; lint_imports_command()"  # it has no `python -m`
# Two at a time, each on half of the cores: the threads of one product wait for each other, two tests do not.
UNIT = (
    "-m",
    "pytest",
    "-q",
    "-n",
    "2",
    "--dist",
    "loadfile",
    "--no-loadscope-reorder",
    "-p",
    "budgets",
    "--junitxml={report}",
)
BROWSER = ("-m", "pytest", "-v", "tests/browser", "-n", "2", "--junitxml={report}")  # see its conftest.py
STAGES = (
    Stage("types", "types: mypy on course_lib", (("-m", "mypy"),), light=True),
    Stage("lint", "lint: ruff", (("-m", "ruff", "check", "."), ("-m", "ruff", "format", "--check", ".")), light=True),
    Stage("layers", "layers: import-linter", (("-c", LAYERS),), light=True),
    Stage("unit", "unit tests", (UNIT,)),
    Stage("results", "results: some of the stored ones recomputed", (("-m", "results", "check", "--report={report}"),)),
    Stage("notebooks", "notebooks: strict nbval", (("-m", "run_notebooks", "check", "--report={report}"),)),
    Stage("browser", "browser: JupyterLab in Chromium", (BROWSER,)),
)
# For the developer's loop. The name of a stage that only this has is its own, so that its report is, too.
CHECK = (*STAGES[:3], Stage("fast", "unit tests, without the slow ones", ((*UNIT, "-m", "not slow"),)))


def environment() -> dict[str, str]:
    """Variables for the stages: the preset that the stored outputs were made with, no model hub, bytecode is kept."""
    path = os.pathsep.join(filter(None, (str(ROOT / "tests" / "tools"), os.environ.get("PYTHONPATH"))))
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "COURSE_PRESET": "cpu", "HF_HUB_OFFLINE": "1", "PYTHONPATH": path}


def run(stage: Stage) -> Result:
    """Runs a stage under its heading, and leaves a report in any case."""
    heading(stage.title)
    return finish(stage, *commands_of(stage, None))


def run_beside(stages: Sequence[Stage]) -> list[Result]:
    """Runs stages side by side; what each of them printed comes in their order."""
    with ThreadPoolExecutor(len(stages)) as pool:
        running = [pool.submit(commands_of, stage, subprocess.PIPE) for stage in stages]
        results = []
        for stage, one in zip(stages, running, strict=True):
            heading(stage.title)
            codes, seconds, printed = one.result()
            print(printed, end="")
            results.append(finish(stage, codes, seconds))
        return results


def run_all(stages: Sequence[Stage]) -> Iterator[Result]:
    """Runs stages one after the other, light ones that follow each other side by side."""
    for light, group in groupby(stages, key=lambda stage: stage.light):
        members = list(group)
        yield from run_beside(members) if light else map(run, members)


def heading(title: str) -> None:
    """A title between two lines."""
    print(f"\n{'=' * 100}\n{title}\n{'=' * 100}", flush=True)


def commands_of(stage: Stage, output: int | None) -> tuple[list[int], float, str]:
    """The exit statuses of a stage's commands, their seconds, and what they printed where `output` is PIPE."""
    stage.report.unlink(missing_ok=True)
    start = time.perf_counter()
    done = [
        subprocess.run(
            command_line(stage, command),
            cwd=ROOT,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            text=True,
            errors="replace",
        )
        for command in stage.commands
    ]
    printed = "".join(one.stdout or "" for one in done)
    return [one.returncode for one in done], time.perf_counter() - start, printed


def finish(stage: Stage, codes: Sequence[int], seconds: float, printed: str = "") -> Result:
    """Makes sure that the stage's report says how it ended."""
    green = not any(codes)
    if not stage.reports_itself or not stage.report.exists():
        write_report(stage, seconds, green)
    elif not green:
        hold_against(stage, next(code for code in codes if code))
    print(f"{stage.title}: {'ok' if green else 'FAILED'} in {seconds:.0f} s", flush=True)
    return Result(stage, green, seconds)


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


def print_table(results: Sequence[Result], set_up: float | None) -> None:
    """One line for each stage; those of light stages overlap."""
    print(f"\n{'stage':50} {'seconds':>7}  result")
    if set_up is not None:
        print(f"{'set-up':50} {set_up:>7.0f}  ok")
    for result in results:
        print(f"{result.stage.title:50} {result.seconds:>7.0f}  {'ok' if result.green else 'FAILED'}")


def close(stages: Sequence[Stage]) -> int:
    """One pytest run over the stages' reports: the closing line counts every test of every stage."""
    heading("all stages")
    options = ["-q", "--noconftest", "-p", "replay", "-p", "no:cacheprovider", "-W", "ignore", "--tb=line", "-rf"]
    command = [sys.executable, "-m", "pytest", *options, *(str(stage.report) for stage in stages)]
    alone = {**environment(), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=ROOT, env=alone).returncode


def chosen(names: Sequence[str], check: bool) -> list[Stage]:
    """The stages of `make check` or of `make test`, of these those that are named; all where none is."""
    return [stage for stage in (CHECK if check else STAGES) if not names or stage.name in names]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="*", help=f"all where none is named: {', '.join(s.name for s in STAGES)}")
    parser.add_argument("--check", action="store_true", help="only what is fast, for the developer's loop")
    parser.add_argument("--started", type=float, help="when the set-up began, in seconds since 1970")
    options = parser.parse_args(arguments)
    begin = time.time()
    if unknown := set(options.stages) - {stage.name for stage in (CHECK if options.check else STAGES)}:
        parser.error(f"unknown stage: {', '.join(sorted(unknown))}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    results = list(run_all(chosen(options.stages, options.check)))
    print_table(results, begin - options.started if options.started else None)
    print(f"{'in all':50} {time.time() - (options.started or begin):>7.0f}", flush=True)
    return close([result.stage for result in results]) or int(not all(result.green for result in results))


if __name__ == "__main__":
    sys.exit(main())
