"""Rewrites of a sentence that keep its label, what they do to a text, and what they are worth.

from course_lib import augmentation
rows = augmentation.augment(texts, labels, augmentation.eda(), copies=2)
print(augmentation.report(texts, augmentation.TypoNoise()(texts)))
"""

from course_lib.augmentation.context import ContextualReplacement, Judge, contextual
from course_lib.augmentation.counts import WordLabelCounts
from course_lib.augmentation.marks import PunctuationInsertion, TypoNoise
from course_lib.augmentation.measures import AugmentationReport, compare, report, words_changed
from course_lib.augmentation.mixup import Mixup
from course_lib.augmentation.operation import Compose, OneOf, Operation
from course_lib.augmentation.sets import Augmented, augment
from course_lib.augmentation.words import RandomDeletion, RandomInsertion, RandomSwap, SynonymReplacement, eda
from course_lib.augmentation.worth import METHODS, as_gains, augmentation_study

__all__ = [
    "METHODS",
    "AugmentationReport",
    "Augmented",
    "Compose",
    "ContextualReplacement",
    "Judge",
    "Mixup",
    "OneOf",
    "Operation",
    "PunctuationInsertion",
    "RandomDeletion",
    "RandomInsertion",
    "RandomSwap",
    "SynonymReplacement",
    "TypoNoise",
    "WordLabelCounts",
    "as_gains",
    "augment",
    "augmentation_study",
    "compare",
    "contextual",
    "eda",
    "report",
    "words_changed",
]
