"""Exercises and quiz of notebook 05, "Adversarial examples": three attacks, their success rate, and a defence."""

from course_lib.exercises.notebook05 import (
    attack_success_rate,
    fgsm,
    greedy_search,
    hotflip_scores,
    majority_vote,
)
from course_lib.exercises.notebook05.questions import QUIZ

EXERCISES = (
    attack_success_rate.EXERCISE,
    greedy_search.EXERCISE,
    hotflip_scores.EXERCISE,
    fgsm.EXERCISE,
    majority_vote.EXERCISE,
)

__all__ = ["EXERCISES", "QUIZ"]
