"""Exercises."""

from course_lib.exercises.topics.basics import accuracy, softmax, word_pieces

EXERCISES = (
    softmax.EXERCISE,
    accuracy.EXERCISE,
    word_pieces.EXERCISE,
)
