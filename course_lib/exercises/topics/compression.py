"""Quantization, pruning, low rank and distillation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import array_problem, as_numbers, kind, numbers_of, plain, same

# ---------------- real numbers become small integers, and come back nearly the same
# Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
# equation 1 (arXiv:1712.05877), with a zero point of 0. The library's version: `course_lib.compression.QuantParams`.


def quantize_dequantize(
    values: np.ndarray,
    scale: float | np.ndarray,
    bits: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The int8 integers of values on a symmetric grid of so many bits, and the numbers they stand for."""
    high = 2 ** (bits - 1) - 1
    steps = np.round(values / scale)  # from halfway to the even integer
    integers = np.clip(steps, -high, high).astype(np.int8)
    return integers, integers * scale


def _quantize_dequantize_cases() -> list[Arguments]:
    random = np.random.default_rng(1)
    return [
        ([0.3, -1.0, 0.7], 0.5, 8),
        ([0.25, 0.75, 1.25, -0.25, -0.75, -1.75], 0.5, 8),  # halfway between two integers
        ([100.0, -100.0, 63.5, 64.0, -64.0, -63.4], 0.5, 8),  # 200 has no room in an int8
        ([[-8.0, -7.4, 7.4], [20.0, 3.0, -0.5]], 1.0, 4),
        ([-3.0, -1.0, 0.4, 0.6, 1.5, -0.5], 1.0, 2),
        ([[1.3, -0.8, 0.4], [1.3, -0.8, 9.0]], np.array([[0.5], [2.0]]), 8),  # each row has a scale
        (random.normal(size=(3, 4)), 0.03, 8),
        (random.normal(size=(4, 5)), 0.2, 4),
        (random.normal(size=(2, 2, 3)), 0.125, 5),
        ([[0.0]], 0.1, 8),
    ]


def _at(wrong: Any) -> str:
    """The first place where an array of truth values is True, as one would write it."""
    place = [int(i) for i in np.argwhere(wrong)[0]]
    return f"Position {place[0] if len(place) == 1 else tuple(place)}"


def _number(numbers: Any, wrong: Any) -> float:
    """The number in that place."""
    return float(np.asarray(numbers)[wrong][0])


def _judge_quantize_dequantize(case: Case, expected: Any, got: Any) -> str | None:
    if not isinstance(got, tuple | list) or len(got) != 2:
        return f"The result should be a pair, the integers and the values back, but it is {kind(got)}."
    for name, wanted, part in zip(("The integers", "The values back"), expected, got, strict=True):
        if problem := array_problem(wanted, part):
            return f"{name}: {problem}"
    steps, back = map(numbers_of, got)
    high = 2 ** (case["bits"] - 1) - 1
    if np.abs(steps).max() > high:
        reach = f"{steps.min():g} to {steps.max():g}"
        return f"With {case['bits']} bits the integers go from {-high} to {high}; yours go from {reach}."
    if (off := steps != expected[0]).any():
        found = f"{_number(steps, off):g}; it should hold {_number(expected[0], off):g}"
        return f"{_at(off)} holds the integer {found}."
    if str(getattr(got[0], "dtype", "")).split(".")[-1] != "int8":
        return f"The integers are right, but they come as {getattr(got[0], 'dtype', kind(got[0]))}."
    if not same(expected[1], back):
        off = ~np.isclose(back, expected[1], rtol=1e-5, atol=1e-6)
        found = f"{_number(back, off):.6g}; it should be {_number(expected[1], off):.6g}"
        return f"The integers are right. {_at(off)} of the values back is {found}."
    return None


# ---------------- how wide the steps of the grid are, for each output channel of a weight
# Krishnamoorthi 2018, Quantizing deep convolutional networks for efficient inference (arXiv:1806.08342), compares
# one scale a matrix with one a channel. The library's version: `course_lib.compression.fit_qparams` with
# `axis=0`; it gives zeros the scale 1, as ONNX Runtime does.


def choose_scale(weight: np.ndarray, bits: int) -> np.ndarray:
    """One symmetric scale for each row of weight (out, in), as (out, 1); a row of zeros gets 1."""
    largest = np.abs(weight).max(axis=1, keepdims=True)
    high = 2 ** (bits - 1) - 1
    scale: np.ndarray = np.where(largest > 0, largest / high, 1.0)
    return scale


def _choose_scale_cases() -> list[Arguments]:
    random = np.random.default_rng(2)
    small = random.normal(size=(3, 4)) * np.array([[1.0], [1e-5], [40.0]])  # rows of very different size
    return [
        ([[1.27, -0.5], [0.2, -2.54]], 8),
        ([[0.0, 0.0], [-14.0, 3.5]], 4),  # a row of zeros
        ([[-3.0, -1.0, -2.0], [0.5, 0.25, 1.0]], 2),
        (random.normal(size=(3, 3)), 8),  # square: the shape does not tell rows from columns
        (random.normal(size=(2, 5)), 8),
        (random.normal(size=(5, 2)), 4),
        (small, 8),
        (np.zeros((2, 3)), 8),
        ([[0.0, -0.7, 0.0, 0.1]], 3),
        ([[0.1, 0.2, -0.1, 0.3, -0.6]], 6),  # the largest stands last
    ]


def _judge_choose_scale(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" What becomes of a row of zeros?" if "nan" in problem else "")
    scales = numbers_of(got)
    if (scales <= 0).any():
        row = int(np.argwhere(scales <= 0)[0][0])
        return f"The scale of row {row} is {scales[row, 0]:g}. The values are divided by it, so it has to be above 0."
    for row, (wanted, found) in enumerate(zip(expected[:, 0], scales[:, 0], strict=True)):
        if not np.isclose(found, wanted, rtol=1e-5, atol=0):
            largest = np.abs(case["weight"][row]).max()
            return f"Row {row} reaches to {largest:.6g}, so its scale is {wanted:.6g}. Yours is {found:.6g}."
    return None


# ---------------- which weights stay when the smallest go
# Han et al. 2015, Learning both Weights and Connections for Efficient Neural Networks, section 3 (arXiv:1506.02626).
# The library's version: `course_lib.compression.magnitude_mask`.


def magnitude_mask(weight: np.ndarray, sparsity: float) -> np.ndarray:
    """True where a weight stays. The round(sparsity * n) nearest to zero go; of equal ones the first stay."""
    sizes = np.abs(weight).ravel()
    kept = sizes.size - round(sparsity * sizes.size)
    order = np.argsort(-sizes, kind="stable")  # the largest first; equal ones in their order
    mask = np.zeros(sizes.size, dtype=bool)
    mask[order[:kept]] = True
    return mask.reshape(weight.shape)


def _magnitude_mask_cases() -> list[Arguments]:
    random = np.random.default_rng(3)
    return [
        ([[0.5, -2.0], [1.0, -0.1]], 0.5),
        ([[0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0]], 0.5),  # the whole first row goes
        ([1.0, -1.0, 1.0, 1.0], 0.5),  # all are equal
        ([[3.0, 1.0, -1.0], [1.0, -4.0, 1.0]], 0.5),  # of four equal ones, one stays
        ([[0.0, -1.0], [2.0, 0.0]], 0.0),  # nothing goes
        (np.arange(-4.0, 8.0).reshape(3, 4), 1.0),  # everything goes
        (np.zeros((2, 2)), 0.25),
        (random.normal(size=5), 0.5),  # 2.5 is rounded to 2
        (random.normal(size=(7, 1)), 0.3),  # 2.1
        (random.normal(size=(10, 10)), 0.29),  # 0.29 * 100 is 28.999999999999996
        (random.normal(size=(3, 7)), 0.9),
        (random.normal(size=(2, 2, 3)), 0.4),
        (random.integers(-2, 3, size=(4, 5)).astype(float), 0.6),  # many ties
    ]


def _flat(items: Any) -> Iterator[Any]:
    """What stands in nested lists."""
    for item in items if isinstance(items, list) else [items]:
        yield from _flat(item) if isinstance(item, list) else [item]


def _judge_magnitude_mask(case: Case, expected: Any, got: Any) -> str | None:
    numbers = as_numbers(got)
    if numbers is None or numbers.shape != expected.shape:
        found = kind(got) if numbers is None or numbers.ndim == 0 else f"of shape {numbers.shape}"
        return f"The result should be True or False for each weight, in the shape {expected.shape}, but it is {found}."
    if not all(isinstance(item, bool) for item in _flat(plain(got))):
        return "The result should hold True and False, but it holds numbers."
    mask, sizes = numbers.ravel() == 1, np.abs(case["weight"]).ravel()
    gone, wanted = int((~mask).sum()), int((~expected).sum())
    if gone != wanted:
        return f"Of {mask.size} weights round({case['sparsity']:g} * {mask.size}) = {wanted} should go; {gone} do."
    if (mask == expected.ravel()).all():
        return None
    stays, goes = sizes[mask].min(), sizes[~mask].max()
    if stays < goes:
        return f"As many go as should, but a weight of the size {stays:.6g} stays and one of the size {goes:.6g} goes."
    return f"As many go as should, but of the weights of the size {stays:.6g} the first should stay."


def _rows(weight: np.ndarray, sparsity: float) -> Any:
    rows = weight.reshape(-1, weight.shape[-1])
    return np.stack([magnitude_mask(row, sparsity) for row in rows]).reshape(weight.shape)


# ---------------- how thin the two factors of a matrix have to be
# The library's version: `course_lib.compression.rank_within`, which takes the shape and the number of weights
# allowed, and refuses (BadInput) where not even rank 1 fits; here rank 1 is taken then, and its count tells.


def rank_for_budget(out: int, inputs: int, share: float) -> tuple[int, int]:
    """The largest rank whose factors hold at most share * out * inputs weights, and how many they hold."""
    rank = share * out * inputs / (out + inputs)
    rank = int(rank + 1e-9)  # 56.99999999999999 means 57
    rank = max(1, min(rank, out, inputs))
    return rank, rank * (out + inputs)


def _rank_for_budget_cases() -> list[Arguments]:
    return [
        (4, 12, 0.5),  # 1.5: cut down
        (8, 8, 0.5),
        (12, 4, 0.7),  # 2.1
        (100, 300, 0.25),  # 18.75
        (384, 1536, 0.5),  # the feed-forward matrices of the course's encoder
        (1536, 384, 0.1),
        (384, 384, 1.0),  # all of the weights: half of the full rank
        (200, 200, 0.57),  # 57 exactly, but 0.57 * 200 * 200 / 400 is 56.99999999999999
        (6, 6, 0.1),  # not even rank 1 fits
        (1, 5, 0.9),
        (8, 8, 3.0),  # more room than the full rank needs
        (10, 4, 2.5),
    ]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _judge_rank_for_budget(case: Case, expected: Any, got: Any) -> str | None:
    pair = plain(got)
    if not isinstance(pair, list) or len(pair) != 2:
        return f"The result should be a pair, the rank and the number of weights, but it is {kind(got)}."
    for name, part in zip(("rank", "number of weights"), pair, strict=True):
        if not _is_whole(part):
            return f"The {name} should be a whole number, but it is {kind(part)}."
    rank, count = pair
    out, inputs, share = case["out"], case["inputs"], case["share"]
    if not 1 <= rank <= min(out, inputs):
        return f"A matrix of {out} by {inputs} has a rank from 1 to {min(out, inputs)}; yours is {rank}."
    if rank != expected[0]:
        held, fits = rank * (out + inputs), "that is more than" if rank > expected[0] else "a larger rank fits in"
        return f"With rank {rank} the factors hold {held} weights; {fits} {share:g} * {out * inputs}."
    return None if count == expected[1] else f"Rank {rank} is right, but its factors do not hold {count} weights."


# ---------------- how far a student's answers are from its teacher's
# Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2 (arXiv:1503.02531). The
# library's version: `course_lib.compression.distillation_loss`, in torch. Whether a gradient reaches the
# teacher cannot be seen in numbers alone, so the task says it.


def distillation_loss(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
    """T^2 times the cross-entropy of the softened student with the softened teacher; (batch, classes)."""
    mine = student / temperature
    mine = mine - mine.max(axis=1, keepdims=True)  # exp() cannot overflow
    theirs = teacher / temperature
    theirs = theirs - theirs.max(axis=1, keepdims=True)
    log_q = mine - np.log(np.exp(mine).sum(axis=1, keepdims=True))
    p = np.exp(theirs) / np.exp(theirs).sum(axis=1, keepdims=True)
    losses = -(p * log_q).sum(axis=1)  # (batch,)
    return float(temperature**2 * losses.mean())


def _distillation_loss_cases() -> list[Arguments]:
    random = np.random.default_rng(4)
    third = float(np.log(3.0))

    def drawn(batch: int, classes: int, *temperature: float) -> Arguments:
        return (*random.normal(scale=2, size=(2, batch, classes)), *temperature)

    return [
        ([[0.0, third]], [[third, 0.0]], 1.0),  # p = [3/4, 1/4], q = [1/4, 3/4]
        ([[0.0, 2 * third], [0.0, 0.0]], [[2 * third, 0.0], [0.0, 2 * third]], 2.0),
        drawn(3, 2),  # the default
        drawn(3, 3, 3.0),  # square: the shape does not tell the axes apart
        drawn(4, 5, 0.5),
        drawn(2, 4, 8.0),
        ([[1000.0, 1001.0], [-1000.0, -1003.0]], [[1002.0, 1001.0], [5.0, 4.0]], 1.0),  # exp(1000) overflows
        ([[1.0, 2.0], [0.5, 0.0]], [[1000.0, 1001.0], [9.0, 7.0]], 1.0),  # of the teacher alone
        ([[0.0, 3000.0], [2000.0, -500.0]], [[1.0, 0.0], [0.0, 1500.0]], 2.0),  # a probability of nearly 0
    ]


def _judge_distillation_loss(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem + (" Did exp() overflow, or did log() meet a 0?" if "nan" in problem else "")
    number = numbers_of(got)
    if same(expected, got):
        return None
    if float(number) < 0:
        return f"A cross-entropy is a mean of -ln q, and no q is above 1. Yours is {float(number):.6g}, below 0."
    least = distillation_loss(case["teacher"], case["teacher"], case.get("temperature", 1.0))
    if float(number) < least * (1 - 1e-6):
        return f"No student can have less than {least:.6g} here, the loss of the teacher itself. Something is missing."
    return f"The loss is {float(number) / expected:.6g} times what it should be."


EXERCISES = (
    Exercise(quantize_dequantize, _quantize_dequantize_cases, _judge_quantize_dequantize),
    Exercise(choose_scale, _choose_scale_cases, _judge_choose_scale),
    Exercise(magnitude_mask, _magnitude_mask_cases, _judge_magnitude_mask),
    Exercise(rank_for_budget, _rank_for_budget_cases, _judge_rank_for_budget),
    Exercise(distillation_loss, _distillation_loss_cases, _judge_distillation_loss),
)
