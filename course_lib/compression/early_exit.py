"""Early exit: easy texts leave after a few layers, hard ones pass through all of them.

Each layer but the last gets a small head of its own, which reads the mean state of the tokens. The encoder is not
changed. A text leaves at the first head that is confident enough; the last exit is the parent's own head.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from course_lib import machine
from course_lib.batching import check_texts, tokenize
from course_lib.classifier import TextClassifier
from course_lib.classifier.model import forward
from course_lib.compression.linear_layers import bert_encoder
from course_lib.encoder.attention import mask_unless_full
from course_lib.encoder.cls_only import bert_layer
from course_lib.errors import BadInput
from course_lib.text.classifiers import ProbabilityClassifierMixin, columns_of
from course_lib.text.modules import inference_copy

_STRENGTH = 0.01  # scikit-learn's C: 384 inputs are fitted to about a thousand texts


class EarlyExitClassifier(ProbabilityClassifierMixin):
    """A classifier from which a text may leave after any layer. `fit_early_exit` makes one.

    Confidence is the largest probability (Teerapittayanon et al. 2016, arXiv:1709.01686, and Xin et al. 2020,
    arXiv:2004.12993, use the entropy: for two classes both give the same order). A prediction does not depend on the
    other texts of a batch.

    Args:
        parent: a fitted BERT classifier with classes. Its weights are shared, so it must not be trained further.
        heads: one for each layer but the last.
        threshold: a text leaves where its confidence is above this, from 0 to 1. At 1 none leaves early, and the
            predictions are the parent's.

    Raises:
        BadInput: another kind of model, another number of heads, or a threshold outside 0 to 1.
    """

    def __init__(self, parent: TextClassifier, heads: Sequence[nn.Linear], threshold: float = 0.9) -> None:
        layers = _number_of_layers(parent)
        if len(heads) != layers - 1:
            raise BadInput(f"{len(heads)} heads for {layers} layers", "give one for each layer but the last")
        self.threshold = _check_threshold(threshold)
        self.parent = parent
        self.heads = nn.ModuleList(heads).eval().to(machine.device())
        self.class_names_ = parent.class_names_
        self.max_length = parent.max_length

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels of the columns of `predict_proba`."""
        return self.parent.classes_

    def at(self, threshold: float) -> EarlyExitClassifier:
        """The same model with another threshold; weights are shared. Raises BadInput outside 0 to 1."""
        other = copy.copy(self)
        other.threshold = _check_threshold(threshold)
        return other

    def decision_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The logits of the head where each text left, (n, classes), in the order of `texts`.

        Each different text is computed once, texts of similar length together.

        Raises:
            BadInput: an item that is not a string.
        """
        return self._outputs(texts)[:, :-1]

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probability of each class, (n, classes); rows sum to 1. Raises as `decision_logits`."""
        return torch.from_numpy(self.decision_logits(texts)).softmax(-1).numpy()

    def exits(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """How many layers each text passed through, (n,), 1 to the number of layers. Raises as `decision_logits`."""
        return self._outputs(texts)[:, -1].astype(np.int64)

    def exit_logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The logits of every head, (layers, n, classes), all layers computed. Raises as `decision_logits`."""
        return _exit_logits(self.parent, self.heads, layer_states(self.parent, texts)).cpu().numpy()

    def _outputs(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits, and as the last column the layer at which the text left: (n, classes + 1)."""
        ids = tokenize(texts, self.parent.tokenizer_, self.max_length)
        if not ids:
            return np.empty((0, len(self.classes_) + 1), np.float32)
        module: Any = self.parent.module_
        return forward(module, ids, _pad_id(self.parent), self._exit_layer_by_layer, self.parent.precision)

    def _exit_layer_by_layer(self, module: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Confident rows leave the batch after each layer, (batch, classes + 1)."""
        *lower, last = module.bert.encoder.layer
        rows = _Rows(module.bert.embeddings(input_ids=input_ids), attention_mask.bool(), _numbers(input_ids))
        output = torch.empty(len(input_ids), len(self.classes_) + 1, device=input_ids.device)
        for number, (layer, head) in enumerate(zip(lower, self.heads, strict=True), start=1):
            rows = rows.after(layer)
            logits = head(rows.mean_state()).float()
            confident = logits.softmax(-1).amax(-1) > self.threshold
            output[rows.index[confident]] = F.pad(logits[confident], (0, 1), value=number)
            rows = rows.only(~confident)
            if not len(rows.index):
                return output
        logits = module.classifier(module.bert.pooler(rows.first_state_after(last))).float()
        output[rows.index] = F.pad(logits, (0, 1), value=len(lower) + 1)
        return output


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of a batch that have not left yet."""

    hidden: Tensor  # (rows, seq, hidden)
    mask: Tensor  # (rows, seq), True for a token
    index: Tensor  # (rows,), their positions in the batch

    def after(self, layer: Any) -> _Rows:
        return replace(self, hidden=bert_layer(layer, self.hidden, self.hidden, mask_unless_full(self.mask)))

    def first_state_after(self, layer: Any) -> Tensor:
        """The first token's state after the layer, (rows, 1, hidden)."""
        return bert_layer(layer, self.hidden[:, :1], self.hidden, mask_unless_full(self.mask))

    def mean_state(self) -> Tensor:
        """What a head reads, (rows, hidden)."""
        weights = self.mask[..., None].to(self.hidden.dtype)
        return (self.hidden * weights).sum(1) / weights.sum(1)

    def only(self, stay: Tensor) -> _Rows:
        """Some of the rows, without the padding that only the others needed."""
        if bool(stay.all()):
            return self
        mask = self.mask[stay]
        longest = int(mask.sum(1).max()) if len(mask) else 0
        return _Rows(self.hidden[stay, :longest], mask[:, :longest], self.index[stay])


def _numbers(rows: Tensor) -> Tensor:
    return torch.arange(len(rows), device=rows.device)


def _pad_id(parent: TextClassifier) -> int:
    return int(parent.tokenizer_.pad_token_id or 0)


def _number_of_layers(parent: TextClassifier) -> int:
    layers = len(bert_encoder(parent).encoder.layer)
    if parent.head == "regression":
        raise BadInput("the parent is a regression model", "give a classifier")
    return layers


def _check_threshold(threshold: Any) -> float:
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not number or not 0 <= float(threshold) <= 1:
        raise BadInput(f"threshold is {threshold!r}", "use a number from 0 to 1; at 1 no text leaves early")
    return float(threshold)


# ---- fitting ---------------------------------------------------------------------------------------------------


def layer_states(parent: TextClassifier, texts: Sequence[str]) -> NDArray[np.float32]:
    """What the exits read after each layer, (layers, n, hidden), from one pass over n texts.

    For the last layer that is the first token's state, since the parent's own head reads it.

    Raises:
        BadInput: another kind of model, or an item that is not a string.
    """
    config = bert_encoder(parent).config
    layers, hidden = config.num_hidden_layers, config.hidden_size
    ids = tokenize(texts, parent.tokenizer_, parent.max_length)
    if not ids:
        return np.empty((layers, 0, hidden), np.float32)

    def compute(module: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        *lower, last = module.bert.encoder.layer
        rows = _Rows(module.bert.embeddings(input_ids=input_ids), attention_mask.bool(), _numbers(input_ids))
        states = []
        for layer in lower:
            rows = rows.after(layer)
            states.append(rows.mean_state())
        return torch.cat([*states, rows.first_state_after(last)[:, 0]], dim=1)

    found = forward(parent.module_, ids, _pad_id(parent), compute, parent.precision)  # (n, layers * hidden)
    return np.ascontiguousarray(found.reshape(len(ids), layers, hidden).swapaxes(0, 1))


@torch.inference_mode()
def _exit_logits(parent: TextClassifier, heads: nn.ModuleList, states: NDArray[np.float32]) -> Tensor:
    """The logits of the heads for states, (layers, n, classes); the last ones are the parent's."""
    module: Any = inference_copy(parent.module_)
    *lower, last = torch.from_numpy(states).to(machine.device())
    logits = [head(state) for head, state in zip(heads, lower, strict=True)]
    return torch.stack([*logits, module.classifier(module.bert.pooler(last[:, None]))])


def fit_early_exit(parent: TextClassifier, texts: Sequence[str], labels: ArrayLike) -> EarlyExitClassifier:
    """Fits a head to each layer but the last; the encoder is frozen (the second stage of DeeBERT).

    Xin et al. 2020, arXiv:2004.12993. The states of all layers come from one pass over the texts, and each head is a
    logistic regression on them.

    Args:
        parent: a fitted BERT classifier with classes.
        texts: n > 0 texts. Texts that the parent was not trained on are best: on its own training texts its last
            layers, and so the heads, are overconfident.
        labels: n classes, each of the parent's at least once.

    Raises:
        BadInput: another kind of model, no text, an item that is not a string, or labels that are missing or unknown
            to the parent.
    """
    _number_of_layers(parent)
    rows = check_texts(texts)
    columns = columns_of(parent.classes_, labels, len(rows))
    if len(np.unique(columns)) < len(parent.classes_):
        raise BadInput("the texts do not have all classes of the parent", "give texts of each class")
    heads = [_fit_head(states, columns) for states in layer_states(parent, rows)[:-1]]
    return EarlyExitClassifier(parent, heads)


def _fit_head(states: NDArray[np.float32], columns: NDArray[np.int64]) -> nn.Linear:
    """A logistic regression on standardised states, (n, hidden), as one linear layer."""
    mean, scale = states.mean(0), np.maximum(states.std(0), 1e-6)
    fitted = LogisticRegression(C=_STRENGTH, max_iter=1000).fit((states - mean) / scale, columns)
    weight, bias = fitted.coef_ / scale, fitted.intercept_ - (fitted.coef_ / scale) @ mean
    if len(weight) == 1:  # of two classes: the logit of the second
        weight, bias = np.vstack([0 * weight, weight]), np.append(0, bias)
    head: nn.Linear = nn.utils.skip_init(nn.Linear, states.shape[1], len(weight))
    head.load_state_dict({"weight": torch.from_numpy(weight).float(), "bias": torch.from_numpy(bias).float()})
    return head


# ---- choosing a threshold --------------------------------------------------------------------------------------


def exit_table(
    model: EarlyExitClassifier, texts: Sequence[str], labels: ArrayLike, thresholds: Sequence[float]
) -> pd.DataFrame:
    """Accuracy against work for several thresholds, from one pass through all layers.

    Choose a threshold on validation texts, never on test texts.

    Args:
        model: of `fit_early_exit`; its own threshold is not used.
        labels: n classes.
        thresholds: from 0 to 1 each.

    Returns:
        A row for each threshold: `threshold`; `accuracy`; `mean_layers` that a text passed through; `share`, the
        fraction of the parent's multiply-adds in its layers' matrices. The parent's last layer computes the first
        token alone and costs little (in the course's encoder a sixth of another), so `share` falls more slowly than
        `mean_layers`. It leaves out the heads, attention's own products, and that small batches are less efficient:
        measure time with `speed(model.at(threshold), texts)`.

    Raises:
        BadInput: no text or threshold, labels that do not fit, or a threshold outside 0 to 1.
    """
    rows, limits = check_texts(texts), [_check_threshold(threshold) for threshold in thresholds]
    wanted = columns_of(model.classes_, labels, len(rows))
    if not limits or not rows:
        raise BadInput(f"{len(rows)} texts, {len(limits)} thresholds", "give one or more, such as [0.8, 0.9, 1.0]")
    logits = torch.from_numpy(model.exit_logits(rows))
    confidence, predicted = logits.softmax(-1).amax(-1).numpy(), logits.argmax(-1).numpy()  # (layers, n)
    work = _work(model.parent)
    table = []
    for threshold in limits:
        leaves = confidence > threshold
        leaves[-1] = True
        exits = leaves.argmax(0)  # the first layer, from 0, that is confident enough
        accuracy = (predicted[exits, np.arange(len(rows))] == wanted).mean()
        share = work[exits].mean() / work[-1]
        row = {"threshold": threshold, "accuracy": accuracy, "mean_layers": 1 + exits.mean(), "share": share}
        table.append(row)
    return pd.DataFrame(table)


def _work(parent: TextClassifier) -> NDArray[np.float64]:
    """Work up to each exit in full layers, (layers,): the last layer computes only keys and values of most tokens."""
    config = bert_encoder(parent).config
    hidden, wide, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    each = np.ones(layers)
    each[-1] = 2 * hidden / (4 * hidden + 2 * wide)
    return each.cumsum()
