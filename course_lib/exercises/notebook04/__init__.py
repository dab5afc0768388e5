"""Exercises and quiz of notebook 04, "Data augmentation"."""

from course_lib.exercises.notebook04 import insert_punctuation, mixup, random_deletion, random_swap
from course_lib.exercises.notebook04.questions import QUIZ

EXERCISES = (
    random_swap.EXERCISE,
    random_deletion.EXERCISE,
    insert_punctuation.EXERCISE,
    mixup.EXERCISE,
)

__all__ = ["EXERCISES", "QUIZ"]
