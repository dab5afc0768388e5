"""Exercises on "Explainability": near the text, in all orders, along a line, and how faithful."""

from course_lib.exercises.topics.explaining import (
    comprehensiveness,
    integrated_gradients,
    lime_weights,
    rank_agreement,
    shapley_values,
)

EXERCISES = (
    lime_weights.EXERCISE,
    shapley_values.EXERCISE,
    integrated_gradients.EXERCISE,
    comprehensiveness.EXERCISE,
    rank_agreement.EXERCISE,
)

__all__ = ["EXERCISES"]
