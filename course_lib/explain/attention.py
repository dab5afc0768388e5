"""Where the model attends, which is not why it decides: attention explains no output (Jain and Wallace 2019,
arXiv:1902.10186). It is here to be compared with what does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from course_lib import machine
from course_lib.batching import collate
from course_lib.encoder import BertEncoder
from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution
from course_lib.explain.masked_model import MaskedModel

_WEIGHTS_AT_ONCE = 32_000_000  # numbers in the maps of a batch: 128 MB


def attention_weights(model: MaskedModel) -> list[Attribution]:
    """How much the first token of the last layer attends to each word, the mean over heads; tokens are summed.

    Scores are at least 0: they speak for no class, and there is no error to state. With special tokens and punctuation
    they sum to 1. `base_value` is 0. Words beyond the classifier's `max_length` tokens are not read and score 0.

    Raises:
        BadInput: a classifier that is no BERT.
    """
    return _from_maps(model, lambda maps: maps[-1].mean(1)[:, 0], "attention")


def attention_rollout(model: MaskedModel) -> list[Attribution]:
    """How much each word reaches the first token through all layers (Abnar and Zuidema 2020, arXiv:2005.00928, eq. 1).

    Each layer's mean over heads counts half, the residual connection beside it the other half; layers are multiplied.
    Scores as in `attention_weights`.

    Raises:
        BadInput: a classifier that is no BERT.
    """
    return _from_maps(model, lambda maps: rolled_out(maps)[:, 0], "rollout")


def rolled_out(maps: Float[Tensor, "layers batch heads seq seq"]) -> Float[Tensor, "batch seq seq"]:
    """The product of (mean over heads + identity) / 2 over layers; rows sum to 1."""
    identity = torch.eye(maps.shape[-1], device=maps.device)
    product = identity.expand(maps.shape[1], -1, -1)
    for layer in maps.mean(2):
        product = (layer + identity) / 2 @ product
    return product


def bert_of(classifier: Any) -> Any:
    """The BERT of a classifier, whose layers and attention maps are known.

    Raises:
        BadInput: it has none.
    """
    bert = getattr(getattr(classifier, "module_", None), "bert", None)
    if bert is None:
        raise BadInput(
            f"a {type(classifier).__name__} without a BERT, whose layers are not known",
            "give a fitted TextClassifier on a BERT encoder",
        )
    return bert


def _from_maps(model: MaskedModel, read: Callable[[Tensor], Tensor], method: str) -> list[Attribution]:
    bert = bert_of(model.classifier)
    ids, pad_id = model.alignment.ids, int(model.classifier.tokenizer_.pad_token_id or 0)
    # A copy of the weights in another module: the classifier's own stays as it is.
    encoder = BertEncoder.from_transformers(bert).eval().to(machine.device())
    done: dict[int, Attribution] = {}
    for rows in _batches([len(one) for one in ids], encoder.config.n_layers * encoder.config.n_heads):
        batch = collate(ids, rows, pad_id).to(machine.device())
        with torch.no_grad():
            weights = read(encoder.attention_maps(batch.input_ids, batch.attention_mask)).double().cpu().numpy()
        for row, text in enumerate(rows):
            model.queries[text] += 1
            scores = model.alignment.sum_by_word(text, weights[row], len(model.texts[text]))
            done[text] = model.attribution(text, scores, 0.0, method)
    return [done[i] for i in range(len(model.texts))]


def _batches(lengths: list[int], maps_a_token: int) -> list[list[int]]:
    """Texts in order of length, as many at once as their maps fit into memory."""
    batches: list[list[int]] = []
    for text in np.argsort(lengths, kind="stable").tolist():
        most = max(1, _WEIGHTS_AT_ONCE // (maps_a_token * lengths[text] ** 2))
        if batches and len(batches[-1]) < most:
            batches[-1].append(text)
        else:
            batches.append([text])
    return batches
