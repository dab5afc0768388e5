"""What a compressed model is worth: size, speed, accuracy, agreement with its parent, and who loses by it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import pandas as pd
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.evaluation import bootstrap, by_slice, calibration


class Model(Protocol):
    """A `TextClassifier`, an `OnnxClassifier`, or anything else with these two."""

    @property
    def classes_(self) -> NDArray[Any]: ...

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes)."""
        ...


@dataclass(frozen=True)
class Speed:
    """How fast a model answers here.

    Attributes:
        texts_a_second: of all texts at once, in the best of the repetitions.
        median_ms: of one text alone, milliseconds, from string to probabilities.
        p99_ms: 99 of 100 single texts are answered in this time.
    """

    texts_a_second: float
    median_ms: float
    p99_ms: float


def speed(model: Model, texts: Sequence[str], singles: int = 200, repetitions: int = 3) -> Speed:
    """Measures a model on this machine, after one answer to warm up.

    Args:
        model: fitted.
        texts: all of them are asked at once; the first `singles` also one by one.
        singles: how many are asked alone.
        repetitions: of the whole.

    Raises:
        BadInput: no text, or nothing to repeat.
    """
    if not len(texts) or singles < 1 or repetitions < 1:
        raise BadInput(f"{len(texts)} texts, {singles} singles, {repetitions} repetitions", "use 1 or more of each")
    model.predict_proba(texts[:1])
    whole = min(_seconds(model, texts) for _ in range(repetitions))
    alone = 1000 * np.array([_seconds(model, [text]) for text in texts[:singles]])
    return Speed(len(texts) / whole, float(np.median(alone)), float(np.quantile(alone, 0.99)))


def _seconds(model: Model, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    model.predict_proba(texts)
    return time.perf_counter() - started


@dataclass(frozen=True)
class Quality:
    """How good a model's answers are, beside its parent's.

    Attributes:
        accuracy: share of right answers; `low` and `high` are its 95 % interval.
        lost: the parent's accuracy less this one, in points of a hundred.
        agreement: share of texts that get the parent's label.
        calibration_error: expected, of the predicted class (15 bins).
        largest_change: of a probability, from the parent's.
        mean_change: of the probabilities.
    """

    accuracy: float
    low: float
    high: float
    lost: float
    agreement: float
    calibration_error: float
    largest_change: float
    mean_change: float


def quality(probabilities: NDArray[Any], parent: NDArray[Any], labels: NDArray[Any], classes: NDArray[Any]) -> Quality:
    """Compares answers with the labels and with the parent's answers.

    Args:
        probabilities: (n, classes).
        parent: (n, classes), its parent's.
        labels: (n,), of `classes`.
        classes: the class of each column.

    Raises:
        BadInput: sizes that differ, or nothing there.
    """
    if probabilities.shape != parent.shape or len(labels) != len(parent) or not len(labels):
        shapes = f"{probabilities.shape}, {parent.shape} and {np.shape(labels)}"
        raise BadInput(f"probabilities, the parent's and labels have the shapes {shapes}", "ask both the same texts")
    mine, theirs = classes[probabilities.argmax(1)], classes[parent.argmax(1)]
    right = (mine == labels).astype(float)
    interval = bootstrap(right)
    change = np.abs(probabilities - parent)
    return Quality(
        accuracy=float(right.mean()),
        low=interval.low,
        high=interval.high,
        lost=100 * float((theirs == labels).mean() - right.mean()),
        agreement=float((mine == theirs).mean()),
        calibration_error=calibration(probabilities, labels, classes=list(classes)).ece,
        largest_change=float(change.max()),
        mean_change=float(change.mean()),
    )


def damage(frame: pd.DataFrame, probabilities: NDArray[Any], parent: NDArray[Any]) -> pd.DataFrame:
    """Who loses: accuracy on kinds of sentences before and after (Hooker et al. 2020, arXiv:2010.03058).

    Args:
        frame: text, label and, where people rated it, rating.
        probabilities: (n, classes).
        parent: (n, classes), its parent's.

    Returns:
        slice, n, before, after, lost (points), largest loss first.

    Raises:
        BadInput: probabilities that do not fit the frame.
    """
    before, after = by_slice(frame, parent), by_slice(frame, probabilities)
    table = before[["slice", "n", "accuracy"]].rename(columns={"accuracy": "before"})
    table["after"] = after["accuracy"].to_numpy()
    table["lost"] = 100 * (table["before"] - table["after"])
    return table.sort_values("lost", ascending=False, ignore_index=True)


def products_a_token(file: str | Path) -> int:
    """Multiply-adds with weights that a token costs in a graph of `export`: its matrices' sizes, added up.

    The last layer serves the first token alone, so most of it is not counted. A proxy of energy: bits aside, what is
    not multiplied takes none.

    Raises:
        BadInput: a file that is no such graph.
    """
    model = onnx.load(str(file))
    sizes = {tensor.name: int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    packed = {
        node.input[1]
        for node in model.graph.node
        if node.op_type == "MatMulNBits" and node.input[1] in sizes
    }  # fmt: skip
    layers = sorted({name.split(".")[0] for name in sizes if name.startswith("layer")}, key=lambda name: int(name[5:]))
    if not layers:
        raise BadInput(f"{file} is no graph that export wrote", "give the model.onnx of an export")
    once = {f"{layers[-1]}.{part}.weight" for part in ("query", "output", "expand", "contract")}
    return sum(
        size * (2 if name in packed else 1)
        for name, size in sizes.items()
        if name.startswith("layer") and name.endswith(".weight") and "norm" not in name and name not in once
    )
