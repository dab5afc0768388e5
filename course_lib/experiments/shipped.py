"""Results that ship with the course: one JSON file an experiment under data/results, a configuration an entry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from course_lib import assets
from course_lib.assets.files import write_atomically
from course_lib.checkpoints import as_json
from course_lib.errors import CorruptAsset
from course_lib.experiments.store import Run

RESULTS_FOLDER = "results"


@dataclass(frozen=True)
class Shipped:
    """One shipped result.

    Attributes:
        version: of the experiment when it was computed.
        data: hash of the data and models that it rests on.
        preset: `cpu` or `gpu`.
        run: the result with its configuration and where it was made.
    """

    version: int
    data: str
    preset: str
    run: Run

    @property
    def key(self) -> tuple[int, str, str, str]:
        """What must be equal for the result to be that of a configuration."""
        return self.version, self.data, self.preset, as_json(self.run.config)


def results_file(name: str) -> Path:
    """The file of an experiment's shipped results; it may not exist."""
    return assets.data_folder() / RESULTS_FOLDER / f"{name}.json"


def read(name: str) -> list[Shipped]:
    """All shipped results of an experiment.

    Raises:
        CorruptAsset: the file is damaged.
    """
    file = results_file(name)
    return list(_parse(file, file.stat().st_mtime_ns)) if file.is_file() else []


@lru_cache(maxsize=64)
def _parse(file: Path, changed: int) -> tuple[Shipped, ...]:
    """`changed` is the file's time stamp: an edited file is read again."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        return tuple(_entry(file.stem, entry) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptAsset(f"{file} is damaged: {error!r}", f"restore it: git checkout -- {file.name}") from error


def _entry(name: str, entry: dict[str, Any]) -> Shipped:
    run = Run(name, entry["config"], entry["result"], float(entry["seconds"]), "course", entry["made"])
    return Shipped(int(entry["version"]), entry["data"], entry["preset"], run)


def write(name: str, entries: Sequence[Shipped]) -> None:
    """Replaces the shipped results of an experiment."""
    lines = [
        json.dumps({
            "config": entry.run.config, "version": entry.version, "data": entry.data, "preset": entry.preset,
            "seconds": round(entry.run.seconds, 2), "made": entry.run.made, "result": entry.run.result,
        }, separators=(",", ":"))
        for entry in sorted(entries, key=lambda entry: entry.key)
    ]  # fmt: skip
    write_atomically(results_file(name), "[\n" + ",\n".join(lines) + "\n]\n")
