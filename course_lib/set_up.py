"""Makes the virtual environment and installs the pinned packages: `python3 course_lib/set_up.py`.

It needs nothing but Python itself. It may be killed and started again at any point: the stamps that the Makefile reads
are written last, so an unfinished environment is never taken for a finished one. With a bundle, which
`python -m course_lib bundle` writes, it needs no network.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
ROOT = _HERE if (_HERE / "pyproject.toml").exists() else _HERE.parent  # a bundle has this file at its root too
MANIFEST, WHEELS, DOWNLOADS = "bundle.json", "wheels", "data/cache/downloads"  # in a bundle
JUPYTER_SETTINGS = "course_lib/commands/jupyter"  # no dialog about news
# PyTorch's own index of builds without CUDA; on Linux the Python package index has only the CUDA build.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CHOICE = """\
This Linux machine shows no NVIDIA GPU, and pip's usual torch brings about 3 GB of CUDA with it.
  TORCH=cpu    takes the build without CUDA (0.2 GB) from PyTorch's own index, download.pytorch.org
  TORCH=cuda   takes the usual one"""
# Runs inside the environment: prints the names whose pinned version is not there.
MISSING = """
import sys
from importlib.metadata import PackageNotFoundError, version
for pin in sys.argv[1:]:
    name, wanted = pin.split("==")
    try:
        if version(name).split("+")[0] != wanted:
            print(name)
    except PackageNotFoundError:
        print(name)
"""
CACHE = "from course_lib import assets; print(assets.cache_folder())"


class SetUpError(Exception):
    """Why the set-up stopped, and how to go on."""


def canonical(name: str) -> str:
    """A package name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def direct_requirements(extras: Sequence[str] = ()) -> list[str]:
    """The requirement lines of pyproject.toml, those of the given extras included."""
    import tomllib  # not above: an older Python must get as far as `check_python`

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]


def read_pins() -> dict[str, str]:
    """constraints.txt as {canonical name: version}."""
    lines = (line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    return {canonical(name): version for name, version in (line.split("==") for line in lines if line)}


def check_python(version: tuple[int, int]) -> None:
    """Raises SetUpError where `version` is outside pyproject.toml's range, such as ">=3.11,<3.14"."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = re.findall(r'^requires-python = "(.+)"$', text, flags=re.MULTILINE)[0]
    low, high = (tuple(map(int, bound)) for bound in re.findall(r"(\d+)\.(\d+)", wanted))
    if not low <= version < high:
        here = ".".join(map(str, version))
        raise SetUpError(
            f"Python {here} is too old or too new: this course needs {wanted}.\n"
            "Name another one: make lab PYTHON=python3.12"
        )


def torch_options(choice: str, system: str, has_gpu: bool, cpu_build_offered: bool, answer: str) -> list[str]:
    """Options for pip that decide which build of torch is installed.

    Args:
        choice: "cpu", "cuda" or "auto", from the variable TORCH.
        system: `platform.system()`; only Linux gets CUDA by default.
        has_gpu: whether an NVIDIA driver is installed.
        cpu_build_offered: whether pip on this machine already finds a "+cpu" build.
        answer: what the user typed at the question; empty without a question.
    """
    if choice not in ("auto", "cpu", "cuda"):
        raise SetUpError(f"TORCH={choice} is unknown: use cpu, cuda or auto")
    undecided = choice == "auto" and system == "Linux" and not has_gpu and not cpu_build_offered
    if choice == "cpu" or (undecided and answer.strip().lower() == "cpu"):
        return ["--extra-index-url", TORCH_CPU_INDEX]
    return []


def ask_for_torch(choice: str, python: Path) -> list[str]:
    """`torch_options` for this machine; asks on a terminal, and only prints the choice where nobody can answer."""
    system, has_gpu = platform.system(), shutil.which("nvidia-smi") is not None
    offered, answer = True, ""
    if choice == "auto" and system == "Linux" and not has_gpu:
        seen = subprocess.run([python, "-m", "pip", "index", "versions", "torch"], capture_output=True, text=True)
        offered = "+cpu" in seen.stdout
        if not offered:
            print(CHOICE, flush=True)
            answer = input("Type cpu or cuda and press Enter: ") if sys.stdin.isatty() else ""
    return torch_options(choice, system, has_gpu, offered, answer)


def python_of(venv: Path) -> Path:
    """The interpreter of a virtual environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make_environment(venv: Path) -> Path:
    """The environment's interpreter; the environment is made again where pip does not start in it."""
    python = python_of(venv)
    if python.exists() and not subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode:
        return python
    print(f"Making the virtual environment {venv.name}", flush=True)
    if subprocess.run([sys.executable, "-m", "venv", venv]).returncode:
        raise SetUpError("Python could not make a virtual environment (on Debian and Ubuntu: install python3-venv)")
    return python


def install(python: Path, extras: str, options: Sequence[str]) -> None:
    """Installs the project with its pinned packages, and the settings of JupyterLab."""
    target = f".[{extras}]" if extras else "."
    quiet = [] if sys.stdout.isatty() else ["--quiet"]  # a person wants to see the progress, a log does not
    command = [str(python), "-m", "pip", "install", *quiet, "--editable", target, "-c", "constraints.txt", *options]
    print("Installing the pinned packages (constraints.txt); the first time takes some minutes", flush=True)
    if subprocess.run([*command, "--disable-pip-version-check"], cwd=ROOT).returncode:
        raise SetUpError(f"pip could not install everything. {still_missing(python, extras)}")
    # For a JupyterLab that is started without `python -m course_lib lab`, too.
    shutil.copytree(ROOT / JUPYTER_SETTINGS, python.parents[1] / "etc" / "jupyter", dirs_exist_ok=True)


def still_missing(python: Path, extras: str) -> str:
    """A sentence that names the direct requirements which are not installed in the pinned version."""
    pins = read_pins()
    names = [canonical(re.split(r"[^\w.-]", line)[0]) for line in direct_requirements((extras,) if extras else ())]
    wanted = [f"{name}=={pins[name]}" for name in names]
    seen = subprocess.run([python, "-c", MISSING, *wanted], capture_output=True, text=True)
    return f"Missing: {', '.join(seen.stdout.split()) or 'packages that these need'}."


def this_machine() -> dict[str, str]:
    """What the wheels of a bundle depend on: Python's version, the system, the processor."""
    version = ".".join(map(str, sys.version_info[:2]))
    return {"python": version, "system": platform.system(), "machine": platform.machine()}


def sha256_of(file: Path) -> str:
    """Hex sha256 of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_bundle(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle that was made for this machine's Python and platform."""
    file = folder / MANIFEST
    try:
        bundle: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        made_for = {key: bundle[key] for key in this_machine()}
        _ = bundle["room"], bundle["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetUpError(f"{folder} is not a bundle: {file} cannot be read ({error}).") from error
    if made_for != this_machine():
        wanted, here = ("Python {python} on {system} {machine}".format(**one) for one in (made_for, this_machine()))
        raise SetUpError(
            f"This bundle was made for {wanted}, but this is {here}.\n"
            "Use that Python, or make a bundle on a machine like this one: make bundle"
        )
    return bundle


def check_bundle(folder: Path, bundle: dict[str, Any], is_first: bool) -> None:
    """Raises SetUpError where a file of the bundle in `folder` is missing or damaged.

    Only the first installation checks the course's own files, since learners edit them later.
    """
    print(f"Checking the files of the bundle {folder.name}", flush=True)
    wrong = []
    for name, digest in bundle["files"].items():
        if is_first or name.startswith((WHEELS, "data/")):
            if not (folder / name).is_file():
                wrong.append(f"  missing: {name}")
            elif sha256_of(folder / name) != digest:
                wrong.append(f"  damaged: {name}")
    if wrong:
        more = [f"  and {len(wrong) - 10} more"] if len(wrong) > 10 else []
        raise SetUpError("\n".join(["The bundle is not complete. Copy it again:", *wrong[:10], *more]))


def check_room(venv: Path, room: int) -> None:
    """Raises SetUpError where the disk has less than `room` bytes for the environment."""
    place = next(folder for folder in (venv, *venv.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < room:
        raise SetUpError(f"The set-up needs {room / 1e9:.1f} GB of disk, and {place} has {free / 1e9:.1f} GB left.")


def copy_downloads(python: Path, folder: Path, bundle: dict[str, Any]) -> None:
    """Copies the bundle's data and weights to the cache, where `python -m course_lib data` finds them."""
    cache = subprocess.run([python, "-c", CACHE], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    target = Path(cache) / "downloads"
    target.mkdir(parents=True, exist_ok=True)
    for name in (name for name in bundle["files"] if name.startswith(DOWNLOADS)):
        source, file = folder / name, target / Path(name).name
        if not file.exists() or sha256_of(file) != bundle["files"][name]:
            beside = file.with_name(f".partial-{file.name}")
            shutil.copyfile(source, beside)
            os.replace(beside, file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Sets everything up; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="folder of the environment (.venv)")
    parser.add_argument("--extras", default="", help="optional dependencies to add: test")
    parser.add_argument("--torch", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--from", dest="bundle", type=Path, metavar="BUNDLE", help="install from this folder, offline")
    parser.add_argument("--stamp", type=Path, nargs="*", default=[], help="files to touch when everything is installed")
    parser.add_argument("--again", help="the command to repeat after an error")
    options = parser.parse_args(arguments)
    again = options.again or " ".join([Path(sys.executable).stem, *sys.argv])
    if options.bundle is None and (ROOT / MANIFEST).exists() and not options.extras:
        options.bundle = ROOT  # this is a bundle's own folder
    try:
        check_python(sys.version_info[:2])
        python = set_up(options.venv.absolute(), options.extras, options.torch, options.bundle)
    except (SetUpError, OSError) as error:
        print(f"\nThe set-up is not finished.\n{error}", file=sys.stderr)
        if options.bundle is None:
            print(f"With a network, `{again}` continues from here; what was fetched is kept.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nThe set-up was interrupted. `{again}` continues; what was fetched is kept.", file=sys.stderr)
        return 130
    for stamp in options.stamp:
        stamp.touch()
    if not options.stamp:
        print(f"The set-up is finished. The next command: {python} -m course_lib lab")
    return 0


def set_up(venv: Path, extras: str, torch: str, folder: Path | None) -> Path:
    """Makes the environment, from the bundle in `folder` or from the package index; returns its interpreter."""
    if folder is None:
        python = make_environment(venv)
        install(python, extras, ask_for_torch(torch, python))
        return python
    folder = folder.absolute()
    bundle, is_first = read_bundle(folder), not python_of(venv).exists()
    if is_first:
        check_room(venv, bundle["room"])
    check_bundle(folder, bundle, is_first)
    python = make_environment(venv)
    install(python, extras, ["--no-index", "--find-links", str(folder / WHEELS)])
    copy_downloads(python, folder, bundle)
    return python


if __name__ == "__main__":
    sys.exit(main())
