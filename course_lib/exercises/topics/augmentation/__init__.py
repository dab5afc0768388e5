"""Exercises on "Data augmentation"."""

from course_lib.exercises.topics.augmentation import insert_punctuation, mixup, random_deletion, random_swap

EXERCISES = (
    random_swap.EXERCISE,
    random_deletion.EXERCISE,
    insert_punctuation.EXERCISE,
    mixup.EXERCISE,
)

__all__ = ["EXERCISES"]
