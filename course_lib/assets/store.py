"""The cache of assets: fetched once, unpacked beside and renamed, verified before use.

    <cache>/downloads/<archive>       package files; one put there by hand is used without network
    <cache>/assets/<name>/            the members, and .asset.json: what was unpacked, with sha256 and size

A folder under assets/ is there only when it is complete: a killed run leaves a folder whose name starts with
a dot, which the next run sweeps away.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from course_lib.assets.archives import check_member, refetch_command, unpack
from course_lib.assets.download import Progress, download, wrong_hash
from course_lib.assets.manifest import Asset, cache_folder, find, read_manifest, sha256_of
from course_lib.errors import CorruptAsset, MissingAsset, Offline

STAMP = ".asset.json"

# (path, size, time of change) of every file, as it was when its hash was last checked in this process.
_Snapshot = tuple[tuple[str, int, int], ...]
_verified: dict[tuple[Path, str], _Snapshot] = {}


@dataclass(frozen=True)
class AssetStatus:
    """One line of `python -m course_lib data`.

    state: "ready", "missing", "outdated" (the manifest pins another archive) or "damaged".
    """

    name: str
    state: str
    what: str
    package: str
    version: str
    licence: str
    card: str
    core: bool
    archive_bytes: int
    unpacked_bytes: int
    folder: Path


def _log(line: str) -> None:
    logging.getLogger("course_lib.assets").info(line)


def path(name: str) -> Path:
    """The asset's folder, or its file where it is one file; fetched first if it is not there.

    The first call in a process checks every file's sha256 (0.1 s for the encoder); later ones only that
    sizes and times are unchanged.

    Raises:
        BadInput: no asset has that name.
        CorruptAsset: a file is there and is not the right one. Nothing is mended unasked.
        Offline: it is missing and cannot be fetched.
    """
    return fetch(name)


def fetch(name: str, progress: Progress = _log, *, refetch: bool = False) -> Path:
    """Makes sure that the asset is here and right; `progress` is called with one line per step.

    refetch: throw away what is there and take it from the archive again (from the network only if the
    archive in the cache is missing or wrong). Safe to call from several processes at once.
    """
    asset = find(name)
    if refetch or _state(asset) in ("missing", "outdated"):
        with _disk_errors(asset), _lock(progress):
            if refetch or _state(asset) in ("missing", "outdated"):  # another process may have been quicker
                _install(asset, progress)
    _verify(asset)
    return _location(asset)


def fetch_core(progress: Progress = _log) -> list[Path]:
    """Fetches every asset that the set-up needs; one that is complete is only verified."""
    core = [asset for asset in read_manifest().values() if asset.core]
    places = []
    for number, asset in enumerate(core, start=1):
        places.append(fetch(asset.name, progress))
        progress(f"[{number}/{len(core)}] {asset.name}: ready")
    return places


def verify(name: str) -> None:
    """Hashes every file of the asset again, whatever was checked before.

    Raises MissingAsset when it was never fetched, CorruptAsset with the file and both hashes when it differs.
    """
    asset = find(name)
    if _state(asset) in ("missing", "outdated"):
        raise MissingAsset(f"{name} is not in {cache_folder()}.", "run: python -m course_lib data")
    _verify(asset, again=True)


def status(*, full: bool = False) -> list[AssetStatus]:
    """The state of every asset, by the sizes of its files; with `full` by their hashes."""
    return [_status(asset, full) for asset in read_manifest().values()]


def _status(asset: Asset, full: bool) -> AssetStatus:
    state = _state(asset)
    if state == "ready" and full:
        try:
            _verify(asset, again=True)
        except CorruptAsset:
            state = "damaged"
    names = ("name", "what", "package", "version", "licence", "card", "core", "archive_bytes", "unpacked_bytes")
    facts: dict[str, Any] = {name: getattr(asset, name) for name in names}
    return AssetStatus(state=state, folder=_folder(asset), **facts)


def _folder(asset: Asset) -> Path:
    return cache_folder() / "assets" / asset.name


def _location(asset: Asset) -> Path:
    return _folder(asset) / asset.file


def _state(asset: Asset) -> str:
    """Cheap: reads the stamp and the files' sizes."""
    folder = _folder(asset)
    if not folder.is_dir():
        return "missing"
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        pinned, files = stamp["archive_sha256"] == asset.sha256, stamp["files"].items()
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return "damaged"
    if not pinned:
        return "outdated"
    sizes = {place: _size(folder / place) for place, _ in files}
    return "ready" if all(sizes[place] == facts["bytes"] for place, facts in files) else "damaged"


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else -1


def _snapshot(folder: Path) -> _Snapshot:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != STAMP)
    return tuple((f.relative_to(folder).as_posix(), f.stat().st_size, f.stat().st_mtime_ns) for f in files)


def _verify(asset: Asset, *, again: bool = False) -> None:
    """Compares every file with the manifest (not with the stamp, which anyone could have written)."""
    folder = _folder(asset)
    key, now = (folder, asset.sha256), _snapshot(folder)
    if not again and _verified.get(key) == now:
        return
    _verified.pop(key, None)
    hashes = {place: sha256_of(folder / place) for place, _, _ in now}
    _name_changed_file(asset, hashes)
    for member in asset.members:
        check_member(asset, member, hashes, folder)
    _verified[key] = now


def _name_changed_file(asset: Asset, hashes: dict[str, str]) -> None:
    """A group of files has one hash in the manifest; the stamp tells which of them has changed."""
    folder = _folder(asset)
    try:
        files = json.loads((folder / STAMP).read_text(encoding="utf-8"))["files"]
        expected = {place: facts["sha256"] for place, facts in files.items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CorruptAsset(
            f"{asset.name}: {folder / STAMP} cannot be read ({error}).", refetch_command(asset)
        ) from error
    for place, wanted in expected.items():
        met = hashes.get(place, "no file")
        if met != wanted:
            raise CorruptAsset(
                f"{asset.name}: {folder / place} is damaged: expected sha256 {wanted}, met {met}.",
                refetch_command(asset),
            )


def _install(asset: Asset, progress: Progress) -> None:
    """Archive -> temporary folder -> its place. Runs under the lock."""
    downloads = cache_folder() / "downloads"
    target = _folder(asset)
    for folder in (downloads, target.parent):
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
    archive = _archive(asset, downloads, progress)
    progress(f"{asset.name}: unpacking")
    fresh = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    try:
        _write_stamp(fresh, asset, unpack(archive, asset, fresh))
        _swap(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _archive(asset: Asset, downloads: Path, progress: Progress) -> Path:
    """The archive that lies in `downloads` if its hash is right, else a new one from the network."""
    file = downloads / asset.archive
    if not file.is_file():
        return download(asset, downloads, progress)
    met = sha256_of(file)
    if met == asset.sha256:
        progress(f"{asset.name}: using {file}")
        return file
    progress(f"{asset.name}: {file} has the wrong hash, fetching it again")
    try:
        return download(asset, downloads, progress)
    except Offline as error:
        raise wrong_hash(asset, str(file), met) from error


def _write_stamp(folder: Path, asset: Asset, hashes: dict[str, str]) -> None:
    files = {place: {"sha256": hashes[place], "bytes": _size(folder / place)} for place in sorted(hashes)}
    stamp = {"name": asset.name, "archive": asset.archive, "archive_sha256": asset.sha256, "files": files}
    with (folder / STAMP).open("w", encoding="utf-8") as out:
        json.dump(stamp, out, indent=1)
        out.flush()
        os.fsync(out.fileno())


def _swap(fresh: Path, target: Path) -> None:
    """Puts `fresh` in the place of `target`. A folder cannot be renamed over a full one: the old goes first.

    Killed between the two renames, nothing is in the place, and the next run unpacks the archive again.
    """
    fresh.chmod(0o755)  # mkdtemp makes it private
    if target.exists():
        old = Path(tempfile.mkdtemp(prefix=".partial-old-", dir=target.parent)) / target.name
        os.replace(target, old)
        shutil.rmtree(old.parent, ignore_errors=True)
    os.replace(fresh, target)


def _sweep(folder: Path) -> None:
    """Removes what killed runs left. Only the holder of the lock writes here, so all of it is old."""
    for left in folder.glob(".partial-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _lock(progress: Progress) -> Iterator[None]:
    """One process at a time changes the cache; the others wait, and say so."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache / "assets.lock")
    try:
        lock.acquire(timeout=0.2)
    except Timeout:
        progress("waiting: another process is fetching")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _disk_errors(asset: Asset) -> Iterator[None]:
    """A full or read-only disk becomes an error with a way on. CourseErrors that are OSErrors pass."""
    try:
        yield
    except MissingAsset:
        raise
    except OSError as error:
        room = f"free {(asset.archive_bytes + asset.unpacked_bytes) / 1e6:.0f} MB, or "
        raise MissingAsset(
            f"{asset.name} could not be written to {cache_folder()}: {error.strerror or error}.",
            (room if error.errno == errno.ENOSPC else "")
            + "set COURSE_CACHE to a folder that can be written, and run again.",
        ) from error
