"""One training loop for every model of the course: modules and batches in, a history out.

It handles precision, learning-rate schedule, clipping, accumulation, averaging of weights, early stopping, checkpoints
and several processes. It does not handle texts: `TextClassifier.fit` makes the batches.
"""

from course_lib.training.config import SCHEDULES, TrainingConfig
from course_lib.training.loop import Batches, Callback, History, LogEntry, Objective, Validation, train
from course_lib.training.schedule import learning_rate_at, parameter_groups

__all__ = [
    "SCHEDULES",
    "Batches",
    "Callback",
    "History",
    "LogEntry",
    "Objective",
    "TrainingConfig",
    "Validation",
    "learning_rate_at",
    "parameter_groups",
    "train",
]
