"""The cache of assets: fetched once, unpacked into a temporary folder and renamed, verified before use.

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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from course_lib.assets.archives import check_member, refetch_command, unpack
from course_lib.assets.download import Progress, download, partial_folder, wrong_hash
from course_lib.assets.manifest import Asset, cache_folder, find, read_manifest, sha256_of
from course_lib.errors import CorruptAsset, MissingAsset, Offline

STAMP = ".asset.json"
_NOT_READABLE = (OSError, ValueError, KeyError, AttributeError, TypeError)  # errors of a damaged stamp

# (path, size, time of change) of every file, as it was when its hash was last checked in this process.
_Snapshot = tuple[tuple[str, int, int], ...]
_verified: dict[tuple[Path, str], _Snapshot] = {}


def _log(line: str) -> None:
    logging.getLogger("course_lib.assets").info(line)


def path(name: str) -> Path:
    """The asset's folder, or its file where it is one file; fetched first if it is not there.

    The first call in a process checks every file's sha256 (0.1 s for the encoder); later ones only that
    sizes and times are unchanged.

    Raises:
        BadInput: no asset has that name.
        CorruptAsset: a file is there and is not the right one. It is not replaced without a request.
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
    return _folder(asset) / asset.file


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


def status(*, full: bool = False) -> dict[str, str]:
    """Name -> state of every asset, by the sizes of its files; with `full` by their hashes.

    A state is "ready", "missing", "outdated" (the manifest pins another archive) or "damaged".
    """
    states = {}
    for asset in read_manifest().values():
        states[asset.name] = _state(asset)
        if full and states[asset.name] == "ready":
            try:
                _verify(asset, again=True)
            except CorruptAsset:
                states[asset.name] = "damaged"
    return states


def _folder(asset: Asset) -> Path:
    return cache_folder() / "assets" / asset.name


def _state(asset: Asset) -> str:
    """Cheap: reads the stamp and the files' sizes."""
    folder = _folder(asset)
    if not folder.is_dir():
        return "missing"
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
        whole = all(_size(folder / place) == facts["bytes"] for place, facts in stamp["files"].items())
        pinned = stamp["archive_sha256"] == asset.sha256
    except _NOT_READABLE:
        return "damaged"
    if not pinned:
        return "outdated"
    return "ready" if whole else "damaged"


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
    """A group of files has one hash in the manifest; the stamp shows which of them has changed."""
    folder = _folder(asset)
    try:
        files = json.loads((folder / STAMP).read_text(encoding="utf-8"))["files"]
        expected = {place: facts["sha256"] for place, facts in files.items()}
    except _NOT_READABLE as error:
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
    downloads, target = cache_folder() / "downloads", _folder(asset)
    for folder in (downloads, target.parent):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".partial-*"):  # by killed runs: only the holder of the lock writes here
            shutil.rmtree(left, ignore_errors=True)
    archive = _archive(asset, downloads, progress)
    progress(f"{asset.name}: unpacking")
    with partial_folder(target.parent) as fresh:
        _write_stamp(fresh, asset, unpack(archive, asset, fresh))
        _swap(fresh, target)


def _archive(asset: Asset, downloads: Path, progress: Progress) -> Path:
    """The archive in `downloads` if its hash is right, else a new one from the network."""
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
    fresh.chmod(0o755)  # temporary folders are private
    with partial_folder(target.parent) as old:
        if target.exists():
            os.replace(target, old / target.name)
        os.replace(fresh, target)


@contextmanager
def _lock(progress: Progress) -> Iterator[None]:
    """One process at a time changes the cache; the others report that they wait."""
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
    """A full or read-only disk becomes an error with a fix. CourseErrors that are OSErrors pass."""
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
