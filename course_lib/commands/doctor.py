"""`python -m course_lib doctor`: shows what this machine is, and whether anything is missing.

With `--class` it says whether this machine can run every notebook today, and how fast.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import textwrap
import time
import webbrowser
from importlib.metadata import PackageNotFoundError, version
from subprocess import DEVNULL
from typing import Any

from course_lib.commands.inputs import check_writable
from course_lib.errors import BadInput

_PACKAGES = ("torch", "transformers", "jupyterlab", "matplotlib", "shap", "lime", "ipywidgets", "peft")
_ROOM = 2e9  # bytes: the size of the cache once all notebooks have run
_MEMORY = 2.5  # gigabytes: what notebook 12 needs
_SLOW = 3  # times the time of the machine on which the notebooks were timed
_SENTENCES, _TIMES = 32, 3  # of each corpus
# Different sentences a second on the machine on which the course was timed (tests/benchmarks/README.md: 397, a fifth of
# them repeats).
_REFERENCE_RATE = 318


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether to look at one thing more: a whole class on this machine."""
    parser.add_argument(
        "--class", dest="all_notebooks", action="store_true", help="say whether every notebook can run here today"
    )


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Facts, lines for a reader, exit code 1 if something is missing."""
    problems = _missing_packages()
    facts: dict[str, Any] = {"packages": _versions()}
    if "torch" in facts["packages"]:
        facts |= _machine_facts(problems)
    if options.all_notebooks:
        return _for_a_class(facts, problems)
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
    core = [asset.name for asset in assets.read_manifest().values() if asset.core]
    for state in sorted({states[name] for name in core} - {"ready"}):
        names = [name for name in core if states[name] == state]
        problems.append(
            f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} {state}: run python -m course_lib data"
        )
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


def _for_a_class(facts: dict[str, Any], problems: list[str]) -> tuple[dict[str, Any], list[str], int]:
    """For all notebooks: a line on each thing that they need, then the problems, each with its fix."""
    checks = {"kernel": _kernel(problems), "browser": _browser(), "progress": _progress(problems)}
    if "assets" in facts:
        free, threads = facts["memory_available_gb"], _threads(facts, problems)
        if 2 <= free < _MEMORY:
            problems.append(f"only {free} GB of memory are free, and notebook 12 needs {_MEMORY}: close other programs")
        machine = {"disk": f"{facts['disk_free_gb']} GB free", "memory": f"{free} of {facts['memory_gb']} GB free"}
        checks = (
            machine | {"threads": threads, "speed": _speed(facts, problems), "data": _data(facts, problems)} | checks
        )
    facts |= {"checks": checks, "problems": problems, "ok": not problems}
    lines = [f"{name:>8}  {said}" for name, said in checks.items()]
    for problem in problems:
        lines += textwrap.wrap(f"PROBLEM   {problem}", 100, subsequent_indent=" " * 10)
    return facts, lines if problems else [*lines, "every notebook can run on this machine today"], int(bool(problems))


def _threads(facts: dict[str, Any], problems: list[str]) -> str:
    load = importlib.import_module("psutil").cpu_percent(interval=1.0)
    if facts["threads"] > facts["cores"]:
        problems.append(f"PyTorch uses {facts['threads']} threads on {facts['cores']} cores: unset OMP_NUM_THREADS")
    if load > 50:
        problems.append(f"other programs use {load:.0f} % of the processor: close them")
    return (
        f"PyTorch uses {facts['threads']} of {facts['cores']} cores; other programs use {load:.0f} % of the processor"
    )


def _speed(facts: dict[str, Any], problems: list[str]) -> str:
    """Predictions of the shipped model are timed now: notebooks spend most of their time on such products."""
    from course_lib import TextClassifier, assets, corpora, machine

    if any(asset.core and facts["assets"][asset.name] != "ready" for asset in assets.read_manifest().values()):
        return "not measured, because data are missing"
    classifier = TextClassifier.from_pretrained("sentiment")
    texts = [text for name in corpora.NAMES for text in corpora.part(name, "train", _SENTENCES)["text"]]
    classifier.predict_proba(texts)  # not timed: the first call is slower
    with machine.stopwatch() as seconds:
        for _ in range(_TIMES):
            classifier.predict_proba(texts)
    facts["times_slower"] = slower = round(seconds[0] * _REFERENCE_RATE / (_TIMES * len(texts)), 1)
    if slower > _SLOW:
        cure = "close other programs" + " and unset OMP_NUM_THREADS" * ("OMP_NUM_THREADS" in os.environ)
        problems.append(f"notebooks take {slower:.1f} times as long as stated: plan for that, or {cure}")
    return f"a notebook that takes 60 s on 2 cores of an x86-64 processor takes about {60 * slower:.0f} s here now"


def _data(facts: dict[str, Any], problems: list[str]) -> str:
    """Core data that are missing are among the problems already."""
    from course_lib import assets

    states, missing = facts["assets"], dict[tuple[str, str], list[Any]]()
    needed = [asset for asset in assets.read_manifest().values() if asset.core or asset.notebooks]
    for asset in needed:
        if not asset.core and (state := states[asset.name]) != "ready":
            missing.setdefault((" and ".join(asset.notebooks), state), []).append(asset)
    for (notebooks, state), group in missing.items():
        size, names = sum(asset.archive_bytes for asset in group) / 1e6, [asset.name for asset in group]
        command = f"data --refetch {names[0]}" if state == "damaged" else f"data {' '.join(names)}"
        what = f"notebook {notebooks} needs data that are {state} ({size:.0f} MB)"
        problems.append(f"{what}: run python -m course_lib {command}")
    ready = sum(states[asset.name] == "ready" for asset in needed)
    return f"{ready} of the {len(needed)} data sets and models of the notebooks are here"


def _kernel(problems: list[str]) -> str:
    started = time.perf_counter()
    try:
        start = importlib.import_module("jupyter_client.manager").start_new_kernel
        manager, client = start(kernel_name="python3", stdout=DEVNULL, stderr=DEVNULL)
        try:
            answer = client.execute("import course_lib", reply=True, timeout=60)["content"]
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    except Exception as error:  # whatever keeps a kernel from starting is what this looks for
        answer = {"status": "error", "evalue": f"{type(error).__name__}: {error}"}
    if answer["status"] != "ok":
        problems.append(f"the Jupyter kernel python3 does not work ({answer['evalue']}): run make lab")
        return "does not work"
    return f"started, loaded the course and stopped in {time.perf_counter() - started:.1f} s"


def _browser() -> str:
    try:
        return webbrowser.get().name
    except webbrowser.Error:
        return "none found: open the address that JupyterLab prints in a browser"


def _progress(problems: list[str]) -> str:
    from course_lib.exercises import progress

    file = progress.file_of_progress()
    if file and not progress.is_writable():
        problems.append(f"progress cannot be written to {file}: set COURSE_PROGRESS to a file that you may write")
    return f"kept in {file}" if file else "not recorded (COURSE_PROGRESS is off)"
