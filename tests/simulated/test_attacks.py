"""Attacks on an accelerator find what they find on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import toy_classifiers
from torch import nn

from course_lib import machine
from course_lib.attacks import PGD, RECIPES, exchange_gains, recipe
from course_lib.training import TensorBatch, TensorBatches, TrainingConfig, train

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


def test_images_are_attacked_as_on_a_cpu(on_cpu: OnCpu) -> None:
    """And a model of plain tensors is trained: all the way from batches to attacked images."""
    random = torch.Generator().manual_seed(0)
    images, labels = torch.rand(24, 3, 4, generator=random), torch.randint(0, 3, (24,), generator=random)

    def objective(module: nn.Module, batch: TensorBatch) -> torch.Tensor:
        inputs, targets = batch.tensors
        return F.cross_entropy(module(inputs), targets)

    def attacked() -> torch.Tensor:
        torch.manual_seed(0)
        module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).to(machine.device())
        settings = TrainingConfig(epochs=2, batch_size=8, precision="float32")
        train(module, TensorBatches(images, labels, batch_size=8), objective, settings)
        on_device = images.to(machine.device()), labels.to(machine.device())
        return PGD(0.1, "linf", 4).perturb_images(module, *on_device, seed=1).cpu()

    torch.testing.assert_close(attacked(), on_cpu(attacked), atol=1e-5, rtol=0)
