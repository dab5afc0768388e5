"""The learning rate of each weight: by step (schedule) and by depth in the network (layer-wise decay)."""

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


def depth_of(name: str, layers: int) -> int:
    """Height of a parameter: 0 for embeddings, 1..layers for encoder layers, layers + 1 for pooler and heads."""
    if found := LAYER.search(name):
        return int(found[1]) + 1
    return 0 if "embeddings" in name else layers + 1


def parameter_groups(module: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    """AdamW's groups: matrices with weight decay, vectors without; the rate decays by layer from the top down."""
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    layers = max((int(n) + 1 for name, _ in named for n in LAYER.findall(name)), default=0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        scale = config.layer_decay ** (layers + 1 - depth_of(name, layers))
        groups.setdefault((scale, config.weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [{"params": params, "scale": scale, "weight_decay": decay} for (scale, decay), params in groups.items()]
