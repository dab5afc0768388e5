"""Adversarial training in the space of token embeddings: `TextClassifier.fit(..., loss_wrapper=FreeLB())`.

An adversary turns the usual loss of a batch into a harder one: the loss at embeddings that were moved, inside a ball,
to where it is high. Padding, `[CLS]` and `[SEP]` stay as they are. All passes of a step share one dropout mask (Zhu et
al. 2020, 3.3), so that only the perturbation differs between them. Losses are weighted means, not sums, so that
gradient clipping and curves of the loss keep their scale. The adversaries are plain frozen values: two of equal `repr`
train alike, which is how a run that was broken off knows its own checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.attacks.perturbation import ascend, ball, check_steps, movable, shifted, usual_step
from course_lib.attacks.view import input_embeddings
from course_lib.batching import Batch
from course_lib.classifier import Loss
from course_lib.errors import BadInput


@dataclass(frozen=True)
class FGM:
    """One step along the gradient (Miyato et al. 2017, arXiv:1605.07725, section 3).

    Their J + lambda J_adv is, but for its scale, a share of lambda / (1 + lambda); they use lambda = 1. They make each
    token's embedding of length 1 on average first, which is left out here.

    Args:
        epsilon: the ball's radius, in units of the embeddings.
        share: of the loss that is adversarial, from 0 to 1; the rest is the usual loss.
        norm: `l2`, over all tokens of a text together, or `linf`, which makes it the fast gradient sign method.

    Raises:
        BadInput: an unknown norm, or a number out of its range.
    """

    epsilon: float = 0.2
    share: float = 0.5
    norm: str = "l2"

    def __post_init__(self) -> None:
        ball(self.norm, self.epsilon)
        _check_share(self.share)

    @property
    def passes(self) -> int:
        """Forward and backward passes of a training step; the usual one has 1."""
        return 2

    def __call__(self, usual: Loss) -> Loss:
        within = ball(self.norm, self.epsilon)

        def loss_of(module: nn.Module, batch: Batch) -> Tensor:
            step = _Step(usual, module, batch)
            found = step.look(step.nowhere, step.weights)  # serves the perturbation and the usual loss
            delta = ascend(lambda _: found.uphill, step.nowhere, within, step.mask, 1, self.epsilon)
            clean = step.known(found.loss, found.gradients)
            return (1 - self.share) * clean + self.share * step.loss(delta)

        return loss_of


@dataclass(frozen=True)
class PGDTraining:
    """Several steps from a random point, then the loss at the end (Madry et al. 2018, arXiv:1706.06083, equation 2.1).

    Args:
        epsilon: the ball's radius, in units of the embeddings.
        steps: of the ascent; their backward passes need no gradients of weights, which spares half of each.
        step_size: of each; when left out epsilon for one step, 2.5 epsilon / steps for more.
        share: of the loss that is adversarial, from 0 to 1; Madry et al. train on it alone.
        norm: `l2` over all tokens of a text together, or `linf`.

    Raises:
        BadInput: an unknown norm, or a number out of its range.
    """

    epsilon: float = 0.2
    steps: int = 3
    step_size: float | None = None
    share: float = 0.5
    norm: str = "l2"

    def __post_init__(self) -> None:
        ball(self.norm, self.epsilon)
        check_steps(self.steps, self.step_size)
        _check_share(self.share)

    @property
    def passes(self) -> int:
        """Forward and backward passes of a training step; the usual one has 1."""
        return self.steps + 1 + (self.share < 1)

    def __call__(self, usual: Loss) -> Loss:
        within = ball(self.norm, self.epsilon)
        size = usual_step(self.epsilon, self.steps) if self.step_size is None else self.step_size

        def loss_of(module: nn.Module, batch: Batch) -> Tensor:
            step = _Step(usual, module, batch, draws=True)
            start = within.inside(step.noise, step.mask)
            delta = ascend(lambda at: step.look(at).uphill, start, within, step.mask, self.steps, size)
            hard = step.loss(delta)
            return hard if self.share == 1 else (1 - self.share) * step.loss(step.nowhere) + self.share * hard

        return loss_of


@dataclass(frozen=True)
class FreeLB:
    """The mean loss over the points of an ascent from a random point (Zhu et al. 2020, arXiv:1909.11764, algorithm 1).

    "Free", since the backward pass that moves the perturbation gives the weights' gradients, too: K steps cost K
    passes, where `PGDTraining` with as many costs K + 2.

    Args:
        epsilon: the ball's radius, in units of the embeddings.
        steps: points of the ascent, the random one included.
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
        ball(self.norm, self.epsilon)
        check_steps(self.steps, self.step_size)

    @property
    def passes(self) -> int:
        """Forward and backward passes of a training step; the usual one has 1."""
        return self.steps

    def __call__(self, usual: Loss) -> Loss:
        within = ball(self.norm, self.epsilon)
        size = usual_step(self.epsilon, self.steps) if self.step_size is None else self.step_size

        def loss_of(module: nn.Module, batch: Batch) -> Tensor:
            step = _Step(usual, module, batch, draws=True)
            looks: list[_Look] = []

            def gradient(delta: Tensor) -> Tensor:
                new = step.look(delta, step.weights)
                looks[:] = [looks[0].plus(new) if looks else new]  # the sum, so that memory does not grow with steps
                return new.uphill

            ascend(gradient, within.inside(step.noise, step.mask), within, step.mask, self.steps, size)
            return step.known(looks[0].loss, looks[0].gradients) / self.steps

        return loss_of


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise BadInput(f"share is {share}", "use a number from 0 to 1")


@dataclass(frozen=True)
class _Look:
    """The loss at a perturbation, its gradient there, and those of the weights (None for one that it does not use)."""

    loss: Tensor
    uphill: Float[Tensor, "batch seq hidden"]
    gradients: Sequence[Tensor | None]

    def plus(self, other: _Look) -> _Look:
        pairs = zip(self.gradients, other.gradients, strict=True)
        gradients = [b if a is None else a if b is None else a + b for a, b in pairs]
        return _Look(self.loss + other.loss, other.uphill, gradients)


class _Step:
    """One batch, which can be looked at again and again with one dropout mask."""

    def __init__(self, usual: Loss, module: nn.Module, batch: Batch, draws: bool = False) -> None:
        self.usual, self.module, self.batch = usual, module, batch
        self.layer = input_embeddings(module)
        self.weights = [weight for weight in module.parameters() if weight.requires_grad]
        self.mask = movable(batch.attention_mask)
        self.nowhere = torch.zeros((*batch.input_ids.shape, self.layer.embedding_dim), device=self.mask.device)
        # Drawn from torch's own random numbers, which a checkpoint keeps.
        self.noise = torch.empty_like(self.nowhere).uniform_(-1, 1) if draws else self.nowhere
        self.cuda = self.mask.device if self.mask.is_cuda else None
        self.random = torch.cuda.get_rng_state(self.cuda) if self.cuda else torch.get_rng_state()

    def loss(self, delta: Tensor) -> Tensor:
        """The usual loss with the embeddings moved by delta."""
        if self.cuda:
            torch.cuda.set_rng_state(self.random, self.cuda)
        else:
            torch.set_rng_state(self.random)
        with shifted(self.layer, delta):
            return self.usual(self.module, self.batch)

    def look(self, delta: Tensor, weights: Sequence[Tensor] = ()) -> _Look:
        """The loss and its gradients; the graph is gone afterwards, and nothing is left on the weights."""
        delta = delta.detach().requires_grad_()
        loss = self.loss(delta)
        uphill, *gradients = torch.autograd.grad(loss, [delta, *weights], allow_unused=True)
        return _Look(loss.detach(), uphill, gradients)

    def known(self, loss: Tensor, gradients: Sequence[Tensor | None]) -> Tensor:
        """The loss as a tensor whose backward pass hands out gradients that are known already."""
        handed: Tensor = _Known.apply(loss, gradients, *self.weights)  # type: ignore[no-untyped-call]
        return handed


class _Known(torch.autograd.Function):
    """A loss whose gradients were computed before; its backward pass scales them, once."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: Sequence[Tensor | None], *weights: Tensor) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, *(None if one is None else one * outer[0] for one in ctx.gradients))
