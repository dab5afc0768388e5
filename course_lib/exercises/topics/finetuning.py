"""Leaks and labels of the training data, batches, the learning rate's schedule, and calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import (
    array_problem,
    as_whole_numbers,
    brief,
    floats_problem,
    kind,
    numbers_of,
    pair_problem,
    plain,
    same,
    sum_problem,
)

# ---------------- texts of the test set that the model has already seen in training


def find_leaks(train_texts: list[str], test_texts: list[str]) -> list[int]:
    """Positions, in ascending order, of the test texts that have the words of a training text."""

    def words_of(text: str) -> str:
        letters = [c if c.isalnum() else " " for c in text.lower()]
        return " ".join("".join(letters).split())

    seen = {words_of(text) for text in train_texts}
    return [position for position, text in enumerate(test_texts) if words_of(text) in seen]


def _find_leaks_cases() -> list[Arguments]:
    return [
        (["A fine film."], ["A dull film.", "A fine film."]),
        (["A fine film."], ["a FINE film.", "nothing else"]),
        (["Fine"], ["  fine\n", "f ine"]),
        (["What a mess"], ["fine", "  What   a\tmess\n"]),
        (["What a mess"], ["What a mess!!!", '"What, a mess"', "what a mess"]),
        (["A well-made film", "wow...what a ride"], ["a well made film", "wow what a ride", "wowwhat a ride"]),
        (["a wellmade film"], ["a well-made film"]),
        (["good", "man bites dog"], ["not good at all", "dog bites man", "a good man", "goo", "man bites"]),
        (["not good at all"], ["good", "all", "at"]),
        (["b", "d", "a", "c"], ["x", "a", "y", "z", "d", "w"]),  # other positions here than there
        (["one", "two"], ["three", "Three!", "two", "four", "two?"]),  # twice in test is no leak
        (["rated 10 of 10"], ["rated 9 of 10", "Rated 10 of 10!", "rated of"]),
        (["bad bad film"], ["bad film", "bad bad film"]),
        (["caf\u00e9 noir"], ["Caf\u00c9 Noir.", "caf noir"]),
        (["fine, really"], ["\u201cFine\u201d \u2014 really\u2026", "fine"]),  # signs outside ASCII
        (["yes"], ["no", "maybe"]),
        ([], ["yes"]),
    ]


def _judge_find_leaks(case: Case, expected: Any, got: Any) -> str | None:
    positions = as_whole_numbers(got)
    if positions is None:
        return f"The result should be a list of positions (whole numbers), but it is {kind(got)}: {brief(got)}."
    if missed := [p for p in expected if p not in positions]:
        return f"Test text {missed[0]}, {case['test_texts'][missed[0]]!r}, is a leak that you miss."
    if wrong := [p for p in positions if p not in expected]:
        return f"You list {wrong[0]}, but there is no leak at that position of the test texts."
    return None if positions == expected else "The right positions, but not each once and in growing order."


# ---------------- a target that says how sure the raters were


def soft_label(ratings: np.ndarray, sharpness: float = 2.0) -> np.ndarray:
    """Turn mean ratings (n,) from -4 to 4 into targets (n, 2): columns negative and positive."""
    positive = 1 / (1 + np.exp(-sharpness * ratings))
    return np.stack([1 - positive, positive], axis=1)


def _soft_label_cases() -> list[Arguments]:
    third = np.log(3.0)
    random = np.random.default_rng(2)
    return [
        (np.array([0.0, third / 2]), 2.0),
        (np.array([third, -third, 0.0]), 1.0),
        (np.array([1.5]),),  # the default
        (np.array([-4.0, 4.0]), 0.5),
        (np.array([-0.2, 0.1, 0.3]), 6.0),
        (random.uniform(-4, 4, 8), 1.3),
    ]


def _judge_soft_label(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    numbers = numbers_of(got)
    if (numbers < 0).any() or (numbers > 1).any():
        return "A probability lies between 0 and 1; one of yours does not."
    if problem := sum_problem(numbers):
        return problem
    return None if same(expected, got) else "Each row adds up to 1, but the probabilities are off."


# ---------------- texts of different lengths become one rectangular batch


def pad_batch(token_id_lists: list[list[int]], pad_id: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Make input_ids and attention_mask, both (n, longest); the mask is 1 on tokens, 0 on padding."""
    longest = max(len(ids) for ids in token_id_lists)
    input_ids = np.full((len(token_id_lists), longest), pad_id)
    attention_mask = np.zeros((len(token_id_lists), longest), dtype=int)
    for row, ids in enumerate(token_id_lists):
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
    return input_ids, attention_mask


def _pad_batch_cases() -> list[Arguments]:
    return [
        ([[101, 7, 102], [101, 102]],),
        ([[5], [6, 7, 8, 9], [3, 4]], 1),
        ([[4, 1, 4], [1, 4]], 1),  # a real token with the number of the padding
        ([[0, 9], [9, 0, 0, 9]], 0),
        ([[2, 3], [4, 5]], 0),  # nothing to pad
        ([[8]], 3),
        ([[], [12, 13, 14], [11]], 2),
        ([list(range(1, 12)), [30522], list(range(90, 70, -3))], 99),
    ]


def _judge_pad_batch(case: Case, expected: Any, got: Any) -> str | None:
    names = ("input_ids", "attention_mask")
    whole = "Token ids and masks are whole numbers."
    if problem := pair_problem(names, expected, got) or floats_problem(names, got, whole):
        return problem
    wrong = [name for name, wanted, part in zip(names, expected, got, strict=True) if not same(wanted, part)]
    return f"{wrong[0]} is not right." if wrong else None


def _in_place(token_id_lists: list[list[int]], pad_id: int = 0) -> tuple[np.ndarray, np.ndarray]:
    pair = pad_batch(token_id_lists, pad_id)
    for one in token_id_lists:
        one.extend([pad_id] * (pair[0].shape[1] - len(one)))
    return pair


# ---------------- batches of texts of similar length, so that little padding is needed


def length_buckets(lengths: list[int], batch_size: int) -> list[list[int]]:
    """Split the indices 0..n-1 into batches of texts of similar length; only one batch may be smaller."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _length_buckets_cases() -> list[Arguments]:
    return [
        ([9, 2, 8, 3], 2),
        ([5, 12, 5, 11, 6, 12], 2),
        ([30, 4, 100, 7, 25], 2),  # as strings, 100 < 25 < 30 < 4 < 7
        ([3, 3, 3, 3, 3, 3, 3], 3),
        ([1, 50, 2, 51, 3, 52, 4, 53, 5], 3),
        ([7, 1, 4], 1),
        ([7, 1, 4], 8),
        ([(37 * k) % 101 + 1 for k in range(40)], 8),
        ([(29 * k) % 53 + 1 for k in range(23)], 4),
    ]


def _padding(batches: list[list[int]], lengths: list[int]) -> int:
    """Places of padding if each batch is as wide as its longest text."""
    return sum(max(lengths[i] for i in batch) * len(batch) - sum(lengths[i] for i in batch) for batch in batches)


def _most_padding(lengths: list[int], batch_size: int) -> int:
    """Padding of the worse of two good answers: sorted upwards, sorted downwards (the smaller batch is elsewhere)."""
    return max(
        _padding(length_buckets(lengths, batch_size), lengths),
        _padding(length_buckets([-length for length in lengths], batch_size), lengths),
    )


def _batches(got: Any) -> list[list[int]] | None:
    rows = plain(got)
    batches = [as_whole_numbers(row) for row in rows] if isinstance(rows, list) else [None]
    whole = [batch for batch in batches if batch is not None]
    return whole if len(whole) == len(batches) else None


def _form_problem(batches: list[list[int]], n: int, batch_size: int) -> str | None:
    """What is wrong with the batches whatever the lengths are: an index lost or doubled, a wrong size."""
    flat = sorted(index for batch in batches for index in batch)
    if strange := [index for index in flat if not 0 <= index < n]:
        return f"There is no index {strange[0]}: the indices run from 0 to {n - 1}."
    if lost := [index for index in range(n) if index not in flat]:
        return f"Index {lost[0]} is in no batch."
    if len(flat) > n:
        return f"Index {next(i for i in flat if flat.count(i) > 1)} occurs more than once."
    if any(len(batch) > batch_size for batch in batches):
        return f"A batch holds more than {batch_size} indices."
    if [] in batches:
        return "There is an empty batch."
    if sum(len(batch) < batch_size for batch in batches) > 1:
        return f"More than one batch holds fewer than {batch_size} indices."
    return None


def _judge_length_buckets(case: Case, expected: Any, got: Any) -> str | None:
    lengths, batch_size = case["lengths"], case["batch_size"]
    batches = _batches(got)
    if batches is None:
        return f"The result should be a list of lists of indices, but it is {kind(got)}."
    if problem := _form_problem(batches, len(lengths), batch_size):
        return problem
    padding, most = _padding(batches, lengths), _most_padding(lengths, batch_size)
    if padding > most:
        return f"Your batches need {padding} places of padding; {most} are enough."
    return None


# ---------------- a learning rate that rises, then falls, both in a straight line


def warmup_linear(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    """The learning rate of one step, 0 <= step < total_steps: `peak` at step `warmup_steps`, never 0."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (total_steps - step) / (total_steps - warmup_steps)


def _warmup_linear_cases() -> list[Arguments]:
    whole_run = [(step, 10, 4, 1.0) for step in (0, 3, 4, 5, 9)]
    others = [(0, 5, 0, 0.5), (4, 5, 0, 0.5), (1, 100, 10, 2e-2), (10, 100, 10, 2e-2), (55, 100, 10, 2e-2)]
    edges = [(0, 1, 0, 3.0), (0, 2, 1, 1.0), (1, 2, 1, 1.0), (6, 8, 7, 2.0), (7, 8, 7, 2.0), (999, 1000, 1, 1.0)]
    return [*whole_run, *others, *edges]


def _judge_warmup_linear(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    if float(got) == 0:
        return "The rate is 0: this step would change nothing."
    if not 0 <= float(got) <= case["peak"] * (1 + 1e-6):
        return f"The rate lies between 0 and the peak, {case['peak']:g}; yours does not."
    part = "while it rises" if case["step"] < case["warmup_steps"] else "while it falls"
    if case["step"] == case["warmup_steps"]:
        part = "at its peak"
    return f"The rate is off {part}."


# ---------------- how far the confidence of a model is from its accuracy
# Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3 (arXiv:1706.04599).


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int) -> float:
    """Mean gap between confidence and accuracy over equally wide bins (low, high], weighted by bin size."""
    error = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = abs(correct[inside].mean() - confidence[inside].mean())
            error += inside.mean() * gap
    return float(error)


def _expected_calibration_error_cases() -> list[Arguments]:
    random = np.random.default_rng(3)
    many = random.uniform(0.5, 1.0, 60)
    return [
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 1], 2),
        ([0.9, 0.9, 0.9, 0.3], [1, 1, 0, 1], 2),  # three in one bin, one in the other
        ([0.5, 0.5, 0.9], [1, 1, 0], 2),  # 0.5 belongs to the lower bin
        ([0.25, 0.3, 0.75, 0.8, 1.0], [0, 1, 0, 1, 0], 4),
        ([0.9, 0.9, 0.1, 0.1], [0, 0, 1, 1], 2),  # too sure in one bin, too modest in the other
        ([0.95], [1], 10),
        ([0.95, 0.55, 0.52], [0, 1, 1], 10),  # most bins are empty
        (many, (random.uniform(size=60) < many - 0.1).astype(int), 15),
        (many[:20], np.ones(20, dtype=int), 1),
    ]


def _judge_expected_calibration_error(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        hint = " Did you take the mean of an empty bin?" if "nan" in problem else ""
        return problem + hint
    if same(expected, got):
        return None
    if not 0 <= float(got) <= 1:
        return "The error lies between 0 and 1; yours does not."
    return "The error is off."


EXERCISES = (
    Exercise(find_leaks, _find_leaks_cases, _judge_find_leaks),
    Exercise(soft_label, _soft_label_cases, _judge_soft_label),
    Exercise(pad_batch, _pad_batch_cases, _judge_pad_batch),
    Exercise(length_buckets, _length_buckets_cases, _judge_length_buckets),
    Exercise(warmup_linear, _warmup_linear_cases, _judge_warmup_linear),
    Exercise(expected_calibration_error, _expected_calibration_error_cases, _judge_expected_calibration_error),
)
