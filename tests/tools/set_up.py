"""Makes the virtual environment and puts the pinned packages into it: what `make lab` and `make test` call.

Needs nothing but Python itself. It may be killed and started again at any point: the stamps that the Makefile looks at
are written last, so an unfinished environment is never taken for a finished one.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
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


class SetUpError(Exception):
    """Why the set-up stopped, and how to go on."""


def check_python(version: tuple[int, int], wanted: str) -> None:
    """Raises SetUpError where `version` lies outside `wanted`, such as ">=3.11,<3.14"."""
    low, high = (tuple(map(int, bound)) for bound in re.findall(r"(\d+)\.(\d+)", wanted))
    if not low <= version < high:
        here = ".".join(map(str, version))
        raise SetUpError(
            f"Python {here} is too old or too new: this course needs {wanted}.\n"
            "Name a fitting one: make lab PYTHON=python3.12"
        )


def torch_options(choice: str, system: str, has_gpu: bool, cpu_build_offered: bool, answer: str) -> list[str]:
    """Options for pip that decide which build of torch comes.

    Args:
        choice: "cpu", "cuda" or "auto", from the variable TORCH.
        system: `platform.system()`; only Linux gets CUDA without asking for it.
        has_gpu: whether an NVIDIA driver is there.
        cpu_build_offered: whether this machine's pip already sees a "+cpu" build.
        answer: what the user typed when asked; empty where nobody was asked.
    """
    if choice not in ("auto", "cpu", "cuda"):
        raise SetUpError(f"TORCH={choice} is unknown: it is cpu, cuda or auto")
    undecided = choice == "auto" and system == "Linux" and not has_gpu and not cpu_build_offered
    if choice == "cpu" or (undecided and answer.strip().lower() == "cpu"):
        return ["--extra-index-url", TORCH_CPU_INDEX]
    return []


def ask_for_torch(choice: str, python: Path) -> list[str]:
    """`torch_options` for this machine; asks on a terminal, and only says so where nobody can answer."""
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
    """The environment's interpreter; the environment is made, or mended, where pip does not start in it."""
    python = python_of(venv)
    if python.exists() and not subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode:
        return python
    print(f"Making the virtual environment {venv.name}", flush=True)
    if subprocess.run([sys.executable, "-m", "venv", venv]).returncode:
        raise SetUpError("Python could not make a virtual environment (on Debian and Ubuntu: install python3-venv)")
    return python


def install(python: Path, extras: str, options: Sequence[str]) -> None:
    """Installs the project with its pinned packages."""
    target = f".[{extras}]" if extras else "."
    quiet = [] if sys.stdout.isatty() else ["--quiet"]  # a person wants to see the downloads move, a log does not
    command = [python, "-m", "pip", "install", *quiet, "--editable", target, "-c", "constraints.txt", *options]
    print("Installing the pinned packages (constraints.txt); the first time takes some minutes", flush=True)
    if subprocess.run([*command, "--disable-pip-version-check"], cwd=ROOT).returncode:
        raise SetUpError(f"pip could not install everything. {still_missing(python, extras)}")


def still_missing(python: Path, extras: str) -> str:
    """A sentence that names the direct requirements which are not installed in the pinned version."""
    from pins import canonical, direct_requirements, read_pins  # not above: these need Python 3.11 to be imported

    pins = read_pins()
    names = [canonical(re.split(r"[^\w.-]", line)[0]) for line in direct_requirements((extras,) if extras else ())]
    wanted = [f"{name}=={pins[name]}" for name in names]
    seen = subprocess.run([python, "-c", MISSING, *wanted], capture_output=True, text=True)
    return f"Missing: {', '.join(seen.stdout.split()) or 'packages that these need'}."


def python_range() -> str:
    """What pyproject.toml asks of Python, such as ">=3.11,<3.14"."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r'^requires-python = "(.+)"$', text, flags=re.MULTILINE)
    if found is None:
        raise SetUpError("pyproject.toml does not say which Python it needs")
    return found[1]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv")
    parser.add_argument("--extras", default="", help="optional dependencies to add: test")
    parser.add_argument("--torch", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--stamp", type=Path, nargs="*", default=[], help="files to touch when all is installed")
    parser.add_argument("--again", default="make lab", help="the command to repeat after trouble")
    options = parser.parse_args(arguments)
    try:
        check_python(sys.version_info[:2], python_range())
        python = make_environment(options.venv.absolute())
        install(python, options.extras, ask_for_torch(options.torch, python))
    except SetUpError as error:
        print(f"\nThe set-up is not finished.\n{error}", file=sys.stderr)
        print(f"With a network, `{options.again}` goes on from here; what was fetched is kept.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nThe set-up was interrupted. `{options.again}` goes on; what was fetched is kept.", file=sys.stderr)
        return 130
    for stamp in options.stamp:
        stamp.touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
