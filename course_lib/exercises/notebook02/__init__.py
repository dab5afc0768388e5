"""Exercises and quiz of notebook 02, "Pretraining"."""

from course_lib.exercises.notebook02 import (
    mask_tokens,
    mask_whole_words,
    masked_lm_loss,
    perplexity_and_bits,
    sentence_pairs,
)
from course_lib.exercises.notebook02.questions import QUIZ

EXERCISES = (
    mask_tokens.EXERCISE,
    mask_whole_words.EXERCISE,
    sentence_pairs.EXERCISE,
    masked_lm_loss.EXERCISE,
    perplexity_and_bits.EXERCISE,
)

__all__ = ["EXERCISES", "QUIZ"]
