"""Whose checkpoints lie in a folder: a run goes on only where the very same run was broken off."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from course_lib.checkpoints import CheckpointFolder, write_atomically
from course_lib.classifier.objective import LossWrapper
from course_lib.errors import CheckpointError
from course_lib.training import TrainingConfig

_NOTE = "run.json"
_FIX = "give the same arguments as then to go on, or delete that folder to start anew"


def claim(checkpoints: CheckpointFolder, identity: Mapping[str, str]) -> None:
    """Notes in the folder which run it belongs to.

    Raises:
        CheckpointError: it holds checkpoints of a run on other texts, or with other settings.
    """
    note = checkpoints.folder / _NOTE
    if not checkpoints.steps():
        write_atomically(note, json.dumps(identity, indent=1))
        return
    try:
        owner = json.loads(note.read_text(encoding="utf-8"))
        both = {name: (owner.get(name), mine) for name, mine in identity.items()}
        differ = {name: pair for name, pair in both.items() if pair[0] != pair[1]}
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{note} does not tell whose checkpoints these are ({error})", _FIX) from error
    if differ:
        raise CheckpointError(f"{checkpoints.folder} is of another run; (there, here): {differ}", _FIX)


def identity_of(
    parameters: Mapping[str, Any],
    training: TrainingConfig,
    texts: Sequence[str],
    targets: Mapping[str, Tensor],
    loss_wrapper: LossWrapper | None = None,
) -> dict[str, str]:
    """What decides the course of a run: its settings, and hashes of its texts and targets."""
    settings = {**parameters, "loss_wrapper": loss_wrapper}
    settings |= {f"training.{name}": value for name, value in asdict(training).items()}
    settings.pop("training", None)
    read = hashlib.sha256()
    for text in texts:
        read.update(len(text).to_bytes(8, "big") + text.encode())
    wanted = hashlib.sha256()
    for name, tensor in sorted(targets.items()):
        wanted.update(name.encode() + tensor.numpy().tobytes())
    hashes = {"texts": read.hexdigest()[:16], "labels": wanted.hexdigest()[:16]}
    return {name: repr(value) for name, value in settings.items()} | hashes
