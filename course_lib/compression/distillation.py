"""Distillation: a small student learns what its teacher says of many texts, labelled or not."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from course_lib import corpora
from course_lib.batching import Batch, check_texts, tokenize
from course_lib.classifier import Loss, LossWrapper, TextClassifier
from course_lib.classifier.model import forward
from course_lib.compression.structure import bert_of
from course_lib.errors import BadInput
from course_lib.training import Callback, TrainingConfig


def distillation_loss(
    student: Float[Tensor, "batch classes"], teacher: Float[Tensor, "batch classes"], temperature: float = 1.0
) -> Float[Tensor, ""]:
    """Cross-entropy of the student's softened answers with the teacher's: T^2 CE(softmax(t / T), softmax(s / T)).

    The factor T^2 keeps the gradient's size when T changes (Hinton et al. 2015, arXiv:1503.02531, section 2).

    Args:
        student: logits.
        teacher: logits.
        temperature: above 1 shows how the teacher ranks the unlikely classes.

    Raises:
        BadInput: a temperature that is not above 0.
    """
    if not temperature > 0:
        raise BadInput(f"temperature is {temperature}", "use a number above 0")
    soft = (teacher / temperature).softmax(-1)
    return temperature**2 * F.cross_entropy(student / temperature, soft)


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a teacher says of texts, computed once.

    Attributes:
        texts: n strings.
        logits: (n, classes).
        vectors: (n, hidden), what the teacher's head reads.
        classes: the teacher's.
    """

    texts: Sequence[str]
    logits: NDArray[np.float32]
    vectors: NDArray[np.float32]
    classes: NDArray[np.generic]


def lesson(
    teacher: TextClassifier, texts: Sequence[str], soft_labels: ArrayLike | None = None, share: float = 0.5
) -> Lesson:
    """Asks the teacher about each text once, and mixes its answers with what people say of the first ones.

    Args:
        teacher: fitted.
        texts: n strings, labelled or not.
        soft_labels: (m, classes) probabilities for the first m texts, m <= n, such as `corpora.soft_labels` makes of
            ratings. The teacher is too sure of the texts that it was trained on; people's shades mend that.
        share: of those in the mixture; the rest is the teacher's.

    Raises:
        BadInput: no text, an item that is not a string, a teacher that is no fitted BERT with classes, soft labels of
            another shape or whose rows do not add up to 1, or a share outside 0 to 1.
    """
    bert_of(teacher)
    if teacher.head == "regression":
        raise BadInput("the teacher is a regression model", "give a classifier")
    rows = check_texts(texts)
    if not rows:
        raise BadInput("there is no text", "give texts; they need no labels")
    module: Any = teacher.module_
    ids = tokenize(rows, teacher.tokenizer_, teacher.max_length)
    vectors = forward(module, ids, int(teacher.tokenizer_.pad_token_id or 0), type(module).pooled)
    with torch.inference_mode():
        logits = module.classifier.cpu()(torch.from_numpy(vectors))
    if soft_labels is not None:
        logits = _mixed(logits, np.asarray(soft_labels, np.float64), share)
    return Lesson(rows, logits.numpy(), vectors, teacher.classes_)


def _mixed(logits: Tensor, soft_labels: NDArray[np.float64], share: float) -> Tensor:
    """Logits whose softmax is the mixture of both, in the first rows."""
    fits = soft_labels.ndim == 2 and soft_labels.shape[1] == logits.shape[1] and len(soft_labels) <= len(logits)
    if not fits or not np.allclose(soft_labels.sum(1), 1, atol=1e-4) or (soft_labels < 0).any():
        shapes = f"{soft_labels.shape} for {len(logits)} texts and {logits.shape[1]} classes"
        raise BadInput(f"soft labels of shape {shapes}", "give one row of probabilities for each of the first texts")
    if not 0 <= share <= 1:
        raise BadInput(f"share is {share}", "use a share from 0 to 1")
    known = torch.from_numpy(soft_labels)
    told = (1 - share) * logits[: len(known)].double().softmax(-1) + share * known
    return torch.cat([told.clamp_min(1e-12).log().float(), logits[len(known) :]])


@dataclass(frozen=True, eq=False)
class LikeTheTeacher:
    """An objective for `TextClassifier.fit`: the teacher's answers, and the vector that its head reads.

    The vector says more than two logits can (hints: Romero et al. 2015, arXiv:1412.6550). Its squared error is divided
    by the variance of the teacher's vectors, so that 1 means: no better than always giving their mean.

    Args:
        lesson: of the texts that `fit` is given, in their order.
        temperature: of both softmaxes.
        vector: weight of the vectors' error; 0 leaves it out. Teacher and student must be equally wide for it.
    """

    lesson: Lesson
    temperature: float = 1.0
    vector: float = 1.0

    def __call__(self, usual: Loss) -> Loss:
        """Takes the place of the usual loss."""
        logits, vectors = torch.from_numpy(self.lesson.logits), torch.from_numpy(self.lesson.vectors)
        variance = max(float(vectors.var(0, correction=0).mean()), 1e-12)

        def loss_of(module: Any, batch: Batch) -> Tensor:
            rows, where = batch.index.cpu(), batch.input_ids.device
            pooled = module.dropout(module.pooled(batch.input_ids, batch.attention_mask))
            loss = distillation_loss(module.classifier(pooled).float(), logits[rows].to(where), self.temperature)
            if self.vector:
                loss = loss + self.vector * F.mse_loss(pooled.float(), vectors[rows].to(where)) / variance
            return loss

        return loss_of


def distil(
    student: TextClassifier,
    taught: Lesson,
    training: TrainingConfig,
    *,
    temperature: float = 1.0,
    vector: float = 1.0,
    validation: tuple[Sequence[str], ArrayLike] | None = None,
    callbacks: Sequence[Callback] = (),
) -> TextClassifier:
    """A copy of the student that has learned to answer as the teacher.

    Args:
        student: fitted, of the teacher's classes: what `keep_layers`, `narrow` and `keep_words` made of the teacher.
        taught: `lesson(teacher, texts)`; the texts need no labels.
        training: the hyper-parameters.
        temperature: of both softmaxes.
        vector: weight of the error of the vector that the head reads; 0 where the widths differ.
        validation: texts and labels that are looked at after each epoch.
        callbacks: called with each row of the history.

    Raises:
        BadInput: classes or widths that differ, or a temperature that is not above 0.
    """
    width = bert_of(student).config.hidden_size
    if vector and width != taught.vectors.shape[1]:
        raise BadInput(f"the student's vectors have {width} numbers, the teacher's {taught.vectors.shape[1]}",
                       "use vector=0, which compares answers alone")  # fmt: skip
    if not temperature > 0:
        raise BadInput(f"temperature is {temperature}", "use a number above 0")
    objective = LikeTheTeacher(taught, temperature, vector)
    return fit_to(student, taught, training, objective, validation=validation, callbacks=callbacks)


def fit_to(
    student: TextClassifier,
    taught: Lesson,
    training: TrainingConfig,
    objective: LossWrapper,
    *,
    validation: tuple[Sequence[str], ArrayLike] | None = None,
    callbacks: Sequence[Callback] = (),
) -> TextClassifier:
    """A copy of the student that went on with another objective on the lesson's texts; the student stays.

    Raises:
        BadInput: classes that differ, or a teacher that gives one answer to all texts.
    """
    if student.classes_.tolist() != taught.classes.tolist():
        raise BadInput(f"the student knows {student.classes_.tolist()}, the teacher {taught.classes.tolist()}",
                       "make the student from this teacher")  # fmt: skip
    learner = copy.deepcopy(student)
    learner.set_params(training=training, warm_start=True, frozen_encoder=False, lora_rank=0)
    soft = torch.from_numpy(taught.logits).softmax(-1).numpy()
    labels = taught.classes[soft.argmax(1)]
    if len(np.unique(labels)) < len(taught.classes):  # `fit` wants one of each, though the objective reads none
        raise BadInput(f"the teacher calls all texts {sorted(set(labels.tolist()))}", "give more varied texts")
    learner.fit(
        taught.texts, labels, soft_labels=soft, loss_wrapper=objective, validation=validation, callbacks=callbacks
    )
    return learner


def unlabelled_texts(first: str = "movie_reviews") -> list[str]:
    """The training texts of all corpora, those of `first` in front; without their labels.

    Raises:
        BadInput: there is no such corpus.
    """
    names = [first, *(name for name in corpora.NAMES if name != first)]
    return [text for name in names for text in corpora.part(name, "train")["text"]]
