"""Accuracy by the number of labels, from three experiments."""

from __future__ import annotations

from typing import Any

import pandas as pd

from course_lib.evaluation import wilson_interval
from course_lib.experiments import Run

_METHODS = {"course": "pretrained, fine-tuned", "scratch": "same shape, from scratch"}


def as_label_efficiency(curve: pd.DataFrame, probes: pd.DataFrame, whole: Run, labels: int) -> pd.DataFrame:
    """Accuracy by number of labels and method, with 95 % intervals of the test sample.

    Args:
        curve: runs of `label_curve`; seeds of one size are averaged.
        probes: runs of `linear_probe_study`.
        whole: the run on all labels.
        labels: how many those are.

    Returns:
        labels, method, accuracy, low, high.
    """
    rows = [
        _row(int(n), _METHODS[encoder], float(group["test_accuracy"].mean()), int(group["test_rows"].iloc[0]))
        for (encoder, n), group in curve.groupby(["encoder", "labels"])
    ]
    rows.append(_row(labels, _METHODS["course"], whole.result["test_accuracy"], whole.result["test_rows"]))
    rows += [
        _row(int(run["labels"]), "linear probe", run["test_accuracy"], run["test_rows"])
        for run in probes.to_dict("records")
    ]
    return pd.DataFrame(rows).sort_values(["method", "labels"], ignore_index=True)


def _row(labels: int, method: str, accuracy: float, rows: int) -> dict[str, Any]:
    interval = wilson_interval(round(accuracy * rows), rows)
    return {"labels": labels, "method": method, "accuracy": accuracy, "low": interval.low, "high": interval.high}
