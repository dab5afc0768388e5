"""A random defence under attack: what knowing its noise is worth to the attacker (Athalye et al. 2018, 1802.00420)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib import corpora
from course_lib.attacks.engine import Attack
from course_lib.attacks.goals import ConfidenceReduction
from course_lib.attacks.recipes import recipe
from course_lib.attacks.report import AttackReport
from course_lib.attacks.studies import DATA
from course_lib.classifier import TextClassifier
from course_lib.defenses.smoothing import Smoothed
from course_lib.experiments import experiment

FRESH = 1000  # added to a seed for noise that the attacker has not seen
TIMES, BELOW = 4, 0.35  # draws that the stronger attacker averages over, and the probability at which he is content


@experiment(
    "noise_study",
    cost=lambda config: config["n"] * config["samples"] * (1 + config["times"]),
    tolerance={"accuracy": 0.13, "known_noise": 0.2, "fresh_noise": 0.2, "expectation": 0.2},  # of 16 sentences
    data=DATA,
)
def noise_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Experiment: masked copies of the sentiment model, attacked in two ways and judged by noise of both kinds.

    `config`: `recipe`, `n` test sentences, `samples` (copies that the defence asks), `times` (draws that the stronger
    attacker averages over), `below` (the probability of the true class at which he is content: at 0.5 other noise would
    give half of his texts back), `seed`.

    Returns:
        accuracy without an attack; accuracy under attack of one who asks the defence with the very noise that later
        judges (`known_noise`); of the same texts under other noise (`fresh_noise`); of texts made against the
        expectation, under that other noise (`expectation`). Queries of both attacks, each of `samples` copies and of
        `samples * times`.
    """
    test = corpora.part("movie_reviews", "test", config["n"])
    texts, labels = test["text"].tolist(), test["label"].to_numpy()
    defence = Smoothed(TextClassifier.from_pretrained("sentiment"), samples=config["samples"], seed=config["seed"])
    judge, stronger = defence.reseeded(FRESH + config["seed"]), defence.expected(config["times"], config["seed"])
    attack = recipe(config["recipe"])
    surer = replace(attack, goal=ConfidenceReduction(config["below"]))
    weak = attack.run(defence, texts, labels, config["seed"])
    strong = surer.run(stronger, texts, labels, config["seed"])
    return {
        "accuracy": float(np.mean(judge.predict(texts) == labels)),
        "known_noise": weak.accuracy_under_attack,
        "fresh_noise": judged(judge, weak),
        "expectation": judged(judge, strong),
        "queries": {"defence": weak.queries_per_text, "expectation": strong.queries_per_text},
    }


def fairly_attacked(
    defence: Smoothed, attack: Attack, texts: Sequence[str], labels: NDArray[Any], seed: int
) -> tuple[float, float]:
    """Accuracy under attack of a random defence, and the attack's queries per text.

    The attacker who asks the defence itself and the one who asks its expectation are both judged by noise that neither
    has seen; the lower accuracy counts.
    """
    surer = replace(attack, goal=ConfidenceReduction(BELOW))
    attacked = attack.run(defence, texts, labels, seed), surer.run(defence.expected(TIMES, seed), texts, labels, seed)
    judge = defence.reseeded(FRESH + seed)
    return min((judged(judge, report), report.queries_per_text) for report in attacked)


def judged(judge: Smoothed, report: AttackReport) -> float:
    """Share of sentences that the judge has right as they are and as the attack left them."""
    labels = np.array([result.label for result in report.results])
    before, after = (
        np.asarray(judge.predict([getattr(result, name) for result in report.results]))
        for name in ("text", "adversarial")
    )
    return float(np.mean((before == labels) & (after == labels)))
