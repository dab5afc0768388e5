"""The hyper-parameters of a run, checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from course_lib import machine
from course_lib.errors import BadInput

SCHEDULES = ("linear", "cosine", "constant")
OPTIMIZERS = ("adamw", "muon")
_PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainingConfig:
    """Every hyper-parameter of a run, with the reason for its value. Change one with `replace(config, epochs=3)`.

    Raises:
        BadInput: a value is out of its range; the message names it and the range.
    """

    epochs: int = 2  # passes over the data; a pretrained model overfits small data after 3 to 4
    batch_size: int = 32  # sentences in a step; 16 to 32 in Devlin et al. 2019, appendix A.3
    learning_rate: float = 1e-4  # peak; 2e-5 to 5e-5 for BERT-base, larger for smaller models
    optimizer: str = "adamw"  # or "muon" for the layers' matrices, which learns more from few steps of pretraining
    schedule: str = "linear"  # to zero after warm-up; also "cosine" or "constant"
    warmup: float = 0.1  # fraction of the steps in which the rate rises; stabilizes the start (Mosbach 2021)
    weight_decay: float = 0.01  # of matrices, not of biases and layer norms (Loshchilov & Hutter 2019)
    betas: tuple[float, float] = (0.9, 0.999)  # decay of AdamW's running mean and mean square
    clip_norm: float = 1.0  # largest norm of a gradient, so that a single batch cannot ruin the model
    accumulate: int = 1  # batches whose gradients are added before a step: a larger batch in the same memory
    patience: int | None = None  # validations without improvement before the run stops; it then takes its best weights
    precision: str = "auto"  # "float32", "bfloat16", or the faster one on this hardware
    seed: int = 0  # of the new head, the order of the sentences, and dropout
    order_seed: int | None = None  # of order and dropout alone, for runs that start from the same head

    def __post_init__(self) -> None:
        for name, (allowed, good) in _RANGES.items():
            value = getattr(self, name)
            if not good(value):
                raise BadInput(f"{name} is {value!r}", f"{name} must be {allowed}")
            if isinstance(value, np.generic):  # checkpoints are JSON, which knows Python's own numbers only
                object.__setattr__(self, name, value.item())

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the forward pass."""
        return machine.precision() if self.precision == "auto" else getattr(torch, self.precision)


def _whole(value: Any, least: int = 1) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


def _real(value: Any) -> float:
    """The number, or NaN for anything else: no comparison with NaN holds."""
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan


def _pair_below_one(value: Any) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(0 <= _real(part) < 1 for part in value)


_COUNT = "a whole number, 1 or more"
_SEED = "a whole number, 0 or more"
_RANGES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "epochs": (_COUNT, _whole),
    "batch_size": (_COUNT, _whole),
    "learning_rate": ("a finite number above 0", lambda v: 0 < _real(v) < math.inf),
    "optimizer": (f"one of {', '.join(OPTIMIZERS)}", lambda v: v in OPTIMIZERS),
    "schedule": (f"one of {', '.join(SCHEDULES)}", lambda v: v in SCHEDULES),
    "warmup": ("0 or more and under 1", lambda v: 0 <= _real(v) < 1),
    "weight_decay": ("a finite number, 0 or more", lambda v: 0 <= _real(v) < math.inf),
    "betas": ("two numbers, each 0 or more and under 1", _pair_below_one),
    "clip_norm": ("a number above 0 (math.inf lets every gradient through)", lambda v: _real(v) > 0),
    "accumulate": (_COUNT, _whole),
    "patience": (f"None, or {_COUNT}", lambda v: v is None or _whole(v)),
    "precision": (f"one of {', '.join(_PRECISIONS)}", lambda v: v in _PRECISIONS),
    "seed": (_SEED, lambda v: _whole(v, 0)),
    "order_seed": (f"None, or {_SEED}", lambda v: v is None or _whole(v, 0)),
}
