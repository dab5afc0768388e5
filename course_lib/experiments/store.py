"""Runs on the disk: computed once under a lock, written to a temporary folder and renamed, read back at once."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from filelock import FileLock

from course_lib import assets, machine
from course_lib.assets.files import flush_file
from course_lib.checkpoints import replace_folder
from course_lib.errors import CorruptAsset, CourseError
from course_lib.experiments.identity import as_stored, code_of, digest, versions

RECORD = "run.json"
Function = Callable[[dict[str, Any], Path], dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        name: of the experiment.
        config: what it was called with, as JSON returns it.
        result: what it returned, as JSON returns it.
        seconds: that the computation took, where it was made.
        source: `computed` just now, `stored` on this machine, or `course`: shipped with the course.
        made: where and when: `date`, `machine`, `step_seconds`, `peak_bytes`, `versions`, `code`.
        folder: files that it wrote; None for a run that ships with the course.
        expected_seconds: the forecast given before it was made; None where there was none.
    """

    name: str
    config: dict[str, Any]
    result: dict[str, Any]
    seconds: float
    source: str
    made: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    expected_seconds: float | None = None

    @property
    def origin(self) -> str:
        """In words, where the result comes from."""
        took = machine.readable_seconds(self.seconds)
        if self.source == "course":
            return f"from the course's results ({self.made['machine']}, {took}, {self.made['date']})"
        return f"computed on this machine ({took})"

    def file(self, name: str) -> Path:
        """A file or folder that the run wrote.

        Raises:
            CourseError: the run ships with the course, without its files.
        """
        if self.folder is None:
            raise CourseError(
                f"this run of {self.name} ships with the course, without its files",
                f"compute it here with {self.name}.run(config, files=True)",
            )
        return self.folder / name


def runs_folder() -> Path:
    """Where this machine's own runs are: $COURSE_RUNS, else `runs` in the cache."""
    moved = os.environ.get("COURSE_RUNS", "").strip()
    return Path(moved) if moved else assets.cache_folder() / "runs"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Inside the block no other process computes this run: a second notebook waits for the first one's result.

    Raises:
        CourseError: the cache cannot be written.
    """
    lock = FileLock(str(folder) + ".lock")
    with _disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _disk_errors(place: Path) -> Iterator[None]:
    """Raises CourseError where a file or folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise CourseError(
            f"{place} cannot be written: {error}",
            "free some disk, or set COURSE_CACHE to a folder where you may write",
        ) from error


def compute(name: str, function: Function, config: dict[str, Any], folder: Path, expected_seconds: float | None) -> Run:
    """Computes a run into `folder`, whole or not at all; an earlier run in that place is replaced.

    Raises:
        BadInput: the result is not JSON-able.
        CourseError: the cache cannot be written.
    """
    for left in folder.parent.glob(f".part-{folder.name}-*"):  # by killed processes: this one has the lock
        shutil.rmtree(left, ignore_errors=True)
    part = folder.with_name(f".part-{folder.name}-{os.getpid()}")
    code, libraries = code_of(function)
    config = as_stored(config, "config")
    try:
        with _disk_errors(folder):
            part.mkdir()
        step_seconds = machine.step_seconds()
        started = time.perf_counter()
        with machine.PeakMemory() as peak:
            result = function(as_stored(config, "config"), part)
        seconds = time.perf_counter() - started
        record = {
            "name": name,
            "config": config,
            "result": as_stored(result, "result"),
            "seconds": seconds,
            "expected_seconds": expected_seconds,
            "made": {
                "date": date.today().isoformat(),
                "machine": machine_in_words(),
                "step_seconds": step_seconds,
                "peak_bytes": peak.bytes,
                "versions": versions(libraries),
                "code": digest({"code": code}),
            },
        }
        with _disk_errors(folder):
            (part / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
            for file in part.rglob("*"):
                if file.is_file():
                    flush_file(file)
            replace_folder(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return _run_of(record, folder, "computed")


def machine_in_words() -> str:
    """Such as "2 cores, x86_64, bfloat16"."""
    precision = str(machine.precision()).removeprefix("torch.")
    return f"{os.cpu_count()} cores, {machine.device_name()}, {precision}"


def load(folder: Path) -> Run | None:
    """The run that is stored in a folder; None where there is none.

    Raises:
        CorruptAsset: its record is damaged.
    """
    record = folder / RECORD
    if not record.exists():
        return None
    try:
        return _run_of(json.loads(record.read_text(encoding="utf-8")), folder, "stored")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptAsset(
            f"the stored run {folder} is damaged: {error!r}", "delete that folder; it is computed again"
        ) from error


def _run_of(record: dict[str, Any], folder: Path, source: str) -> Run:
    name, config, result, made = (record[key] for key in ("name", "config", "result", "made"))
    return Run(name, config, result, float(record["seconds"]), source, made, folder, record["expected_seconds"])
