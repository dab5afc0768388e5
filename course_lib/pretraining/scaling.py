"""How the loss falls with size, data and compute, and what that says about a larger run.

The form is that of Hoffmann et al. 2022 (arXiv:2203.15556, equation 2): L(N, D) = E + A / N^a + B / D^b, with N the
weights outside the embedding table and D the tokens. Kaplan et al. 2020 (arXiv:2001.08361) fit the same kind of law.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import least_squares

from course_lib.encoder import EncoderConfig, forward_flops
from course_lib.errors import BadInput

BERT_BASE = EncoderConfig(hidden_size=768, n_layers=12, n_heads=12, intermediate_size=3072)
BERT_BASE_TOKENS = 256 * 512 * 1_000_000  # rows, tokens of a row, steps (Devlin et al. 2019, A.2)
H100_PEAK = 989e12  # FLOP/s, dense bfloat16, from NVIDIA's data sheet of the H100 SXM
_COLUMNS = ("parameters", "tokens", "loss")
_STARTS = [(a, b) for a in (0.1, 0.3, 0.6) for b in (0.1, 0.3, 0.6)]


@dataclass(frozen=True)
class ScalingLaw:
    """L(N, D) = floor + size / N^size_power + data / D^data_power, in nats.

    Attributes:
        floor: what no model of this family would fall below.
        size, size_power: of the term that more weights make smaller.
        data, data_power: of the term that more tokens make smaller.
        error: root mean square of (fitted - measured) over the runs, in nats. A fit to nine runs of one order of
            magnitude describes them and predicts little.
    """

    floor: float
    size: float
    size_power: float
    data: float
    data_power: float
    error: float

    def __call__(self, parameters: ArrayLike, tokens: ArrayLike) -> NDArray[np.float64]:
        """Loss in nats for so many weights and tokens."""
        of_size = self.size * np.asarray(parameters, np.float64) ** -self.size_power
        return np.asarray(self.floor + of_size + self.data * np.asarray(tokens, np.float64) ** -self.data_power)


def fit_scaling(runs: pd.DataFrame) -> ScalingLaw:
    """Fits the law to runs (columns `parameters`, `tokens`, `loss`): least squares on the logarithm of the loss.

    The best of several starts, since the problem has more than one local minimum.

    Raises:
        BadInput: a column is missing, fewer than six runs, or a value that is not above 0.
    """
    if missing := [name for name in _COLUMNS if name not in runs]:
        raise BadInput(f"the runs have no column {', '.join(missing)}", f"give {', '.join(_COLUMNS)}")
    if len(runs) < 6 or not (runs[list(_COLUMNS)] > 0).all(axis=None):
        raise BadInput(f"{len(runs)} runs, or a value of 0 or less", "give six runs or more, all values above 0")
    weights, tokens, loss = (runs[name].to_numpy(np.float64) for name in _COLUMNS)

    def law(numbers: NDArray[np.float64]) -> ScalingLaw:
        floor, log_size, size_power, log_data, data_power = numbers.tolist()
        return ScalingLaw(floor, float(np.exp(log_size)), size_power, float(np.exp(log_data)), data_power, 0.0)

    def residuals(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.log(law(numbers)(weights, tokens)) - np.log(loss))

    low, high = [0.0, -20.0, 0.01, -20.0, 0.01], [loss.min(), 40.0, 2.0, 40.0, 2.0]
    found = [
        least_squares(residuals, [0.5 * loss.min(), a * np.log(weights.mean()), a, b * np.log(tokens.mean()), b],
                      bounds=(low, high), loss="huber", f_scale=0.02)
        for a, b in _STARTS
    ]  # fmt: skip
    best = law(min(found, key=lambda result: result.cost).x)
    return replace(best, error=float(np.sqrt(np.mean((best(weights, tokens) - loss) ** 2))))


def bert_base_flops(length: int = 512, mask_rate: float = 0.15) -> float:
    """Operations to pretrain BERT-base as its paper did: three forward passes' worth for each row."""
    rows = BERT_BASE_TOKENS / length
    head = 2.0 * mask_rate * length * BERT_BASE.hidden_size * (BERT_BASE.hidden_size + BERT_BASE.vocab_size)
    return 3.0 * rows * (forward_flops(BERT_BASE, 1, length) + head)


def days(flops: float, peak: float, utilization: float) -> float:
    """Days for so many operations on a device with this peak (FLOP/s), of which the run reaches a fraction.

    Raises:
        BadInput: a number that is not above 0, or a utilization over 1.
    """
    if not (flops > 0 and peak > 0 and 0 < utilization <= 1):
        raise BadInput(
            f"flops {flops}, peak {peak}, utilization {utilization}", "use numbers above 0, the last up to 1"
        )
    return flops / (peak * utilization) / 86_400
