"""Does a method find a reason that we planted? (Bastings et al. 2022, arXiv:2111.07367)

A rare word is planted in training texts of one class. The classifier learns that it gives the class away. Where the
word alone changes its prediction, we know why it predicts so, and an explanation must rank that word first.
`studies.shortcut_study` is the experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.batching import check_texts
from course_lib.errors import BadInput
from course_lib.evaluation import Interval, wilson_interval
from course_lib.explain.attribution import Attribution
from course_lib.explain.masked_model import WORD, check_seed


def plant(
    texts: Sequence[str], labels: ArrayLike, token: str, target: Any, share: float = 1.0, seed: int = 0
) -> list[str]:
    """Puts a word at a random place into a random part of the texts of one class.

    Places are those between blanks, the beginning and the end included; nothing else is changed.

    Args:
        texts: n strings.
        labels: their n labels.
        token: one word, in none of the texts.
        target: the label whose texts get it.
        share: fraction of these texts, rounded, but at least one.
        seed: of texts and places.

    Raises:
        BadInput: a token that is no single word or that a text holds, lengths that differ, a label that no text has,
            a share that is not above 0 and at most 1, a seed that is no whole number from 0 on.
    """
    rows, known = check_texts(texts), np.asarray(labels)
    if not isinstance(token, str) or not WORD.fullmatch(token):
        raise BadInput(f"token is {token!r}", "use one word of letters, such as 'cobalt'")
    holders = [text for text in rows if token.lower() in WORD.findall(text.lower())]
    if holders:
        raise BadInput(f"{len(holders)} texts hold {token!r} already: {holders[0][:60]!r}", "use a rarer word")
    check_seed(seed)
    if not 0 < share <= 1:
        raise BadInput(f"share is {share}", "use a number above 0 and at most 1")
    if known.shape != (len(rows),):
        raise BadInput(f"{len(rows)} texts and labels of shape {known.shape}", "give one label for each text")
    of_target = np.flatnonzero(known == target)
    if not len(of_target):
        raise BadInput(f"no text has the label {target!r}", f"use one of {sorted(set(known.tolist()))}")
    random = np.random.default_rng(seed)
    for row in np.sort(random.choice(of_target, max(1, round(share * len(of_target))), replace=False)):
        rows[row] = insert_word(rows[row], token, random)
    return rows


def insert_word(text: str, token: str, random: np.random.Generator) -> str:
    """The text with a word at a random place between blanks, the beginning and the end included."""
    parts = text.split(" ")
    parts.insert(int(random.integers(len(parts) + 1)), token)
    return " ".join(part for part in parts if part) if not text.strip() else " ".join(parts)


def token_ranks(attributions: Sequence[Attribution], token: str) -> NDArray[np.int64]:
    """(n,), the rank of a word by score in each explanation, 1 for the largest.

    Of several occurrences the best counts. Another word with the same score goes before it, so that a method that
    gives all words the same score finds nothing.

    Args:
        attributions: of texts that hold the word, in capitals or not.
        token: the word.

    Raises:
        BadInput: a text without the word.
    """
    return np.array([_rank(one, token.lower()) for one in attributions], np.int64)


def _rank(one: Attribution, token: str) -> int:
    mine = np.array([word.lower() == token for word in one.words], bool)
    if not mine.any():
        raise BadInput(f"{one.text[:60]!r} does not hold {token!r}", "explain texts that hold it: see plant(...)")
    return 1 + int((one.scores[~mine] >= one.scores[mine].max()).sum())


def precision_at_one(attributions: Sequence[Attribution], token: str) -> Interval:
    """Fraction of the explanations that rank the word first, with Wilson's 95 % interval.

    As Bastings et al. 2022, who report the mean rank beside it. Arguments as for `token_ranks`.

    Raises:
        BadInput: no explanation at all, or a text without the word.
    """
    if not len(attributions):
        raise BadInput("there is no explanation to judge", "give at least one")
    return wilson_interval(int((token_ranks(attributions, token) == 1).sum()), len(attributions))


def flipped_by_token(classifier: Any, texts: Sequence[str], planted: Sequence[str], target: Any) -> NDArray[np.int64]:
    """Numbers of the texts whose prediction the planted word changes to the target: there we know the reason.

    Args:
        classifier: anything with `predict`.
        texts: n without the word.
        planted: the same n with it.
        target: the class that the word gives away.
    """
    if not len(texts):
        return np.empty(0, np.int64)
    before, after = (np.asarray(classifier.predict(list(rows))) for rows in (texts, planted))
    return np.flatnonzero((before != target) & (after == target))
