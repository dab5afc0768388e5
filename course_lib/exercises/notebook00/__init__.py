"""Exercises and quiz of notebook 00, "Start here"."""

from course_lib.exercises.notebook00 import accuracy, softmax, word_pieces
from course_lib.exercises.notebook00.questions import QUIZ

EXERCISES = (softmax.EXERCISE, accuracy.EXERCISE, word_pieces.EXERCISE)

__all__ = ["EXERCISES", "QUIZ"]
