"""Checkpoints: whole or absent, checked by hash, and a killed run ends as if it had not been killed."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killed_run import STEPS, in_child

import course_lib.checkpoints as checkpoints_module
from course_lib.assets import files
from course_lib.assets.files import write_atomically
from course_lib.checkpoints import (
    Checkpoint,
    CheckpointFolder,
    atomic_folder,
    check_resume_identity,
    replace_folder,
    resume_identity,
)
from course_lib.errors import CheckpointError, MissingAsset

HERE = Path(__file__).parent
# A checkpoint comes every 3 steps, an epoch ends every 8. Before the first checkpoint, one, two and three steps after
# one, with the last step of an epoch, with the first of the next, and with the last but one of the run.
KILLS = (1, 4, 5, 6, 8, 9, 16, STEPS - 1)


@pytest.fixture(scope="module")
def processes() -> Iterator[Any]:
    """Child processes are forked from a server that has torch loaded: half a second each instead of five."""
    with pytest.MonkeyPatch.context() as patch:
        # The server knows only what stands in the environment; without this it starts without the module, silently.
        patch.setenv("PYTHONPATH", os.pathsep.join([str(HERE.parent), str(HERE)]))
        patch.setenv("OMP_NUM_THREADS", "1")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["killed_run"])
        forkserver.ensure_running()
        yield context


def _child(processes: Any, **arguments: Any) -> tuple[int, str | None]:
    """Exit code (minus the signal, if one ended it) and digest of a run in a process of its own."""
    answer = processes.Queue()
    process = processes.Process(target=in_child, args=(arguments, answer))
    process.start()
    process.join(120)
    code = process.exitcode
    return code, answer.get(timeout=10) if code == 0 else None


@pytest.fixture(scope="module")
def uninterrupted(processes: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    code, digest = _child(processes, folder=tmp_path_factory.mktemp("whole") / "run")
    assert code == 0 and digest
    return digest


@pytest.mark.slow
@pytest.mark.parametrize("step", KILLS)
def test_killed_at_a_step_and_resumed_ends_in_the_same_weights(
    step: int, processes: Any, uninterrupted: str, tmp_path: Path
) -> None:
    code, _ = _child(processes, folder=tmp_path / "run", kill_at=step)
    assert code == -signal.SIGKILL
    resumed, digest = _child(processes, folder=tmp_path / "run")
    assert resumed == 0
    assert digest == uninterrupted


def test_early_stopping_is_resumed_too(processes: Any, tmp_path: Path) -> None:
    _, whole = _child(processes, folder=tmp_path / "whole", patience=1)
    code, _ = _child(processes, folder=tmp_path / "run", patience=1, kill_at=13)
    assert code == -signal.SIGKILL
    _, digest = _child(processes, folder=tmp_path / "run", patience=1)
    assert digest and digest == whole


def test_the_comparison_can_fail(processes: Any, uninterrupted: str, tmp_path: Path) -> None:
    """Resuming from a checkpoint with one changed weight gives other final weights: the digest sees it."""
    code, _ = _child(processes, folder=tmp_path / "run", kill_at=10)
    assert code == -signal.SIGKILL
    folder = CheckpointFolder(tmp_path / "run", every=3)
    saved = folder.load()
    assert saved
    saved.tensors["module.classifier.bias"][0] += 1e-6
    folder.save(saved)
    _, digest = _child(processes, folder=tmp_path / "run")
    assert digest and digest != uninterrupted


@pytest.mark.parametrize("which", [1, 4])
def test_killed_in_the_middle_of_writing_a_checkpoint(
    which: int, processes: Any, uninterrupted: str, tmp_path: Path
) -> None:
    code, _ = _child(processes, folder=tmp_path / "run", kill_in_write=which)
    assert code == -signal.SIGKILL
    assert len(CheckpointFolder(tmp_path / "run").steps()) == min(which - 1, 2)
    assert list((tmp_path / "run").glob(".part-*")), "the half-written folder lies beside, under another name"
    resumed, digest = _child(processes, folder=tmp_path / "run")
    assert (resumed, digest) == (0, uninterrupted)
    assert not list((tmp_path / "run").glob(".part-*"))


def _checkpoint(step: int) -> Checkpoint:
    return Checkpoint(step, {"weight": torch.full((1000,), float(step))}, {"losses": [0.1, 0.2], "note": "é"})


def test_round_trip_keeps_bits_and_values(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, every=1)
    written = Checkpoint(
        3, {"a": torch.randn(5, 7), "b": torch.arange(4), "c": torch.tensor(2.5)}, {"x": [1, None, "é"]}
    )
    folder.save(written)
    read = folder.load()
    assert read and read.step == 3 and read.values == written.values
    assert all(torch.equal(read.tensors[name], tensor) for name, tensor in written.tensors.items())
    assert {file.suffix for file in (tmp_path / "step-00000003").iterdir()} == {".safetensors", ".json"}  # no pickle


def test_keeps_the_newest_only(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, every=1, keep=2)
    for step in (1, 2, 3, 10):
        folder.save(_checkpoint(step))
    assert folder.steps() == [3, 10]


def test_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path / "none").load() is None


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("tensors.safetensors", _truncate),
        ("tensors.safetensors", _flip_a_bit),
        ("tensors.safetensors", Path.unlink),
        ("state.json", _truncate),
        ("state.json", Path.unlink),
    ],
    ids=["tensors-truncated", "tensors-bit-flipped", "tensors-missing", "state-truncated", "state-missing"],
)
def test_damage_is_told_and_the_last_good_one_named(file: str, damage: Any, tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, every=1)
    folder.save(_checkpoint(5))
    folder.save(_checkpoint(6))
    damage(tmp_path / "step-00000006" / file)
    with pytest.raises(CheckpointError, match="step-00000006 is damaged") as caught:
        folder.load()
    assert "resumes from step 5" in caught.value.fix
    good = folder.load(5)
    assert good and torch.equal(good.tensors["weight"], torch.full((1000,), 5.0))
    damage(tmp_path / "step-00000005" / file)
    with pytest.raises(CheckpointError, match="no other good checkpoint"):
        folder.load()


def test_full_disk_leaves_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path, every=1)
    folder.save(_checkpoint(5))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints_module, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device") as caught:
        folder.save(_checkpoint(6))
    assert "[5]" in caught.value.fix
    assert folder.steps() == [5] and folder.load()
    assert not list(tmp_path.glob(".part-*"))


def test_a_place_that_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="could not be written"):
        CheckpointFolder(tmp_path / "file" / "run").save(_checkpoint(6))


def test_files_and_their_folder_are_on_the_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    monkeypatch.setattr(checkpoints_module, "flush_file", lambda path: events.append(f"file {path.name}"))
    monkeypatch.setattr(checkpoints_module, "flush_folder", lambda path: events.append(f"folder {path.name[:5]}"))
    real = checkpoints_module.replace_folder
    monkeypatch.setattr(checkpoints_module, "replace_folder", lambda *a: (events.append("rename"), real(*a)))
    CheckpointFolder(tmp_path / "run", every=1).save(_checkpoint(5))
    assert sorted(events[:2]) == ["file state.json", "file tensors.safetensors"]
    assert events[2:] == ["folder .part", "rename", "folder run"]


# ---- the identity of a run ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Inner:
    rate: float = 0.1


@dataclass(frozen=True)
class _Settings:
    inner: _Inner = _Inner()
    hidden: list[int] = field(default_factory=list, repr=False)


class _Wrapper:
    def __init__(self, strength: float) -> None:
        self.strength = strength

    def method(self) -> float:
        return self.strength


SCALE = 2.0


def _scaled(value: float) -> float:
    return SCALE * value


def _times(factor: float) -> Any:
    return lambda value: factor * value


def _layer(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Linear(2, 2)


EQUAL_AND_OTHER: dict[str, tuple[Any, Any, Any]] = {
    "number": (0.5, 0.5, 0.25),
    "texts": (["a text"] * 999, ["a text"] * 999, ["a text"] * 998 + ["another"]),
    "tensor": (torch.ones(2), torch.ones(2), torch.tensor([1.0, 2.0])),
    "kind of a tensor": (torch.ones(2), torch.ones(2), torch.ones(2, dtype=torch.bfloat16)),
    "shape of an array": (np.zeros((2, 3)), np.zeros((2, 3)), np.zeros((3, 2))),
    "array of words": (np.array(["a", "b"], object), np.array(["a", "b"], object), np.array(["a", "c"], object)),
    "dictionary": ({"labels": torch.ones(2)}, {"labels": torch.ones(2)}, {"labels": torch.zeros(2)}),
    "set": ({"a", "b"}, {"b", "a"}, {"a"}),
    "module": (_layer(1), _layer(1), _layer(2)),
    "settings": (_Settings(), _Settings(), _Settings(_Inner(0.2))),
    "field outside the repr": (_Settings(), _Settings(), _Settings(hidden=[1])),
    "object": (_Wrapper(1.0), _Wrapper(1.0), _Wrapper(2.0)),
    "method": (_Wrapper(1.0).method, _Wrapper(1.0).method, _Wrapper(2.0).method),
    "function": (_scaled, _scaled, _times(2.0)),
    "attribute that a function names": (lambda x: x.real, lambda x: x.real, lambda x: x.imag),
    "default of a function": (lambda x=1: x, lambda x=1: x, lambda x=2: x),
    "closure": (_times(2.0), _times(2.0), _times(3.0)),
    "partial": (partial(_times, 2.0), partial(_times, 2.0), partial(_times, 3.0)),
    "generator": (np.random.default_rng(1), np.random.default_rng(1), np.random.default_rng(2)),
}


@pytest.mark.parametrize("kind", EQUAL_AND_OTHER)
def test_identity_is_that_of_the_content(kind: str) -> None:
    first, equal, other = EQUAL_AND_OTHER[kind]
    check_resume_identity(resume_identity(value=first), resume_identity(value=equal))
    with pytest.raises(CheckpointError, match="of another run"):
        check_resume_identity(resume_identity(value=first), resume_identity(value=other))


def test_identity_names_the_setting_that_differs() -> None:
    saved, mine = resume_identity(recipe=_Settings()), resume_identity(recipe=_Settings(_Inner(0.2)))
    with pytest.raises(CheckpointError, match=r"\{'recipe\.inner\.rate': \(0\.1, 0\.2\)\}"):
        check_resume_identity(saved, mine)


def test_identity_holds_the_constants_that_a_function_names(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resume_identity(loss_wrapper=_scaled)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 3.0)
    assert resume_identity(loss_wrapper=_scaled) != before


def test_identity_is_the_same_in_another_process() -> None:
    code = "import test_checkpoints as t, json; print(json.dumps(t.resume_identity(**t.identified())))"
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(sys.path)}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    check_resume_identity(json.loads(other.stdout), resume_identity(**identified()))


def identified() -> dict[str, Any]:
    """One value of each kind."""
    return {kind.replace(" ", "_"): values[0] for kind, values in EQUAL_AND_OTHER.items()}


@pytest.mark.parametrize("bad", [{"every": 0}, {"keep": 0}], ids=str)
def test_senseless_settings(bad: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="1 or more"):
        CheckpointFolder(tmp_path, **bad)


def test_write_atomically_replaces_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a" / "file.json"
    write_atomically(target, "old")
    write_atomically(target, "new")
    assert target.read_text() == "new"

    def broken(_: Path) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(files, "flush_file", broken)
    with pytest.raises(OSError, match="power cut"):
        write_atomically(target, "half")
    assert target.read_text() == "new" and [p.name for p in target.parent.iterdir()] == ["file.json"]


def test_replace_folder_brings_the_old_one_back_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "good").write_text("1")
    with pytest.raises(OSError, match="missing"):
        replace_folder(tmp_path / "missing", target)
    assert (target / "good").read_text() == "1" and [p.name for p in tmp_path.iterdir()] == ["model"]


def test_an_error_inside_an_atomic_folder_comes_as_it_is(tmp_path: Path) -> None:
    """MissingAsset is an OSError, but says nothing of the folder that is written."""
    (tmp_path / "model").mkdir()
    with pytest.raises(MissingAsset, match="no encoder"), atomic_folder(tmp_path / "model"):
        raise MissingAsset("no encoder", "fetch it")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
