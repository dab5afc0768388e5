"""Studies that measure defenses under attack and their costs; each is a stored run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from course_lib import corpora, machine
from course_lib.attacks import recipe as attack_recipe
from course_lib.attacks.attack import Attack
from course_lib.attacks.goals import ConfidenceReduction
from course_lib.attacks.report import AttackReport
from course_lib.attacks.studies import DATA
from course_lib.defenses.adversarial import FGM
from course_lib.defenses.preprocessing import NormalizedClassifier, TextNormalizer
from course_lib.defenses.recipe import continued, defend, defended, undefended
from course_lib.defenses.smoothing import Smoothed
from course_lib.defenses.spelling import english_spelling
from course_lib.experiments import Run, experiment
from course_lib.finetuning import SENTIMENT, finetune

CONTINUED_ROWS = 2000  # on which training in embedding space goes on
TIMED = 100  # sentences whose predictions are timed
FRESH = 1000  # added to a seed for noise that the attacker has not seen
TIMES, BELOW = 4, 0.35  # draws that the stronger attacker averages over, and the probability at which they stop
CONTINUED = "steps in embedding space"
DEFAULT_DEFENSE = "reading and words"


# ---- defenses side by side ---------------------------------------------------------------------------------------


def _continued(seed: int) -> Any:
    """The usual model, one epoch more on some of its sentences with steps in embedding space."""
    return continued(undefended(seed), corpora.part("movie_reviews", "train", CONTINUED_ROWS), FGM(), seed)


def _spelling_only(seed: int) -> Any:
    train = corpora.part("movie_reviews", "train")["text"].tolist()
    return NormalizedClassifier(undefended(seed), TextNormalizer(english_spelling(train)))


DEFENSES: dict[str, Callable[[int], Any]] = {
    "none": undefended,
    CONTINUED: _continued,
    "masked copies": lambda seed: Smoothed(undefended(seed), samples=4, seed=seed),
    "spelling": _spelling_only,
    DEFAULT_DEFENSE: lambda seed: defended(seed),
}
_WORK = {"masked copies": 20.0, DEFAULT_DEFENSE: 1.5}  # over that of the undefended model


def _accuracies(runs: Sequence[Run]) -> pd.DataFrame:
    """Rows of attacks: `defence`, seed, attack (`none` is the whole test part), accuracy, queries, n."""
    rows = []
    for run in runs:
        head, found = {"defence": run.config["defence"], "seed": run.config["seed"]}, run.result
        attacks = {"none": (found["clean_accuracy"], np.nan, found["test_rows"])}
        attacks |= {name: (found["under"][name], found["queries"][name], run.config["n"]) for name in found["under"]}
        for name, (accuracy, queries, n) in attacks.items():
            rows.append({**head, "attack": name, "accuracy": accuracy, "queries": queries, "n": n})
    return pd.DataFrame(rows)


@experiment(
    "defense_study",
    cost=lambda config: config["n"] * len(config["attacks"]) * _WORK.get(config["defence"], 1.0),
    table=_accuracies,
    tolerance={"accuracy": 0.1, "queries": 10.0},  # of 40 sentences
    data=(*DATA, "defended", "speeches", "wordnet"),
)
def defense_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: one defense under attacks. `config`: `defence` (of DEFENSES), `attacks`, `n` test sentences, `seed`.

    Each attack is run against the whole of the defended classifier, corrections and noise included; a random one is
    judged by fresh noise (`attacked_fairly`). `times_as_long` is a prediction's time over the undefended model's.
    """
    started = time.perf_counter()
    classifier = DEFENSES[config["defence"]](config["seed"])
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
        "times_as_long": times_as_long(classifier, undefended(config["seed"]), test["text"].head(TIMED).tolist()),
    }  # fmt: skip


def _attacked(classifier: Any, name: str, frame: pd.DataFrame, seed: int) -> tuple[float, float]:
    """(accuracy under this attack, queries a text)."""
    texts, labels = frame["text"].tolist(), frame["label"].to_numpy()
    if isinstance(classifier, Smoothed):
        return attacked_fairly(classifier, attack_recipe(name), texts, labels, seed)
    report = attack_recipe(name).run(classifier, texts, labels, seed)
    return report.accuracy_under_attack, report.queries_per_text


def times_as_long(classifier: Any, usual: Any, texts: list[str], rounds: int = 5) -> float:
    """Time of these predictions over another classifier's: both in turn, a round to warm up, then the median ratio."""
    ratios = []
    for _ in range(rounds + 1):
        with machine.stopwatch() as mine:
            classifier.predict(texts)
        with machine.stopwatch() as theirs:
            usual.predict(texts)
        ratios.append(mine[0] / theirs[0])
    return float(np.median(ratios[1:]))


def as_costs(runs: Sequence[Run]) -> pd.DataFrame:
    """Runs of `defense_study` as rows: `defence`, accuracy (of the test part), training, inference.

    The last two are multiples of the undefended model's time for training and for a prediction. A defense that trains
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
    if run.config["defence"] == DEFAULT_DEFENSE:  # its study only loads the model
        return float(defend.run({"seed": seed}, show=False).result["training_seconds"]) / usual
    if run.config["defence"] != CONTINUED:
        return 1.0
    return (usual + float(run.result["making_seconds"])) / usual


# ---- a random defense under attack: what the attacker gains by knowing its noise (Athalye et al. 2018, 1802.00420) ---


@experiment(
    "noise_study",
    cost=lambda config: config["n"] * config["samples"] * (1 + config["times"]),
    tolerance={"accuracy": 0.13, "known_noise": 0.2, "fresh_noise": 0.2, "expectation": 0.2},  # of 16 sentences
    data=DATA,
)
def noise_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: masked copies of the sentiment model, attacked in two ways and judged by noise of both kinds.

    `config`: `recipe`, `n` test sentences, `samples` (copies that the defence predicts on), `times` (draws that the
    stronger attacker averages over), `below` (the probability of the true class at which they stop: at 0.5 other noise
    would restore half of their texts), `seed`.

    Returns:
        accuracy without an attack; accuracy under the attack of one who queries the defense with the same noise that
        later judges (`known_noise`); of the same texts under other noise (`fresh_noise`); of texts made against the
        expectation, under that other noise (`expectation`). Queries of both attacks, each of `samples` copies and of
        `samples * times`.
    """
    test = corpora.part("movie_reviews", "test", config["n"])
    texts, labels = test["text"].tolist(), test["label"].to_numpy()
    defence = Smoothed(undefended(), samples=config["samples"], seed=config["seed"])
    judge = defence.reseeded(FRESH + config["seed"])
    attack = attack_recipe(config["recipe"])
    weak, strong = _attacks_on_noise(defence, attack, texts, labels, config["seed"], config["times"], config["below"])
    return {
        "accuracy": float(np.mean(judge.predict(texts) == labels)),
        "known_noise": weak.accuracy_under_attack,
        "fresh_noise": judged(judge, weak),
        "expectation": judged(judge, strong),
        "queries": {"defence": weak.queries_per_text, "expectation": strong.queries_per_text},
    }


def attacked_fairly(
    defence: Smoothed, attack: Attack, texts: Sequence[str], labels: NDArray[Any], seed: int
) -> tuple[float, float]:
    """Accuracy under attack of a random defense, and the attack's queries per text.

    The attacker who queries the defense itself and the one who queries its expectation are both judged by noise that
    neither has seen; the lower accuracy counts.
    """
    judge = defence.reseeded(FRESH + seed)
    reports = _attacks_on_noise(defence, attack, texts, labels, seed, TIMES, BELOW)
    return min((judged(judge, report), report.queries_per_text) for report in reports)


def _attacks_on_noise(
    defence: Smoothed, attack: Attack, texts: Sequence[str], labels: NDArray[Any], seed: int, times: int, below: float
) -> tuple[AttackReport, AttackReport]:
    """Reports of the attack on the defense itself, and of a stronger one on its expectation."""
    stronger = replace(attack, goal=ConfidenceReduction(below))
    weak = attack.run(defence, texts, labels, seed)
    return weak, stronger.run(defence.expected(times, seed), texts, labels, seed)


def judged(judge: Smoothed, report: AttackReport) -> float:
    """Fraction of sentences that the judge has right as they are and as the attack left them."""
    labels = np.array([result.label for result in report.results])
    before, after = (
        np.asarray(judge.predict([getattr(result, name) for result in report.results]))
        for name in ("text", "adversarial")
    )
    return float(np.mean((before == labels) & (after == labels)))
