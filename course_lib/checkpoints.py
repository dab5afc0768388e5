"""Checkpoints that survive a kill: written beside, flushed to the disk, checked by hash, then renamed.

A checkpoint is a folder `step-00000120/` with `tensors.safetensors` (weights, optimizer, averages, random state) and
`state.json` (everything else, and the hash of the tensors). No pickle. The folder gets its name only when both
files are complete, so a folder with that name is either whole or damaged by something else, and its hash tells.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from course_lib.errors import CheckpointError

_TENSORS, _STATE = "tensors.safetensors", "state.json"


@dataclass
class Checkpoint:
    """All that a run needs to go on: tensors by name, and JSON-able values."""

    step: int
    tensors: dict[str, Tensor] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


class CheckpointFolder:
    """Keeps the newest checkpoints of one run.

    Args:
        folder: made when the first checkpoint is written.
        every: steps between two checkpoints.
        keep: how many of the newest stay on the disk.
    """

    def __init__(self, folder: str | Path, every: int = 100, keep: int = 2) -> None:
        if every < 1 or keep < 1:
            raise CheckpointError(f"every={every}, keep={keep}", "use 1 or more for both")
        self.folder = Path(folder)
        self.every = every
        self.keep = keep

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        names = (entry.name for entry in self.folder.glob("step-*") if entry.is_dir())
        return sorted(int(name[5:]) for name in names if name[5:].isdigit())

    def save(self, checkpoint: Checkpoint) -> Path:
        """Writes a checkpoint, then drops those that are older than the newest `keep`.

        Raises:
            CheckpointError: it could not be written (disk full, no permission). Older ones are untouched.
        """
        target = self._path(checkpoint.step)
        part = target.with_name(f".part-{target.name}-{os.getpid()}")
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            _write(part, checkpoint)
            if target.exists():
                shutil.rmtree(target)
            part.replace(target)
            flush_folder(self.folder)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(part, ignore_errors=True)
            raise CheckpointError(
                f"checkpoint of step {checkpoint.step} could not be written to {self.folder}: {error}",
                f"make room on the disk or give another folder, then resume; complete checkpoints: {self.steps()}",
            ) from error
        self._drop_old()
        return target

    def load(self, step: int | None = None) -> Checkpoint | None:
        """The checkpoint of a step, by default the newest; None where there is none yet.

        Raises:
            CheckpointError: the checkpoint is damaged. The message names the last good one.
        """
        steps = self.steps()
        if step is None and not steps:
            return None
        wanted = steps[-1] if step is None else step
        path = self._path(wanted)
        try:
            return _read(path, wanted)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            good = [other for other in steps if other != wanted and _is_whole(self._path(other))]
            raise CheckpointError(
                f"checkpoint {path} is damaged: {error}",
                f"delete that folder; the run then resumes from step {good[-1]}"
                if good
                else "delete that folder and start the run again: no other good checkpoint is left",
            ) from error

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def _drop_old(self) -> None:
        for step in self.steps()[: -self.keep]:
            shutil.rmtree(self._path(step), ignore_errors=True)
        for part in self.folder.glob(".part-*"):  # left by a killed process
            shutil.rmtree(part, ignore_errors=True)


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    tensors = folder / _TENSORS
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}, tensors)
    state = {"step": checkpoint.step, "sha256": sha256_of(tensors), "values": checkpoint.values}
    (folder / _STATE).write_text(json.dumps(state), encoding="utf-8")
    for name in (_TENSORS, _STATE):
        flush_file(folder / name)


def _read(folder: Path, step: int) -> Checkpoint:
    state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
    met = sha256_of(folder / _TENSORS)
    if met != state["sha256"]:
        raise ValueError(f"sha256 of {_TENSORS} is {met[:12]}..., state.json says {state['sha256'][:12]}...")
    if state["step"] != step:
        raise ValueError(f"state.json is of step {state['step']}")
    return Checkpoint(step, load_file(folder / _TENSORS), state["values"])


def _is_whole(folder: Path) -> bool:
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        return bool(sha256_of(folder / _TENSORS) == state["sha256"])
    except (OSError, ValueError, KeyError):
        return False


def sha256_of(path: Path) -> str:
    """The sha256 of a file as hexadecimal text."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_file(path: Path) -> None:
    """Waits until a file's content is on the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Waits until a folder's entries are on the disk (a no-op where folders cannot be opened, as on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file beside its place, flushes it and renames it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}-{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        flush_file(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def replace_folder(part: Path, target: Path) -> None:
    """Puts the finished folder `part` in the place of `target`; what stood there is gone only afterwards."""
    old = target.with_name(f".old-{target.name}-{os.getpid()}")
    if target.exists():
        target.replace(old)
    try:
        part.replace(target)
    except OSError:
        if old.exists():
            old.replace(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def as_json(values: Mapping[str, Any]) -> str:
    """JSON with sorted keys: equal content gives equal text."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
