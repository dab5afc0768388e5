"""The loop itself."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from course_lib.checkpoints import CheckpointFolder
from course_lib.errors import BadInput
from course_lib.training.config import TrainingConfig
from course_lib.training.history import Callback, History, Row
from course_lib.training.run import RunState


class AnyBatch(Protocol):
    """What the loop asks of a batch: a count of rows, and a way to the device."""

    @property
    def index(self) -> Tensor: ...
    def to(self, where: torch.device) -> Self: ...


B = TypeVar("B", bound=AnyBatch)
BatchOut = TypeVar("BatchOut", bound=AnyBatch, covariant=True)
Objective = Callable[[nn.Module, B], Tensor]
Validation = Callable[[nn.Module], Row]


class Batches(Protocol[BatchOut]):
    """What the loop asks of a data set: so many steps an epoch, in an order fixed by the epoch's number."""

    @property
    def steps(self) -> int: ...
    def epoch(self, number: int, start: int = 0) -> Iterator[BatchOut]: ...


def train(
    module: nn.Module,
    batches: Batches[B],
    objective: Objective[B],
    config: TrainingConfig,
    *,
    validate: Validation | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoints: CheckpointFolder | None = None,
    log_every: int = 10,
) -> History:
    """Trains `module` in place and leaves it in evaluation mode.

    Args:
        module: on the device where it is to be trained.
        batches: see `Batches`.
        objective: (module, batch) -> mean loss of the batch, a scalar.
        config: the hyper-parameters.
        validate: called after each epoch with the module in evaluation mode; must give `validation_loss`.
        callbacks: called with every row of the history.
        checkpoints: where to save and from where to resume. A run that was killed at any moment and is called again
            with the same arguments ends, on a CPU, in the same weights to the bit.
        log_every: steps between two rows.

    Raises:
        BadInput: early stopping without `validate`; no `validation_loss` from it; a loss or gradient that is not
            finite; no weight that can learn; `log_every` under 1.
        CheckpointError: a checkpoint cannot be written, is damaged, or belongs to another run.
    """
    if config.patience is not None and validate is None:
        raise BadInput("patience is set, but there is nothing to validate on", "give validation data, or patience=None")
    if log_every < 1:
        raise BadInput(f"log_every is {log_every}", "use 1 or more")
    steps_an_epoch = math.ceil(batches.steps / config.accumulate)
    run = RunState(module, config, steps_an_epoch * config.epochs)
    saved = checkpoints.load() if checkpoints else None
    if saved:
        run.restore(saved)
    module.train()
    while run.step < run.total_steps and not run.history.stopped_early:
        _one_epoch(run, batches, objective, steps_an_epoch, callbacks, checkpoints, log_every)
        if run.step % steps_an_epoch == 0:
            _finish_epoch(run, validate, callbacks, steps_an_epoch)
            _save(run, checkpoints, always=run.history.stopped_early)
    run.load_weights(run.best or run.average)
    module.eval()
    run.history.seconds = time.perf_counter() - run.started
    return run.history


def _one_epoch(
    run: RunState,
    batches: Batches[B],
    objective: Objective[B],
    steps_an_epoch: int,
    callbacks: Sequence[Callback],
    checkpoints: CheckpointFolder | None,
    log_every: int,
) -> None:
    """From the run's step to the end of its epoch."""
    where, accumulate = next(run.module.parameters()).device, run.config.accumulate
    epoch, done = divmod(run.step, steps_an_epoch)
    pending = batches.steps - done * accumulate  # batches of this epoch still to come
    stack: list[B] = []
    for batch in batches.epoch(epoch, start=done * accumulate):
        stack.append(batch.to(where))
        pending -= 1
        if len(stack) < accumulate and pending:
            continue
        run.losses.append(_backward(run, stack, objective))
        stack = []
        rate = run.update()
        if run.step % log_every == 0 or run.step == run.total_steps:
            _log(run, rate, steps_an_epoch, callbacks)
        if run.step % steps_an_epoch:  # the epoch's last step is saved after its validation
            _save(run, checkpoints)


def _backward(run: RunState, stack: Sequence[B], objective: Objective[B]) -> float:
    """Adds up the gradients of the batches of one step, each weighted by its rows; gives the mean loss."""
    rows, dtype = sum(len(batch.index) for batch in stack), run.config.dtype
    total = 0.0
    for batch in stack:
        where = batch.index.device.type
        with torch.autocast(where, dtype=dtype) if dtype != torch.float32 else nullcontext():
            loss = objective(run.module, batch) * (len(batch.index) / rows)
        loss.backward()
        total += loss.item()
    if not math.isfinite(total):
        raise BadInput(
            f"the loss is {total} at step {run.step}",
            "lower learning_rate, or look for inputs that are not finite",
        )
    return total


def _log(run: RunState, rate: float, steps_an_epoch: int, callbacks: Sequence[Callback]) -> None:
    row: Row = {
        "step": run.step,
        "total_steps": run.total_steps,
        "epoch": run.step / steps_an_epoch,
        "loss": sum(run.losses) / len(run.losses),
        "learning_rate": rate,
        "seconds": time.perf_counter() - run.started,
    }
    run.losses = []
    run.history.rows.append(row)
    for callback in callbacks:
        callback(row)


def _finish_epoch(
    run: RunState, validate: Validation | None, callbacks: Sequence[Callback], steps_an_epoch: int
) -> None:
    if validate is None:
        return
    run.module.eval()
    with torch.inference_mode():
        measured = validate(run.module)
    run.module.train()
    if "validation_loss" not in measured:
        raise BadInput(f"validate gave {sorted(measured)}", "let it give a dictionary with 'validation_loss'")
    row = {
        "step": run.step,
        "total_steps": run.total_steps,
        "epoch": run.step / steps_an_epoch,
        "seconds": time.perf_counter() - run.started,
        **measured,
    }
    run.history.rows.append(row)
    run.history.stopped_early = run.note_validation(row) and run.step < run.total_steps
    for callback in callbacks:
        callback(row)


def _save(run: RunState, checkpoints: CheckpointFolder | None, always: bool = False) -> None:
    if checkpoints and (always or run.step % checkpoints.every == 0 or run.step == run.total_steps):
        checkpoints.save(run.state())
