"""Is a model that says "90 % sure" right nine times in ten?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from course_lib.errors import BadInput
from course_lib.evaluation.inputs import Codes, Floats, codes, numbers, probability_rows, same_length, table

TEMPERATURES = (0.05, 20.0)  # the search ends here; a sound model lies between 0.5 and 5


@dataclass(frozen=True)
class Calibration:
    """Confidence held against accuracy.

    Attributes:
        ece: expected calibration error, in [0, 1]: mean over the sentences of |confidence - accuracy| of
            their bin. It depends on the number of bins, and on few sentences it is too high even for a
            perfect model.
        table: one row for each bin that holds a sentence: low, high (its edges), confidence, accuracy
            (means), count (sentences).
    """

    ece: float
    table: pd.DataFrame


def calibration(
    probabilities: ArrayLike, labels: ArrayLike, bins: int = 15, classes: Sequence[Any] | None = None
) -> Calibration:
    """Expected calibration error of the predicted class, with equally wide bins (low, high].

    Guo et al. (2017), On Calibration of Modern Neural Networks, equation 3 (arXiv 1706.04599).

    Args:
        probabilities: (n, classes), rows sum to 1.
        labels: (n,) column numbers, or names out of `classes`.
        bins: number of bins over [0, 1].
        classes: the class of each column.

    Raises:
        BadInput: lengths differ, rows do not sum to 1, NaN, unknown labels, nothing there, or no bins.
    """
    rows = probability_rows(probabilities)
    same_length(len(rows), labels)
    if bins < 1:
        raise BadInput(f"bins is {bins}", "use 10 to 20 bins")
    confidence = rows.max(axis=1)
    right = rows.argmax(axis=1) == codes(labels, classes, rows.shape[1])
    found = _binned(confidence, right, bins)
    ece = float((found["count"] * (found["confidence"] - found["accuracy"]).abs()).sum() / len(rows))
    return Calibration(ece, found)


def event_calibration(probabilities: ArrayLike, outcomes: ArrayLike, bins: int = 15) -> Calibration:
    """Calibration of the probability of one event: its predicted probability held against how often it happens.

    `calibration` looks at the predicted class alone, so two errors that lie on different sides of 0.5 can cancel.
    For a risk the number itself is used, and this is the measure for it (Naeini et al. 2015, Obtaining Well
    Calibrated Probabilities Using Bayesian Binning, AAAI).

    Args:
        probabilities: (n,) of the event, in [0, 1].
        outcomes: (n,) 1 where it happened, else 0.
        bins: number of equally wide bins (low, high] over [0, 1].

    Returns:
        The table's `confidence` is the mean probability of a bin, its `accuracy` the rate of the event.

    Raises:
        BadInput: different lengths, values outside their range, nothing there, or no bins.
    """
    risk, happened = numbers(probabilities, "probabilities"), numbers(outcomes, "outcomes")
    same_length(len(risk), happened, "outcomes")
    if risk.min() < 0 or risk.max() > 1:
        raise BadInput(f"the probabilities go from {risk.min():.4g} to {risk.max():.4g}", "pass values from 0 to 1")
    rows = probability_rows(np.column_stack([1 - risk, risk]))
    if not np.isin(happened, (0, 1)).all():
        raise BadInput("outcomes hold other values than 0 and 1", "use 1 where the event happened, else 0")
    if bins < 1:
        raise BadInput(f"bins is {bins}", "use 10 to 20 bins")
    found = _binned(rows[:, 1], happened == 1, bins)
    return Calibration(
        float((found["count"] * (found["confidence"] - found["accuracy"]).abs()).sum() / len(rows)), found
    )


def fit_temperature(logits: ArrayLike, labels: ArrayLike, classes: Sequence[Any] | None = None) -> float:
    """The one number T that makes softmax(logits / T) as likely as possible: above 1, the model was too sure.

    Guo et al. (2017), section 4.2. It changes no prediction. Fit it on validation sentences, never on test
    ones.

    Args:
        logits: (n, classes); log-probabilities do as well.
        labels: (n,) column numbers, or names out of `classes`.
        classes: the class of each column.

    Returns:
        The temperature, between 0.05 and 20; a warning says so where it ends at one of the two.

    Raises:
        BadInput: lengths differ, fewer than two columns, NaN, unknown labels, or nothing there.
    """
    scores = table(logits, "logits")
    same_length(len(scores), labels)
    truth = codes(labels, classes, scores.shape[1])
    # The loss is convex in 1/T, so it has one valley in log T as well, and a bounded search finds it.
    bounds = np.log(TEMPERATURES)
    found = minimize_scalar(
        lambda log_t: _negative_log_likelihood(scores, truth, np.exp(log_t)), bounds=bounds, method="bounded"
    )
    if min(abs(found.x - bounds)) < 1e-3:
        warnings.warn(
            f"the temperature ran to {np.exp(found.x):.3g}, the end of the range: these "
            f"{len(scores)} sentences do not settle it (all right, or none); use more validation sentences",
            stacklevel=2,
        )
    return float(np.exp(found.x))


def temper(probabilities: ArrayLike, temperature: float) -> Floats:
    """Probabilities (n, classes) as if their logits had been divided by the temperature.

    Raises:
        BadInput: the temperature is not above 0, or these are no probabilities.
    """
    if not (np.isfinite(temperature) and temperature > 0):
        raise BadInput(f"temperature is {temperature}", "pass a number above 0; 1 changes nothing")
    rows = probability_rows(probabilities)
    logits = np.log(np.maximum(rows, np.finfo(np.float64).tiny))  # log-probabilities are logits, up to a constant
    return np.asarray(softmax(logits / temperature, axis=1), dtype=np.float64)


def correct_prior(probabilities: ArrayLike, trained: ArrayLike, actual: ArrayLike) -> Floats:
    """Probabilities of a model that was trained on other class frequencies than those it meets.

    Each odds is multiplied by how much more frequent its class really is (Saerens et al. 2002, Adjusting the Outputs
    of a Classifier to New a Priori Probabilities, equation 4). It assumes that the classes themselves look as before.

    Args:
        probabilities: (n, classes), rows sum to 1.
        trained: (classes,) frequencies in training; those of a rebalanced training are equal.
        actual: (classes,) frequencies where the model is used.

    Raises:
        BadInput: no probabilities, or frequencies that are not above 0 or not one for each class.
    """
    rows = probability_rows(probabilities)
    before, after = numbers(trained, "trained"), numbers(actual, "actual")
    for name, prior in (("trained", before), ("actual", after)):
        if len(prior) != rows.shape[1] or not (prior > 0).all():
            raise BadInput(f"{name} is {prior.tolist()}", f"give {rows.shape[1]} frequencies above 0")
    weighted = rows * (after / before)
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))


def _binned(confidence: Floats, right: np.ndarray[Any, np.dtype[np.bool_]], bins: int) -> pd.DataFrame:
    """Means of each bin (low, high] that holds anything."""
    number = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    frame = pd.DataFrame({"bin": number, "confidence": confidence, "accuracy": right.astype(np.float64)})
    found = frame.groupby("bin").agg(
        confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), count=("accuracy", "size")
    )
    edges = {"low": found.index / bins, "high": (found.index + 1) / bins}
    return found.assign(**edges)[["low", "high", "confidence", "accuracy", "count"]].reset_index(drop=True)


def _negative_log_likelihood(logits: Floats, truth: Codes, temperature: float) -> float:
    """Mean over the sentences of -log p(truth), in nats."""
    return float(-log_softmax(logits / temperature, axis=1)[np.arange(len(truth)), truth].mean())
