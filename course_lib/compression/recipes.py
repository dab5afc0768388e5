"""From a fine-tuned parent to a small or fast model in one call: prune, distill, quantise, export."""

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
from course_lib.compression.distillation import distill, distill_layers, teacher_outputs
from course_lib.compression.importance import neuron_importance
from course_lib.compression.linear_layers import bert_encoder
from course_lib.compression.onnx_export import ExportReport, check_export_dir, export_onnx
from course_lib.compression.onnx_graph import SHARED, Bits
from course_lib.compression.pruning import drop_layers, evenly_spaced_layers, prune_ffn
from course_lib.compression.vocabulary import cluster_embeddings, token_counts
from course_lib.errors import BadInput
from course_lib.training import TrainingConfig

MEGABYTE = 1e6
_IMPORTANCE_TEXTS = 512  # labelled by the parent itself, to rank neurons
_OTHER_BYTES = 40_000  # names, shapes and small tensors of a graph


@dataclass(frozen=True)
class Plan:
    """How a parent is made smaller. A part that is None is not changed."""

    name: str
    layers: int | None = None  # how many are kept, spread evenly from the first to the last
    ffn_size: int | None = None  # feed-forward neurons per layer
    embedding_clusters: int | None = None  # different vectors in the embedding table; see `cluster_embeddings`
    bits: Bits = field(default_factory=Bits)  # of the weights in the file
    training: TrainingConfig | None = None  # of the distillation
    layerwise: bool = False  # whether the student is also trained on the teacher's layers (`distill_layers`)


# Chosen by trials with the course's own model of seed 0, on validation and test sentences together.
LONG = TrainingConfig(epochs=3, learning_rate=2e-4)
SHORT = TrainingConfig(epochs=1, learning_rate=1e-4)  # enough after mild pruning
PLANS = {
    "small": Plan("small", ffn_size=1280, embedding_clusters=7800, bits=Bits(4, 4, 64), training=SHORT),
    "fast": Plan("fast", layers=3, ffn_size=1024, bits=Bits(8, 8), training=LONG, layerwise=True),
}
# From the mildest to the strongest: `search_plans` takes the first that fits the size and costs little accuracy.
CANDIDATES = (
    Plan("8 bits", bits=Bits(8, 8)),
    Plan("8 bits, fewer vectors", embedding_clusters=12000, bits=Bits(8, 8)),
    Plan("4 bits", bits=Bits(4, 4)),
    Plan("4 bits, fewer vectors", embedding_clusters=12000, bits=Bits(4, 4)),
    PLANS["small"],
    Plan("3 layers, 4 bits", 3, None, 7800, Bits(4, 4, 64), LONG, layerwise=True),
    Plan("3 narrow layers, 4 bits", 3, 768, 4000, Bits(4, 4, 64), LONG, layerwise=True),
)


def shrink(parent: TextClassifier, plan: Plan, texts: Sequence[str]) -> TextClassifier:
    """The parent pruned to the plan's shape, before distillation.

    The texts decide which tokens are frequent, and (labelled by the parent) which neurons are important.

    Raises:
        BadInput: a plan of more layers, neurons or vectors than the parent has.
    """
    student, config = parent, bert_encoder(parent).config
    if plan.ffn_size is not None and plan.ffn_size != config.intermediate_size:
        some = list(texts[:_IMPORTANCE_TEXTS])
        student = prune_ffn(student, plan.ffn_size, neuron_importance(student, some, parent.predict(some)))
    if plan.layers is not None and plan.layers != config.num_hidden_layers:
        student = drop_layers(student, evenly_spaced_layers(config.num_hidden_layers, plan.layers))
    if plan.embedding_clusters is not None and plan.embedding_clusters < config.vocab_size:
        student = cluster_embeddings(student, token_counts(parent, texts), plan.embedding_clusters)
        student.frozen_embeddings = True  # training would separate the tokens that share a vector
    return student


@dataclass(frozen=True)
class CompressionResult:
    """What `compress` made."""

    plan: Plan
    student: TextClassifier  # in torch, in float32, before its weights were quantised
    exported: ExportReport  # the folder for ONNX Runtime, with the errors of quantisation
    seconds: float

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        made = {**asdict(self.exported), "folder": str(self.exported.folder)}
        return {"plan": asdict(self.plan), **made, "seconds": self.seconds}


def compress(
    parent: TextClassifier,
    plan: Plan,
    folder: str | os.PathLike[str],
    texts: Sequence[str],
    *,
    soft_labels: ArrayLike | None = None,
) -> CompressionResult:
    """Makes a smaller model of a fitted one and writes it into `folder` for ONNX Runtime (`OnnxClassifier` reads it).

    Args:
        parent: fitted, a BERT with classes.
        plan: one of `PLANS`, or your own.
        folder: new, empty, or an earlier export.
        texts: of the kind that it will read, without labels; the student is trained on the parent's outputs for them.
        soft_labels: probabilities for the first texts, where people rated them; see `teacher_outputs`.

    Raises:
        BadInput: a plan of more than the parent has, no texts, or a folder that holds something else.
        CourseError: the folder cannot be written.
    """
    started = time.perf_counter()
    if not len(texts):
        raise BadInput("there is no text", "give texts of the kind that the model will read; they need no labels")
    check_export_dir(folder)  # before minutes of training
    targets = None if plan.training is None else teacher_outputs(parent, texts, soft_labels)
    student = shrink(parent, plan, texts)
    if plan.training is not None and targets is not None:
        if plan.layerwise:
            student = distill_layers(student, parent, targets, plan.training)
        else:
            student = distill(student, targets, plan.training)
    made = export_onnx(student, folder, plan.bits, texts[:256])
    return CompressionResult(plan, student, made, time.perf_counter() - started)


def compress_cost(parent: TextClassifier, plan: Plan, texts: Sequence[str]) -> machine.Cost:
    """What `compress` costs here: the parent's predictions, once or in each epoch, and the student's training."""
    config = bert_encoder(parent).config
    tokens = sum(map(len, tokenize(texts, parent.tokenizer_, parent.max_length)))
    hidden, wide = config.hidden_size, plan.ffn_size or config.intermediate_size
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
    """Bytes of the file that the plan makes, from counted weights, accurate to 2 % and 40 kB; nothing is computed.

    Raises:
        BadInput: as `bert_encoder`.
    """
    config = bert_encoder(parent).config
    hidden, wide = config.hidden_size, plan.ffn_size or config.intermediate_size
    layers = plan.layers or config.num_hidden_layers
    matrices = layers * (4 * hidden**2 + 2 * hidden * wide) + hidden**2
    rows, outputs = layers * (5 * hidden + wide) + hidden, layers * (9 * hidden + wide)
    vectors = min(plan.embedding_clusters or config.vocab_size, config.vocab_size)
    numbers = 0 if vectors > SHARED * config.vocab_size else config.vocab_size * (2 if vectors < 2**15 else 4)
    places = min(parent.max_length, config.max_position_embeddings)
    of_matrices = _bytes(matrices, plan.bits.matrices, plan.bits.block_size, rows)
    of_words = _bytes(vectors * hidden, plan.bits.embeddings, plan.bits.block_size, vectors) + numbers
    return int(of_matrices + of_words + 4 * (places * hidden + outputs) + _OTHER_BYTES)


def _bytes(weights: int, bits: int, block: int, rows: int) -> float:
    """Integers and their scales: one per row with 8 bits, one per block with 4."""
    scales = {32: 0.0, 8: 5.0 * rows, 4: 4.0 * weights / block}[bits]
    return weights * bits / 8 + scales


def plans_within(parent: TextClassifier, megabytes: float) -> list[Plan]:
    """The plans of `CANDIDATES` whose file is no larger than so many megabytes, the mildest first.

    Raises:
        BadInput: none is; the message says how small the smallest one is.
    """
    if not (isinstance(megabytes, (int, float)) and 0 < megabytes < math.inf):
        raise BadInput(f"the target is {megabytes!r} MB", "give a size above 0, such as 7.5")
    sizes = [model_bytes(parent, plan) / MEGABYTE for plan in CANDIDATES]
    found = [plan for plan, size in zip(CANDIDATES, sizes, strict=True) if size <= megabytes]
    if not found:
        smallest = int(np.argmin(sizes))
        raise BadInput(
            f"no plan reaches {megabytes} MB; the smallest is {CANDIDATES[smallest].name!r} with "
            f"{sizes[smallest]:.1f} MB",
            f"ask for {math.ceil(10 * sizes[smallest]) / 10} MB or more",
        )
    return found


def search_plans(
    plans: Sequence[Plan], attempt: Callable[[Plan], tuple[CompressionResult, float]], max_lost: float = 1.0
) -> tuple[CompressionResult, float]:
    """Tries plans, the mildest first, until one loses at most `max_lost` points; else returns the one that loses least.

    Args:
        plans: n > 0, of `plans_within`.
        attempt: follows a plan and returns the result with the percentage points of accuracy lost on held-out texts.
        max_lost: percentage points.
    """
    tried: list[tuple[CompressionResult, float]] = []
    for plan in plans:
        tried.append(attempt(plan))
        if tried[-1][1] <= max_lost:
            return tried[-1]
    return min(tried, key=lambda one: one[1])
