"""Which words would have to go for another prediction.

A counterfactual is the nearest case that the model predicts otherwise (Wachter et al. 2017, arXiv:1711.00399). Near is
here the number of words that are removed, among the sets that the scores of an explanation suggest (Martens and Provost
2014, "Explaining data-driven document classifications"). `course_lib.attacks` changes words instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution
from course_lib.explain.faithfulness import masked_model_of, word_ranks
from course_lib.explain.masked_model import Coalitions, MaskedModel


@dataclass(frozen=True)
class MinimalDeletion:
    """A few words without which the model predicts another class.

    Attributes:
        text: the whole.
        words: those removed, in the text's order.
        positions: their numbers among the text's words.
        rest: the text without them.
        before: the class of the whole.
        after: the class of the rest.
        queries: texts that the model was queried for in the search, the whole included.
    """

    text: str
    words: tuple[str, ...]
    positions: tuple[int, ...]
    rest: str
    before: Any
    after: Any
    queries: int


def minimal_deletions(
    classifier: Any, attributions: Sequence[Attribution], *, removal: str = "delete"
) -> list[MinimalDeletion | None]:
    """For each text a small set of words whose removal changes the class; None where the order of scores finds none.

    Words are removed by score, the largest first, until the class changes. Then they are put back one by one, the least
    important first, as long as the class stays changed. So no word of a set can be put back, and the model was queried
    for each `rest`; a smaller set of other words may exist. A better explanation finds smaller sets.

    Args:
        classifier: the one that was explained.
        attributions: of the class that it predicts for each text.
        removal: as in `explain`.

    Raises:
        BadInput: an explanation of another class than the predicted one, of another classifier, or of words that are
            not the text's own; scores of a wrong shape or that are not finite.
    """
    texts = masked_model_of(classifier, attributions, removal).texts
    model = MaskedModel(classifier, [one.text for one in texts], removal=removal, bow=any(map(_repeats, texts)))
    _check_targets(classifier.classes_.tolist(), attributions, model.columns)
    ranks = [word_ranks(one) for one in attributions]
    # First all beginnings of the order at once; afterwards each removal that was found less each of its words.
    candidates = [rank >= np.arange(1, len(rank) + 1)[:, None] for rank in ranks]
    found: list[tuple[NDArray[np.bool_], int] | None] = [None] * len(texts)
    while any(map(len, candidates)):
        for text, columns in enumerate(model.predict(candidates)):
            changed = np.flatnonzero(columns != model.columns[text])
            less = candidates[text][:0]
            if len(changed):
                kept = candidates[text][changed[0]]
                found[text], less = (kept, int(columns[changed[0]])), _with_a_word_more(kept, ranks[text])
            candidates[text] = less
    return [one and _deletion(model, text, *one) for text, one in enumerate(found)]


def _repeats(text: Any) -> bool:
    return len(text) < len(text.word_of)


def _check_targets(classes: list[Any], attributions: Sequence[Attribution], columns: NDArray[np.int64]) -> None:
    for one, column in zip(attributions, columns.tolist(), strict=True):
        if classes[column] != one.target:
            raise BadInput(
                f"{one.text[:50]!r} is explained for {classes[classes.index(one.target)]!r}, "
                f"but {classes[column]!r} is predicted",
                "explain the most probable class of each text: leave target out",
            )


def _with_a_word_more(kept: NDArray[np.bool_], ranks: NDArray[np.int64]) -> Coalitions:
    """(words, n), each removed word put back, the least important one first; (0, n) where only one was removed."""
    removed = np.flatnonzero(~kept)
    removed = removed[np.argsort(-ranks[removed])] if len(removed) > 1 else removed[:0]
    more = np.repeat(kept[None], len(removed), 0)
    more[np.arange(len(removed)), removed] = True
    return more


def _deletion(model: MaskedModel, text: int, kept: NDArray[np.bool_], after: int) -> MinimalDeletion:
    one, classes = model.texts[text], model.classifier.classes_.tolist()
    positions = tuple(np.flatnonzero(~kept).tolist())
    return MinimalDeletion(
        one.text, tuple(one.words[i].text for i in positions), positions, one.mask(kept[None])[0],
        classes[model.columns[text]], classes[after], int(model.queries[text]),
    )  # fmt: skip
