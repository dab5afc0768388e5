"""One training loop for every model of the course: modules and batches in, a history out.

It handles precision, learning-rate schedule, clipping, accumulation, averaging of weights, early stopping, checkpoints
and several processes. It does not handle texts: `TextClassifier.fit` makes the batches. `TensorBatches`
makes them of plain tensors.
"""

from course_lib.training.config import SCHEDULES, TrainingConfig
from course_lib.training.loop import Batches, Callback, History, LogEntry, Objective, Validation, train
from course_lib.training.schedule import learning_rate_at, parameter_groups
from course_lib.training.tensors import TensorBatch, TensorBatches

__all__ = [
    "SCHEDULES",
    "Batches",
    "Callback",
    "History",
    "LogEntry",
    "Objective",
    "TensorBatch",
    "TensorBatches",
    "TrainingConfig",
    "Validation",
    "learning_rate_at",
    "parameter_groups",
    "train",
]
