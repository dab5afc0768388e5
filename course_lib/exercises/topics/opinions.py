"""A model of a few words, quick enough to be asked thousands of times, and texts to attack it with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Opinion:
    """A model of a few words: p(positive) is the sigmoid of their summed weights; "not" turns the next word round.

    Args:
        weights: of the words that it knows, in eighths, so that sums are exact and ties are ties.
        label: 1 where positive is the true class, else 0.
    """

    weights: tuple[tuple[str, float], ...]
    label: int = 1

    def __call__(self, words: list[str]) -> float:
        """1 - p(true class)."""
        known, total = dict(self.weights), 0.0
        for before, word in zip(["", *words], words, strict=False):
            total += known.get(word, 0.0) * (-1 if before == "not" else 1)
        return float(1 / (1 + np.exp(total if self.label else -total)))

    def __repr__(self) -> str:
        return f"<1 - p({'positive' if self.label else 'negative'})>"


_WEIGHTS = {
    **{"superb": 3.0, "great": 2.0, "good": 1.25, "fine": 1.0, "nice": 0.75, "film": 0.125, "movie": 0.25, "cast": 0.5},
    **{"plain": -0.125, "odd": -0.5, "slow": -0.75, "weak": -1.0, "bad": -1.25, "dull": -2.0, "awful": -3.0},
}


def _case(text: str, candidates: dict[int, str], threshold: float = 0.5, label: int = 1) -> Arguments:
    words = text.split()
    choices = [candidates.get(i, "").split() for i in range(len(words))]
    score = Opinion(tuple(_WEIGHTS.items()), label)
    return words, choices, score, threshold


def searches() -> list[Arguments]:
    """Each separates right searches from some that are nearly right."""
    return [
        _case("the film is good", {1: "movie story", 3: "fine odd plain"}),
        _case("a nice film with a great cast", {1: "fine plain", 2: "story", 5: "good nice", 6: "crew"}),
        _case("not bad", {0: "hardly", 1: "dull good"}),  # the exchange that helps depends on the word before
        _case("nice but great", {0: "odd slow", 2: "good fine"}, 0.3),
        _case("a dull film", {1: "plain slow", 2: "movie cast"}, label=0),
        _case("the bad cast is weak", {1: "odd plain", 2: "film superb", 4: "slow odd nice"}, label=0),
        _case("an awful film", {1: "superb", 2: "story movie"}),  # the model is wrong before: nothing to do
        _case("good film", {0: "great superb"}),  # nothing helps
        _case("fine and fine and fine", {0: "plain", 2: "but", 4: "weak odd"}, 0.6),
        _case("great good cast", {0: "fine film plain", 1: "plain", 2: "nice odd odder"}),
        _case("so great", {0: "not", 1: "good nice"}, 0.4),
        _case("good bad", {0: "bad", 1: "dull awful"}),  # in the end exactly 0.5 would not be enough
        _case("cast film bad", {0: "nice film slow", 1: "cast odd", 2: "weak plain"}, 0.8),
        _case("not dull not weak but nice", {0: "", 1: "plain bad", 2: "hardly", 3: "odd", 5: "plain odd"}),
        _case("a movie", {0: "the", 1: "story yarn"}),  # two candidates do equally well, and 0.5 is not passed
        _case("a good film", {0: "the", 1: "calm quiet"}),
        _case("not the film", {1: "fine", 2: "weak"}),  # left out, a word brings its neighbours together
        _case("not plain dull", {1: "not", 2: "film"}, label=0),
        _case("great so movie", {0: "not", 1: "fine bad", 2: "film"}),  # an exchange changes what the others weigh
        _case("superb fine great", {0: "not odd", 1: "a not", 2: "plain a"}),
        _case("slow film", {0: "not", 1: "bad"}, label=0),  # what is best depends on the exchanges before
        _case("fine so", {0: "not", 1: "weak"}),
        _case("fine superb", {0: "not", 1: "a film"}),  # a second round would find more
        _case("weak bad", {0: "not", 1: "movie odd"}, label=0),
        _case("fine or fine", {0: "bad", 2: "bad"}),  # equally important: the first one first
        _case("nice film and nice film", {0: "dull", 3: "dull"}),
        _case("an odd movie", {1: "dull", 2: "film"}),  # wrong before
        _case("good nice film", {0: "plain fine", 1: "odd slow"}, 0.2),
        _case("", {}),
    ]
