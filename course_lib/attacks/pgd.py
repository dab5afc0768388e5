"""Attacks in the space of token embeddings: no text, but a bound on what any small change of the vectors can do.

The same loop attacks images, where a perturbation is one of the pixels (`PGD.perturb_images`).

Such a perturbation is in general no word's embedding, so it harms no user; it shows how steep the loss is around a
text, and adversarial training (`defenses.adversarial`) makes its examples so. One loop serves all: the fast gradient
sign method (Goodfellow et al. 2015, arXiv:1412.6572) is projected gradient descent (Madry et al. 2018,
arXiv:1706.06083) with one step.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from course_lib import machine
from course_lib.attacks.perturbation import Ball, Perturbation, ascend, check_steps, default_step_size
from course_lib.attacks.victim import check_classes
from course_lib.batching import Batch, check_texts, collate, sorted_batches, tokenize
from course_lib.errors import BadInput
from course_lib.text.classifiers import columns_of
from course_lib.text.gradients import check_differentiable
from course_lib.text.modules import add_to_embeddings, inference_copy, input_embeddings

Floats = NDArray[np.float32]
_Loss = Callable[[Tensor], tuple[Tensor, Tensor]]  # a perturbation -> each row's loss and predicted column


@dataclass(frozen=True)
class EmbeddingReport:
    """What an attack on embeddings did; arrays have one entry a text, in the texts' order.

    Args:
        attack: its settings.
        labels: the true ones.
        before: the model's predictions.
        after: its predictions at the worst point that was met.
        loss_before: cross-entropy of the true label in nats.
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

    @property
    def accuracy(self) -> float:
        """Fraction of texts that the model has right; not a number without a text."""
        return _mean(self.before == self.labels)

    @property
    def accuracy_under_attack(self) -> float:
        """Fraction of texts that it has right, and at their worst points, too."""
        return _mean((self.before == self.labels) & (self.after == self.labels))


def _mean(right: NDArray[np.bool_]) -> float:
    return float(right.mean()) if len(right) else float("nan")


@dataclass(frozen=True)
class PGD:
    """Climbs the loss in steps and is projected into the ball after each; returns the worst point that it met.

    The untouched text is one of these points, so the loss is never below the text's own. Special tokens such as
    `[CLS]` and `[SEP]` and padding are left alone.

    Args:
        epsilon: the ball's radius, in units of the embeddings.
        norm: `l2`, the length over all tokens of a text together, or `linf`, the largest change of any number.
        steps: each costs a forward and a backward pass.
        step_size: of each step; when left out epsilon for one step, 2.5 epsilon / steps for more.
        random_start: begins at a random point of the ball.

    Raises:
        BadInput: an unknown norm, a number below 0, less than one step.
    """

    epsilon: float = 0.2
    norm: str = "l2"
    steps: int = 10
    step_size: float | None = None
    random_start: bool = True

    def __post_init__(self) -> None:
        check_steps(self.steps, self.step_size)
        Ball(self.norm, self.epsilon)

    def run(self, classifier: Any, texts: Sequence[str], labels: ArrayLike, seed: int = 0) -> EmbeddingReport:
        """Attacks every text; what is found for one does not depend on the others, apart from rounding.

        Args:
            classifier: a fitted `TextClassifier`.
            texts: n strings.
            labels: their n true labels.
            seed: of the random starts.

        Raises:
            BadInput: a model without gradients, that is not fitted or that predicts numbers, an item that is not a
                string, lengths that differ, a label that is not a class of the model.
        """
        started = time.perf_counter()
        loss = _EmbeddingLoss(classifier, texts, labels)
        found = np.empty((len(loss.texts), 5))  # column before, column after, loss before, loss after, size
        for rows in sorted_batches([len(row) for row in loss.ids], machine.preset().predict_tokens // 2):
            found[rows] = self._batch(loss, rows, seed)
        classes = np.asarray(classifier.classes_)
        before, after = (classes[found[:, i].astype(np.int64)] for i in (0, 1))
        numbers = found[:, 2:].astype(np.float32)
        return EmbeddingReport(
            attack=str(self), labels=classes[loss.columns], before=before, after=after,
            loss_before=numbers[:, 0], loss_after=numbers[:, 1], sizes=numbers[:, 2],
            queries_per_text=self.steps + 1.0 + self.random_start, seconds=time.perf_counter() - started, seed=seed,
        )  # fmt: skip

    def _batch(self, loss: _EmbeddingLoss, rows: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
        """(batch, 5), see `run`."""
        batch = loss.batch(rows)
        start = loss.zeros(batch)
        noise = _noise([loss.texts[i] for i in rows], start.shape, seed).to(start.device)
        worst = self._climb(partial(loss, rows, batch), noise, loss.movable(rows))
        (_, loss_before, before), (delta, loss_after, after) = worst.first, worst.worst
        columns = (before, after, loss_before, loss_after, Ball(self.norm, self.epsilon).measure(delta))
        return torch.stack([column.double() for column in columns], 1).cpu().numpy()

    def _climb(self, loss: _Loss, noise: Tensor, mask: Tensor, limits: tuple[Tensor, Tensor] | None = None) -> _Worst:
        """Climbs a loss from no perturbation, or from a random one. `limits` are those of `ascend`."""
        within, worst, start = Ball(self.norm, self.epsilon), _Worst(loss), torch.zeros_like(noise)
        if self.random_start:
            worst.visit(start)
            start = within.random_point(noise, mask)
            start = start if limits is None else torch.clamp(start, *limits)
        step = default_step_size(self.epsilon, self.steps) if self.step_size is None else self.step_size
        worst.visit(ascend(worst.gradient, start, within, mask, self.steps, step, limits))
        return worst

    def perturb_images(
        self,
        module: nn.Module,
        images: Float[Tensor, "batch height width"],
        labels: Int[Tensor, "batch"],
        *,
        seed: int = 0,
    ) -> Float[Tensor, "batch height width"]:
        """Each image at its worst point, with pixels from 0 to 1 as before; that may be the image itself.

        Args:
            module: images -> logits (batch, classes). Its mode is left as it is: call `eval()` first.
            images: grey values from 0 to 1.
            labels: the true class of each.
            seed: of the random starts.

        Raises:
            BadInput: another shape, pixels outside 0 to 1, or not one label for each image.
        """
        if images.ndim != 3 or not len(images) or len(images) != len(labels):
            shapes = f"images of the shape {tuple(images.shape)} and {len(labels)} labels"
            raise BadInput(shapes, "give grey images (batch, height, width) and one label for each")
        if not (images.min() >= 0 and images.max() <= 1):
            raise BadInput(f"pixels from {images.min():.3g} to {images.max():.3g}", "scale them to 0 to 1")

        def loss(delta: Tensor) -> tuple[Tensor, Tensor]:
            logits = module(images + delta).double()
            return F.cross_entropy(logits, labels, reduction="none"), logits.argmax(1)

        noise = torch.empty(images.shape).uniform_(-1, 1, generator=torch.Generator().manual_seed(seed))
        mask = torch.ones_like(images[..., :1])
        worst = self._climb(loss, noise.to(images.device), mask, (-images, 1 - images))
        return (images + worst.worst[0]).clamp(0, 1)


def fgsm(epsilon: float = 0.01, norm: str = "linf") -> PGD:
    """The fast gradient sign method: one step from the text to the border of the ball.

    With `norm="l2"` the step goes along the gradient itself. Where the step lowers the loss, which a large one may do,
    the text as it is stays the worst point.
    """
    return PGD(epsilon, norm, steps=1, random_start=False)


class _EmbeddingLoss:
    """The loss of texts as a function of a perturbation of their token embeddings."""

    def __init__(self, classifier: Any, texts: Sequence[str], labels: ArrayLike) -> None:
        check_differentiable(classifier)
        check_classes(classifier)
        self.texts = check_texts(texts)
        self.columns = columns_of(classifier.classes_, labels, len(self.texts))
        self.classes, self.tokenizer = len(classifier.classes_), classifier.tokenizer_
        self.module = inference_copy(classifier.module_)
        self.ids = tokenize(self.texts, self.tokenizer, classifier.max_length)
        special = {getattr(self.tokenizer, f"{name}_token_id") for name in ("cls", "sep", "bos", "eos", "pad")}
        self.ordinary = [[int(token not in special) for token in row] for row in self.ids]

    def batch(self, rows: NDArray[np.int64]) -> Batch:
        return collate(self.ids, rows, int(self.tokenizer.pad_token_id or 0)).to(machine.device())

    def movable(self, rows: NDArray[np.int64]) -> Float[Tensor, "batch seq 1"]:
        """1 for a token that may be perturbed; no writer could change the special tokens."""
        return collate(self.ordinary, rows).input_ids.float()[..., None].to(machine.device())

    def zeros(self, batch: Batch) -> Perturbation:
        """No perturbation at all."""
        width = input_embeddings(self.module).embedding_dim
        return torch.zeros((*batch.input_ids.shape, width), device=batch.input_ids.device)

    def __call__(
        self, rows: NDArray[np.int64], batch: Batch, delta: Perturbation
    ) -> tuple[Float[Tensor, "batch"], Tensor]:
        """Each row's loss, and the column of its likeliest class."""
        with add_to_embeddings(self.module, delta):
            # In double precision: at 18 nats between two logits the gradient of a float32 softmax is 0.
            logits = self.module(batch.input_ids, batch.attention_mask).double()[:, : self.classes]
        true = torch.from_numpy(self.columns[rows]).to(logits.device)
        return F.cross_entropy(logits, true, reduction="none"), logits.argmax(1)


class _Worst:
    """The highest loss that each row has met, and where; the first visited point is the untouched one."""

    def __init__(self, loss: _Loss) -> None:
        self.loss = loss
        self.first: tuple[Tensor, ...] = ()  # perturbations, losses, columns
        self.worst: tuple[Tensor, ...] = ()

    def gradient(self, delta: Tensor) -> Tensor:
        """Of the losses at a point, which counts as visited."""
        delta = delta.detach().requires_grad_()
        with torch.enable_grad():
            losses, columns = self.loss(delta)
            (gradient,) = torch.autograd.grad(losses.sum(), delta)
        self._keep(delta.detach(), losses.detach(), columns)
        return gradient

    def visit(self, delta: Tensor) -> None:
        """A point whose gradient is not needed."""
        with torch.no_grad():
            self._keep(delta, *self.loss(delta))

    def _keep(self, *new: Tensor) -> None:
        if not self.first:
            self.first = self.worst = new
            return
        higher = new[1] > self.worst[1]
        delta = torch.where(higher[:, None, None], new[0], self.worst[0])
        self.worst = (delta, *(torch.where(higher, new[i], self.worst[i]) for i in (1, 2)))


def _noise(texts: Sequence[str], shape: tuple[int, ...], seed: int) -> Perturbation:
    """Numbers from -1 to 1 that depend on the seed and each text alone, not on the texts beside it."""
    noise = torch.empty(shape)
    for row, text in enumerate(texts):
        digest = hashlib.sha256(f"{seed}:{text}".encode()).digest()
        noise[row].uniform_(-1, 1, generator=torch.Generator().manual_seed(int.from_bytes(digest[:7], "big")))
    return noise
