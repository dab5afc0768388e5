"""How good a language model is on text that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from course_lib.batching import tokenize
from course_lib.errors import BadInput
from course_lib.pretraining.batches import PretrainingBatch
from course_lib.pretraining.model import BertForPretraining
from course_lib.text.masked_lm import check_bidirectional, masked_lm_logits

if TYPE_CHECKING:
    from course_lib.pretraining.language_model import LanguageModel

_POSITIONS_AT_ONCE = 1024  # whose logits are in memory


@dataclass(frozen=True)
class Measures:
    """Measures on held-out text.

    Attributes:
        loss: mean cross-entropy of the predicted tokens, in nats.
        perplexity: exp(loss): a model that hesitates between so many equally likely words has this loss.
        top1: fraction of predicted tokens whose most likely word is the right one.
        predicted: number of predicted tokens.
        next_sentence: accuracy of next-sentence prediction; None without that objective.
        pairs: number of its sentence pairs.
        loss_at_masks: the loss of those predicted tokens that the model reads as [MASK]; None where there are none.
    """

    loss: float
    perplexity: float
    top1: float
    predicted: int
    next_sentence: float | None
    pairs: int
    loss_at_masks: float | None = None


@torch.inference_mode()
def measure(model: BertForPretraining, batches: Iterable[PretrainingBatch], mask_id: int | None = None) -> Measures:
    """Loss, top-1 accuracy and next-sentence accuracy over these batches; the model's mode is left as it is.

    Args:
        model: to measure.
        batches: of held-out text.
        mask_id: id of [MASK], for the loss at the masked tokens; None leaves that loss out.

    Raises:
        BadInput: there is no batch.
    """
    scores, masked, right_pairs = list[Tensor](), list[Tensor](), list[Tensor]()  # read at the end: reading makes
    pairs = 0  # the CPU wait for a GPU
    for batch in batches:
        hidden = model.encoder(batch.input_ids, batch.attention_mask, batch.token_type_ids)
        scores.append(_word_scores(model, hidden.flatten(0, 1)[batch.positions], batch.targets))
        masked.append(batch.input_ids.flatten()[batch.positions] == (-1 if mask_id is None else mask_id))
        if batch.follows is not None and model.next_sentence is not None:
            right_pairs.append((model.follows(hidden).argmax(1) == batch.follows).sum())
            pairs += len(batch.follows)
    if not scores:
        raise BadInput("there is no held-out batch", "use more held-out text")
    losses, right = torch.cat(scores).cpu().double().T
    at_masks = losses[torch.cat(masked).cpu()]
    mean = float(losses.mean())
    return Measures(
        mean, math.exp(min(mean, 700.0)), float(right.mean()), len(losses),
        next_sentence=int(torch.stack(right_pairs).sum()) / pairs if pairs else None, pairs=pairs,
        loss_at_masks=float(at_masks.mean()) if len(at_masks) else None,
    )  # fmt: skip


@torch.inference_mode()
def loss_by_mask_type(model: BertForPretraining, batches: Iterable[PretrainingBatch], mask_id: int) -> dict[str, float]:
    """Mean loss (nats) at the predicted tokens that were `masked`, at the `kept` and at the `random` ones.

    Only the first tells whether a masked model reads its context: a kept token it can copy. A type without a token has
    no entry.

    Raises:
        BadInput: there is no batch.
    """
    losses: dict[str, list[Tensor]] = {"masked": [], "kept": [], "random": []}
    for batch in batches:
        hidden = model.encoder(batch.input_ids, batch.attention_mask, batch.token_type_ids).flatten(0, 1)
        seen = batch.input_ids.flatten()[batch.positions]
        masked, kept = seen == mask_id, seen == batch.targets
        loss = _word_scores(model, hidden[batch.positions], batch.targets)[:, 0]
        for name, chosen in (("masked", masked), ("kept", kept), ("random", ~(masked | kept))):
            losses[name].append(loss[chosen])
    if not losses["masked"]:
        raise BadInput("there is no held-out batch", "use more held-out text")
    together = {name: torch.cat(parts).cpu().double() for name, parts in losses.items()}
    return {name: float(loss.mean()) for name, loss in together.items() if len(loss)}


def _word_scores(
    model: BertForPretraining, chosen: Float[Tensor, "predicted hidden"], targets: Int[Tensor, "predicted"]
) -> Float[Tensor, "predicted 2"]:
    """The loss of each predicted token in nats, and 1 where the likeliest word is the right one."""
    rows = []
    for start in range(0, len(targets), _POSITIONS_AT_ONCE):
        part = slice(start, start + _POSITIONS_AT_ONCE)
        logits = model.words(chosen[part], model.encoder.word_embeddings).float()
        loss = F.cross_entropy(logits, targets[part], reduction="none")
        rows.append(torch.stack([loss, (logits.argmax(1) == targets[part]).float()], dim=1))
    return torch.cat(rows) if rows else chosen.new_empty(0, 2)


def unigram_entropy(tokens: NDArray[np.integer]) -> float:
    """Entropy of the token frequencies of a text, in nats.

    It is the lowest loss on this text of a model that knows the frequency of each token there and nothing of the
    context. A causal model whose loss is below it reads its context; a masked one may also copy the chosen tokens that
    were kept (see `loss_by_mask_type`).

    Raises:
        BadInput: there is no token.
    """
    if not len(tokens):
        raise BadInput("the text has no token", "give some text")
    counts = np.unique(np.asarray(tokens), return_counts=True)[1]
    frequencies = counts / counts.sum()
    return float(-(frequencies * np.log(frequencies)).sum())


def bits_per_character(nats: float, tokens: int, characters: int) -> float:
    """Bits that a causal model needs for a character: comparable between tokenizers, unlike the loss of a token.

    Args:
        nats: mean loss of a token.
        tokens: that were predicted.
        characters: of their text, blanks included.

    Raises:
        BadInput: there are no characters.
    """
    if characters < 1:
        raise BadInput(f"characters is {characters}", "give the length of the text")
    return nats * tokens / math.log(2) / characters


def pseudo_perplexity(language_model: LanguageModel, texts: Sequence[str]) -> NDArray[np.float64]:
    """exp of the mean of -log p(token | the rest of its text), each token masked in turn.

    For one text what Salazar et al. 2020 (arXiv:1910.14659, section 2) define for a corpus. 1 is a text of which the
    model is sure everywhere. Pieces of one rare word predict each other, so such words look likelier than they are.
    Costs one row of the model for each token.

    Args:
        language_model: reads in both directions.
        texts: n strings, cut to the model's positions.

    Returns:
        (n,), in no unit; not a number for a text without a token.

    Raises:
        BadInput: an item that is not a string, or a causal model.
    """
    check_bidirectional(language_model)
    mask_id, positions = language_model.tokenizer.mask_token_id, language_model.model.encoder.config.max_positions
    rows = [tuple(row) for row in tokenize(texts, language_model.tokenizer, positions)]
    different = list(dict.fromkeys(rows))
    places = [(number, place) for number, ids in enumerate(different) for place in range(1, len(ids) - 1)]
    masked = [(*different[n][:place], mask_id, *different[n][place + 1 :]) for n, place in places]
    losses = np.zeros(len(places))
    for some, logits in masked_lm_logits(language_model, masked, [place for _, place in places]):
        true = torch.tensor([different[places[query][0]][places[query][1]] for query in some], device=logits.device)
        losses[some] = F.cross_entropy(logits, true, reduction="none").double().cpu().numpy()
    owners = np.array([number for number, _ in places], np.int64)
    sums, counts = (np.bincount(owners, weights, minlength=len(different)) for weights in (losses, None))
    means = np.divide(sums, counts, out=np.full(len(different), np.nan), where=counts > 0)
    numbers = {ids: number for number, ids in enumerate(different)}
    perplexities: NDArray[np.float64] = np.exp(means)[[numbers[row] for row in rows]]
    return perplexities
