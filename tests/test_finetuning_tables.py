"""Stored studies as tables: worked out by hand on three small runs."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from course_lib import evaluation, plots
from course_lib.experiments import Run
from course_lib.finetuning import as_curves, as_label_efficiency, as_transfer_matrix


def test_curves_have_a_row_a_step_with_gaps_where_nothing_was_measured() -> None:
    history = {"rows": [{"step": 10, "loss": 0.6}, {"step": 13, "validation_accuracy": 0.8, "validation_loss": 0.4}]}
    curves = as_curves(pd.DataFrame([{"learning_rate": 1e-4, "epochs": 1, "history": history}]))
    assert curves["step"].tolist() == [10, 13]
    assert curves["train_loss"].tolist()[0] == 0.6 and pd.isna(curves["train_loss"][1])
    assert pd.isna(curves["validation_accuracy"][0]) and curves["validation_accuracy"][1] == 0.8
    assert (curves[["learning_rate", "epochs"]] == [1e-4, 1]).all(axis=None)


def test_label_efficiency_averages_seeds_and_adds_the_whole_run() -> None:
    curve = pd.DataFrame(
        [
            {"encoder": "course", "labels": 100, "seed": 0, "test_accuracy": 0.70, "test_rows": 1000},
            {"encoder": "course", "labels": 100, "seed": 1, "test_accuracy": 0.74, "test_rows": 1000},
            {"encoder": "scratch", "labels": 100, "seed": 0, "test_accuracy": 0.50, "test_rows": 1000},
        ]
    )
    probes = pd.DataFrame([{"labels": 100, "test_accuracy": 0.65, "test_rows": 1000}])
    whole = Run("finetune", {}, {"test_accuracy": 0.87, "test_rows": 1000}, Path(), 1.0, None, True)
    table = as_label_efficiency(curve, probes, whole, labels=8000)
    rows = {(row.method, row.labels): row for row in table.itertuples()}
    assert rows["pretrained, fine-tuned", 100].accuracy == pytest.approx(0.72)
    assert rows["pretrained, fine-tuned", 8000].accuracy == 0.87
    assert set(table["method"]) == {"pretrained, fine-tuned", "same shape, from scratch", "linear probe"}
    expected = evaluation.share(650, 1000)
    assert (rows["linear probe", 100].low, rows["linear probe", 100].high) == (expected.low, expected.high)
    assert plots.label_efficiency(table).get_lines()


def test_transfer_matrix_names_what_was_learned() -> None:
    runs = pd.DataFrame(
        [
            {"then": None, "test_accuracy": {"news": 0.6, "tweets": 0.7}},
            {"then": "news", "test_accuracy": {"news": 0.8, "tweets": 0.5}},
        ]
    )
    table = as_transfer_matrix(runs).set_index(["train", "test"])["accuracy"]
    assert table["movies only", "tweets"] == 0.7 and table["+ news", "news"] == 0.8 and len(table) == 4
