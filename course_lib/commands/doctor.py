"""`python -m course_lib doctor`: shows what this machine is, and whether anything is missing."""

from __future__ import annotations

import argparse
import importlib
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from course_lib.commands.inputs import check_writable
from course_lib.errors import BadInput

_PACKAGES = ("torch", "transformers", "jupyterlab", "matplotlib", "shap", "lime", "ipywidgets", "peft")
_ROOM = 2e9  # bytes: the size of the cache once all notebooks have run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing beyond `--json`."""


def run(_: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Facts, lines for a reader, exit code 1 if something is missing."""
    problems = _missing_packages()
    facts: dict[str, Any] = {"packages": _versions()}
    if "torch" in facts["packages"]:
        facts |= _machine_facts(problems)
    facts |= {"problems": problems, "ok": not problems}
    lines = [f"{name:>22}  {value}" for name, value in facts.items() if not isinstance(value, (dict, list))]
    lines += [f"{name:>22}  {number}" for name, number in facts["packages"].items()]
    lines += [f"{name:>22}  {state}" for name, state in facts.get("assets", {}).items()]
    lines += [f"PROBLEM  {problem}" for problem in problems] or ["all is well"]
    return facts, lines, int(bool(problems))


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _missing_packages() -> list[str]:
    missing = sorted(set(_PACKAGES) - set(_versions()))
    return [f"package {name} is not installed: run make lab" for name in missing]


def _machine_facts(problems: list[str]) -> dict[str, Any]:
    machine, assets = (importlib.import_module(f"course_lib.{name}") for name in ("machine", "assets"))
    facts: dict[str, Any] = machine.describe()
    cache = assets.cache_folder()
    facts["cache"] = str(cache)
    facts["assets"] = states = assets.status()
    problems += [
        f"{asset.name} is {states[asset.name]}: run python -m course_lib data"
        for asset in assets.read_manifest().values()
        if asset.core and states[asset.name] != "ready"
    ]
    for folder in (cache, cache / "assets", cache / "downloads", cache / "runs"):
        if folder == cache or folder.exists():
            try:
                check_writable(folder / "file", "the cache")
            except BadInput as error:
                problems.append(f"{error.message}: set COURSE_CACHE to a folder where you may write")
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    facts["disk_free_gb"] = round(shutil.disk_usage(existing).free / 1e9, 1)
    if shutil.disk_usage(existing).free < _ROOM:
        problems.append(f"only {facts['disk_free_gb']} GB of disk are free at {existing}: free 2 GB")
    if facts["memory_available_gb"] < 2:
        problems.append(f"only {facts['memory_available_gb']} GB of memory are free: close other programs")
    return facts
