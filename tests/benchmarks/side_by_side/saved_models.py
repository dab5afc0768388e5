"""A classifier on the disk that both sides can load."""

from __future__ import annotations

from pathlib import Path

from course_lib import TextClassifier, assets
from course_lib.classifier import shipped_models


def course_model_folder() -> Path:
    """The course's fine-tuned model as an ordinary transformers folder, written when it is first wanted."""
    folder = assets.cache_folder() / "benchmarks" / "sentiment"
    if not folder.is_dir():
        TextClassifier.from_pretrained("sentiment").save(folder)
    return folder


def saved_classifier(scratch: Path) -> tuple[Path, str]:
    """A transformers folder and what it is: the course's model, or an encoder with a new head.

    Speed does not depend on the weights, so nothing is trained for it.
    """
    if "sentiment" in shipped_models():
        return course_model_folder(), "the course's fine-tuned model"
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed
    from transformers.utils import logging

    logging.set_verbosity_error()  # a new head is what is wanted
    logging.disable_progress_bar()
    set_seed(0)
    encoder = str(assets.path("course_encoder"))
    AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=2).save_pretrained(scratch)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(scratch)
    return scratch, "the course encoder with a new head"
