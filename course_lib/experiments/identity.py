"""What decides a run's outcome, as one short hash."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from types import CellType, FunctionType, ModuleType
from typing import Any

from course_lib import assets, machine
from course_lib.checkpoints import as_json, sha256_of
from course_lib.errors import BadInput

Experiment = Callable[[dict[str, Any], Path], dict[str, Any]]
# The parts of the course whose code every run stands on. Docstrings and comments do not count.
FOUNDATION = (
    "course_lib.corpora",
    "course_lib.cleaning",
    "course_lib.batching",
    "course_lib.encoder",
    "course_lib.training",
    "course_lib.classifier",
)
# Parts that fetch, watch, store or show: a change in them changes no result.
_BYSTANDERS = {"assets", "checkpoints", "commands", "errors", "exercises", "experiments", "machine", "plots", "widgets"}
_LIBRARY = Path(__file__).parents[1]
_LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "scikit-learn")


def folder_of(function: Experiment, config: dict[str, Any]) -> Path:
    """Where the run is stored, whether it exists or not.

    Raises:
        BadInput: the configuration is not JSON-able, or the function's code cannot be read.
    """
    fingerprint = _fingerprint(function, config)
    name = re.sub(r"\W+", "", function.__name__).strip("_") or "run"
    return assets.cache_folder() / "runs" / f"{name}-{fingerprint}"


def as_stored(values: Any, what: str) -> dict[str, Any]:
    """The values as JSON gives them back: tuples become lists, keys strings.

    Raises:
        BadInput: they are no dictionary, or hold what JSON does not know; `what` says whose they are.
    """
    if not isinstance(values, dict):
        raise BadInput(f"{what} is {values!r:.80}, not a dictionary", "give a dictionary of named values")
    try:
        as_json(values)  # also refuses keys that have no order
        plain: dict[str, Any] = json.loads(json.dumps(values))
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what} is not JSON-able: {error}", "use strings, numbers, lists and dictionaries") from error
    return plain


def _fingerprint(function: Experiment, config: dict[str, Any]) -> str:
    if not isinstance(function, FunctionType):
        raise BadInput(f"{function!r:.80} is not a plain function", "give one that is made with def")
    parts = {
        "function": f"{function.__module__}.{function.__qualname__}",
        "code": _code(function),
        "config": as_stored(config, "config"),
        "data": sha256_of(assets.data_folder() / "manifest.toml"),
        "preset": machine.preset().name,
        "versions": versions(),
    }
    return hashlib.sha256(as_json(parts).encode()).hexdigest()[:16]


@lru_cache(maxsize=1)
def versions() -> Mapping[str, str]:
    """Versions of the libraries whose arithmetic a result may depend on."""
    return {name: version(name).partition("+")[0] for name in _LIBRARIES}


def _code(function: FunctionType) -> dict[str, str]:
    """Name -> meaning of all code that a run stands on.

    For a function of the course: the modules that its own one imports, at any depth. For a function of a notebook:
    itself, the notebook's functions and classes that it names, and the modules of the course that these name.
    Other values from outside the function do not count: they belong into its configuration.
    """
    if _file(function.__module__):
        return _course_code(frozenset({*FOUNDATION, function.__module__}))
    own, modules = _reached(function)
    return own | _course_code(frozenset({*FOUNDATION, *modules}))


def _reached(function: FunctionType) -> tuple[dict[str, str], set[str]]:
    """Meaning of the functions of the same notebook that `function` reaches, and modules of the course."""
    own: dict[str, str] = {}
    modules: set[str] = set()
    todo = [function]
    while todo:
        current = todo.pop()
        name = f"{current.__module__}.{current.__qualname__}"
        if name in own:
            continue
        source = _source(current)
        if source is None and current is function:
            raise BadInput(f"the code of {name} cannot be read", "define it with def, in a cell or in a file")
        if source is None:
            continue
        own[name], imported = _read(source)
        modules |= imported
        for value in _named(current, source):
            owner = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(owner, str) and _file(owner):
                modules.add(owner)
            elif owner == function.__module__:
                todo += _functions(value)
    return own, modules


def _source(function: FunctionType) -> str | None:
    """The text of a function; None where there is none (a dataclass's `__init__`) or it is a part of a line."""
    try:
        source = textwrap.dedent(inspect.getsource(function))
        ast.parse(source)
    except (OSError, TypeError, SyntaxError):
        return None
    return source


def _named(function: FunctionType, source: str) -> list[Any]:
    """What the names in a function's source stand for outside of it."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    scope = function.__globals__ | {name: cell.cell_contents for name, cell in cells if cell != CellType()}
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    return [scope[name] for name in sorted(names & scope.keys())]


def _functions(value: Any) -> list[FunctionType]:
    """The function itself, or the methods of a class or of an object's class."""
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, FunctionType):
        return [value]
    kind = value if isinstance(value, type) else type(value)
    return [method for method in vars(kind).values() if isinstance(method, FunctionType)]


@lru_cache(maxsize=64)
def _course_code(roots: frozenset[str]) -> dict[str, str]:
    """Module of the course -> its meaning, for the roots and all that they import."""
    code: dict[str, str] = {}
    todo = sorted(roots)
    while todo:
        name = todo.pop()
        file = _file(name)
        if file and name not in code:
            code[name], imported = _read(file.read_text(encoding="utf-8"))
            todo += sorted(imported)
    return code


def _file(name: str) -> Path | None:
    """The source of a module of the course; None for any other module and for bystanders."""
    first, *rest = name.split(".")
    if first != _LIBRARY.name or not rest or rest[0] in _BYSTANDERS:
        return None
    place = _LIBRARY.joinpath(*rest)
    return next((file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()), None)


@lru_cache(maxsize=256)
def _read(source: str) -> tuple[str, frozenset[str]]:
    """A hash of what a source text does (its syntax tree without docstrings, comments and layout), and its imports."""
    tree = ast.parse(source)
    imported: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (
            ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    meaning = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
    return meaning, frozenset(name for name in imported if _file(name))
