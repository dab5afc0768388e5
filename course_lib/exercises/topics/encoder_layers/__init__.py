"""Exercises."""

from course_lib.exercises.topics.encoder_layers import layer_norm, positional_encoding

EXERCISES = (
    positional_encoding.EXERCISE,
    layer_norm.EXERCISE,
)
