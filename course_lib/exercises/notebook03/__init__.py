"""Exercises and quiz of notebook 03, "Fine-tuning BERT"."""

from course_lib.exercises.notebook03 import (
    expected_calibration_error,
    find_leaks,
    length_buckets,
    pad_batch,
    soft_label,
    warmup_linear,
)
from course_lib.exercises.notebook03.questions import QUIZ

EXERCISES = (
    find_leaks.EXERCISE,
    soft_label.EXERCISE,
    pad_batch.EXERCISE,
    length_buckets.EXERCISE,
    warmup_linear.EXERCISE,
    expected_calibration_error.EXERCISE,
)

__all__ = ["EXERCISES", "QUIZ"]
