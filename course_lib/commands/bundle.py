"""`python -m course_lib bundle`: one folder from which a class sets the course up without a network."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from course_lib.commands.inputs import check_replaceable, say
from course_lib.errors import BadInput, MissingAsset, Offline

_INSTALLED = 1.4  # bytes on the disk over those in the wheels: 1.35 measured, compiled files and blocks included
# In a course folder that is not a git clone: what does not belong to the course.
_NOT_OURS = [".git", ".venv", "cache", "reports", "artefacts", "wheels", "bundle.json", "__pycache__", "*.egg-info"]
_NOT_OURS += [".ipynb_checkpoints", ".hypothesis", ".*_cache", "progress.jsonl"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Place, and the build of PyTorch."""
    parser.add_argument("--out", type=Path, help="folder of the bundle (data/cache/bundle)")
    parser.add_argument("--torch", default="auto", choices=("auto", "cpu", "cuda"), help="build of PyTorch (auto)")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Collects everything in a temporary folder and renames it at the end. Needs a network."""
    from course_lib import assets
    from course_lib.set_up import MANIFEST

    out = (options.out or assets.cache_folder() / "bundle").resolve()
    check_replaceable(out, (out / MANIFEST).exists(), "a bundle")
    part = out.with_name(f".partial-{out.name}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        size = _collect(part, options.torch)
        shutil.rmtree(out, ignore_errors=True)
        part.replace(out)
    except MissingAsset:  # it is an OSError too
        raise
    except OSError as error:
        raise BadInput(f"the bundle cannot be written: {error}", "free some disk, or give another --out") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    lines = [f"{out}: {size / 1e6:.0f} MB", "Copy this folder to each machine, and run there: python3 set_up.py"]
    return {"bundle": str(out), "bytes": size}, lines, 0


def _collect(folder: Path, torch: str) -> int:
    """Fills the folder, the manifest last; returns its size in bytes."""
    from course_lib.set_up import DOWNLOADS, MANIFEST, ROOT, WHEELS, sha256_of, this_machine

    _copy_course(folder)
    shutil.copyfile(ROOT / "course_lib" / "set_up.py", folder / "set_up.py")
    unpacked = _copy_downloads(folder / DOWNLOADS)
    say("Collecting the packages (from the network, some minutes)")
    _wheels(folder / WHEELS, torch)
    say("Hashing every file")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    room = round(_INSTALLED * _content(folder / WHEELS)) + unpacked
    hashes = {file.relative_to(folder).as_posix(): sha256_of(file) for file in files}
    manifest = {**this_machine(), "room": room, "files": hashes}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return sum(file.stat().st_size for file in files)


def _copy_course(folder: Path) -> None:
    """The course's own files as they are now: those that git tracks; without git, all but the products of tools."""
    from course_lib.set_up import ROOT

    if not (ROOT / ".git").exists() or not shutil.which("git"):
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_NOT_OURS))
        return
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (ROOT / name).is_file():  # not where it is deleted and not committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def _copy_downloads(folder: Path) -> int:
    """The archives of data and weights, also of those that are fetched on first use; their size when unpacked."""
    from course_lib import assets
    from course_lib.set_up import sha256_of

    folder.mkdir(parents=True)
    downloads, unpacked = assets.cache_folder() / "downloads", 0
    for asset in assets.read_manifest().values():
        assets.fetch(asset.name, say)
        archive = downloads / asset.archive
        if not archive.exists() or sha256_of(archive) != asset.sha256:
            assets.fetch(asset.name, say, refetch=True)
        shutil.copy2(archive, folder / asset.archive)
        unpacked += asset.unpacked_bytes
    return unpacked


def _wheels(folder: Path, torch: str) -> None:
    """Wheels of all packages of the learner's environment, in the pinned versions, for this Python and platform."""
    from course_lib.set_up import ROOT, ask_for_torch, direct_requirements

    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--wheel-dir", str(folder), "-c", str(ROOT / "constraints.txt")]
    # The editable installation builds the project, so it needs the build's own packages too.
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    with redirect_stdout(sys.stderr):  # with --json, standard output is for the result alone
        command += [*ask_for_torch(torch, Path(sys.executable)), *build, *direct_requirements()]
    if subprocess.run(command, stdout=sys.stderr).returncode:
        raise Offline(
            "pip could not collect every package; its reason is above",
            "connect to the network, or free some disk, and run the same command again",
        )


def _content(wheels: Path) -> int:
    """Bytes that the wheels' files take when they are installed."""
    total = 0
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            total += sum(entry.file_size for entry in archive.infolist())
    return total
