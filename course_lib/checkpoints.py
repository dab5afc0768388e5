"""Checkpoints that survive a kill: written beside, flushed to the disk, checked by hash, then renamed.

A checkpoint is a folder `step-00000120/` with `tensors.safetensors` (weights, optimizer, averages, random state) and
`state.json` (everything else, and the hash of the tensors). No pickle. The folder gets its name only when both
files are complete, so a folder with that name is either whole or damaged by something else, and its hash tells.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import psutil
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Module

from course_lib.assets.files import flush_file, flush_folder
from course_lib.assets.manifest import sha256_of
from course_lib.errors import CheckpointError, CourseError

_TENSORS, _STATE = "tensors.safetensors", "state.json"
_LONGEST = 200  # characters of a value that an identity shows as it is; longer ones are hashed


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
        try:
            with atomic_folder(target) as part:
                _write(part, checkpoint)
        except CourseError as error:
            raise CheckpointError(
                f"checkpoint of step {checkpoint.step} could not be written to {self.folder}: {error.__cause__}",
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


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """A new folder to write into. At the end of the block it is flushed to the disk and replaces `target`, whole.

    After an error nothing has changed.

    Raises:
        CourseError: the folder cannot be written (disk full, no permission).
    """
    part = target.with_name(f".part-{target.name}-{os.getpid()}")
    for left in target.parent.glob(f".part-{target.name}-*"):  # by a process that was killed
        if not psutil.pid_exists(int(left.name.rpartition("-")[2])):
            shutil.rmtree(left, ignore_errors=True)
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        for path in part.rglob("*"):
            flush_folder(path) if path.is_dir() else flush_file(path)
        flush_folder(part)
        replace_folder(part, target)
        flush_folder(target.parent)
    except CourseError:  # of the block; MissingAsset is an OSError, too
        raise
    except (OSError, SafetensorError) as error:
        raise CourseError(f"{target} could not be written: {error}", "make room, or give another folder") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def replace_folder(part: Path, target: Path) -> None:
    """Puts the finished folder `part` in the place of `target`; the old content is removed only afterwards."""
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


def as_json(values: Any) -> str:
    """JSON with sorted keys: equal content gives equal text."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


# ---- the identity of a run ----------------------------------------------------------------------------------


def check_resume_identity(saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Compares what decides the outcome of two runs: one continues from the other's checkpoint only if all is equal.

    Raises:
        CheckpointError: something differs; the message names it with both values.
    """
    mine = json.loads(json.dumps(current))
    differ = {
        name: (saved.get(name), mine.get(name))
        for name in sorted(saved.keys() | mine.keys())
        if saved.get(name) != mine.get(name)
    }
    if differ:
        raise CheckpointError(
            f"the checkpoint is of another run; (there, here): {differ}",
            "resume with the same data and settings, or give an empty checkpoint folder",
        )


def resume_identity(**parts: Any) -> dict[str, Any]:
    """What decides the outcome of a run, by name, for `check_resume_identity`.

    Dataclasses are listed field by field (`recipe.masking.rate`). Long values such as texts, tensors and modules are
    represented by a hash of their content, functions by their code, closure and named constants, other objects by
    their class and attributes. Equal content gives an equal identity in another process, too.
    """
    identity: dict[str, Any] = {}
    for name, value in parts.items():
        if is_dataclass(value) and not isinstance(value, type):
            identity |= resume_identity(**{f"{name}.{field}": part for field, part in _fields(value).items()})
        else:
            described = _described(value)
            identity[name] = described if len(as_json(described)) <= _LONGEST else f"sha256 {_hash(described)}"
    return identity


def _described(value: Any, parents: tuple[Any, ...] = ()) -> Any:
    """A value as JSON; `parents` are the values that it is a part of."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if any(value is parent for parent in parents):
        return "..."
    kind, parents = type(value).__qualname__, (*parents, value)

    def inner(part: Any) -> Any:
        return _described(part, parents)

    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous()
        return [str(value.dtype), list(value.shape), inner(value.flatten().view(torch.uint8).numpy().tobytes())]
    if isinstance(value, (np.ndarray, np.generic)):
        content = value.tolist() if value.dtype == object else value.tobytes()
        return [str(value.dtype), list(value.shape), inner(content)]
    if isinstance(value, Mapping):
        return {str(key): inner(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [inner(part) for part in value]
    if isinstance(value, (set, frozenset)):
        return sorted((inner(part) for part in value), key=as_json)
    if isinstance(value, Module):
        return [kind, inner(value.state_dict())]
    if isinstance(value, (type, ModuleType, BuiltinFunctionType)):
        return value.__name__
    if isinstance(value, bytes):
        return hashlib.sha256(value).hexdigest()
    if isinstance(value, CodeType):
        return [value.co_code.hex(), list(value.co_names), inner(value.co_consts)]
    if isinstance(value, FunctionType):
        return [value.__qualname__, inner(value.__code__), inner(_named_values(value))]
    if isinstance(value, MethodType):
        return [inner(value.__func__), inner(value.__self__)]
    if is_dataclass(value):
        return [kind, inner(_fields(value))]
    if hasattr(value, "get_vocab"):  # a tokenizer; its other attributes change with every call
        return [kind, inner(value.get_vocab())]
    if hasattr(value, "get_params"):  # an estimator; of its results only what predictions depend on
        fitted = {name: part for name, part in vars(value).items() if isinstance(part, (Module, np.ndarray))}
        return [kind, inner(value.get_params(deep=False)), inner(fitted)]
    return [kind, inner(_state(value))]


def _fields(value: Any) -> dict[str, Any]:
    """What a dataclass was made of; values that it has computed since then are left out."""
    return {field.name: getattr(value, field.name) for field in fields(value) if field.init}


def _named_values(function: FunctionType) -> dict[str, Any]:
    """Values of the closure, and the constants and functions of its own module that a function names."""
    codes, named = [function.__code__], set[str]()
    for code in codes:  # grows: functions inside the function
        named.update(code.co_names)
        codes += [part for part in code.co_consts if isinstance(part, CodeType)]
    module = {name: function.__globals__[name] for name in sorted(named) if name in function.__globals__}
    plain = (bool, int, float, str, tuple, list, dict, Tensor, np.ndarray)
    own = {
        name: value
        for name, value in module.items()
        if isinstance(value, plain) or getattr(value, "__module__", None) == function.__module__
    }
    defaults = {"defaults": function.__defaults__, "keyword defaults": function.__kwdefaults__}
    return {**own, **defaults, **inspect.getclosurevars(function).nonlocals}


def _state(value: Any) -> Any:
    """What an object is pickled from, or its class alone where it cannot be pickled."""
    try:
        state = value.__reduce_ex__(4)
    except TypeError:
        return getattr(value, "__dict__", None)
    if isinstance(state, str):
        return state
    return [list(part) if isinstance(part, Iterator) else part for part in state]


def _hash(described: Any) -> str:
    return hashlib.sha256(as_json(described).encode()).hexdigest()[:16]
