"""Adversarial training in the space of token embeddings: `TextClassifier.fit(..., loss_wrapper=FreeLB())`.

A wrapper turns the usual loss of a batch into a harder one: the loss at embeddings that were moved, inside a ball, to
where it is high. Padding, `[CLS]` and `[SEP]` stay as they are. All passes of a step share one dropout mask (Zhu et al.
2020, 3.3), so that only the perturbation differs between them. Losses are weighted means, not sums, so that gradient
clipping and curves of the loss keep their scale. Embeddings are moved on a private copy of the module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.attacks.perturbation import Ball, ascend, check_steps, default_step_size, movable
from course_lib.batching import Batch
from course_lib.classifier import Loss
from course_lib.errors import BadInput
from course_lib.text.modules import add_to_embeddings, input_embeddings, shared_copy


@dataclass(frozen=True)
class FGM:
    """One step along the gradient (Miyato et al. 2017, arXiv:1605.07725, section 3).

    Their J + lambda J_adv is, up to its scale, an `adversarial_weight` of lambda / (1 + lambda); they use lambda = 1.
    They first normalise the embeddings to a mean length of 1, which is left out here.

    Args:
        epsilon: the ball's radius, in units of the embeddings.
        adversarial_weight: of the adversarial loss, from 0 to 1; the usual loss has the rest.
        norm: `l2`, over all tokens of a text together, or `linf`, which makes it the fast gradient sign method.

    Raises:
        BadInput: an unknown norm, or a number out of its range.
    """

    epsilon: float = 0.2
    adversarial_weight: float = 0.5
    norm: str = "l2"

    def __post_init__(self) -> None:
        Ball(self.norm, self.epsilon)
        _check_weight(self.adversarial_weight)

    @property
    def passes(self) -> int:
        """Forward and backward passes of a training step; the usual one has 1."""
        return 2

    def __call__(self, usual: Loss) -> Loss:
        within = Ball(self.norm, self.epsilon)

        def loss_of(module: nn.Module, batch: Batch) -> Tensor:
            step = _Step(usual, module, batch)
            clean = step.differentiate(step.zeros, step.weights)  # for the perturbation and for the usual loss
            delta = ascend(lambda _: clean.of_delta, step.zeros, within, step.mask, 1, self.epsilon)
            usual_loss = step.with_gradients(clean.loss, clean.of_weights)
            return (1 - self.adversarial_weight) * usual_loss + self.adversarial_weight * step.loss(delta)

        return loss_of


@dataclass(frozen=True)
class _RandomStart:
    """Several steps of ascent from a random point.

    Args:
        epsilon: the ball's radius, in units of the embeddings.
        steps: of the ascent.
        step_size: of each; when left out epsilon for one step, 2.5 epsilon / steps for more.
        norm: `l2` over all tokens of a text together, or `linf`.

    Raises:
        BadInput: an unknown norm, or a number out of its range.
    """

    epsilon: float = 0.2
    steps: int = 3
    step_size: float | None = None
    norm: str = "l2"

    def __post_init__(self) -> None:
        Ball(self.norm, self.epsilon)
        check_steps(self.steps, self.step_size)

    def _ascend(self, step: _Step, gradient: Callable[[Tensor], Tensor]) -> Tensor:
        within = Ball(self.norm, self.epsilon)
        size = default_step_size(self.epsilon, self.steps) if self.step_size is None else self.step_size
        return ascend(gradient, within.random_point(step.noise, step.mask), within, step.mask, self.steps, size)


@dataclass(frozen=True)
class PGDTraining(_RandomStart):
    """Several steps from a random point, then the loss at the end (Madry et al. 2018, arXiv:1706.06083, equation 2.1).

    The backward passes of the steps need no gradients of weights, which saves half of each.

    Args:
        adversarial_weight: of the adversarial loss, from 0 to 1; Madry et al. train on it alone.
    """

    adversarial_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_weight(self.adversarial_weight)

    @property
    def passes(self) -> int:
        """Forward and backward passes of a training step; the usual one has 1."""
        return self.steps + 1 + (self.adversarial_weight < 1)

    def __call__(self, usual: Loss) -> Loss:
        def loss_of(module: nn.Module, batch: Batch) -> Tensor:
            step, weight = _Step(usual, module, batch, random_start=True), self.adversarial_weight
            hard = step.loss(self._ascend(step, lambda delta: step.differentiate(delta).of_delta))
            return hard if weight == 1 else (1 - weight) * step.loss(step.zeros) + weight * hard

        return loss_of


@dataclass(frozen=True)
class FreeLB(_RandomStart):
    """The mean loss over the points of an ascent from a random point (Zhu et al. 2020, arXiv:1909.11764, algorithm 1).

    "Free", since the backward pass that moves the perturbation also gives the gradients of the weights: K steps cost K
    passes, where `PGDTraining` with as many costs K + 2.
    """

    @property
    def passes(self) -> int:
        """Forward and backward passes of a training step; the usual one has 1."""
        return self.steps

    def __call__(self, usual: Loss) -> Loss:
        def loss_of(module: nn.Module, batch: Batch) -> Tensor:
            step = _Step(usual, module, batch, random_start=True)
            total: list[_Derivatives] = []

            def gradient(delta: Tensor) -> Tensor:
                new = step.differentiate(delta, step.weights)
                total[:] = [total[0].plus(new) if total else new]  # a sum: memory does not grow with the steps
                return new.of_delta

            self._ascend(step, gradient)
            return step.with_gradients(total[0].loss, total[0].of_weights) / self.steps

        return loss_of


def _check_weight(weight: float) -> None:
    if not 0 <= weight <= 1:
        raise BadInput(f"adversarial_weight is {weight}", "use a number from 0 to 1")


@dataclass(frozen=True)
class _Derivatives:
    """The loss at a perturbation, and its gradients there; None for a weight that is not used."""

    loss: Tensor
    of_delta: Float[Tensor, "batch seq hidden"]
    of_weights: Sequence[Tensor | None]

    def plus(self, other: _Derivatives) -> _Derivatives:
        pairs = zip(self.of_weights, other.of_weights, strict=True)
        of_weights = [b if a is None else a if b is None else a + b for a, b in pairs]
        return _Derivatives(self.loss + other.loss, other.of_delta, of_weights)


class _Step:
    """One batch, whose loss can be computed at several perturbations with one dropout mask."""

    def __init__(self, usual: Loss, module: nn.Module, batch: Batch, random_start: bool = False) -> None:
        self.usual, self.module, self.batch = usual, shared_copy(module), batch
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        self.mask, width = movable(batch.attention_mask), input_embeddings(module).embedding_dim
        self.zeros = torch.zeros((*batch.input_ids.shape, width), device=self.mask.device)
        # Drawn from torch's own random numbers, which a checkpoint keeps.
        self.noise = torch.empty_like(self.zeros).uniform_(-1, 1) if random_start else self.zeros
        kind = self.mask.device.type
        self.random: Any = torch if kind == "cpu" else torch.get_device_module(kind)
        self.random_state = self.random.get_rng_state()

    def loss(self, delta: Tensor) -> Tensor:
        """The usual loss with the embeddings moved by delta."""
        self.random.set_rng_state(self.random_state)
        with add_to_embeddings(self.module, delta):
            return self.usual(self.module, self.batch)

    def differentiate(self, delta: Tensor, weights: Sequence[Tensor] = ()) -> _Derivatives:
        """The loss and its gradients; the graph is freed, and no gradient is left on the weights."""
        delta = delta.detach().requires_grad_()
        loss = self.loss(delta)
        of_delta, *of_weights = torch.autograd.grad(loss, [delta, *weights], allow_unused=True)
        return _Derivatives(loss.detach(), of_delta, of_weights)

    def with_gradients(self, loss: Tensor, gradients: Sequence[Tensor | None]) -> Tensor:
        """The loss as a tensor whose backward pass returns gradients that were computed before."""
        made: Tensor = _WithGradients.apply(loss, gradients, *self.weights)  # type: ignore[no-untyped-call]
        return made


class _WithGradients(torch.autograd.Function):
    """A loss whose gradients were computed before; its backward pass scales them, once."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: Sequence[Tensor | None], *weights: Tensor) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *(None if one is None else one * outer[0] for one in ctx.gradients))
