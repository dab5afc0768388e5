"""What decides a run's outcome, as one short hash.

The code is taken as this process has *loaded* it: a file that was edited since then does not count until it is
imported again. Comments, layout and docstrings do not count.
"""

from __future__ import annotations

import dataclasses
import dis
import functools
import hashlib
import importlib
import importlib.metadata
import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

from course_lib import assets, machine
from course_lib.checkpoints import as_json
from course_lib.errors import BadInput

COURSE = "course_lib"
# Parts that fetch, watch, store or show: a change in them changes no result.
_BYSTANDERS = {"assets", "checkpoints", "commands", "errors", "exercises", "experiments", "plots", "widgets"}
# Import names of libraries whose distribution has another name.
_DISTRIBUTIONS = {"sklearn": "scikit-learn", "PIL": "pillow"}
_IMPORT = dis.opmap["IMPORT_NAME"]
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis))


def as_stored(values: Any, what: str) -> dict[str, Any]:
    """The values as JSON returns them: tuples become lists, keys strings.

    Raises:
        BadInput: they are not a dictionary, or hold values that JSON lacks; `what` names them in the error.
    """
    if not isinstance(values, dict):
        raise BadInput(f"{what} is {values!r:.80}, not a dictionary", "give a dictionary of named values")
    try:
        as_json(values)  # also refuses keys that have no order
        plain: dict[str, Any] = json.loads(json.dumps(values))
    except (TypeError, ValueError) as error:
        raise BadInput(f"{what} is not JSON-able: {error}", "use strings, numbers, lists and dictionaries") from error
    return plain


def digest(parts: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the sha256 of JSON-able parts."""
    return hashlib.sha256(as_json(parts).encode()).hexdigest()[:16]


def fingerprint(function: Any, config: dict[str, Any]) -> str:
    """Hash of everything that decides what `function(config, folder)` returns on this machine.

    That is its code as loaded with the globals it names, the modules of the course that it uses, the versions of the
    libraries that these import, the data and the shipped checkpoints, the preset, the device and its precision.

    Raises:
        BadInput: the function's code cannot be read, or it uses a global value that has no fixed description.
    """
    code, libraries = code_of(function)
    return digest({
        "code": code,
        "config": as_stored(config, "config"),
        "data": assets.data_sha256(),
        "machine": [machine.preset().name, machine.device().type, str(machine.precision())],
        "versions": versions(libraries),
    })  # fmt: skip


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Python's version and those of libraries, given by the names under which they are imported."""
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in sorted(libraries):
        distribution = _DISTRIBUTIONS.get(name, name)
        try:
            found[distribution] = importlib.metadata.version(distribution).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue  # a module of the user's own, or a part of another distribution
    return found


def code_of(function: Any) -> tuple[dict[str, str], set[str]]:
    """What a run depends on: name -> hash of the code, and the libraries that this code imports.

    A function of the course counts with all modules of the course that its own module imports, at any depth. A function
    of a notebook counts with the functions, classes and constants of the notebook that it names.
    """
    if not isinstance(function, FunctionType):
        raise BadInput(f"{function!r:.80} is not a plain function", "give one that is made with def")
    reader = _Reader()
    if _counts(function.__module__):
        reader.follow(function.__module__)
    else:
        reader.own_function(function)
    reader.follow_all()
    return reader.code, reader.libraries


def _counts(name: str) -> bool:
    """Whether a module of the course decides results."""
    first, _, rest = name.partition(".")
    return first == COURSE and bool(rest) and rest.split(".")[0] not in _BYSTANDERS


class _Reader:
    """Collects the code that a run depends on."""

    def __init__(self) -> None:
        self.code: dict[str, str] = {}
        self.libraries: set[str] = set()
        self._modules: list[str] = []
        self._seen: set[str] = set()

    def follow(self, name: str) -> None:
        """Notes a module: one of the course will be read, of another one its library is kept."""
        if _counts(name) and name not in self._seen:
            self._seen.add(name)
            self._modules.append(name)
        elif name.partition(".")[0] not in (COURSE, "__main__", *sys.stdlib_module_names):
            self.libraries.add(name.partition(".")[0])

    def follow_all(self) -> None:
        """Reads the modules of the course that were noted, and those that these import."""
        while self._modules:
            name = self._modules.pop()
            module = sys.modules.get(name) or importlib.import_module(name)
            self.code[name], imported = _module(name, tuple(map(id, vars(module).values())))
            for other in imported:
                self.follow(other)

    def own_function(self, function: FunctionType) -> None:
        """Reads a function from outside the course and what it names there."""
        name = f"{function.__module__}.{function.__qualname__}"
        if name in self.code:
            return
        self.code[name] = ""  # it may name itself
        words = [_function(function)]
        for word, value in _named(function):
            words.append(f"{word}={self._own_value(word, value, function)}")
        self.code[name] = _sha(words)
        for module in _imports(function.__code__):
            self.follow(module)

    def _own_value(self, word: str, value: Any, user: FunctionType) -> str:
        value = inspect.unwrap(value) if callable(value) else value
        owner = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(value, (ModuleType, FunctionType, type)) or not _described(value):
            if owner == user.__module__ and isinstance(value, FunctionType):
                self.own_function(value)
            elif owner == user.__module__ and isinstance(value, type):
                self._own_class(value)
            elif (isinstance(owner, str) and isinstance(value, (ModuleType, FunctionType, type))) or callable(value):
                self.follow(str(owner))
            else:
                raise BadInput(
                    f"{user.__qualname__} uses the global {word!r}, a {type(value).__name__}, which has no fixed "
                    "description",
                    "make it inside the function from values of its configuration",
                )
            return str(owner)
        if dataclasses.is_dataclass(value) and type(value).__module__ == user.__module__:
            self._own_class(type(value))
        return _value(value)

    def _own_class(self, kind: type) -> None:
        for value in vars(kind).values():
            method = inspect.unwrap(value) if callable(value) else getattr(value, "__func__", None)
            method = value.fget if isinstance(value, property) else method
            if isinstance(method, FunctionType):
                self.own_function(method)
        fields = {word: value for word, value in vars(kind).items() if not word.startswith("__") and _described(value)}
        self.code[f"{kind.__module__}.{kind.__qualname__}"] = _sha([_value(fields)])


@functools.lru_cache(maxsize=1024)
def _module(name: str, content: tuple[int, ...]) -> tuple[str, frozenset[str]]:
    """Hash of a module of the course as it is loaded, and the modules that it and its functions import.

    `content` are the identities of what it holds: a module that was imported again is read again.
    """
    words, imported = [], set()
    for word, value in sorted(vars(sys.modules[name]).items()):
        if word.startswith("__"):
            continue
        value = inspect.unwrap(value) if callable(value) else value
        owner = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(owner, str) and owner != name and (isinstance(value, ModuleType) or callable(value)):
            imported.add(owner)  # what another module defines: that module is read
        else:
            words.append(f"{word}={_value(value)}")
            imported |= {other for code in _codes(value) for other in _imports(code)}
    return _sha(words), frozenset(imported)


def _codes(value: Any) -> Iterator[CodeType]:
    """The code of a function, or of all methods of a class."""
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, FunctionType):
        yield value.__code__
    elif isinstance(value, type):
        for member in vars(value).values():
            method = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
            if isinstance(method, FunctionType):
                yield method.__code__


def _imports(code: CodeType) -> set[str]:
    """Full names of the modules that a code imports while it runs."""
    found: set[str] = set()
    if _IMPORT in code.co_code[::2]:
        for step in dis.get_instructions(code):
            if step.opname == "IMPORT_NAME":
                package = str(step.argval)
                found.add(package)
            elif step.opname == "IMPORT_FROM" and _is_module(f"{package}.{step.argval}"):
                found.add(f"{package}.{step.argval}")
    return found.union(*(_imports(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def _is_module(name: str) -> bool:
    """Whether it is a module of the course."""
    place = Path(__file__).parents[1].joinpath(*name.split(".")[1:])
    return name.startswith(f"{COURSE}.") and (place.with_suffix(".py").is_file() or (place / "__init__.py").is_file())


def _named(function: FunctionType) -> list[tuple[str, Any]]:
    """The names that a function looks up outside itself, with their present values."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    scope = function.__globals__ | {name: cell.cell_contents for name, cell in cells if cell != CellType()}
    names = {name for code in _nested(function.__code__) for name in (*code.co_names, *code.co_freevars)}
    return [(name, scope[name]) for name in sorted(names & scope.keys())]


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _function(function: FunctionType) -> str:
    """What a function does: its code and its default values."""
    return _code(function.__code__) + _value((function.__defaults__, function.__kwdefaults__))


def _code(code: CodeType) -> str:
    """What a code does, without its docstring and its places in a file."""
    first = code.co_consts[:1]
    documented = not code.co_name.startswith("<") and isinstance(first[0] if first else None, str)
    constants = code.co_consts[1:] if documented else code.co_consts
    inner = [_code(one) if isinstance(one, CodeType) else _value(one) for one in constants]
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags)
    return _sha([code.co_code.hex(), repr(names), *inner])


def _described(value: Any) -> bool:
    """Whether a value has a description that is the same in every process."""
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(map(_described, value))
    if isinstance(value, dict):
        return all(_described(part) for item in value.items() for part in item)
    fixed = (*_PLAIN, Path, re.Pattern, np.ndarray, np.generic, torch.Tensor, torch.dtype, FunctionType)
    return isinstance(value, fixed) or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def _value(value: Any) -> str:
    """A text that is equal for equal values; of what has no such text, the kind."""
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, (set, frozenset)):
        return f"{{{sorted(map(_value, value))}}}"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}{[_value(one) for one in value]}"
    if isinstance(value, Mapping):
        return f"{{{[(_value(key), _value(one)) for key, one in value.items()]}}}"
    if isinstance(value, FunctionType):
        return _function(value)
    if isinstance(value, (staticmethod, classmethod, property)):
        return _value(getattr(value, "__func__", None) or getattr(value, "fget", None))
    if isinstance(value, type):
        own = _counts(value.__module__)
        return _value({k: v for k, v in vars(value).items() if k not in _MADE}) if own else value.__qualname__
    if isinstance(value, np.ndarray):
        return _sha([str(value.dtype), str(value.shape), value.tobytes().hex()])
    if isinstance(value, torch.Tensor):
        return _value(value.detach().cpu().numpy())
    if dataclasses.is_dataclass(value):
        return f"{type(value).__qualname__}{[_value(getattr(value, one.name)) for one in dataclasses.fields(value)]}"
    if isinstance(value, (np.generic, re.Pattern, torch.dtype)):
        return repr(value)
    return value.name if isinstance(value, Path) else type(value).__qualname__


# Entries of a class that Python makes or that say nothing of what it does.
_MADE = {"__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__", "__abstractmethods__",
         "_abc_impl", "__parameters__", "__orig_bases__", "__slotnames__", "__dataclass_fields__", "__match_args__",
         "__dataclass_params__", "__firstlineno__", "__static_attributes__", "__annotate_func__"}  # fmt: skip


def _sha(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
