"""One training loop for every model of the course: modules and batches in, a history out.

It knows precision, learning-rate schedule, clipping, accumulation, averaging of weights, early stopping and
checkpoints. It does not know texts: `TextClassifier.fit` makes the batches.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from course_lib import machine
from course_lib.batching import Batch
from course_lib.checkpoints import Checkpoint, CheckpointFolder
from course_lib.errors import BadInput, CheckpointError

Row = dict[str, float]
Callback = Callable[[Row], None]
Objective = Callable[[nn.Module, Batch], Tensor]
Validation = Callable[[nn.Module], Row]
SCHEDULES = ("linear", "cosine", "constant")


@dataclass(frozen=True)
class TrainingConfig:
    """Every hyper-parameter of a run, with the reason for its value. Change one with `replace(config, epochs=3)`."""

    epochs: int = 2  # times that each sentence is seen; a pretrained model overfits small data after 3 to 4
    batch_size: int = 32  # sentences of a step; 16 to 32 in Devlin et al. 2019, appendix A.3
    learning_rate: float = 1e-4  # peak; BERT-base takes 2e-5 to 5e-5, a smaller model takes more
    schedule: str = "linear"  # to zero after warm-up; also "cosine" or "constant"
    warmup: float = 0.1  # share of the steps in which the rate rises; steadies Adam's first steps (Mosbach 2021)
    layer_decay: float = 1.0  # rate of a layer over that of the layer above; under 1 keeps low layers near their start
    weight_decay: float = 0.01  # AdamW's pull to zero; biases and norms are left out (Loshchilov & Hutter 2019)
    betas: tuple[float, float] = (0.9, 0.999)  # decay of AdamW's running mean and mean square
    clip_norm: float = 1.0  # longest gradient that is let through; a single odd batch cannot throw the model off
    accumulate: int = 1  # batches whose gradients are added up before a step: a larger batch in the same memory
    average_from: float = 1.0  # weights are averaged from this share of the run on (Izmailov 2018); 1 is off
    patience: int | None = None  # validations without improvement before the run stops; None runs to the end
    precision: str = "auto"  # "float32", "bfloat16", or what the hardware multiplies fast
    seed: int = 0  # of the new head, the order of the sentences, and dropout
    order_seed: int | None = None  # of order and dropout alone, where runs shall share the head they start from

    def __post_init__(self) -> None:
        checks = {
            "epochs": self.epochs >= 1 and int(self.epochs) == self.epochs,
            "batch_size": self.batch_size >= 1,
            "learning_rate": 0 < self.learning_rate < math.inf,
            "schedule": self.schedule in SCHEDULES,
            "warmup": 0 <= self.warmup < 1,
            "layer_decay": 0 < self.layer_decay <= 1,
            "weight_decay": self.weight_decay >= 0,
            "clip_norm": self.clip_norm > 0,
            "accumulate": self.accumulate >= 1,
            "average_from": 0 <= self.average_from <= 1,
            "patience": self.patience is None or self.patience >= 1,
            "precision": self.precision in ("auto", "float32", "bfloat16"),
        }
        for name, good in checks.items():
            if not good:
                raise BadInput(f"{name} is {getattr(self, name)!r}", f"see TrainingConfig for the range of {name}")

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the forward pass."""
        return machine.precision() if self.precision == "auto" else getattr(torch, self.precision)


class Batches(Protocol):
    """What the loop asks of a data set: so many steps an epoch, in an order fixed by the epoch's number."""

    @property
    def steps(self) -> int: ...
    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]: ...


@dataclass
class History:
    """What happened, row by row: `step, epoch, loss, learning_rate, seconds` and, where measured, `validation_*`."""

    rows: list[Row] = field(default_factory=list)
    seconds: float = 0.0
    stopped_early: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    def column(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of the rows that hold `name`."""
        rows = [row for row in self.rows if name in row]
        return [row["step"] for row in rows], [row[name] for row in rows]


def learning_rate_at(step: int, total_steps: int, config: TrainingConfig) -> float:
    """Learning rate of step 0, 1, ... `total_steps - 1`: a straight rise to the peak, then the schedule's fall to 0."""
    warmup = round(config.warmup * total_steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    left = (total_steps - step) / max(1, total_steps - warmup)  # from 1 to nearly 0
    shape = {"linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left), "constant": 1.0}[config.schedule]
    return config.learning_rate * shape


def depth_of(name: str, layers: int) -> int:
    """Height of a parameter: 0 for embeddings, 1..layers for encoder layers, layers + 1 for pooler and heads."""
    found = re.search(r"layers?\.(\d+)\.", name)
    if found:
        return int(found[1]) + 1
    return 0 if "embeddings" in name else layers + 1


def parameter_groups(module: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """AdamW's groups: matrices with weight decay, vectors without; the rate decays by layer from the top down."""
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    layers = max((int(n) + 1 for name, _ in named for n in re.findall(r"layers?\.(\d+)\.", name)), default=0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        scale = config.layer_decay ** (layers + 1 - depth_of(name, layers))
        groups.setdefault((scale, config.weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [{"params": params, "scale": scale, "weight_decay": decay} for (scale, decay), params in groups.items()]


class _Run:
    """State of one training run; what `state()` gives, `restore()` takes back to the bit."""

    def __init__(self, module: nn.Module, config: TrainingConfig, total_steps: int) -> None:
        self.module, self.config, self.total_steps = module, config, total_steps
        self.named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        groups = parameter_groups(module, config)
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)
        self.step = 0
        self.history = History()
        self.losses: list[float] = []  # since the last row
        self.average: dict[str, Tensor] = {}
        self.averaged = 0
        self.best: dict[str, Tensor] = {}
        self.best_loss, self.bad_rounds, self.started = math.inf, 0, time.perf_counter()

    def update(self) -> float:
        """One optimizer step from the gradients at hand; gives the learning rate that it used."""
        rate = learning_rate_at(self.step, self.total_steps, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        nn.utils.clip_grad_norm_(self.named.values(), self.config.clip_norm, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._average()
        return rate

    @torch.no_grad()
    def _average(self) -> None:
        first, every = self.config.average_from * self.total_steps, max(1, self.total_steps // 50)
        if self.config.average_from >= 1 or self.step < first or self.step % every:
            return
        self.averaged += 1
        if not self.average:
            self.average = {name: p.detach().clone() for name, p in self.named.items()}
        else:
            pairs = [(self.average[name], p.detach()) for name, p in self.named.items()]
            torch._foreach_lerp_([mean for mean, _ in pairs], [new for _, new in pairs], 1 / self.averaged)

    @torch.no_grad()
    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Copies weights by name into the module; an empty dictionary changes nothing."""
        for name, tensor in weights.items():
            self.named[name].copy_(tensor)

    def note_validation(self, row: Row) -> bool:
        """Keeps the best weights; True when patience has run out."""
        if row["validation_loss"] < self.best_loss:
            self.best_loss, self.bad_rounds = row["validation_loss"], 0
            if self.config.patience is not None:
                self.best = {name: p.detach().clone() for name, p in self.named.items()}
            return False
        self.bad_rounds += 1
        return self.config.patience is not None and self.bad_rounds >= self.config.patience

    def state(self) -> Checkpoint:
        """Everything that decides what comes next."""
        optimizer = self.optimizer.state_dict()["state"]
        tensors = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        tensors |= {f"optimizer.{i}.{k}": v for i, entry in optimizer.items() for k, v in entry.items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        values = {
            "config": asdict(self.config) | {"betas": list(self.config.betas)},
            "total_steps": self.total_steps,
            "losses": self.losses,
            "averaged": self.averaged,
            "best_loss": self.best_loss if self.best_loss < math.inf else None,
            "bad_rounds": self.bad_rounds,
            "history": self.history.to_dict(),
            "seconds": time.perf_counter() - self.started,
        }
        # Tied weights share memory, which safetensors refuses: each name gets its own copy.
        return Checkpoint(self.step, {name: tensor.detach().clone() for name, tensor in tensors.items()}, values)

    def restore(self, saved: Checkpoint) -> None:
        """Takes up a run where `state()` left it.

        Raises:
            CheckpointError: the checkpoint is of another model, data set or configuration.
        """
        mine = asdict(self.config) | {"betas": list(self.config.betas)}
        if saved.values["config"] != mine or saved.values["total_steps"] != self.total_steps:
            theirs = saved.values["config"] | {"total_steps": saved.values["total_steps"]}
            mine |= {"total_steps": self.total_steps}
            differ = {name: (theirs.get(name), mine[name]) for name in mine if theirs.get(name) != mine[name]}
            raise CheckpointError(
                f"the checkpoint is of another run; (there, here): {differ}",
                "resume with the same data and settings, or give an empty checkpoint folder",
            )
        groups: dict[str, dict[str, Tensor]] = {}
        for name, tensor in saved.tensors.items():
            kind, _, rest = name.partition(".")
            groups.setdefault(kind, {})[rest] = tensor
        self._restore_tensors(groups)
        self.step, self.losses = saved.step, saved.values["losses"]
        self.averaged, self.bad_rounds = saved.values["averaged"], saved.values["bad_rounds"]
        self.best_loss = math.inf if saved.values["best_loss"] is None else saved.values["best_loss"]
        self.history = History(**saved.values["history"])
        self.started = time.perf_counter() - saved.values["seconds"]

    def _restore_tensors(self, groups: dict[str, dict[str, Tensor]]) -> None:
        try:
            self.module.load_state_dict(groups["module"])
        except RuntimeError as error:
            raise CheckpointError(
                f"the checkpoint is of another model: {str(error)[:300]}", "give an empty checkpoint folder"
            ) from error
        optimizer = self.optimizer.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups.get("optimizer", {}).items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        self.optimizer.load_state_dict({**optimizer, "state": state})
        where = next(iter(self.named.values())).device
        self.average = {name: tensor.to(where) for name, tensor in groups.get("average", {}).items()}
        self.best = {name: tensor.to(where) for name, tensor in groups.get("best", {}).items()}
        torch.set_rng_state(groups["random"]["cpu"])
        if "cuda" in groups["random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state(groups["random"]["cuda"])


def train(
    module: nn.Module,
    batches: Batches,
    objective: Objective,
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
        BadInput: early stopping without `validate`; a loss that is not finite.
        CheckpointError: a checkpoint cannot be written, is damaged, or belongs to another run.
    """
    if config.patience is not None and validate is None:
        raise BadInput("patience is set, but there is nothing to validate on", "give validation data, or patience=None")
    steps_an_epoch = math.ceil(batches.steps / config.accumulate)
    run = _Run(module, config, steps_an_epoch * config.epochs)
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
    run: _Run,
    batches: Batches,
    objective: Objective,
    steps_an_epoch: int,
    callbacks: Sequence[Callback],
    checkpoints: CheckpointFolder | None,
    log_every: int,
) -> None:
    """From the run's step to the end of its epoch."""
    where, accumulate = next(run.module.parameters()).device, run.config.accumulate
    epoch, done = divmod(run.step, steps_an_epoch)
    pending = batches.steps - done * accumulate  # batches of this epoch still to come
    stack: list[Batch] = []
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


def _backward(run: _Run, stack: Sequence[Batch], objective: Objective) -> float:
    """Adds up the gradients of the batches of one step, each weighted by its rows; gives the mean loss."""
    rows, dtype = sum(len(batch.index) for batch in stack), run.config.dtype
    total = 0.0
    for batch in stack:
        where = batch.input_ids.device.type
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


def _log(run: _Run, rate: float, steps_an_epoch: int, callbacks: Sequence[Callback]) -> None:
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


def _finish_epoch(run: _Run, validate: Validation | None, callbacks: Sequence[Callback], steps_an_epoch: int) -> None:
    if validate is None:
        return
    run.module.eval()
    with torch.inference_mode():
        measured = validate(run.module)
    run.module.train()
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


def _save(run: _Run, checkpoints: CheckpointFolder | None, always: bool = False) -> None:
    if checkpoints and (always or run.step % checkpoints.every == 0 or run.step == run.total_steps):
        checkpoints.save(run.state())
