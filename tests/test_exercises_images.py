"""Images: other right answers pass, sly ones do not, and the references are what the library computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from answers import SEED, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st
from torch import nn

from course_lib.attacks.pgd import PGD
from course_lib.encoder import patchify
from course_lib.exercises import reference
from course_lib.exercises.topics import images

# ---------------------------------------------------------------- other right answers


def project_change(perturbed: np.ndarray, images: np.ndarray, epsilon: float) -> np.ndarray:
    low, high = np.maximum(images - epsilon, 0), np.minimum(images + epsilon, 1)
    return np.minimum(np.maximum(perturbed, low), high)


def patches_in_a_loop(images: np.ndarray, weight: np.ndarray, bias: np.ndarray, size: int) -> Any:
    height, width = images.shape[1:]
    corners = [(top, left) for top in range(0, height, size) for left in range(0, width, size)]
    cut = [[image[top : top + size, left : left + size].ravel() for top, left in corners] for image in images]
    return (np.array(cut) @ weight + bias).tolist()


def robust_by_counting(labels: np.ndarray, clean: np.ndarray, attacked: np.ndarray) -> float:
    columns = np.vstack([clean, attacked]).T.tolist()
    return sum(set(column) == {label} for column, label in zip(columns, labels.tolist(), strict=True)) / len(labels)


class ByPermute(nn.Module):
    def __init__(self, size: int = 4, hidden: int = 32) -> None:
        super().__init__()
        self.size, self.rows = size, 28 // size
        self.embed = nn.Linear(size * size, hidden)
        self.positions = nn.Parameter(torch.zeros(self.rows**2, hidden))
        self.head = nn.Linear(self.rows**2 * hidden, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(patchify(images, self.size)) + self.positions
        return self.head(tokens.clamp_min(0).reshape(len(images), -1))


def step_by_backward(model: Any, images: Any, labels: Any, delta: Any, step_size: float, epsilon: float) -> Any:
    pixels = (images + delta).clone().requires_grad_()
    F.cross_entropy(model(pixels), labels, reduction="sum").backward()
    moved = delta + step_size * pixels.grad.sign()
    return torch.maximum(torch.minimum(moved, torch.clamp(1 - images, max=epsilon)), torch.clamp(-images, min=-epsilon))


def train_by_images(model: Any, optimizer: Any, images: Any, labels: Any, noise: Any, epsilon: float) -> float:
    delta = step_by_backward(model, images, labels, noise * epsilon, epsilon * 5 / 4, epsilon)
    model.zero_grad()
    loss = nn.CrossEntropyLoss()(model(images + delta), labels)
    loss.backward()
    optimizer.step()
    return float(loss)


def correct_by_stack(model: Any, images: Any, labels: Any, epsilon: float, steps: int) -> Any:
    deltas = [torch.zeros_like(images)]
    for _ in range(steps):
        deltas.append(step_by_backward(model, images, labels, deltas[-1], epsilon * 2.5 / steps, epsilon))
    return torch.stack([model(images + delta).argmax(-1) == labels for delta in deltas]).all(0)


RIGHT: dict[str, list[Answer]] = {
    "patch_embeddings": [patches_in_a_loop],
    "project": [project_change],
    "robust_accuracy": [robust_by_counting],
    "PatchClassifier": [ByPermute],
    "fgsm_step": [step_by_backward],
    "train_step": [train_by_images],
    "pgd_correct": [correct_by_stack],
}
SLY: dict[str, list[Answer | Edit]] = {
    "patch_embeddings": [("width // size, size", "height // size, -1"), ("+ bias", "+ bias[0]")],
    "project": [("(near, 0, 1)", "(near, 0, 2)"), ("images + epsilon", "images + 0.2")],
    "robust_accuracy": [("attacked == labels", "attacked[:2] == labels"), (".mean()", "[:4].mean()")],
    "PatchClassifier": [("F.relu(", "F.leaky_relu("), ("self.size**2)", "16)")],
    "fgsm_step": [("step_size * gradient", "epsilon * gradient"), ("gradient.sign()", "gradient.sign().abs()")],
    "train_step": [("1.25 * epsilon", "0.125"), ("return loss.item()", "return round(loss.item(), 2)")],
    "pgd_correct": [("2.5 * epsilon", "0.5 * epsilon"), ("correct & (", "correct | (")],
}
MISTAKES: Mistakes = {
    "project": [(lambda perturbed, images, epsilon: 0 * images, "should be")],
    "PatchClassifier": [((", hidden))", ", 1))"), "The parameters should be")],
    "fgsm_step": [(lambda *given: 3.0, "should be a tensor, but it is a float")],
    "train_step": [(("loss.item()", "loss"), "should be a float, but it is a Tensor")],
}
DRAWN = {
    "project": st.builds(
        lambda random, epsilon: (random.normal(size=(2, 3, 3)), random.random((2, 3, 3)), epsilon),
        *(SEED, st.floats(0, 1)),
    ),
    "patch_embeddings": st.builds(
        lambda random, rows, columns, size: (
            random.random((2, rows * size, columns * size)), random.normal(size=(size * size, 3)),
            random.normal(size=3), size,
        ),
        *(SEED, st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)),
    ),
    "robust_accuracy": st.builds(
        lambda random, n: (random.integers(2, size=n), random.integers(2, size=n), random.integers(2, size=(2, n))),
        *(SEED, st.integers(1, 9)),
    ),
    "fgsm_step": st.tuples(st.integers(0, 99), st.floats(0, 0.3), st.floats(0.05, 0.3), st.floats(0.05, 0.3)),
}  # fmt: skip
TestExercises = judged((*images.EXERCISES, *images.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- the library


def test_the_references_are_the_librarys() -> None:
    pixels = np.random.default_rng(0).random((3, 28, 28)).astype(np.float32)
    ours = reference.patch_embeddings(pixels, np.eye(49), np.zeros(49), 7)
    assert np.allclose(ours, patchify(torch.from_numpy(pixels), 7).numpy())
    torch.manual_seed(0)
    model, labels, some = reference.PatchClassifier(), torch.arange(3), torch.from_numpy(pixels)
    for steps in (1, 4):
        worst = PGD(0.1, "linf", steps, step_size=0.25 / steps, random_start=False).perturb_images(model, some, labels)
        ours = reference.pgd_correct(model, some, labels, 0.1, steps)
        assert not (ours & (model(worst).argmax(1) != labels)).any()
