"""Does a method say the same again? With other random numbers, and of a text that says the same in other words.

Alvarez-Melis and Jaakkola 2018 (arXiv:1806.08049) ask that like inputs be explained alike. What wavers with the seed
needs more samples; what wavers with a typing error may be the method's fault or the model's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations
from typing import Any

import numpy as np

from course_lib.augmentation import Operation
from course_lib.batching import check_texts
from course_lib.errors import BadInput
from course_lib.evaluation import Interval, over_seeds
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.faithfulness import rank_correlation
from course_lib.explain.methods import METHODS, explain


@dataclass(frozen=True, eq=False)
class Stability:
    """How much a method's explanations of one text agree.

    Attributes:
        method: which one.
        correlation: mean over texts of the rank correlation, -1 to 1, with Student's 95 % interval over texts.
        by_text: (n,), each text's mean; nan where nothing could be ranked.
        pairs: explanations that were compared.
        same: rewrites left out because nothing in them had changed (0 for seeds).
        turned: rewrites left out because the model answers otherwise (0 for seeds).
    """

    method: str
    correlation: Interval
    by_text: Floats
    pairs: int
    same: int = 0
    turned: int = 0


def seed_stability(
    classifier: Any, texts: Sequence[str], method: str = "shap", *, seeds: int = 5, seed: int = 0, **settings: Any
) -> Stability:
    """Rank correlation of the scores of every two seeds.

    Args:
        classifier: as for `explain`.
        texts: n strings, at least two of them of two words or more.
        method: of `METHODS`, one that draws.
        seeds: how many: seed, seed + 1, ...
        seed: the first.
        settings: as for `explain`.

    Raises:
        BadInput: fewer than two seeds, a method that draws nothing, fewer than two texts whose scores can be ranked,
            and what `explain` raises.
    """
    if seeds < 2:
        raise BadInput(f"seeds is {seeds}", "use 2 or more; 5 say more")
    if method in METHODS and "seed" not in METHODS[method].settings:
        raise BadInput(f"method {method!r} draws nothing", "it says the same with every seed: compare paraphrases")
    runs = [explain(classifier, texts, method, seed=seed + i, **settings) for i in range(seeds)]
    found = [[rank_correlation(one.scores, other.scores) for one, other in combinations(of_text, 2)]
             for of_text in zip(*runs, strict=True)]  # fmt: skip
    return _stability(method, found)


def paraphrase_stability(
    classifier: Any,
    texts: Sequence[str],
    method: str,
    operation: Operation,
    *,
    copies: int = 3,
    seed: int = 0,
    **settings: Any,
) -> Stability:
    """Rank correlation of the scores of a text and its rewrites, on the words that both hold in the same order.

    Both are explained for the class that the text itself gets. A rewrite that the model answers otherwise is left out
    and counted: there another explanation is right.

    Args:
        classifier: as for `explain`.
        texts: n strings.
        method: of `METHODS`.
        operation: of `course_lib.augmentation`, such as `TypoNoise()`; it must keep what the text says.
        copies: rewrites of a text.
        seed: of the first rewrite, and of the method.
        settings: as for `explain`, but for target.

    Raises:
        BadInput: no copies, a target, fewer than two texts with a rewrite to compare, and what `explain` raises.
    """
    if copies < 1:
        raise BadInput(f"copies is {copies}", "use 1 or more")
    if "target" in settings:
        raise BadInput(f"target is {settings['target']!r}", "leave target out: each text's own answer is explained")
    rows = check_texts(texts)
    before = explain(classifier, rows, method, seed=seed, **settings)
    rewrites = [(row, text) for copy in range(copies) for row, text in enumerate(operation(rows, seed + copy))]
    changed = [(row, text) for row, text in rewrites if text != rows[row]]
    answers = _answers(classifier, [text for _, text in changed])
    kept = [pair for pair, answer in zip(changed, answers, strict=True) if answer == before[pair[0]].target]
    after = explain(
        classifier, [text for _, text in kept], method, target=[before[row].target for row, _ in kept], seed=seed,
        **settings,
    )  # fmt: skip
    found: list[list[float]] = [[] for _ in rows]
    for (row, _), one in zip(kept, after, strict=True):
        found[row].append(on_shared_words(before[row], one))
    return _stability(method, found, len(rewrites) - len(changed), len(changed) - len(kept))


def _answers(classifier: Any, texts: list[str]) -> list[Any]:
    if not texts:
        return []
    return list(classifier.classes_[np.asarray(classifier.predict_proba(texts)).argmax(1)])


def shared_words(one: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Places of the words that both texts hold in the same order, as (place in one, place in other); capitals do not
    count.
    """
    left, right = ([word.lower() for word in words] for words in (one, other))
    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]


def on_shared_words(one: Attribution, other: Attribution) -> float:
    """Rank correlation of two texts' scores on their shared words; nan for fewer than 2 of them or equal scores."""
    places = shared_words(one.words, other.words)
    mine, theirs = [left for left, _ in places], [right for _, right in places]
    return rank_correlation(one.scores[mine], other.scores[theirs])


def _stability(method: str, found: list[list[float]], same: int = 0, turned: int = 0) -> Stability:
    known = [[one for one in of_text if not math.isnan(one)] for of_text in found]
    by_text = np.array([np.mean(of_text) if of_text else math.nan for of_text in known], np.float64)
    ranked = by_text[~np.isnan(by_text)]
    if len(ranked) < 2:
        raise BadInput(
            f"the scores of {len(ranked)} of {len(found)} texts can be compared", "give more texts of several words"
        )
    return Stability(method, over_seeds(ranked), by_text, sum(map(len, known)), same, turned)
