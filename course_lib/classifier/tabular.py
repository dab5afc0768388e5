"""The FT-Transformer as a scikit-learn classifier of tables with two classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.preprocessing import QuantileTransformer
from torch import Tensor, nn

from course_lib import machine
from course_lib.encoder import FTTransformer
from course_lib.errors import BadInput
from course_lib.training import TensorBatches, TrainingConfig, train


class FTTransformerClassifier(ClassifierMixin, BaseEstimator):
    """`FTTransformer`, trained with AdamW (Gorishniy et al. 2021, arXiv:2106.11959).

    Numbers are mapped to a normal distribution by their quantiles, as in the paper.

    Args:
        numbers: names of the numeric columns.
        categories: name -> number of codes (0, 1, 2, ...) of each categorical column.
        epochs: passes over the training rows.
        seed: of weights, order and dropout.
    """

    def __init__(
        self, numbers: Sequence[str] = (), categories: Mapping[str, int] | None = None, epochs: int = 8, seed: int = 0
    ) -> None:
        self.numbers, self.categories, self.epochs, self.seed = numbers, categories, epochs, seed

    def fit(self, rows: pd.DataFrame, labels: ArrayLike) -> Self:
        """Trains on rows with their labels (0 or 1).

        Raises:
            BadInput: no numeric column, a label that is neither 0 nor 1, a code out of its range, or a missing value.
        """
        targets = np.asarray(labels, dtype=np.float32)
        if not self.numbers or not np.isin(targets, (0, 1)).all():
            raise BadInput(
                "there is no numeric column, or a label that is neither 0 nor 1", "name columns; use 0 and 1"
            )
        self._check(rows)
        if not len(targets) or len(targets) != len(rows):
            raise BadInput(f"{len(rows)} rows and {len(targets)} labels", "pass one label for each row, at least one")
        self.quantiles_ = QuantileTransformer(output_distribution="normal", random_state=0).fit(rows[[*self.numbers]])
        self.classes_ = np.array([0, 1])
        batches = TensorBatches(*self._tensors(rows), torch.tensor(targets), batch_size=256, seed=self.seed)
        config = TrainingConfig(self.epochs, 256, 1e-3, weight_decay=1e-5, precision="float32", seed=self.seed)
        with machine.seeded(self.seed):
            self.module_ = FTTransformer(len(self.numbers), [*(self.categories or {}).values()]).to(machine.device())
            train(self.module_, batches, _log_loss, config)
        return self

    def predict_proba(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """(n, 2) probabilities of the classes 0 and 1. Raises BadInput as `fit`, and before it."""
        if not hasattr(self, "module_"):
            raise BadInput("the classifier is not fitted", "call fit(rows, labels) first")
        self._check(rows)
        with torch.inference_mode():
            where = next(self.module_.parameters()).device
            parts = zip(*(tensor.to(where).split(1024) for tensor in self._tensors(rows)), strict=True)
            logits = torch.cat([self.module_(numbers, codes) for numbers, codes in parts])
        risk = logits.cpu().double().sigmoid().numpy()
        return np.column_stack([1 - risk, risk])

    def _check(self, rows: pd.DataFrame) -> None:
        for name in (*self.numbers, *(self.categories or {})):
            if name not in rows or rows[name].isna().any():
                raise BadInput(f"column {name!r} is missing or has gaps", "pass a table without missing values")
            if not pd.api.types.is_numeric_dtype(rows[name]) or not np.isfinite(rows[name]).all():
                raise BadInput(f"column {name!r} holds something that is not a finite number", "encode it as numbers")
        for name, n in (self.categories or {}).items():
            if not rows[name].isin(range(n)).all():
                raise BadInput(f"column {name!r} holds a code outside 0 to {n - 1}", "use whole numbers in this range")

    def _tensors(self, rows: pd.DataFrame) -> tuple[Tensor, Tensor]:
        numbers = self.quantiles_.transform(rows[[*self.numbers]])
        codes = rows[[*(self.categories or {})]].to_numpy(dtype=np.int64)
        return torch.tensor(numbers, dtype=torch.float32), torch.tensor(codes)


def _log_loss(module: nn.Module, batch: Any) -> Tensor:
    *inputs, targets = batch.tensors
    return F.binary_cross_entropy_with_logits(module(*inputs), targets)
