"""A perturbation of token embeddings or of pixels, kept in a ball, that climbs the loss.

Attacks (`pgd`) and adversarial training (`defenses.adversarial`) share this: how large a perturbation is, how it is
projected into its ball, which tokens it may change, and the one loop that improves it. A perturbation of a batch is a
tensor (batch, seq, hidden), added to the output of the embedding layer, before positions and layer norm. Its size is in
units of the embeddings themselves, which are not normalised first, unlike in Miyato et al.: the course encoder's tokens
have vectors of about length 1.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.errors import BadInput

_TINY = 1e-12  # keeps a division by the length of nothing finite
NORMS = {"l2": 2.0, "linf": math.inf}  # orders
Perturbation = Float[Tensor, "batch seq hidden"]


@dataclass(frozen=True)
class Ball:
    """All perturbations of a row that are no larger than `epsilon`.

    Args:
        norm: `l2`, the Euclidean length over all tokens of a sentence together (Miyato et al. 2017, arXiv:1605.07725),
            so that a long sentence has less for each of its tokens than a short one; or `linf`, by which each number on
            its own is changed by at most `epsilon` (Goodfellow et al. 2015, arXiv:1412.6572).
        epsilon: the radius.

    Raises:
        BadInput: an unknown norm, a radius below 0 or not finite.
    """

    norm: str
    epsilon: float

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise BadInput(f"norm is {self.norm!r}", f"use one of {', '.join(NORMS)}")
        if not (math.isfinite(self.epsilon) and self.epsilon >= 0):
            raise BadInput(f"epsilon is {self.epsilon}", "use a number from 0 on")

    def measure(self, delta: Perturbation) -> Float[Tensor, "batch"]:
        """The size of each row's perturbation."""
        size: Tensor = torch.linalg.vector_norm(delta, NORMS[self.norm], dim=(1, 2))
        return size

    def project(self, delta: Perturbation) -> Perturbation:
        """The nearest point of the ball, for each row."""
        if self.norm == "linf":
            return delta.clamp(-self.epsilon, self.epsilon)
        scale = self.epsilon / self.measure(delta).clamp_min(_TINY)
        return delta * scale.clamp_max(1.0)[:, None, None]

    def steepest(self, gradient: Perturbation) -> Perturbation:
        """The step of size 1 that climbs most, to first order; nothing where the gradient is 0."""
        if self.norm == "linf":
            return gradient.sign()
        # A saturated model's gradient can be smaller than float32 can square: its largest number is made 1 first.
        scaled = gradient / gradient.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
        return scaled / self.measure(scaled).clamp_min(_TINY)[:, None, None]

    def random_point(self, noise: Perturbation, movable: Float[Tensor, "batch seq 1"]) -> Perturbation:
        """Numbers from -1 to 1, made a point of the ball that is 0 where nothing may move.

        In the L2 ball divided by the root of how many numbers may move, as FreeLB starts (arXiv:1909.11764, alg. 1).
        """
        point = noise * movable * self.epsilon
        if self.norm == "linf":
            return point
        numbers = (movable.sum(1) * noise.shape[-1]).clamp_min(1.0)  # (batch, 1)
        return point / numbers.sqrt()[:, None]


def check_steps(steps: int, step_size: float | None) -> None:
    """Raises BadInput for less than one step, or a step size below 0."""
    if steps < 1:
        raise BadInput(f"steps is {steps}", "use 1 or more")
    if step_size is not None and not (math.isfinite(step_size) and step_size >= 0):
        raise BadInput(f"step_size is {step_size}", "use a number from 0 on, or None")


def default_step_size(epsilon: float, steps: int) -> float:
    """One step goes to the border; more go 2.5 epsilon / steps each, which reaches every point (Madry 2018)."""
    return epsilon if steps == 1 else 2.5 * epsilon / steps


def movable(attention_mask: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq 1"]:
    """1 for a token that may be perturbed, else 0: never padding.

    The first and the last token of a row, where BERT has `[CLS]` and `[SEP]`, stay as they are: no writer could change
    them.
    """
    place = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    inside = (place > 0) & (place < attention_mask.sum(1, keepdim=True) - 1)
    return (attention_mask * inside).float()[..., None]


def ascend(
    gradient: Callable[[Tensor], Tensor],
    start: Perturbation,
    within: Ball,
    mask: Float[Tensor, "batch seq 1"],
    steps: int,
    step_size: float,
    limits: tuple[Tensor, Tensor] | None = None,
) -> Perturbation:
    """Projected gradient ascent (Madry et al. 2018, arXiv:1706.06083, section 2): the last of `steps` points.

    Args:
        gradient: of the loss at a perturbation; called once a step, the place for whatever else is to be done.
        start: a point of the ball.
        within: the ball.
        mask: what may move.
        steps: how many.
        step_size: of each, in the ball's own measure.
        limits: least and largest value of each number of the perturbation, of its shape, if there are such; 0 lies
            between them, so that a point that is moved within them stays in the ball.
    """
    delta = start
    for _ in range(steps):
        delta = within.project(delta + step_size * within.steepest(gradient(delta) * mask)).detach()
        delta = delta if limits is None else torch.clamp(delta, *limits)
    return delta
