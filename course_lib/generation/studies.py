"""The same task by prompt, by frozen embeddings, by LoRA on the decoder and by a fine-tuned BERT, measured.

Times are core-seconds: computing time of the process, summed over the processor's cores. Other programs that run at the
same time lengthen them, up to twofold, so compare two methods by their ratio.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from course_lib import corpora, machine
from course_lib.classifier import TextClassifier, sentence_vectors
from course_lib.errors import BadInput
from course_lib.evaluation import paired_bootstrap, wilson_interval
from course_lib.experiments import Run, experiment
from course_lib.finetuning import recipe
from course_lib.finetuning.recipes import estimator
from course_lib.finetuning.studies import epochs_for
from course_lib.generation.finetuning import PROMPT, TRAINING, DecoderClassifier, decoder_embeddings
from course_lib.generation.pretrained import CausalLM
from course_lib.generation.scoring import PromptClassifier

_DATA = ("smollm2", "course_encoder", "sentiment_ratings")
_CORPUS = "movie_reviews"
TEST_ROWS = 1000
VALIDATION_ROWS = 200
CALIBRATION_ROWS = 100
SHOTS = 8
MIDDLE_LAYERS = {18: "mean", 22: "last"}  # of 30
_WITH_LABELS = f"{CALIBRATION_ROWS} labels"
Predict = Callable[[list[str]], dict[str, NDArray[Any]]]  # texts -> the predicted labels, by calibration

# What the user's message says, and the answers for negative and positive.
WORDINGS: dict[str, tuple[str, str, str]] = {
    "question, then review": (
        "Is the sentiment of this movie review positive or negative? Answer with one word.\n\nReview: {text}",
        "negative", "positive",
    ),
    "review, then question": (
        "Review: {text}\nIs this review positive or negative?",
        "Negative", "Positive",
    ),
    "yes or no": (
        "{text}\n\nDid the writer like the movie? Answer yes or no.",
        "no", "yes",
    ),
    "one word": (
        "Classify the movie review as negative or positive.\n\nReview: {text}\n\nSentiment:",
        "negative", "positive",
    ),
}  # fmt: skip
WORDING = "question, then review"  # chosen on validation sentences, by `prompt_study`


def prompt_classifier(lm: CausalLM, wording: str = WORDING, shots: int = 0) -> PromptClassifier:
    """A prompt for the sentiment of movie sentences.

    Args:
        lm: the model.
        wording: a key of `WORDINGS`.
        shots: examples that are shown before the text, the first training sentences, in turn negative and positive.

    Raises:
        BadInput: an unknown wording.
    """
    if wording not in WORDINGS:
        raise BadInput(f"the wording is {wording!r}", f"use one of {list(WORDINGS)}")
    instruction, negative, positive = WORDINGS[wording]
    return PromptClassifier(lm, instruction, {0: negative, 1: positive}, _examples(shots))


def _examples(shots: int) -> list[tuple[str, int]]:
    frame = corpora.part(_CORPUS, "train", limit=200)
    texts = [frame["text"][frame["label"] == label].tolist() for label in (0, 1)]
    return [(texts[number % 2][number // 2], number % 2) for number in range(shots)]


def _calibration_rows() -> pd.DataFrame:
    """Training sentences that no few-shot prompt shows, as many of each class: a fitted bias learns their balance."""
    frame = corpora.part(_CORPUS, "train", limit=600)[200:]
    return frame.groupby("label").head(CALIBRATION_ROWS // 2)


# ---- the wording of a prompt -------------------------------------------------------------------------------------


def _prompt_rows(runs: Sequence[Run]) -> pd.DataFrame:
    """wording, shots, calibration, accuracy, low, high; `positive` is the fraction of sentences called positive."""
    rows = [{**run.config, **row, **_accuracy(row["right"])} for run in runs for row in run.result["rows"]]
    return pd.DataFrame(rows).drop(columns="right")


@experiment(
    "prompt_study",
    cost=lambda config: 1 + config["shots"] / 8,
    table=_prompt_rows,
    tolerance=dict.fromkeys(("accuracy", "low", "high", "positive"), 0.02),
    data=_DATA,
)
def prompt_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Validation accuracy of one prompt with three calibrations: none, without labels, and with 100 labels.

    `config`: `wording` (a key of `WORDINGS`) and `shots` (0 is zero-shot). The sentences that calibrate are others than
    those that are measured. `right` has 1 for each sentence whose label was found.
    """
    held_out = corpora.part(_CORPUS, "validation", limit=VALIDATION_ROWS)
    classifier = prompt_classifier(CausalLM.from_pretrained(), config["wording"], config["shots"])
    predictions = _calibrated(classifier)(held_out["text"].tolist())
    rows = [
        {"calibration": name, "right": _right(predicted, held_out), "positive": float(predicted.mean())}
        for name, predicted in predictions.items()
    ]
    return {"rows": rows}


def _calibrated(classifier: PromptClassifier) -> Predict:
    """Predicts three times from the same scores: with the calibrations that are the keys of what it returns."""
    frame = _calibration_rows()
    texts, labels = frame["text"].tolist(), frame["label"].to_numpy()
    settings = {"none": (classifier.scale, classifier.bias)}
    for name, known in (("without labels", None), (_WITH_LABELS, labels)):
        classifier.calibrate(texts, known)
        settings[name] = (classifier.scale, classifier.bias)

    def predict(test: list[str]) -> dict[str, NDArray[Any]]:
        scores = log_softmax(classifier.answer_scores(test), axis=1)
        return {name: (scale * scores + bias).argmax(1) for name, (scale, bias) in settings.items()}

    return predict


def _right(predicted: NDArray[Any], frame: pd.DataFrame) -> list[int]:
    found: list[int] = (predicted == frame["label"].to_numpy()).astype(int).tolist()
    return found


PROMPT_RUNS = [{"wording": wording, "shots": shots} for wording in WORDINGS for shots in (0, SHOTS)]


# ---- the comparison ----------------------------------------------------------------------------------------------

Fitted = tuple[Predict, int]  # and how many weights were trained


def _prompt(frame: pd.DataFrame, seed: int, shots: int) -> Fitted:
    return _calibrated(prompt_classifier(CausalLM.from_pretrained(), shots=shots)), 0


def _plain(classifier: Any) -> Predict:
    return lambda texts: {"none": classifier.predict(texts)}


# Layers, poolings and the inverse strengths C of the penalty were chosen on training and validation sentences.
def _probe(frame: pd.DataFrame, vectors: Callable[[list[str]], NDArray[np.float32]], strength: float) -> Fitted:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
    model.fit(vectors(frame["text"].tolist()), frame["label"])
    return lambda texts: {"none": np.asarray(model.predict(vectors(texts)))}, model[-1].coef_.size + 1


def _decoder_probe(
    frame: pd.DataFrame,
    seed: int,
    prompt: str = "{text}",
    pooling: str | Mapping[int, str] = "last",
    strength: float = 0.01,
) -> Fitted:
    lm = CausalLM.from_pretrained()

    def vectors(texts: list[str]) -> NDArray[np.float32]:
        return decoder_embeddings(lm, [prompt.replace("{text}", text) for text in texts], pooling)

    return _probe(frame, vectors, strength)


def _encoder_probe(frame: pd.DataFrame, seed: int) -> Fitted:
    return _probe(frame, sentence_vectors, 0.001)


def _lora(frame: pd.DataFrame, seed: int) -> Fitted:
    classifier = DecoderClassifier(CausalLM.from_pretrained(), training=replace(TRAINING, seed=seed))
    _fit(classifier, frame)
    return _plain(classifier), classifier.trained_weights_


def _bert(frame: pd.DataFrame, seed: int) -> Fitted:
    classifier = estimator(recipe("default"), seed)
    training = recipe("default").training
    classifier.training = replace(training, seed=seed, epochs=epochs_for(len(frame), training.batch_size))
    _fit(classifier, frame)
    return _plain(classifier), classifier.trained_weights_


def _fit(classifier: Any, frame: pd.DataFrame) -> None:
    """Trains on soft labels of the ratings, as the course's recipes do."""
    soft = corpora.soft_labels(frame["rating"].to_numpy(), recipe("default").sharpness)
    classifier.fit(frame["text"].tolist(), frame["label"].to_numpy(), soft_labels=soft)


def _shipped(frame: pd.DataFrame, seed: int) -> Fitted:
    return _plain(TextClassifier.from_pretrained("sentiment")), 0


# Method -> a function of the labelled sentences and the seed.
METHODS: dict[str, Callable[[pd.DataFrame, int], Fitted]] = {
    "zero-shot prompt": partial(_prompt, shots=0),
    "few-shot prompt": partial(_prompt, shots=SHOTS),
    "linear probe of the decoder": _decoder_probe,
    "linear probe, with a prompt": partial(_decoder_probe, prompt=PROMPT),
    "linear probe of middle layers": partial(_decoder_probe, prompt=PROMPT, pooling=MIDDLE_LAYERS, strength=0.001),
    "linear probe of the encoder": _encoder_probe,
    "LoRA on the decoder": _lora,
    "fine-tuned BERT": _bert,
    "fine-tuned BERT, shipped": _shipped,
}
_REFERENCE = ("fine-tuned BERT", "none", 2000)  # with which the others are compared


def _measured(runs: Sequence[Run]) -> pd.DataFrame:
    """A row for each run and calibration, with the configuration and all that was measured."""
    rows = []
    for run in runs:
        for name, right in run.result["right"].items():
            labels = run.config["labels"] + (CALIBRATION_ROWS if name == _WITH_LABELS else 0)
            rows.append({**run.config, **run.result, "labels": labels, "calibration": name, "right": right})
    table = pd.DataFrame(rows)
    return table.assign(accuracy=table["right"].map(np.mean))


def _without_lists(runs: Sequence[Run]) -> pd.DataFrame:
    return _measured(runs).drop(columns="right")


@experiment(
    "decoder_study",
    cost=lambda config: TEST_ROWS * (1 if "BERT" in config["method"] else 8) + config["labels"] * 10,
    table=_without_lists,
    tolerance={
        "accuracy": 0.03,  # 100 labels: another processor's rounding moves it like another seed
        **dict.fromkeys(("train_core_seconds", "core_seconds_per_1000", "peak_bytes"), np.inf),
    },
    data=_DATA,
)
def decoder_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One method on the first 1,000 movie test sentences.

    `config`: `method` (a key of `METHODS`), `labels` (how many labelled sentences it is given) and `seed`. A prompt is
    measured with three calibrations; one of them is given 100 more labels. `right` has 1 for each sentence whose label
    was found, for paired comparisons. `peak_bytes` is the highest memory use of the process, libraries included.
    Loading the model and calibrating a prompt count as training time.
    """
    frame = corpora.part(_CORPUS, "train", limit=max(1, config["labels"]))
    test = corpora.part(_CORPUS, "test", limit=TEST_ROWS)
    with machine.PeakMemory() as peak:
        started = time.process_time()
        predict, weights = METHODS[config["method"]](frame, config["seed"])
        trained = time.process_time()
        predictions = predict(test["text"].tolist())
        predicted = time.process_time()
    return {
        "trained_weights": weights,
        "train_core_seconds": trained - started,
        "core_seconds_per_1000": (predicted - trained) * 1000 / len(test),
        "peak_bytes": peak.bytes,
        "right": {name: _right(predicted, test) for name, predicted in predictions.items()},
    }


DECODER_RUNS: list[dict[str, Any]] = [
    {"method": method, "labels": labels, "seed": seed}
    for method, labels, seeds in (
        ("zero-shot prompt", 0, 1),
        ("few-shot prompt", SHOTS, 1),
        ("linear probe of the decoder", 2000, 1),
        ("linear probe, with a prompt", 2000, 1),
        ("linear probe of middle layers", 2000, 1),
        ("linear probe of middle layers", 7918, 1),
        ("linear probe of the encoder", 2000, 1),
        ("LoRA on the decoder", 2000, 2),
        ("fine-tuned BERT", 100, 1),
        ("fine-tuned BERT", 400, 1),
        ("fine-tuned BERT", 2000, 2),
        ("fine-tuned BERT, shipped", 7918, 1),
    )
    for seed in range(seeds)
]


def decoder_table(runs: Sequence[Run], price_per_hour: float = 0.10, cores: int = 2) -> pd.DataFrame:
    """A row for each method and number of labels; seeds are averaged.

    Args:
        runs: of `decoder_study`.
        price_per_hour: of a machine, in any currency: an assumption, so give your own.
        cores: of that machine; all of them predict.

    Returns:
        method, calibration, labels, seeds; accuracy with its 95 % interval (Wilson); `difference`: accuracy minus that
        of BERT fine-tuned on 2,000 labels, with the 95 % interval of the paired bootstrap (left out without that run);
        trained_weights; train_core_seconds; core_seconds_per_1000 and money_per_million sentences; peak_mb of memory.

    Raises:
        BadInput: no runs, or a price or number of cores that is not positive.
    """
    if not runs or not (price_per_hour > 0 and cores > 0):
        raise BadInput(
            f"{len(runs)} runs, price_per_hour {price_per_hour}, cores {cores}", "give runs, and numbers > 0"
        )
    money = 1000 * price_per_hour / (3600 * cores)  # a million sentences, for one core-second per 1,000
    keys = ["method", "calibration", "labels"]
    groups = {key: group for key, group in _measured(runs).groupby(keys, sort=False)}
    right = {key: np.mean(group["right"].tolist(), axis=0) for key, group in groups.items()}
    rows = []
    for key, group in groups.items():
        means = group[["trained_weights", "train_core_seconds", "core_seconds_per_1000", "peak_bytes"]].mean()
        row = {**dict(zip(keys, key, strict=True)), "seeds": len(group), **_accuracy(right[key])}
        if _REFERENCE in right:
            gap = paired_bootstrap(right[key], right[_REFERENCE])
            row |= {"difference": gap.estimate, "difference_low": gap.low, "difference_high": gap.high}
        paid = means["core_seconds_per_1000"] * money
        rows.append(
            {**row, **means.drop("peak_bytes"), "money_per_million": paid, "peak_mb": means["peak_bytes"] / 1e6}
        )
    return pd.DataFrame(rows)


def _accuracy(right: Any) -> dict[str, float]:
    interval = wilson_interval(round(float(np.sum(right))), len(right))
    return {"accuracy": float(np.mean(right)), "low": interval.low, "high": interval.high}
