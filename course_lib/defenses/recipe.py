"""The course's default defence: texts are normalised, and the model was trained on rewritten words."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_lib import corpora
from course_lib.attacks.studies import DATA
from course_lib.classifier import LossWrapper, TextClassifier
from course_lib.defenses.ensembles import fused
from course_lib.defenses.preprocessing import CommonWords, NormalizedClassifier, TextNormalizer
from course_lib.defenses.spelling import english_spelling
from course_lib.defenses.substitution import WordSubstitution
from course_lib.experiments import experiment
from course_lib.finetuning import SENTIMENT, finetune
from course_lib.finetuning import recipe as finetuning_recipe
from course_lib.training import TrainingConfig

# Chosen on the validation part. The adversarial epoch costs 1.5 times a usual one.
TRAINING = TrainingConfig(epochs=1, learning_rate=1e-4)
REWRITTEN = {"typos": 3, "most_words": 0.9, "clean": 0.3, "steepest": 0.7}
COMMON = 100  # a word that occurs so often in the training texts stays
USUAL, ADVERSARIAL = 2, 3  # parts of the two models' weights in the fused one
SHIPPED = "defended"  # the default defense of seed 0, under data/checkpoints


@experiment(
    "defend",
    cost=lambda config: 1.0,
    tolerance={"test_accuracy": 0.015, "adversarial_seconds": np.inf, "training_seconds": np.inf},
    data=(*DATA, "speeches", "wordnet"),
)
def defend(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: the default defense with `seed`; saves a `NormalizedClassifier` under `defended`.

    Spelling is corrected and rare words are replaced by common ones. The fine-tuned model of that seed is trained for
    one more epoch on texts that `WordSubstitution` rewrites against it; then its weights are averaged with those from
    before, which restores most of the accuracy that this epoch costs (Wortsman et al. 2022, arXiv:2109.01903).
    """
    usual, started = undefended(config["seed"]), time.perf_counter()
    frame = corpora.part("movie_reviews", "train")
    normalizer = task_normalizer(frame["text"].tolist())
    texts = normalizer.normalize(frame["text"].tolist())
    wrapper = WordSubstitution(texts, usual.tokenizer_, normalizer, seed=config["seed"], **REWRITTEN)  # type: ignore[arg-type]
    adversarial = continued(usual, frame.assign(text=texts), wrapper, config["seed"])
    classifier = NormalizedClassifier(fused([usual] * USUAL + [adversarial] * ADVERSARIAL), normalizer)
    classifier.save(folder / "defended")
    seconds = time.perf_counter() - started
    test = corpora.part("movie_reviews", "test")
    accuracy = classifier.score(test["text"].tolist(), test["label"].to_numpy())
    before = finetune.run(SENTIMENT | {"seed": config["seed"]}, show=False).result["training_seconds"]
    return {"test_accuracy": accuracy, "adversarial_seconds": seconds, "training_seconds": before + seconds}


def task_normalizer(texts: Sequence[str]) -> TextNormalizer:
    """Spelling and common words, counted in the task's training texts."""
    return TextNormalizer(english_spelling(texts), CommonWords.of(texts, COMMON))


def continued(classifier: TextClassifier, frame: pd.DataFrame, wrapper: LossWrapper, seed: int) -> TextClassifier:
    """A copy of the classifier, trained for one more epoch with a loss wrapper on a frame of text, label and rating."""
    copied = copy.deepcopy(classifier)
    copied.set_params(training=replace(TRAINING, seed=seed), warm_start=True)
    soft = corpora.soft_labels(frame["rating"].to_numpy(), finetuning_recipe("default").sharpness)
    return copied.fit(frame["text"].tolist(), frame["label"].to_numpy(), soft_labels=soft, loss_wrapper=wrapper)


def defended(seed: int = 0) -> NormalizedClassifier:
    """The classifier that the default defense makes; that of seed 0 ships with the course, others are computed."""
    if seed:
        return NormalizedClassifier.from_pretrained(defend.run({"seed": seed}, files=True).file("defended"))
    texts = corpora.part("movie_reviews", "train")["text"].tolist()
    return NormalizedClassifier(TextClassifier.from_pretrained(SHIPPED), task_normalizer(texts))


def undefended(seed: int = 0) -> TextClassifier:
    """The usual fine-tuned model; that of seed 0 ships with the course, others are computed."""
    if seed:
        run = finetune.run(SENTIMENT | {"seed": seed}, files=True)
        return TextClassifier.from_pretrained(run.file("model"))
    return TextClassifier.from_pretrained("sentiment")


def load(model: str | Path) -> TextClassifier | NormalizedClassifier:
    """A saved classifier, normalised where it was saved so; arguments and errors as `from_pretrained`.

    `defended` is the course's default defense.
    """
    if model == SHIPPED:
        return defended()
    return (NormalizedClassifier if NormalizedClassifier.is_saved(model) else TextClassifier).from_pretrained(model)
