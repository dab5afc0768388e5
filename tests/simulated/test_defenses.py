"""Adversarial training, mixup, defended classifiers and contextual augmentation on an accelerator, as on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import simulated_accelerator as accelerator
from toy_classifiers import LABELS, MIXED, QUICK, TEXTS, tiny

from course_lib.augmentation import ContextualReplacement, Mixup, naive_bayes
from course_lib.classifier import TextClassifier
from course_lib.defenses import FGM, Ensemble, FreeLB, PGDTraining, Smoothed, WordSubstitution
from course_lib.pretraining import LanguageModel

OnCpu = Callable[[Callable[[], Any]], Any]
WRAPPERS = {
    "FGM": FGM(), "PGD": PGDTraining(steps=2), "FreeLB": FreeLB(steps=2),
    "mixup": Mixup(),
}  # fmt: skip


def fit(wrapper: Any, epochs: int = 2, **training: Any) -> TextClassifier:
    return tiny(replace(QUICK, epochs=epochs, **training)).fit(TEXTS, LABELS, loss_wrapper=wrapper)


def rewritten() -> TextClassifier:
    tokenizer = fit(None, 1).tokenizer_
    return fit(WordSubstitution(TEXTS, tokenizer, clean=0.2))


@pytest.mark.parametrize("name", [*WRAPPERS, "words"])
def test_training_as_on_a_cpu(name: str, on_cpu: OnCpu) -> None:
    def predictions() -> Any:
        return (rewritten() if name == "words" else fit(WRAPPERS[name])).decision_logits(MIXED)

    np.testing.assert_allclose(predictions(), on_cpu(predictions), atol=1e-3)


@pytest.mark.parametrize("name", WRAPPERS)
def test_a_step_does_not_wait(name: str) -> None:
    with accelerator.counted() as counts:
        fitted = fit(WRAPPERS[name], 5, batch_size=4)
    steps, rows = 50, len(fitted.history_.rows)
    assert counts["synchronize"] + counts["to_host"] <= 3 * rows + 2 < steps, accelerator.places.most_common(8)


def test_smoothed_ensembles(on_cpu: OnCpu) -> None:
    def predictions() -> Any:
        return Smoothed(Ensemble([fit(None), fit(None, order_seed=1)]), samples=3).predict_proba(TEXTS)

    np.testing.assert_allclose(predictions(), on_cpu(predictions), atol=1e-4)


def test_contextual_replacement(on_cpu: OnCpu) -> None:
    def rewrites() -> list[str]:
        model = LanguageModel.from_pretrained("tiny-bert")
        return ContextualReplacement(model, naive_bayes(TEXTS, LABELS))(TEXTS[:8], 1)

    assert rewrites() == on_cpu(rewrites)
