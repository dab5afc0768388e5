"""Early exit: easy texts leave after a few layers, hard ones go through all of them.

Each layer but the last gets a small head of its own. The encoder stays as it is. A text leaves at the first head that
is sure enough; the last exit is the parent's own head. So no weight of the parent is lost, and the mean work shrinks.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score
from torch import Tensor, nn

from course_lib import machine
from course_lib.batching import check_texts, tokenize
from course_lib.classifier import TextClassifier
from course_lib.classifier.data import as_labels
from course_lib.classifier.model import forward, new_head
from course_lib.compression.structure import bert_of
from course_lib.encoder.cls_only import bert_layer as layer_output
from course_lib.errors import BadInput
from course_lib.training import TrainingConfig, train

POOLINGS = ("first", "mean")
STEPS = 300  # that a head learns for; 1000 gave the same on a trial with 1500 reviews
# A head is small, so it takes a larger rate and larger batches than an encoder. Without clipping no head feels another.
FITTING = TrainingConfig(
    batch_size=256, learning_rate=1e-3, weight_decay=0.1, clip_norm=math.inf, precision="float32"
)  # fmt: skip


class ExitHead(nn.Module):
    """A head after a layer: standardises the vector that it reads, then dropout and a linear layer.

    Without the standardising a low layer's head learns next to nothing: its first token's states differ by little. A
    second dense layer, as in DeeBERT, gave nothing more on a trial with 1500 reviews.

    Args:
        hidden: size of the vector.
        classes: how many.
        dropout: probability with which a value of the vector is dropped in training.
    """

    mean: Float[Tensor, "hidden"]
    scale: Float[Tensor, "hidden"]

    def __init__(self, hidden: int, classes: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(hidden))
        self.register_buffer("scale", torch.ones(hidden))
        self.dropout = nn.Dropout(dropout)
        self.classifier = new_head(hidden, classes)

    def standardise(self, vectors: Float[Tensor, "n hidden"]) -> None:
        """Takes mean and standard deviation of each value from these vectors."""
        self.mean.copy_(vectors.mean(0))
        self.scale.copy_(vectors.std(0, correction=0).clamp_min(1e-6))

    def forward(self, vector: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        """Logits."""
        logits: Tensor = self.classifier(self.dropout((vector - self.mean) / self.scale))
        return logits


class EarlyExit:
    """A classifier from which a text may leave after any layer. `early_exit` makes one.

    Confidence is the largest probability (Teerapittayanon et al. 2016, arXiv:1709.01686, and Xin et al. 2020,
    arXiv:2004.12993, use the entropy: for two classes both put texts into the same order). An answer does not depend
    on the texts beside it.

    Args:
        parent: a fitted BERT classifier with classes. It is not copied, so it must not be trained on.
        heads: one for each layer but the last.
        threshold: a text leaves where its confidence is above this, from 0 to 1. At 1 none leaves early, and the
            answers are the parent's.
        pooling: what the heads read: `first` token's state, or the `mean` of all tokens' states.

    Attributes:
        classes_: the labels, sorted.
        class_names_: the same in words.
        max_length: tokens of a text that are read; the rest is cut.
        threshold: as given.

    Raises:
        BadInput: another kind of model, another number of heads, another pooling, or a threshold outside 0 to 1.
    """

    head = "classification"

    def __init__(
        self, parent: TextClassifier, heads: Sequence[ExitHead], threshold: float = 0.9, pooling: str = "first"
    ) -> None:
        layers, self.pooling = _layers_of(parent), _pooling(pooling)
        if len(heads) != layers - 1:
            raise BadInput(f"{len(heads)} heads for {layers} layers", "give one for each layer but the last")
        self.threshold = _share(threshold)
        self.parent = parent
        self.heads = nn.ModuleList(heads).eval()
        self.classes_: NDArray[Any] = parent.classes_
        self.class_names_ = parent.class_names_
        self.max_length = parent.max_length

    def at(self, threshold: float) -> EarlyExit:
        """The same model with another threshold; weights are shared. Raises BadInput outside 0 to 1."""
        other = copy.copy(self)
        other.threshold = _share(threshold)
        return other

    def decision_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What the head gave at which each text left, (n, classes), in the order of `texts`.

        Each different text is computed once, texts of equal length together.

        Raises:
            BadInput: an item that is not a string.
        """
        return self._answers(texts)[:, :-1]

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes); rows sum to 1. Raises as `decision_logits`."""
        return torch.from_numpy(self.decision_logits(texts)).softmax(-1).numpy()

    def predict(self, texts: Sequence[str]) -> NDArray[Any]:
        """The likeliest class of each text, (n,). Raises as `decision_logits`."""
        answers: NDArray[Any] = self.classes_[self.decision_logits(texts).argmax(1)]
        return answers

    def score(self, texts: Sequence[str], labels: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy."""
        return float(accuracy_score(labels, self.predict(texts), sample_weight=sample_weight))

    def exits(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The layers that each text went through, (n,), from 1 to the number of layers. Raises as `decision_logits`."""
        return self._answers(texts)[:, -1].astype(np.int64)

    def exit_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """What every head gives, (layers, n, classes), all layers computed. Raises as `decision_logits`."""
        states = layer_states(self.parent, texts, self.pooling)
        return _exit_logits(self.parent, self.heads, states).cpu().numpy()

    def _answers(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits, and as the last column the layer at which the text left: (n, classes + 1)."""
        ids = tokenize(texts, self.parent.tokenizer_, self.max_length)
        if not ids:
            return np.empty((0, len(self.classes_) + 1), np.float32)
        self.heads.to(machine.device())
        module: Any = self.parent.module_
        return forward(module, ids, _pad_id(self.parent), self._walk, self.parent.precision)

    def _walk(self, module: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Layer by layer; the rows that are sure leave the batch, (batch, classes + 1)."""
        *lower, last = module.bert.encoder.layer
        rows = _Rows(module.bert.embeddings(input_ids=input_ids), attention_mask.bool(), _numbers(input_ids))
        output = torch.empty(len(input_ids), len(self.classes_) + 1, device=input_ids.device)
        for number, (layer, head) in enumerate(zip(lower, self.heads, strict=True), start=1):
            rows = replace(rows, hidden=layer_output(layer, rows.hidden, rows.hidden, rows.layer_mask()))
            logits = head(rows.pooled(self.pooling)).float()
            sure = logits.softmax(-1).amax(-1) > self.threshold
            output[rows.places[sure]] = F.pad(logits[sure], (0, 1), value=number)
            rows = rows.only(~sure)
            if not len(rows.places):
                return output
        state = layer_output(last, rows.hidden[:, :1], rows.hidden, rows.layer_mask())
        logits = module.classifier(module.bert.pooler(state)).float()
        output[rows.places] = F.pad(logits, (0, 1), value=len(lower) + 1)
        return output


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of a batch that have not left yet.

    Attributes:
        hidden: (rows, seq, hidden).
        mask: (rows, seq), True for a token.
        places: (rows,), where each row stood in the batch.
    """

    hidden: Tensor
    mask: Tensor
    places: Tensor

    def layer_mask(self) -> Tensor | None:
        """What attention needs, (rows, 1, 1, seq); none where there is no padding."""
        return None if bool(self.mask.all()) else self.mask[:, None, None, :]

    def pooled(self, pooling: str) -> Tensor:
        """What a head reads, (rows, hidden)."""
        if pooling == "first":
            return self.hidden[:, 0]
        weights = self.mask[..., None].to(self.hidden.dtype)
        return (self.hidden * weights).sum(1) / weights.sum(1)

    def only(self, stay: Tensor) -> _Rows:
        """Some of the rows, without the padding that only the others needed."""
        if bool(stay.all()):
            return self
        mask = self.mask[stay]
        longest = int(mask.sum(1).max()) if len(mask) else 0
        return _Rows(self.hidden[stay, :longest], mask[:, :longest], self.places[stay])


def _numbers(rows: Tensor) -> Tensor:
    return torch.arange(len(rows), device=rows.device)


def _pad_id(parent: TextClassifier) -> int:
    return int(parent.tokenizer_.pad_token_id or 0)


def _layers_of(parent: TextClassifier) -> int:
    layers = len(bert_of(parent).encoder.layer)
    if parent.head == "regression":
        raise BadInput("the parent is a regression model", "give a classifier")
    return layers


def _pooling(pooling: str) -> str:
    if pooling not in POOLINGS:
        raise BadInput(f"pooling is {pooling!r}", f"use one of {', '.join(POOLINGS)}")
    return pooling


def _share(threshold: Any) -> float:
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not number or not 0 <= float(threshold) <= 1:
        raise BadInput(f"threshold is {threshold!r}", "use a number from 0 to 1; at 1 no text leaves early")
    return float(threshold)


# ---- fitting ---------------------------------------------------------------------------------------------------


def layer_states(parent: TextClassifier, texts: Sequence[str], pooling: str = "first") -> NDArray[np.float32]:
    """What the exits read after each layer, (layers, n, hidden), from one pass.

    For the last layer that is the first token's state always, since the parent's own head reads it.

    Args:
        parent: a fitted BERT classifier.
        texts: n strings.
        pooling: `first` token's state, or the `mean` of all tokens' states.

    Raises:
        BadInput: another kind of model, an item that is not a string, or another pooling.
    """
    bert, pooling = bert_of(parent), _pooling(pooling)
    layers, hidden = len(bert.encoder.layer), bert.config.hidden_size
    ids = tokenize(texts, parent.tokenizer_, parent.max_length)
    if not ids:
        return np.empty((layers, 0, hidden), np.float32)
    module: Any = parent.module_

    def compute(module: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        *lower, last = module.bert.encoder.layer
        rows = _Rows(module.bert.embeddings(input_ids=input_ids), attention_mask.bool(), _numbers(input_ids))
        mask, read = rows.layer_mask(), []
        for layer in lower:
            rows = replace(rows, hidden=layer_output(layer, rows.hidden, rows.hidden, mask))
            read.append(rows.pooled(pooling))
        return torch.cat([*read, layer_output(last, rows.hidden[:, :1], rows.hidden, mask)[:, 0]], dim=1)

    found = forward(module, ids, _pad_id(parent), compute, parent.precision)  # (n, layers * hidden)
    return np.ascontiguousarray(found.reshape(len(ids), layers, hidden).swapaxes(0, 1))


@torch.inference_mode()
def _exit_logits(parent: TextClassifier, heads: nn.ModuleList, states: NDArray[np.float32]) -> Tensor:
    """What the heads make of states, (layers, n, classes); the last one is the parent's."""
    module: Any = parent.module_
    where = next(module.parameters()).device
    *lower, last = torch.from_numpy(states).to(where)
    heads.to(where)
    logits = [head(state) for head, state in zip(heads, lower, strict=True)]
    return torch.stack([*logits, module.classifier(module.bert.pooler(last[:, None]))])


@dataclass(frozen=True)
class _Picked:
    """Rows of a data set by number."""

    index: Tensor

    def to(self, where: torch.device) -> _Picked:
        return _Picked(self.index.to(where))


@dataclass(frozen=True)
class _Shuffled:
    """The numbers from 0 to n, in batches, in an order fixed by the epoch's number."""

    n: int
    batch_size: int
    seed: int

    @property
    def steps(self) -> int:
        return -(-self.n // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[_Picked]:
        order = np.random.default_rng([self.seed, number]).permutation(self.n)
        for at in range(start * self.batch_size, self.n, self.batch_size):
            yield _Picked(torch.from_numpy(order[at : at + self.batch_size]))


def early_exit(
    parent: TextClassifier,
    texts: Sequence[str],
    labels: ArrayLike | None = None,
    *,
    threshold: float = 0.9,
    pooling: str = "first",
    seed: int = 0,
) -> EarlyExit:
    """Fits a head to each layer but the last; the encoder stays frozen (the second stage of DeeBERT).

    Xin et al. 2020, arXiv:2004.12993. The states of all layers come from one pass over the texts. No head's
    gradient touches another head.

    Args:
        parent: a fitted BERT classifier with classes; it stays as it is.
        texts: n > 0 texts. Texts that the parent never saw are best: of its own training texts its last layers, and
            so the heads, are too sure.
        labels: n classes to learn. When left out, the heads learn the parent's probabilities.
        threshold: of the result; `exit_table` shows what others would give.
        pooling: `first` lets the heads read the first token's state, as the parent does; `mean` the mean of all
            tokens' states, which says more in low layers.
        seed: of dropout and of the order of the texts.

    Raises:
        BadInput: another kind of model, no text, an item that is not a string, labels that are missing or unknown to
            the parent, another pooling, or a threshold outside 0 to 1.
    """
    layers, rows, threshold = _layers_of(parent), check_texts(texts), _share(threshold)
    if not rows:
        raise BadInput("there is no text", "give texts; they need no labels")
    codes = None if labels is None else _codes(labels, len(rows), parent.classes_)
    machine.seed_everything(seed)
    states = layer_states(parent, rows, pooling)
    heads = nn.ModuleList([_head(parent, vectors) for vectors in torch.from_numpy(states[:-1])])
    if layers > 1:
        wanted = _exit_logits(parent, heads, states)[-1].softmax(-1)
        if codes is not None:
            wanted = F.one_hot(codes, len(parent.classes_)).to(wanted)
        _fit(heads, states[:-1], wanted, seed)
    return EarlyExit(parent, list(heads), threshold, pooling)  # type: ignore[arg-type]


def _head(parent: TextClassifier, vectors: Tensor) -> ExitHead:
    """A new head for such vectors, (n, hidden)."""
    head = ExitHead(vectors.shape[1], len(parent.classes_), parent.dropout)
    head.standardise(vectors)
    return head


def _codes(labels: ArrayLike, n: int, classes: NDArray[Any]) -> Tensor:
    """Each label's place among the classes."""
    known = as_labels(labels, n, "labels")
    if unknown := sorted(set(known.tolist()) - set(classes.tolist())):
        raise BadInput(f"labels hold {unknown[0]!r}", f"use the parent's classes: {classes.tolist()}")
    return torch.from_numpy(np.searchsorted(classes, known))


def _fit(heads: nn.ModuleList, states: NDArray[np.float32], wanted: Tensor, seed: int) -> None:
    """Trains the heads in place: the sum of their cross-entropies, since they share no weight."""
    heads.requires_grad_(True)
    inputs = torch.from_numpy(states).to(wanted.device)  # (heads, n, hidden)
    batches = _Shuffled(len(wanted), FITTING.batch_size, seed)
    epochs = -(-STEPS // batches.steps)

    def loss_of(module: Any, batch: _Picked) -> Tensor:
        pairs = zip(module, inputs[:, batch.index], strict=True)
        return torch.stack([F.cross_entropy(head(state), wanted[batch.index]) for head, state in pairs]).sum()

    train(heads, batches, loss_of, replace(FITTING, epochs=epochs, seed=seed))


# ---- what a threshold is worth ---------------------------------------------------------------------------------


def exit_table(model: EarlyExit, texts: Sequence[str], labels: ArrayLike, thresholds: Sequence[float]) -> pd.DataFrame:
    """Accuracy against work for several thresholds, from one pass through all layers.

    Choose a threshold on validation texts, never on test texts.

    Args:
        model: of `early_exit`; its own threshold is not read.
        texts: n > 0 texts.
        labels: n classes.
        thresholds: from 0 to 1 each.

    Returns:
        A row for each threshold: `threshold`; `accuracy`; `mean_layers` that a text went through; `share` of the
        parent's multiply-adds with its layers' matrices. The parent's last layer works for the first token alone and
        costs little (for the course's encoder a sixth of another), so `share` falls more slowly than `mean_layers`.
        It leaves out the heads, attention's own products, and that small batches run less well: measure time with
        `speed(model.at(threshold), texts)`.

    Raises:
        BadInput: no text or threshold, labels that do not fit, or a threshold outside 0 to 1.
    """
    rows, limits = check_texts(texts), [_share(threshold) for threshold in thresholds]
    known = as_labels(labels, len(rows), "labels")
    if not limits:
        raise BadInput("there is no threshold", "give one or more, such as [0.8, 0.9, 1.0]")
    logits = torch.from_numpy(model.exit_logits(rows))
    sure, answers = logits.softmax(-1).amax(-1).numpy(), model.classes_[logits.argmax(-1).numpy()]  # (layers, n)
    work = _work(model.parent)

    def row_of(threshold: float) -> dict[str, float]:
        left = _first_above(sure, threshold)
        right = answers[left, np.arange(len(known))] == known
        share = work[left].mean() / work[-1]
        return {"threshold": threshold, "accuracy": right.mean(), "mean_layers": 1 + left.mean(), "share": share}

    return pd.DataFrame([row_of(threshold) for threshold in limits])


def _first_above(sure: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    """The first layer, from 0, whose confidence is above the threshold, else the last one, (n,)."""
    leaves = sure > threshold
    leaves[-1] = True
    first: NDArray[np.int64] = leaves.argmax(0)
    return first


def _work(parent: TextClassifier) -> NDArray[np.float64]:
    """Work up to each exit in full layers, (layers,): the last layer computes keys and values alone of most tokens."""
    config = bert_of(parent).config
    hidden, wide, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    each = np.ones(layers)
    each[-1] = 2 * hidden / (4 * hidden + 2 * wide)
    return each.cumsum()
