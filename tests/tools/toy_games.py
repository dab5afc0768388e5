"""Toy classifiers whose explanations are known by hand, shared by the tests of `course_lib.explain`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from course_lib.explain.masked_model import WORD


class Toy:
    """Two classes; the probability of `yes` is a function of the words that a text holds."""

    def __init__(self, value: Callable[[list[str]], float]) -> None:
        self.value, self.classes_ = value, np.array(["no", "yes"])
        self.asked: list[list[str]] = []

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        self.asked.append(list(texts))
        share = np.array([self.value(WORD.findall(text)) for text in texts])
        return np.column_stack([1 - share, share])


WEIGHTS = {"good": 0.3, "bad": -0.2, "film": 0.05, "very": 0.1}


def additive(weights: Mapping[str, float] = WEIGHTS, base: float = 0.4) -> Toy:
    """Each word adds its weight, every time it comes."""
    return Toy(lambda words: base + sum(weights.get(word, 0.0) for word in words))


def tangled() -> Toy:
    """Not additive at all, and sensitive to the order: words of different weights through a wave."""

    def value(words: list[str]) -> float:
        total = sum((len(word) * 37 % 11 - 5) * (1 + 0.1 * at) for at, word in enumerate(words))
        return 0.5 + 0.4 * float(np.sin(0.3 * total) * np.cos(0.2 * len(words)))

    return Toy(value)


class Three:
    """Three classes by the first letters of the words."""

    classes_ = np.array(["a", "b", "c"])

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        counts = np.array([[sum(word[0] == name for word in WORD.findall(text)) for name in "abc"] for text in texts])
        rows = np.exp(counts.astype(float))
        return rows / rows.sum(1, keepdims=True)


class Spotter:
    """A classifier of the third kind: positive for a text with the word "good" in it. It counts its calls."""

    classes_ = np.array([0, 1])

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        self.calls.append(list(texts))
        positive = np.array([0.9 if "good" in text.split() else 0.25 for text in texts])
        return np.stack([1 - positive, positive], axis=1).astype(np.float32)
