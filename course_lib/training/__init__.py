"""One training loop for every model of the course: modules and batches in, a history out.

It knows precision, learning-rate schedule, clipping, accumulation, averaging of weights, early stopping and
checkpoints. It does not know texts: `TextClassifier.fit` makes the batches.
"""

from course_lib.training.config import SCHEDULES, TrainingConfig
from course_lib.training.history import Callback, History, Row
from course_lib.training.loop import Batches, Objective, Validation, train
from course_lib.training.rates import depth_of, learning_rate_at, parameter_groups

__all__ = [
    "SCHEDULES",
    "Batches",
    "Callback",
    "History",
    "Objective",
    "Row",
    "TrainingConfig",
    "Validation",
    "depth_of",
    "learning_rate_at",
    "parameter_groups",
    "train",
]
