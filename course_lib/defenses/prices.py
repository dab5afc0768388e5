"""What a defence costs: the forecast of its study, and its prices beside those of the undefended model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from course_lib import corpora, machine
from course_lib.attacks.recipes import attack_cost
from course_lib.classifier import TextClassifier
from course_lib.defenses.noise import TIMES
from course_lib.defenses.recipe import CONTINUED_ROWS, DEFAULT_DEFENCE, TRAINING, defence_run, usual_run
from course_lib.errors import BadInput
from course_lib.experiments import Run

_COPIES = {"masked copies": 4 * (1 + TIMES)}  # texts that the model reads for each text that both attackers ask
_PASSES = {"steps in embedding space": 2}  # of a training step, over those of a usual one


def defence_study_cost(config: dict[str, Any]) -> machine.Cost:
    """What `defence_study` takes here when the models are there that it begins with: the test part, and the attacks.

    Attacks that fail ask longer, so a good defence takes more.

    Raises:
        BadInput: nothing tells what an attack costs.
    """
    test = corpora.part("movie_reviews", "test")["text"].tolist()
    classifier, attacked = TextClassifier(training=TRAINING), test[: config["n"]]
    cost = classifier.predict_cost(test)
    for name in config["attacks"]:
        once = attack_cost(name, classifier, attacked)
        if once is None:
            raise BadInput(f"nothing tells what {name} costs", "add it to attacks.recipes.QUERIES_A_WORD")
        cost = cost + once
    cost = cost * _COPIES.get(config["defence"], 1)
    if config["defence"] in _PASSES:
        train = corpora.part("movie_reviews", "train", CONTINUED_ROWS)["text"].tolist()
        cost = cost + classifier.fit_cost(train) * _PASSES[config["defence"]]
    return cost


def as_prices(runs: Sequence[Run]) -> pd.DataFrame:
    """Runs of `defence_study` as rows: defence, accuracy (of the test part), training, inference.

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
    usual = float(usual_run(seed).result["training_seconds"])
    if run.config["defence"] == DEFAULT_DEFENCE:  # its study only reads the model
        return float(defence_run(seed, show=False).result["training_seconds"]) / usual
    if run.config["defence"] not in _PASSES:
        return 1.0
    return (usual + float(run.result["making_seconds"])) / usual
