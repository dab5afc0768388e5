"""Stored runs of compression: what a configuration asks for, and what a run keeps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from toy_classifiers import QUICK, fitted

from course_lib import corpora
from course_lib.compression import PLANS, Bits, OnnxClassifier, Plan, studies
from course_lib.errors import BadInput

TOY = Plan("toy", layers=1, bits=Bits(8, 8), training=QUICK)
BARE = Plan("bare", bits=Bits(8, 8))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Toy plans, and the toy classifier in the place of the course's."""
    monkeypatch.setattr(studies.TextClassifier, "from_pretrained", lambda name: fitted())
    monkeypatch.setitem(PLANS, "toy", TOY)
    monkeypatch.setitem(PLANS, "bare", BARE)
    yield tmp_path / "run"


def test_a_configuration_may_shorten_the_training(toy: Path) -> None:
    assert studies.plan_of({"plan": "small"}) == PLANS["small"]
    longer = studies.plan_of({"plan": "toy", "epochs": 7})
    assert longer.training is not None and longer.training.epochs == 7
    assert TOY.training is not None and TOY.training.epochs == QUICK.epochs
    with pytest.raises(BadInput, match="no plan 'tiny'"):
        studies.plan_of({"plan": "tiny"})
    with pytest.raises(BadInput, match="'bare' trains nothing"):
        studies.plan_of({"plan": "bare", "epochs": 1})


def test_a_run_keeps_the_model_and_its_figures(toy: Path) -> None:
    result = studies.compression_study({"plan": "toy", "texts": 60}, toy)
    student = OnnxClassifier(toy / studies.EXPORT)
    test = corpora.part("movie_reviews", "test")
    right = float((student.predict(test["text"].tolist()) == test["label"].to_numpy()).mean())
    assert result["accuracy"] == pytest.approx(right)
    assert result["model_bytes"] == (toy / studies.EXPORT / "model.onnx").stat().st_size
    before = fitted().predict(test["text"].tolist()) == test["label"].to_numpy()
    assert result["lost"] == pytest.approx(100 * (np.mean(before) - right), abs=1e-6)
    validation = corpora.part("movie_reviews", "validation")
    for model, name, part in (
        (student, "validation", validation),
        (student, "test", test),
        (fitted(), "parent_test", test),
    ):
        assert np.allclose(result[name], model.predict_proba(part["text"].tolist())[:, 1], atol=1e-3)
    assert result["times_as_fast"] > 0


def test_the_estimate_follows_texts_and_epochs(toy: Path) -> None:
    cost = studies.compression_study.cost
    assert cost is not None
    plain, more = {"plan": "toy", "texts": 50}, {"plan": "toy", "texts": 500}
    assert cost(plain) < cost(more) < cost({**more, "epochs": 3})
