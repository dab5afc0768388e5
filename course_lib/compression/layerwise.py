"""Distillation layer by layer: the student's states and attention come to resemble those of the teacher's layers."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from course_lib import machine
from course_lib.batching import Batch
from course_lib.classifier import Loss, TextClassifier
from course_lib.compression.distillation import Lesson, distillation_loss, fit_to
from course_lib.compression.structure import bert_of, spread
from course_lib.errors import BadInput
from course_lib.training import Callback, TrainingConfig

Pairs = Sequence[tuple[int, int]]


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

    Divided so, 1 means: no better than always giving the teacher's mean state. arXiv:1909.10351.
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
    hidden = ~mask[:, None, None, :]
    told, said = (scores.masked_fill(hidden, -torch.inf).log_softmax(-1) for scores in (teacher, student))
    apart = torch.where(hidden, 0.0, told.exp() * (told - said).masked_fill(hidden, 0.0)).sum(-1)  # (batch, heads, seq)
    return apart.transpose(1, 2)[mask].mean()


@dataclass(frozen=True, eq=False)
class LikeTheTeachersLayers:
    """An objective for `TextClassifier.fit`: the teacher's answers, and what some of its layers do with each token.

    The teacher reads every batch anew, which costs a forward pass of it a step.

    Args:
        lesson: the teacher's answers to the texts that `fit` is given, in their order.
        teacher: of the student's width and number of heads.
        pairs: (layer of the student, layer of the teacher) from 0: whose output and attention should agree.
        states: weight of `state_loss`; 0 leaves it out.
        attention: weight of `attention_loss`; 0 leaves it out.
        temperature: of the answers.
    """

    lesson: Lesson
    teacher: TextClassifier
    pairs: Pairs
    states: float = 1.0
    attention: float = 1.0
    temperature: float = 1.0

    def __call__(self, usual: Loss) -> Loss:
        """Takes the place of the usual loss."""
        logits = torch.from_numpy(self.lesson.logits)
        teacher = bert_of(self.teacher).eval().to(machine.device())

        def loss_of(module: Any, batch: Batch) -> Tensor:
            mask = batch.attention_mask.bool()
            mine = _states(module.bert, batch)
            with torch.no_grad():
                theirs = _states(teacher, batch)
            answers = module.classifier(module.dropout(module.bert.pooler(mine[-1]))).float()
            wanted = logits[batch.index.cpu()].to(answers.device)
            loss = distillation_loss(answers, wanted, self.temperature)
            for here, there in self.pairs:
                loss = loss + self._apart(module.bert, teacher, (here, there), mine, theirs, mask) / len(self.pairs)
            return loss

        return loss_of

    def _apart(
        self, student: Any, teacher: Any, pair: tuple[int, int], mine: Any, theirs: Any, mask: Tensor
    ) -> Float[Tensor, ""]:
        here, there = pair
        loss: Tensor = mine[0].new_zeros(())
        if self.states:
            loss = loss + self.states * state_loss(mine[here + 1].float(), theirs[there + 1].float(), mask)
        if self.attention:
            with torch.no_grad():
                wanted = attention_scores(teacher.encoder.layer[there], theirs[there])
            scores = attention_scores(student.encoder.layer[here], mine[here])
            loss = loss + self.attention * attention_loss(scores.float(), wanted.float(), mask)
        return loss


def _states(bert: Any, batch: Batch) -> tuple[Float[Tensor, "batch seq hidden"], ...]:
    """What goes into the first layer, and what comes out of each."""
    output = bert(input_ids=batch.input_ids, attention_mask=batch.attention_mask, output_hidden_states=True)
    states: tuple[Tensor, ...] = output.hidden_states
    return states


def distil_layers(
    student: TextClassifier,
    teacher: TextClassifier,
    taught: Lesson,
    training: TrainingConfig,
    *,
    pairs: Pairs | None = None,
    states: float = 1.0,
    attention: float = 1.0,
    temperature: float = 1.0,
    callbacks: Sequence[Callback] = (),
) -> TextClassifier:
    """A copy of the student that has learned the teacher's answers and how its layers come to them.

    Args:
        student: fitted, of the teacher's classes, width and heads: what `keep_layers` or `narrow` made of it.
        teacher: fitted.
        taught: `lesson(teacher, texts)`.
        training: the hyper-parameters.
        pairs: (layer of the student, layer of the teacher) from 0; spread evenly, the last with the last, when left
            out.
        states: weight of the states' error; 0 leaves it out.
        attention: weight of the attention's divergence; 0 leaves it out.
        temperature: of the answers.
        callbacks: called with each row of the history.

    Raises:
        BadInput: classes, widths or numbers of heads that differ, a layer that is not there, or a weight below 0.
    """
    mine, theirs = bert_of(student).config, bert_of(teacher).config
    for name in ("hidden_size", "num_attention_heads"):
        if getattr(mine, name) != getattr(theirs, name):
            both = f"{getattr(mine, name)} and {getattr(theirs, name)}"
            raise BadInput(f"{name} is {both}", "use distil, which compares answers alone")
    if pairs is None:
        ends = spread(theirs.num_hidden_layers, mine.num_hidden_layers)
        pairs = list(enumerate([*ends[:-1], theirs.num_hidden_layers - 1]))
    inside = all(0 <= a < mine.num_hidden_layers and 0 <= b < theirs.num_hidden_layers for a, b in pairs)
    if not pairs or not inside:
        raise BadInput(f"pairs is {pairs}", "give pairs (layer of the student, layer of the teacher), from 0")
    if states < 0 or attention < 0 or not temperature > 0:
        raise BadInput(f"states {states}, attention {attention}, temperature {temperature}", "use weights from 0 on")
    objective = LikeTheTeachersLayers(taught, copy.deepcopy(teacher), pairs, states, attention, temperature)
    return fit_to(student, taught, training, objective, callbacks=callbacks)
