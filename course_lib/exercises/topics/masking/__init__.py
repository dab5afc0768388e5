"""Exercises."""

from course_lib.exercises.topics.masking import mask_tokens, mask_whole_words

EXERCISES = (
    mask_tokens.EXERCISE,
    mask_whole_words.EXERCISE,
)
