"""Adversarial texts: an attack is a goal, constraints, a transformation and a search, batched over sentences."""

from course_lib.attacks.constraints import (
    AvoidWords,
    Constraint,
    EachWordOnce,
    KeepWords,
    MaxEditDistance,
    MaxWordsChanged,
)
from course_lib.attacks.difference import inline, marked, side_by_side
from course_lib.attacks.document import Document
from course_lib.attacks.embedding import PGD, EmbeddingReport, fgsm, loss_surface
from course_lib.attacks.engine import Attack
from course_lib.attacks.gains import exchange_gains
from course_lib.attacks.goals import ConfidenceReduction, Goal, Shift, Targeted, Untargeted
from course_lib.attacks.gradient_search import GradientBeam, GradientGuided, InTurn
from course_lib.attacks.masked_words import MaskedWords
from course_lib.attacks.meaning import NoAntonyms, SamePartOfSpeech, SentenceSimilarity, similarity
from course_lib.attacks.populations import Beam, Genetic
from course_lib.attacks.recipes import RECIPES, recipe
from course_lib.attacks.report import AttackReport, AttackResult, Step
from course_lib.attacks.search import Greedy, WeightedSaliency
from course_lib.attacks.surface import LossSurface
from course_lib.attacks.task import Search
from course_lib.attacks.transfer import transfer_table
from course_lib.attacks.transformations import Characters, Synonyms, Together, Transformation
from course_lib.attacks.vocabularies import AnyWord, Neighbours
from course_lib.attacks.votes import read_votes, validity

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
    "EmbeddingReport",
    "Genetic",
    "Goal",
    "GradientBeam",
    "GradientGuided",
    "Greedy",
    "InTurn",
    "KeepWords",
    "LossSurface",
    "MaskedWords",
    "MaxEditDistance",
    "MaxWordsChanged",
    "Neighbours",
    "NoAntonyms",
    "SamePartOfSpeech",
    "Search",
    "SentenceSimilarity",
    "Shift",
    "Step",
    "Synonyms",
    "Targeted",
    "Together",
    "Transformation",
    "Untargeted",
    "WeightedSaliency",
    "exchange_gains",
    "fgsm",
    "inline",
    "loss_surface",
    "marked",
    "read_votes",
    "recipe",
    "side_by_side",
    "similarity",
    "transfer_table",
    "validity",
]
