"""Runs the course's notebooks: `store` executes them and keeps the outputs, `check` compares with what is stored.

`form` runs nothing: it puts notebooks that were edited by hand into their stored form, and writes the exercises and
quizzes of course_lib/exercises into them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from notebook_cells import (
    ROOT,
    Coverage,
    code_cells,
    coverage,
    find,
    length,
    normalise,
    put_widget_pictures,
    read,
    widget_pictures,
    write_exercises,
)

SANITIZE = ROOT / "tests" / "tools" / "nbval_sanitize.cfg"
CELL_SECONDS = 600
AT_A_TIME = 2  # notebooks that are checked beside each other


def execute(path: Path) -> None:
    """Runs a notebook in a fresh kernel and replaces the file by its stored form when every cell went well.

    The pictures of its widgets stay: only a browser can take them (tests/browser).
    """
    notebook = read(path)
    pictures = widget_pictures(notebook)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    )
    client.execute()
    replace(path, put_widget_pictures(normalise(notebook), pictures))


def replace(path: Path, notebook: NotebookNode) -> None:
    """Writes beside the file, then puts it in the file's place: never half a notebook."""
    beside = path.with_suffix(".ipynb.part")
    nbformat.write(notebook, beside)
    os.replace(beside, path)


def form(paths: Sequence[Path]) -> int:
    """Puts the notebooks into their stored form (exercises, ids, and so on), outputs kept; always 0."""
    for path in paths:
        if (normal := normalise(write_exercises(read(path), path.name[:2]))) != read(path):
            replace(path, normal)
            print(f"{path.name}: put into its stored form")
    return 0


def store(paths: Sequence[Path]) -> int:
    """Executes the notebooks one after the other, prints a line for each; 0 when all went well."""
    os.environ["COURSE_PRESET"] = "cpu"  # stored outputs are the same wherever they were made
    os.environ |= without_own_runs()
    failed = 0
    for path in paths:
        start = time.perf_counter()
        try:
            execute(path)
            outcome = f"stored, {coverage(read(path))}"
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            failed += 1
            outcome = f"left as it was: {error}"
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {outcome}", flush=True)
    return int(failed > 0)


def without_own_runs() -> dict[str, str]:
    """Variables that make studies answer as in a fresh clone, from the results that ship or not at all.

    A learner's progress is neither shown nor changed.
    """
    return {"COURSE_COMPUTE": "never", "COURSE_RUNS": tempfile.mkdtemp(prefix="no-runs-"), "COURSE_PROGRESS": "off"}


@dataclass(frozen=True)
class Row:
    """What a strict nbval run of one notebook gave."""

    notebook: str
    cells: int
    seconds: float
    coverage: Coverage
    faults: tuple[str, ...]  # one for each cell that raised or gave another output

    @property
    def result(self) -> str:
        """ "passed", or how many cells did not."""
        return "passed" if not self.faults else f"{len(self.faults)} of {self.cells} cells FAILED"


def check(paths: Sequence[Path], report: Path) -> int:
    """Runs the notebooks under strict nbval and prints the table; 0 when every output is as stored.

    Two run at a time, each on half of the cores: the threads of one product wait for each other, two notebooks do not.
    Those with most cells come first, so that no long one ends alone.
    Studies answer from the results that ship: a notebook that would compute one fails.
    """
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    threads = max(1, (os.cpu_count() or 1) // AT_A_TIME)
    parts = [report.with_suffix(f".{number}.part") for number in range(len(paths))]
    tasks = sorted(zip(paths, parts, [threads] * len(paths), strict=True), key=lambda task: -length(task[0]))
    with ThreadPool(AT_A_TIME) as pool:
        codes = pool.starmap(_check_one, tasks, chunksize=1)
    _merge(parts, report)
    print_table(rows(paths, report))
    return int(any(codes))  # a process that was killed has a negative code


def _check_one(path: Path, part: Path, threads: int) -> int:
    """One notebook under strict nbval, which prints when it is done; its report goes into `part`."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "--nbval"),
        *("--nbval-current-env", f"--nbval-sanitize-with={SANITIZE}", f"--nbval-cell-timeout={CELL_SECONDS}"),
        *(f"--junitxml={part}", str(path)),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"OMP_NUM_THREADS": str(threads), **os.environ, **without_own_runs()},
        capture_output=True,
        text=True,
        errors="replace",
    )
    print(done.stdout + done.stderr, flush=True)
    return done.returncode


def _merge(parts: Sequence[Path], report: Path) -> None:
    """One JUnit report of all; a notebook that left none is not in it."""
    together = ElementTree.Element("testsuites")
    for part in parts:
        if part.exists():
            together.extend(ElementTree.parse(part).iter("testsuite"))
            part.unlink()
    ElementTree.ElementTree(together).write(report, encoding="utf-8", xml_declaration=True)


def rows(paths: Sequence[Path], report: Path) -> list[Row]:
    """The table's rows from nbval's JUnit report; a notebook without a result counts as failed."""
    cases: dict[str, list[ElementTree.Element]] = {}
    if report.exists():
        for case in ElementTree.parse(report).iter("testcase"):
            name = ".".join(case.get("classname", "").replace("/", ".").split(".")[-2:])  # without its folders
            cases.setdefault(name, []).append(case)
    return [_row(path, cases.get(path.name, [])) for path in paths]


def _row(path: Path, cases: list[ElementTree.Element]) -> Row:
    notebook = read(path)
    faults = tuple(f"{case.get('name')}: {_reason(case)}" for case in cases if _reason(case))
    if not cases:
        faults = ("no cell was run",)
    seconds = sum(float(case.get("time", 0)) for case in cases)
    return Row(path.name, len(code_cells(notebook)), seconds, coverage(notebook), faults)


def _reason(case: ElementTree.Element) -> str:
    found = case.find("failure")
    found = case.find("error") if found is None else found
    if found is None:
        return ""
    lines = [line.strip() for line in (found.text or found.get("message", "")).splitlines() if line.strip()]
    return " ".join(lines[1:2]) or "failed"


def print_table(table: Sequence[Row]) -> None:
    """Prints one line for each notebook, then what went wrong."""
    width = max(len(row.notebook) for row in table)
    print(f"\n{'notebook':{width}}  {'cells':>5}  {'seconds':>7}  {'compared':>13}  result")
    for row in table:
        compared = f"{row.coverage.compared} ({row.coverage.share:.0%})"
        print(f"{row.notebook:{width}}  {row.cells:>5}  {row.seconds:>7.1f}  {compared:>13}  {row.result}")
    for row in table:
        for fault in row.faults:
            print(f"  {row.notebook}, {fault}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("store", "check", "form"))
    parser.add_argument("notebooks", nargs="*", type=Path, help="all of the course where none is named")
    parser.add_argument("--report", type=Path, default=ROOT / "tests" / "reports" / "course.xml")
    options = parser.parse_args(arguments)
    paths = [path.resolve() for path in options.notebooks] or find()
    if not paths:
        print("There is no notebook in notebooks/.", file=sys.stderr)
        return 1
    if options.what == "check":
        return check(paths, options.report)
    return store(paths) if options.what == "store" else form(paths)


if __name__ == "__main__":
    sys.exit(main())
