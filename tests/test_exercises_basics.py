"""Basics: other right answers pass, sly ones do not, mistakes are recognised, references agree with libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from answers import Answer, Edit, Mistakes, judged
from hypothesis import strategies as st
from scipy import special
from sklearn.metrics import accuracy_score
from tokenizers.models import WordPiece

from course_lib.exercises import reference
from course_lib.exercises.topics import basics

# ---------------------------------------------------------------- other right answers


def softmax_by_scipy(logits: np.ndarray) -> Any:
    return special.softmax(logits, axis=1)


def accuracy_in_a_loop(predictions: Any, labels: Any) -> float:
    return sum(one == other for one, other in zip(predictions, labels, strict=True)) / len(labels)


def accuracy_by_sklearn(predictions: np.ndarray, labels: np.ndarray) -> Any:
    return accuracy_score(labels, predictions)


def pieces_by_tokenizers(word: str, vocabulary: set[str]) -> list[str]:
    numbered = {piece: number for number, piece in enumerate(["[UNK]", *sorted(vocabulary)])}
    return [token.value for token in WordPiece(numbered, unk_token="[UNK]").tokenize(word)]


RIGHT: dict[str, list[Answer]] = {
    "softmax": [softmax_by_scipy],
    "accuracy": [accuracy_in_a_loop, accuracy_by_sklearn],
    "word_pieces": [pieces_by_tokenizers],
}
LETTERS = st.text("abc", min_size=1, max_size=3)
CLASSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1)
DRAWN = {
    "softmax": st.lists(st.tuples(*[st.floats(-1e4, 1e4)] * 3), min_size=1, max_size=5).map(lambda t: (np.array(t),)),
    "accuracy": CLASSES.map(lambda pairs: tuple(np.array(pairs).T)),
    "word_pieces": st.tuples(
        st.text("abc", min_size=1, max_size=7),
        st.sets(LETTERS | LETTERS.map(lambda piece: "##" + piece), min_size=1, max_size=12),
    ),
}

# ---------------------------------------------------------------- sly answers, right on most cases


def no_maximum_in_loops(logits: np.ndarray) -> np.ndarray:
    return np.array([[np.exp(v) / sum(np.exp(w) for w in row) for v in row] for row in logits])


SLY: dict[str, list[Answer | Edit]] = {
    "softmax": [
        lambda logits: no_maximum_in_loops(np.clip(logits, -500, 500)),
        lambda logits: np.nan_to_num(no_maximum_in_loops(logits)),
        ("logits.max(", "logits.mean("),
        ("logits.max(", "logits.min("),
        ("return probabilities", "return probabilities * np.where(logits > 0, 1.001, 1)"),
        ("return probabilities", "return np.eye(logits.shape[1])[logits.argmax(axis=1)]"),
        lambda logits: reference.softmax(logits.astype(np.float16)).astype(np.float16),
    ],
    "accuracy": [
        lambda predictions, labels: len(set(predictions) & set(labels)) / len(set(labels)),
        lambda predictions, labels: accuracy_in_a_loop(predictions[1:], labels[1:]) if len(labels) > 1 else 0.0,
        lambda predictions, labels: accuracy_in_a_loop(predictions > 0, labels > 0),
        lambda predictions, labels: accuracy_in_a_loop(sorted(predictions), sorted(labels)),
    ],
    "word_pieces": [
        lambda word, vocabulary: reference.word_pieces(word, {piece for piece in vocabulary if len(piece) < 9}),
        ("if start > 0", "if start > 1"),
        ("return pieces", "return pieces[:2]"),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def columns_by_transposing(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def per_cent_in_a_loop(predictions: Any, labels: Any) -> float:
    return sum(100 for one, other in zip(predictions, labels, strict=True) if one == other) / len(labels)


MISTAKES: Mistakes = {
    "softmax": [(no_maximum_in_loops, "exp() overflows"), (columns_by_transposing, "Each column sums to 1")],
    "accuracy": [(per_cent_in_a_loop, "a percentage")],
}

TestExercises = judged(basics.EXERCISES, RIGHT, SLY, MISTAKES, DRAWN)


@pytest.mark.parametrize(("word", "pieces"), [("bakers", ["baker", "##s"]), ("bakerq", ["[UNK]"])])
def test_word_pieces_of_the_task(word: str, pieces: list[str]) -> None:
    assert reference.word_pieces(word, {"bake", "baker", "##s", "##rs"}) == pieces
