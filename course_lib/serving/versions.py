"""Versions of a model on the disk, and which of them a server uses.

The folder given to the server is an export, or it holds one folder for each version and a file `deployment.json`:

    {"stable": "v1", "candidate": "v2", "mode": "canary", "fraction": 0.1}

A server looks at these files once a second. A new version is loaded, verified and tried beside the one in use, and
then takes its place; requests under way finish with the version that they began with. A version that cannot be used is
refused, and everything stays as it was. Workers keep a copy of what they use: one that is started while the files are
damaged uses that copy.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from filelock import FileLock

from course_lib.assets import cache_folder, data_folder
from course_lib.assets.files import write_atomically
from course_lib.errors import BadInput, CorruptAsset, CourseError
from course_lib.onnx_model import FILES, MODEL_FILE, NOTE_FILE, OnnxModel

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
            if not isinstance(name, str) or name in ("", "..") or Path(name).name != name or not name.isprintable():
                raise BadInput(f"the version {name!r} is not the name of a folder", "give a plain name such as v1")
        if self.mode not in ("canary", "shadow"):
            raise BadInput(f"mode is {self.mode!r}", "use canary or shadow")
        if not isinstance(self.fraction, (int, float)) or not 0 <= self.fraction <= 1:
            raise BadInput(f"fraction is {self.fraction!r}", "use a number from 0 to 1")

    def uses_candidate(self, text: str) -> bool:
        """Whether the candidate gets this text. Equal texts are treated equally, by every worker."""
        number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:8], "big")
        return self.candidate is not None and number < self.fraction * 2**64


def servable_folder(name: str | os.PathLike[str], notify: Callable[[str], None] = lambda line: None) -> Path:
    """The folder of an export or of versions as it is; another model is exported into the cache first.

    Args:
        name: a folder, or a model of the course.
        notify: called with a line before an export, which takes some seconds.

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
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / "lock"):  # two servers may start at once
        if not (target / MODEL_FILE).is_file():
            notify(f"exporting {name} for ONNX Runtime")
            _export(os.fspath(name), target)
    return target


def _export(name: str, target: Path) -> None:
    """Exports in a child, so that torch's memory is free again. The folder appears as a whole or not at all."""
    command = [sys.executable, "-m", "course_lib", "export", "--model", name, "--out", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CourseError(f"--model {name} cannot be exported: {done.stderr.strip()[-300:]}", "see the message")


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
    except BadInput:
        raise
    except (OSError, TypeError, ValueError, RecursionError) as error:
        raise CorruptAsset(f"{file} is damaged: {error}", "write it with python -m course_lib deploy") from error
    return found, {name: folder / name for name in (found.stable, found.candidate) if name}


def write_deployment(folder: str | os.PathLike[str], deployment: Deployment) -> None:
    """Writes `deployment.json`, after each version that it names has been loaded and tried.

    Raises:
        CourseError: a version is missing or damaged, or their classes differ. The file stays as it was.
    """
    place = Path(folder)
    check_classes([load_version(place / name) for name in (deployment.stable, deployment.candidate) if name])
    write_atomically(place / DEPLOYMENT_FILE, json.dumps(vars(deployment)))


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


def check_classes(versions: Iterable[Version]) -> None:
    """Raises BadInput unless all versions have the same classes: clients and metrics rely on them."""
    if len({tuple(version.model.class_names) for version in versions}) > 1:
        raise BadInput("the classes of the versions differ", "serve a model with other classes by a server of its own")


def _digest(folder: Path) -> str:
    """Identifies the files of a version: `classes.json` holds the hashes of the others."""
    return hashlib.sha256((folder / NOTE_FILE).read_bytes()).hexdigest()[:12]


class Versions:
    """The versions that a worker uses now.

    Args:
        folder: an export, or a folder of versions with `deployment.json`.
        spare: a folder for copies of what is used, shared by the workers of a server.
        on_change: called with "accepted" or "refused" after each change of the files.

    Raises:
        CourseError: a version cannot be used, and there is no copy.
    """

    def __init__(
        self, folder: Path, spare: Path | None = None, on_change: Callable[[str], None] = lambda outcome: None
    ) -> None:
        self.folder, self._spare, self._on_change = folder.absolute(), spare, on_change
        self.refused: str | None = None  # why the files on the disk are not what is used
        self._loaded: dict[str, Version] = {}
        self._signature = self._look()
        try:
            self.deployment, self._loaded = self._load()
        except CourseError as error:
            self.deployment, self._loaded = self._load_spare(error)
        self._keep()

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
                await asyncio.sleep(every / 4)  # let a copy that is under way finish
                self._signature = signature if signature == self._look() else None
                if self._signature is not None:
                    await self._take_over()

    async def _take_over(self) -> None:
        try:
            self.deployment, self._loaded = await asyncio.to_thread(self._load)
        except Exception as error:  # whatever is wrong with the new files, the old version goes on
            self._refuse(error)
            return
        self.refused = None
        _log.info("now serving %s", ", ".join(f"{v.name} ({v.digest})" for v in self._loaded.values()))
        self._on_change("accepted")
        await asyncio.to_thread(self._keep)

    def _refuse(self, error: Exception) -> None:
        self.refused = type(error).__name__
        _log.error("the new deployment is refused: %s", error if isinstance(error, CourseError) else self.refused)
        self._on_change("refused")

    def _load(self) -> tuple[Deployment, dict[str, Version]]:
        deployment, folders = read_deployment(self.folder)
        known = {(v.name, v.digest): v for v in self._loaded.values()}
        loaded = {}
        for name, folder in folders.items():
            same = known.get((name, _digest(folder) if (folder / NOTE_FILE).is_file() else ""))
            loaded[name] = same or load_version(folder)
        check_classes([*known.values(), *loaded.values()])
        return deployment, loaded

    def _keep(self) -> None:
        """Copies what is in use to the spare folder, where the copy is not there already."""
        if self._spare is None:
            return
        try:
            for version in self._loaded.values():
                _copy(version.model.folder, self._spare / version.digest / version.name)
            note = {"deployment": vars(self.deployment), "digests": {v.name: v.digest for v in self._loaded.values()}}
            write_atomically(self._spare / DEPLOYMENT_FILE, json.dumps(note))
        except OSError as error:  # a full disk must not end the service
            _log.error("no copy of the versions in use: %s", type(error).__name__)

    def _load_spare(self, reason: CourseError) -> tuple[Deployment, dict[str, Version]]:
        """What the other workers use, from the copies. Raises the reason if there are none."""
        if self._spare is None or not (self._spare / DEPLOYMENT_FILE).is_file():
            raise reason
        note = json.loads((self._spare / DEPLOYMENT_FILE).read_text(encoding="utf-8"))
        found = {name: load_version(self._spare / digest / name) for name, digest in note["digests"].items()}
        self._refuse(reason)
        return Deployment(**note["deployment"]), found

    def _look(self) -> Any:
        """Changes whenever a file changes."""
        try:
            folders = read_deployment(self.folder)[1].values()
            files = [self.folder / DEPLOYMENT_FILE, *(file for each in folders for file in sorted(each.iterdir()))]
            return [(str(f), s.st_mtime_ns, s.st_size, s.st_ino) for f in files if f.exists() for s in [f.stat()]]
        except (CourseError, OSError, ValueError) as error:
            return str(error)


def _copy(folder: Path, target: Path) -> None:
    """Copies an export. If another worker was first, its copy stays."""
    if target.is_dir():
        return
    with tempfile.TemporaryDirectory(dir=target.parents[1]) as part:
        whole = Path(part, "export")
        whole.mkdir()
        for name in FILES:
            shutil.copyfile(folder / name, whole / name)
        target.parent.mkdir(exist_ok=True)
        with suppress(OSError):
            whole.replace(target)
