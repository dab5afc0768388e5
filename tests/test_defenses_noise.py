"""The study of a random defence: who judges what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import toy_classifiers

from course_lib import corpora
from course_lib.attacks import recipe
from course_lib.defenses import Smoothed, noise

TEXTS, LABELS = toy_classifiers.TEXTS[8:16], toy_classifiers.LABELS[8:16]
CONFIG = {"recipe": "deepwordbug", "n": 8, "samples": 3, "times": 2, "seed": 5}


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"text": TEXTS, "label": LABELS})
    monkeypatch.setattr(corpora, "part", lambda name, split, limit=None: frame.head(limit or len(frame)))
    monkeypatch.setattr(noise, "_sentiment", toy_classifiers.fitted)


@pytest.mark.usefixtures("toys")
def test_each_text_is_judged_by_the_noise_that_is_said() -> None:
    found = noise.noise_study(CONFIG, Path("nowhere"))
    defence = Smoothed(toy_classifiers.fitted(), samples=3, seed=5)
    weak = recipe("deepwordbug").run(defence, TEXTS, LABELS, seed=5)
    judge, labels = Smoothed(toy_classifiers.fitted(), samples=3, seed=1005), np.array(LABELS)
    kept = (judge.predict(TEXTS) == labels) & (judge.predict([one.adversarial for one in weak.results]) == labels)
    assert found["known_noise"] == weak.accuracy_under_attack < found["accuracy"]
    assert found["fresh_noise"] == pytest.approx(kept.mean())
    assert found["fresh_noise"] <= found["accuracy"] == np.mean(judge.predict(TEXTS) == labels)
    assert found["queries"]["defence"] == weak.queries_per_text


@pytest.mark.usefixtures("toys")
def test_the_same_seed_gives_the_same_figures_and_another_others() -> None:
    once, again = (noise.noise_study(CONFIG, Path("nowhere")) for _ in range(2))
    other = noise.noise_study({**CONFIG, "seed": 6}, Path("nowhere"))
    assert once == again
    assert once != other


def test_more_copies_cost_more() -> None:
    few, many = (noise.noise_study_cost({**CONFIG, "samples": n}) for n in (2, 8))
    assert few is not None and many is not None and few.seconds < many.seconds
