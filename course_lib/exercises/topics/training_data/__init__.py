"""Exercises."""

from course_lib.exercises.topics.training_data import find_leaks, length_buckets, pad_batch, soft_label

EXERCISES = (
    find_leaks.EXERCISE,
    soft_label.EXERCISE,
    pad_batch.EXERCISE,
    length_buckets.EXERCISE,
)
