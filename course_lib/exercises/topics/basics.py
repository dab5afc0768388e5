"""Probabilities from scores, accuracy, and how BERT splits words."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import array_problem, kind, numbers_of, plain, same, sum_problem

# ---------------- softmax of a batch of logits, safe for large ones


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turn logits (n, classes) into probabilities (n, classes): each row sums to 1."""
    shifted = logits - logits.max(axis=1, keepdims=True)  # the largest of each row is now 0
    powers = np.exp(shifted)
    probabilities: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _softmax_cases() -> list[Arguments]:
    random = np.random.default_rng(0)
    tables = [
        np.array([[0.0, np.log(3.0)], [2.0, 2.0]]),
        np.array([[-1.0, 0.5, 2.0], [3.0, -2.0, 0.0], [0.0, 0.0, 1.0]]),  # square: the axis cannot be guessed
        np.array([[1.0], [-5.0]]),
        np.array([[3, 1, 2, 0]]),  # whole numbers
        np.array([[1000.0, 1001.0], [1000.0, 1000.0]]),
        np.array([[-1000.0, -1001.0]]),
        np.array([[1000.0, 0.0, -1000.0]]),  # only the largest logit is safe to subtract
        np.array([[1000.0, 999.0], [-1000.0, -999.0]]),  # one maximum for all rows is not enough
        random.normal(scale=3.0, size=(5, 4)),
    ]
    return [(table,) for table in tables]


def _judge_softmax(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        overflow = " Did exp() overflow?" if "nan" in problem else ""
        return problem + overflow
    numbers = numbers_of(got)
    if (numbers < 0).any():
        return "There is a probability below 0."
    if problem := sum_problem(numbers):
        return problem
    return None if same(expected, got) else "Each row adds up to 1, but the probabilities are off."


# ---------------- the fraction of predictions that are right


def accuracy(predictions: np.ndarray, labels: np.ndarray) -> float:
    """The fraction of positions, between 0 and 1, at which prediction and label are the same class."""
    return float(np.mean(predictions == labels))


def _accuracy_cases() -> list[Arguments]:
    random = np.random.default_rng(1)
    return [
        ([1, 0, 1, 1], [1, 0, 0, 1]),
        ([0, 0, 0], [1, 0, 0]),  # the hits are all of class 0
        ([1, 1, 1, 0, 0], [1, 1, 0, 1, 1]),
        ([2, 0, 1, 2, 2, 0], [2, 2, 1, 0, 1, 0]),  # three classes: 2 for 0 is one mistake, not two
        ([1], [0]),
        ([0, 1], [0, 1]),
        (random.integers(0, 3, 70), random.integers(0, 3, 70)),
    ]


def _judge_accuracy(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if not 0 <= float(got) <= 1:
        return "A fraction lies between 0 and 1; yours does not."
    return None if same(expected, got) else "The fraction is off."


# ---------------- WordPiece: how BERT splits a word into pieces of its vocabulary
# Greedy longest match first, as in the code published with BERT (Devlin et al. 2019). The idea of word pieces is due to
# Schuster & Nakajima 2012.


def word_pieces(word: str, vocabulary: set[str]) -> list[str]:
    """Split a word into pieces of the vocabulary, longest first; ["[UNK]"] where this is impossible."""
    pieces: list[str] = []
    start = 0
    while start < len(word):
        mark = "##" if start > 0 else ""  # a piece that continues a word has the prefix ##
        ends = [e for e in range(start + 1, len(word) + 1) if mark + word[start:e] in vocabulary]
        if not ends:
            return ["[UNK]"]
        pieces.append(mark + word[start : max(ends)])
        start = max(ends)
    return pieces


def _word_pieces_cases() -> list[Arguments]:
    bakery = {"bake", "baker", "##s", "##rs", "##r", "##ry", "##y", "b"}
    return [
        ("bakers", bakery),
        ("bake", bakery),
        ("unreal", {"un", "real", "##re", "##al", "##r"}),
        ("outdoor", {"out", "door"}),  # no piece that goes on a word
        ("bakerq", bakery),
        ("qbake", {*bakery, "##bake"}),
        ("abc", {"ab", "a", "##bc", "##b"}),  # a way exists, but not longest first
        ("papapa", {"pa", "##pa", "##p", "##a"}),
        ("aaaaa", {"a", "aa", "##a", "##aa"}),
        ("cabin", {"c", "##a", "##b", "##in", "##abi", "##n", "ca", "##bin", "##cabin"}),
        ("ionization", {"i", "##onization", "onization"}),  # one letter, then the rest
        ("x", {"##x", "y"}),
        ("forever", {"fo", "for", "##e", "##ever", "##eve", "##r", "##rever"}),
    ]


def _piece_problem(pieces: list[str], word: str, vocabulary: set[str]) -> str:
    """What is wrong with a split that is not the expected one."""
    for piece in pieces:
        if piece not in vocabulary and piece != "[UNK]":
            return f"The piece {piece!r} is not in the vocabulary."
    joined = "".join(piece.removeprefix("##") for piece in pieces)
    if joined != word and "[UNK]" not in pieces:
        return f"Your pieces put together give {joined!r}, not {word!r}."
    return "You did not split the word by the longest piece first."


def _judge_word_pieces(case: Case, expected: Any, got: Any) -> str | None:
    pieces = plain(got)
    if not isinstance(pieces, list):
        return f"The result should be a list of pieces, but it is {kind(got)}."
    if not all(isinstance(piece, str) for piece in pieces):
        return "The result should hold strings only."
    if pieces == expected:
        return None
    if expected == ["[UNK]"]:
        return 'This word cannot be cut, longest piece first, so the whole of it is ["[UNK]"].'
    return _piece_problem(pieces, case["word"], case["vocabulary"])


def _keeps_pieces(word: str, vocabulary: set[str]) -> list[str]:
    for end in range(len(word), 0, -1):
        pieces = word_pieces(word[:end], vocabulary)
        if pieces != ["[UNK]"]:
            return pieces if end == len(word) else [*pieces, "[UNK]"]
    return ["[UNK]"]


def _gives_up_silently(word: str, vocabulary: set[str]) -> list[str]:
    return [piece for piece in _keeps_pieces(word, vocabulary) if piece != "[UNK]"]


def _goes_back(word: str, vocabulary: set[str]) -> list[str]:
    def ways(start: int) -> list[str] | None:
        mark = "##" if start > 0 else ""
        for end in range(len(word), start, -1):
            rest = ways(end) if mark + word[start:end] in vocabulary else None
            if rest is not None:
                return [mark + word[start:end], *rest]
        return [] if start == len(word) else None

    return ways(0) or ["[UNK]"]


def _from_the_end(word: str, vocabulary: set[str]) -> list[str]:
    pieces: list[str] = []
    end = len(word)
    while end > 0:
        starts = [s for s in range(end) if ("##" if s else "") + word[s:end] in vocabulary]
        if not starts:
            return ["[UNK]"]
        pieces.insert(0, ("##" if min(starts) else "") + word[min(starts) : end])
        end = min(starts)
    return pieces


EXERCISES = (
    Exercise(softmax, _softmax_cases, _judge_softmax),
    Exercise(accuracy, _accuracy_cases, _judge_accuracy),
    Exercise(word_pieces, _word_pieces_cases, _judge_word_pieces),
)
