"""Attacks on an accelerator find what they find on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import toy_classifiers

from course_lib.attacks import PGD, RECIPES, exchange_gains, recipe

OnCpu = Callable[[Callable[[], Any]], Any]
TEXTS, LABELS = toy_classifiers.TEXTS[:3], toy_classifiers.LABELS[:3]


@pytest.mark.parametrize("name", RECIPES)
def test_an_attack_finds_what_it_finds_on_a_cpu(name: str, on_cpu: OnCpu) -> None:
    def results() -> Any:
        attack = replace(recipe(name), query_budget=60, precision="float32")  # others round differently
        return attack.run(toy_classifiers.fitted(), TEXTS, LABELS).results

    assert results() == on_cpu(results)


def test_gradients_and_embeddings_are_those_of_a_cpu(on_cpu: OnCpu) -> None:
    def numbers() -> list[Any]:
        model = toy_classifiers.fitted()
        report = PGD(steps=3).run(model, TEXTS, LABELS)
        gains = exchange_gains(model, "a good film", 1)[["predicted", "true"]].to_numpy()
        return [report.loss_before, report.loss_after, gains]

    for here, there in zip(numbers(), on_cpu(numbers), strict=True):
        np.testing.assert_allclose(here, there, atol=1e-3)
