"""Compression on an accelerator: the numbers of the CPU, and nothing of the parent is moved or left elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simulated_accelerator as accelerator
from toy_classifiers import LABELS, LEARNING, MIXED, QUICK, TEXTS, tiny

from course_lib import compression
from course_lib.classifier import TextClassifier
from course_lib.compression import Bits, OnnxClassifier

SOME, THEIRS = TEXTS[:24], LABELS[:24]


@cache
def parent() -> TextClassifier:
    return tiny(LEARNING).fit(TEXTS, LABELS)


def student(layerwise: bool) -> Any:
    targets, smaller = compression.teacher_outputs(parent(), SOME), compression.drop_layers(parent(), keep=[1])
    if layerwise:
        return compression.distill_layers(smaller, parent(), targets, QUICK)
    return compression.distill(smaller, targets, QUICK)


MADE: dict[str, Callable[[], Any]] = {
    "weights": lambda: compression.quantize_weights(parent(), 4),
    "dynamic": lambda: compression.quantize_dynamic(parent()),
    "static": lambda: compression.quantize_static(parent(), SOME),
    "pruned": lambda: compression.prune_weights(parent(), 0.5),
    "ffn": lambda: compression.prune_ffn(parent(), 64, compression.neuron_importance(parent(), SOME, THEIRS)),
    "vocabulary": lambda: compression.trim_vocabulary(parent(), TEXTS),
    "clusters": lambda: compression.cluster_embeddings(parent(), TEXTS, 500),
    "low rank": lambda: compression.factorize_layers(parent(), 0.5),
    "distilled": lambda: student(layerwise=False),
    "distilled by layers": lambda: student(layerwise=True),
}


@pytest.mark.parametrize("name", MADE)
def test_as_on_a_cpu(name: str, on_cpu: Callable[[Callable[[], Any]], Any]) -> None:
    found = MADE[name]().decision_logits(MIXED)
    assert {parameter.device.type for parameter in parent().module_.parameters()} == {accelerator.NAME}
    wanted = on_cpu(lambda: MADE[name]().decision_logits(MIXED))
    parent().decision_logits(MIXED[:1])  # back on the accelerator
    np.testing.assert_allclose(found, wanted, atol=2e-2 if name in ("static", "dynamic") else 1e-3)


def test_sensitivity(on_cpu: Callable[[Callable[[], Any]], Any]) -> None:
    def figures() -> Any:
        return compression.quantization_sensitivity(parent(), SOME, bits=3)["error"].tolist()

    np.testing.assert_allclose(figures(), on_cpu(figures), atol=1e-3)


@pytest.mark.parametrize("bits", [Bits(), Bits(8, 8), Bits(4, 4)], ids=str)
def test_export(bits: Bits, tmp_path: Path) -> None:
    report = compression.export_onnx(parent(), tmp_path / "model", bits, TEXTS)
    assert report.agreement == 1.0
    assert OnnxClassifier(report.folder).score(TEXTS, LABELS) == 1.0
