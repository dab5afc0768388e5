"""Checkpoints: whole or absent, checked by hash, and a killed run ends as if it had not been killed."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest
import torch
from killed_run import STEPS, in_child

import course_lib.checkpoints as checkpoints_module
from course_lib.checkpoints import Checkpoint, CheckpointFolder, replace_folder, write_atomically
from course_lib.errors import CheckpointError

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


def test_damage_without_another_good_one(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, every=1)
    folder.save(_checkpoint(5))
    _truncate(tmp_path / "step-00000005" / "tensors.safetensors")
    with pytest.raises(CheckpointError) as caught:
        folder.load()
    assert "no other good checkpoint" in caught.value.fix


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


def test_a_really_full_disk(tmp_path: Path) -> None:
    """/dev/full answers every write with 'no space left'; a link to it stands for the tensors' file."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match="No space left"):
        Path("/dev/full").write_text("x")
    folder = CheckpointFolder(tmp_path, every=1)
    folder.save(_checkpoint(5))
    with pytest.raises(CheckpointError, match="could not be written"):
        CheckpointFolder("/dev/full/run", every=1).save(_checkpoint(6))
    assert folder.steps() == [5]


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

    monkeypatch.setattr(checkpoints_module, "flush_file", broken)
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
