"""How many labels, how good must they be, which head, which learning rate: one experiment for each question.

Each is an `experiments.Experiment`, small enough for two CPU cores: `head_study.table(configs)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from course_lib import corpora, machine
from course_lib.classifier import TextClassifier, sentence_vectors
from course_lib.evaluation import wilson_interval
from course_lib.experiments import Run, experiment
from course_lib.finetuning.recipes import SENTIMENT, estimator, finetune, recipe
from course_lib.training import TrainingConfig

_VALIDATION_ROWS = 200  # validation sentences after each epoch of a learning curve
_ROWS_PER_CORPUS = 500  # test sentences of each corpus in the transfer study
LORA_RATE = 2e-3  # chosen against 1e-3 on validation sentences, with one seed
_RATES = {"lora": 5e-3, "probe": 1e-2}  # few weights, started at zero or at random, take larger steps
_MOST_STEPS = 100  # optimizer steps that a small training set is given at most; small sets need several epochs


_DATA = ("course_encoder", "sentiment_ratings")
_TEST_ROWS = 2100 / 4  # predicting a sentence takes a quarter of training on it


def epochs_for(labels: int, batch_size: int = 32) -> int:
    """More epochs for fewer labels: as many as fit into 100 steps, from 2 to 8."""
    return int(np.clip(_MOST_STEPS * batch_size // max(1, labels), 2, 8))


def _label_epochs(labels: int) -> int:
    return epochs_for(labels, recipe("default").training.batch_size)


@experiment(
    "label_curve",
    cost=lambda config: config["labels"] * _label_epochs(config["labels"]) + _TEST_ROWS,
    tolerance={"test_accuracy": 0.05},  # a hundred labels: another processor's rounding moves it like another seed
    data=_DATA,
)
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


@experiment(
    "linear_probe_study",
    cost=lambda config: config["labels"] / 4 + _TEST_ROWS,
    tolerance={"test_accuracy": 0.003},
    data=_DATA,
)
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


@experiment(
    "head_study",
    cost=lambda config: config["labels"] * (0.3 if config["kind"] == "probe" else 1.0),
    tolerance={"validation_accuracy": 0.05, "correlation": 0.08, "seconds": np.inf},
    data=_DATA,
)
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


def _steps(runs: Sequence[Run]) -> pd.DataFrame:
    """Rows of steps: learning_rate, epochs, step, train_loss, validation_accuracy."""
    rows = [
        {
            "learning_rate": run.config["learning_rate"],
            "epochs": run.config["epochs"],
            "step": row["step"],
            "train_loss": row.get("loss"),
            "validation_accuracy": row.get("validation_accuracy"),
        }
        for run in runs
        for row in run.result["history"]["rows"]
    ]
    return pd.DataFrame(rows).astype({"train_loss": float, "validation_accuracy": float})


@experiment(
    "learning_curves",
    cost=lambda config: config["epochs"] * (config["labels"] + _VALIDATION_ROWS / 4),
    table=_steps,
    tolerance={"train_loss": 0.15, "validation_accuracy": 0.15},  # the curve of one seed with a large rate is rough
    data=_DATA,
)
def learning_curves(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Loss and validation accuracy of one setting: `learning_rate`, `epochs`, `labels`, `seed`."""
    frame = corpora.part("movie_reviews", "train", limit=config["labels"])
    held_out = corpora.part("movie_reviews", "validation", limit=_VALIDATION_ROWS)
    training = TrainingConfig(epochs=config["epochs"], learning_rate=config["learning_rate"], seed=config["seed"])
    classifier = TextClassifier(training=training, frozen_embeddings=True)
    classifier.fit(
        frame["text"].tolist(), frame["label"].to_numpy(),
        validation=(held_out["text"].tolist(), held_out["label"].to_numpy()),
    )  # fmt: skip
    return {"history": classifier.history_.to_dict()}


def _noise_work(config: Mapping[str, Any]) -> float:
    """Sentences trained on; a predicted or embedded one counts a quarter."""
    labels: int = config["labels"]
    trainings: int = len(config["noise"]) * config["seeds"]
    return trainings * (2 * labels + _TEST_ROWS) if config["method"] == "fine-tuned" else labels / 4 + _TEST_ROWS


def _noise_rows(runs: Sequence[Run]) -> pd.DataFrame:
    """Rows of trainings: method, noise, seed, label_errors, test_accuracy."""
    return pd.DataFrame([{"method": run.config["method"], **row} for run in runs for row in run.result["trainings"]])


@experiment(
    "label_noise_study",
    cost=_noise_work,
    table=_noise_rows,
    tolerance={"test_accuracy": 0.05},
    data=_DATA,
)
def label_noise_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Test accuracy after training on `labels` movie sentences of which some labels are wrong.

    `config`: `method` (`fine-tuned`, or `linear probe`: logistic regression on the encoder's sentence vectors),
    `labels`, `seeds` (how many), and `noise`, a list. A number is the fraction of labels that is flipped at random.
    With `one rater`, each label is flipped with the probability that a single rater of the sentence contradicts the
    mean of all. The test labels are untouched.
    """
    frame = corpora.part("movie_reviews", "train", limit=config["labels"])
    test = corpora.part("movie_reviews", "test")
    texts, test_texts = frame["text"].tolist(), test["text"].tolist()
    vectors = None if config["method"] == "fine-tuned" else (sentence_vectors(texts), sentence_vectors(test_texts))
    trainings = []
    for noise in config["noise"]:
        chances = frame["opposed"].to_numpy() if noise == "one rater" else np.full(len(frame), float(noise))
        for seed in range(config["seeds"]):
            wrong = np.random.default_rng(seed).random(len(frame)) < chances
            labels = np.where(wrong, 1 - frame["label"], frame["label"])
            if vectors is None:
                classifier = TextClassifier(training=TrainingConfig(epochs=2, seed=seed), frozen_embeddings=True)
                predicted = classifier.fit(texts, labels).predict(test_texts)
            else:
                predicted = LogisticRegression(max_iter=2000).fit(vectors[0], labels).predict(vectors[1])
            accuracy = float((predicted == test["label"].to_numpy()).mean())
            errors = float(wrong.mean())
            trainings.append({"noise": noise, "seed": seed, "label_errors": errors, "test_accuracy": accuracy})
    return {"trainings": trainings}


@experiment(
    "lora_study",
    cost=lambda config: 2 * config["labels"] + _TEST_ROWS,
    tolerance={"test_accuracy": 0.02},
    data=_DATA,
)
def lora_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The default recipe on `labels` movie sentences; `rank` of the low-rank updates (0 trains all weights); `seed`.

    `right` says of each test sentence whether its label was found, for paired comparisons.
    """
    frame, chosen = corpora.part("movie_reviews", "train", limit=config["labels"]), recipe("default")
    classifier = estimator(chosen, config["seed"])
    if config["rank"]:
        training = replace(chosen.training, seed=config["seed"], learning_rate=LORA_RATE)
        classifier.set_params(lora_rank=config["rank"], training=training)
    soft = corpora.soft_labels(frame["rating"].to_numpy(), chosen.sharpness)
    classifier.fit(frame["text"].tolist(), frame["label"].to_numpy(), soft_labels=soft)
    test = corpora.part("movie_reviews", "test")
    right = classifier.predict(test["text"].tolist()) == test["label"].to_numpy()
    return {
        "test_accuracy": float(right.mean()),
        "trained_weights": classifier.trained_weights_,
        "right": right.astype(int).tolist(),
    }


def _test_result(classifier: TextClassifier) -> dict[str, Any]:
    test = corpora.part("movie_reviews", "test")
    right = classifier.predict(test["text"].tolist()) == test["label"].to_numpy()
    return {"test_accuracy": float(right.mean()), "test_rows": len(test)}


# ---- the runs that the notebook shows ------------------------------------------------------------------------------

HEAD_RUNS = [
    {"kind": kind, "labels": 600, "seed": 0} for kind in ("classification", "regression", "multitask", "lora", "probe")
]
LEARNING_RATE_RUNS = [
    {"learning_rate": rate, "epochs": epochs, "labels": 400, "seed": 0}
    for rate in (1e-5, 1e-4, 1e-3)
    for epochs in (1, 2, 3)
]
LABEL_NOISE_RUNS: list[dict[str, Any]] = [
    {"method": "linear probe", "labels": 800, "noise": [0.0, 0.1, 0.2, 0.3, 0.4, "one rater"], "seeds": 5},
    {"method": "fine-tuned", "labels": 800, "noise": [0.0, 0.1, 0.2, 0.4, "one rater"], "seeds": 1},
]
LORA_RUN = {"labels": 7918, "rank": 12, "seed": 0}  # all training sentences

_METHODS = {"course": "pretrained, fine-tuned", "scratch": "same architecture, from scratch"}


def label_efficiency() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Test accuracy by number of labels, for three methods, as `as_label_efficiency` makes it.

    Returns:
        That table; and by encoder the lowest and highest accuracy and the number of seeds at the smallest size.
    """
    sizes, seeds = machine.preset().curve_labels, range(machine.preset().seeds)
    configs = [
        {"labels": n, "encoder": encoder, "seed": seed}
        for encoder in _METHODS
        for n in sizes
        for seed in (seeds if n == sizes[0] else [0])
    ]
    curve, everything = label_curve.table(configs), len(corpora.part("movie_reviews", "train"))
    probes = linear_probe_study.table([{"labels": n} for n in (*sizes, everything)])
    whole = finetune.run(SENTIMENT, show=False)
    spread = curve[curve["labels"] == sizes[0]].groupby("encoder")["test_accuracy"].agg(["min", "max", "count"])
    return as_label_efficiency(curve, probes, whole, everything), spread


def as_label_efficiency(curve: pd.DataFrame, probes: pd.DataFrame, whole: Run, labels: int) -> pd.DataFrame:
    """Accuracy by number of labels and method, with 95 % intervals of the test sample.

    Args:
        curve: runs of `label_curve`; seeds of one size are averaged.
        probes: runs of `linear_probe_study`.
        whole: the run on all labels.
        labels: how many those are.

    Returns:
        labels, method, accuracy, low, high.
    """
    rows = [
        _accuracy_row(int(n), _METHODS[encoder], float(group["test_accuracy"].mean()), int(group["test_rows"].iloc[0]))
        for (encoder, n), group in curve.groupby(["encoder", "labels"])
    ]
    rows.append(_accuracy_row(labels, _METHODS["course"], whole.result["test_accuracy"], whole.result["test_rows"]))
    rows += [
        _accuracy_row(int(run["labels"]), "linear probe", run["test_accuracy"], run["test_rows"])
        for run in probes.to_dict("records")
    ]
    return pd.DataFrame(rows).sort_values(["method", "labels"], ignore_index=True)


def _accuracy_row(labels: int, method: str, accuracy: float, rows: int) -> dict[str, Any]:
    interval = wilson_interval(round(accuracy * rows), rows)
    return {"labels": labels, "method": method, "accuracy": accuracy, "low": interval.low, "high": interval.high}
