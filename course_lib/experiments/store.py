"""Runs on the disk: made once under a lock, written beside and renamed, read back at once."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from course_lib import machine
from course_lib.checkpoints import flush_file, replace_folder
from course_lib.errors import CorruptAsset, CourseError
from course_lib.experiments.identity import Experiment, as_stored, folder_of, versions

_RECORD = "run.json"
_SEEN: set[Path] = set()  # folders of runs that this process computed or read


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        name: of the function.
        config: what it was called with, as JSON gives it back.
        result: what it gave, as JSON gives it back.
        folder: files that it wrote.
        seconds: that the computation took, when it was made.
        expected_seconds: the estimate given before it was made; None where there was none.
        stored: whether it came from the store instead of being computed now.
    """

    name: str
    config: dict[str, Any]
    result: dict[str, Any]
    folder: Path
    seconds: float
    expected_seconds: float | None
    stored: bool


def run(
    function: Experiment, config: dict[str, Any], *, cost: Callable[[], machine.Cost] | None = None, show: bool = True
) -> Run:
    """The stored run of `function(config, folder)`, computed now if there is none.

    Args:
        function: takes the configuration and an empty folder for its files; returns a JSON-able dictionary. What it
            does must follow from its code and its configuration alone, not from variables outside.
        config: JSON-able.
        cost: gives the estimate that is printed before the computation starts.
        show: prints one line about what will happen, to standard error.

    Raises:
        BadInput: the configuration or the result is not JSON-able; the function's code cannot be read.
        CorruptAsset: the stored record is damaged.
        CourseError: the cache cannot be written.
    """
    folder = folder_of(function, config)
    stored = _load(folder)
    if stored:
        _announce(folder, show)
        return stored
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(folder.parent, error) from error
    with FileLock(str(folder) + ".lock"):  # a second notebook waits for the first one's result
        stored = _load(folder)
        return stored or _compute(function, config, folder, cost() if cost else None, show)


def is_stored(function: Experiment, config: dict[str, Any]) -> bool:
    """Whether `run` would answer at once."""
    return (folder_of(function, config) / _RECORD).exists()


def forecast(
    function: Experiment, configs: Sequence[dict[str, Any]], cost: Callable[[dict[str, Any]], machine.Cost]
) -> str:
    """One sentence on what running all these configurations will take here and now."""
    missing = [config for config in configs if not is_stored(function, config)]
    if not missing:
        return "This cell reads stored runs: a moment."
    total = cost(missing[0])
    for config in missing[1:]:
        total = total + cost(config)
    return f"This cell will take {total}."


def _announce(folder: Path, show: bool) -> None:
    """Lets a test with a full cache see what a learner with an empty one sees: a line at a run's first use.

    Only where COURSE_SHOW_STORED is set: a cell whose output is compared must not be the one that computes a run.
    """
    if show and os.environ.get("COURSE_SHOW_STORED") and folder not in _SEEN:
        print(f"stored {folder.name}", file=sys.stderr)
    _SEEN.add(folder)


def _compute(function: Experiment, config: dict[str, Any], folder: Path, cost: machine.Cost | None, show: bool) -> Run:
    _SEEN.add(folder)
    if show:
        print(f"computing {folder.name}: {cost or 'cost unknown'}", file=sys.stderr)
    for left in folder.parent.glob(f".part-{folder.name}-*"):  # by a killed process: the lock says that none is at work
        shutil.rmtree(left, ignore_errors=True)
    part = folder.with_name(f".part-{folder.name}-{os.getpid()}")
    try:
        part.mkdir()
        started = time.perf_counter()
        result = function(as_stored(config, "config"), part)
        record = {
            "name": function.__name__,
            "config": as_stored(config, "config"),
            "result": as_stored(result, "result"),
            "seconds": time.perf_counter() - started,
            "expected_seconds": cost.seconds if cost else None,
            "preset": machine.preset().name,
            "versions": versions(),
        }
        _store(record, part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return _run_of(record, folder, stored=False)


def _store(record: dict[str, Any], part: Path, folder: Path) -> None:
    """Puts the finished folder in its place, when all of it is on the disk."""
    try:
        (part / _RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        for file in part.rglob("*"):
            if file.is_file():
                flush_file(file)
        replace_folder(part, folder)
    except OSError as error:
        raise _not_written(folder, error) from error


def _not_written(place: Path, error: OSError) -> CourseError:
    return CourseError(
        f"{place} cannot be written: {error}", "make room, or set COURSE_CACHE to a folder that you may write to"
    )


def _load(folder: Path) -> Run | None:
    record = folder / _RECORD
    if not record.exists():
        return None
    try:
        return _run_of(json.loads(record.read_text(encoding="utf-8")), folder, stored=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptAsset(
            f"the stored run {folder} is damaged: {error!r}", "delete that folder; it is made again"
        ) from error


def _run_of(record: dict[str, Any], folder: Path, stored: bool) -> Run:
    keys = ("name", "config", "result")
    name, config, result = (record[key] for key in keys)
    return Run(name, config, result, folder, float(record["seconds"]), record["expected_seconds"], stored)
