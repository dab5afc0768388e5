"""What is measured on the digits: classifiers under attack, generated digits, and digits found on a canvas."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors.torch import save_file
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from torch import Tensor, nn

from course_lib import machine
from course_lib.cases.images import (
    ATTACKED,
    MODELS,
    TRAININGS,
    WEIGHTS,
    Digits,
    accuracy,
    attacked_accuracy,
    check_digits,
    digit_cnn,
    fit,
    ink_gradient,
    load_digits,
    load_model,
    predict,
    quantized_copy,
)
from course_lib.encoder import BertEncoder, EncoderConfig, patchify, unpatchify
from course_lib.errors import BadInput
from course_lib.evaluation import box_iou, count_detections, non_max_suppression
from course_lib.experiments import experiment
from course_lib.training import TensorBatches, TrainingConfig, train

_BASELINES: dict[str, Callable[[], Any]] = {
    "logistic regression": lambda: LogisticRegression(max_iter=1000),
    "3-NN": lambda: KNeighborsClassifier(3),
    "SVM": SVC,
}


def _check(config: Mapping[str, Any], **choices: Mapping[str, Any]) -> None:
    for key, known in choices.items():
        if config.get(key) not in known:
            raise BadInput(f"{key} is {config.get(key)!r}", f"use one of {'; '.join(known)}")


def _study_work(config: Mapping[str, Any]) -> float:
    _check(config, model=MODELS, training=TRAININGS)
    steps, epochs = TRAININGS[config["training"]][0], MODELS[config["model"]][1]
    return epochs * (1 + steps) + 15


@experiment(
    "digit_study",
    cost=_study_work,
    # Adversarial training is chaotic: rounding on another processor moves the accuracies like another seed.
    tolerance={"test_accuracy": 0.03, "fgsm": 0.5, "foolbox fgsm": 0.5, "pgd": 0.3, "foolbox pgd": 0.3, "clean": 0.05,
               "random signs": 0.15, "4 bits": 0.1, "2 bits": 0.4, "ink": 0.15, "train_seconds": np.inf},
    data=("mnist",),
)  # fmt: skip
def digit_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One model after one training: accuracy, accuracy under attacks, with fewer bits; where its gradient is.

    `config`: `model` (`cnn`, `vit`, `vit without positions`), `training` (of TRAININGS), `seed`. `wrong` lists the
    test images that it has wrong, for paired comparisons. `ink` is `ink_gradient` of the attacked images.
    """
    _check(config, model=MODELS, training=TRAININGS)
    build, epochs = MODELS[config["model"]]
    test, attacked = load_digits("test"), load_digits("test", ATTACKED)
    with machine.seeded(config["seed"]):
        started, module = time.perf_counter(), build()
        fit(module, load_digits("train"), epochs, config["training"], config["seed"])
        seconds = time.perf_counter() - started
        attacks = attacked_accuracy(module, attacked)
    save_file(module.state_dict(), folder / WEIGHTS)
    wrong = (predict(module, test.images).argmax(1) != test.labels).nonzero()[:, 0]
    quantized = {f"{bits} bits": accuracy(quantized_copy(build, module, bits), test) for bits in (4, 2)}
    measured = {"test_accuracy": 1 - len(wrong) / len(test.labels), "ink": ink_gradient(module, attacked)}
    return {**measured, **attacks, **quantized, "wrong": wrong.tolist(), "train_seconds": seconds}


@experiment("digit_baselines", cost=lambda config: 1.0, tolerance={"test_accuracy": 0.003}, data=("mnist",))
def digit_baselines(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A model of scikit-learn on the pixels, as it is: `model` is `logistic regression`, `3-NN` or `SVM`."""
    _check(config, model=_BASELINES)
    model = _BASELINES[config["model"]]()
    train_part, test = load_digits("train"), load_digits("test")
    model.fit(train_part.images.flatten(1).numpy(), train_part.labels.numpy())
    wrong = np.flatnonzero(model.predict(test.images.flatten(1).numpy()) != test.labels.numpy())
    return {"test_accuracy": 1 - len(wrong) / len(test.labels), "wrong": wrong.tolist()}


STUDY_RUNS = [
    *({"model": "cnn", "training": training, "seed": 0} for training in TRAININGS),
    *({"model": "cnn", "training": name, "seed": seed} for name in ("fgsm", "fgsm, random start") for seed in (1, 2)),
    *({"model": model, "training": "clean", "seed": 0} for model in ("vit", "vit without positions")),
]
BASELINE_RUNS = [{"model": name} for name in _BASELINES]


# ---- digits, generated -----------------------------------------------------------------------------------------------

CODES, _PATCHES, _PATCH = 256, 49, 4  # patches of the codebook, of an image, and the side of one in pixels


class PatchGenerator:
    """Generates digits patch by patch: a codebook of patches, and a causal transformer over their numbers.

    The first token is the digit that is wanted; it predicts the number of the first patch, and so on.

    Args:
        data: to be trained on.
        epochs: of the transformer.
        seed: of the codebook, the weights and the order.

    Raises:
        BadInput: images and labels that `check_digits` refuses, or fewer than six, too few for 256 patches.
    """

    def __init__(self, data: Digits, epochs: int, seed: int = 0) -> None:
        check_digits(data)
        if len(data.images) * _PATCHES < CODES:
            raise BadInput(f"{len(data.images)} images", f"give at least {-(-CODES // _PATCHES)} for the codebook")
        patches = patchify(data.images, _PATCH).flatten(0, 1).numpy()
        self.codebook = MiniBatchKMeans(CODES, batch_size=4096, n_init=1, max_iter=3, random_state=seed).fit(patches)
        self.model = BertEncoder(
            EncoderConfig(
                vocab_size=CODES + 10, pad_id=None, hidden_size=64, n_layers=3, n_heads=4, intermediate_size=256,
                max_positions=_PATCHES, norm="pre", causal=True,
            )
        )  # fmt: skip
        config = TrainingConfig(epochs=epochs, batch_size=50, learning_rate=3e-3, precision="float32", seed=seed)
        batches = TensorBatches(self.encode(data.images), data.labels, batch_size=50, seed=seed)
        train(self.model.to(machine.device()), batches, lambda _, batch: self.loss(*batch.tensors), config)
        self.model.cpu()

    def encode(self, images: Float[Tensor, "n 28 28"]) -> Int[Tensor, "n 49"]:
        """The numbers of the nearest patches of the codebook."""
        patches = patchify(images, _PATCH)
        return torch.from_numpy(self.codebook.predict(patches.flatten(0, 1).numpy())).long().view(len(images), -1)

    def decode(self, codes: Int[Tensor, "n 49"]) -> Float[Tensor, "n 28 28"]:
        """The images of these patches."""
        patches = torch.from_numpy(self.codebook.cluster_centers_).float()[codes]
        return unpatchify(patches, 28 // _PATCH).clamp(0, 1)

    def logits(self, labels: Int[Tensor, "n"], codes: Int[Tensor, "n seen"]) -> Float[Tensor, "n seen+1 256"]:
        """Of the patch that follows the digit, and of those that follow each patch."""
        tokens = torch.cat([CODES + labels[:, None], codes], 1)
        logits: Tensor = (self.model(tokens) @ self.model.word_embeddings.T)[..., :CODES]
        return logits

    def loss(self, codes: Int[Tensor, "n 49"], labels: Int[Tensor, "n"]) -> Tensor:
        """Mean negative log-likelihood of a patch in nats."""
        return F.cross_entropy(self.logits(labels, codes[:, :-1]).transpose(1, 2), codes)

    @torch.inference_mode()
    def sample(self, labels: Int[Tensor, "n"], seed: int = 0) -> Int[Tensor, "n 49"]:
        """Patches drawn one after the other, each from the predicted distribution."""
        random, codes = torch.Generator().manual_seed(seed), torch.empty(len(labels), 0, dtype=torch.long)
        for _ in range(_PATCHES):
            following = self.logits(labels, codes)[:, -1].softmax(-1)
            codes = torch.cat([codes, torch.multinomial(following, 1, generator=random)], 1)
        return codes


@experiment(
    "digit_generator_study",
    cost=lambda config: config["epochs"] * 5.0 + 5,
    tolerance={"bits": 0.1, "bits_independent": 0.02, "recognised": 0.15, "recognised_independent": 0.1,
               "recognised_real": 0.02},
    data=("mnist",),
)  # fmt: skip
def digit_generator_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Bits per patch on 2,000 test images, and how many of 500 samples the shipped CNN reads as wanted.

    `config`: `epochs`, `seed`. `independent` draws each patch from its frequency at its place in images of the digit;
    `real` are test images after the codebook. `samples` are the first 40 generated images, as bytes.
    """
    data, test, judge = load_digits("train"), load_digits("test", 2_000), load_model("cnn")
    with machine.seeded(config["seed"]):
        generator = PatchGenerator(data, config["epochs"], config["seed"])
    codes, test_codes = generator.encode(data.images), generator.encode(test.images)
    counts = torch.ones(10, _PATCHES, CODES)  # one for each, so that no patch is impossible
    for digit in range(10):
        counts[digit] += F.one_hot(codes[data.labels == digit], CODES).sum(0)
    independent = counts / counts.sum(-1, keepdim=True)
    wanted = torch.arange(10).repeat(50)
    draws = torch.multinomial(independent[wanted].flatten(0, 1), 1, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        nats = generator.loss(test_codes, test.labels)
    chosen = independent[test.labels].gather(-1, test_codes[..., None])
    images = generator.decode(generator.sample(wanted))
    return {
        "bits": float(nats) / np.log(2),
        "bits_independent": float(-chosen.log2().mean()),
        "recognised": accuracy(judge, Digits(images, wanted)),
        "recognised_independent": accuracy(judge, Digits(generator.decode(draws.view(-1, _PATCHES)), wanted)),
        "recognised_real": accuracy(judge, Digits(generator.decode(test_codes), test.labels)),
        "samples": (images[:40] * 255).byte().flatten().tolist(),
    }


# ---- digits, detected ------------------------------------------------------------------------------------------------

SIDE, _DIGIT, _STRIDE = 84, 28, 4  # pixels: of a canvas, of a digit, between two windows
BACKGROUND = 10  # the detector's class for a window without a digit


class Canvas(NamedTuple):
    """An image with several digits, and where they are."""

    image: Float[Tensor, "84 84"]
    boxes: Int[np.ndarray, "digits 4"]
    labels: Int[np.ndarray, "digits"]


def make_canvases(data: Digits, n: int, seed: int = 0) -> list[Canvas]:
    """Canvases of 1 to 5 digits at random places; one that would overlap an earlier one is left out.

    Raises:
        BadInput: images that are not 28 x 28 or that `check_digits` refuses.
    """
    check_digits(data)
    if data.images.shape[1:] != (_DIGIT, _DIGIT):
        raise BadInput(f"images of the shape {tuple(data.images.shape)}", "give digits of 28 x 28 pixels")
    random, made = np.random.default_rng(seed), []
    for _ in range(n):
        image, boxes, rows = torch.zeros(SIDE, SIDE), np.zeros((0, 4), int), list[int]()
        for row in random.integers(len(data.labels), size=random.integers(3, 6)):
            top, left = random.integers(0, SIDE - _DIGIT + 1, size=2)
            box = np.array([[top, left, top + _DIGIT, left + _DIGIT]])
            if len(rows) and box_iou(box, boxes).any():
                continue
            image[top : top + _DIGIT, left : left + _DIGIT] = data.images[row]
            boxes, rows = np.concatenate([boxes, box]), [*rows, row]
        made.append(Canvas(image, boxes, data.labels[rows].numpy()))
    return made


def windows(image: Float[Tensor, "84 84"]) -> tuple[Float[Tensor, "n 28 28"], Int[np.ndarray, "n 4"]]:
    """All windows of the size of a digit, four pixels apart, and their boxes.

    Raises:
        BadInput: not one image, or one smaller than a digit.
    """
    if image.ndim != 2 or min(image.shape) < _DIGIT:
        raise BadInput(f"a canvas of the shape {tuple(image.shape)}", "give one image of at least 28 x 28 pixels")
    cut = image.unfold(0, _DIGIT, _STRIDE).unfold(1, _DIGIT, _STRIDE)
    corners = np.stack(np.meshgrid(*(np.arange(size) * _STRIDE for size in cut.shape[:2]), indexing="ij"), -1)
    corners = corners.reshape(-1, 2)
    return cut.reshape(-1, _DIGIT, _DIGIT), np.concatenate([corners, corners + _DIGIT], 1)


def detector_data(canvases: Sequence[Canvas]) -> Digits:
    """Windows of canvases with their class: a digit's where they overlap its box by half, else the background's.

    Three of four windows of the background are left out.
    """
    parts = []
    for canvas in canvases:
        images, boxes = windows(canvas.image)
        overlap = box_iou(boxes, canvas.boxes)
        best = torch.from_numpy(overlap.argmax(1))
        labels = torch.where(torch.from_numpy(overlap.max(1) >= 0.5), torch.from_numpy(canvas.labels)[best], BACKGROUND)
        keep = (labels != BACKGROUND) | (torch.arange(len(images)) % 4 == 0)
        parts.append((images[keep], labels[keep]))
    return Digits(torch.cat([one for one, _ in parts]), torch.cat([one for _, one in parts]))


def detect(module: nn.Module, image: Float[Tensor, "84 84"], threshold: float = 0.5) -> pd.DataFrame:
    """Digits on a canvas, the surest first: score (1 - the probability of the background), label, and box.

    Raises:
        BadInput: as in `windows`, or a model without a class for the background.
    """
    images, boxes = windows(image)
    probabilities = predict(module, images).numpy()
    if probabilities.shape[1] != BACKGROUND + 1:
        raise BadInput(f"a model of {probabilities.shape[1]} classes", "use load_model('detector'), or digit_cnn(11)")
    scores, labels = 1 - probabilities[:, BACKGROUND], probabilities[:, :BACKGROUND].argmax(1)
    rows = np.flatnonzero(scores >= threshold)
    kept = rows[non_max_suppression(boxes[rows], scores[rows])]
    table = pd.DataFrame(boxes[kept], columns=["top", "left", "bottom", "right"])
    return table.assign(label=labels[kept], score=scores[kept])


@experiment(
    "digit_detection_study",
    cost=lambda config: config["canvases"] * config["epochs"] + 400.0,
    tolerance={"precision": 0.05, "recall": 0.05, "right": 40, "found": 40, "threshold": 0.5},
    data=("mnist",),
)
def digit_detection_study(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A CNN with a class for the background slides over 200 canvases of test digits; a box is right from IoU 0.5 on.

    `config`: `canvases` and `epochs` of the training, `seed`. The threshold has the best F1 on 100 canvases of
    validation digits. `found` are boxes, `right` those with the right label, `digits` all there are.
    """
    with machine.seeded(config["seed"]):
        module = digit_cnn(BACKGROUND + 1)
        data = detector_data(make_canvases(load_digits("train"), config["canvases"], config["seed"]))
        fit(module, data, config["epochs"], seed=config["seed"])
    save_file(module.state_dict(), folder / WEIGHTS)
    validation = _detections(module, make_canvases(load_digits("validation"), 100, seed=1))
    counts = {threshold: _count(validation, threshold) for threshold in (0.3, 0.5, 0.7, 0.9, 0.97, 0.99)}
    best = max(counts, key=lambda threshold: 2 * counts[threshold][0] / sum(counts[threshold][1:]))
    right, found, digits = _count(_detections(module, make_canvases(load_digits("test"), 200, seed=2)), best)
    return {"threshold": best, "right": right, "found": found, "digits": digits}


def _detections(module: nn.Module, canvases: Sequence[Canvas]) -> list[tuple[Canvas, pd.DataFrame]]:
    return [(canvas, detect(module, canvas.image, threshold=0.3)) for canvas in canvases]


def _count(detections: Sequence[tuple[Canvas, pd.DataFrame]], threshold: float) -> tuple[int, int, int]:
    """Right boxes, boxes, and true boxes. A box above the threshold was suppressed by none below it."""
    right = found = digits = 0
    for canvas, boxes in detections:
        boxes = boxes[boxes["score"] >= threshold]
        right += count_detections(boxes.iloc[:, :4], boxes["label"], canvas.boxes, canvas.labels)
        found, digits = found + len(boxes), digits + len(canvas.labels)
    return right, found, digits


GENERATOR_RUN = {"epochs": 10, "seed": 0}
DETECTION_RUN = {"canvases": 600, "epochs": 3, "seed": 0}
