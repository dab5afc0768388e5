"""Adversarial texts: an attack is a goal, constraints, a transformation and a search, batched over texts."""

from course_lib.attacks.attack import Attack
from course_lib.attacks.beam_search import Beam, GradientBeam, Sequential
from course_lib.attacks.constraints import (
    AvoidWords,
    Constraint,
    EachWordOnce,
    KeepWords,
    MaxEditDistance,
    MaxWordsChanged,
    NoAntonyms,
    SamePartOfSpeech,
    SentenceSimilarity,
    similarity,
)
from course_lib.attacks.difference import inline, marked, side_by_side
from course_lib.attacks.first_order import exchange_gains
from course_lib.attacks.goals import ConfidenceReduction, Goal, Targeted, Untargeted
from course_lib.attacks.greedy import GradientGuided, Greedy, WeightedSaliency
from course_lib.attacks.human_evaluation import read_votes, validity
from course_lib.attacks.pgd import PGD, fgsm
from course_lib.attacks.problem import Query, QueryResult, Search, SearchProblem
from course_lib.attacks.recipes import RECIPES, recipe
from course_lib.attacks.report import AttackReport, AttackResult, Step, transfer_table
from course_lib.attacks.transformations import Characters, Substitutes, Synonyms, Transformation
from course_lib.attacks.victim import VictimModel
from course_lib.attacks.vocabularies import AnyWord, MaskedWords, Neighbours
from course_lib.text.document import Document

__all__ = [
    "PGD",
    "RECIPES",
    "AnyWord",
    "Attack",
    "AttackReport",
    "AttackResult",
    "AvoidWords",
    "Beam",
    "Characters",
    "ConfidenceReduction",
    "Constraint",
    "Document",
    "EachWordOnce",
    "Goal",
    "GradientBeam",
    "GradientGuided",
    "Greedy",
    "KeepWords",
    "MaskedWords",
    "MaxEditDistance",
    "MaxWordsChanged",
    "Neighbours",
    "NoAntonyms",
    "Query",
    "QueryResult",
    "SamePartOfSpeech",
    "Search",
    "SearchProblem",
    "SentenceSimilarity",
    "Sequential",
    "Step",
    "Substitutes",
    "Synonyms",
    "Targeted",
    "Transformation",
    "Untargeted",
    "VictimModel",
    "WeightedSaliency",
    "exchange_gains",
    "fgsm",
    "inline",
    "marked",
    "read_votes",
    "recipe",
    "side_by_side",
    "similarity",
    "transfer_table",
    "validity",
]
