"""Defences: harder training, several models, noise, detectors, and a table that measures them.

`adversarial` trains on moved embeddings, `substitution` on rewritten words, `reading` makes texts plainer before the
model reads, `ensembles` puts models together, `smoothing` asks masked copies, `detection` scores texts; `recipe` is the
default. Whatever answers here has `classes_` and `predict_proba`, and can be attacked by whoever asks.
"""

from course_lib.defenses.adversarial import FGM, FreeLB, PGDTraining
from course_lib.defenses.answers import Answers, Classifier
from course_lib.defenses.detection import Detector, PseudoPerplexity, Roc, UnknownWords, roc
from course_lib.defenses.ensembles import Ensemble, fused
from course_lib.defenses.reading import CommonWords, Corrected, Reading
from course_lib.defenses.recipe import (
    DEFAULT_DEFENCE,
    DEFENCES,
    defend,
    defended,
    defense_study,
    load,
)
from course_lib.defenses.smoothing import Smoothed, masked_copies
from course_lib.defenses.spelling import Spelling, english_spelling
from course_lib.defenses.substitution import WordSubstitution
from course_lib.defenses.tables import defence_table

__all__ = [
    "DEFAULT_DEFENCE",
    "DEFENCES",
    "FGM",
    "Answers",
    "Classifier",
    "CommonWords",
    "Corrected",
    "Detector",
    "Ensemble",
    "FreeLB",
    "PGDTraining",
    "PseudoPerplexity",
    "Reading",
    "Roc",
    "Smoothed",
    "Spelling",
    "UnknownWords",
    "WordSubstitution",
    "defence_table",
    "defend",
    "defended",
    "defense_study",
    "english_spelling",
    "fused",
    "load",
    "masked_copies",
    "roc",
]
