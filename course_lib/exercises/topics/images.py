"""Images: patches, projection, robust accuracy; the build is a digit classifier that is trained against attacks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_lib.exercises.exercise import Answer, Arguments, Case, Exercise, Refused
from course_lib.exercises.values import array_problem, judge_array, kind

# ---------------- projection: the ball around an image, and the range of pixels
# Madry et al. 2018 (arXiv:1706.06083), section 2. The library's version: `course_lib.attacks.perturbation.ascend`.


def project(perturbed: np.ndarray, images: np.ndarray, epsilon: float) -> np.ndarray:
    """The nearest images within epsilon of the originals in each pixel, with pixels from 0 to 1."""
    near = np.clip(perturbed, images - epsilon, images + epsilon)
    inside: np.ndarray = np.clip(near, 0, 1)
    return inside


def _project_cases() -> list[Arguments]:
    random = np.random.default_rng(0)
    images = random.random((3, 4, 4))
    return [
        ([[[0.5, 0.9, 0.1, 0.5]]], [[[0.3, 0.95, 0.1, 0.55]]], 0.1),
        ([[[1.2, -0.3]]], [[[0.9, 0.05]]], 0.2),
        (images + random.normal(size=images.shape) / 3, images, 0.2),
        (images + random.normal(size=images.shape) / 3, images, 0.03),
        (images[:1], 1 - images[:1], 0.5),
    ]


# ---------------- patches: the first layer of a vision transformer
# Dosovitskiy et al. 2021 (arXiv:2010.11929), section 3.1. The library's version: `course_lib.encoder.patchify`.


def patch_embeddings(images: np.ndarray, weight: np.ndarray, bias: np.ndarray, size: int) -> np.ndarray:
    """The vectors (n, patches, hidden) of the patches of images (n, height, width)."""
    n, height, width = images.shape
    grid = images.reshape(n, height // size, size, width // size, size)
    patches = grid.transpose(0, 1, 3, 2, 4).reshape(n, -1, size * size)
    return np.asarray(patches @ weight + bias)


def _patch_cases() -> list[Arguments]:
    random = np.random.default_rng(1)
    count = np.arange(16.0).reshape(1, 4, 4)
    cases: list[Arguments] = [(count, np.eye(4)[:, :2], [0.5, 0.0], 2), (count, np.eye(4), [0.0] * 4, 2)]
    for n, height, width, size in ((2, 4, 6, 2), (3, 9, 6, 3), (1, 8, 8, 4)):
        weight = random.normal(size=(size * size, 3))
        cases.append((random.random((n, height, width)), weight, random.normal(size=3), size))
    return cases


# ---------------- robust accuracy: several attacks on the same images


def robust_accuracy(labels: np.ndarray, clean: np.ndarray, attacked: np.ndarray) -> float:
    """Fraction of all images that are right as they are and under each attack; attacked is (attacks, n)."""
    right = clean == labels
    survives = (attacked == labels).all(axis=0)
    return float((right & survives).mean())


def _robust_cases() -> list[Arguments]:
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, size=40)
    clean = np.where(random.random(40) < 0.8, labels, 1)
    attacked = np.where(random.random((3, 40)) < [[0.5], [0.7], [0.4]], labels, 2)
    return [
        ([3, 1, 4, 1], [3, 1, 4, 7], [[3, 1, 0, 1], [3, 2, 4, 1]]),
        ([3, 1], [3, 5], [[3, 1]]),
        (labels, clean, attacked),
        (labels, clean, attacked[:1]),
        (labels[:5], labels[:5], attacked[:, :5]),
    ]


EXERCISES = (
    Exercise(patch_embeddings, _patch_cases, judge_array),
    Exercise(project, _project_cases, judge_array),
    Exercise(robust_accuracy, _robust_cases, judge_array),
)


# ================ the build: a digit classifier that is trained against attacks ================

_IMAGES, _LABELS = torch.rand(6, 4, 4, generator=torch.Generator().manual_seed(3)), torch.tensor([0, 1, 2, 0, 1, 2])
_NOISE = torch.rand(6, 4, 4, generator=torch.Generator().manual_seed(4)) * 2 - 1


def _fill(module: nn.Module, seed: int, scale: float = 1.0) -> nn.Module:
    """The module with weights that depend on their names alone."""
    with torch.no_grad():
        for name, weight in sorted(module.named_parameters()):
            random = torch.Generator().manual_seed(seed + sum(map(ord, name)))
            weight.copy_(torch.randn(weight.shape, generator=random) * scale)
    return module


def _toy(seed: int) -> nn.Module:
    return _fill(nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.Tanh(), nn.Linear(12, 3)), seed, 0.7)


def _numbers(value: Any, what: str) -> Any:
    if not isinstance(value, torch.Tensor):
        raise Refused(f"{what} should be a tensor, but it is {kind(value)}.")
    return value.detach().numpy()


# ---------------- stage 1: the model


class PatchClassifier(nn.Module):
    """Patches of 28 x 28 images, one linear map, positions, ReLU, and a linear head."""

    def __init__(self, size: int = 4, hidden: int = 32) -> None:
        """Create embed, positions and head."""
        super().__init__()
        self.size, patches = size, (28 // size) ** 2
        self.embed = nn.Linear(size * size, hidden)
        self.positions = nn.Parameter(torch.zeros(patches, hidden))
        self.head = nn.Linear(patches * hidden, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The logits (n, 10) of images (n, 28, 28)."""
        grid = images.unfold(1, self.size, self.size).unfold(2, self.size, self.size)
        patches = grid.reshape(len(images), -1, self.size**2)
        tokens = F.relu(self.embed(patches) + self.positions)
        logits: torch.Tensor = self.head(tokens.flatten(1))
        return logits


def _run_classifier(answer: Answer, size: int, hidden: int, n: int) -> Any:
    model = answer(size, hidden)
    shapes = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    wanted = {name: tuple(weight.shape) for name, weight in PatchClassifier(size, hidden).named_parameters()}
    if shapes != wanted:
        raise Refused(f"The parameters should be {wanted}, but they are {shapes}.")
    if model.get_parameter("positions").any():
        raise Refused("The parameter positions should start as zeros.")
    images = torch.rand(n, 28, 28, generator=torch.Generator().manual_seed(n))
    return _numbers(_fill(model, 5, 0.3)(images), "The result of forward")


# ---------------- stage 2: one step of an attack


def fgsm_step(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    delta: torch.Tensor,
    step_size: float,
    epsilon: float,
) -> torch.Tensor:
    """The next perturbation: a step along the sign of the gradient at images + delta, projected."""
    delta = delta.detach().requires_grad_()
    loss = F.cross_entropy(model(images + delta), labels)
    (gradient,) = torch.autograd.grad(loss, delta)
    moved = (delta.detach() + step_size * gradient.sign()).clamp(-epsilon, epsilon)
    return (images + moved).clamp(0, 1) - images


def _run_step(answer: Answer, seed: int, start: float, step_size: float, epsilon: float) -> Any:
    images, delta = _IMAGES.clone(), start * _NOISE
    moved = _numbers(answer(_toy(seed), images, _LABELS, delta, step_size, epsilon), "The result")
    if not (torch.equal(images, _IMAGES) and torch.equal(delta, start * _NOISE)):
        raise Refused("The arguments should stay as they are. Work with a copy of delta, not in place.")
    return moved


# ---------------- stage 3: one step of the training
# Wong et al. 2020, Fast is better than free (arXiv:2001.03994), algorithm 3.


def train_step(
    model: nn.Module,
    optimizer: "Any",
    images: torch.Tensor,
    labels: torch.Tensor,
    noise: torch.Tensor,
    epsilon: float,
) -> float:
    """One step of the optimizer on images perturbed from a random start; the loss before the step."""
    delta = fgsm_step(model, images, labels, epsilon * noise, 1.25 * epsilon, epsilon)
    loss = F.cross_entropy(model(images + delta), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _run_training(answer: Answer, seed: int, epsilon: float) -> Any:
    """The losses of three calls on one model, and four of its weights after them."""
    model = _toy(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = [answer(model, optimizer, _IMAGES.clone(), _LABELS, _NOISE, epsilon) for _ in range(3)]
    if not all(isinstance(loss, float) for loss in losses):
        raise Refused(f"The result should be a float, but it is {kind(losses[0])}.")
    return np.concatenate([losses, next(model.parameters()).detach().numpy().ravel()[:4]])


# ---------------- stage 4: the evaluation


def pgd_correct(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, epsilon: float, steps: int
) -> torch.Tensor:
    """For each image, whether it is right as it is and at every point of PGD (n,)."""
    correct: torch.Tensor = model(images).argmax(1) == labels
    delta = torch.zeros_like(images)
    for _ in range(steps):
        delta = fgsm_step(model, images, labels, delta, 2.5 * epsilon / steps, epsilon)
        correct = correct & (model(images + delta).argmax(1) == labels)
    return correct


class _Ring(nn.Module):
    """Wrong at a distance of 0.1 from 0.5, right beyond: one large step jumps over it."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        margin = torch.cos((images.flatten(1) - 0.5) * 10 * math.pi + 0.3)
        return torch.cat([margin, -margin], 1)


def _run_pgd(answer: Answer, model: str, epsilon: float, steps: int) -> Any:
    if model == "toy":
        correct = answer(_toy(1), _IMAGES.clone(), _LABELS, epsilon, steps)
    else:
        pixels, labels = torch.full((5, 1, 1), 0.5), torch.tensor([0, 0, 0, 0, 1])  # the last one is wrong at once
        correct = answer(_Ring(), pixels, labels, epsilon, steps)
    numbers = _numbers(correct, "The result")
    if correct.dtype != torch.bool:
        raise Refused(f"The result should be a tensor of bools, but its numbers are {correct.dtype}.")
    return numbers


def _judge_training(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    wrong = ~np.isclose(got, expected, rtol=1e-5, atol=1e-6)
    if wrong[:3].any():
        call = int(wrong.argmax())
        return f"Of three calls, call {call + 1} should return {expected[call]:.6g}, not {got[call]:.6g}."
    return "The losses are right, but the weights after the last step are not." if wrong.any() else None


BUILD = (
    Exercise(PatchClassifier, lambda: [(14, 3, 1), (4, 5, 2), (7, 4, 3)], judge_array, _run_classifier),
    Exercise(
        fgsm_step,
        lambda: [(1, 0.0, 0.1, 0.1), (1, 0.0, 0.6, 0.9), (2, 0.1, 0.05, 0.1), (2, 0.2, 0.3, 0.2), (1, 0.5, 0.1, 0.6)],
        judge_array,
        _run_step,
    ),
    Exercise(train_step, lambda: [(1, 0.1), (2, 0.3)], _judge_training, _run_training),
    Exercise(
        pgd_correct,
        lambda: [("ring", 0.2, 4), ("ring", 0.2, 1), ("ring", 0.1, 1), ("toy", 0.1, 3), ("toy", 0.4, 10)],
        judge_array,
        _run_pgd,
    ),
)
