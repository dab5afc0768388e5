"""How faithful an explanation is: does the model do what the scores say when words are removed or left alone?

Ranks are by signed score: first the word that speaks most for the target. All figures are in the output's unit, for
each text, and compare with a random order of the same words, which `random_baseline` gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.masked_model import Coalitions, MaskedModel
from course_lib.explain.shapley import all_coalitions

# By how much the same classifier may miss the value that it gave, as a fraction of it and at least. bfloat16, which
# precision='auto' may choose, has 8 binary digits: logits of some units are rounded by up to 0.03, otherwise in another
# batch, and so a probability moves by up to 0.01. Log-odds have larger errors the larger they are: from float32
# probabilities next to 1, where they are 16, one rounding moves them by 0.4.
TOLERANCES = {"probability": (0.0, 0.01), "log-odds": (0.03, 0.1)}
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # of a text's words (DeYoung et al. 2020, section 4)
EXACT_WORDS = 8  # 256 coalitions, of which the bounds of AOPC are computed exactly
BEAM = 5  # orders of removal that the search for longer texts keeps at each step


def masked_model_of(classifier: Any, attributions: Sequence[Attribution], removal: str = "delete") -> MaskedModel:
    """The masked model that these explanations are about: the same texts, words, targets and output.

    Explanations with a foil are about two classes alone: all others are ruled out.

    Raises:
        BadInput: explanations of different outputs, with and without a foil, words that are not the texts' own, or a
            classifier whose outputs are not those that were explained.
    """
    outputs = sorted({one.output for one in attributions}) or ["probability"]
    if len(outputs) > 1:
        raise BadInput(f"explanations of {' and of '.join(outputs)}", "judge them one output at a time")
    bow = any(len(word.spans) > 1 for one in attributions for word in one.tokens)
    texts, targets = [one.text for one in attributions], [one.target for one in attributions]
    foils = [one.foil for one in attributions if one.foil is not None]
    if len(foils) not in (0, len(attributions)):
        raise BadInput("explanations with a foil beside others without", "judge them apart")
    model = MaskedModel(
        classifier, texts, target=targets, output=outputs[0], foil=foils or None, removal=removal, bow=bow
    )
    relative, absolute = TOLERANCES[model.output]
    for one, text in zip(attributions, model.texts, strict=True):
        if text.words != one.tokens or len(one.scores) != len(text):
            raise BadInput(f"the scores of {one.text[:50]!r} are not those of its words", "take them from explain(...)")
    for one, full in zip(attributions, model.full_outputs.tolist(), strict=True):
        if not math.isclose(full, one.value, rel_tol=relative, abs_tol=absolute):
            raise BadInput(
                f"{one.text[:50]!r}: {one.output} {full:.4g}, but {one.value:.4g} was explained",
                "pass the classifier that was explained",
            )
    return model


def word_ranks(attribution: Attribution) -> NDArray[np.int64]:
    """(n,), each word's place, 0 for the largest score; equal scores in the text's order."""
    return np.argsort(np.argsort(-attribution.scores, kind="stable"), kind="stable")


def random_baseline(attributions: Sequence[Attribution], seed: int = 0) -> list[Attribution]:
    """The same texts with random scores: what any method must beat."""
    random = np.random.default_rng(seed)
    return [replace(one, scores=random.permutation(len(one.scores)).astype(float), method="random")
            for one in attributions]  # fmt: skip


# ---- removing top words ----------------------------------------------------------------------------------------


def comprehensiveness(
    classifier: Any, attributions: Sequence[Attribution], *, shares: Sequence[float] = SHARES, removal: str = "delete"
) -> Floats:
    """(texts,), output of the whole less that without the top words, the mean over shares; large is faithful.

    DeYoung et al. 2020, arXiv:1911.03429, equations 1 and 3.

    Args:
        classifier: the one that was explained.
        attributions: of it.
        shares: fractions of n words, rounded up; texts without words give 0.
        removal: as in `explain`.

    Raises:
        BadInput: a share outside 0 to 1, or explanations that do not fit together.
    """
    return _mean_fall(classifier, attributions, shares, removal, lambda rank, top: rank >= top)


def sufficiency(
    classifier: Any, attributions: Sequence[Attribution], *, shares: Sequence[float] = SHARES, removal: str = "delete"
) -> Floats:
    """(texts,), output of the whole less that of the top words alone, the mean over shares; small is faithful.

    DeYoung et al. 2020, arXiv:1911.03429, equations 2 and 3. Arguments and errors as for `comprehensiveness`.
    """
    return _mean_fall(classifier, attributions, shares, removal, lambda rank, top: rank < top)


def _mean_fall(
    classifier: Any, attributions: Sequence[Attribution], shares: Sequence[float], removal: str,
    keep: Callable[[Any, Any], Coalitions],
) -> Floats:  # fmt: skip
    if not shares or not all(0 < share <= 1 for share in shares):
        raise BadInput(f"shares are {list(shares)}", "use numbers above 0 and at most 1")
    model = masked_model_of(classifier, attributions, removal)
    tops = [[math.ceil(share * len(one.scores) - 1e-9) for share in shares] for one in attributions]
    coalitions = [keep(word_ranks(one)[None], np.array(top)[:, None])
                  for one, top in zip(attributions, tops, strict=True)]  # fmt: skip
    means = [values.mean() for values in model.evaluate(coalitions)]
    return np.asarray(model.full_outputs - means, np.float64)


# ---- curves ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Curve:
    """The output while words are removed and while they are inserted, in order of score.

    Attributes:
        deletion: (n + 1,), after the first 0, 1, ..., n words were removed: falls fast if the order is faithful.
        insertion: (n + 1,), of the first 0, 1, ..., n words alone: rises fast if it is (Petsiuk et al. 2018,
            arXiv:1806.07421).
    """

    deletion: Floats
    insertion: Floats

    @property
    def deletion_area(self) -> float:
        """Mean height of the deletion curve by the trapezoid rule; small is faithful."""
        return _area(self.deletion)

    @property
    def insertion_area(self) -> float:
        """Mean height of the insertion curve by the trapezoid rule; large is faithful."""
        return _area(self.insertion)

    @property
    def aopc(self) -> float:
        """Mean fall of the output over the first 1, ..., n removals (Samek et al. 2017, arXiv:1509.06321, eq. 12)."""
        return float((self.deletion[0] - self.deletion[1:]).mean()) if len(self.deletion) > 1 else 0.0


def _area(curve: Floats) -> float:
    return float((curve[1:] + curve[:-1]).mean() / 2) if len(curve) > 1 else float(curve[0])


def curves(classifier: Any, attributions: Sequence[Attribution], *, removal: str = "delete") -> list[Curve]:
    """The deletion and insertion curves of every text; at most 2 n + 2 queries each."""
    return _curves(masked_model_of(classifier, attributions, removal), attributions)


def _curves(model: MaskedModel, attributions: Sequence[Attribution]) -> list[Curve]:
    coalitions = []
    for one in attributions:
        rank, steps = word_ranks(one)[None], np.arange(len(one.scores) + 1)[:, None]
        coalitions.append(np.concatenate([rank >= steps, rank < steps]))
    return [Curve(*np.split(values, 2)) for values in model.evaluate(coalitions)]


def normalized_aopc(classifier: Any, attributions: Sequence[Attribution], *, removal: str = "delete") -> Floats:
    """(texts,), AOPC between the lowest and highest that any order of this text's words has on this model.

    1 is the best order there is, 0 the worst, so that models and texts compare (Edin et al. 2024, arXiv:2408.08137,
    section 4). For texts of up to 8 words the bounds are exact, for longer ones a beam search finds them nearly: a
    figure can then lie a little outside 0 to 1. nan where all orders are alike. Arguments and errors as for `curves`.
    """
    model = masked_model_of(classifier, attributions, removal)
    lowest, highest = aopc_bounds(model)
    reached = np.array([curve.aopc for curve in _curves(model, attributions)])
    room, found = highest - lowest, np.full(len(reached), math.nan)
    np.divide(reached - lowest, room, out=found, where=room > 1e-9)
    return found


def aopc_bounds(model: MaskedModel) -> tuple[Floats, Floats]:
    """(texts,) and (texts,), the lowest and the highest AOPC of any order of each text's words.

    Exact for texts of up to 8 words. For longer ones a beam search, which finds orders that are nearly as good (Edin et
    al. 2024, section 4.2); all texts take their steps together, in shared batches.
    """
    lowest, highest = np.zeros(len(model.texts)), np.zeros(len(model.texts))
    short = [0 < len(one) <= EXACT_WORDS for one in model.texts]
    tables = model.evaluate([all_coalitions(len(one)) if exact else _no_rows(len(one))
                             for one, exact in zip(model.texts, short, strict=True)])  # fmt: skip
    for text in np.flatnonzero(short).tolist():
        least, most = _best_sums(tables[text])
        n, full = len(model.texts[text]), model.full_outputs[text]
        lowest[text], highest[text] = full - most / n, full - least / n
    long = [text for text, one in enumerate(model.texts) if len(one) > EXACT_WORDS]
    for found, sign in ((highest, 1.0), (lowest, -1.0)):
        for text, fall in _searched(model, long, sign).items():
            found[text] = fall
    return lowest, highest


def _no_rows(words: int) -> Coalitions:
    return np.empty((0, words), bool)


def _best_sums(table: Floats) -> tuple[float, float]:
    """The least and the largest sum of outputs along any order of removal, from the output of every coalition.

    What follows a coalition does not depend on how it was reached, so one pass over all of them is enough.
    """
    n = len(table).bit_length() - 1
    least, most = np.zeros(len(table)), np.zeros(len(table))  # of the outputs after each coalition
    for kept in range(1, len(table)):
        after = [kept - 2**i for i in range(n) if kept >> i & 1]
        least[kept] = (table[after] + least[after]).min()
        most[kept] = (table[after] + most[after]).max()
    return float(least[-1]), float(most[-1])


@dataclass
class _Beam:
    """The coalitions that a text's best orders have reached, and the sum of falls on the way to each."""

    kept: Coalitions
    falls: Floats


def _searched(model: MaskedModel, texts: list[int], sign: float) -> dict[int, float]:
    """The best AOPC found for each text: the highest for sign 1, the lowest for -1."""
    beams = {text: _Beam(np.ones((1, len(model.texts[text])), bool), np.zeros(1)) for text in texts}
    for step in range(max((len(model.texts[text]) for text in texts), default=0)):
        coalitions = [_no_rows(len(one)) for one in model.texts]
        for text, beam in beams.items():
            if step < len(model.texts[text]):
                coalitions[text] = _without_one(beam.kept)
        for text, values in enumerate(model.evaluate(coalitions)):
            if len(values):
                before = np.repeat(beams[text].falls, len(values) // len(beams[text].falls))
                beams[text] = _pruned(coalitions[text], before + model.full_outputs[text] - values, sign)
    return {text: float((sign * one.falls).max() * sign) / len(model.texts[text]) for text, one in beams.items()}


def _without_one(kept: Coalitions) -> Coalitions:
    """Every coalition less each of its words in turn."""
    rows, words = np.nonzero(kept)
    smaller = kept[rows].copy()
    smaller[np.arange(len(rows)), words] = False
    return smaller


def _pruned(rows: Coalitions, falls: Floats, sign: float) -> _Beam:
    """The best ones; two orders that reached the same coalition count as one."""
    order = np.argsort(-sign * falls, kind="stable")
    first = {rows[i].tobytes(): i for i in reversed(order)}
    best = sorted(first.values(), key=lambda i: -sign * falls[i])[:BEAM]
    return _Beam(rows[best], falls[best])


# ---- agreement -------------------------------------------------------------------------------------------------


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's, from -1 to 1; nan for fewer than 2 words or where all scores are equal."""
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(spearmanr(one, other).statistic)


def agreement(by_method: Mapping[str, Sequence[Attribution]], *, absolute: bool = False) -> pd.DataFrame:
    """Mean rank correlation of every two methods' scores over texts, a row and a column a method.

    Args:
        by_method: explanations of the same texts.
        absolute: compares how large scores are, whatever their sign: the fair way beside attention, which has none.

    Raises:
        BadInput: methods that did not explain the same texts for the same targets.
    """
    explained = {tuple((one.text, one.target) for one in found) for found in by_method.values()}
    if len(explained) > 1:
        raise BadInput("the methods did not explain the same texts for the same targets", "give explain the same both")
    scores = {name: [np.abs(one.scores) if absolute else one.scores for one in found]
              for name, found in by_method.items()}  # fmt: skip
    rows = [[mean_of_known(map(rank_correlation, mine, theirs)) for theirs in scores.values()]
            for mine in scores.values()]  # fmt: skip
    return pd.DataFrame(rows, index=list(by_method), columns=list(by_method))


def mean_of_known(numbers: Iterable[float | None]) -> float:
    """Mean of those that are numbers, and neither None nor nan; nan where none is."""
    known = [one for one in numbers if one is not None and not math.isnan(one)]
    return float(np.mean(known)) if known else math.nan
