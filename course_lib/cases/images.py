"""Handwritten digits: a CNN and a vision transformer, attacked, trained against attacks, and compressed.

Weights of seed 0 ship under data/checkpoints/digits, in float16. `image_studies` holds what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_lib import assets, corpora, machine
from course_lib.attacks.perturbation import Ball, ascend
from course_lib.attacks.pgd import PGD, fgsm
from course_lib.compression.quantization import fake_quantize, fit_qparams
from course_lib.encoder import EncoderConfig, VisionTransformer
from course_lib.errors import BadInput, CorruptAsset, CourseError
from course_lib.experiments import Run
from course_lib.training import TensorBatch, TensorBatches, TrainingConfig, train

EPSILON = 0.2  # largest change of a pixel, of 1
ATTACKED = 500  # test images
_PARTS = {"train": ("train", 0, 5_000), "validation": ("train", 5_000, 6_000), "test": ("t10k", 0, 10_000)}
WEIGHTS = "weights.safetensors"  # among the files of a run
# adversarial training: steps, step size in units of epsilon, random start
TRAININGS: dict[str, tuple[int, float, bool]] = {
    "clean": (0, 0.0, False),
    "fgsm": (1, 1.0, False),  # Goodfellow et al. 2015
    "fgsm, random start": (1, 1.25, True),  # Wong et al. 2020, arXiv:2001.03994, section 4
    "pgd": (5, 0.5, True),  # Madry et al. 2018
}


class Digits(NamedTuple):
    """Grey values from 0 (background) to 1 (ink), and the digits 0 to 9."""

    images: Float[Tensor, "n 28 28"]
    labels: Int[Tensor, "n"]


def load_digits(part: str, limit: int | None = None) -> Digits:
    """The first images of a part of MNIST, in a random order that is always the same.

    Args:
        part: `train` and `validation` are 5,000 and 1,000 of the 60,000 images of the training file; `test` is the
            whole test file of 10,000.
        limit: fewer of them.

    Raises:
        BadInput: no such part, or a limit below 1.
        Offline, CorruptAsset: the files are missing and cannot be fetched, or are damaged.
    """
    if part not in _PARTS:
        raise BadInput(f"the part {part!r} of the digits", f"use one of {', '.join(_PARTS)}")
    if limit is not None and not (isinstance(limit, int) and limit >= 1):
        raise BadInput(f"limit is {limit!r}", "use a whole number from 1 on, or None for all images")
    file, start, end = _PARTS[part]
    images, labels = (
        corpora.read_idx(assets.path("mnist") / f"{file}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
    )
    rows = np.random.default_rng(0).permutation(len(labels))[start:end][:limit]
    return Digits(torch.from_numpy(images[rows]) / 255, torch.from_numpy(labels[rows]).long())


def check_digits(data: Digits) -> None:
    """Refuses what is no set of images with labels.

    Raises:
        BadInput: no image, another shape, pixels outside 0 to 1, or not one label for each image.
    """
    images, labels = data
    if images.ndim != 3 or not len(images) or len(images) != len(labels):
        shapes = f"images of the shape {tuple(images.shape)} and {len(labels)} labels"
        raise BadInput(shapes, "give images (n, height, width), at least one, and one label for each")
    if not (images.min() >= -1e-4 and images.max() <= 1 + 1e-4):
        raise BadInput(f"pixels from {images.min():.3g} to {images.max():.3g}", "scale them to 0 to 1")


# ---- models --------------------------------------------------------------------------------------------------------


def digit_cnn(classes: int = 10) -> nn.Sequential:
    """Two convolutions and two linear layers, 54 thousand weights: (n, 28, 28) -> logits (n, classes)."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 28)),
        *(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, classes)),
    )


def digit_vit(positions: bool = True) -> VisionTransformer:
    """Sixteen patches of 7 x 7 pixels and a class token through three of the course's layers."""
    config = EncoderConfig(
        vocab_size=1, pad_id=None, hidden_size=64, n_layers=3, n_heads=4, intermediate_size=128, max_positions=17,
        norm="pre",
    )  # fmt: skip
    return VisionTransformer(28, 7, 10, config, positions)


MODELS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # the model and its epochs
    "cnn": (digit_cnn, 12),
    "vit": (digit_vit, 30),
    "vit without positions": (lambda: digit_vit(positions=False), 30),
}


def perturb(
    module: nn.Module, batch: Digits, training: str, random: torch.Generator, epsilon: float = EPSILON
) -> Tensor:
    """Adversarial images for one step of a training of TRAININGS: the last point, whatever its loss.

    Raises:
        BadInput: no such training.
    """
    if training not in TRAININGS:
        raise BadInput(f"there is no training {training!r}", f"use one of {'; '.join(TRAININGS)}")
    steps, step, random_start = TRAININGS[training]
    images, labels = batch

    def gradient(delta: Tensor) -> Tensor:
        delta = delta.requires_grad_()
        return torch.autograd.grad(F.cross_entropy(module(images + delta), labels, reduction="sum"), delta)[0]

    limits, within = (-images, 1 - images), Ball("linf", epsilon)
    start = torch.zeros_like(images)
    if random_start:
        noise = torch.empty(images.shape).uniform_(-epsilon, epsilon, generator=random)
        start = noise.to(images.device).clamp(*limits)
    mask = torch.ones_like(images[..., :1])
    return images + ascend(gradient, start, within, mask, steps, step * epsilon, limits)


def fit(module: nn.Module, data: Digits, epochs: int, training: str = "clean", seed: int = 0) -> nn.Module:
    """Trains a classifier in place, on adversarial images if `training` says so; its weights end as float16 numbers.

    It is trained on this machine's device, and returned on the CPU, where all that follows is fast enough.

    Raises:
        BadInput: no such training, images and labels that `check_digits` refuses, or no whole number of epochs.
    """
    check_digits(data)
    random = torch.Generator().manual_seed(seed)

    def objective(model: nn.Module, batch: TensorBatch) -> Tensor:
        images, labels = batch.tensors
        if training != "clean":
            images = perturb(model, Digits(images, labels), training, random)
        return F.cross_entropy(model(images), labels)

    config = TrainingConfig(epochs=epochs, batch_size=100, learning_rate=2e-3, precision="float32", seed=seed)
    train(module.to(machine.device()), TensorBatches(*data, batch_size=100, seed=seed), objective, config)
    return module.half().float().cpu()


def predict(module: nn.Module, images: Float[Tensor, "n height width"]) -> Float[Tensor, "n classes"]:
    """Probabilities of the classes.

    Raises:
        BadInput: another shape.
    """
    if images.ndim != 3:
        raise BadInput(f"images of the shape {tuple(images.shape)}", "give grey images (n, height, width)")
    with torch.inference_mode():
        return torch.cat([module(part).softmax(-1) for part in images.split(1000)])


def quantized_copy(build: Callable[[], nn.Module], module: nn.Module, bits: int) -> nn.Module:
    """A copy whose weight matrices have so many bits, with one scale for each output; biases stay as they are."""
    copy = build()
    copy.load_state_dict({
        name: fake_quantize(weight, fit_qparams(weight, bits, axis=0)) if weight.ndim > 1 else weight
        for name, weight in module.state_dict().items()
    })  # fmt: skip
    return copy.eval()


def ink_gradient(module: nn.Module, data: Digits) -> float:
    """Fraction of the absolute gradient of the loss that is on pixels with ink, as a mean over images.

    Raises:
        BadInput: images and labels that `check_digits` refuses.
    """
    check_digits(data)
    images = data.images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(module(images), data.labels, reduction="sum"), images)
    mass = gradient.abs()
    return float(((mass * (data.images > 0)).sum((1, 2)) / mass.sum((1, 2)).clamp_min(1e-30)).mean())


# ---- what is measured ----------------------------------------------------------------------------------------------


def attacked_accuracy(module: nn.Module, data: Digits, epsilon: float = EPSILON) -> dict[str, float]:
    """Accuracy without an attack, under random signs, FGSM and PGD with 20 steps, and under foolbox's FGSM and PGD.

    Ours return the worst point that they meet, foolbox's the last one.

    Raises:
        BadInput: images and labels that `check_digits` refuses, or an epsilon below 0.
        CourseError: foolbox is not installed.
    """
    check_digits(data)
    try:
        from foolbox.attacks.fast_gradient_method import LinfFastGradientAttack
        from foolbox.attacks.projected_gradient_descent import LinfProjectedGradientDescentAttack
        from foolbox.models.pytorch import PyTorchModel
    except ImportError as error:
        raise CourseError("foolbox is not installed", "pip install foolbox") from error
    images, labels = data
    signs = torch.randint(0, 2, images.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    attacked = {
        "clean": images,
        "random signs": (images + epsilon * signs).clamp(0, 1),
        "fgsm": fgsm(epsilon, "linf").perturb_images(module, images, labels),
        "pgd": PGD(epsilon, "linf", steps=20).perturb_images(module, images, labels),
    }
    peers: dict[str, Any] = {
        "foolbox fgsm": LinfFastGradientAttack(),
        "foolbox pgd": LinfProjectedGradientDescentAttack(steps=20, abs_stepsize=2.5 * epsilon / 20),
    }
    theirs = PyTorchModel(module, bounds=(0, 1))
    for name, attack in peers.items():
        attacked[name] = attack(theirs, images, labels, epsilons=epsilon)[1]
    return {name: accuracy(module, Digits(changed, labels)) for name, changed in attacked.items()}


def accuracy(module: nn.Module, data: Digits) -> float:
    """Fraction of images with the right label.

    Raises:
        BadInput: images and labels that `check_digits` refuses.
    """
    check_digits(data)
    return float((predict(module, data.images).argmax(1) == data.labels).float().mean())


# ---- weights that ship ---------------------------------------------------------------------------------------------


def _weights_file() -> Path:
    return assets.data_folder() / "checkpoints" / "digits" / "model.safetensors"


def load_model(name: str) -> nn.Module:
    """A model that ships with the course, in evaluation mode.

    Args:
        name: `cnn`, `cnn, fgsm`, `cnn, pgd`, `vit` or `detector` (its class 10 is the background).

    Raises:
        BadInput: no such model.
        CorruptAsset: the file is damaged.
    """
    try:
        stored = load_file(_weights_file())
        names = sorted({key.partition("/")[0] for key in stored})
        if name not in names:
            raise BadInput(f"there is no model {name!r}", f"use one of {'; '.join(names)}")
        module = digit_vit() if name == "vit" else digit_cnn(11 if name == "detector" else 10)
        own = {key.partition("/")[2]: tensor.float() for key, tensor in stored.items() if key.startswith(f"{name}/")}
        module.load_state_dict(own)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CorruptAsset(f"the digits' models cannot be read: {error}", "git checkout -- data/checkpoints") from error
    return module.eval()


def ship_models(runs: Mapping[str, Run]) -> None:
    """Stores the weights of runs that were computed on this machine; the names are those of `load_model`."""
    stored: dict[str, Tensor] = {}
    for name, run in runs.items():
        stored |= {f"{name}/{key}": tensor.half() for key, tensor in load_file(run.file(WEIGHTS)).items()}
    file = _weights_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(stored, file.with_suffix(".part"))
    file.with_suffix(".part").replace(file)
