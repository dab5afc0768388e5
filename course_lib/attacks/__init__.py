"""Adversarial texts: an attack is a goal, constraints, a transformation and a search, batched over sentences."""

from course_lib.attacks.constraints import Constraint, KeepWords, MaxEditDistance, MaxWordsChanged
from course_lib.attacks.document import Document
from course_lib.attacks.engine import Attack
from course_lib.attacks.goals import ConfidenceReduction, Goal, Targeted, Untargeted
from course_lib.attacks.recipes import RECIPES, deepwordbug, recipe
from course_lib.attacks.report import AttackReport, AttackResult
from course_lib.attacks.search import Greedy, Search
from course_lib.attacks.transformations import Characters, Transformation

__all__ = [
    "RECIPES",
    "Attack",
    "AttackReport",
    "AttackResult",
    "Characters",
    "ConfidenceReduction",
    "Constraint",
    "Document",
    "Goal",
    "Greedy",
    "KeepWords",
    "MaxEditDistance",
    "MaxWordsChanged",
    "Search",
    "Targeted",
    "Transformation",
    "Untargeted",
    "deepwordbug",
    "recipe",
]
