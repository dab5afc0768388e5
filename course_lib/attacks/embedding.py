"""Attacks in the space of token embeddings: no text, but a bound on what any small change of the vectors can do.

Such a perturbation is in general nobody's word, so it harms no user; it shows how steep the loss is around a text, and
adversarial training (`defenses.adversarial`) makes its examples so. One loop serves all: the fast gradient sign method
(Goodfellow et al. 2015, arXiv:1412.6572) is projected gradient descent (Madry et al. 2018, arXiv:1706.06083) with one
step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from course_lib import machine
from course_lib.attacks.differentiable import Differentiable, evaluated, noise_of
from course_lib.attacks.perturbation import Ball, L2Ball, ascend, ball, check_steps, movable, usual_step
from course_lib.batching import sorted_batches
from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class EmbeddingReport:
    """What an attack on embeddings did; arrays have one entry a text, in the texts' order.

    Args:
        attack: its settings.
        labels: the true ones.
        before: the model's answers.
        after: its answers at the worst point that was met.
        loss_before: cross-entropy of the true label in nats; for regression the squared error.
        loss_after: the same at the worst point, never less than before.
        sizes: of the perturbations, in the attack's norm.
        queries_per_text: forward passes.
        seconds: of the whole run.
        seed: of the random starts.
    """

    attack: str
    labels: NDArray[Any]
    before: NDArray[Any]
    after: NDArray[Any]
    loss_before: Floats
    loss_after: Floats
    sizes: Floats
    queries_per_text: float
    seconds: float
    seed: int
    regression: bool = False

    @property
    def accuracy(self) -> float:
        """Share of texts that the model has right; not a number for regression, or without a text."""
        return self._share(self.before == self.labels)

    @property
    def accuracy_under_attack(self) -> float:
        """Share of texts that it has right, and at their worst points, too."""
        return self._share((self.before == self.labels) & (self.after == self.labels))

    def _share(self, right: NDArray[np.bool_]) -> float:
        return float("nan") if self.regression or not len(right) else float(right.mean())


@dataclass(frozen=True)
class PGD:
    """Climbs the loss in steps and comes back into the ball after each; returns the worst point that it met.

    The untouched text is one of these points, so the loss is never below the text's own. `[CLS]`, `[SEP]` and
    padding are left alone.

    Args:
        epsilon: the ball's radius, in units of the embeddings.
        norm: `l2`, the length over all tokens of a text together, or `linf`, the largest change of any number.
        steps: each costs a forward and a backward pass.
        step_size: of each step; when left out epsilon for one step, 2.5 epsilon / steps for more.
        random_start: begins at a random point of the ball.
        special_tokens: moves the first and the last token of a text, too.

    Raises:
        BadInput: an unknown norm, a number below 0, less than one step.
    """

    epsilon: float = 0.2
    norm: str = "l2"
    steps: int = 10
    step_size: float | None = None
    random_start: bool = True
    special_tokens: bool = False

    def __post_init__(self) -> None:
        check_steps(self.steps, self.step_size)
        self.ball  # noqa: B018  looks at norm and epsilon

    @property
    def ball(self) -> Ball:
        """Where the perturbation may be."""
        return ball(self.norm, self.epsilon)

    def run(
        self, classifier: TextClassifier, texts: Sequence[str], labels: ArrayLike, seed: int = 0
    ) -> EmbeddingReport:
        """Attacks every text; what is found for one does not depend on the others, but for rounding.

        The module's weights, their gradients and its mode are as before.

        Args:
            classifier: a fitted classifier or regression model; of `multitask` the labels are attacked.
            texts: n strings.
            labels: their n true labels, or numbers for regression.
            seed: of the random starts.

        Raises:
            BadInput: a model that gives no gradient, an item that is not a string, lengths that differ, a label that
                the classifier does not know.
            NotFitted: before `fit` or `from_pretrained`.
        """
        started = time.perf_counter()
        target = Differentiable.of(classifier, texts, labels)
        found: list[Any] = [None] * len(target.texts)
        lengths = [len(row) for row in target.ids]
        with evaluated(target.module):
            for rows in sorted_batches(lengths, machine.preset().predict_tokens // 2):
                for row, answers in zip(rows, self._batch(target, rows, seed), strict=True):
                    found[row] = answers
        before, after = (target.answers([one[i] for one in found]) for i in (0, 1))
        numbers = np.array([one[2:] for one in found], np.float32).reshape(-1, 3)
        return EmbeddingReport(
            attack=str(self), labels=target.answers(target.wanted.tolist()), before=before, after=after,
            loss_before=numbers[:, 0], loss_after=numbers[:, 1], sizes=numbers[:, 2],
            queries_per_text=self.steps + 1.0 + self.random_start,
            seconds=time.perf_counter() - started, seed=seed, regression=target.regression,
        )  # fmt: skip

    def _batch(self, target: Differentiable, rows: NDArray[np.int64], seed: int) -> list[tuple[Any, ...]]:
        """(answer before, answer after, loss before, loss after, size) of each row of a batch."""
        batch = target.batch(rows)
        mask = movable(batch.attention_mask, self.special_tokens)
        worst = _Worst(partial(target.look, batch))
        start = zero = torch.zeros((*batch.input_ids.shape, target.layer.embedding_dim), device=mask.device)
        if self.random_start:
            worst.note(zero)
            noise = noise_of([target.texts[i] for i in rows], zero.shape, seed).to(zero.device)
            start = self.ball.inside(noise, mask)
        step = usual_step(self.epsilon, self.steps) if self.step_size is None else self.step_size
        worst.note(ascend(worst.gradient, start, self.ball, mask, self.steps, step))
        (_, loss_before, before), (delta, loss_after, after) = worst.seen
        columns = (before, after, loss_before, loss_after, self.ball.measure(delta))
        return list(zip(*(column.cpu().tolist() for column in columns), strict=True))


def fgsm(epsilon: float = 0.01, norm: str = "linf") -> PGD:
    """The fast gradient sign method: one step from the text to the border of the ball.

    With `norm="l2"` the step goes along the gradient itself. Where the step lowers the loss, which a large one may do,
    the text as it is stays the worst point.
    """
    return PGD(epsilon, norm, steps=1, random_start=False)


class _Worst:
    """The highest loss that each row has met, and where; the first point that it is shown is the untouched one."""

    def __init__(self, look: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
        self.look = look
        self.seen: list[tuple[Tensor, ...]] = []  # the first and the worst point, losses, answers

    def gradient(self, delta: Tensor) -> Tensor:
        """Of the losses at a point, which is noted."""
        delta = delta.detach().requires_grad_()
        with torch.enable_grad():
            losses, answers = self.look(delta)
            (gradient,) = torch.autograd.grad(losses.sum(), delta)
        self._keep(delta.detach(), losses.detach(), answers.detach())
        return gradient

    def note(self, delta: Tensor) -> None:
        """Looks at a point and goes nowhere."""
        with torch.no_grad():
            self._keep(delta, *self.look(delta))

    def _keep(self, *new: Tensor) -> None:
        if not self.seen:
            self.seen = [new, new]
            return
        old = self.seen[1]
        higher = new[1] > old[1]
        delta = torch.where(higher[:, None, None], new[0], old[0])
        self.seen[1] = (delta, torch.where(higher, new[1], old[1]), torch.where(higher, new[2], old[2]))


def loss_surface(
    classifier: TextClassifier, text: str, label: Any, span: float = 1.0, grid: int = 21, seed: int = 0
) -> pd.DataFrame:
    """The loss over a square of perturbations around one text.

    One side of the square is the direction of the gradient, the other a random one at a right angle to it; both have
    length 1 (L2 over all tokens, `[CLS]` and `[SEP]` left alone), so a ball of radius epsilon is a circle on it.

    Args:
        classifier: a fitted classifier or regression model.
        text: with at least one token.
        label: its true label, or number.
        span: the square goes from -span to span.
        grid: points a side.
        seed: of the random direction.

    Returns:
        grid * grid rows: gradient, random (how far in each direction), loss, answer.

    Raises:
        BadInput: as `PGD.run`; a text without a token; a loss that is flat there; a span that is not above 0, or a
            grid under 2.
    """
    if not (np.isfinite(span) and span > 0) or grid < 2:
        raise BadInput(f"span is {span}, grid is {grid}", "use span > 0 and grid >= 2")
    target = Differentiable.of(classifier, [text], [label])
    with evaluated(target.module):
        uphill, aside = _directions(target, seed)
        steps = torch.linspace(-span, span, grid, device=uphill.device)
        points = torch.cartesian_prod(steps, steps)  # (grid * grid, 2)
        at_once = max(1, machine.preset().predict_tokens // uphill.shape[1])
        parts = []
        for some in points.split(at_once):
            delta = some[:, :1, None] * uphill + some[:, 1:, None] * aside
            with torch.no_grad():
                parts.append(target.look(target.batch(np.zeros(len(some), np.int64)), delta))
    losses, answers = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    along = points.cpu().numpy()
    columns = {"gradient": along[:, 0], "random": along[:, 1], "loss": losses.numpy()}
    return pd.DataFrame(columns | {"answer": target.answers(answers.tolist())})


def _directions(
    target: Differentiable, seed: int
) -> tuple[Float[Tensor, "1 seq hidden"], Float[Tensor, "1 seq hidden"]]:
    """The gradient's direction, and a random one at a right angle to it."""
    batch = target.batch(np.zeros(1, np.int64))
    mask = movable(batch.attention_mask)
    if not mask.any():
        raise BadInput(f"the text {target.texts[0]!r} has no token", "give a text with a word")
    zero = torch.zeros((*batch.input_ids.shape, target.layer.embedding_dim), device=mask.device)
    unit = L2Ball(1.0)
    uphill = unit.steepest(_Worst(partial(target.look, batch)).gradient(zero) * mask)
    if not uphill.any():
        raise BadInput(f"the loss is flat at {target.texts[0]!r:.80}", "take a text of which the model is less sure")
    noise = noise_of(target.texts, zero.shape, seed).to(zero.device) * mask
    aside = noise - (noise * uphill).sum() * uphill
    return uphill, unit.steepest(aside)
