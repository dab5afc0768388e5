"""The loop: batches and a loss in, trained weights and a history out. A killed run resumes to the bit."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from course_lib.checkpoints import Checkpoint, CheckpointFolder, check_resume_identity
from course_lib.errors import BadInput, CheckpointError
from course_lib.training.config import TrainingConfig
from course_lib.training.optimizers import make_optimizer
from course_lib.training.parallel import (
    Trained,
    data_parallel,
    from_all_processes,
    from_first_process,
    gather,
    is_sharded,
    local_bytes,
    mean_over_processes,
    rank,
    shard_like,
    world_size,
)
from course_lib.training.schedule import learning_rate_at

LogEntry = dict[str, float]
Callback = Callable[[LogEntry], None]


class AnyBatch(Protocol):
    """What the loop needs of a batch: the numbers of its rows, and a copy of it on the device."""

    @property
    def index(self) -> Tensor: ...
    def to(self, where: torch.device) -> Self: ...


B = TypeVar("B", bound=AnyBatch)
BatchOut = TypeVar("BatchOut", bound=AnyBatch, covariant=True)
Objective = Callable[[nn.Module, B], Tensor]
Validation = Callable[[nn.Module], LogEntry]


class Batches(Protocol[BatchOut]):
    """What the loop needs of a data set: `steps` batches an epoch, in an order fixed by the epoch's number."""

    @property
    def steps(self) -> int: ...
    def epoch(self, number: int, start: int = 0) -> Iterator[BatchOut]: ...


@dataclass
class History:
    """What happened, row by row: `step, epoch, loss, learning_rate, seconds` and, where measured, `validation_*`.

    Attributes:
        rows: of the log.
        seconds: of the whole run, validation included; after a resume those up to the checkpoint count, too.
        stopped_early: whether patience ended the run.
        validation_seconds: the part of `seconds` that validation took.
        process_bytes: bytes of `parameters`, `gradients` and `optimizer` state that this process held in its last step;
            empty after early stopping.
    """

    rows: list[LogEntry] = field(default_factory=list)
    seconds: float = 0.0
    stopped_early: bool = False
    validation_seconds: float = 0.0
    process_bytes: dict[str, int] = field(default_factory=dict, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; without `process_bytes`, which belong to one process."""
        return {name: value for name, value in asdict(self).items() if name != "process_bytes"}

    def column(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of the rows that hold `name`."""
        rows = [row for row in self.rows if name in row]
        return [row["step"] for row in rows], [row[name] for row in rows]


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
    identity: Mapping[str, Any] | None = None,
) -> History:
    """Trains `module` in place and leaves it in evaluation mode.

    In a process group (see `parallel.process_group`) each process computes its rows of every batch, and together they
    take the step that one process would take, but for rounding and dropout.

    Args:
        module: on the device where it is to be trained.
        batches: see `Batches`.
        objective: (module, batch) -> mean loss of the batch, a scalar.
        config: the hyper-parameters.
        validate: called after each epoch with the module in evaluation mode; must return `validation_loss`.
        callbacks: called with every row of the history (in the first process, if there are several).
        checkpoints: where to save and from where to resume. A run that was killed at any moment and is called again
            with the same arguments ends, on a CPU, in the same weights to the bit.
        log_every: steps between two rows.
        identity: what decides the outcome beside `config`, such as the data, by `checkpoints.resume_identity`. A
            checkpoint is continued only by a run of the same identity.

    Raises:
        BadInput: early stopping without `validate`; no `validation_loss` from it; a loss or gradient that is not
            finite; no weight that can learn; `log_every` under 1; `accumulate` above 1 with several processes; Muon
            with sharded weights.
        CheckpointError: a checkpoint cannot be written, is damaged, or belongs to another run.
    """
    if config.patience is not None and validate is None:
        raise BadInput("patience is set, but there is nothing to validate on", "give validation data, or patience=None")
    if log_every < 1:
        raise BadInput(f"log_every is {log_every}", "use 1 or more")
    _check_parallel(config)
    trained = data_parallel(module, objective)
    state = TrainState(trained.module, config, math.ceil(batches.steps / config.accumulate), identity or {})
    if checkpoints and (saved := checkpoints.load()):
        state.restore(saved)
    trained.module.train()
    loop = _Loop(state, batches, trained, validate, callbacks, checkpoints, log_every)
    while state.step < state.total_steps and not state.history.stopped_early:
        loop.run_epoch()
    state.load_weights(state.best)
    trained.finish()
    module.eval()
    state.history.seconds = state.seconds
    return state.history


def _check_parallel(config: TrainingConfig) -> None:
    if world_size() > 1 and config.accumulate > 1:
        raise BadInput(
            f"accumulate is {config.accumulate} with {world_size()} processes",
            "use accumulate=1: each process computes only its part of every batch",
        )
    if is_sharded() and config.optimizer == "muon":
        raise BadInput("optimizer is 'muon' with sharded weights, whose matrices no process has", "use 'adamw'")


class TrainState:
    """State of one training run; what `checkpoint()` returns, `restore()` takes back to the bit."""

    def __init__(
        self, module: nn.Module, config: TrainingConfig, steps_per_epoch: int, identity: Mapping[str, Any]
    ) -> None:
        self.module, self.config = module, config
        self.steps_per_epoch, self.total_steps = steps_per_epoch, steps_per_epoch * config.epochs
        self.named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        if not self.named:
            raise BadInput("no weight of the module takes a gradient", "call requires_grad_(True) on what is to learn")
        self.device = next(iter(self.named.values())).device
        self.optimizer = make_optimizer(module, config)
        self.step = 0
        self.history = History()
        self.losses: list[float] = []  # since the last row of the log
        self.unchecked: list[tuple[int, Tensor]] = []  # steps with (loss, gradient norm), still on the device
        self.best: dict[str, Tensor] = {}
        self.best_loss, self.bad_rounds, self.started = math.inf, 0, time.perf_counter()
        self.identity = {
            **asdict(config),
            "precision": str(config.dtype),
            "total_steps": self.total_steps,
            "trained_weights": sum(parameter.numel() for parameter in self.named.values()),
            "processes": world_size(),
            **({"sharded": True} if is_sharded() else {}),
            **identity,
        }

    @property
    def seconds(self) -> float:
        """Since the run began, without the time between an interruption and its resumption."""
        return time.perf_counter() - self.started

    def update(self, loss: Tensor, log_every: int) -> float:
        """One optimizer step from the gradients at hand; returns the learning rate that it used.

        Raises:
            BadInput: loss or gradient is not finite. On a CPU the weights are still as they were; other devices are
                asked for their values at rows of the log only, since each question stops their queue.
        """
        rate = learning_rate_at(self.step, self.total_steps, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        norm = gather(nn.utils.clip_grad_norm_(self.named.values(), self.config.clip_norm, foreach=True))
        self.unchecked.append((self.step, torch.stack([loss.float(), norm.float()])))
        if self.device.type == "cpu" or self.is_logged(self.step + 1, log_every):
            self.check_finite()
        self.optimizer.step()
        if self.step + 1 == self.total_steps:
            self.history.process_bytes = self.held_bytes()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return rate

    def is_logged(self, step: int, log_every: int) -> bool:
        """Whether the log has a row after this step."""
        return step % log_every == 0 or step == self.total_steps

    def check_finite(self) -> None:
        """Fetches losses and gradient norms from the device; raises BadInput if one is not finite."""
        if not self.unchecked:
            return
        steps, values = zip(*self.unchecked, strict=True)
        pairs = mean_over_processes(torch.stack(values)).tolist()
        self.unchecked = []
        for step, (loss, norm) in zip(steps, pairs, strict=True):
            if not math.isfinite(loss):
                raise BadInput(
                    f"the loss is {loss} at step {step}", "lower learning_rate, or look for inputs that are not finite"
                )
            if not math.isfinite(norm):
                raise BadInput(
                    f"the gradient's norm is {norm} at step {step}",
                    "lower learning_rate, or look for an operation without a finite derivative, such as sqrt at 0",
                )
        self.losses += [loss for loss, _ in pairs]

    def held_bytes(self) -> dict[str, int]:
        """Bytes of parameters, gradients and optimizer state in this process; call it between gradients and step."""
        gradients = [p.grad for p in self.named.values() if p.grad is not None]
        states = [tensor for entry in self.optimizer.state().values() for tensor in entry.values()]
        return {
            "parameters": local_bytes(self.module.parameters()),
            "gradients": local_bytes(gradients),
            "optimizer": local_bytes(states),
        }

    @torch.no_grad()
    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Copies weights by name into the module; an empty dictionary changes nothing."""
        for name, tensor in weights.items():
            self.named[name].copy_(tensor)

    def note_validation(self, loss: float) -> bool:
        """Keeps the best weights; True when patience has run out."""
        if loss < self.best_loss:
            self.best_loss, self.bad_rounds = loss, 0
            if self.config.patience is not None:
                self.best = {name: p.detach().clone() for name, p in self.named.items()}
            return False
        self.bad_rounds += 1
        return self.config.patience is not None and self.bad_rounds >= self.config.patience

    def checkpoint(self) -> Checkpoint:
        """Everything that decides what comes next."""
        self.check_finite()
        tensors = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        tensors |= {f"optimizer.{i}.{k}": v for i, entry in self.optimizer.state().items() for k, v in entry.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors |= {f"random.cpu.{i}": each for i, each in enumerate(from_all_processes(torch.get_rng_state()))}
        if self.device.type != "cpu":
            on_device = torch.get_device_module(self.device).get_rng_state()
            tensors |= {f"random.device.{i}": each for i, each in enumerate(from_all_processes(on_device))}
        self.history.seconds = self.seconds
        values = {
            "identity": self.identity,
            "losses": self.losses,
            "best_loss": self.best_loss if self.best_loss < math.inf else None,
            "bad_rounds": self.bad_rounds,
            "history": self.history.to_dict(),
            "python_random": random.getstate(),
            "numpy_random": [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()],
        }
        # Tied weights share memory, which safetensors refuses: each name gets its own copy. Sharded ones are gathered.
        whole = {name: gather(tensor.detach()).clone() for name, tensor in tensors.items()}
        return Checkpoint(self.step, whole, values)

    def restore(self, saved: Checkpoint) -> None:
        """Continues a run where `checkpoint()` left it.

        Raises:
            CheckpointError: the checkpoint is of another model, amount of data or configuration.
        """
        check_resume_identity(saved.values.get("identity", {}), self.identity)
        groups: dict[str, dict[str, Tensor]] = {}
        for name, tensor in saved.tensors.items():
            kind, _, rest = name.partition(".")
            groups.setdefault(kind, {})[rest] = tensor
        self._restore_tensors(groups)
        self.step, self.losses = saved.step, saved.values["losses"]
        self.bad_rounds = saved.values["bad_rounds"]
        self.best_loss = math.inf if saved.values["best_loss"] is None else saved.values["best_loss"]
        self.history = History(**saved.values["history"])
        version, state, following = saved.values["python_random"]
        random.setstate((version, tuple(state), following))
        np.random.set_state(tuple(saved.values["numpy_random"]))
        self.started = time.perf_counter() - self.history.seconds

    def _restore_tensors(self, groups: dict[str, dict[str, Tensor]]) -> None:
        own = self.module.state_dict()
        weights = {name: shard_like(tensor, own.get(name, tensor)) for name, tensor in groups["module"].items()}
        try:
            self.module.load_state_dict(weights)
        except RuntimeError as error:
            raise CheckpointError(
                f"the checkpoint is of another model: {str(error)[:300]}", "give an empty checkpoint folder"
            ) from error
        state: dict[int, dict[str, Tensor]] = {}
        numbered = [p for group in self.optimizer.param_groups for p in group["params"]]
        for name, tensor in groups.get("optimizer", {}).items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = shard_like(tensor, numbered[int(number)])
        self.optimizer.load_state(state)
        best = {name: tensor.to(self.device) for name, tensor in groups.get("best", {}).items()}
        self.best = {name: shard_like(tensor, self.named[name]) for name, tensor in best.items()}
        torch.set_rng_state(groups["random"][f"cpu.{rank()}"])
        if self.device.type != "cpu":
            torch.get_device_module(self.device).set_rng_state(groups["random"][f"device.{rank()}"])


@dataclass
class _Loop(Generic[B]):
    """One call of `train`."""

    state: TrainState
    batches: Batches[B]
    trained: Trained
    validate: Validation | None
    callbacks: Sequence[Callback]
    checkpoints: CheckpointFolder | None
    log_every: int

    def run_epoch(self) -> None:
        """From the run's step to the end of its epoch."""
        state, accumulate = self.state, self.state.config.accumulate
        epoch, done = divmod(state.step, state.steps_per_epoch)
        pending = self.batches.steps - done * accumulate  # batches of this epoch still to come
        micro_batches: list[B] = []
        for batch in self.batches.epoch(epoch, start=done * accumulate):
            micro_batches.append(batch.to(state.device))
            pending -= 1
            if len(micro_batches) < accumulate and pending:
                continue
            rate = state.update(self._backward(micro_batches), self.log_every)
            micro_batches = []
            if state.is_logged(state.step, self.log_every):
                loss = sum(state.losses) / len(state.losses)
                state.losses = []
                self._log({"loss": loss, "learning_rate": rate})
            if state.step % state.steps_per_epoch:
                self._save()
        if state.step % state.steps_per_epoch == 0:  # the epoch's last step is saved after its validation
            self._validate()
            self._save(always=state.history.stopped_early)

    def _backward(self, micro_batches: Sequence[B]) -> Tensor:
        """Adds up the gradients of the batches of one step, each weighted by its rows; returns the mean loss."""
        rows, dtype = sum(len(batch.index) for batch in micro_batches), self.state.config.dtype
        losses = []
        for batch in micro_batches:
            with torch.autocast(self.state.device.type, dtype=dtype) if dtype != torch.float32 else nullcontext():
                loss = self.trained.objective(self.state.module, batch) * (len(batch.index) / rows)
            loss.backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _log(self, values: LogEntry) -> None:
        state = self.state
        place = {"step": state.step, "total_steps": state.total_steps, "epoch": state.step / state.steps_per_epoch}
        row = {**place, **values, "seconds": state.seconds}
        state.history.rows.append(row)
        for callback in self.callbacks if rank() == 0 else ():
            callback(row)

    def _validate(self) -> None:
        if self.validate is None:
            return
        state, started = self.state, self.state.seconds
        with self.trained.gathered() as module:
            module.eval()
            with torch.inference_mode():
                measured = self.validate(module)
            module.train()
        state.history.validation_seconds += state.seconds - started
        if "validation_loss" not in measured:
            raise BadInput(f"validate gave {sorted(measured)}", "let it return a dictionary with 'validation_loss'")
        out_of_patience = state.note_validation(from_first_process(measured["validation_loss"]))
        state.history.stopped_early = out_of_patience and state.step < state.total_steps
        self._log(measured)

    def _save(self, always: bool = False) -> None:
        step, checkpoints = self.state.step, self.checkpoints
        if checkpoints and (always or step % checkpoints.every == 0 or step == self.state.total_steps):
            saved = self.state.checkpoint()
            if rank() == 0:
                checkpoints.save(saved)
