"""Versions of a model on the disk, and which of them a server uses.

The folder given to the server is an export, or it holds one folder for each version and a file `deployment.json`:

    {"stable": "v1", "candidate": "v2", "mode": "canary", "fraction": 0.1}

A server looks at these files once a second. A new version is loaded, verified and tried beside the one in use, and
then takes its place; requests under way finish with the version that they began with. A version that cannot be used is
refused, and everything stays as it was.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from course_lib.assets import cache_folder, data_folder
from course_lib.errors import BadInput, CorruptAsset, CourseError
from course_lib.onnx_model import MODEL_FILE, NOTE_FILE, OnnxModel

DEPLOYMENT_FILE = "deployment.json"
Mode = Literal["canary", "shadow"]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Version:
    """A model that is ready to predict."""

    name: str  # of its folder
    digest: str  # of its files, the first 12 hexadecimal digits
    model: OnnxModel


@dataclass(frozen=True)
class Deployment:
    """Which versions are used, by name."""

    stable: str
    candidate: str | None = None  # a newer version on trial
    mode: Mode = "canary"  # the candidate answers a fraction of the texts, or ("shadow") predicts them unseen
    fraction: float = 0.0  # of the texts that the candidate gets, chosen by a hash of the text

    def __post_init__(self) -> None:
        for name in (self.stable, *([] if self.candidate is None else [self.candidate])):
            if not isinstance(name, str) or Path(name).name != name:
                raise BadInput(f"the version {name!r} is not the name of a folder", "give a plain name such as v1")
        if self.mode not in ("canary", "shadow"):
            raise BadInput(f"mode is {self.mode!r}", "use canary or shadow")
        if not isinstance(self.fraction, (int, float)) or not 0 <= self.fraction <= 1:
            raise BadInput(f"fraction is {self.fraction!r}", "use a number from 0 to 1")

    def uses_candidate(self, text: str) -> bool:
        """Whether the candidate gets this text. Equal texts are treated equally, by every worker."""
        number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")
        return self.candidate is not None and number < self.fraction * 2**64


def servable_folder(name: str | os.PathLike[str]) -> Path:
    """The folder of an export or of versions as it is; another model is exported into the cache first.

    Raises:
        CourseError: there is no such model, or it cannot be exported.
    """
    folder = Path(name)
    if any((folder / file).is_file() for file in (MODEL_FILE, DEPLOYMENT_FILE)):
        return folder
    ours = data_folder() / "checkpoints" / name
    source = ours if ours.is_dir() else folder
    if not source.is_dir():
        raise BadInput(f"--model {name} is neither a folder nor a model of the course", "give one of them")
    state = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in sorted(source.iterdir())]
    digest = hashlib.sha256(repr((str(source.resolve()), state)).encode()).hexdigest()[:8]
    target = cache_folder() / "exports" / digest / source.name
    if not (target / MODEL_FILE).is_file():
        _log.info("exporting %s for ONNX Runtime", name)
        command = [sys.executable, "-m", "course_lib", "export", "--model", os.fspath(name), "--out", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # torch ends with the child
        if done.returncode:
            raise CourseError(f"--model {name} cannot be exported: {done.stderr.strip()[-300:]}", "see the message")
    return target


def read_deployment(folder: Path) -> tuple[Deployment, dict[str, Path]]:
    """What to serve from a folder, and the folder of each version.

    Raises:
        BadInput, CorruptAsset: `deployment.json` is damaged or has a wrong value.
    """
    file = folder / DEPLOYMENT_FILE
    if not file.is_file():
        return Deployment(folder.name), {folder.name: folder}
    try:
        found = Deployment(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise CorruptAsset(f"{file} is damaged: {error}", "write it with python -m course_lib deploy") from error
    return found, {name: folder / name for name in (found.stable, found.candidate) if name}


def write_deployment(folder: str | os.PathLike[str], deployment: Deployment) -> None:
    """Writes `deployment.json`, after each version that it names has been loaded and tried.

    Raises:
        CourseError: a version is missing or damaged. The file stays as it was.
    """
    place = Path(folder)
    for name in (deployment.stable, deployment.candidate):
        if name is not None:
            load_version(place / name)
    part = place / f".part-{DEPLOYMENT_FILE}-{os.getpid()}"
    part.write_text(json.dumps(vars(deployment)), encoding="utf-8")
    part.replace(place / DEPLOYMENT_FILE)


def load_version(folder: Path) -> Version:
    """Loads an export, verifies its hashes and predicts one row.

    Raises:
        MissingAsset, CorruptAsset: it is not complete, damaged, or does not predict.
    """
    model = OnnxModel(folder)
    try:
        logits = model.logits([row.ids for row in model.encode(["ready"])])
    except Exception as error:
        raise CorruptAsset(f"{folder} cannot predict: {type(error).__name__}", "export the model again") from error
    if logits.shape != (1, len(model.classes)) or not np.isfinite(logits).all():
        raise CorruptAsset(f"{folder} gives no probability for each class", "export the model again")
    return Version(folder.name, _digest(folder), model)


def _digest(folder: Path) -> str:
    """Identifies the files of a version: `classes.json` holds the hashes of the others."""
    return hashlib.sha256((folder / NOTE_FILE).read_bytes()).hexdigest()[:12]


class Versions:
    """The versions that a worker uses now.

    Args:
        folder: an export, or a folder of versions with `deployment.json`.

    Raises:
        CourseError: a version cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._signature = self._look()
        self.deployment, self._loaded = self._load()
        self.refused: str | None = None  # why the files on the disk are not what is used

    @property
    def stable(self) -> Version:
        """The version for all texts that no candidate gets."""
        return self._loaded[self.deployment.stable]

    @property
    def candidate(self) -> Version | None:
        """The version on trial."""
        return self._loaded.get(self.deployment.candidate or "")

    def version_for(self, text: str) -> Version:
        """The version that answers a text: a canary gets its fraction, a shadow never answers."""
        is_canary = self.deployment.mode == "canary" and self.deployment.uses_candidate(text)
        return cast(Version, self.candidate) if is_canary else self.stable

    def shadow_for(self, text: str) -> Version | None:
        """The version that predicts a text unseen, if there is one."""
        is_shadow = self.deployment.mode == "shadow" and self.deployment.uses_candidate(text)
        return self.candidate if is_shadow else None

    async def watch(self, every: float = 1.0) -> None:
        """Looks for changes and takes them over, until it is cancelled."""
        while True:
            await asyncio.sleep(every)
            if (signature := self._look()) != self._signature:
                await asyncio.sleep(every / 4)  # let a copy that is under way come to its end
                self._signature = signature if signature == self._look() else None
                if self._signature is not None:
                    await self._take_over()

    async def _take_over(self) -> None:
        try:
            self.deployment, self._loaded = await asyncio.to_thread(self._load)
            self.refused = None
            _log.info("now serving %s", ", ".join(f"{v.name} ({v.digest})" for v in self._loaded.values()))
        except Exception as error:  # whatever is wrong with the new files, the old version goes on
            self.refused = type(error).__name__
            _log.error("the new deployment is refused: %s", error if isinstance(error, CourseError) else self.refused)

    def _load(self) -> tuple[Deployment, dict[str, Version]]:
        deployment, folders = read_deployment(self.folder)
        known = {(v.name, v.digest): v for v in getattr(self, "_loaded", {}).values()}
        loaded = {}
        for name, folder in folders.items():
            same = known.get((name, _digest(folder) if (folder / NOTE_FILE).is_file() else ""))
            loaded[name] = same or load_version(folder)
        names = {tuple(version.model.class_names) for version in (*known.values(), *loaded.values())}
        if len(names) > 1:
            raise BadInput("the classes of the versions differ", "restart the server to change the classes")
        return deployment, loaded

    def _look(self) -> Any:
        """Changes whenever a file changes."""
        try:
            folders = read_deployment(self.folder)[1].values()
            files = [self.folder / DEPLOYMENT_FILE, *(file for each in folders for file in sorted(each.iterdir()))]
            return [(str(f), s.st_mtime_ns, s.st_size, s.st_ino) for f in files if f.exists() for s in [f.stat()]]
        except (CourseError, OSError) as error:
            return str(error)
