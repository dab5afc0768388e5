"""What turns gradients into steps: AdamW, or Muon for the matrices of the layers with AdamW for the rest."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from course_lib.training.config import TrainingConfig
from course_lib.training.schedule import LAYER, parameter_groups


class CompositeOptimizer:
    """Several optimizers that step together; their groups and states are numbered consecutively."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        self._sizes = [sum(len(group["params"]) for group in part.param_groups) for part in parts]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all parts; a value written into one holds from the next step on."""
        return [group for part in self.parts for group in part.param_groups]

    def step(self) -> None:
        """One step of each part."""
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients."""
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def state(self) -> dict[int, dict[str, Tensor]]:
        """Number of a weight -> its momentum and the like."""
        states: dict[int, dict[str, Tensor]] = {}
        for number, part in enumerate(self.parts):
            start = sum(self._sizes[:number])
            states |= {start + index: entry for index, entry in part.state_dict()["state"].items()}
        return states

    def load_state(self, state: dict[int, dict[str, Tensor]]) -> None:
        """Restores what `state` returned."""
        for number, part in enumerate(self.parts):
            start = sum(self._sizes[:number])
            own = {index: state[start + index] for index in range(self._sizes[number]) if start + index in state}
            part.load_state_dict({**part.state_dict(), "state": own})


def make_optimizer(module: nn.Module, config: TrainingConfig) -> CompositeOptimizer:
    """The optimizer that a configuration names, for the weights that take a gradient.

    Muon (Jordan et al. 2024; Liu et al. 2025, arXiv:2502.16982) makes the running mean of a matrix' gradients
    orthogonal before it steps, so that it is learned at one rate in all directions. Its steps are scaled to the size of
    AdamW's, so that one learning rate serves both. Embeddings, heads and vectors keep AdamW, as its authors advise.
    """
    groups = parameter_groups(module, config)
    hidden = {id(p) for name, p in module.named_parameters() if p.ndim == 2 and LAYER.search(name)}
    if config.optimizer == "adamw" or not hidden:
        return CompositeOptimizer(_adamw(groups, config))
    rest, matrices = (_only(groups, hidden, wanted) for wanted in (False, True))
    muon = torch.optim.Muon(matrices, lr=config.learning_rate, adjust_lr_fn="match_rms_adamw")
    return CompositeOptimizer(*([_adamw(rest, config)] if rest else []), muon)


def _adamw(groups: list[dict[str, Any]], config: TrainingConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def _only(groups: list[dict[str, Any]], chosen: set[int], wanted: bool) -> list[dict[str, Any]]:
    """The groups with only the weights that are chosen, or only those that are not."""
    parts = [{**group, "params": [p for p in group["params"] if (id(p) in chosen) == wanted]} for group in groups]
    return [part for part in parts if part["params"]]
