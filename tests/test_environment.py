"""The set-up: one list of packages for pip and conda users, exact pins, a Makefile that keeps its word."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import set_up
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from pins import canonical, direct_requirements, installed_closure, read_pins

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
TARGETS = ("help", "lab", "test", "course", "notebooks", "bench", "format", "clean")


def test_conda_has_the_same_name_and_python() -> None:
    assert CONDA["name"] == PROJECT["name"]
    found = next(line for line in CONDA["dependencies"] if isinstance(line, str) and line.startswith("python"))
    assert SpecifierSet(found.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])


def test_conda_gets_the_same_packages_through_pip() -> None:
    # The packages and pins are not written a second time: pip reads them from where everybody does.
    pip = next(line["pip"] for line in CONDA["dependencies"] if isinstance(line, dict))
    assert pip == ["-c constraints.txt", "-e ."]
    others = [line for line in CONDA["dependencies"] if isinstance(line, str)]
    assert {re.split(r"[<>=]", line)[0] for line in others} == {"python", "pip"}


@pytest.mark.parametrize("line", direct_requirements())
def test_the_pin_of_a_requirement_lies_in_its_range(line: str) -> None:
    requirement = Requirement(line)
    assert requirement.specifier.contains(read_pins()[canonical(requirement.name)])


def test_all_that_is_pulled_in_is_pinned_and_installed_as_pinned() -> None:
    # torch pins its CUDA parts itself; they come only where there is a GPU.
    cuda = re.compile(r"nvidia-|cuda-|triton")
    found = {canonical(name): version for name, version in installed_closure().items()}
    found = {name: version for name, version in found.items() if not cuda.match(name)}
    pins = read_pins()
    assert {name: pins.get(name, "no pin") for name in found} == found


def imported(folder: Path) -> set[str]:
    """Top-level names of all modules that the Python files of a folder import."""
    nodes = [node for file in folder.rglob("*.py") for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    from_ = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in plain | from_}


def test_what_the_library_imports_is_asked_for() -> None:
    others = imported(ROOT / "course_lib") - set(sys.stdlib_module_names) - {"course_lib"}
    assert "torch" in others
    known = packages_distributions()
    missing = {name for name in others if not {canonical(package) for package in known[name]} & requirements()}
    assert not missing


def requirements(*extras: str) -> set[str]:
    """Names that pyproject.toml asks for."""
    return {canonical(Requirement(line).name) for line in direct_requirements(extras)}


def test_pins_name_no_build_and_no_file() -> None:
    assert all(re.fullmatch(r"[\w.]+", version) for version in read_pins().values())


@pytest.mark.parametrize("target", TARGETS)
def test_make_knows(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"make {target} " in subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout


def commands_of(target: str, folder: Path) -> str:
    """What make would run for a target in a copy of the project's set-up files."""
    return subprocess.run(["make", "--dry-run", target], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_second_run_installs_nothing_and_a_changed_pin_does(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
        os.utime(tmp_path / name, (1_000, 1_000))
    assert "set_up.py" in commands_of("lab", tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".installed").touch()
    assert "set_up.py" not in commands_of("lab", tmp_path)
    os.utime(tmp_path / "constraints.txt")
    os.utime(tmp_path / ".venv" / ".installed", (2_000, 2_000))
    assert "set_up.py" in commands_of("lab", tmp_path)


def test_lab_listens_here_only_and_keeps_its_token() -> None:
    commands = subprocess.run(["make", "--dry-run", "lab"], cwd=ROOT, capture_output=True, text=True).stdout
    assert "--ServerApp.ip=127.0.0.1" in commands
    assert "token" not in commands
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    assert ("--allow-root" in commands) == is_root


@pytest.mark.parametrize(
    ("choice", "system", "has_gpu", "offered", "answer", "from_cpu_index"),
    [
        pytest.param("cpu", "Linux", True, False, "", True, id="asked for"),
        pytest.param("cuda", "Linux", False, False, "", False, id="cuda asked for"),
        pytest.param("auto", "Linux", False, False, "cpu", True, id="no GPU, the user chose cpu"),
        pytest.param("auto", "Linux", False, False, "cuda", False, id="no GPU, the user chose cuda"),
        pytest.param("auto", "Linux", False, False, "", False, id="no GPU, nobody to ask"),
        pytest.param("auto", "Linux", False, True, "", False, id="pip already sees a CPU build"),
        pytest.param("auto", "Linux", True, False, "", False, id="a GPU"),
        pytest.param("auto", "Darwin", False, False, "", False, id="no CUDA there anyway"),
    ],
)
def test_which_torch(choice: str, system: str, has_gpu: bool, offered: bool, answer: str, from_cpu_index: bool) -> None:
    options = set_up.torch_options(choice, system, has_gpu, offered, answer)
    assert options == (["--extra-index-url", set_up.TORCH_CPU_INDEX] if from_cpu_index else [])


def test_unknown_torch_is_refused() -> None:
    with pytest.raises(set_up.SetUpError, match="TORCH=gpu is unknown"):
        set_up.torch_options("gpu", "Linux", False, False, "")


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (2, 7)])
def test_a_python_out_of_range_is_named(version: tuple[int, int]) -> None:
    with pytest.raises(set_up.SetUpError, match=rf"Python {version[0]}\.{version[1]} .* PYTHON=|Python"):
        set_up.check_python(version, PROJECT["requires-python"])


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_a_python_in_range_is_taken(version: tuple[int, int]) -> None:
    assert set_up.check_python(version, set_up.python_range()) is None


def test_offline_set_up_says_what_is_missing_and_leaves_no_stamp(tmp_path: Path) -> None:
    venv, stamp = tmp_path / "venv", tmp_path / "stamp"
    offline = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    command = [sys.executable, ROOT / "tests/tools/set_up.py", "--venv", venv, "--stamp", stamp]
    done = subprocess.run(command, env=offline, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "Missing: " in done.stderr and " torch," in done.stderr
    assert "`make lab` goes on from here" in done.stderr
    assert not stamp.exists()


def test_an_interrupted_set_up_leaves_no_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(venv: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(set_up, "make_environment", interrupted)
    stamp = tmp_path / "stamp"
    assert set_up.main(["--venv", str(tmp_path), "--stamp", str(stamp), "--again", "make test"]) == 130
    assert not stamp.exists()
    assert "`make test` goes on" in capsys.readouterr().err
