"""Defences: harder training, several models, noise, detectors, and studies that measure them.

`adversarial` trains on moved embeddings, `substitution` on rewritten words, `preprocessing` normalises texts before
the model reads them, `ensembles` combines models, `smoothing` predicts on masked copies, `detection` scores texts;
`recipe` is the default, `studies` measures. Every defended classifier has `classes_` and `predict_proba`, and can be
attacked by queries.
"""

from course_lib.defenses.adversarial import FGM, FreeLB, PGDTraining
from course_lib.defenses.detection import UnknownWords, roc
from course_lib.defenses.ensembles import Ensemble, fused
from course_lib.defenses.preprocessing import CommonWords, NormalizedClassifier, TextNormalizer
from course_lib.defenses.recipe import defend, defended, load
from course_lib.defenses.smoothing import Smoothed, masked_copies
from course_lib.defenses.spelling import Spelling, english_spelling
from course_lib.defenses.studies import DEFAULT_DEFENSE, DEFENSES, as_costs, defense_study, noise_study
from course_lib.defenses.substitution import WordSubstitution

__all__ = [
    "DEFAULT_DEFENSE",
    "DEFENSES",
    "FGM",
    "CommonWords",
    "Ensemble",
    "FreeLB",
    "NormalizedClassifier",
    "PGDTraining",
    "Smoothed",
    "Spelling",
    "TextNormalizer",
    "UnknownWords",
    "WordSubstitution",
    "as_costs",
    "defend",
    "defended",
    "defense_study",
    "english_spelling",
    "fused",
    "load",
    "masked_copies",
    "noise_study",
    "roc",
]
