"""One question a function: how many labels, which head, which learning rate, how far does it carry?

Each is an experiment: `(config, folder) -> result`, small enough for two CPU cores, stored by `experiments.run`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from course_lib import corpora, experiments, machine
from course_lib.classifier import TextClassifier, sentence_vectors
from course_lib.experiments import Experiment
from course_lib.finetuning.recipes import estimator, finetune, finetune_cost, recipe, sentiment_folder
from course_lib.training import TrainingConfig

_LOOKED_AT = 200  # validation sentences after each epoch of a learning curve
_ASKED = 500  # test sentences of each corpus in the transfer study
_RATES = {"lora": 5e-3, "probe": 1e-2}  # few weights, begun at zero or at random, take larger steps
_LONGEST = 100  # optimizer steps that a small training set is given at most; small sets need several epochs


def label_curve(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Test accuracy with `labels` movie sentences; `encoder` is `course` or `scratch`; `seed`.

    Small sets are seen more often: up to 8 epochs, within a fixed number of steps.
    """
    frame = corpora.part("movie_reviews", "train", limit=config["labels"])
    chosen = recipe("default")
    classifier = estimator(chosen, config["seed"], config["encoder"])
    classifier.training = replace(classifier.training or TrainingConfig(), epochs=_label_epochs(config["labels"]))
    soft = corpora.soft_labels(frame["rating"].to_numpy(), chosen.sharpness)
    classifier.fit(frame["text"].tolist(), frame["label"].to_numpy(), soft_labels=soft)
    return _test_result(classifier)


def epochs_for(labels: int, batch_size: int = 32) -> int:
    """More epochs for fewer labels: as many as fit into 100 steps, from 2 to 8."""
    return int(np.clip(_LONGEST * batch_size // max(1, labels), 2, 8))


def _label_epochs(labels: int) -> int:
    return epochs_for(labels, recipe("default").training.batch_size)


def linear_probe_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Logistic regression on the untouched encoder's sentence vectors, with `labels` movie sentences.

    `right` says of each test sentence whether its label was found, for paired comparisons.
    """
    frame = corpora.part("movie_reviews", "train", limit=config["labels"])
    test = corpora.part("movie_reviews", "test")
    model = LogisticRegression(max_iter=2000).fit(sentence_vectors(frame["text"].tolist()), frame["label"])
    probabilities = model.predict_proba(sentence_vectors(test["text"].tolist()))
    right = probabilities.argmax(1) == test["label"].to_numpy()
    return {"test_accuracy": float(right.mean()), "test_rows": len(test), "right": right.astype(int).tolist()}


def head_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same sentences under another head or with fewer trained weights.

    `config`: `kind` (`classification`, `regression`, `multitask`, `lora`, `probe`), `labels`, `seed`.
    """
    frame = corpora.part("movie_reviews", "train", limit=config["labels"])
    validation = corpora.part("movie_reviews", "validation")
    kind = config["kind"]
    training = TrainingConfig(epochs=2, seed=config["seed"], learning_rate=_RATES.get(kind, 1e-4))
    classifier = TextClassifier(
        head=kind if kind in ("regression", "multitask") else "classification",
        training=training,
        lora_rank=8 if kind == "lora" else 0,
        frozen_encoder=kind == "probe",
    )
    rated = kind == "regression"
    classifier.fit(
        frame["text"].tolist(), frame["rating" if rated else "label"].to_numpy(),
        ratings=frame["rating"].to_numpy() if kind == "multitask" else None,
    )  # fmt: skip
    predicted = classifier.predict(validation["text"].tolist())
    labels = (predicted > 0).astype(int) if rated else predicted
    result = {"validation_accuracy": float((labels == validation["label"].to_numpy()).mean()), **_trained(classifier)}
    if kind in ("regression", "multitask"):
        ratings = predicted if rated else classifier.predict_rating(validation["text"].tolist())
        result["correlation"] = float(np.corrcoef(ratings, validation["rating"])[0, 1])
    return result


def _trained(classifier: TextClassifier) -> dict[str, Any]:
    return {"trained_weights": classifier.trained_weights_, "seconds": classifier.history_.seconds}


def learning_curves(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Loss and validation accuracy of one setting: `learning_rate`, `epochs`, `labels`, `seed`."""
    frame = corpora.part("movie_reviews", "train", limit=config["labels"])
    held_out = corpora.part("movie_reviews", "validation", limit=_LOOKED_AT)
    training = TrainingConfig(epochs=config["epochs"], learning_rate=config["learning_rate"], seed=config["seed"])
    classifier = TextClassifier(training=training, frozen_embeddings=True)
    classifier.fit(
        frame["text"].tolist(), frame["label"].to_numpy(),
        validation=(held_out["text"].tolist(), held_out["label"].to_numpy()),
    )  # fmt: skip
    return {"history": classifier.history_.to_dict()}


def transfer_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Test accuracy on every corpus of a model that learned movie reviews and then, maybe, `labels` of another.

    `config`: `then` (a corpus, or None), `labels`, `seed`.
    """
    classifier = TextClassifier.from_pretrained(sentiment_folder())
    if config["then"]:
        frame = corpora.part(config["then"], "train", limit=config["labels"])
        training = TrainingConfig(epochs=2, learning_rate=5e-5, seed=config["seed"])
        classifier.set_params(training=training, warm_start=True)
        soft = corpora.soft_labels(frame["rating"].to_numpy(), recipe("default").sharpness)
        classifier.fit(frame["text"].tolist(), frame["label"].to_numpy(), soft_labels=soft)
    accuracy = {}
    for name in corpora.NAMES:
        test = corpora.part(name, "test", limit=_ASKED)
        accuracy[name] = float(classifier.score(test["text"].tolist(), test["label"].to_numpy()))
    return {"test_accuracy": accuracy}


def _test_result(classifier: TextClassifier) -> dict[str, Any]:
    test = corpora.part("movie_reviews", "test")
    right = classifier.predict(test["text"].tolist()) == test["label"].to_numpy()
    return {"test_accuracy": float(right.mean()), "test_rows": len(test)}


def study(function: Experiment, configs: Sequence[dict[str, Any]], show: bool = True) -> pd.DataFrame:
    """One row a run, made now or stored before: its configuration, its result, `seconds`, `expected_seconds`, `stored`.

    Prints first, to standard error, what the missing runs will cost here.
    """
    if show:
        print(forecast(function, configs), file=sys.stderr)
    runs = [experiments.run(function, c, cost=partial(study_cost, function, c), show=False) for c in configs]
    facts = [
        {
            **run.config,
            **run.result,
            "seconds": run.seconds,
            "expected_seconds": run.expected_seconds,
            "stored": run.stored,
        }
        for run in runs
    ]
    return pd.DataFrame(facts)


def forecast(function: Experiment, configs: Sequence[dict[str, Any]]) -> str:
    """One sentence on what these runs will take here and now."""
    return experiments.forecast(function, list(configs), partial(study_cost, function))


def study_cost(function: Experiment, config: dict[str, Any]) -> machine.Cost:
    """What one run of a study takes here: its training and its predictions."""
    if function is finetune:
        return finetune_cost(config)
    work = _WORK[getattr(function, "__name__", "")](config)
    rows = corpora.part(work.data, "train", limit=work.labels)["text"].tolist() if work.labels else []
    asked = [text for name, split, limit in work.asked for text in corpora.part(name, split, limit=limit)["text"]]
    classifier = TextClassifier(training=TrainingConfig(epochs=max(1, work.epochs)))
    predictions = classifier.predict_cost(asked if work.epochs else asked + rows)
    return classifier.fit_cost(rows) + predictions if work.epochs else predictions


@dataclass(frozen=True)
class _Work:
    """Rows that a study trains on and predicts; 0 epochs is a study that only reads vectors."""

    labels: int
    epochs: int
    asked: tuple[tuple[str, str, int | None], ...]
    data: str = "movie_reviews"


_TEST = (("movie_reviews", "test", None),)
_WORK: dict[str, Callable[[dict[str, Any]], _Work]] = {
    "label_curve": lambda c: _Work(c["labels"], _label_epochs(c["labels"]), _TEST),
    "linear_probe_study": lambda c: _Work(c["labels"], 0, _TEST),
    "head_study": lambda c: _Work(c["labels"], 2, (("movie_reviews", "validation", None),)),
    "learning_curves": lambda c: _Work(
        c["labels"], c["epochs"], (("movie_reviews", "validation", _LOOKED_AT),) * c["epochs"]
    ),
    "transfer_study": lambda c: _Work(
        c["labels"] if c["then"] else 0, 2 if c["then"] else 0,
        tuple((name, "test", _ASKED) for name in corpora.NAMES), c["then"] or "movie_reviews",
    ),
}  # fmt: skip
