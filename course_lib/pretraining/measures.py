"""How good a language model is on text that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from course_lib.errors import BadInput
from course_lib.pretraining.batches import PretrainingBatch
from course_lib.pretraining.model import BertForPretraining

if TYPE_CHECKING:
    from course_lib.pretraining.corpus import PretrainingCorpus

_POSITIONS_AT_ONCE = 1024  # whose logits are held at one moment


@dataclass(frozen=True)
class Measures:
    """What was found on held-out text.

    Attributes:
        loss: mean cross-entropy of the predicted tokens, in nats.
        perplexity: exp(loss): between how many equally likely words the model hesitates.
        top1: share of predicted tokens whose most likely word is the right one.
        predicted: how many tokens were predicted.
        next_sentence: share of sentence pairs judged rightly; None where not asked.
        pairs: how many pairs were judged.
    """

    loss: float
    perplexity: float
    top1: float
    predicted: int
    next_sentence: float | None
    pairs: int

    def to_dict(self) -> dict[str, float | int | None]:
        """JSON-able form."""
        return asdict(self)


@torch.inference_mode()
def measure(model: BertForPretraining, batches: Iterable[PretrainingBatch]) -> Measures:
    """Loss, top-1 accuracy and next-sentence accuracy over these batches; the model's mode is left as it is.

    Raises:
        BadInput: there is no batch.
    """
    loss = right = predicted = judged = pairs = 0.0
    for batch in batches:
        hidden = model.encoder(batch.input_ids, batch.attention_mask, batch.token_type_ids)
        found = word_scores(model, hidden.flatten(0, 1)[batch.positions], batch.targets)
        loss, right, predicted = loss + found[0], right + found[1], predicted + len(batch.targets)
        if batch.follows is not None and model.next_sentence is not None:
            judged += float((model.follows(hidden).argmax(1) == batch.follows).sum())
            pairs += len(batch.follows)
    if not predicted:
        raise BadInput("there is no held-out batch", "use more held-out text")
    mean = loss / predicted
    return Measures(
        mean,
        math.exp(min(mean, 700.0)),
        right / predicted,
        int(predicted),
        judged / pairs if pairs else None,
        int(pairs),
    )


@torch.inference_mode()
def loss_by_fate(model: BertForPretraining, batches: Iterable[PretrainingBatch], mask_id: int) -> dict[str, float]:
    """Mean loss (nats) at the predicted tokens that were `masked`, at the `kept` and at the `random` ones.

    Only the first tells whether a masked model reads: at a kept token it can copy what it sees. A fate that no
    token met has no entry.

    Raises:
        BadInput: there is no batch.
    """
    sums: dict[str, list[float]] = {}
    for batch in batches:
        hidden = model.encoder(batch.input_ids, batch.attention_mask, batch.token_type_ids).flatten(0, 1)
        seen = batch.input_ids.flatten()[batch.positions]
        masked, kept = seen == mask_id, seen == batch.targets
        for fate, where in {"masked": masked, "kept": kept, "random": ~(masked | kept)}.items():
            loss = word_scores(model, hidden[batch.positions[where]], batch.targets[where])[0]
            so_far = sums.setdefault(fate, [0.0, 0.0])
            sums[fate] = [so_far[0] + loss, so_far[1] + float(where.sum())]
    if not sums:
        raise BadInput("there is no held-out batch", "use more held-out text")
    return {fate: loss / n for fate, (loss, n) in sums.items() if n}


def word_scores(
    model: BertForPretraining, chosen: Float[Tensor, "predicted hidden"], targets: Int[Tensor, "predicted"]
) -> tuple[float, float]:
    """(sum of the losses in nats, number of right answers), a part of the positions at a time."""
    loss = right = 0.0
    for start in range(0, len(targets), _POSITIONS_AT_ONCE):
        part = slice(start, start + _POSITIONS_AT_ONCE)
        logits = model.words(chosen[part], model.encoder.word_embeddings).float()
        loss += float(F.cross_entropy(logits, targets[part], reduction="sum"))
        right += float((logits.argmax(1) == targets[part]).sum())
    return loss, right


def unigram_entropy(tokens: NDArray[np.integer]) -> float:
    """Entropy of the token frequencies of a text, in nats.

    It is the lowest loss that a model can reach on this text which knows how often each token stands there and nothing
    of the context. A causal model whose loss is below it reads its context; a masked one may also copy the chosen
    tokens that were kept (see `loss_by_fate`).

    Raises:
        BadInput: there is no token.
    """
    if not len(tokens):
        raise BadInput("the text has no token", "give some text")
    counts = np.unique(np.asarray(tokens), return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def bits_per_character(nats: float, tokens: int, characters: int) -> float:
    """Bits that a causal model needs for a character: comparable between tokenizers, unlike the loss of a token.

    Args:
        nats: mean loss of a token.
        tokens: that were predicted.
        characters: of the text that they are, blanks included.

    Raises:
        BadInput: there are no characters.
    """
    if characters < 1:
        raise BadInput(f"characters is {characters}", "give the length of the text")
    return nats * tokens / math.log(2) / characters


def characters_per_token(corpus: PretrainingCorpus) -> float:
    """How many characters of the text a token stands for."""
    return corpus.characters / corpus.n_tokens
