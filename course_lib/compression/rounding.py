"""Whole classifiers on integer grids: weights alone, products in integers, or training that feels the rounding."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int8
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.utils import parametrize

from course_lib.classifier import TextClassifier
from course_lib.compression.activations import Observer, int8_linear
from course_lib.compression.importance import batches, in_evaluation
from course_lib.compression.structure import MATRICES, bert_of, matrices
from course_lib.compression.uniform import Grid, fake_quantize, grid_of
from course_lib.errors import BadInput
from course_lib.training import Callback, TrainingConfig

WORDS = "words"  # the embedding table, beside the names of `MATRICES`


def rounded(
    classifier: TextClassifier,
    bits: int = 8,
    which: Collection[str] = (*MATRICES, WORDS),
    **layout: Any,
) -> TextClassifier:
    """A classifier whose weights lie on grids: weight-only quantisation as torch sees it, still kept in float32.

    It answers as the file of so many bits would, and shows what rounding costs. `export` writes such a file.

    Args:
        classifier: fitted, a BERT; it stays as it is.
        bits: 2 to 8.
        which: names of matrices (`structure.MATRICES`), in all layers; "words" is the embedding table.
        layout: `symmetric`, `axis`, `group`, `range_`, `full` of `grid_of`; one scale a row when left out.

    Raises:
        BadInput: as `bert_of` and `grid_of`, or an unknown name.
    """
    copied = copy.deepcopy(classifier)
    with torch.no_grad():
        for weight in _weights(copied, which).values():
            grid = grid_of(weight, bits, **(layout or {"axis": 0}))
            weight.copy_(fake_quantize(weight, grid))
    return copied


def rounding_errors(before: TextClassifier, after: TextClassifier) -> pd.DataFrame:
    """How far each matrix of `after` lies from that of `before`, which has the same shape.

    Returns:
        layer (-1 for the embedding table), matrix, max_abs, mean_abs.

    Raises:
        BadInput: as `bert_of`, or classifiers of different shapes.
    """
    old, new = _weights(before, (*MATRICES, WORDS)), _weights(after, (*MATRICES, WORDS))
    if {place: weight.shape for place, weight in old.items()} != {place: weight.shape for place, weight in new.items()}:
        raise BadInput("the classifiers have different shapes", "compare one with what rounding made of it")
    rows = []
    for (layer, name), weight in old.items():
        apart = (weight - new[layer, name]).detach().abs()
        rows.append({"layer": layer, "matrix": name, "max_abs": apart.max().item(), "mean_abs": apart.mean().item()})
    return pd.DataFrame(rows)


def matrix_errors(classifier: TextClassifier, texts: Sequence[str], bits: int = 4, **layout: Any) -> pd.DataFrame:
    """What it costs to round one matrix alone, each in turn: the mean change of a logit.

    Args:
        classifier: fitted, a BERT; it stays as it is.
        texts: n > 0 strings, without labels.
        bits: 2 to 8.
        layout: as in `rounded`.

    Returns:
        layer, matrix, error: the mean |change| of the logits. For `plots.sensitivity`.

    Raises:
        BadInput: as `rounded`, or no text.
    """
    if not len(texts):
        raise BadInput("there is no text", "give some; they need no labels")
    copied = copy.deepcopy(classifier)
    before, rows = copied.decision_logits(texts), []
    for (layer, name), weight in _weights(copied, tuple(MATRICES)).items():
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.copy_(fake_quantize(weight, grid_of(weight, bits, **(layout or {"axis": 0}))))
            change = float(np.abs(copied.decision_logits(texts) - before).mean())
            weight.copy_(kept)
        rows.append({"layer": layer, "matrix": name, "error": change})
    return pd.DataFrame(rows)


def _weights(classifier: TextClassifier, which: Collection[str]) -> dict[tuple[int, str], Tensor]:
    """The weights of those names, by layer; the embedding table has the layer -1."""
    names = [which] if isinstance(which, str) else list(which)
    if not names or not set(names) <= {*MATRICES, WORDS}:
        raise BadInput(f"which is {which!r}", f"use some of {', '.join((*MATRICES, WORDS))}")
    found: dict[tuple[int, str], Tensor]
    found = {place: linear.weight for place, linear in matrices(classifier).items() if place[1] in names}
    if WORDS in names:
        found[-1, WORDS] = bert_of(classifier).embeddings.word_embeddings.weight
    return found


# ---- products in integers --------------------------------------------------------------------------------------


class Int8Linear(nn.Linear):
    """A linear layer that multiplies int8 by int8 (`activations.int8_linear`); its weights, rounded, stay beside them.

    Args:
        linear: that it takes the place of.
        grid: of what it reads, calibrated; each token's own when left out.
    """

    integers: Int8[Tensor, "out in"]
    scale: Float[Tensor, "out 1"]

    def __init__(self, linear: nn.Linear, grid: Grid | None) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, linear.weight.device)
        of_weights = grid_of(linear.weight, 8, axis=0)
        self.grid = grid
        self.register_buffer("integers", of_weights.quantize(linear.weight.detach()), persistent=False)
        self.register_buffer("scale", of_weights.scale, persistent=False)
        with torch.no_grad():
            self.weight.copy_(of_weights.dequantize(self.integers))
            if linear.bias is not None:
                self.bias.copy_(linear.bias)

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """x W^T + b, summed in int32."""
        return int8_linear(x, self.integers, self.scale, self.bias, self.grid)


def integer_products(
    classifier: TextClassifier, calibration: Sequence[str] | None = None, **observer: Any
) -> TextClassifier:
    """A classifier whose layers multiply int8 by int8: dynamic, or static where calibration texts are given.

    Dynamic finds a scale for each token while it answers. Static looks at some texts beforehand and keeps one range for
    each matrix (Krishnamoorthi 2018, arXiv:1806.08342, section 3): less work an answer, and outliers of one token make
    the steps of all others wide. A saved one is an ordinary float32 model of the rounded weights.

    Args:
        classifier: fitted, a BERT; it stays as it is.
        calibration: n > 0 texts of the kind that it will read, without labels.
        observer: `method` and `percentile` of `Observer`.

    Raises:
        BadInput: as `bert_of`, or no text.
    """
    if calibration is not None and not len(calibration):
        raise BadInput("there is no text to calibrate with", "give some, or leave calibration out")
    copied = copy.deepcopy(classifier)
    grids = {} if calibration is None else _calibrated(copied, calibration, observer)
    for number, layer in enumerate(bert_of(copied).encoder.layer):
        for name, at in MATRICES.items():
            layer.set_submodule(at, Int8Linear(layer.get_submodule(at), grids.get((number, name))))
    return copied


def _calibrated(
    classifier: TextClassifier, texts: Sequence[str], settings: dict[str, Any]
) -> dict[tuple[int, str], Grid]:
    """An affine grid for what each matrix reads in these texts; padding is not looked at."""
    watching = {place: Observer(**settings) for place in matrices(classifier)}
    with _watched(classifier, watching) as mask, in_evaluation(classifier) as module, torch.inference_mode():
        for batch in batches(classifier, texts):
            mask[:] = [batch.attention_mask.bool()]
            module(batch.input_ids, batch.attention_mask)
    return {place: observer.grid() for place, observer in watching.items()}


@contextmanager
def _watched(classifier: TextClassifier, observers: dict[tuple[int, str], Observer]) -> Iterator[list[Tensor]]:
    """Shows each matrix's inputs to its observer; the list holds the attention mask of the batch."""
    mask: list[Tensor] = []

    def hook_of(observer: Observer) -> Any:
        def look(_: nn.Module, inputs: tuple[Tensor]) -> None:
            states = inputs[0]  # (batch, seq, in); the last layer asks for the first token alone
            observer.observe(states[mask[0][:, : states.shape[1]]] if states.ndim == 3 else states)

        return look

    hooks = [
        linear.register_forward_pre_hook(hook_of(observers[place])) for place, linear in matrices(classifier).items()
    ]
    try:
        yield mask
    finally:
        for hook in hooks:
            hook.remove()


# ---- training that feels the rounding --------------------------------------------------------------------------


class _OnGrid(nn.Module):
    """Puts a weight on its grid whenever it is read; the gradient goes through to the weight itself."""

    def __init__(self, bits: int, layout: dict[str, Any]) -> None:
        super().__init__()
        self.bits, self.layout = bits, layout

    def forward(self, weight: Tensor) -> Tensor:
        return fake_quantize(weight, grid_of(weight, self.bits, **self.layout))


def quantization_aware(
    classifier: TextClassifier,
    texts: Sequence[str],
    labels: ArrayLike,
    training: TrainingConfig,
    bits: int = 4,
    *,
    callbacks: Sequence[Callback] = (),
    fit: dict[str, Any] | None = None,
    **layout: Any,
) -> TextClassifier:
    """A classifier that went on learning while its matrices were rounded at each step, and whose weights are rounded.

    Each step computes with the rounded weights and moves the ones behind them (Jacob et al. 2018, arXiv:1712.05877,
    section 3; straight-through gradient as in `fake_quantize`).

    Args:
        classifier: fitted, a BERT; it stays as it is.
        texts: n strings.
        labels: of these texts.
        training: the hyper-parameters.
        bits: 2 to 8.
        callbacks: called with each row of the history.
        fit: further arguments of `TextClassifier.fit`, such as `soft_labels`.
        layout: of `grid_of`; one scale a row when left out.

    Raises:
        BadInput: as `grid_of` and `TextClassifier.fit`.
    """
    chosen = layout or {"axis": 0}
    for weight in _weights(classifier, tuple(MATRICES)).values():
        grid_of(weight, bits, **chosen)  # names a wrong setting before anything is trained
    learner = copy.deepcopy(classifier)
    learner.set_params(training=training, warm_start=True, frozen_encoder=False, lora_rank=0)
    linears = matrices(learner).values()
    for linear in linears:
        parametrize.register_parametrization(linear, "weight", _OnGrid(bits, chosen))
    try:
        learner.fit(texts, labels, callbacks=callbacks, **(fit or {}))
    finally:
        for linear in linears:
            parametrize.remove_parametrizations(linear, "weight", leave_parametrized=True)
    return learner
