"""Distillation: a small student is trained on a teacher's outputs, and on what the teacher's layers compute."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from course_lib import corpora, machine
from course_lib.batching import Batch, check_texts, tokenize
from course_lib.classifier import LossWrapper, TextClassifier
from course_lib.classifier.model import forward
from course_lib.compression.linear_layers import bert_encoder
from course_lib.compression.pruning import evenly_spaced_layers
from course_lib.errors import BadInput
from course_lib.text.modules import inference_copy
from course_lib.training import TrainingConfig

_HUMAN_WEIGHT = 0.5  # of soft labels beside the teacher's probabilities


def distillation_loss(
    student: Float[Tensor, "batch classes"], teacher: Float[Tensor, "batch classes"], temperature: float = 1.0
) -> Float[Tensor, ""]:
    """Cross-entropy of the student's softened outputs with the teacher's: T^2 CE(softmax(t / T), softmax(s / T)).

    The factor T^2 keeps the gradient's size when T changes (Hinton et al. 2015, arXiv:1503.02531, section 2).

    Args:
        temperature: above 1 shows how the teacher ranks the unlikely classes.

    Raises:
        BadInput: a temperature that is not above 0.
    """
    if not temperature > 0:
        raise BadInput(f"temperature is {temperature}", "use a number above 0")
    soft = (teacher / temperature).softmax(-1)
    return temperature**2 * F.cross_entropy(student / temperature, soft)


# ---- the teacher's outputs -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TeacherOutputs:
    """A teacher's outputs for n texts, computed once."""

    texts: Sequence[str]
    logits: NDArray[np.float32]  # (n, classes)
    vectors: NDArray[np.float32]  # (n, hidden), the input of the teacher's head
    classes: NDArray[np.generic]


def teacher_outputs(
    teacher: TextClassifier, texts: Sequence[str], soft_labels: ArrayLike | None = None
) -> TeacherOutputs:
    """Computes the teacher's outputs, and averages its probabilities with people's ratings of the first texts.

    Args:
        texts: n strings, labelled or not.
        soft_labels: (m, classes) probabilities for the first m texts, m <= n, such as `corpora.soft_labels` makes of
            ratings. The teacher is overconfident on the texts that it was trained on; ratings correct that.

    Raises:
        BadInput: no text, an item that is not a string, a teacher that is not a fitted BERT with classes, or soft
            labels of another shape or whose rows do not sum to 1.
    """
    bert_encoder(teacher)
    if teacher.head == "regression":
        raise BadInput("the teacher is a regression model", "give a classifier")
    rows = check_texts(texts)
    if not rows:
        raise BadInput("there is no text", "give texts; they need no labels")
    module: Any = teacher.module_
    ids = tokenize(rows, teacher.tokenizer_, teacher.max_length)
    vectors = forward(module, ids, int(teacher.tokenizer_.pad_token_id or 0), type(module).pooled)
    with torch.inference_mode():
        logits = module.classifier(torch.from_numpy(vectors).to(module.classifier.weight)).float().cpu()
    if soft_labels is not None:
        logits = _averaged(logits, np.asarray(soft_labels, np.float64))
    return TeacherOutputs(rows, logits.numpy(), vectors, teacher.classes_)


def _averaged(logits: Tensor, soft_labels: NDArray[np.float64]) -> Tensor:
    """Logits whose softmax, in the first rows, is the average with the soft labels."""
    fits = soft_labels.ndim == 2 and soft_labels.shape[1] == logits.shape[1] and len(soft_labels) <= len(logits)
    if not fits or not np.allclose(soft_labels.sum(1), 1, atol=1e-4) or (soft_labels < 0).any():
        shapes = f"{soft_labels.shape} for {len(logits)} texts and {logits.shape[1]} classes"
        raise BadInput(f"soft labels of shape {shapes}", "give one row of probabilities for each of the first texts")
    human = torch.from_numpy(soft_labels)
    probabilities = (1 - _HUMAN_WEIGHT) * logits[: len(human)].double().softmax(-1) + _HUMAN_WEIGHT * human
    return torch.cat([probabilities.clamp_min(1e-12).log().float(), logits[len(human) :]])


def unlabelled_texts(first: str = "movie_reviews") -> list[str]:
    """The training texts of all corpora, those of `first` in front; without their labels.

    Raises:
        BadInput: there is no such corpus.
    """
    names = [first, *(name for name in corpora.NAMES if name != first)]
    return [text for name in names for text in corpora.part(name, "train")["text"]]


# ---- training on outputs ---------------------------------------------------------------------------------------


def distill(
    student: TextClassifier,
    targets: TeacherOutputs,
    training: TrainingConfig,
    *,
    temperature: float = 1.0,
) -> TextClassifier:
    """A copy of the student, trained to predict as the teacher does.

    The loss is `distillation_loss` plus the squared error of the vector that the head reads (hints: Romero et al. 2015,
    arXiv:1412.6550), divided by the variance of the teacher's vectors: 1 means no better than always their mean.

    Args:
        student: fitted, of the teacher's classes and width: made of it by `drop_layers`, `prune_ffn` or others.
        targets: `teacher_outputs(teacher, texts)`; the texts need no labels.

    Raises:
        BadInput: classes or widths that differ, a temperature that is not above 0, or fewer texts than
            classes.
    """
    width = bert_encoder(student).config.hidden_size
    if width != targets.vectors.shape[1]:
        both = f"{width} numbers, the teacher's {targets.vectors.shape[1]}"
        raise BadInput(f"the student's vectors have {both}", "make the student from this teacher")
    if not temperature > 0:
        raise BadInput(f"temperature is {temperature}", "use a number above 0")
    return _fit(student, targets, training, _output_loss(targets, temperature))


def _output_loss(targets: TeacherOutputs, temperature: float) -> LossWrapper:
    """The loss of `distill`. The rows of a batch are those of `targets`, whose texts `_fit` gives to `fit`."""
    logits, vectors = (torch.from_numpy(array).to(machine.device()) for array in (targets.logits, targets.vectors))
    variance = vectors.var(0, correction=0).mean().clamp_min(1e-12)

    def loss_of(module: Any, batch: Batch) -> Tensor:
        pooled = module.dropout(module.pooled(batch.input_ids, batch.attention_mask))
        loss = distillation_loss(module.classifier(pooled).float(), logits[batch.index], temperature)
        return loss + F.mse_loss(pooled.float(), vectors[batch.index]) / variance

    return lambda usual: loss_of


def _fit(
    student: TextClassifier,
    targets: TeacherOutputs,
    training: TrainingConfig,
    loss: LossWrapper,
) -> TextClassifier:
    """A copy of the student, trained further with another loss on the teacher's texts."""
    if student.classes_.tolist() != targets.classes.tolist():
        both = f"{student.classes_.tolist()}, the teacher's are {targets.classes.tolist()}"
        raise BadInput(f"the student's classes are {both}", "make the student from this teacher")
    learner = copy.deepcopy(student)
    learner.set_params(training=training, warm_start=True, frozen_encoder=False, lora_rank=0)
    if len(targets.texts) < len(targets.classes):
        raise BadInput(f"{len(targets.texts)} texts for {len(targets.classes)} classes", "give more texts")
    labels = np.resize(targets.classes, len(targets.texts))  # `fit` needs every class, though this loss reads no label
    return learner.fit(targets.texts, labels, loss_wrapper=loss)


# ---- training on what layers compute ---------------------------------------------------------------------------


def distill_layers(
    student: TextClassifier,
    teacher: TextClassifier,
    targets: TeacherOutputs,
    training: TrainingConfig,
) -> TextClassifier:
    """A copy of the student, trained on the teacher's outputs and on the states and attention of its layers.

    Each layer of the student is compared with one of the teacher's layers, spread evenly, the last with the last
    (`state_loss`, `attention_loss`). The teacher reads every batch again: a forward pass of it per step.

    Args:
        student: fitted, of the teacher's classes, width and heads: made of it by `drop_layers` or `prune_ffn`.
        targets: `teacher_outputs(teacher, texts)`.

    Raises:
        BadInput: as `distill`, numbers of heads that differ, or a student of more layers.
    """
    mine, theirs = bert_encoder(student).config, bert_encoder(teacher).config
    for name in ("hidden_size", "num_attention_heads"):
        if getattr(mine, name) != getattr(theirs, name):
            both = f"{getattr(mine, name)} and {getattr(theirs, name)}"
            raise BadInput(f"{name} is {both}", "make the student from this teacher")
    spread = evenly_spaced_layers(theirs.num_hidden_layers, mine.num_hidden_layers)
    pairs = list(enumerate([*spread[:-1], theirs.num_hidden_layers - 1]))
    module: Any = inference_copy(teacher.module_)
    return _fit(student, targets, training, _layer_loss(targets, module.bert, pairs))


def _layer_loss(targets: TeacherOutputs, teacher: Any, pairs: Sequence[tuple[int, int]]) -> LossWrapper:
    """The loss of `distill_layers`; `pairs` are (layer of the student, layer of the teacher) from 0."""
    logits = torch.from_numpy(targets.logits).to(machine.device())

    def loss_of(module: Any, batch: Batch) -> Tensor:
        mask = batch.attention_mask.bool()
        mine = _states(module.bert, batch)
        with torch.no_grad():
            theirs = _states(teacher, batch)
        outputs = module.classifier(module.dropout(module.bert.pooler(mine[-1]))).float()
        loss = distillation_loss(outputs, logits[batch.index])
        for here, there in pairs:
            with torch.no_grad():
                wanted = attention_scores(teacher.encoder.layer[there], theirs[there])
            scores = attention_scores(module.bert.encoder.layer[here], mine[here])
            apart = state_loss(mine[here + 1].float(), theirs[there + 1].float(), mask)
            loss = loss + (apart + attention_loss(scores.float(), wanted.float(), mask)) / len(pairs)
        return loss

    return lambda usual: loss_of


def _states(bert: Any, batch: Batch) -> tuple[Float[Tensor, "batch seq hidden"], ...]:
    """The input of the first layer, and the output of each."""
    output = bert(input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True)
    states: tuple[Tensor, ...] = output.hidden_states
    return states


def attention_scores(layer: Any, states: Float[Tensor, "batch seq hidden"]) -> Float[Tensor, "batch heads seq seq"]:
    """Q K^T / sqrt(size of a head) of a BERT layer that reads `states`, before softmax and mask."""
    own = layer.attention.self
    size = own.attention_head_size
    query, key = (
        part(states).unflatten(-1, (-1, size)).transpose(1, 2) for part in (own.query, own.key)
    )  # (batch, heads, seq, size)
    scores: Tensor = query @ key.transpose(-1, -2) / math.sqrt(size)
    return scores


def state_loss(
    student: Float[Tensor, "batch seq hidden"],
    teacher: Float[Tensor, "batch seq hidden"],
    mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, ""]:
    """Squared error of the states of real tokens over the variance of the teacher's (Jiao et al. 2020, equation 8).

    So 1 means no better than always the teacher's mean state. arXiv:1909.10351.
    """
    wanted = teacher[mask]
    variance = wanted.var(0, correction=0).mean().clamp_min(1e-12)
    return F.mse_loss(student[mask], wanted) / variance


def attention_loss(
    student: Float[Tensor, "batch heads seq seq"],
    teacher: Float[Tensor, "batch heads seq seq"],
    mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, ""]:
    """KL divergence of the student's attention from the teacher's, mean over heads and real tokens, in nats.

    Of distributions, as in MiniLM (Wang et al. 2020, arXiv:2002.10957, equation 6).
    """
    padding = ~mask[:, None, None, :]
    theirs, mine = (scores.masked_fill(padding, -torch.inf).log_softmax(-1) for scores in (teacher, student))
    terms = torch.where(padding, 0.0, theirs.exp() * (theirs - mine).masked_fill(padding, 0.0))
    return terms.sum(-1).transpose(1, 2)[mask].mean()
