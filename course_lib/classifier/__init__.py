"""`BERTForSentimentAnalysis` and `TextClassifier`, the one face of every model of the course.

A `TextClassifier` keeps scikit-learn's conventions, so that metrics, cross-validation, LIME and SHAP take it as it
is. Saved, it is an ordinary transformers folder.
"""

from course_lib.classifier.data import HEADS, Loss, LossWrapper
from course_lib.classifier.estimator import NotFitted, TextClassifier
from course_lib.classifier.model import BERTForSentimentAnalysis
from course_lib.classifier.pretrained import check_save_dir, sentence_vectors
from course_lib.classifier.shipped import save_difference, shipped_model_folder, shipped_models

__all__ = [
    "HEADS",
    "BERTForSentimentAnalysis",
    "Loss",
    "LossWrapper",
    "NotFitted",
    "TextClassifier",
    "check_save_dir",
    "save_difference",
    "sentence_vectors",
    "shipped_model_folder",
    "shipped_models",
]
