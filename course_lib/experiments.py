"""One door for every run that takes long: computed once, stored by content, shared by all notebooks.

A run is named by what decides its outcome: the function and its source, its configuration, the code that it stands
on, the data, the preset, and the versions of the libraries. If any of them changes, it is another run. Delete a
run's folder and it is made again; an empty cache is only slower, never different.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock

from course_lib import assets, machine
from course_lib.checkpoints import as_json, flush_file, replace_folder, sha256_of
from course_lib.errors import BadInput, CorruptAsset

Experiment = Callable[[dict[str, Any], Path], dict[str, Any]]
# The modules whose code every run stands on. Docstrings and comments do not count.
FOUNDATION = (
    "course_lib.corpora",
    "course_lib.cleaning",
    "course_lib.batching",
    "course_lib.encoder",
    "course_lib.training",
    "course_lib.classifier",
)
_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn")
_RECORD = "run.json"


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        name: of the function.
        config: what it was called with.
        result: what it gave, JSON-able.
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
        function: takes the configuration and an empty folder for its files; returns a JSON-able dictionary.
        config: JSON-able.
        cost: gives the estimate that is printed before the computation starts.
        show: prints one line about what will happen, to standard error.

    Raises:
        BadInput: the configuration or the result is not JSON-able.
        CorruptAsset: the stored record is damaged.
    """
    folder = folder_of(function, config)
    stored = _load(function, folder)
    if stored:
        return stored
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(folder) + ".lock"):  # a second notebook waits for the first one's result
        stored = _load(function, folder)
        return stored or _compute(function, config, folder, cost() if cost else None, show)


def folder_of(function: Experiment, config: dict[str, Any]) -> Path:
    """Where the run is stored, whether it exists or not."""
    name = getattr(function, "__name__", "run").lstrip("_")
    return assets.cache_folder() / "runs" / f"{name}-{_fingerprint(function, config)}"


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


def _compute(function: Experiment, config: dict[str, Any], folder: Path, cost: machine.Cost | None, show: bool) -> Run:
    if show:
        print(f"computing {folder.name}: {cost or 'cost unknown'}", file=sys.stderr)
    part = folder.with_name(f".part-{folder.name}-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        started = time.perf_counter()
        result = function(json.loads(_as_json(config, "config")), part)
        record = {
            "name": getattr(function, "__name__", "run"),
            "config": config,
            "result": json.loads(_as_json(result, "result")),
            "seconds": time.perf_counter() - started,
            "expected_seconds": cost.seconds if cost else None,
            "preset": machine.preset().name,
            "versions": _versions(),
        }
        (part / _RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        flush_file(part / _RECORD)
        replace_folder(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return _run_of(record, folder, stored=False)


def _load(function: Experiment, folder: Path) -> Run | None:
    record = folder / _RECORD
    if not record.exists():
        return None
    try:
        return _run_of(json.loads(record.read_text(encoding="utf-8")), folder, stored=True)
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptAsset(
            f"the stored run {folder} is damaged: {error}", "delete that folder; it is made again"
        ) from error


def _run_of(record: dict[str, Any], folder: Path, stored: bool) -> Run:
    keys = ("name", "config", "result")
    name, config, result = (record[key] for key in keys)
    return Run(name, config, result, folder, float(record["seconds"]), record["expected_seconds"], stored)


def _as_json(values: dict[str, Any], what: str) -> str:
    try:
        return as_json(values)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what} is not JSON-able: {error}", "use strings, numbers, lists and dictionaries") from error


def _fingerprint(function: Experiment, config: dict[str, Any]) -> str:
    parts = {
        "function": f"{function.__module__}.{function.__qualname__}",
        "source": _meaning(_source(function)),
        "config": json.loads(_as_json(config, "config")),
        "foundation": _foundation(),
        "data": sha256_of(assets.data_folder() / "manifest.toml"),
        "preset": machine.preset().name,
        "versions": _versions(),
    }
    return hashlib.sha256(as_json(parts).encode()).hexdigest()[:16]


def _source(function: Experiment) -> str:
    """The text of the function's module, if that is part of the course; of the function alone, if a notebook's."""
    module = inspect.getmodule(function)
    if module and module.__name__.startswith("course_lib"):
        return inspect.getsource(module)
    return textwrap.dedent(inspect.getsource(function))


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    return {name: version(name).partition("+")[0] for name in _LIBRARIES}


@lru_cache(maxsize=1)
def _foundation() -> str:
    digest = hashlib.sha256()
    for name in FOUNDATION:
        file = Path(inspect.getfile(import_module(name)))
        files = sorted(file.parent.glob("*.py")) if file.name == "__init__.py" else [file]
        for source in files:
            digest.update(_meaning(source.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _meaning(source: str) -> str:
    """A hash of what a source text does: its syntax tree without docstrings, comments and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
