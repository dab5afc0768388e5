"""Pictures of explanations: scores of words with their errors, and what changes with the seed."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import findfont, get_font

from course_lib.errors import BadInput
from course_lib.plots.scored_text import (
    AGAINST,
    FOR,
    HeatMap,
    check_scores,
    digits_of,
    error_in_words,
    figure_of,
    heat_map,
    signed,
    takes_sides,
)
from course_lib.plots.style import HOUSE, INK, canvas, house, label, legend_below, look

if TYPE_CHECKING:
    from course_lib.explain import Attribution

__all__ = ["HeatMap", "drawable", "heat_map", "seed_spread", "word_bars"]

MOST_LETTERS = 22  # of a word beside its bar
MOST_WORDS = 14  # of a picture of seeds
_MODIFIERS = "\u200d\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"  # of emoji: joiner, style, skin tones


@house
def word_bars(
    attribution: Attribution, k: int = 10, names: Mapping[Any, str] | None = None, ax: Axes | None = None
) -> Axes:
    """The words of the largest scores, whatever their sign, largest on top; the method's own error is named below.

    Whiskers, where there are any, are the standard deviation over seeds (`repeats` of `explain`), or else the largest
    standard error of a score.

    Args:
        attribution: of one text.
        k: words at most.
        names: class -> what to call it.

    Raises:
        BadInput: a text without words, fewer than 1 word wanted, or scores that are not finite.
    """
    check_scores(attribution)
    if not attribution.tokens or k < 1:
        raise BadInput(f"{k} of {len(attribution.tokens)} words are to be drawn", "explain a text that has words")
    scores = np.asarray(attribution.scores, float)
    order = np.argsort(-np.abs(scores), kind="stable")[:k]
    shown, whiskers, told = scores[order], *_whiskers(attribution, order)
    places, digits = np.arange(len(order)), digits_of(shown)
    ax = canvas(ax, 6.4, 1.5 + 0.32 * len(order))
    for mine, (edge, face), hatch in ((shown >= 0, (FOR[0], FOR[0]), ""), (shown < 0, AGAINST, "///")):
        ax.barh(places[mine], shown[mine], 0.68, color=face, edgecolor=edge, hatch=hatch, linewidth=1)
    if told:
        ax.errorbar(shown, places, xerr=whiskers, fmt="none", ecolor=INK, capsize=3, elinewidth=1.1)
    for place, score, whisker in zip(places, shown, whiskers, strict=True):
        way = 1 if score >= 0 else -1
        ax.annotate(
            figure_of(attribution, score, digits), (score + way * whisker, place), (4 * way, 0),
            textcoords="offset points", ha="left" if way > 0 else "right", va="center", fontsize=9,
        )  # fmt: skip
    _frame(ax, shown, whiskers, _called(attribution, order))
    name = str((names or {}).get(attribution.target, attribution.target))
    unit = f"score ({attribution.output} of {name}); {error_in_words(attribution)}{told}"
    first = drawable(attribution.tokens[order[0]].text)
    title = _loudest(first, name, float(shown[0]), float(whiskers[0]), digits)
    if not takes_sides(attribution):
        title, unit = (
            f"“{first}” is looked at most: {figure_of(attribution, shown[0], digits)}",
            "score (share of a look)",
        )
    label(ax, f"{title} ({attribution.method})", unit)
    return ax


def _loudest(word: str, name: str, score: float, whisker: float, digits: int) -> str:
    """What the largest score says, if it says more than chance."""
    said = signed(score, digits)
    if not score:
        return f"No word speaks for or against {name}"
    if abs(score) <= 2 * whisker:
        return f"No word stands out: “{word}” {said} ±\u00a0{whisker:.2g}"
    return f"“{word}” speaks most {'for' if score > 0 else 'against'} {name}: {said}"


def _whiskers(one: Attribution, order: Any) -> tuple[Any, str]:
    """Their lengths, (k,), and what they are in words; none where nothing is known of single scores."""
    if one.spread is not None and np.isfinite(one.spread).all():
        return np.asarray(one.spread, float)[order], "\nwhiskers: ± standard deviation over seeds"
    if one.error_kind == "standard error" and math.isfinite(one.error) and one.error > 0:
        return np.full(len(order), one.error), "\nwhiskers: ± the largest standard error"
    return np.zeros(len(order)), ""


def _frame(ax: Axes, shown: Any, whiskers: Any, words: list[str]) -> None:
    """Words at the side, room for numbers at both ends."""
    low = min(0.0, float((shown - whiskers).min()))
    high = max(0.0, float((shown + whiskers).max()))
    room = 0.17 * ((high - low) or 1.0)
    ax.set_xlim(low - (room if low else 0.3 * room), high + (room if high else 0.3 * room))
    ax.set_ylim(len(words) - 0.4, -0.6)
    ax.set_yticks(range(len(words)), words)
    ax.axvline(0, color=INK, linewidth=0.9)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.locator_params(axis="x", nbins=7)


def _called(one: Attribution, order: Any) -> list[str]:
    """Words as they can be drawn; one that comes several times says which one it is."""
    words = one.words
    return [
        drawable(words[at]) + (f" ({words[: at + 1].count(words[at])})" if words.count(words[at]) > 1 else "")
        for at in order
    ]


@house
def seed_spread(
    runs: Sequence[Attribution], limits: tuple[float, float] | None = None, words: Sequence[int] | None = None,
    names: Mapping[Any, str] | None = None, ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """One text explained with several seeds: a dot for each seed, a bar of the mean ± a deviation.

    Args:
        runs: explanations of the same text by the same method, one for each of at least two seeds.
        limits: of the scores' axis, for pictures that are to be compared.
        words: numbers of the words that are drawn, in the text's order; left out, the MOST_WORDS of the largest mean
            size.
        names: class -> what to call it.

    Raises:
        BadInput: fewer than two runs, runs of different texts, no words, or scores that are not finite.
    """
    if len(runs) < 2 or len({(one.text, one.target, one.method) for one in runs}) > 1:
        raise BadInput(f"{len(runs)} runs", "pass at least two, of the same text, method and target")
    for one in runs:
        check_scores(one)
    first = runs[0]
    if not first.tokens:
        raise BadInput("the text has no words", "explain a text that has words")
    scores = np.array([one.scores for one in runs], float)  # (seeds, words)
    mean, deviation = scores.mean(0), scores.std(0, ddof=1)
    chosen = sorted(strongest_words(runs) if words is None else words)
    own, ax, places = ax is None, canvas(ax, 6.4, 1.7 + 0.3 * len(chosen)), np.arange(len(chosen))
    ax.barh(
        places, 2 * deviation[chosen], 0.62, mean[chosen] - deviation[chosen], color=look(4).colour,
        edgecolor=look(0).colour, linewidth=0.8, label="mean ± standard deviation",
    )  # fmt: skip
    heights = np.linspace(-0.2, 0.2, len(runs))  # apart, so that equal scores are seen
    for seed, row in enumerate(scores[:, chosen]):
        ax.plot(
            row, places + heights[seed], "o", color=look(0).colour, markersize=4.6, markeredgewidth=0.4,
            markeredgecolor="white", label="one seed" if not seed else "_",
        )  # fmt: skip
    ax.vlines(mean[chosen], places - 0.31, places + 0.31, color=look(1).colour, linewidth=2)
    _frame(ax, np.concatenate([scores[:, chosen].min(0), scores[:, chosen].max(0)]), 0.0, _called(first, chosen))
    if limits is not None:
        ax.set_xlim(*limits)
    legend_below(ax, own)
    most = chosen[int(deviation[chosen].argmax())]
    name = str((names or {}).get(first.target, first.target))
    title = f"Over {len(runs)} seeds “{drawable(first.tokens[most].text)}” moves most: ±\u00a0{deviation[most]:.2g}"
    if not deviation[most] > 1e-12:
        title = f"All {len(runs)} seeds give the same scores"
    label(ax, f"{title} ({first.method})", f"score ({first.output} of {name})")
    return ax


def strongest_words(runs: Sequence[Attribution], most: int = MOST_WORDS) -> list[int]:
    """Numbers of the words whose scores are largest on average over runs, whatever their sign; in the text's order."""
    size = np.abs(np.array([one.scores for one in runs], float)).mean(0)
    return sorted(np.argsort(-size, kind="stable")[:most].tolist())


def drawable(word: str) -> str:
    """A word for a picture: cut when long, signs that the font does not have told by name or code."""
    known, hidden = _letters(), _MODIFIERS if len(word) > 1 else ""
    said = "".join(sign if ord(sign) in known else f"[{_name(sign)}]" for sign in word if sign not in hidden)
    return said if len(said) <= MOST_LETTERS else said[: MOST_LETTERS - 1] + "…"


def _name(sign: str) -> str:
    code = f"U+{ord(sign):04X}"
    return unicodedata.name(sign, code).lower() if unicodedata.category(sign) == "So" else code


@cache
def _letters() -> frozenset[int]:
    """What the house's font can draw."""
    return frozenset(get_font(findfont(HOUSE["font.family"])).get_charmap())
