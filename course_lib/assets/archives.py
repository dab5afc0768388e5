"""Taking named members out of a wheel (zip) or an sdist (tar.gz), and nothing else.

An archive never decides where its files go: a member is written under its bare file name into a folder that
the manifest names, links and devices are not followed, and what the manifest does not list is not read.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO

from course_lib.assets.manifest import Asset, Member, listing_sha256, sha256_of
from course_lib.errors import CorruptAsset


def unpack(archive: Path, asset: Asset, folder: Path) -> dict[str, str]:
    """Writes the asset's members under `folder` (which exists) and checks each against the manifest.

    Returns: path within `folder` (with "/") -> sha256, for every file written.
    Raises CorruptAsset when a member is missing, is not a plain file, or has another hash.
    """
    written: dict[str, str] = {}
    try:
        with archive.open("rb") as stream:
            for name, content in _open(stream, archive.name, asset.inside):
                member = _wanted(asset, name)
                if member is not None:
                    place = _place(asset, member, name)
                    _write(content, folder / place)
                    written[place] = sha256_of(folder / place)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise _corrupt(asset, f"cannot be read ({error})") from error
    for member in asset.members:
        check_member(asset, member, written, archive)
    return written


def check_member(asset: Asset, member: Member, written: Mapping[str, str], where: Path) -> None:
    """Raises CorruptAsset unless `written` (path -> sha256) holds this member with its hash."""
    pattern = posixpath.join(member.into, posixpath.basename(member.path))
    found = {posixpath.basename(path): written[path] for path in written if fnmatch.fnmatchcase(path, pattern)}
    if len(found) != member.files:
        raise _corrupt(asset, f"{where} holds {len(found)} files {member.path}, expected {member.files}")
    met = listing_sha256(found) if "*" in member.path else next(iter(found.values()))
    if met != member.sha256:
        raise _corrupt(asset, f"{member.path} in {where}: expected sha256 {member.sha256}, met {met}")


def refetch_command(asset: Asset) -> str:
    """The command that replaces a damaged asset."""
    return f"run: python -m course_lib data --refetch {asset.name}"


def _corrupt(asset: Asset, why: str) -> CorruptAsset:
    return CorruptAsset(f"{asset.name} ({asset.pin}) is damaged: {why}.", refetch_command(asset))


def _open(stream: IO[bytes], name: str, inside: str) -> Iterator[tuple[str, IO[bytes]]]:
    """(name, content) of each plain file; with `inside`, of the archive found under that name."""
    entries = _zip_entries(stream) if name.endswith((".whl", ".zip")) else _tar_entries(stream)
    if not inside:
        yield from entries
        return
    for entry, content in entries:
        if entry == inside:
            yield from _open(BytesIO(content.read()), inside, "")
            return


def _zip_entries(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(stream) as archive:
        for entry in archive.infolist():
            if not entry.is_dir():
                with archive.open(entry) as content:
                    yield entry.filename, content


def _tar_entries(stream: IO[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(fileobj=stream, mode="r:*") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isreg() else None
            if content is not None:
                yield entry.name, content


def _wanted(asset: Asset, name: str) -> Member | None:
    folder, file = posixpath.split(name)
    for member in asset.members:
        wanted_folder, pattern = posixpath.split(member.path)
        if folder == wanted_folder and fnmatch.fnmatchcase(file, pattern):
            return member
    return None


def _place(asset: Asset, member: Member, name: str) -> str:
    """Where a member goes, as a path within the asset's folder. A pattern must not bring in a strange name."""
    file = posixpath.basename(name)
    if file in ("", ".", "..") or set(file) & set('\\/:"<>|?*\0'):
        raise _corrupt(asset, f"the archive holds a file of the name {name!r}, which is not safe to write")
    return posixpath.join(member.into, file)


def _write(content: IO[bytes], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        shutil.copyfileobj(content, out, 1 << 20)
        out.flush()
        os.fsync(out.fileno())
