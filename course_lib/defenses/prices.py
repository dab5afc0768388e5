"""What a defence costs beside the undefended model."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from course_lib.defenses.recipe import DEFAULT_DEFENCE, defend
from course_lib.experiments import Run
from course_lib.finetuning import SENTIMENT, finetune

_CONTINUED = "steps in embedding space"  # the defence that trains on, besides the default one


def as_prices(runs: Sequence[Run]) -> pd.DataFrame:
    """Runs of `defense_study` as rows: defence, accuracy (of the test part), training, inference.

    The last two are multiples of what the undefended model took for its training and takes for an answer. What trains
    nothing has a training of 1, whatever it counts or loads.
    """
    rows = [
        (run.config["defence"], run.result["clean_accuracy"], _training(run), run.result["times_as_long"])
        for run in runs
    ]
    return pd.DataFrame(rows, columns=["defence", "accuracy", "training", "inference"])


def _training(run: Run) -> float:
    """Seconds of the training, the usual one included, over those of the usual one."""
    seed = run.config["seed"]
    usual = float(finetune.run(SENTIMENT | {"seed": seed}, show=False).result["training_seconds"])
    if run.config["defence"] == DEFAULT_DEFENCE:  # its study only reads the model
        return float(defend.run({"seed": seed}, show=False).result["training_seconds"]) / usual
    if run.config["defence"] != _CONTINUED:
        return 1.0
    return (usual + float(run.result["making_seconds"])) / usual
