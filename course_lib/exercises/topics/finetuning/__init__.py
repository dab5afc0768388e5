"""Exercises."""

from course_lib.exercises.topics.finetuning import expected_calibration_error, warmup_linear

EXERCISES = (
    warmup_linear.EXERCISE,
    expected_calibration_error.EXERCISE,
)
