"""Exercises."""

from course_lib.exercises.topics.self_attention import attention, masked_weights, split_heads

EXERCISES = (
    attention.EXERCISE,
    masked_weights.EXERCISE,
    split_heads.EXERCISE,
)
