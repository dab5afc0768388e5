"""State of one training run: weights, optimizer, averages, random numbers, and how it is saved and restored."""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from course_lib.checkpoints import Checkpoint
from course_lib.errors import BadInput, CheckpointError
from course_lib.training.config import TrainingConfig
from course_lib.training.history import History, Row
from course_lib.training.optimizers import make_optimizer
from course_lib.training.rates import learning_rate_at


class RunState:
    """State of one training run; what `state()` gives, `restore()` takes back to the bit."""

    def __init__(self, module: nn.Module, config: TrainingConfig, total_steps: int) -> None:
        self.module, self.config, self.total_steps = module, config, total_steps
        self.named = {name: p for name, p in module.named_parameters() if p.requires_grad}
        if not self.named:
            raise BadInput("no weight of the module takes a gradient", "call requires_grad_(True) on what is to learn")
        self.optimizer = make_optimizer(module, config)
        self.step = 0
        self.history = History()
        self.losses: list[float] = []  # since the last row
        self.average: dict[str, Tensor] = {}
        self.averaged = 0
        self.best: dict[str, Tensor] = {}
        self.best_loss, self.bad_rounds, self.started = math.inf, 0, time.perf_counter()

    def update(self) -> float:
        """One optimizer step from the gradients at hand; gives the learning rate that it used.

        Raises:
            BadInput: the gradient is not finite; the weights are still as they were.
        """
        rate = learning_rate_at(self.step, self.total_steps, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        norm = nn.utils.clip_grad_norm_(self.named.values(), self.config.clip_norm, foreach=True)
        if not math.isfinite(norm):
            raise BadInput(
                f"the gradient's norm is {float(norm)} at step {self.step}",
                "lower learning_rate, or look for an operation without a finite derivative, such as sqrt at 0",
            )
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
        tensors = {f"module.{name}": tensor for name, tensor in self.module.state_dict().items()}
        tensors |= {f"optimizer.{i}.{k}": v for i, entry in self.optimizer.state().items() for k, v in entry.items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        values = {
            "identity": self._identity(),
            "losses": self.losses,
            "averaged": self.averaged,
            "best_loss": self.best_loss if self.best_loss < math.inf else None,
            "bad_rounds": self.bad_rounds,
            "history": self.history.to_dict(),
            "seconds": time.perf_counter() - self.started,
        }
        # Tied weights share memory, which safetensors refuses: each name gets its own copy.
        return Checkpoint(self.step, {name: tensor.detach().clone() for name, tensor in tensors.items()}, values)

    def _identity(self) -> dict[str, Any]:
        """What two runs must share for one to go on from the other's checkpoint, as JSON gives it back."""
        settings = asdict(self.config) | {"betas": list(self.config.betas)}
        weights = sum(parameter.numel() for parameter in self.named.values())
        return settings | {"total_steps": self.total_steps, "trained_weights": weights}

    def restore(self, saved: Checkpoint) -> None:
        """Takes up a run where `state()` left it.

        Raises:
            CheckpointError: the checkpoint is of another model, amount of data or configuration.
        """
        mine, theirs = self._identity(), saved.values.get("identity", {})
        if theirs != mine:
            names = sorted(name for name in mine | theirs if theirs.get(name) != mine.get(name))
            raise CheckpointError(
                f"the checkpoint is of another run; (there, here): "
                f"{ {name: (theirs.get(name), mine.get(name)) for name in names} }",
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
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups.get("optimizer", {}).items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        self.optimizer.load_state(state)
        where = next(iter(self.named.values())).device
        self.average = {name: tensor.to(where) for name, tensor in groups.get("average", {}).items()}
        self.best = {name: tensor.to(where) for name, tensor in groups.get("best", {}).items()}
        torch.set_rng_state(groups["random"]["cpu"])
        if "cuda" in groups["random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state(groups["random"]["cuda"])
