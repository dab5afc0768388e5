"""Pictures of what changes in an explanation with the seed."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import findfont, get_font

from course_lib.errors import BadInput
from course_lib.plots.scored_text import check_scores
from course_lib.plots.style import HOUSE, INK, canvas, house, label, legend_below, look

if TYPE_CHECKING:
    from course_lib.explain import Attribution

MOST_LETTERS = 22  # of a word beside its bar
MOST_WORDS = 14  # of a picture of seeds
_MODIFIERS = "\u200d\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"  # of emoji: joiner, style, skin tones


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
    _frame(ax, scores[:, chosen], _called(first, chosen))
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


def _frame(ax: Axes, scores: Any, words: list[str]) -> None:
    """Words at the side, room at both ends."""
    low, high = min(0.0, float(scores.min())), max(0.0, float(scores.max()))
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


def strongest_words(runs: Sequence[Attribution], most: int = MOST_WORDS) -> list[int]:
    """Numbers of the words whose scores are largest on average over runs, whatever their sign; in the text's order."""
    size = np.abs(np.array([one.scores for one in runs], float)).mean(0)
    return sorted(np.argsort(-size, kind="stable")[:most].tolist())


def drawable(word: str) -> str:
    """A word for a picture: cut when long, signs that the font does not have told by name or code."""
    known, hidden = _letters(), _MODIFIERS if len(word) > 1 else ""
    text = "".join(sign if ord(sign) in known else f"[{_name(sign)}]" for sign in word if sign not in hidden)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"


def _name(sign: str) -> str:
    code = f"U+{ord(sign):04X}"
    return unicodedata.name(sign, code).lower() if unicodedata.category(sign) == "So" else code


@cache
def _letters() -> frozenset[int]:
    """What the house's font can draw."""
    return frozenset(get_font(findfont(HOUSE["font.family"])).get_charmap())
