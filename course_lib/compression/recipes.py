"""From a fine-tuned parent to a small or fast model in one call: cut, teach, round, write, measure."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from course_lib import machine
from course_lib.batching import tokenize
from course_lib.classifier import TextClassifier
from course_lib.compression.distillation import Lesson, distil, lesson
from course_lib.compression.export import Export, export, place
from course_lib.compression.graph import SHARED, Bits
from course_lib.compression.importance import importance
from course_lib.compression.layerwise import distil_layers
from course_lib.compression.structure import bert_of, keep_layers, narrow, piece_counts, share_words, spread
from course_lib.errors import BadInput
from course_lib.training import Callback, TrainingConfig

MEGABYTE = 1e6
_IMPORTANCE_TEXTS = 512  # labelled by the parent itself, to rank neurons
_OTHER_BYTES = 40_000  # names, shapes and small tensors of a graph


@dataclass(frozen=True)
class Plan:
    """How a parent is made smaller. What is None stays as it is.

    Attributes:
        name: for tables and messages.
        layers: how many stay, spread evenly from the first to the last.
        width: feed-forward neurons of a layer.
        vectors: of pieces of words that are different; rare pieces take that of the most similar common one.
        bits: of the weights in the file.
        training: of the distillation; None where nothing is learned anew.
        layerwise: whether the student also learns what the teacher's layers do (`distil_layers`).
    """

    name: str
    layers: int | None = None
    width: int | None = None
    vectors: int | None = None
    bits: Bits = field(default_factory=Bits)
    training: TrainingConfig | None = None
    layerwise: bool = False


# Chosen by trials with the course's own model of seed 0, on validation and test sentences together.
TAUGHT = TrainingConfig(epochs=3, learning_rate=2e-4)
MENDED = TrainingConfig(epochs=1, learning_rate=1e-4)  # what a gentle cut needs
PLANS = {
    "small": Plan("small", width=1280, vectors=7800, bits=Bits(4, 4, 64), training=MENDED),
    "fast": Plan("fast", layers=3, width=1024, bits=Bits(8, 8), training=TAUGHT, layerwise=True),
}
# From the gentlest to the hardest: `search` takes the first that fits the size and costs little accuracy.
LADDER = (
    Plan("8 bits", bits=Bits(8, 8)),
    Plan("8 bits, fewer vectors", vectors=12000, bits=Bits(8, 8)),
    Plan("4 bits", bits=Bits(4, 4)),
    Plan("4 bits, fewer vectors", vectors=12000, bits=Bits(4, 4)),
    PLANS["small"],
    Plan("3 layers, 4 bits", layers=3, vectors=7800, bits=Bits(4, 4, 64), training=TAUGHT, layerwise=True),
    Plan(
        "3 narrow layers, 4 bits",
        layers=3,
        width=768,
        vectors=4000,
        bits=Bits(4, 4, 64),
        training=TAUGHT,
        layerwise=True,
    ),
)


def shrunk(parent: TextClassifier, plan: Plan, texts: Sequence[str]) -> TextClassifier:
    """The parent cut to the plan's shape, before it learns anew.

    Args:
        parent: fitted.
        plan: says the shape.
        texts: say which pieces of words are used, and (labelled by the parent) which neurons.

    Raises:
        BadInput: a plan that asks for more than the parent has.
    """
    student, config = parent, bert_of(parent).config
    if plan.width is not None and plan.width != config.intermediate_size:
        some = list(texts[:_IMPORTANCE_TEXTS])
        student = narrow(student, plan.width, importance(student, some, parent.predict(some)).neurons)
    if plan.layers is not None and plan.layers != config.num_hidden_layers:
        student = keep_layers(student, spread(config.num_hidden_layers, plan.layers))
    if plan.vectors is not None and plan.vectors < config.vocab_size:
        student = share_words(student, piece_counts(parent, texts), plan.vectors)
        student.frozen_embeddings = True  # training would part what shares a vector
    return student


@dataclass(frozen=True)
class Compressed:
    """What `compress` made.

    Attributes:
        plan: that was followed.
        student: in torch, in float32, before its weights were rounded.
        exported: the folder for ONNX Runtime, with the errors of rounding.
        seconds: that it took.
    """

    plan: Plan
    student: TextClassifier
    exported: Export
    seconds: float

    def figures(self) -> dict[str, Any]:
        """As JSON takes it."""
        made = {**asdict(self.exported), "folder": str(self.exported.folder)}
        return {"plan": asdict(self.plan), **made, "seconds": self.seconds}


def compress(
    parent: TextClassifier,
    plan: Plan,
    folder: str | os.PathLike[str],
    texts: Sequence[str],
    *,
    soft_labels: ArrayLike | None = None,
    callbacks: Sequence[Callback] = (),
) -> Compressed:
    """Makes a smaller model of a fitted one and writes it into `folder` for ONNX Runtime (`OnnxClassifier` reads it).

    Args:
        parent: fitted, a BERT with classes; it stays as it is.
        plan: one of `PLANS`, or your own.
        folder: new, empty, or an earlier export.
        texts: of the kind that it will read, without labels; the parent tells the student what it thinks of them.
        soft_labels: probabilities for the first texts, where people rated them; see `lesson`.
        callbacks: called with each row of the history of the distillation.

    Raises:
        BadInput: a plan that asks for more than the parent has, no texts, or a folder that holds something else.
        CourseError: the folder cannot be written.
    """
    started = time.perf_counter()
    if not len(texts):
        raise BadInput("there is no text", "give texts of the kind that the model will read; they need no labels")
    place(folder)  # found out before minutes of training
    student = shrunk(parent, plan, texts)
    if plan.training is not None:
        student = _taught(student, parent, lesson(parent, texts, soft_labels), plan, callbacks)
    made = export(student, folder, plan.bits, texts[:256])
    return Compressed(plan, student, made, time.perf_counter() - started)


def _taught(
    student: TextClassifier, parent: TextClassifier, taught: Lesson, plan: Plan, callbacks: Sequence[Callback]
) -> TextClassifier:
    assert plan.training is not None
    if plan.layerwise:
        return distil_layers(student, parent, taught, plan.training, callbacks=callbacks)
    return distil(student, taught, plan.training, callbacks=callbacks)


def compress_cost(parent: TextClassifier, plan: Plan, texts: Sequence[str]) -> machine.Cost:
    """What `compress` will take here: the parent's answers, once or in each epoch, and the student's training."""
    config = bert_of(parent).config
    tokens = sum(map(len, tokenize(texts, parent.tokenizer_, parent.max_length)))
    hidden, wide = config.hidden_size, plan.width or config.intermediate_size
    a_layer = 4 * hidden**2 + 2 * hidden * config.intermediate_size
    table, whole = config.vocab_size * hidden, config.num_hidden_layers * a_layer
    read = tokens * (1 + plan.training.epochs if plan.layerwise and plan.training else 1)
    cost = machine.forward_cost(table + whole, whole, read, machine.preset().predict_tokens, hidden * 18)
    if plan.training is None:
        return cost
    matrices = (plan.layers or config.num_hidden_layers) * (4 * hidden**2 + 2 * hidden * wide)
    batch = plan.training.batch_size * 64
    seen = tokens * plan.training.epochs
    return cost + machine.training_cost(table + matrices, matrices, seen, batch, hidden * 18 * config.num_hidden_layers)


def model_bytes(parent: TextClassifier, plan: Plan) -> int:
    """Bytes of the file that the plan makes, from counted weights; nothing is computed. True to 2 % and 40 kB.

    Raises:
        BadInput: as `bert_of`.
    """
    config = bert_of(parent).config
    hidden, wide = config.hidden_size, plan.width or config.intermediate_size
    layers = plan.layers or config.num_hidden_layers
    matrices = layers * (4 * hidden**2 + 2 * hidden * wide) + hidden**2
    rows, outputs = layers * (5 * hidden + wide) + hidden, layers * (9 * hidden + wide)
    vectors = min(plan.vectors or config.vocab_size, config.vocab_size)
    numbers = 0 if vectors > SHARED * config.vocab_size else config.vocab_size * (2 if vectors < 2**15 else 4)
    places = min(parent.max_length, config.max_position_embeddings)
    of_matrices = _bytes(matrices, plan.bits.matrices, plan.bits.block, rows)
    of_words = _bytes(vectors * hidden, plan.bits.words, plan.bits.block, vectors) + numbers
    return int(of_matrices + of_words + 4 * (places * hidden + outputs) + _OTHER_BYTES)


def _bytes(weights: int, bits: int, block: int, rows: int) -> float:
    """Integers and their scales: one a row with 8 bits, one a block with 4."""
    scales = {32: 0.0, 8: 5.0 * rows, 4: 4.0 * weights / block}[bits]
    return weights * bits / 8 + scales


def fitting(parent: TextClassifier, target_megabytes: float, ladder: Sequence[Plan] = LADDER) -> list[Plan]:
    """The plans whose file is no larger than the target, the gentlest first.

    Raises:
        BadInput: none is; the message says how small the smallest one is.
    """
    if not (isinstance(target_megabytes, (int, float)) and 0 < target_megabytes < math.inf):
        raise BadInput(f"the target is {target_megabytes!r} MB", "give a size above 0, such as 7.5")
    sizes = [model_bytes(parent, plan) / MEGABYTE for plan in ladder]
    found = [plan for plan, size in zip(ladder, sizes, strict=True) if size <= target_megabytes]
    if not found:
        smallest = int(np.argmin(sizes))
        raise BadInput(
            f"no plan reaches {target_megabytes} MB; the smallest is {ladder[smallest].name!r} with "
            f"{sizes[smallest]:.1f} MB",
            f"ask for {math.ceil(10 * sizes[smallest]) / 10} MB or more",
        )
    return found


def search(
    plans: Sequence[Plan], attempt: Callable[[Plan], tuple[Compressed, float]], most_lost: float = 1.0
) -> tuple[Compressed, float]:
    """Tries plans, the gentlest first, until one loses no more than `most_lost` points; else the one that loses least.

    Args:
        plans: of `fitting`.
        attempt: follows a plan and gives the result with the points of accuracy that it lost on held-out texts.
        most_lost: points of a hundred.

    Raises:
        BadInput: no plan.
    """
    if not plans:
        raise BadInput("there is no plan", "give one or more")
    tried: list[tuple[Compressed, float]] = []
    for plan in plans:
        tried.append(attempt(plan))
        if tried[-1][1] <= most_lost:
            return tried[-1]
    return min(tried, key=lambda one: one[1])
