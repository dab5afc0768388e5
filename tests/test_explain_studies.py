"""Experiments that compare methods of explanation, on a toy classifier and real sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from toy_classifiers import fitted

from course_lib import corpora
from course_lib.errors import BadInput
from course_lib.experiments import Experiment, Run
from course_lib.explain import (
    MaskableText,
    agreement,
    comprehensiveness,
    curves,
    curves_of,
    explain,
    explanations_of,
    faithfulness_study,
    normalized_aopc,
    random_baseline,
    sanity_study,
    stability_study,
    studies,
    sufficiency,
)

CONFIG = {"method": "occlusion", "sentences": 4, "words": [5, 7], "seed": 0}


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(studies, "_sentiment", fitted)
    yield


def run_of(study: Experiment, config: dict[str, Any], tmp_path: Path) -> Run:
    """A run as it is read from a file: the result went through JSON, which knows no nan."""
    result = study(config, tmp_path)
    stored = json.loads(json.dumps(result, allow_nan=False))
    assert stored == result
    return Run(study.name, config, stored, 1.0, "course")


def test_sentences_by_length() -> None:
    rows = studies.rows_by_length(5, 7, 6)
    texts = corpora.part("movie_reviews", "test")["text"]
    lengths = [len(MaskableText.of(text)) for text in texts[: rows[-1] + 1]]
    assert rows == [row for row, n in enumerate(lengths) if 5 <= n <= 7] and len(rows) == 6


@pytest.mark.parametrize("method", ["occlusion", "gradient", "attention"])
def test_explanations_come_back_with_their_words(method: str, tmp_path: Path) -> None:
    config = CONFIG | {"method": method}
    run = run_of(faithfulness_study, config, tmp_path)
    assert not any(isinstance(value, str) and len(value) > 20 for value in _leaves(run.result))
    test = corpora.part("movie_reviews", "test")["text"]
    sentences = [test.iloc[row] for row in studies.rows_by_length(5, 7, 4)]
    before = explain(fitted(), sentences, method)
    for one, other in zip(explanations_of(run), before, strict=True):
        assert one.tokens == other.tokens and one.text == other.text and one.target == other.target
        assert one.scores == pytest.approx(other.scores, rel=1e-3)
        assert (one.method, one.output, one.error_kind) == (other.method, other.output, other.error_kind)
        assert one.queries == other.queries and one.value == pytest.approx(other.value, rel=1e-3)
        assert one.error == pytest.approx(other.error, rel=1e-3, nan_ok=True)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


def test_the_figures_are_those_of_the_library(tmp_path: Path) -> None:
    run = run_of(faithfulness_study, CONFIG, tmp_path)
    found = explain(fitted(), [one.text for one in explanations_of(run)], "occlusion")
    (row,) = faithfulness_study.rows([run]).to_dict("records")
    assert row["method"] == "occlusion" and row["sentences"] == 4
    assert row["comprehensiveness"] == pytest.approx(comprehensiveness(fitted(), found).mean(), abs=1e-3)
    assert row["low"] < row["comprehensiveness"] < row["high"]
    assert row["sufficiency"] == pytest.approx(sufficiency(fitted(), found).mean(), abs=1e-3)
    assert row["normalized_aopc"] == pytest.approx(np.nanmean(normalized_aopc(fitted(), found)), abs=1e-3)
    judged = curves(fitted(), found)
    assert row["deletion"] == pytest.approx(np.mean([one.deletion_area for one in judged]), abs=1e-3)
    for one, other in zip(curves_of(run), judged, strict=True):
        assert one.deletion == pytest.approx(other.deletion, rel=1e-3)
        assert one.insertion == pytest.approx(other.insertion, rel=1e-3)
    assert row["queries"] == np.mean([one.queries for one in found]) and row["seconds"] > 0


def test_random_scores_cost_nothing(tmp_path: Path) -> None:
    config = CONFIG | {"method": "random", "words": [8, 12]}
    run = run_of(faithfulness_study, config, tmp_path)
    (row,) = faithfulness_study.rows([run]).to_dict("records")
    assert row["queries"] == row["seconds"] == 0 and np.isnan(row["error"])
    assert np.isnan(row["normalized_aopc"]) and run.result["normalized_aopc"] == [None] * 4
    found = explanations_of(run)
    occlusion = run_of(faithfulness_study, config | {"method": "occlusion"}, tmp_path)
    by_hand = random_baseline(explanations_of(occlusion), 0)
    assert [one.scores.tolist() for one in found] == [one.scores.tolist() for one in by_hand]
    table = agreement({"random": found, "occlusion": explanations_of(occlusion)})
    assert table.loc["random", "random"] == pytest.approx(1)


def test_the_costs_follow_what_is_asked() -> None:
    cost = faithfulness_study.cost
    assert cost is not None
    assert cost(CONFIG) < cost(CONFIG | {"sentences": 8}) < cost(CONFIG | {"sentences": 8, "method": "lime"})
    few = CONFIG | {"method": "lime", "settings": {"samples": 300}}
    assert cost(few) < cost(CONFIG | {"method": "lime"})


def test_stages_of_random_weights(tmp_path: Path) -> None:
    configs = [CONFIG | {"method": method, "sentences": 2} for method in ("occlusion", "attention")]
    runs = [run_of(sanity_study, config, tmp_path) for config in configs]
    table = sanity_study.rows(runs)
    stages = ["classifier", "bert.pooler", *[f"bert.encoder.layer.{i}" for i in (1, 0)], "bert.embeddings"]
    assert table["stage"].tolist() == stages * 2
    assert table["method"].tolist() == ["occlusion"] * 5 + ["attention"] * 5
    looked = table[table["method"] == "attention"].set_index("stage")["absolute"]
    assert looked["bert.pooler"] > 0.99 and pd.api.types.is_float_dtype(table["signed"])
    nothing = Run("sanity_study", configs[0], {"stages": [{"stage": "classifier", "signed": None, "absolute": None}]},
                  1.0, "course")  # fmt: skip
    assert sanity_study.rows([nothing])[["signed", "absolute"]].isna().all(axis=None)


def test_stability_over_seeds_and_typing_errors(tmp_path: Path) -> None:
    seeds = CONFIG | {"method": "lime", "change": "seed", "copies": 2, "settings": {"samples": 40}}
    typo = CONFIG | {"change": "typing error", "copies": 3}
    table = stability_study.rows([run_of(stability_study, config, tmp_path) for config in (seeds, typo)])
    assert table["change"].tolist() == ["seed", "typing error"]
    assert table["pairs"][0] == 4 and 0 < table["pairs"][1] <= 12
    assert (table["low"] <= table["correlation"]).all() and (table["correlation"] <= table["high"]).all()
    with pytest.raises(BadInput, match="change is 'mood'"):
        stability_study(CONFIG | {"change": "mood", "copies": 2}, tmp_path)
