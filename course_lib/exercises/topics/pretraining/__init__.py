"""Exercises."""

from course_lib.exercises.topics.pretraining import masked_lm_loss, perplexity_and_bits, sentence_pairs

EXERCISES = (
    sentence_pairs.EXERCISE,
    masked_lm_loss.EXERCISE,
    perplexity_and_bits.EXERCISE,
)
