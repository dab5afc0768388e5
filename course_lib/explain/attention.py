"""Where the model looks, which is not why it decides: attention explains no output (Jain and Wallace 2019,
arXiv:1902.10186). It is here to be compared with what does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from course_lib import machine
from course_lib.batching import collate
from course_lib.encoder import BertEncoder
from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution
from course_lib.explain.game import Game
from course_lib.explain.pieces import Pieces

_WEIGHTS_AT_ONCE = 32_000_000  # numbers in the maps of a batch: 128 MB


def attention(game: Game) -> list[Attribution]:
    """How much the first token of the last layer looks at each word, the mean over heads; pieces are summed.

    Scores are shares of a look, at least 0: they speak for no class, and there is no error to state. With special
    tokens and punctuation they sum to 1. `base_value` is 0. Words beyond the classifier's `max_length` tokens are not
    read and score 0; a warning says how many.

    Raises:
        BadInput: a classifier that is no BERT.
    """
    return _looked(game, lambda maps: maps[-1].mean(1)[:, 0], "attention")


def rollout(game: Game) -> list[Attribution]:
    """How much each word reaches the first token through all layers (Abnar and Zuidema 2020, arXiv:2005.00928, eq. 1).

    Each layer's mean over heads counts half, the residual connection beside it the other half; layers are multiplied.
    Scores as in `attention`.

    Raises:
        BadInput: a classifier that is no BERT.
    """
    return _looked(game, lambda maps: rolled_out(maps)[:, 0], "rollout")


def rolled_out(maps: Float[Tensor, "layers batch heads seq seq"]) -> Float[Tensor, "batch seq seq"]:
    """The product of (mean over heads + identity) / 2 over layers; rows sum to 1."""
    identity = torch.eye(maps.shape[-1], device=maps.device)
    product = identity.expand(maps.shape[1], -1, -1)
    for layer in maps.mean(2):
        product = (layer + identity) / 2 @ product
    return product


def _looked(game: Game, read: Callable[[Tensor], Tensor], method: str) -> list[Attribution]:
    pieces = Pieces.of(game)
    bert = getattr(game.classifier.module_, "bert", None)
    if bert is None:
        raise BadInput(f"a {type(game.classifier.module_).__name__} shows no attention", "use a BERT classifier")
    encoder = BertEncoder.from_transformers(bert).eval().to(machine.device())
    maps_a_token = encoder.config.n_layers * encoder.config.n_heads
    done: dict[int, Attribution] = {}
    for rows in _batches([len(one) for one in pieces.ids], maps_a_token):
        batch = collate(pieces.ids, rows, pieces.pad_id).to(machine.device())
        with torch.no_grad():
            looks = read(encoder.attention_maps(batch.input_ids, batch.attention_mask)).double().cpu().numpy()
        for row, text in enumerate(rows):
            game.queries[text] += 1
            done[text] = game.attribution(text, pieces.by_word(text, looks[row]), 0.0, method)
    return [done[i] for i in range(len(game.texts))]


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
