"""How good a compressed model is: accuracy, agreement with its parent, losses by kind of text, speed and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_lib.batching import check_texts
from course_lib.errors import BadInput, CourseError
from course_lib.evaluation import bootstrap, calibration, paired_bootstrap
from course_lib.evaluation.mistakes import slice_masks
from course_lib.onnx_model import MODEL_FILE
from course_lib.text.classifiers import Classifier, columns_of

_SECONDS = 300  # to load and predict; more means that something hangs
_WITH_TORCH = """
import json, sys
import psutil
from course_lib import TextClassifier
model = TextClassifier.from_pretrained(sys.argv[1])
model.predict_proba(json.load(sys.stdin))
print(psutil.Process().memory_info().rss)
"""
# What a server without this library and without torch would do.
_WITH_ONNX_RUNTIME = """
import json, pathlib, sys
import numpy, onnxruntime, psutil
from tokenizers import Tokenizer
folder = pathlib.Path(sys.argv[1])
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_truncation(json.loads((folder / "classes.json").read_text())["max_length"])
session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
for text in json.load(sys.stdin):
    row = tokenizer.encode(text)
    session.run(None, {"input_ids": numpy.array([row.ids]), "attention_mask": numpy.array([row.attention_mask])})
print(psutil.Process().memory_info().rss)
"""


@dataclass(frozen=True)
class Speed:
    """How fast a model is on this machine."""

    texts_a_second: float  # all texts at once, in the best of the repetitions
    median_ms: float  # of one text alone, milliseconds, from string to probabilities
    p99_ms: float  # 99 of 100 single texts take at most this time


def speed(model: Classifier, texts: Sequence[str], singles: int = 200, repetitions: int = 3) -> Speed:
    """Measures a model on this machine, after one prediction to warm up.

    Args:
        texts: all of them are predicted at once; the first `singles` also one by one.
        singles: how many are predicted alone.
        repetitions: of all texts at once.

    Raises:
        BadInput: no text, or nothing to repeat.
    """
    if not len(texts) or singles < 1 or repetitions < 1:
        raise BadInput(f"{len(texts)} texts, {singles} singles, {repetitions} repetitions", "use 1 or more of each")
    model.predict_proba(texts[:1])
    together = min(_seconds(model, texts) for _ in range(repetitions))
    alone = 1000 * np.array([_seconds(model, [text]) for text in texts[:singles]])
    return Speed(len(texts) / together, float(np.median(alone)), float(np.quantile(alone, 0.99)))


def _seconds(model: Classifier, texts: Sequence[str]) -> float:
    started = time.perf_counter()
    model.predict_proba(texts)
    return time.perf_counter() - started


@dataclass(frozen=True)
class Quality:
    """How good a model's predictions are, beside its parent's."""

    accuracy: float
    low: float  # of the 95 % interval of the accuracy
    high: float
    lost: float  # the parent's accuracy minus this one, in percentage points
    agreement: float  # fraction of texts that get the parent's label
    calibration_error: float  # expected, of the predicted class (15 bins)
    largest_change: float  # of a probability, from the parent's
    mean_change: float


def quality(probabilities: NDArray[Any], parent: NDArray[Any], labels: ArrayLike, classes: NDArray[Any]) -> Quality:
    """Compares predictions with the labels and with the parent's predictions.

    Args:
        probabilities, parent: (n, classes).
        labels: (n,), of `classes`.
        classes: the class of each column, in any order.

    Raises:
        BadInput: sizes that differ, none at all, or a label that is not one of the classes.
    """
    if probabilities.shape != parent.shape or not len(parent):
        shapes = f"{probabilities.shape} and {parent.shape}"
        raise BadInput(f"probabilities and the parent's have the shapes {shapes}", "predict the same texts with both")
    wanted = columns_of(classes, labels, len(parent))
    mine, theirs = probabilities.argmax(1), parent.argmax(1)
    right = (mine == wanted).astype(float)
    interval = bootstrap(right)
    change = np.abs(probabilities - parent)
    return Quality(
        accuracy=float(right.mean()),
        low=interval.low,
        high=interval.high,
        lost=100 * float((theirs == wanted).mean() - right.mean()),
        agreement=float((mine == theirs).mean()),
        calibration_error=calibration(probabilities, wanted).ece,
        largest_change=float(change.max()),
        mean_change=float(change.mean()),
    )


def compare_with_parent(
    predictions: Mapping[str, NDArray[Any]], parent: NDArray[Any], labels: ArrayLike, classes: NDArray[Any]
) -> pd.DataFrame:
    """Several compressed models beside the parent, all on the same texts.

    Args:
        predictions: name of the model -> probabilities, (n, classes).
        parent: the parent's probabilities, (n, classes).
        labels: (n,), of `classes`.
        classes: the class of each column, in any order.

    Returns:
        model, accuracy; change (of the accuracy from the parent's, percentage points) with low and high, the 95 %
        interval of the paired difference; and moved, the mean absolute change of a probability.

    Raises:
        BadInput: sizes that differ, or a label that is not one of the classes.
    """
    wanted = columns_of(classes, labels, len(parent))
    before = 100.0 * (parent.argmax(1) == wanted)
    rows = []
    for name, probabilities in predictions.items():
        after = 100.0 * (probabilities.argmax(1) == wanted)
        change = paired_bootstrap(after, before)
        interval = {"change": change.estimate, "low": change.low, "high": change.high}
        moved = float(np.abs(probabilities - parent).mean())
        rows.append({"model": name, "accuracy": after.mean() / 100, **interval, "moved": moved})
    return pd.DataFrame(rows)


def accuracy_by_slice(
    frame: pd.DataFrame, probabilities: NDArray[Any], parent: NDArray[Any], classes: Sequence[Any] | None = None
) -> pd.DataFrame:
    """Accuracy on kinds of texts before and after compression (Hooker et al. 2020, arXiv:2010.03058).

    Args:
        frame: text, label and, where people rated it, rating.
        probabilities, parent: (n, classes).
        classes: the class of each column; the labels are numbers of columns when left out.

    Returns:
        slice, n, before, after, lost (percentage points), low and high, largest loss first. The intervals of the k
        losses are paired bootstraps that hold together: each has a confidence of 1 - 0.05 / k (Bonferroni).

    Raises:
        BadInput: probabilities that do not fit the frame.
    """
    columns = columns_of(
        np.arange(parent.shape[1]) if classes is None else np.asarray(classes), frame["label"], len(frame)
    )
    if not len(frame) == len(parent) == len(probabilities):
        raise BadInput(f"{len(frame)} rows, {len(parent)} predictions", "predict every row of the frame")
    right_before, right_after = (predicted.argmax(1) == columns for predicted in (parent, probabilities))
    masks, rows = slice_masks(frame), []
    for name, mask in masks.items():
        before, after = right_before[mask].astype(float), right_after[mask].astype(float)
        lost = bootstrap(100 * (before - after), resamples=5000, confidence=1 - 0.05 / len(masks))
        figures = {"before": before.mean(), "after": after.mean(), "lost": lost.estimate}
        rows.append({"slice": name, "n": int(mask.sum()), **figures, "low": lost.low, "high": lost.high})
    return pd.DataFrame(rows).sort_values("lost", ascending=False, ignore_index=True)


def macs_per_token(file: str | Path) -> int:
    """Multiply-adds with weights per token in a graph of `export_onnx`: the sizes of its matrices, added up.

    The last layer computes the first token alone, so most of it is not counted.

    Raises:
        BadInput: a file that is not such a graph.
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
        raise BadInput(f"{file} was not written by export_onnx", "give the model.onnx of an export")
    once = {f"{layers[-1]}.{part}.weight" for part in ("query", "output", "expand", "contract")}
    return sum(
        size * (2 if name in packed else 1)
        for name, size in sizes.items()
        if name.startswith("layer") and name.endswith(".weight") and "norm" not in name and name not in once
    )


def resident_memory(folder: str | os.PathLike[str], texts: Sequence[str]) -> int:
    """Bytes that a new process holds in memory (resident) after it has loaded a model and predicted the texts.

    An export is run by ONNX Runtime, text by text, in a process without torch; a saved `TextClassifier` by this
    library. The libraries' own code is part of it: a server needs it, too.

    Args:
        folder: an export, or a saved classifier.

    Raises:
        BadInput: no text, an item that is not a string, or no folder.
        CourseError: the process failed, or took longer than five minutes.
    """
    place = Path(folder).resolve()
    if not place.is_dir():
        raise BadInput(f"there is no folder {folder}", "give an export or a saved classifier")
    if not check_texts(texts):
        raise BadInput("there is no text", "give one or more")
    command = [sys.executable, "-c", _WITH_ONNX_RUNTIME if (place / MODEL_FILE).is_file() else _WITH_TORCH, str(place)]
    try:
        done = subprocess.run(
            command, input=json.dumps(list(texts)), capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        raise CourseError(f"the process that loads {place} failed: {last[:300]}", "check that it loads here") from error
    except subprocess.TimeoutExpired as error:
        raise CourseError(f"{place} took longer than {_SECONDS} s", "use fewer texts") from error
    return int(done.stdout.strip().splitlines()[-1])
