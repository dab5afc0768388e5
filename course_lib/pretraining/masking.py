"""Which tokens the model must predict, and what it sees instead (Devlin et al. 2019, arXiv:1810.04805, 3.1).

Some of the tokens are chosen. Most of these are replaced by [MASK], some by a random token, and some are kept, so that
the model cannot tell which tokens are true. The loss is computed at the chosen positions alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray

from course_lib.errors import BadInput

STRATEGIES = ("token", "word", "span")
IGNORED = -100  # the label of positions that are not predicted, as torch's cross-entropy skips it
LONGEST_SPAN = 10  # words; SpanBERT's
_WEIGHTS = 0.8 ** np.arange(LONGEST_SPAN)  # SpanBERT's lengths are geometric with p = 0.2, cut at 10 words
SPAN_LENGTHS: Float[NDArray[np.float64], "10"] = _WEIGHTS / _WEIGHTS.sum()  # probability of 1, 2, ... 10 words
SPAN_MEAN = float(SPAN_LENGTHS @ np.arange(1, LONGEST_SPAN + 1))


@dataclass(frozen=True)
class MaskingRule:
    """How tokens are chosen and replaced.

    Attributes:
        rate: expected fraction of the ordinary tokens that is predicted.
        mask: fraction of the chosen that becomes [MASK].
        random: fraction of the chosen that becomes a random ordinary token (maybe the same one). The rest is kept.
        strategy: "token": each independently. "word": all pieces of a word or none (BERT, May 2019). "span":
            runs of whole words, 3.8 on average, replaced alike (SpanBERT, Joshi et al. 2020, arXiv:1907.10529, 3.1).

    Raises:
        BadInput: a value is out of its range.
    """

    rate: float = 0.15
    mask: float = 0.8
    random: float = 0.1
    strategy: str = "token"

    def __post_init__(self) -> None:
        most = SPAN_MEAN / (1 + SPAN_MEAN)  # spans with one word between them
        checks = {
            "strategy": (self.strategy in STRATEGIES, f"one of {', '.join(STRATEGIES)}"),
            "rate": (0 < self.rate < 1, "a fraction above 0 and below 1"),
            "mask": (0 <= self.mask <= 1, "a fraction from 0 to 1"),
            "random": (0 <= self.random <= 1 - self.mask + 1e-12, "a fraction from 0 to 1 - mask"),
        }
        for name, (fits, allowed) in checks.items():
            if not fits:
                raise BadInput(f"{name} is {getattr(self, name)!r}", f"use {allowed}")
        if self.strategy == "span" and self.rate > most:
            raise BadInput(f"rate is {self.rate} with spans of {SPAN_MEAN:.1f} words", f"use a rate up to {most:.2f}")


def mask_tokens(
    input_ids: Int[NDArray[np.integer], "rows seq"],
    protected: Bool[NDArray[np.bool_], "rows seq"],
    rule: MaskingRule,
    random: np.random.Generator,
    *,
    mask_id: int,
    special: Bool[NDArray[np.bool_], "vocab"],
    continues: Bool[NDArray[np.bool_], "vocab"] | None = None,
) -> tuple[Int[NDArray[np.int64], "rows seq"], Int[NDArray[np.int64], "rows seq"]]:
    """Masks rows: what the model sees, and the labels (the true id where it is predicted, -100 elsewhere).

    Args:
        input_ids: token ids.
        protected: True at [CLS], [SEP] and padding: never chosen, never changed.
        rule: of the choice.
        random: of all draws; the same state gives the same masks.
        mask_id: id of [MASK].
        special: ids that are no random replacement.
        continues: ids that continue a word (##ing). Without it each token is a word of its own.

    Raises:
        BadInput: shapes differ, or every id is special.
    """
    if input_ids.ndim != 2 or input_ids.shape != protected.shape:
        raise BadInput(f"shapes are {input_ids.shape} and {protected.shape}", "give both as (rows, seq)")
    ordinary = np.flatnonzero(~special)
    if not len(ordinary):
        raise BadInput(f"all {len(special)} ids are special", "mark only the special tokens")
    ids, unit = input_ids.astype(np.int64), _units(input_ids, protected, rule, continues)
    of_unit = _chosen_units(rule, random, int(unit.max(initial=-1)) + 1)
    chosen, draws = of_unit[0][unit] & ~protected, of_unit[1][unit]  # (rows, seq)
    if rule.strategy != "span":  # each token of a word is replaced independently, as in BERT's release
        draws = random.random(ids.shape)
    drawn = ordinary[random.integers(len(ordinary), size=ids.shape)]
    seen = np.where(draws < rule.mask, mask_id, np.where(draws < rule.mask + rule.random, drawn, ids))
    return np.where(chosen, seen, ids), np.where(chosen, ids, IGNORED)


def _units(
    ids: NDArray[np.integer], protected: NDArray[np.bool_], rule: MaskingRule, continues: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """(rows, seq) the number of the word that each token belongs to, counted over all rows."""
    if rule.strategy == "token" or continues is None:
        begins = ~protected
    else:
        # A piece at the start of a row, or after [SEP], has lost its beginning: it begins a word here.
        cut_off = np.ones_like(protected)
        cut_off[:, 1:] = protected[:, :-1]
        begins = ~protected & (~continues[ids] | cut_off)
    # Protected tokens get some neighbour's number; they are never chosen.
    return np.asarray(np.maximum(np.cumsum(begins).reshape(ids.shape) - 1, 0))


def _chosen_units(
    rule: MaskingRule, random: np.random.Generator, n: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """For each of n consecutive words: whether it is chosen, and a number in [0, 1) that is the same in a span."""
    if rule.strategy != "span":
        return random.random(n) < rule.rate, np.zeros(n)
    mean_gap = SPAN_MEAN * (1 - rule.rate) / rule.rate
    # Gaps and spans alternate. The process starts 100 words to the left, so that no place is special. It is 1.5 times
    # as long as needed plus 50 spans: to fall short is an event of 6 standard deviations.
    cycles, start = int(1.5 * (n + 200) / (SPAN_MEAN + mean_gap)) + 50, 100
    gaps = random.geometric(1 / mean_gap, cycles)
    spans = random.choice(LONGEST_SPAN, cycles, p=SPAN_LENGTHS) + 1
    lengths = np.stack([gaps, spans], axis=1).reshape(-1)
    chosen = np.repeat(np.tile([False, True], cycles), lengths)
    draws = np.repeat(np.repeat(random.random(cycles), 2), lengths)
    assert len(chosen) >= n + start
    return chosen[start : start + n], draws[start : start + n]
