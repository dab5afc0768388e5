"""Small jobs for several processes, each started by `run_torchrun(["-m", "course_lib.scaling.jobs", NAME, ...])`.

Each process prints one JSON object with its `rank`. The functions here start them from a notebook.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_lib import corpora, machine
from course_lib.batching import Batch, LengthBuckets
from course_lib.checkpoints import CheckpointFolder
from course_lib.classifier import TextClassifier
from course_lib.classifier.data import task_loss
from course_lib.errors import BadInput, CourseError
from course_lib.scaling.launch import run_torchrun
from course_lib.training import Callback, TrainingConfig
from course_lib.training.parallel import data_parallel, from_all_processes, process_group, rank, world_size

_TRAINING = TrainingConfig(epochs=1, precision="float32")
_WARM = 10  # steps before the timed ones; the log has a row every 10 steps
_INTERRUPTED_ROWS = 120  # of the run that is killed: 18 steps


# ---- from a notebook ---------------------------------------------------------------------------------------------


def gradient_errors(*counts: Sequence[int], encoder: str = "tiny") -> list[dict[str, Any]]:
    """The gradients of one batch in several processes, against those of one process with the whole batch.

    Args:
        counts: rows of each process, such as `[16, 16], [28, 4]` for two batches in two processes.
        encoder: as for `TextClassifier`.

    Returns:
        For each batch and process `rank`, `rows`, `weight`, and the largest difference of a gradient from the right
        one, relative to the largest gradient: `weighted` by rows, and in the plain `mean_of_means`.

    Raises:
        BadInput: a count under 1, or different numbers of processes.
        CourseError: a process failed.
    """
    if not counts or len({len(each) for each in counts}) > 1 or not all(min(each, default=0) > 0 for each in counts):
        raise BadInput(f"counts are {counts}", "give lists of one length, with one row or more for each process")
    found = _run("gradients", len(counts[0]), 1, counts=[list(each) for each in counts], encoder=encoder)
    return [process["batches"][number] for number in range(len(counts)) for process in found]


def held_bytes(processes: int = 2, encoder: str = "tiny") -> list[dict[str, Any]]:
    """Bytes of parameters, gradients and optimizer state that each process of a fine-tuning holds, measured.

    Returns:
        For each process `rank`, and under `DDP` and `FSDP` the bytes by kind, as `memory.state_bytes` counts them.

    Raises:
        CourseError: a process failed.
    """
    return _run("bytes", processes, 1, encoder=encoder)


def training_speed(processes: int, threads: int, rows: int = 960, encoder: str = "course") -> list[dict[str, Any]]:
    """Fine-tunes on movie reviews; `rows_per_second` of the steps after the first ten.

    Args:
        processes: that compute each batch together.
        threads: of each process.
        rows: in batches of 32; at least twenty batches.
        encoder: as for `TextClassifier`.
    """
    return _run("speed", processes, threads, encoder=encoder, rows=rows)


def killed_run(folder: str | Path, victim: int = 1) -> str:
    """Fine-tunes in two processes with checkpoints in `folder`, and kills (SIGKILL) one of them after ten steps.

    Returns:
        The message of the error that this gives.
    """
    try:
        _run("killed", 2, 1, folder=str(folder), victim=victim)
    except CourseError as error:
        return error.message
    return ""


def resumed_run(folder: str | Path, processes: int = 2) -> list[dict[str, Any]]:
    """Continues the run of `killed_run`, and does the same run without an interruption.

    Returns:
        For each process `rank`, `from_step`, and whether both have trained the same weights, `same_bits`.

    Raises:
        CourseError: another number of processes than two, which no checkpoint of the run is for.
    """
    return _run("resumed", processes, 1, folder=str(folder))


def _run(job: str, processes: int, threads: int, **options: Any) -> list[dict[str, Any]]:
    command = ["-m", "course_lib.scaling.jobs", job, json.dumps(options)]
    return run_torchrun(command, processes, threads)


# ---- in each process ---------------------------------------------------------------------------------------------


def _gradients(counts: Sequence[Sequence[int]], encoder: str) -> dict[str, Any]:
    model = TextClassifier(encoder, training=_TRAINING, dropout=0.0)
    with process_group(), machine.seeded(0):
        model._build_or_keep(np.array([0, 1]))
        return {"rank": rank(), "batches": [_gradients_of_batch(model, each) for each in counts]}


def _gradients_of_batch(model: TextClassifier, counts: Sequence[int]) -> dict[str, Any]:
    frame = corpora.part("movie_reviews", "train", limit=sum(counts))
    loss = task_loss({"labels": torch.tensor(frame["label"].tolist())}, 2)
    (whole,) = LengthBuckets(model._tokenize(frame["text"].tolist()), sum(counts)).epoch(0)
    start = sum(counts[: rank()])
    rows = slice(start, start + counts[rank()])
    part = Batch(whole.input_ids[rows], whole.attention_mask[rows], whole.index[rows])
    weight = world_size() * counts[rank()] / sum(counts)
    right = _gradient(model.module_, loss, whole)
    trained = data_parallel(model.module_, loss)
    errors = {
        name: float((_gradient(trained.module, trained.objective, each) - right).abs().max() / right.abs().max())
        for name, each in (("weighted", replace(part, weight=weight)), ("mean_of_means", part))
    }
    return {"rank": rank(), "rows": counts[rank()], "weight": weight, **errors}


def _gradient(module: nn.Module, objective: Callable[[nn.Module, Any], Tensor], batch: Batch) -> Tensor:
    """All gradients of a batch as one vector."""
    module.train()
    module.zero_grad(set_to_none=True)
    objective(module, batch).backward()
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]).clone()


def _fit(
    rows: int,
    encoder: str = "tiny",
    training: TrainingConfig = _TRAINING,
    checkpoints: CheckpointFolder | None = None,
    callbacks: Sequence[Callback] = (),
) -> TextClassifier:
    frame = corpora.part("movie_reviews", "train", limit=rows)
    model = TextClassifier(encoder, training=training)
    return model.fit(
        frame["text"].tolist(), frame["label"].to_numpy(), callbacks=callbacks, checkpoints=checkpoints
    )  # fmt: skip


def _bytes(encoder: str) -> dict[str, Any]:
    with process_group():
        found = {"rank": rank(), "DDP": _fit(64, encoder).history_.process_bytes}
        with process_group(sharded=True):
            return found | {"FSDP": _fit(64, encoder).history_.process_bytes}


def _speed(rows: int, encoder: str) -> dict[str, Any]:
    with process_group():
        steps, seconds = _fit(rows, encoder).history_.column("seconds")
        first = steps.index(_WARM)
        speed = _TRAINING.batch_size * (steps[-1] - _WARM) / (seconds[-1] - seconds[first])
        return {"rank": rank(), "rows_per_second": speed, "threads": torch.get_num_threads()}


def _interrupted(folder: str, callbacks: Sequence[Callback] = ()) -> TextClassifier:
    """Batches of 7: the processes have unequal numbers of rows."""
    training = replace(_TRAINING, batch_size=7)
    return _fit(_INTERRUPTED_ROWS, "tiny", training, CheckpointFolder(folder, every=2), callbacks)


def _killed(folder: str, victim: int) -> dict[str, Any]:
    with process_group():
        numbers = [int(number) for number in from_all_processes(torch.tensor([os.getpid()]))]
        _interrupted(folder, [lambda _: os.kill(numbers[victim], signal.SIGKILL)])
        return {"rank": rank()}


def _resumed(folder: str) -> dict[str, Any]:
    with process_group():
        steps = CheckpointFolder(folder).steps()
        resumed = _interrupted(folder)
        whole = _fit(_INTERRUPTED_ROWS, "tiny", replace(_TRAINING, batch_size=7))
        theirs = whole.module_.state_dict()
        same = all(torch.equal(tensor, theirs[name]) for name, tensor in resumed.module_.state_dict().items())
        return {"rank": rank(), "from_step": steps[-1] if steps else 0, "same_bits": same}


_JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "gradients": _gradients, "bytes": _bytes, "speed": _speed, "killed": _killed, "resumed": _resumed,
}  # fmt: skip


def main() -> None:
    """One job, by its name and its options as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=_JOBS)
    parser.add_argument("options", type=json.loads)
    asked = parser.parse_args()
    try:
        result, code = _JOBS[asked.job](**asked.options), 0
    except CourseError as error:
        result, code = {"error": error.message, "fix": error.fix}, 1
    sys.stdout.write(json.dumps(result) + "\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
