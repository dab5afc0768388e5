"""Fine-tuning: other right answers pass, sly ones do not, mistakes are recognised, references agree with libraries."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from answers import Answer, Edit, Mistakes, judged
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import corpora
from course_lib.cleaning import normalise
from course_lib.evaluation import calibration
from course_lib.exercises import reference
from course_lib.exercises.topics import finetuning
from course_lib.training import TrainingConfig, learning_rate_at

# ---------------------------------------------------------------- other right answers


def leaks_by_regular_expression(train_texts: list[str], test_texts: list[str]) -> list[int]:
    seen = [re.findall(r"\w+", text.casefold()) for text in train_texts]
    return [p for p, text in enumerate(test_texts) if re.findall(r"\w+", text.casefold()) in seen]


def leaks_as_array(train_texts: list[str], test_texts: list[str]) -> Any:
    return np.flatnonzero(np.isin([normalise(t) for t in test_texts], [normalise(t) for t in train_texts]))


def soft_label_by_softmax(ratings: np.ndarray, sharpness: float = 2.0) -> Any:
    half = torch.from_numpy(ratings).float() * sharpness / 2
    return torch.stack([-half, half], dim=1).softmax(dim=1)


def pad_with_lists(token_id_lists: list[list[int]], pad_id: int = 0) -> list[list[list[int]]]:
    width = max(map(len, token_id_lists))
    ids = [one + [pad_id] * (width - len(one)) for one in token_id_lists]
    return [ids, [[1] * len(one) + [0] * (width - len(one)) for one in token_id_lists]]


def buckets_downwards(lengths: list[int], batch_size: int) -> list[list[int]]:
    order = list(np.argsort(lengths)[::-1])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def buckets_as_arrays(lengths: list[int], batch_size: int) -> list[np.ndarray]:
    """The smaller batch is the first one, and the longest texts come first."""
    order = np.argsort(lengths, kind="stable")
    return np.split(order, range(batch_size, len(order), batch_size))[::-1]


def rate_by_minimum(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    return peak * min((step + 1) / (warmup_steps + 1), (total_steps - step) / (total_steps - warmup_steps))


def rate_of_the_course(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    config = TrainingConfig(learning_rate=peak, warmup=warmup_steps / total_steps, schedule="linear")
    return learning_rate_at(step, total_steps, config)


def ece_by_edges(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    number = np.digitize(confidence, np.linspace(0, 1, bins + 1), right=True)
    return float(sum((number == k).mean() * abs((correct - confidence)[number == k].mean()) for k in set(number)))


RIGHT: dict[str, list[Answer]] = {
    "find_leaks": [leaks_by_regular_expression, leaks_as_array],
    "soft_label": [soft_label_by_softmax, corpora.soft_labels],
    "pad_batch": [pad_with_lists],
    "length_buckets": [buckets_downwards, buckets_as_arrays],
    "warmup_linear": [rate_by_minimum, rate_of_the_course],
    "expected_calibration_error": [ece_by_edges],
}
TEXTS = st.lists(st.sampled_from(["Good film!", "good  film", "bad-film", "bad film", "film", "FILM..."]))


def predictions(least: float) -> st.SearchStrategy[tuple[Any, ...]]:
    """Confidence from `least` on, never on the edge of a bin, whether it was right, and the number of bins."""
    rows = st.lists(st.tuples(st.integers(int(1000 * least), 998), st.booleans()), min_size=1).map(np.array)
    return st.tuples(rows, st.sampled_from([2, 4, 8, 15])).map(
        lambda drawn: ((drawn[0][:, 0] + 0.5) / 1000, drawn[0][:, 1], drawn[1])
    )


DRAWN = {
    "find_leaks": st.tuples(TEXTS, TEXTS),
    "soft_label": st.tuples(st.lists(st.floats(-4, 4), min_size=1).map(np.array), st.floats(0.1, 20)),
    "pad_batch": st.tuples(st.lists(st.lists(st.integers(0, 9)), min_size=1).filter(any), st.integers(0, 9)),
    "warmup_linear": st.integers(0, 30).flatmap(
        lambda warmup: st.tuples(st.integers(0, 40), st.just(41), st.just(warmup), st.floats(1e-5, 1))
    ),
    "expected_calibration_error": predictions(0),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "find_leaks": [
        ("c.isalnum()", "c.isalnum() and c.isascii()"),
        ("c.isalnum()", "c.isalpha()"),
        ("for text in train_texts", "for text in train_texts[:1]"),
        lambda train, test: leaks_by_regular_expression(train, [re.sub(r"\d", "", t) for t in test]),
        ("[position for", "[position + 1 for"),
    ],
    "soft_label": [
        ("sharpness: float = 2.0", "sharpness: float = 1.0"),
        ("* ratings", "* np.clip(ratings, -1, 1)"),
        ("* ratings", "* (ratings + 1e-3)"),
    ],
    "pad_batch": [
        ("enumerate(token_id_lists)", "enumerate(sorted(token_id_lists, key=len))"),
        ("return input_ids", "return input_ids.astype(np.int8)"),
        lambda lists, pad_id=0: reference.pad_batch([one[:10] for one in lists], pad_id),
        ("= ids\n", "= ids[::-1]\n"),
        lambda lists, pad_id=0: reference.pad_batch([one for one in lists if one], pad_id),
        ("return input_ids, attention_mask", "return input_ids, input_ids"),
    ],
    "length_buckets": [
        lambda lengths, size: [[index] for index in range(len(lengths))],
        lambda lengths, size: [*reference.length_buckets(lengths, size), []],
        lambda lengths, size: [[index + 1 for index in batch] for batch in reference.length_buckets(lengths, size)],
        lambda lengths, size: [[index - len(lengths) for index in b] for b in reference.length_buckets(lengths, size)],
        lambda lengths, size: [[float(index) for index in batch] for batch in reference.length_buckets(lengths, size)],
        lambda lengths, size: [a.tolist() for a in np.array_split(np.argsort(lengths), -(-len(lengths) // size))],
        ("lengths[index])", "lengths[index] // 20)"),
        lambda lengths, size: reference.length_buckets(lengths, max(1, size - 1)),
        ("len(order), batch_size)]", "len(order), batch_size)][::2]"),
    ],
    "warmup_linear": [
        lambda step, total, warmup, peak: rate_by_minimum(step + 1, total, warmup, peak),
        lambda step, total, warmup, peak: rate_by_minimum(max(0, step - 1), total, warmup, peak),
        lambda step, total, warmup, peak: rate_by_minimum(step, total + 1, warmup, peak),
        lambda step, total, warmup, peak: rate_by_minimum(step, total, max(1, warmup), peak),
        lambda step, total, warmup, peak: peak * (1 - abs(step - warmup) / total),
        lambda step, total, warmup, peak: rate_by_minimum(step, total, warmup, peak) ** 2 / peak,
    ],
    "expected_calibration_error": [
        lambda confidence, correct, bins: reference.expected_calibration_error(confidence, correct, 10),
        lambda confidence, correct, bins: reference.expected_calibration_error(confidence, correct, bins + 1),
        lambda confidence, correct, bins: reference.expected_calibration_error(confidence, correct, bins) ** 0.5,
        lambda confidence, correct, bins: reference.expected_calibration_error(confidence / 2 + 0.5, correct, bins),
        lambda confidence, correct, bins: reference.expected_calibration_error(confidence, 1 - correct, bins),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def mask_by_comparison(token_id_lists: list[list[int]], pad_id: int = 0) -> Any:
    ids, _ = pad_with_lists(token_id_lists, pad_id)
    return ids, [[int(token != pad_id) for token in row] for row in ids]


def as_they_come(lengths: list[int], batch_size: int) -> list[np.ndarray]:
    return np.split(np.arange(len(lengths)), range(batch_size, len(lengths), batch_size))


def like_transformers(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    """The schedule of transformers.get_linear_schedule_with_warmup: step 0 has rate 0."""
    if step < warmup_steps:
        return peak * step / max(1, warmup_steps)
    return peak * max(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))


def upper_bin(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    number = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(np.mean(number == k) * abs((correct - confidence)[number == k].mean()) for k in set(number))


MISTAKES: Mistakes = {
    "pad_batch": [(mask_by_comparison, "guessed from the ids")],
    "length_buckets": [(as_they_come, "in the order in which they come")],
    "warmup_linear": [(like_transformers, "Step 0 has rate 0")],
    "expected_calibration_error": [(upper_bin, "The bin below should hold it")],
}

TestExercises = judged(finetuning.EXERCISES, RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- what references promise


def padding(batches: Sequence[Sequence[int]], lengths: Sequence[int]) -> int:
    return sum(max(lengths[i] for i in batch) - lengths[j] for batch in batches for j in batch)


@given(st.lists(st.integers(1, 30), min_size=6, max_size=6))
@settings(max_examples=25)
def test_length_buckets_need_the_least_padding(lengths: list[int]) -> None:
    orders = itertools.permutations(range(6))
    least = min(padding([order[:2], order[2:4], order[4:]], lengths) for order in orders)
    assert padding(reference.length_buckets(lengths, 2), lengths) == least


def test_figures_in_the_task_of_length_buckets() -> None:
    assert padding([[1, 3], [2, 0]], [9, 2, 8, 3]) == padding(reference.length_buckets([9, 2, 8, 3], 2), [9, 2, 8, 3])
    assert padding([[1, 3], [2, 0]], [9, 2, 8, 3]) == 2
    assert padding([[0, 1], [2, 3]], [9, 2, 8, 3]) == 12


def test_references_by_hand() -> None:
    rates = [reference.warmup_linear(step, 10, 4, 1.0) for step in range(10)]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    ids, mask = reference.pad_batch([[101, 7, 102], [101, 102]])
    assert ids.tolist() == [[101, 7, 102], [101, 102, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert ids.dtype.kind == mask.dtype.kind == "i"
    ece = reference.expected_calibration_error
    assert ece(np.array([0.9, 0.9, 0.9, 0.3]), np.array([1, 1, 0, 1]), 2) == pytest.approx(0.35)
    assert ece(np.array([0.5, 0.5, 0.9]), np.array([1, 1, 0]), 2) == pytest.approx((2 * 0.5 + 0.9) / 3)
    assert ece(np.array([1.0, 1.0]), np.array([1, 1]), 10) == 0


@given(predictions(0.5))
def test_expected_calibration_error_is_that_of_the_course(drawn: tuple[np.ndarray, np.ndarray, int]) -> None:
    confidence, correct, bins = drawn
    theirs = calibration(np.stack([1 - confidence, confidence], axis=1), correct, bins=bins)
    assert reference.expected_calibration_error(confidence, correct, bins) == pytest.approx(theirs.ece, abs=1e-9)
