"""Rewrites of a sentence that keep its label, what they change in a text, and what they gain in accuracy.

from course_lib import augmentation
rows = augmentation.augment(texts, labels, augmentation.eda(), copies=2)
print(augmentation.compare(texts, {"typos": augmentation.TypoNoise()(texts)}))
"""

from course_lib.augmentation.ablation import (
    METHODS,
    as_gains,
    augmentation_study,
    few_label_study,
    paired_gains,
    probe_study,
)
from course_lib.augmentation.context import ContextualReplacement, contextual, naive_bayes
from course_lib.augmentation.dataset import Augmented, augment
from course_lib.augmentation.measures import compare, movement, words_changed
from course_lib.augmentation.mixup import Mixup
from course_lib.augmentation.noise import PunctuationInsertion, TypoNoise
from course_lib.augmentation.operations import (
    OneOf,
    Operation,
    RandomDeletion,
    RandomInsertion,
    RandomSwap,
    SynonymReplacement,
    eda,
)

__all__ = [
    "METHODS",
    "Augmented",
    "ContextualReplacement",
    "Mixup",
    "OneOf",
    "Operation",
    "PunctuationInsertion",
    "RandomDeletion",
    "RandomInsertion",
    "RandomSwap",
    "SynonymReplacement",
    "TypoNoise",
    "as_gains",
    "augment",
    "augmentation_study",
    "compare",
    "contextual",
    "eda",
    "few_label_study",
    "movement",
    "naive_bayes",
    "paired_gains",
    "probe_study",
    "words_changed",
]
