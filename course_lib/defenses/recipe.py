"""The course's default defence, and studies that hold defences against attacks; each is a stored run."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from course_lib import corpora, machine
from course_lib.attacks import recipe as attack_recipe
from course_lib.attacks.studies import DATA
from course_lib.classifier import TextClassifier
from course_lib.defenses.adversarial import FGM
from course_lib.defenses.ensembles import fused
from course_lib.defenses.noise import fairly_attacked
from course_lib.defenses.reading import CommonWords, Corrected, Reading
from course_lib.defenses.smoothing import Smoothed
from course_lib.defenses.spelling import english_spelling
from course_lib.defenses.substitution import WordSubstitution
from course_lib.experiments import Run, experiment
from course_lib.finetuning import SENTIMENT, finetune
from course_lib.finetuning import recipe as finetuning_recipe
from course_lib.training import TrainingConfig

# Chosen on the validation part. The adversarial epoch costs 1.5 times a usual one.
TRAINING = TrainingConfig(epochs=1, learning_rate=1e-4)
REWRITTEN = {"typos": 3, "most_words": 0.9, "clean": 0.3, "steepest": 0.7}
COMMON = 100  # a word that the training texts hold so often is read as it is
USUAL, ADVERSARIAL = 2, 3  # parts of the two models' weights in the fused one
CONTINUED_ROWS = 2000  # on which training in embedding space goes on in the study
TIMED = 100  # sentences whose answers are timed
DEFAULT_DEFENCE = "reading and words"
SHIPPED = "defended"  # the default defence of seed 0, under data/checkpoints


@experiment(
    "defend",
    cost=lambda config: 1.0,
    tolerance={"test_accuracy": 0.015, "adversarial_seconds": np.inf, "training_seconds": np.inf},
    data=(*DATA, "speeches", "wordnet"),
)
def defend(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: the default defence with `seed`; saves a `Corrected` under `defended`.

    Texts are read with spelling corrected and rare words put in common ones. The fine-tuned model of that seed goes on
    for an epoch on texts that `WordSubstitution` rewrites against it; then its weights are averaged with those from
    before, which gives back most of the accuracy that this epoch costs (Wortsman et al. 2022, arXiv:2109.01903).
    """
    usual, started = _undefended(config["seed"]), time.perf_counter()
    frame = corpora.part("movie_reviews", "train")
    reading = plain_reading(frame["text"].tolist())
    adversarial = fit_against_words(usual, frame, reading, config["seed"])
    classifier = fused([usual] * USUAL + [adversarial] * ADVERSARIAL)
    Corrected(classifier, reading).save(folder / "defended")
    seconds = time.perf_counter() - started
    test = corpora.part("movie_reviews", "test")
    accuracy = Corrected(classifier, reading).score(test["text"].tolist(), test["label"].to_numpy())
    before = finetune.run(SENTIMENT | {"seed": config["seed"]}, show=False).result["training_seconds"]
    return {"test_accuracy": accuracy, "adversarial_seconds": seconds, "training_seconds": before + seconds}


def plain_reading(texts: Sequence[str]) -> Reading:
    """Spelling and common words, counted in the task's training texts."""
    return Reading(english_spelling(texts), CommonWords.of(texts, COMMON))


def fit_against_words(classifier: TextClassifier, frame: pd.DataFrame, reading: Reading, seed: int) -> TextClassifier:
    """A copy of the classifier that went on for an epoch on rewritten texts; `frame` holds text, label and rating."""
    texts, copied = reading.read(frame["text"].tolist()), copy.deepcopy(classifier)
    adversary = WordSubstitution(texts, copied.tokenizer_, reading, seed=seed, **REWRITTEN)  # type: ignore[arg-type]
    copied.set_params(training=replace(TRAINING, seed=seed), warm_start=True)
    soft = corpora.soft_labels(frame["rating"].to_numpy(), finetuning_recipe("default").sharpness)
    return copied.fit(texts, frame["label"].to_numpy(), soft_labels=soft, loss_wrapper=adversary)


def defended(seed: int = 0) -> Corrected:
    """The classifier that the default defence makes; that of seed 0 ships with the course, others are computed."""
    if seed:
        return Corrected.from_pretrained(defend.run({"seed": seed}, files=True).file("defended"))
    texts = corpora.part("movie_reviews", "train")["text"].tolist()
    return Corrected(TextClassifier.from_pretrained(SHIPPED), plain_reading(texts))


def load(model: str | Path) -> TextClassifier | Corrected:
    """A saved classifier, with its reading where it was saved with one; arguments and errors as `from_pretrained`.

    `defended` is the course's default defence.
    """
    if model == SHIPPED:
        return defended()
    return (Corrected if Corrected.is_saved(model) else TextClassifier).from_pretrained(model)


def _undefended(seed: int) -> TextClassifier:
    """The usual fine-tuned model; that of seed 0 ships with the course, others are computed."""
    if seed:
        run = finetune.run(SENTIMENT | {"seed": seed}, files=True)
        return TextClassifier.from_pretrained(run.file("model"))
    return TextClassifier.from_pretrained("sentiment")


def _spelling_only(seed: int) -> Any:
    train = corpora.part("movie_reviews", "train")["text"].tolist()
    return Corrected(_undefended(seed), Reading(english_spelling(train)))


_WORK = {"masked copies": 20.0, "reading and words": 1.5}  # over that of the undefended model


def _fgm(seed: int) -> Any:
    """The usual model, one epoch more on some of its sentences with steps in embedding space."""
    classifier, frame = _undefended(seed), corpora.part("movie_reviews", "train", CONTINUED_ROWS)
    classifier.set_params(training=replace(TRAINING, seed=seed), warm_start=True)
    soft = corpora.soft_labels(frame["rating"].to_numpy(), finetuning_recipe("default").sharpness)
    classifier.fit(frame["text"].tolist(), frame["label"].to_numpy(), soft_labels=soft, loss_wrapper=FGM())
    return classifier


DEFENCES: dict[str, Callable[[int], Any]] = {
    "none": _undefended,
    "steps in embedding space": _fgm,
    "masked copies": lambda seed: Smoothed(_undefended(seed), samples=4, seed=seed),
    "spelling": _spelling_only,
    DEFAULT_DEFENCE: lambda seed: defended(seed),
}


def _accuracies(runs: Sequence[Run]) -> pd.DataFrame:
    """Rows of attacks: defence, seed, attack (`none` is the whole test part), accuracy, queries, n."""
    rows = []
    for run in runs:
        head = {"defence": run.config["defence"], "seed": run.config["seed"]}
        rows.append({**head, "attack": "none", "accuracy": run.result["clean_accuracy"], "queries": np.nan,
                     "n": run.result["test_rows"]})  # fmt: skip
        for name, accuracy in run.result["under"].items():
            rows.append({**head, "attack": name, "accuracy": accuracy, "queries": run.result["queries"][name],
                         "n": run.config["n"]})  # fmt: skip
    return pd.DataFrame(rows)


@experiment(
    "defense_study",
    cost=lambda config: config["n"] * len(config["attacks"]) * _WORK.get(config["defence"], 1.0),
    table=_accuracies,
    tolerance={"accuracy": 0.1, "queries": 10.0},  # of 40 sentences
    data=(*DATA, "defended", "speeches", "wordnet"),
)
def defense_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: one defence under attacks. `config`: `defence` (of DEFENCES), `attacks`, `n` test sentences, `seed`.

    Each attack is run anew against the whole of the defended classifier, corrections and noise included; a random one
    is judged by fresh noise (`noise.fairly_attacked`). `times_as_long` is an answer's time over the undefended model's.
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
        under[name], queries[name] = _attacked(classifier, name, attacked, config["seed"])
    return {
        "clean_accuracy": float(np.mean(right)), "test_rows": len(test), "under": under, "queries": queries,
        "seconds_a_text": seconds / len(test), "making_seconds": made,
        "times_as_long": times_as_long(classifier, _undefended(config["seed"]), test["text"].head(TIMED).tolist()),
    }  # fmt: skip


def _attacked(classifier: Any, name: str, frame: pd.DataFrame, seed: int) -> tuple[float, float]:
    """(accuracy under this attack, queries a text)."""
    texts, labels = frame["text"].tolist(), frame["label"].to_numpy()
    if isinstance(classifier, Smoothed):
        return fairly_attacked(classifier, attack_recipe(name), texts, labels, seed)
    report = attack_recipe(name).run(classifier, texts, labels, seed)
    return report.accuracy_under_attack, report.queries_per_text


def times_as_long(classifier: Any, usual: Any, texts: list[str], rounds: int = 5) -> float:
    """Time for these answers over another classifier's: both in turn, a round to warm up, then the median ratio."""
    ratios = []
    for _ in range(rounds + 1):
        with machine.stopwatch() as mine:
            classifier.predict(texts)
        with machine.stopwatch() as theirs:
            usual.predict(texts)
        ratios.append(mine[0] / theirs[0])
    return float(np.median(ratios[1:]))
