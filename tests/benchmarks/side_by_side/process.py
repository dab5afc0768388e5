"""A contender in a process of its own: nothing that ran before it has warmed a cache or holds memory.

`in_fresh_process(f, argument)` is `f(argument)`; both are JSON-able dictionaries. What the process prints is shown
only where it fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

Measurement = Callable[[dict[str, Any]], dict[str, Any]]
_LINES_SHOWN = 30


def in_fresh_process(function: Measurement, argument: dict[str, Any]) -> dict[str, Any]:
    """Calls a module's function in a new interpreter with the same environment.

    Raises:
        RuntimeError: the process failed; the message ends with what it printed last.
    """
    name = f"{function.__module__}:{function.__qualname__}"
    paths = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[1]), *sys.path]))
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, __file__, name, str(answer)]
        done = subprocess.run(
            command, input=json.dumps(argument), env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8",
        )  # fmt: skip
        if done.returncode:
            printed = "\n".join(done.stdout.splitlines()[-_LINES_SHOWN:])
            raise RuntimeError(f"{name} ended with status {done.returncode}:\n{printed}")
        result: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return result


def _answer(name: str, file: str) -> None:
    result = resolve_name(name)(json.load(sys.stdin))
    Path(file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    sys.path.pop(0)  # this folder: its modules are parts of a package
    _answer(sys.argv[1], sys.argv[2])
