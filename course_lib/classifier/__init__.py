"""`BERTForSentimentAnalysis` and `TextClassifier`, the one face of every model of the course.

A `TextClassifier` keeps scikit-learn's conventions, so that metrics, cross-validation, LIME and SHAP take it as it
is. Saved, it is an ordinary transformers folder.
"""

from course_lib.classifier.differences import save_difference, shipped_model_folder, shipped_models
from course_lib.classifier.estimator import NotFitted, TextClassifier, with_training
from course_lib.classifier.model import BERTForSentimentAnalysis
from course_lib.classifier.objective import Loss, LossWrapper
from course_lib.classifier.prediction import sentence_vectors
from course_lib.classifier.targets import HEADS

__all__ = [
    "HEADS",
    "BERTForSentimentAnalysis",
    "Loss",
    "LossWrapper",
    "NotFitted",
    "TextClassifier",
    "save_difference",
    "sentence_vectors",
    "shipped_model_folder",
    "shipped_models",
    "with_training",
]
