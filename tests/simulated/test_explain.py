"""Explanations on an accelerator are those of the CPU, and their loops do not wait for the device at every batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simulated_accelerator as accelerator
import toy_classifiers

from course_lib.explain import METHODS, explain

OnCpu = Callable[[Callable[[], Any]], Any]
OURS = [method for method in METHODS if not method.endswith("package")]


@pytest.mark.parametrize("method", OURS)
def test_an_explanation_is_that_of_a_cpu(method: str, on_cpu: OnCpu) -> None:
    def scores() -> Any:
        sampled = {"samples": 60} if "samples" in METHODS[method].settings else {}
        return [one.scores for one in explain(toy_classifiers.fitted(), toy_classifiers.TEXTS[:3], method, **sampled)]

    for here, there in zip(scores(), on_cpu(scores), strict=True):
        np.testing.assert_allclose(here, there, atol=1e-4)


@pytest.mark.parametrize("method", ["lime", "shap", "ig", "rollout"])
def test_waits_do_not_grow_with_the_texts(method: str) -> None:
    model, waits = toy_classifiers.fitted(), []
    for repeats in (1, 4):
        texts = [f"{text} {number}" for text in toy_classifiers.TEXTS[:3] for number in range(repeats)]
        with accelerator.counted() as counts:
            explain(model, texts, method)
        waits.append(counts["synchronize"] + counts["to_host"])
    assert waits[0] < 20 and waits[1] <= waits[0] + 2, accelerator.places.most_common(8)


@pytest.mark.parametrize("method", ["lime", "shap"])
def test_launches_do_not_grow_with_the_samples(method: str) -> None:
    """As long as all samples fit into one batch, a method asks the model once."""
    model, launches = toy_classifiers.fitted(), []
    text = " ".join(f"{word} {number}" for number, word in enumerate(toy_classifiers.TEXTS[:6]))
    for samples in (100, 400):
        with accelerator.counted() as counts:
            explain(model, [text], method, samples=samples)
        launches.append(accelerator.launches.total())
        assert counts["to_device"] < 20, counts
    assert launches[0] == launches[1] > 0, accelerator.launches.most_common(8)
