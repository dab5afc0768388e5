"""The set-up: one list of packages for pip and conda users, exact pins, a Makefile that keeps its word."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from pins import installed_closure

from course_lib import assets, commands, set_up
from course_lib.commands import bundle, lab
from course_lib.errors import BadInput, Offline
from course_lib.set_up import canonical, direct_requirements, read_pins

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
TARGETS = ("help", "lab", "bundle", "workshop", "test", "course", "notebooks", "bench", "format", "clean")


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


@pytest.mark.parametrize("line", direct_requirements(["test"]))
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
    # ray, whose module has the name of its package, need not be installed; peers of the case studies are in `test`
    asked = requirements("scale", "test")
    missing = {name for name in others if not {canonical(package) for package in known.get(name, [name])} & asked}
    assert not missing


def requirements(*extras: str) -> set[str]:
    """Names that pyproject.toml asks for."""
    return {canonical(Requirement(line).name) for line in direct_requirements(extras)}


def test_pins_name_no_build_and_no_file() -> None:
    assert all(re.fullmatch(r"[\w.]+", version) for version in read_pins().values())


needs_make = pytest.mark.skipif(os.name == "nt", reason="the Makefile is for POSIX systems")


@needs_make
@pytest.mark.parametrize("target", TARGETS)
def test_make_knows(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"make {target} " in subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True).stdout


def commands_of(target: str, folder: Path) -> str:
    """What make would run for a target in a copy of the project's set-up files."""
    return subprocess.run(["make", "--dry-run", target], cwd=folder, capture_output=True, text=True, check=True).stdout


@needs_make
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
    with pytest.raises(set_up.SetUpError, match=rf"Python {version[0]}\.{version[1]} is[^$]* PYTHON="):
        set_up.check_python(version)


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_a_python_in_range_is_taken(version: tuple[int, int]) -> None:
    set_up.check_python(version)


def test_offline_set_up_says_what_is_missing_and_leaves_no_stamp(tmp_path: Path) -> None:
    venv, stamp = tmp_path / "venv", tmp_path / "stamp"
    offline = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    command = [sys.executable, ROOT / "course_lib/set_up.py", "--venv", venv, "--stamp", stamp]
    done = subprocess.run(command, env=offline, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    assert "Missing: " in done.stderr and " torch," in done.stderr
    assert "set_up.py" in done.stderr and "continues from here" in done.stderr
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
    assert "`make test` continues" in capsys.readouterr().err


def test_set_up_needs_nothing_but_python() -> None:
    # An old Python must get as far as the sentence that says so.
    tree = ast.parse((ROOT / "course_lib/set_up.py").read_text(encoding="utf-8"), feature_version=(3, 8))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names
    # Started as a script it has course_lib first on its path: no module there may hide one of Python's.
    assert not {path.stem for path in (ROOT / "course_lib").iterdir()} & sys.stdlib_module_names


# JupyterLab


def test_lab_finds_the_extension_that_gives_figures_their_text_alternatives(tmp_path: Path) -> None:
    option = next(one for one in lab.lab_options(tmp_path) if "extra_labextensions_path" in one)
    (package,) = Path(option.partition("=")[2]).glob("*/package.json")
    build = json.loads(package.read_text())["jupyterlab"]["_build"]
    script = (package.parent / build["load"]).read_text()
    assert (
        f'window._JUPYTERLAB["{package.parent.name}"]' in script and json.loads(package.read_text())["name"] in script
    )


def test_lab_listens_here_only_keeps_its_token_and_opens_the_first_notebook(tmp_path: Path) -> None:
    given = lab.lab_options(tmp_path)
    assert "--ServerApp.ip=127.0.0.1" in given
    assert f"--ServerApp.root_dir={ROOT}" in given
    assert not any("token" in option or "password" in option for option in given)
    notebook = next(option for option in given if "default_url" in option).removeprefix(
        "--LabApp.default_url=/lab/tree/"
    )
    assert (ROOT / notebook).is_file()
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    assert ("--allow-root" in given) == is_root


def test_lab_signs_the_notebooks_and_changes_none(tmp_path: Path) -> None:
    import nbformat
    from nbformat.sign import NotebookNotary

    files = sorted((ROOT / "notebooks").glob("*.ipynb"))
    before = [file.read_bytes() for file in files]
    lab.trust(tmp_path)
    assert [file.read_bytes() for file in files] == before
    with NotebookNotary(data_dir=str(tmp_path)) as notary:
        notebook = nbformat.read(files[0], as_version=4)
        assert notary.check_signature(notebook)
        notebook.cells[0].source += " changed"
        assert not notary.check_signature(notebook)


def test_lab_starts_although_a_notebook_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebooks").mkdir()
    torn = tmp_path / "notebooks" / "torn.ipynb"
    torn.write_text('{"cells": [')
    monkeypatch.setattr(set_up, "ROOT", tmp_path)
    lab.trust(tmp_path / "signatures")  # raises nothing
    assert torn.read_text() == '{"cells": ['


def test_lab_starts_although_the_cache_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from jupyterlab.labapp import LabApp

    (tmp_path / "jupyter").touch()  # no folder can be made there
    monkeypatch.setattr(assets, "fetch_core", lambda progress: None)
    monkeypatch.setattr(assets, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(LabApp, "launch_instance", lambda options: None)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "own")
    assert commands.main(["lab"]) == 0
    assert "Set COURSE_CACHE" in capsys.readouterr().err


def test_lab_fetches_data_and_starts_jupyterlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jupyterlab.labapp import LabApp

    steps: list[object] = []
    monkeypatch.setattr(assets, "fetch_core", lambda progress: steps.append("data"))
    monkeypatch.setattr(assets, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(LabApp, "launch_instance", steps.append)
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "own")
    assert commands.main(["lab", "--no-browser"]) == 0
    assert steps == ["data", [*lab.lab_options(tmp_path / "jupyter"), "--no-browser"]]
    assert os.environ["JUPYTER_CONFIG_PATH"] == os.pathsep.join([str(lab.SETTINGS), "own"])


@pytest.mark.parametrize("is_started_by_the_course", [True, False])
def test_jupyterlab_asks_for_no_news(
    is_started_by_the_course: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither through `lab`, nor where a learner starts `jupyter lab` in the environment that the set-up has made."""
    from jupyter_core import paths
    from jupyterlab_server.settings_utils import _get_overrides

    if is_started_by_the_course:
        monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(lab.SETTINGS))
    else:
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
        set_up.install(set_up.python_of(tmp_path), "", [])
        monkeypatch.setattr(paths, "ENV_CONFIG_PATH", [str(tmp_path / "etc" / "jupyter")])
    notifications = _get_overrides("")[0]["@jupyterlab/apputils-extension:notification"]
    assert notifications == {"fetchNews": "false", "checkForUpdates": False}


def test_lab_passes_its_options_on_and_other_commands_refuse_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(lab, "run", lambda options: (seen.append(options.others) or {}, [], 0))
    assert commands.main(["lab", "--no-browser", "--ServerApp.port=9999"]) == 0
    assert seen == [["--no-browser", "--ServerApp.port=9999"]]
    with pytest.raises(SystemExit, match="2"):
        commands.main(["doctor", "--no-browser"])
    assert "unrecognized arguments: --no-browser" in capsys.readouterr().err


# The offline bundle


@pytest.fixture
def small_bundle(tmp_path: Path) -> Path:
    """A bundle for this machine: the project's set-up files, no wheels, one archive."""
    folder = tmp_path / "bundle"
    for name in ("pyproject.toml", "constraints.txt", "README.md"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / "set_up.py").write_bytes((ROOT / "course_lib/set_up.py").read_bytes())
    for name in (f"{set_up.WHEELS}/a.whl", f"{set_up.DOWNLOADS}/texts.tar.gz"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name)
    files = [file for file in folder.rglob("*") if file.is_file()]
    hashes = {file.relative_to(folder).as_posix(): set_up.sha256_of(file) for file in files}
    write_manifest(folder, {**set_up.this_machine(), "room": 1000, "files": hashes})
    return folder


def write_manifest(folder: Path, content: dict[str, object]) -> None:
    (folder / set_up.MANIFEST).write_text(json.dumps(content))


def changed_manifest(folder: Path, **changes: object) -> None:
    write_manifest(folder, json.loads((folder / set_up.MANIFEST).read_text()) | changes)


def test_a_bundle_is_installed_without_the_index(
    small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(set_up, "make_environment", set_up.python_of)
    monkeypatch.setattr(set_up, "install", lambda python, extras, options: asked.append(options))
    monkeypatch.setattr(set_up, "ask_for_torch", lambda *_: pytest.fail("the index was asked"))
    monkeypatch.setattr(set_up, "copy_downloads", lambda *_: None)
    assert set_up.main(["--venv", str(tmp_path / "venv"), "--from", str(small_bundle)]) == 0
    assert asked == [["--no-index", "--find-links", str(small_bundle / set_up.WHEELS)]]
    assert "-m course_lib lab" in capsys.readouterr().out


def test_downloads_go_where_the_course_looks(
    small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    read = set_up.read_bundle(small_bundle)
    for _ in range(2):
        set_up.copy_downloads(Path(sys.executable), small_bundle, read)
        names = [file.name for file in (assets.cache_folder() / "downloads").iterdir()]
        assert names == ["texts.tar.gz"]


DAMAGE = [
    pytest.param(lambda folder: (folder / "wheels/a.whl").write_text("?"), "damaged: wheels/a.whl", id="damaged wheel"),
    pytest.param(lambda folder: (folder / "README.md").unlink(), "missing: README.md", id="missing file"),
    pytest.param(lambda folder: changed_manifest(folder, python="3.10"), "for Python 3.10 on", id="other Python"),
    pytest.param(lambda folder: changed_manifest(folder, machine="z80"), "z80, but this is Python", id="other machine"),
    pytest.param(lambda folder: changed_manifest(folder, room=10**18), "GB of disk, and", id="no room"),
    pytest.param(lambda folder: (folder / set_up.MANIFEST).write_text("{"), "is not a bundle", id="torn manifest"),
    pytest.param(lambda folder: (folder / set_up.MANIFEST).unlink(), "is not a bundle", id="no manifest"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGE)
def test_a_wrong_bundle_is_named_before_any_work(
    damage: Callable[[Path], object], said: str, small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(small_bundle)
    stamp = tmp_path / "stamp"
    assert set_up.main(["--venv", str(tmp_path / "venv"), "--from", str(small_bundle), "--stamp", str(stamp)]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "venv").exists() and not stamp.exists()


def test_what_a_learner_changed_is_not_damage(small_bundle: Path) -> None:
    read = set_up.read_bundle(small_bundle)
    (small_bundle / "README.md").write_text("mine")
    set_up.check_bundle(small_bundle, read, is_first=False)
    with pytest.raises(set_up.SetUpError, match=r"damaged: README\.md"):
        set_up.check_bundle(small_bundle, read, is_first=True)


def test_in_its_own_folder_a_bundle_needs_no_option(small_bundle: Path) -> None:
    (small_bundle / "wheels/a.whl").unlink()
    done = subprocess.run([sys.executable, small_bundle / "set_up.py"], capture_output=True, text=True)
    assert done.returncode == 1 and "missing: wheels/a.whl" in done.stderr


def test_make_bundle_collects_everything_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def collected(folder: Path, torch: str) -> None:
        folder.mkdir()
        with zipfile.ZipFile(folder / f"torch-{torch}.whl", "w") as wheel:
            wheel.writestr("torch.py", 5000 * "x", zipfile.ZIP_DEFLATED)

    def copied(folder: Path) -> int:
        folder.mkdir(parents=True)
        (folder / "texts.tar.gz").write_text("texts")
        return 100

    monkeypatch.setattr(bundle, "_wheels", collected)
    monkeypatch.setattr(bundle, "_copy_downloads", copied)
    out = tmp_path / "out"
    for _ in range(2):  # the second one replaces the first
        assert commands.main(["bundle", "--out", str(out), "--torch", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["bundle"] == str(out)
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    read = set_up.read_bundle(out)
    assert {"set_up.py", "wheels/torch-cpu.whl", "data/cache/downloads/texts.tar.gz", "Makefile"} <= set(read["files"])
    assert any(name.startswith("notebooks/") for name in read["files"])
    assert not any(name.startswith((".venv", ".git/", "tests/reports")) for name in read["files"])
    assert read["room"] == 1.4 * 5000 + 100
    set_up.check_bundle(out, read, is_first=True)


def test_a_bundle_has_the_pinned_wheels_and_says_when_the_network_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def failed(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.extend(command)
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(bundle.subprocess, "run", failed)
    with pytest.raises(Offline, match="connect to the network"):
        bundle._wheels(tmp_path, "cpu")
    assert asked[1:4] == ["-m", "pip", "wheel"]
    assert asked[asked.index("-c") + 1] == str(ROOT / "constraints.txt")
    assert set_up.TORCH_CPU_INDEX in asked and set(PROJECT["dependencies"]) < set(asked)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert set(build) < set(asked)


def test_a_bundle_has_verified_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = assets.read_manifest()["vader_lexicon"]
    whole = assets.cache_folder() / "downloads" / asset.archive
    if not whole.exists():
        pytest.skip(f"{whole.name} was removed from the cache")
    torn = tmp_path / "cache" / "downloads" / asset.archive
    torn.parent.mkdir(parents=True)
    torn.write_text("half")
    refetched: list[str] = []

    def fetch(name: str, progress: object, refetch: bool = False) -> None:
        if refetch:
            refetched.append(name)
            torn.write_bytes(whole.read_bytes())

    monkeypatch.setattr(assets, "read_manifest", lambda: {asset.name: asset})
    monkeypatch.setattr(assets, "fetch", fetch)
    monkeypatch.setattr(assets, "cache_folder", lambda: tmp_path / "cache")
    for number in range(2):
        assert bundle._copy_downloads(tmp_path / str(number)) == asset.unpacked_bytes
        assert set_up.sha256_of(tmp_path / str(number) / asset.archive) == asset.sha256
    assert refetched == [asset.name]


@pytest.mark.parametrize("out", ["course", "full"])
def test_a_bundle_overwrites_nothing_else(out: str, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(BadInput, match="inside the course's own folder" if out == "course" else "is not a bundle"):
        bundle.run(argparse.Namespace(out=ROOT / "bundle" if out == "course" else tmp_path, torch="cpu"))


def test_without_git_all_but_what_tools_made_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    course = tmp_path / "course"
    for name in ("course_lib/bundle.py", "course_lib/__pycache__/a.pyc", "data/cache/a", "data/m.toml", ".venv/a",
                 "README.md", "bundle.json", "wheels/a.whl", "data/progress.jsonl"):  # fmt: skip
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        (course / name).touch()
    monkeypatch.setattr(set_up, "ROOT", course)
    bundle._copy_course(tmp_path / "out")
    found = {f.relative_to(tmp_path / "out").as_posix() for f in (tmp_path / "out").rglob("*") if f.is_file()}
    assert found == {"course_lib/bundle.py", "data/m.toml", "README.md"}


def test_the_workflow_tries_the_promised_pythons_on_three_systems_with_the_least_rights() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    matrix = workflow["jobs"]["check"]["strategy"]["matrix"]
    assert len(matrix["os"]) == 3
    promised = SpecifierSet(PROJECT["requires-python"])
    assert matrix["python"] == [f"3.{minor}" for minor in range(30) if promised.contains(f"3.{minor}")]
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    files = re.findall(r"[\w/]+\.py", " ".join(step.get("run", "") for step in steps))
    assert files and all((ROOT / file).is_file() for file in files)
