"""The course's default defence, and studies that hold defences against attacks; each is a stored run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_lib import corpora, experiments, machine
from course_lib.attacks import recipe as attack_recipe
from course_lib.classifier import TextClassifier
from course_lib.defenses.adversarial import FGM
from course_lib.defenses.reading import Corrected
from course_lib.defenses.smoothing import Smoothed
from course_lib.defenses.spelling import english_spelling
from course_lib.defenses.substitution import WordSubstitution
from course_lib.finetuning import finetune, finetune_cost
from course_lib.finetuning import recipe as finetuning_recipe
from course_lib.training import TrainingConfig

EPOCHS = 1  # over the rewritten texts, after the usual two
LEARNING_RATE = 5e-5
CONTINUED_ROWS = 2000  # on which training in embedding space goes on in the study


def defend(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: the default defence with `seed`; saves a `Corrected` under `defended`.

    The fine-tuned model of that seed goes on for an epoch on texts that `WordSubstitution` rewrites against it, behind
    a `Spelling` that corrects what it reads.
    """
    started = time.perf_counter()
    classifier = TextClassifier.from_pretrained(usual_run(config["seed"]).folder / "model")
    loaded = time.perf_counter() - started
    frame = corpora.part("movie_reviews", "train")
    spelling = english_spelling(frame["text"].tolist())
    texts = spelling.correct(frame["text"].tolist())
    adversary = WordSubstitution(texts, classifier.tokenizer_, spelling, seed=config["seed"])
    training = TrainingConfig(epochs=EPOCHS, learning_rate=LEARNING_RATE, seed=config["seed"])
    classifier.set_params(training=training, warm_start=True)
    soft = corpora.soft_labels(frame["rating"].to_numpy(), finetuning_recipe("default").sharpness)
    classifier.fit(texts, frame["label"].to_numpy(), soft_labels=soft, adversary=adversary)
    Corrected(classifier, spelling).save(folder / "defended")
    return {"adversarial_seconds": time.perf_counter() - started - loaded}


def usual_run(seed: int, show: bool = False) -> experiments.Run:
    config = {"data": "movie_reviews", "recipe": "default", "seed": seed}
    return experiments.run(finetune, config, cost=lambda: finetune_cost(config), show=show)


def defence_cost(config: dict[str, Any]) -> machine.Cost:
    """What `defend` takes here when the usual model is there: a forward and a backward pass to the inputs more."""
    texts = corpora.part("movie_reviews", "train")["text"].tolist()
    classifier = TextClassifier(training=TrainingConfig(epochs=EPOCHS))
    return classifier.fit_cost(texts) * 1.7


def defence_run(seed: int = 0, show: bool = True) -> experiments.Run:
    """The default defence of a seed, made at its first use; the model is in `folder / "defended"`."""
    config = {"seed": seed}
    usual_run(seed, show)
    return experiments.run(defend, config, cost=lambda: defence_cost(config), show=show)


def defended(seed: int = 0) -> Corrected:
    """The classifier that the default defence made."""
    return Corrected.from_pretrained(defence_run(seed).folder / "defended")


def _undefended(seed: int) -> Any:
    return TextClassifier.from_pretrained(usual_run(seed).folder / "model")


def _spelling_only(seed: int) -> Any:
    train = corpora.part("movie_reviews", "train")["text"].tolist()
    return Corrected(_undefended(seed), english_spelling(train))


def _fgm(seed: int) -> Any:
    """The usual model, one epoch more on some of its sentences with steps in embedding space."""
    classifier, frame = _undefended(seed), corpora.part("movie_reviews", "train", CONTINUED_ROWS)
    classifier.set_params(training=TrainingConfig(epochs=1, learning_rate=LEARNING_RATE, seed=seed), warm_start=True)
    soft = corpora.soft_labels(frame["rating"].to_numpy(), finetuning_recipe("default").sharpness)
    classifier.fit(frame["text"].tolist(), frame["label"].to_numpy(), soft_labels=soft, adversary=FGM())
    return classifier


DEFENCES: dict[str, Callable[[int], Any]] = {
    "none": _undefended,
    "steps in embedding space": _fgm,
    "masked copies": lambda seed: Smoothed(_undefended(seed), samples=8, seed=seed),
    "spelling": _spelling_only,
    "spelling and words": lambda seed: defended(seed),
}


def defence_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: one defence under attacks. `config`: `defence` (of DEFENCES), `attacks`, `n` test sentences, `seed`.

    Each attack is run anew against the whole of the defended classifier, corrections and noise included.
    """
    started = time.perf_counter()
    classifier = DEFENCES[config["defence"]](config["seed"])
    made = time.perf_counter() - started
    test = corpora.part("movie_reviews", "test")
    started = time.perf_counter()
    right = classifier.predict(test["text"].tolist()) == test["label"].to_numpy()
    seconds = time.perf_counter() - started
    attacked = test.head(config["n"])
    under, queries = {}, {}
    for name in config["attacks"]:
        report = attack_recipe(name).run(
            classifier, attacked["text"].tolist(), attacked["label"].to_numpy(), config["seed"]
        )
        under[name], queries[name] = report.accuracy_under_attack, report.queries_per_text
    return {
        "clean_accuracy": float(np.mean(right)), "test_rows": len(test), "under": under, "queries": queries,
        "seconds_a_text": seconds / len(test), "making_seconds": made,
    }  # fmt: skip


def as_defences(runs: Sequence[experiments.Run]) -> pd.DataFrame:
    """Runs of `defence_study` as rows: defence, seed, attack (`none` is the whole test part), accuracy, queries, n."""
    rows = []
    for run in runs:
        head = {"defence": run.config["defence"], "seed": run.config["seed"]}
        rows.append({**head, "attack": "none", "accuracy": run.result["clean_accuracy"], "queries": np.nan,
                     "n": run.result["test_rows"]})  # fmt: skip
        for name, accuracy in run.result["under"].items():
            rows.append({**head, "attack": name, "accuracy": accuracy, "queries": run.result["queries"][name],
                         "n": run.config["n"]})  # fmt: skip
    return pd.DataFrame(rows)
