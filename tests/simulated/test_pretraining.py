"""Pretraining on the simulated accelerator: the weights of a CPU, resumed to the bit, without waiting in a step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import simulated_accelerator as accelerator
import torch
from interruption import Interrupted, interrupt_at
from toy_pretraining import toy_material, toy_recipe, weights_of

from course_lib.checkpoints import CheckpointFolder
from course_lib.pretraining import Material, pretrain, tied_cross_entropy


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return toy_material(tmp_path_factory.mktemp("corpus"))


@pytest.mark.parametrize("kind", ["mlm+nsp", "mlm", "causal"])
def test_a_run_as_on_a_cpu(kind: str, material: Material, on_cpu: Callable[..., Any]) -> None:
    recipe = toy_recipe(material, objective=kind)
    done, alone = pretrain(recipe, material=material), on_cpu(lambda: pretrain(recipe, material=material))
    assert next(done.model.parameters()).device.type == accelerator.NAME
    assert done.held_out.loss == pytest.approx(alone.held_out.loss, rel=1e-5)
    for name, tensor in weights_of(done).items():
        torch.testing.assert_close(tensor.cpu(), weights_of(alone)[name], atol=2e-5, rtol=1e-4)


def test_an_interrupted_run_ends_in_the_same_weights(material: Material, tmp_path: Path) -> None:
    recipe, folder = toy_recipe(material), CheckpointFolder(tmp_path, 4)
    whole = weights_of(pretrain(recipe, material=material))
    with pytest.raises(Interrupted):
        pretrain(recipe, material=material, checkpoints=folder, callbacks=[interrupt_at(9)], log_every=1)
    resumed = weights_of(pretrain(recipe, material=material, checkpoints=folder))
    assert all(torch.equal(tensor.cpu(), resumed[name].cpu()) for name, tensor in whole.items())


def test_a_step_does_not_wait(material: Material) -> None:
    """More steps between two rows of the log take no more synchronizations."""
    counts = []
    for steps in (16, 32):
        with accelerator.counted() as waits:
            pretrain(toy_recipe(material, objective="mlm", tokens=256 * steps), material=material, log_every=1000)
        counts.append(waits["synchronize"] + waits["to_host"])
    assert counts[1] - counts[0] < 16


def test_launches_of_a_step_do_not_grow_with_its_rows(material: Material) -> None:
    """Nor do transfers: a batch has three tensors on the device (ids, predicted positions, targets)."""
    launches, transfers = [], []
    for tokens in (256, 2048):  # of a batch: 8 and 64 rows
        totals = []
        for steps in (8, 16):
            recipe = toy_recipe(material, objective="mlm", batch_tokens=tokens, tokens=tokens * steps)
            with accelerator.counted() as counts:
                pretrain(recipe, material=material, log_every=1000)
            totals.append((accelerator.launches.total(), counts["to_device"]))
        launches.append((totals[1][0] - totals[0][0]) / 8)
        transfers.append((totals[1][1] - totals[0][1]) / 8)
    assert launches[0] == launches[1] <= 60 + 65 * 2, accelerator.launches.most_common(8)  # two layers
    assert transfers == [3, 3], counts


def test_launches_of_the_loss_do_not_grow_with_the_predicted_words() -> None:
    embeddings, bias = torch.randn(30_522, 4, device="sim"), torch.zeros(30_522, device="sim")
    launches = []
    for words in (10, 1000):
        hidden = torch.randn(words, 4, device="sim", requires_grad=True)
        with accelerator.counted():
            tied_cross_entropy(hidden, embeddings, bias, torch.arange(words, device="sim")).backward()
        launches.append(accelerator.launches.total())
    assert launches[0] == launches[1] > 0, accelerator.launches
