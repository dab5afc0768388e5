"""Stored studies as the tables that `plots` and `widgets` take."""

from __future__ import annotations

from typing import Any

import pandas as pd

from course_lib.evaluation import share
from course_lib.experiments import Run

_METHODS = {"course": "pretrained, fine-tuned", "scratch": "same shape, from scratch"}


def as_curves(runs: pd.DataFrame) -> pd.DataFrame:
    """`learning_curves` runs as rows of steps: learning_rate, epochs, step, train_loss, validation_accuracy."""
    rows = [
        {
            "learning_rate": run["learning_rate"],
            "epochs": run["epochs"],
            "step": row["step"],
            "train_loss": row.get("loss"),
            "validation_accuracy": row.get("validation_accuracy"),
        }
        for run in runs.to_dict("records")
        for row in run["history"]["rows"]
    ]
    return pd.DataFrame(rows).astype({"train_loss": float, "validation_accuracy": float})


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
    interval = share(round(accuracy * rows), rows)
    return {"labels": labels, "method": method, "accuracy": accuracy, "low": interval.low, "high": interval.high}


def as_transfer_matrix(runs: pd.DataFrame) -> pd.DataFrame:
    """`transfer_study` runs as rows of pairs: train, test, accuracy."""
    return pd.DataFrame(
        [
            {"train": f"+ {run['then']}" if run["then"] else "movies only", "test": name, "accuracy": accuracy}
            for run in runs.astype({"then": object}).where(runs.notna(), None).to_dict("records")
            for name, accuracy in run["test_accuracy"].items()
        ]
    )
