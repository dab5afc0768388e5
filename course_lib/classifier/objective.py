"""What training makes small, and what validation measures, from the outputs of a module."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.batching import Batch
from course_lib.training import LogEntry

Loss = Callable[[nn.Module, Batch], Tensor]  # the mean loss of a batch
LossWrapper = Callable[[Loss], Loss]  # another loss made of the usual one: adversarial training, mixup


def objective(targets: Mapping[str, Tensor], classes: int) -> Loss:
    """The mean loss of a batch: cross-entropy over the first `classes` outputs, mean squared error of the last one.

    Args:
        targets: `labels`, instead of them `soft_labels`, and `ratings`, each where it is learned; on the device.
        classes: 0 for regression.
    """
    wanted = targets.get("soft_labels", targets.get("labels"))
    ratings = targets.get("ratings")

    def loss_of(module: nn.Module, batch: Batch) -> Tensor:
        output = module(batch.input_ids, batch.attention_mask).float()
        loss: Tensor = output.new_zeros(())
        if wanted is not None:
            loss = loss + F.cross_entropy(output[:, :classes], wanted[batch.index])
        if ratings is not None:
            loss = loss + F.mse_loss(output[:, -1], ratings[batch.index])
        return loss

    return loss_of


def measure(output: Float[Tensor, "n outputs"], labels: Tensor, classes: int) -> LogEntry:
    """Loss and accuracy on validation data; for regression (`classes` 0) the mean squared error."""
    if not classes:
        return {"validation_loss": F.mse_loss(output[:, 0], labels).item()}
    logits = output[:, :classes]
    right = (logits.argmax(-1) == labels).float().mean().item()
    return {"validation_loss": F.cross_entropy(logits, labels).item(), "validation_accuracy": right}
