"""Defences: harder training, several models, noise, detectors, and a table that measures them.

`adversarial` trains on moved embeddings, `ensembles` puts models together, `smoothing` asks masked copies,
`detection` scores texts. Whatever answers here has `classes_` and `predict_proba`, and can be attacked by whoever asks.
"""

from course_lib.defenses.adversarial import FGM, FreeLB, PGDTraining
from course_lib.defenses.answers import Answers, Classifier
from course_lib.defenses.detection import Detector, PseudoPerplexity, Roc, UnknownWords, roc
from course_lib.defenses.ensembles import Ensemble, fused
from course_lib.defenses.smoothing import Smoothed, masked_copies
from course_lib.defenses.tables import defence_table

__all__ = [
    "FGM",
    "Answers",
    "Classifier",
    "Detector",
    "Ensemble",
    "FreeLB",
    "PGDTraining",
    "PseudoPerplexity",
    "Roc",
    "Smoothed",
    "UnknownWords",
    "defence_table",
    "fused",
    "masked_copies",
    "roc",
]
