"""Exercises on "Compression": round, scale, cut, factorise, and teach."""

from course_lib.exercises.topics.compression import (
    choose_scale,
    distillation_loss,
    magnitude_mask,
    quantize_dequantize,
    rank_for_budget,
)

EXERCISES = (
    quantize_dequantize.EXERCISE,
    choose_scale.EXERCISE,
    magnitude_mask.EXERCISE,
    rank_for_budget.EXERCISE,
    distillation_loss.EXERCISE,
)

__all__ = ["EXERCISES"]
