"""Compression as stored runs: a plan applied to the course's sentiment model, its folder and its figures kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from course_lib import corpora, finetuning
from course_lib.classifier import TextClassifier
from course_lib.compression.distillation import unlabelled_texts
from course_lib.compression.measure import macs_per_token, quality, speed
from course_lib.compression.onnx_classifier import OnnxClassifier
from course_lib.compression.recipes import PLANS, Plan, compress
from course_lib.errors import BadInput
from course_lib.experiments import experiment
from course_lib.onnx_model import MODEL_FILE

EXPORT = "export"  # folder of a run, for `OnnxClassifier`
SMALL_AND_FAST = [{"plan": "small", "texts": 7000}, {"plan": "fast", "texts": 7000, "epochs": 2}]  # of notebook 07


def plan_of(config: dict[str, Any]) -> Plan:
    """The plan that a configuration names; `epochs` shortens or lengthens its training.

    Raises:
        BadInput: no such plan, or epochs for a plan that trains nothing.
    """
    if config["plan"] not in PLANS:
        raise BadInput(f"there is no plan {config['plan']!r}", f"use one of {', '.join(PLANS)}")
    plan = PLANS[config["plan"]]
    if "epochs" not in config:
        return plan
    if plan.training is None:
        raise BadInput(f"the plan {plan.name!r} trains nothing", "leave epochs out")
    return replace(plan, training=replace(plan.training, epochs=config["epochs"]))


def _work(config: Mapping[str, Any]) -> float:
    """Sentences that the student learns from, times epochs and layers; and a fixed part for the measurements."""
    plan = plan_of(dict(config))
    epochs = plan.training.epochs if plan.training else 0
    steps: float = config.get("texts", 20_000) * epochs
    return 3000 + steps * (1 + (plan.layers or 6) / 6 * (2 if plan.layerwise else 1))


@experiment(
    "compression_study",
    version=3,
    cost=_work,
    tolerance={
        "model_bytes": 20_000, "accuracy": 0.02, "low": 0.02, "high": 0.02, "lost": 2.0, "agreement": 0.03,
        "calibration_error": 0.03, "largest_change": 1.0, "mean_change": 0.03, "seconds": np.inf,
        "texts_a_second": np.inf, "median_ms": np.inf, "p99_ms": np.inf, "times_as_fast": np.inf,
        "max_error": np.inf, "mean_error": 0.05, "folder_bytes": 20_000, "macs_per_token": 0.0,
    },
    data=("course_encoder", "sentiment_ratings", "sentiment"),
)  # fmt: skip
def compression_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: one plan of `PLANS`, applied to the course's sentiment model, on movie reviews.

    Args:
        config: `plan`; `texts`, how many of `unlabelled_texts()` the student learns from (all
            when left out; the first ones are movie reviews); `epochs`, in place of the plan's.
        folder: gets the folder `EXPORT`.

    Returns:
        The figures of `ExportReport`, of `Quality` on the test part and of `Speed`; `times_as_fast`, its throughput
        over that of its parent in torch; `macs_per_token`; and the probabilities of the second class: `validation`
        and `test` of the student, `parent_test` of its parent.
    """
    plan = plan_of(config)
    parent = TextClassifier.from_pretrained("sentiment")
    texts = unlabelled_texts()[: config.get("texts")]
    ratings = corpora.part("movie_reviews", "train")["rating"].to_numpy()[: len(texts)]
    soft = corpora.soft_labels(ratings, finetuning.recipe("default").sharpness)
    made = compress(parent, plan, folder / EXPORT, texts, soft_labels=soft)
    validation, test = (corpora.part("movie_reviews", name) for name in ("validation", "test"))
    rows, labels = test["text"].tolist(), test["label"].to_numpy()
    student = OnnxClassifier(folder / EXPORT)
    mine, theirs = (np.asarray(one.predict_proba(rows)) for one in (student, parent))
    good = quality(mine, theirs, labels, student.classes_)
    fast, slow = (speed(one, rows[:300], singles=60) for one in (student, parent))
    figures = {key: value for key, value in made.figures().items() if key not in ("folder", "plan")}
    return {
        **figures,
        **asdict(good),
        **asdict(fast),
        "times_as_fast": fast.texts_a_second / slow.texts_a_second,
        "macs_per_token": macs_per_token(folder / EXPORT / MODEL_FILE),
        "validation": student.predict_proba(validation["text"].tolist())[:, 1].round(4).tolist(),
        "test": mine[:, 1].round(4).tolist(),
        "parent_test": theirs[:, 1].round(4).tolist(),
    }
