"""Models of the case studies train and predict on an accelerator as on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from course_lib import machine
from course_lib.cases import images
from course_lib.cases.item_sequences import train_item_sequences
from course_lib.classifier.tabular import FTTransformerClassifier
from course_lib.encoder import EncoderConfig, VisionTransformer

OnCpu = Callable[[Callable[[], Any]], Any]
RANDOM = np.random.default_rng(0)
PIXELS, DIGITS = RANDOM.random((12, 28, 28), dtype=np.float32), RANDOM.integers(0, 10, 12)
ROWS = pd.DataFrame({"amount": RANDOM.normal(size=24), "kind": RANDOM.integers(0, 3, 24)})
HISTORIES = [RANDOM.permutation(9)[:5] for _ in range(12)]


def digits() -> np.ndarray:
    """A vision transformer, since the simulated device has no gradients of convolutions."""
    data = images.Digits(torch.from_numpy(PIXELS), torch.from_numpy(DIGITS))
    config = EncoderConfig(
        vocab_size=1, pad_id=None, hidden_size=16, n_layers=1, n_heads=2, intermediate_size=16, max_positions=5,
        norm="pre", dropout=0.0,
    )  # fmt: skip
    with machine.seeded(0):
        module = VisionTransformer(28, 14, 10, config)
        images.fit(module, data, epochs=1, training="fgsm, random start")
    return images.predict(module, data.images).numpy()


def rows() -> np.ndarray:
    model = FTTransformerClassifier(["amount"], {"kind": 3}, epochs=1)
    return model.fit(ROWS, np.tile([0, 1], 12)).predict_proba(ROWS)


def items(causal: bool) -> np.ndarray:
    sizes = {"length": 6, "width": 16, "batch_size": 8, "learning_rate": 1e-3}
    model = train_item_sequences(HISTORIES, 9, causal=causal, epochs=1, dropout=0.0, **sizes)
    return model.recommend(HISTORIES)


@pytest.mark.parametrize("model", [digits, rows, lambda: items(True)], ids=["images", "tables", "item sequences"])
def test_a_step_and_a_prediction_are_those_of_a_cpu(model: Callable[[], np.ndarray], on_cpu: OnCpu) -> None:
    here, there = model(), on_cpu(model)
    np.testing.assert_allclose(here, there, atol=2e-3)


def test_masked_items_are_drawn_on_the_device() -> None:
    assert np.isfinite(items(causal=False)).all()  # other masks than on a CPU
