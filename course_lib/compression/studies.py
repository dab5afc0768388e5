"""Compression as stored runs: a plan followed from the course's sentiment model, its folder and its figures kept."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from course_lib import corpora, experiments, finetuning, machine
from course_lib.classifier import TextClassifier
from course_lib.compression.distillation import unlabelled_texts
from course_lib.compression.measure import products_a_token, quality
from course_lib.compression.onnx_classifier import MODEL_FILE, OnnxClassifier
from course_lib.compression.recipes import PLANS, Plan, compress, compress_cost
from course_lib.errors import BadInput

EXPORT = "export"  # folder of a run, for `OnnxClassifier`


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


def compression_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: one plan of `PLANS`, from the course's sentiment model, on movie reviews.

    Args:
        config: `plan`; `texts`, how many of `unlabelled_texts()` the student learns from (all
            when left out; the first ones are movie reviews); `epochs`, in place of the plan's.
        folder: gets the folder `EXPORT`.

    Returns:
        The figures of `Compressed` and `Quality` on the test part, and `products_a_token`.
    """
    plan = plan_of(config)
    parent = TextClassifier.from_pretrained(finetuning.sentiment_folder())
    texts = unlabelled_texts()[: config.get("texts")]
    ratings = corpora.part("movie_reviews", "train")["rating"].to_numpy()[: len(texts)]
    soft = corpora.soft_labels(ratings, finetuning.recipe("default").sharpness)
    made = compress(parent, plan, folder / EXPORT, texts, soft_labels=soft)
    test = corpora.part("movie_reviews", "test")
    student = OnnxClassifier(folder / EXPORT)
    answers = [np.asarray(one.predict_proba(test["text"].tolist())) for one in (student, parent)]
    good = quality(answers[0], answers[1], test["label"].to_numpy(), student.classes_)
    figures = {key: value for key, value in made.figures().items() if key not in ("folder", "plan")}
    return {**figures, **asdict(good), "products_a_token": products_a_token(folder / EXPORT / MODEL_FILE)}


def compression_cost(config: dict[str, Any]) -> machine.Cost:
    """What `compression_study` takes here when the parent is there."""
    texts = unlabelled_texts()[: config.get("texts")]
    return compress_cost(TextClassifier.from_pretrained(finetuning.sentiment_folder()), plan_of(config), texts)


def compressed(config: dict[str, Any]) -> tuple[OnnxClassifier, experiments.Run]:
    """The model of a stored run, made at its first use, and the run."""
    finetuning.sentiment_run()
    run = experiments.run(compression_study, config, cost=lambda: compression_cost(config))
    return OnnxClassifier(run.folder / EXPORT), run
