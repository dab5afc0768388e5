"""One run shared by several processes: each takes a part of every batch, and their gradients are averaged.

Data parallelism as in Li et al. 2020 (arXiv:2006.15704), without its overlap of sending and computing: when a weight's
gradient is ready, all processes add theirs up and divide. So all of them take the same step, and hold the same weights.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import ProcessRaisedException, spawn

from course_lib.checkpoints import Checkpoint, CheckpointFolder
from course_lib.errors import BadInput, CourseError
from course_lib.training import Callback

Work = Callable[[int, int, Sequence[Callback], CheckpointFolder | None], tuple[dict[str, Tensor], dict[str, Any]]]
_WEIGHTS, _VALUES, _ROWS, _ERROR = "weights.safetensors", "values.json", "rows.jsonl", "error.json"


class _ReadOnly(CheckpointFolder):
    """All processes resume from the checkpoints; the first alone writes them."""

    def save(self, checkpoint: Checkpoint) -> Path:
        return self.folder


def average_gradients(module: nn.Module) -> None:
    """From now on each gradient of this module is the mean over all processes, as soon as it is computed."""
    world = distributed.get_world_size()

    def average(weight: Tensor) -> None:
        if weight.grad is not None:
            distributed.all_reduce(weight.grad)
            weight.grad /= world

    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(average)


def share(
    work: Work, processes: int, callbacks: Sequence[Callback] = (), checkpoints: CheckpointFolder | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Runs `work(rank, world, callbacks, checkpoints)` in so many processes; gives what the first of them gives.

    Args:
        work: a picklable function. It gives tensors, and JSON-able values. Between the processes it may use
            `average_gradients`.
        processes: 2 or more; the machine's threads are divided between them.
        callbacks: called in this process with the rows of the first one, when all is done.
        checkpoints: given to all; only the first writes.

    Raises:
        BadInput: fewer than two processes.
        CourseError: a process failed; the message is its own.
    """
    if processes < 2:
        raise BadInput(f"processes is {processes}", "use 2 or more")
    with tempfile.TemporaryDirectory() as place:
        arguments = (work, processes, place, checkpoints, max(1, torch.get_num_threads() // processes))
        try:
            spawn(_process, arguments, nprocs=processes)
        except ProcessRaisedException as error:
            raise _said(Path(place), error) from error
        for line in (Path(place) / _ROWS).read_text(encoding="utf-8").splitlines():
            for callback in callbacks:
                callback(json.loads(line))
        return load_file(Path(place) / _WEIGHTS), json.loads((Path(place) / _VALUES).read_text(encoding="utf-8"))


def _said(place: Path, error: Exception) -> CourseError:
    """What the process that failed said, if it was an error of the course's own."""
    file = place / _ERROR
    if file.exists():
        return CourseError(**json.loads(file.read_text(encoding="utf-8")))
    last = str(error).strip().splitlines()[-1]
    return CourseError(f"a process of the run failed: {last[:300]}", "try with one process, whose error is whole")


def _process(rank: int, work: Work, world: int, place: str, checkpoints: CheckpointFolder | None, threads: int) -> None:
    torch.set_num_threads(threads)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all on this machine
    store = distributed.FileStore(f"{place}/store", world)  # type: ignore[attr-defined]
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=world)
    folder = Path(place)
    try:
        if rank:
            mine = _ReadOnly(checkpoints.folder, checkpoints.every, checkpoints.keep) if checkpoints else None
            work(rank, world, (), mine)
            return
        with open(folder / _ROWS, "a", encoding="utf-8") as file:
            tensors, values = work(rank, world, [lambda row: _note(file, row)], checkpoints)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, folder / _WEIGHTS)
        (folder / _VALUES).write_text(json.dumps(values), encoding="utf-8")
    except CourseError as error:
        (folder / _ERROR).write_text(json.dumps({"message": error.message, "fix": error.fix}), encoding="utf-8")
        raise
    finally:
        distributed.destroy_process_group()


def _note(file: Any, row: dict[str, float]) -> None:
    file.write(json.dumps(row) + "\n")


__all__ = ["average_gradients", "share"]
