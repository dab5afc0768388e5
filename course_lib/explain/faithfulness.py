"""How faithful an explanation is: does the model do what the scores say when words are taken out or left alone?

Ranks are by signed score: first the word that speaks most for the target. All figures are in the output's unit, for
each text, and compare with a random order of the same words, which `randomly` gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution, Floats
from course_lib.explain.bounds import aopc_bounds
from course_lib.explain.contrast import Contrast, TwoClasses
from course_lib.explain.game import Game
from course_lib.explain.words import Coalitions

# By how much the same classifier may miss the value that it gave, as a share of it and at least. bfloat16, which
# precision='auto' may choose, has 8 binary digits: logits of some units are rounded by up to 0.03, otherwise in another
# batch, and so a probability moves by up to 0.01. Log-odds have larger errors the larger they are: from float32
# probabilities next to 1, where they are 16, one rounding moves them by 0.4.
TOLERANCES = {"probability": (0.0, 0.01), "log-odds": (0.03, 0.1)}
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)  # of a text's words (DeYoung et al. 2020, section 4)


def game_of(classifier: Any, attributions: Sequence[Attribution], removal: str = "delete") -> Game:
    """The game that these explanations are about: the same texts, words, targets and output.

    A `Contrast` is about two classes alone: all others are ruled out.

    Raises:
        BadInput: explanations of different outputs or pairs of classes, words that are not the texts' own, or a
            classifier that answers otherwise than the one that was explained.
    """
    outputs = sorted({one.output for one in attributions}) or ["probability"]
    if len(outputs) > 1:
        raise BadInput(f"explanations of {' and of '.join(outputs)}", "judge them one output at a time")
    together = any(len(word.spans) > 1 for one in attributions for word in one.tokens)
    texts, targets = [one.text for one in attributions], [one.target for one in attributions]
    judged = _judged(classifier, attributions)
    game = Game(judged, texts, target=targets, output=outputs[0], removal=removal, together=together)
    share, least = TOLERANCES[game.output]
    for one, players, full in zip(attributions, game.players, game.full.tolist(), strict=True):
        if players.words != one.tokens or len(one.scores) != len(players):
            raise BadInput(f"the scores of {one.text[:50]!r} do not stand for its words", "take them from explain(...)")
        if not math.isclose(full, one.value, rel_tol=share, abs_tol=least):
            raise BadInput(
                f"{one.text[:50]!r}: {one.output} {full:.4g}, but {one.value:.4g} was explained",
                "pass the classifier that was explained",
            )
    return game


def _judged(classifier: Any, attributions: Sequence[Attribution]) -> Any:
    """The classifier itself, or the two of its classes that contrasts are about."""
    contrasts = [one for one in attributions if isinstance(one, Contrast)]
    pairs = {frozenset((one.target, one.foil)) for one in contrasts}
    if len(pairs) > 1 or len(contrasts) not in (0, len(attributions)):
        raise BadInput(
            "contrasts of several pairs of classes, or contrasts beside others", "judge them a pair at a time"
        )
    return TwoClasses(classifier, contrasts[0].target, contrasts[0].foil) if contrasts else classifier


def ranks(attribution: Attribution) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(n,), each word's place, 0 for the largest score; equal scores in the text's order."""
    return np.argsort(np.argsort(-attribution.scores, kind="stable"), kind="stable")


def randomly(attributions: Sequence[Attribution], seed: int = 0) -> list[Attribution]:
    """The same texts with random scores: what any method must beat."""
    random = np.random.default_rng(seed)
    return [replace(one, scores=random.permutation(len(one.scores)).astype(float), method="random")
            for one in attributions]  # fmt: skip


def comprehensiveness(
    classifier: Any, attributions: Sequence[Attribution], *, shares: Sequence[float] = SHARES, removal: str = "delete"
) -> Floats:
    """(texts,), output of the whole less that without the top words, the mean over shares; large is faithful.

    DeYoung et al. 2020, arXiv:1911.03429, equations 1 and 3. A share of n words is rounded up; texts without words
    give 0.

    Raises:
        BadInput: a share outside 0 to 1, or explanations that do not fit together.
    """
    return _over_shares(classifier, attributions, shares, removal, lambda place, top: place >= top)


def sufficiency(
    classifier: Any, attributions: Sequence[Attribution], *, shares: Sequence[float] = SHARES, removal: str = "delete"
) -> Floats:
    """(texts,), output of the whole less that of the top words alone, the mean over shares; small is faithful.

    DeYoung et al. 2020, arXiv:1911.03429, equations 2 and 3. Raises as `comprehensiveness`.
    """
    return _over_shares(classifier, attributions, shares, removal, lambda place, top: place < top)


def _over_shares(
    classifier: Any, attributions: Sequence[Attribution], shares: Sequence[float], removal: str,
    keep: Callable[[Any, Any], Coalitions],
) -> Floats:  # fmt: skip
    if not shares or not all(0 < share <= 1 for share in shares):
        raise BadInput(f"shares are {list(shares)}", "use numbers above 0 and at most 1")
    game = game_of(classifier, attributions, removal)

    def kept(one: Attribution) -> Coalitions:
        top = [math.ceil(share * len(one.scores) - 1e-9) for share in shares]
        return keep(ranks(one)[None], np.array(top)[:, None])

    found = _ask(game, [kept(one) for one in attributions])
    return np.array([full - values.mean() for full, values in zip(game.full, found, strict=True)], np.float64)


def _ask(game: Game, coalitions: Sequence[Coalitions]) -> list[Floats]:
    """The values of each text's coalitions, whatever the jobs' sizes."""
    jobs = (job for text, rows in enumerate(coalitions) for job in game.cut(text, rows))
    parts = {text: np.concatenate([values for _, _, values in answers])
             for text, answers in groupby(game.answer(jobs), key=lambda one: one[0])}  # fmt: skip
    return [parts[text] for text in range(len(coalitions))]


@dataclass(frozen=True, eq=False)
class Curve:
    """The output while words go and while words come, in order of score.

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
    """The deletion and insertion curves of every text; 2 n + 2 queries each."""
    return _curves(game_of(classifier, attributions, removal), attributions)


def _curves(game: Game, attributions: Sequence[Attribution]) -> list[Curve]:
    coalitions = []
    for one in attributions:
        place, steps = ranks(one)[None], np.arange(len(one.scores) + 1)[:, None]
        coalitions.append(np.concatenate([place >= steps, place < steps]))
    return [Curve(values[: len(values) // 2], values[len(values) // 2 :]) for values in _ask(game, coalitions)]


def normalized_aopc(
    classifier: Any, attributions: Sequence[Attribution], *, removal: str = "delete", beam: int = 5
) -> Floats:
    """(texts,), AOPC between the lowest and highest that any order of this text's words has on this model.

    1 is the best order there is, 0 the worst, so that models and texts compare (Edin et al. 2024, arXiv:2408.08137,
    section 4). For texts of up to 8 words the bounds are exact, for longer ones a beam search finds them nearly: a
    figure can then lie a little outside 0 to 1. nan where all orders are alike.

    Args:
        classifier: the one that was explained.
        attributions: of it.
        removal: as in `explain`.
        beam: orders kept at each step.

    Raises:
        BadInput: a beam below 1, or explanations that do not fit together.
    """
    game = game_of(classifier, attributions, removal)
    reached = [curve.aopc for curve in _curves(game, attributions)]
    lowest, highest = aopc_bounds(game, beam)
    room = highest - lowest
    found = np.full(len(reached), math.nan)
    np.divide(np.array(reached) - lowest, room, out=found, where=room > 1e-9)
    return found


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
    asked = {name: [(one.text, one.target) for one in found] for name, found in by_method.items()}
    if len({tuple(one) for one in asked.values()}) > 1:
        raise BadInput("the methods did not explain the same texts for the same targets", "give explain the same both")
    scores = {name: [np.abs(one.scores) if absolute else one.scores for one in found]
              for name, found in by_method.items()}  # fmt: skip
    rows = [[_mean(rank_correlation(a, b) for a, b in zip(mine, theirs, strict=True)) for theirs in scores.values()]
            for mine in scores.values()]  # fmt: skip
    return pd.DataFrame(rows, index=list(by_method), columns=list(by_method))


def _mean(numbers: Any) -> float:
    """Of those that are numbers; nan where none is."""
    known = [one for one in numbers if not math.isnan(one)]
    return float(np.mean(known)) if known else math.nan
