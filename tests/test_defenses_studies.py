"""The study of a random defence: who judges what; and the costs of defenses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toy_classifiers

from course_lib import corpora
from course_lib.attacks import ConfidenceReduction, recipe
from course_lib.defenses import DEFAULT_DEFENSE, Smoothed, studies
from course_lib.experiments import Experiment, Run

TEXTS, LABELS = toy_classifiers.TEXTS[8:16], toy_classifiers.LABELS[8:16]
CONFIG = {"recipe": "deepwordbug", "n": 8, "samples": 3, "times": 2, "below": 0.4, "seed": 5}


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": LABELS})
    monkeypatch.setattr(corpora, "part", lambda name, split, limit=None: frame.head(limit or len(frame)))
    monkeypatch.setattr(studies, "undefended", lambda: toy_classifiers.fitted())


@pytest.mark.usefixtures("toys")
def test_each_text_is_judged_by_the_noise_that_is_said() -> None:
    found = studies.noise_study(CONFIG, Path("nowhere"))
    defence = Smoothed(toy_classifiers.fitted(), samples=3, seed=5)
    weak = recipe("deepwordbug").run(defence, TEXTS, LABELS, seed=5)
    judge, labels = Smoothed(toy_classifiers.fitted(), samples=3, seed=1005), np.array(LABELS)
    kept = (judge.predict(TEXTS) == labels) & (judge.predict([one.adversarial for one in weak.results]) == labels)
    assert found["known_noise"] == weak.accuracy_under_attack < found["accuracy"]
    assert found["fresh_noise"] == pytest.approx(kept.mean())
    assert found["fresh_noise"] <= found["accuracy"] == np.mean(judge.predict(TEXTS) == labels)
    assert found["queries"]["defence"] == weak.queries_per_text
    surer = replace(recipe("deepwordbug"), goal=ConfidenceReduction(0.4))
    strong = surer.run(Smoothed(toy_classifiers.fitted(), samples=6, seed=5), TEXTS, LABELS, seed=5)
    kept = (judge.predict(TEXTS) == labels) & (judge.predict([one.adversarial for one in strong.results]) == labels)
    assert found["expectation"] == pytest.approx(kept.mean())


@pytest.mark.usefixtures("toys")
def test_the_same_seed_gives_the_same_figures_and_another_others() -> None:
    once, again = (studies.noise_study(CONFIG, Path("nowhere")) for _ in range(2))
    other = studies.noise_study({**CONFIG, "seed": 6}, Path("nowhere"))
    assert once == again
    assert once != other


def test_more_copies_cost_more() -> None:
    cost = studies.noise_study.cost
    assert cost is not None and cost({**CONFIG, "samples": 2}) < cost({**CONFIG, "samples": 8})


@pytest.mark.usefixtures("toys")
def test_a_random_defence_is_judged_by_the_fairer_and_lower_figure() -> None:
    settings = {**CONFIG, "times": studies.TIMES, "below": studies.BELOW}
    defence, attack = Smoothed(toy_classifiers.fitted(), samples=3, seed=5), recipe("deepwordbug")
    study = studies.noise_study(settings, Path("nowhere"))
    accuracy, queries = studies.attacked_fairly(defence, attack, TEXTS, np.array(LABELS), 5)
    assert accuracy == min(study["fresh_noise"], study["expectation"])
    assert queries in study["queries"].values()


class Slow:
    """Takes so many times as long as one unit."""

    def __init__(self, times: float) -> None:
        self.times, self.asked = times, 0

    def predict(self, texts: list[str]) -> list[int]:
        self.asked += 1
        CLOCK[0] += self.times * (10.0 if self.asked == 1 else 1.0)  # the first answer warms up
        return [0] * len(texts)


CLOCK = [0.0]


def test_times_are_taken_in_turn_and_the_first_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studies.time, "perf_counter", lambda: CLOCK[0])
    slow, usual = Slow(3.0), Slow(2.0)
    assert studies.times_as_long(slow, usual, ["a", "b"], rounds=3) == pytest.approx(1.5)
    assert slow.asked == usual.asked == 4


# ---- costs -----------------------------------------------------------------------------------------------------


def study(defence: str, times_as_long: float, making: float) -> Run:
    result = {"clean_accuracy": 0.8, "times_as_long": times_as_long, "making_seconds": making}
    return Run("defense_study", {"defence": defence, "seed": 0}, result, 1.0, "stored")


def test_costs_are_multiples_of_the_undefended_models(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"training_seconds": 100.0}, {"training_seconds": 180.0}
    usual, defended = (Run("any", {}, result, 1.0, "stored") for result in made)
    asked: list[dict[str, Any]] = []
    answers = {"finetune": usual, "defend": defended}
    monkeypatch.setattr(Experiment, "run", lambda self, config, show: asked.append(config) or answers[self.name])
    runs = [study("none", 1.0, 1.0), study("masked copies", 4.0, 1.0), study("steps in embedding space", 1.0, 50.0)]
    table = studies.as_costs([*runs, study(DEFAULT_DEFENSE, 1.1, 3.0)])
    assert table["defence"].tolist() == ["none", "masked copies", "steps in embedding space", DEFAULT_DEFENSE]
    assert table["training"].tolist() == pytest.approx([1.0, 1.0, 1.5, 1.8])
    assert table["inference"].tolist() == pytest.approx([1.0, 4.0, 1.0, 1.1])
    assert {"data": "movie_reviews", "recipe": "default", "seed": 0} in asked and {"seed": 0} in asked


def test_what_takes_longer_is_forecast_to_take_longer() -> None:
    cost = studies.defense_study.cost
    assert cost is not None

    def work(defence: str, attacks: list[str]) -> float:
        return cost({"defence": defence, "attacks": attacks, "n": 4})

    assert work("none", ["deepwordbug"]) < work("none", ["deepwordbug", "pwws"])
    assert work("none", ["deepwordbug"]) < work("masked copies", ["deepwordbug"])
