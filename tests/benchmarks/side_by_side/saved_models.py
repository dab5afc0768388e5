"""A classifier on the disk that both sides can load."""

from __future__ import annotations

from pathlib import Path

from course_lib import assets, experiments
from course_lib.finetuning import finetune

_COURSE_MODEL = {"data": "movie_reviews", "recipe": "default", "seed": 0}


def stored_run() -> experiments.Run | None:
    """The run that made the course's fine-tuned model, where it has been made here already."""
    return experiments.run(finetune, _COURSE_MODEL) if experiments.is_stored(finetune, _COURSE_MODEL) else None


def saved_classifier(scratch: Path) -> tuple[Path, str]:
    """A transformers folder and what it is: the course's model, or an encoder with a new head.

    Speed does not depend on the weights, so nothing is trained for it.
    """
    run = stored_run()
    if run:
        return run.folder / "model", "the course's fine-tuned model"
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed
    from transformers.utils import logging

    logging.set_verbosity_error()  # a new head is what is wanted
    logging.disable_progress_bar()
    set_seed(0)
    encoder = str(assets.path("course_encoder"))
    AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=2).save_pretrained(scratch)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(scratch)
    return scratch, "the course encoder with a new head"
