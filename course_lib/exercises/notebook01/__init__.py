"""Exercises and quiz of notebook 01, "A Transformer from scratch"."""

from course_lib.exercises.notebook01 import (
    attention,
    layer_norm,
    masked_weights,
    positional_encoding,
    split_heads,
)
from course_lib.exercises.notebook01.questions import QUIZ

EXERCISES = (
    attention.EXERCISE,
    masked_weights.EXERCISE,
    split_heads.EXERCISE,
    positional_encoding.EXERCISE,
    layer_norm.EXERCISE,
)

__all__ = ["EXERCISES", "QUIZ"]
