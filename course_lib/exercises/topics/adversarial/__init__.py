"""Exercises on "Adversarial examples": three attacks, their success rate, and a defence."""

from course_lib.exercises.topics.adversarial import (
    attack_success_rate,
    fgsm,
    greedy_search,
    hotflip_scores,
    majority_vote,
)

EXERCISES = (
    attack_success_rate.EXERCISE,
    greedy_search.EXERCISE,
    hotflip_scores.EXERCISE,
    fgsm.EXERCISE,
    majority_vote.EXERCISE,
)

__all__ = ["EXERCISES"]
