"""The learning rate of each step, and which weights decay."""

from __future__ import annotations

import math
import re
from typing import Any

from torch import nn

from course_lib.training.config import TrainingConfig

LAYER = re.compile(r"layers?\.(\d+)\.")  # in the name of a weight of an encoder layer


def learning_rate_at(step: int, total_steps: int, config: TrainingConfig) -> float:
    """Learning rate of step 0, 1, ... `total_steps - 1`: linear warm-up, then the schedule's decay to 0."""
    warmup = round(config.warmup * total_steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    left = (total_steps - step) / max(1, total_steps - warmup)  # from 1 to nearly 0
    shape = {"linear": left, "cosine": 0.5 - 0.5 * math.cos(math.pi * left), "constant": 1.0}[config.schedule]
    return config.learning_rate * shape


def parameter_groups(module: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """AdamW's groups of the weights that take a gradient: matrices with weight decay, vectors without."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    matrices, vectors = ([p for p in trained if (p.ndim > 1) == wanted] for wanted in (True, False))
    groups = ((matrices, config.weight_decay), (vectors, 0.0))
    return [{"params": params, "weight_decay": decay} for params, decay in groups if params]
