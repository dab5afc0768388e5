"""Does an explanation agree with itself, and does it change when the model does?

`seed_stability` repeats a method with other random numbers, `paraphrase_stability` on a text that says the same in
other words: Alvarez-Melis and Jaakkola 2018 (arXiv:1806.08049) demand that similar inputs have similar explanations.
What varies with the seed needs more samples; what varies with a typing error may be the method's fault or the model's.
`sanity_check` gives the model random weights, part by part (Adebayo et al. 2018, arXiv:1810.03292): there an
explanation must change.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from course_lib import machine
from course_lib.batching import check_texts
from course_lib.encoder import start_as_bert
from course_lib.errors import BadInput
from course_lib.evaluation import Interval, over_seeds
from course_lib.explain.attention import bert_of
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.faithfulness import mean_of_known, rank_correlation
from course_lib.explain.masked_model import MaskedModel
from course_lib.explain.methods import METHODS, explain

if TYPE_CHECKING:
    from course_lib.augmentation import Operation
    from course_lib.classifier import TextClassifier


# ---- the same again --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Stability:
    """How much a method's explanations of one text agree.

    Attributes:
        method: which one.
        correlation: mean over texts of the rank correlation, -1 to 1, with Student's 95 % interval over texts.
        by_text: (n,), each text's mean; nan where nothing could be ranked.
        pairs: explanations that were compared.
        same: rewrites left out because nothing in them had changed (0 for seeds).
        turned: rewrites left out because the model predicts another class (0 for seeds).
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
        raise BadInput(f"seeds is {seeds}", "use 2 or more; 5 are usual")
    if method in METHODS and "seed" not in METHODS[method].settings:
        raise BadInput(
            f"method {method!r} draws nothing", "its scores are the same with every seed: compare paraphrases"
        )
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

    Both are explained for the class that the model predicts for the text itself. A rewrite for which it predicts
    another class is left out and counted: there another explanation is right.

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
        raise BadInput(
            f"target is {settings['target']!r}", "leave target out: the class predicted for each text is explained"
        )
    rows = check_texts(texts)
    before = explain(classifier, rows, method, seed=seed, **settings)
    rewrites = [(row, text) for copy in range(copies) for row, text in enumerate(operation(rows, seed + copy))]
    changed = [(row, text) for row, text in rewrites if text != rows[row]]
    predicted = classifier.classes_[MaskedModel(classifier, [text for _, text in changed]).columns]
    kept = [pair for pair, label in zip(changed, predicted, strict=True) if label == before[pair[0]].target]
    after = explain(
        classifier, [text for _, text in kept], method, target=[before[row].target for row, _ in kept], seed=seed,
        **settings,
    )  # fmt: skip
    found: list[list[float]] = [[] for _ in rows]
    for (row, _), one in zip(kept, after, strict=True):
        found[row].append(on_shared_words(before[row], one))
    return _stability(method, found, len(rewrites) - len(changed), len(changed) - len(kept))


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
    by_text = np.array([mean_of_known(of_text) for of_text in found], np.float64)
    ranked = by_text[~np.isnan(by_text)]
    if len(ranked) < 2:
        raise BadInput(
            f"the scores of {len(ranked)} of {len(found)} texts can be compared", "give more texts of several words"
        )
    pairs = sum(not math.isnan(one) for of_text in found for one in of_text)
    return Stability(method, over_seeds(ranked), by_text, pairs, same, turned)


# ---- another model ---------------------------------------------------------------------------------------------


def stages(classifier: TextClassifier) -> list[str]:
    """The parts of a BERT classifier from the top down: head, pooler, layers, embeddings.

    Raises:
        BadInput: it is no BERT classifier.
    """
    layers = len(bert_of(classifier).encoder.layer)
    return ["classifier", "bert.pooler", *(f"bert.encoder.layer.{i}" for i in reversed(range(layers))),
            "bert.embeddings"]  # fmt: skip


def randomize_weights(classifier: TextClassifier, depth: int, seed: int = 0) -> TextClassifier:
    """A copy whose first `depth` stages from the top have random weights, as before any training.

    Raises:
        BadInput: a depth that is not from 0 to the number of stages, or no BERT classifier.
    """
    names = stages(classifier)
    if not 0 <= depth <= len(names):
        raise BadInput(f"depth is {depth}", f"use 0 to {len(names)}")
    changed = copy.copy(classifier)
    changed.module_ = copy.deepcopy(classifier.module_).cpu()
    with machine.seeded(seed), torch.no_grad():
        for name in names[:depth]:
            changed.module_.get_submodule(name).apply(_start_again)
    changed.module_.to(machine.device())
    return changed


def _start_again(module: nn.Module) -> None:
    start_as_bert(module)
    if isinstance(module, nn.LayerNorm):
        module.reset_parameters()


def sanity_check(
    classifier: TextClassifier, texts: Sequence[str], method: str, *, seed: int = 0, **settings: Any
) -> pd.DataFrame:
    """How much the scores still agree while the model is randomized from the top down, stage by stage.

    A method whose scores stay similar describes the text, not the model (Adebayo et al. 2018, section 3.1).

    Args:
        classifier: on a BERT encoder; it is not changed.
        texts: some of at least two words.
        method: of `explain`, with its settings; every model is explained for the class that the trained one predicts.
        seed: of the random weights and of the method.
        settings: as for `explain`.

    Returns:
        A row for each stage: `stage`, and the mean over texts of the rank correlation with the trained model's scores,
        of the scores as they are (`signed`) and of their sizes (`absolute`). nan where no scores can be ranked.
    """
    before = explain(classifier, texts, method, seed=seed, **settings)
    settings["target"] = [one.target for one in before]
    rows = []
    for depth, stage in enumerate(stages(classifier), 1):
        after = explain(randomize_weights(classifier, depth, seed), texts, method, seed=seed, **settings)
        pairs = [(one.scores, other.scores) for one, other in zip(before, after, strict=True)]
        signed = mean_of_known(rank_correlation(one, other) for one, other in pairs)
        absolute = mean_of_known(rank_correlation(np.abs(one), np.abs(other)) for one, other in pairs)
        rows.append({"stage": stage, "signed": signed, "absolute": absolute})
    return pd.DataFrame(rows)
