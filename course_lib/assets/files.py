"""Text files that are whole or not there, also after a power failure."""

from __future__ import annotations

import os
from pathlib import Path


def flush_file(path: Path) -> None:
    """Waits until a file's content is on the disk."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def flush_folder(path: Path) -> None:
    """Waits until a folder's entries are on the disk (a no-op where folders cannot be opened, as on Windows)."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, text: str) -> None:
    """Writes a text file beside its place, flushes it and renames it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}-{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        flush_file(part)
        part.replace(path)
        flush_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)
