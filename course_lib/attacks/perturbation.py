"""A number added to every number of the token embeddings, held in a ball, and pushed uphill.

Attacks (`embedding`) and adversarial training (`defenses.adversarial`) share this: how large a perturbation is, how it
is brought back into its ball, which tokens it may touch, how it enters a model, and the one loop that improves it.
A perturbation of a batch is a tensor (batch, seq, hidden), added to what the embedding layer gives, before positions
and layer norm. Its size is in units of the embeddings themselves, which are not normalised first, unlike in Miyato et
al.: the course encoder's tokens have vectors of about length 1.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.errors import BadInput

_TINY = 1e-12  # keeps a division by the length of nothing finite


class Ball(Protocol):
    """All perturbations of a row that are no larger than `epsilon`."""

    @property
    def epsilon(self) -> float: ...

    def measure(self, delta: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch"]:
        """The size of each row's perturbation."""
        ...

    def project(self, delta: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq hidden"]:
        """The nearest point of the ball, for each row."""
        ...

    def steepest(self, gradient: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq hidden"]:
        """The step of size 1 that climbs most, to first order; nothing where the gradient is 0."""
        ...

    def inside(self, noise: Float[Tensor, "batch seq hidden"], movable: Tensor) -> Float[Tensor, "batch seq hidden"]:
        """Numbers from -1 to 1, made a point of the ball that is 0 where nothing may move."""
        ...


@dataclass(frozen=True)
class _Sized:
    epsilon: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon >= 0):
            raise BadInput(f"epsilon is {self.epsilon}", "use a number from 0 on")


@dataclass(frozen=True)
class L2Ball(_Sized):
    """Euclidean length over all tokens of a sentence together (Miyato et al. 2017, arXiv:1605.07725).

    A long sentence therefore has less for each of its tokens than a short one.
    """

    def measure(self, delta: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch"]:
        size: Tensor = torch.linalg.vector_norm(delta, dim=(1, 2))
        return size

    def project(self, delta: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq hidden"]:
        share = self.epsilon / self.measure(delta).clamp_min(_TINY)
        return delta * share.clamp_max(1.0)[:, None, None]

    def steepest(self, gradient: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq hidden"]:
        # A saturated model's gradient can be smaller than float32 can square: its largest number is made 1 first.
        scaled = gradient / gradient.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
        return scaled / self.measure(scaled).clamp_min(_TINY)[:, None, None]

    def inside(self, noise: Float[Tensor, "batch seq hidden"], movable: Tensor) -> Float[Tensor, "batch seq hidden"]:
        """Divided by the root of how many numbers may move, as FreeLB starts (arXiv:1909.11764, algorithm 1)."""
        numbers = (movable.sum(1) * noise.shape[-1]).clamp_min(1.0)  # (batch, 1)
        return noise * movable * self.epsilon / numbers.sqrt()[:, None]


@dataclass(frozen=True)
class LinfBall(_Sized):
    """Each number on its own is changed by at most `epsilon` (Goodfellow et al. 2015, arXiv:1412.6572)."""

    def measure(self, delta: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch"]:
        return delta.abs().amax((1, 2))

    def project(self, delta: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq hidden"]:
        return delta.clamp(-self.epsilon, self.epsilon)

    def steepest(self, gradient: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch seq hidden"]:
        return gradient.sign()

    def inside(self, noise: Float[Tensor, "batch seq hidden"], movable: Tensor) -> Float[Tensor, "batch seq hidden"]:
        return noise * movable * self.epsilon


BALLS: dict[str, type[L2Ball] | type[LinfBall]] = {"l2": L2Ball, "linf": LinfBall}


def ball(norm: str, epsilon: float) -> Ball:
    """The ball of that name and radius.

    Raises:
        BadInput: an unknown name, a radius below 0 or not finite.
    """
    if norm not in BALLS:
        raise BadInput(f"norm is {norm!r}", f"use one of {', '.join(BALLS)}")
    return BALLS[norm](epsilon)


def check_steps(steps: int, step_size: float | None) -> None:
    """Raises BadInput for less than one step, or a step size below 0."""
    if steps < 1:
        raise BadInput(f"steps is {steps}", "use 1 or more")
    if step_size is not None and not (math.isfinite(step_size) and step_size >= 0):
        raise BadInput(f"step_size is {step_size}", "use a number from 0 on, or None")


def usual_step(epsilon: float, steps: int) -> float:
    """One step goes all the way; more go 2.5 epsilon / steps each, which reaches any point of the ball (Madry 2018)."""
    return epsilon if steps == 1 else 2.5 * epsilon / steps


def movable(attention_mask: Int[Tensor, "batch seq"], special_tokens: bool = False) -> Float[Tensor, "batch seq 1"]:
    """1 for a token that may be perturbed, else 0: never padding.

    The first and the last token of a row, where BERT has `[CLS]` and `[SEP]`, stay as they are unless
    `special_tokens`: no writer could change them.
    """
    mask = attention_mask.float()
    if not special_tokens:
        place = torch.arange(mask.shape[1], device=mask.device)
        mask = mask * (place > 0) * (place < attention_mask.sum(1, keepdim=True) - 1)
    return mask[..., None]


@contextmanager
def shifted(layer: nn.Embedding, delta: Float[Tensor, "batch seq hidden"]) -> Iterator[None]:
    """While inside, the layer gives its vectors plus `delta`; gradients reach both."""

    def add(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        return output + delta

    hook = layer.register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()


def ascend(
    gradient: Callable[[Tensor], Tensor],
    start: Float[Tensor, "batch seq hidden"],
    within: Ball,
    mask: Float[Tensor, "batch seq 1"],
    steps: int,
    step_size: float,
) -> Float[Tensor, "batch seq hidden"]:
    """Projected gradient ascent (Madry et al. 2018, arXiv:1706.06083, section 2): the last of `steps` points.

    Args:
        gradient: of the loss at a perturbation, which is called once a step: the place for whatever else is to be done.
        start: a point of the ball.
        within: the ball.
        mask: what may move.
        steps: how many.
        step_size: of each, in the ball's own measure.
    """
    delta = start
    for _ in range(steps):
        delta = within.project(delta + step_size * within.steepest(gradient(delta) * mask)).detach()
    return delta
