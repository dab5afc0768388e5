"""How likely a masked language model finds a text, though it never gives a text a probability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from course_lib import machine
from course_lib.batching import collate, sorted_batches, tokenize
from course_lib.errors import BadInput
from course_lib.pretraining.language_model import LanguageModel

_MASKS_AT_ONCE = 512  # rows of logits over the vocabulary that are held at one moment: 62 MB for 30,522 words


def pseudo_perplexity(language_model: LanguageModel, texts: Sequence[str]) -> NDArray[np.float64]:
    """exp of the mean of -log p(token | the rest of its text), each token masked in turn.

    For one text what Salazar et al. 2020 (arXiv:1910.14659, section 2) define for a corpus.

    1 is a text of which the model is sure everywhere. Pieces of one rare word give each other away, so such words look
    likelier than they are. Costs one row of the model for each token.

    Args:
        language_model: reads in both directions.
        texts: n strings; what the model has no positions for is cut off.

    Returns:
        (n,), in no unit; not a number for a text without a token.

    Raises:
        BadInput: an item that is not a string, or a causal model.
    """
    config = language_model.model.encoder.config
    if config.causal:
        raise BadInput("a causal model, which cannot be asked for a masked word", "use exp(loss) of its next words")
    rows = [tuple(row) for row in tokenize(texts, language_model.tokenizer, config.max_positions)]
    different = list(dict.fromkeys(rows))
    asked = [(row, place) for row, ids in enumerate(different) for place in range(1, len(ids) - 1)]
    losses = np.zeros(len(asked))
    for chosen in sorted_batches([len(different[row]) for row, _ in asked], machine.preset().predict_tokens):
        for start in range(0, len(chosen), _MASKS_AT_ONCE):
            some = chosen[start : start + _MASKS_AT_ONCE]
            where, places = zip(*(asked[i] for i in some), strict=True)
            losses[some] = _losses(language_model, [different[row] for row in where], places)
    owners = np.array([row for row, _ in asked], np.int64)
    sums, counts = (np.bincount(owners, weights, minlength=len(different)) for weights in (losses, None))
    means = np.divide(sums, counts, out=np.full(len(different), np.nan), where=counts > 0)
    numbers = {ids: number for number, ids in enumerate(different)}
    perplexities: NDArray[np.float64] = np.exp(means)[[numbers[row] for row in rows]]
    return perplexities


@torch.inference_mode()
def _losses(
    language_model: LanguageModel, rows: Sequence[tuple[int, ...]], places: Sequence[int]
) -> NDArray[np.float64]:
    """-log p of the token at one place of each row, which is masked there, in nats."""
    model, tokenizer = language_model.model, language_model.tokenizer
    where = model.encoder.word_embeddings.device
    batch = collate(rows, np.arange(len(rows)), model.encoder.config.pad_id or 0).to(where)
    ids, at = batch.input_ids, torch.tensor(places, device=where)
    wanted = ids[batch.index, at]
    ids[batch.index, at] = int(tokenizer.mask_token_id)
    hidden = model.encoder(ids, batch.attention_mask)[batch.index, at]  # (rows, hidden)
    scores = model.words(hidden, model.encoder.word_embeddings).float().log_softmax(-1)
    found: NDArray[np.float64] = -scores[batch.index, wanted].double().cpu().numpy()
    return found
