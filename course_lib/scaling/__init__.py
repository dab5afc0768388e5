"""Training and inference in several processes and on several machines.

Training itself is in `course_lib.training.parallel`; `torchrun ... -m course_lib pretrain` and `finetune` use it.
"""

from course_lib.scaling.collectives import (
    RingStep,
    Transfer,
    average_gradients,
    ring_all_reduce,
    ring_bytes,
    ring_seconds,
)
from course_lib.scaling.launch import run_torchrun
from course_lib.scaling.memory import STRATEGIES, StateBytes, state_bytes

__all__ = [
    "STRATEGIES",
    "RingStep",
    "StateBytes",
    "Transfer",
    "average_gradients",
    "ring_all_reduce",
    "ring_bytes",
    "ring_seconds",
    "run_torchrun",
    "state_bytes",
]
