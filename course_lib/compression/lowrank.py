"""A matrix as the product of two thin ones: W (out, inputs) by A (out, rank) @ B (rank, inputs).

The factors hold rank * (out + inputs) numbers and take as many multiplications a token. They save both only where the
rank is below out * inputs / (out + inputs): for a square matrix, below half of its width.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.classifier import TextClassifier
from course_lib.compression.importance import batches, in_evaluation
from course_lib.compression.structure import MATRICES, bert_of, matrices, whole
from course_lib.errors import BadInput

_RIDGE = 1e-8  # of the mean square of an input: makes a singular table of inputs invertible

Factors = tuple[Float[Tensor, "out rank"], Float[Tensor, "rank inputs"]]


def low_rank(
    weight: Float[Tensor, "out inputs"], rank: int, inputs: Float[Tensor, "n inputs"] | None = None
) -> Factors:
    """The two factors that are nearest to a matrix, or to what it gives for these inputs.

    Without inputs they come from the singular value decomposition, cut after `rank`. Its squared error is the sum of
    the squares of the singular values cut off: no other product of this rank has less (Eckart and Young 1936). With
    inputs X the error counts in the outputs, |X (W - A B)^T|: W S is decomposed instead, with S the Cholesky factor of
    X^T X, which makes the inputs white, and S is taken out of B again (SVD-LLM, Wang et al. 2024, arXiv:2403.07378).
    On those inputs it is never worse than the plain one.

    Raises:
        BadInput: a rank below 1 or over the smaller side, inputs of another width, values that are not finite.
    """
    _check_matrix(weight, "weight")
    rank = whole(rank, "rank", 1, min(weight.shape))
    if inputs is None:
        return _factors(weight, rank, None)
    _check_matrix(inputs, "inputs")
    if inputs.shape[1] != weight.shape[1]:
        raise BadInput(f"inputs are {tuple(inputs.shape)}, weight {tuple(weight.shape)}", "give inputs (n, columns)")
    return _factors(weight, rank, inputs.double().T @ inputs.double())


def _check_matrix(matrix: Tensor, name: str) -> None:
    if matrix.ndim != 2 or not matrix.numel() or not matrix.isfinite().all():
        raise BadInput(f"{name} of shape {tuple(matrix.shape)} is empty, no matrix, or not finite", "give a matrix")


def _factors(weight: Tensor, rank: int, gram: Float[Tensor, "inputs inputs"] | None) -> Factors:
    """The factors, with X^T X (`gram`) instead of the inputs; computed in float64."""
    dense = weight.detach().double()
    if gram is None:
        left, values, right = torch.linalg.svd(dense, full_matrices=False)
        right = values[:rank, None] * right[:rank]
    else:
        root = _root(gram)  # (inputs, inputs), lower
        left, values, right = torch.linalg.svd(dense @ root, full_matrices=False)
        whitened = values[:rank, None] * right[:rank]
        right = torch.linalg.solve_triangular(root, whitened, upper=False, left=False)
    return left[:, :rank].to(weight.dtype).contiguous(), right.to(weight.dtype).contiguous()


def _root(gram: Tensor) -> Tensor:
    """L with L L^T = gram, plus a ridge so small that only directions without any input feel it."""
    mean_square = float(gram.diagonal().mean())
    ridge = _RIDGE * mean_square if mean_square else 1.0
    root: Tensor = torch.linalg.cholesky(gram + ridge * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))
    return root


def rank_for(shape: Sequence[int], budget: float) -> int:
    """The largest rank whose two factors hold at most `budget` numbers.

    Args:
        shape: of the matrix, (out, inputs).
        budget: how many numbers the factors may hold.

    Raises:
        BadInput: not even rank 1 fits.
    """
    out, inputs = shape
    rank = min(budget / (out + inputs) + 1e-9, out, inputs)  # a share of a count may fall short by a rounding
    if not rank >= 1:
        raise BadInput(f"budget is {budget}", f"rank 1 takes {out + inputs} numbers")
    return int(rank)


# ---- the embedding table ---------------------------------------------------------------------------------------


def factorized_embeddings(classifier: TextClassifier, ranks: Sequence[int]) -> pd.DataFrame:
    """What the embedding table (words, hidden) would cost and lose as (words, rank) @ (rank, hidden).

    ALBERT trains the two from the start (Lan et al. 2019, arXiv:1909.11942, section 3.1); here a trained table is cut.
    Numbers only: a `BertModel` has one table, and no place for two.

    Args:
        classifier: fitted; it stays as it is.
        ranks: each from 1 to the hidden size.

    Returns:
        A row a rank: `weights` of the factors, `share` of the table's, and `error`, the length of what is lost over
        the table's own (Frobenius norms): 0 is nothing, 1 all.

    Raises:
        BadInput: not a fitted BERT classifier, or a rank out of range.
    """
    table = bert_of(classifier).embeddings.word_embeddings.weight.detach()
    words, hidden = table.shape
    ranks = [whole(rank, "a rank", 1, min(words, hidden)) for rank in ranks]
    squares = torch.linalg.svdvals(table.double()).square().cpu()
    rows = [
        {
            "rank": rank,
            "weights": rank * (words + hidden),
            "share": rank * (words + hidden) / (words * hidden),
            "error": float((squares[rank:].sum() / squares.sum()).sqrt()),
        }
        for rank in ranks
    ]
    return pd.DataFrame(rows, columns=["rank", "weights", "share", "error"])


# ---- classifiers -----------------------------------------------------------------------------------------------


def low_rank_classifier(
    classifier: TextClassifier,
    rank: int | None = None,
    share: float | None = None,
    which: Collection[str] = tuple(MATRICES),
    texts: Sequence[str] | None = None,
) -> TextClassifier:
    """A classifier whose matrices are products of thin ones, multiplied out again: the answers of the smaller model.

    The shapes stay, so it saves nothing itself: a plain BERT folder has no place for factors. `factor_weights` counts
    what they would hold.

    Args:
        classifier: fitted; it stays as it is.
        rank: of each matrix; or
        share: numbers in the factors over numbers in the matrix, for each.
        which: names of matrices (`structure.MATRICES`).
        texts: weights the errors by what the matrices read in these texts (see `low_rank`), in the unchanged model.

    Raises:
        BadInput: not a fitted BERT classifier, not exactly one of rank and share, one out of range, an unknown name,
            or no text.
    """
    ranks = _ranks(classifier, rank, share, which)
    if texts is not None and not len(texts):
        raise BadInput("there is no text to weight errors by", "give some, or leave texts out")
    grams = {} if texts is None else _grams(classifier, list(ranks), texts)
    thinner = copy.deepcopy(classifier)
    of = matrices(thinner)
    with torch.no_grad():
        for place, cut in ranks.items():
            left, right = _factors(of[place].weight, cut, grams.get(place))
            of[place].weight.copy_(left @ right)
    return thinner


def factor_weights(
    classifier: TextClassifier,
    rank: int | None = None,
    share: float | None = None,
    which: Collection[str] = tuple(MATRICES),
) -> tuple[int, int]:
    """How many numbers those matrices hold, and how many their factors would. Arguments as of `low_rank_classifier`."""
    of = matrices(classifier)
    ranks = _ranks(classifier, rank, share, which)
    dense = sum(of[place].weight.numel() for place in ranks)
    return dense, sum(cut * sum(of[place].weight.shape) for place, cut in ranks.items())


def _ranks(
    classifier: TextClassifier, rank: int | None, share: float | None, which: Collection[str]
) -> dict[tuple[int, str], int]:
    """The rank of each of the matrices, by layer and name."""
    names = [which] if isinstance(which, str) else list(which)
    if not names or not set(names) <= set(MATRICES):
        raise BadInput(f"which is {which!r}", f"use some of {', '.join(MATRICES)}")
    if (rank is None) == (share is None):
        raise BadInput(f"rank is {rank}, share is {share}", "give one of the two")
    if share is not None and (not isinstance(share, Real) or not 0 < float(share) < float("inf")):
        raise BadInput(f"share is {share!r}", "use a share above 0, such as 0.5")
    shapes = {place: matrix.weight.shape for place, matrix in matrices(classifier).items() if place[1] in names}
    if share is not None:
        return {place: rank_for(shape, share * shape.numel()) for place, shape in shapes.items()}
    return {place: whole(rank, "rank", 1, min(shape)) for place, shape in shapes.items()}


def _grams(
    classifier: TextClassifier, places: Sequence[tuple[int, str]], texts: Sequence[str]
) -> dict[tuple[int, str], Tensor]:
    """X^T X of the inputs of each matrix, a row of X for each token that it reads; padding is left out."""
    of = matrices(classifier)
    grams: dict[tuple[int, str], Tensor] = {}
    with in_evaluation(classifier) as module, torch.no_grad():
        for batch in batches(classifier, texts):
            real = batch.attention_mask.bool()
            with _read({of[place]: place for place in places}, real, grams):
                module(batch.input_ids, batch.attention_mask)
    return grams


@contextmanager
def _read(
    places: dict[nn.Linear, tuple[int, str]], real: Tensor, grams: dict[tuple[int, str], Tensor]
) -> Iterator[None]:
    """Adds to `grams` what the matrices read inside the block."""

    def add(matrix: nn.Linear, inputs: tuple[Tensor]) -> None:
        states = inputs[0]
        # Above its keys and values the last layer reads the first token alone, which is never padding.
        rows = states[real] if states.shape[1] == real.shape[1] else states.flatten(0, 1)
        gram = rows.double().T @ rows.double()
        grams[places[matrix]] = grams[places[matrix]] + gram if places[matrix] in grams else gram

    hooks = [matrix.register_forward_pre_hook(add) for matrix in places]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
