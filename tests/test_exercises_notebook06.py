"""Exercises of notebook 06: other right answers pass, sly ones do not, references agree with torch and the library."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from answers import judging
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.compression import pruning
from course_lib.compression.distillation import distillation_loss
from course_lib.compression.low_rank import rank_within
from course_lib.compression.quantization import QuantParams, fit_qparams
from course_lib.exercises import check, reference
from course_lib.exercises.topics import compression

# ---------------------------------------------------------------- alternative right answers


def quantized_in_loops(values: np.ndarray, scale: Any, bits: int) -> tuple[np.ndarray, list[float]]:
    high = 2 ** (bits - 1) - 1
    scales = np.broadcast_to(scale, values.shape)
    integers = np.zeros(values.shape, dtype=np.int8)
    for place in np.ndindex(values.shape):
        integers[place] = max(-high, min(high, round(float(values[place] / scales[place]))))
    return integers, (integers.astype(float) * scales).tolist()


def quantized_by_torch(values: np.ndarray, scale: Any, bits: int) -> list[torch.Tensor]:
    high, step = 2 ** (bits - 1) - 1, torch.as_tensor(scale)
    integers = (torch.from_numpy(values) / step).round().clamp(-high, high).to(torch.int8)
    return [integers, integers.double() * step]


def scale_in_a_loop(weight: np.ndarray, bits: int) -> list[list[float]]:
    largest = [max(abs(float(w)) for w in row) for row in weight]
    return [[one / (2 ** (bits - 1) - 1) if one else 1.0] for one in largest]


def scale_by_both_ends(weight: np.ndarray, bits: int) -> Any:
    rows = torch.from_numpy(weight)
    scale = torch.maximum(rows.amax(1), -rows.amin(1))[:, None] / (2 ** (bits - 1) - 1)
    return torch.where(scale == 0, torch.ones_like(scale), scale).float()


def mask_by_sorting_pairs(weight: np.ndarray, sparsity: float) -> Any:
    sizes = [abs(float(w)) for w in weight.ravel()]
    order = sorted(range(len(sizes)), key=lambda i: (sizes[i], -i))
    gone = set(order[: round(sparsity * len(sizes))])
    return np.array([i not in gone for i in range(len(sizes))]).reshape(weight.shape).tolist()


def mask_by_torch(weight: np.ndarray, sparsity: float) -> torch.Tensor:
    sizes = torch.from_numpy(weight).abs().flatten()
    mask = torch.ones(len(sizes), dtype=torch.bool)
    worst_first = sizes.flip(0).argsort(stable=True)[: round(sparsity * len(sizes))]
    mask[len(sizes) - 1 - worst_first] = False
    return mask.view(weight.shape)


def loss_by_torch(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> torch.Tensor:
    soft = (torch.from_numpy(teacher) / temperature).softmax(-1)
    return temperature**2 * torch.nn.functional.cross_entropy(torch.from_numpy(student) / temperature, soft)


def loss_in_loops(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
    total = 0.0
    for mine, theirs in zip(student / temperature, teacher / temperature, strict=True):
        log_sum = max(mine) + math.log(sum(math.exp(z - max(mine)) for z in mine))
        powers = [math.exp(z - max(theirs)) for z in theirs]
        total += sum(power / sum(powers) * (log_sum - z) for power, z in zip(powers, mine, strict=True))
    return temperature**2 * total / len(student)


def rank_by_trying(out: int, inputs: int, share: float) -> list[int]:
    fits = [r for r in range(1, min(out, inputs) + 1) if r * (out + inputs) <= share * out * inputs + 1e-6]
    rank = max(fits, default=1)
    return [rank, rank * out + inputs * rank]


def rank_by_floor(out: int, inputs: int, share: float) -> Any:
    rank = np.clip(np.floor(share / (1 / out + 1 / inputs) + 1e-9), 1, min(out, inputs)).astype(int)
    return np.array([rank, rank * (out + inputs)])


RIGHT: dict[str, list[Callable[..., Any]]] = {
    "quantize_dequantize": [quantized_in_loops, quantized_by_torch],
    "choose_scale": [scale_in_a_loop, scale_by_both_ends],
    "magnitude_mask": [mask_by_sorting_pairs, mask_by_torch],
    "rank_for_budget": [rank_by_trying, rank_by_floor],
    "distillation_loss": [loss_by_torch, loss_in_loops],
}

# ---------------------------------------------------------------- sly answers, right on most cases


def with_integers_as(dtype: Any) -> Callable[..., Any]:
    def answer(values: np.ndarray, scale: Any, bits: int) -> Any:
        integers, back = quantized_in_loops(values, scale, bits)
        return integers.astype(dtype), back

    return answer


def first_scale_only(values: np.ndarray, scale: Any, bits: int) -> Any:
    return quantized_in_loops(values, float(np.ravel(scale)[0]), bits)


SLY: dict[str, list[Callable[..., Any]]] = {
    "quantize_dequantize": [
        with_integers_as(np.int32),
        with_integers_as(np.float32),
        first_scale_only,
        lambda values, scale, bits: quantized_in_loops(values, scale, min(bits, 7)),
        lambda values, scale, bits: quantized_in_loops(values, scale, max(bits, 4)),
        lambda values, scale, bits: (*quantized_in_loops(values, scale, bits), scale),
        lambda values, scale, bits: (quantized_in_loops(values, scale, bits)[0].tolist(), np.zeros(values.shape)),
        lambda values, scale, bits: [part[:1] for part in quantized_in_loops(values, scale, bits)],
        lambda values, scale, bits: quantized_in_loops(values + 1e-9, scale, bits),
        lambda values, scale, bits: quantized_in_loops(values - 1e-9, scale, bits),
    ],
    "choose_scale": [
        lambda weight, bits: reference.choose_scale(weight, bits).round(3),
        lambda weight, bits: np.maximum(reference.choose_scale(weight, bits), 1e-6),
        lambda weight, bits: reference.choose_scale(weight, min(bits, 7)),
        lambda weight, bits: reference.choose_scale(weight, max(bits, 3)),
        lambda weight, bits: reference.choose_scale(weight[:, :4], bits),
        lambda weight, bits: reference.choose_scale(weight, bits).T,
        lambda weight, bits: -reference.choose_scale(weight, bits),
        lambda weight, bits: reference.choose_scale(np.where(weight.any(1, keepdims=True), weight, 2.0), bits),
    ],
    "magnitude_mask": [
        lambda weight, sparsity: reference.magnitude_mask(weight, min(sparsity, 0.9)),
        lambda weight, sparsity: reference.magnitude_mask(weight.round(1), sparsity),
        lambda weight, sparsity: reference.magnitude_mask(np.abs(weight) + 1e-9 * weight, sparsity),
        lambda weight, sparsity: reference.magnitude_mask(weight.T, sparsity).T,
        lambda weight, sparsity: reference.magnitude_mask(weight, sparsity).astype(float),
        lambda weight, sparsity: reference.magnitude_mask(weight, sparsity)[None],
        lambda weight, sparsity: reference.magnitude_mask(weight, sparsity) & (weight != 0),
        lambda weight, sparsity: reference.magnitude_mask(weight, sparsity).astype(str),
    ],
    "rank_for_budget": [
        lambda out, inputs, share: rank_by_trying(out, inputs, min(share, 1.0)),
        lambda out, inputs, share: rank_by_trying(out, inputs, max(share, 0.25)),
        lambda out, inputs, share: rank_by_trying(min(out, inputs), max(out, inputs), share)[:1],
        lambda out, inputs, share: (*rank_by_trying(out, inputs, share), share),
        lambda out, inputs, share: (rank_by_trying(out, inputs, share)[0], rank_by_trying(out, inputs, share)[0]),
        lambda out, inputs, share: tuple(str(n) for n in rank_by_trying(out, inputs, share)),
        lambda out, inputs, share: rank_by_floor(out, inputs, share).astype(float),
        lambda out, inputs, share: rank_by_trying(out, inputs, round(share, 1)),
    ],
    "distillation_loss": [
        lambda student, teacher, temperature=2.0: loss_in_loops(student, teacher, temperature),
        lambda student, teacher, temperature=1.0: round(loss_in_loops(student, teacher, temperature), 3),
        lambda student, teacher, temperature=1.0: loss_in_loops(student[:2], teacher[:2], temperature),
        lambda student, teacher, temperature=1.0: loss_in_loops(student[:, :2], teacher[:, :2], temperature),
        lambda student, teacher, temperature=1.0: loss_in_loops(student, teacher, max(temperature, 1.0)),
        lambda student, teacher, temperature=1.0: loss_in_loops(np.clip(student, -700, 700), teacher, temperature),
        lambda student, teacher, temperature=1.0: [loss_in_loops(student, teacher, temperature)],
        lambda student, teacher, temperature=1.0: str(loss_in_loops(student, teacher, temperature)),
    ],
}


# ---------------------------------------------------------------- mistakes in other words than the stored ones


def rounded_half_up(values: np.ndarray, scale: Any, bits: int) -> Any:
    high = 2 ** (bits - 1) - 1
    integers = np.minimum(np.maximum(np.floor(values / scale + 0.5), -high), high).astype("int8")
    return integers, scale * integers


def never_an_int8(values: np.ndarray, scale: Any, bits: int) -> Any:
    integers = [np.clip(np.round(values / scale), 1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)]
    return integers[0], integers[0] * scale


def one_scale_for_all(weight: np.ndarray, bits: int) -> Any:
    top = max(weight.max(), -weight.min())
    return np.ones((weight.shape[0], 1)) * (top / (2 ** (bits - 1) - 1) if top else 1.0)


def scale_plus_a_little(weight: np.ndarray, bits: int) -> Any:
    return torch.from_numpy(weight).abs().amax(1, keepdim=True).clamp(min=1e-9) / (2 ** (bits - 1) - 1)


def kept_above_a_threshold(weight: np.ndarray, sparsity: float) -> Any:
    gone = round(sparsity * weight.size)
    return abs(weight) > (sorted(abs(weight).ravel())[gone - 1] if gone else -1)


def row_after_row(weight: np.ndarray, sparsity: float) -> Any:
    if weight.ndim == 1:
        return reference.magnitude_mask(weight, sparsity)
    return np.array([row_after_row(row, sparsity) for row in weight])


def divergence_by_torch(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> Any:
    mine, theirs = (torch.from_numpy(one) / temperature for one in (student, teacher))
    kl = torch.nn.functional.kl_div(mine.log_softmax(-1), theirs.softmax(-1), reduction="batchmean")
    return kl * temperature**2


def no_square(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> Any:
    return loss_by_torch(student / temperature, teacher / temperature)


def half_of_the_rank(out: int, inputs: int, share: float) -> Any:
    rank = max(1, int(min(1.0, share) * min(out, inputs) + 1e-9))
    return rank, rank * (out + inputs)


def floor_division(out: int, inputs: int, share: float) -> Any:
    rank = max(1, min(int(share * out * inputs // (out + inputs)), out, inputs))
    return rank, rank * (out + inputs)


MISTAKES: list[tuple[Callable[..., Any], str, str]] = [
    (rounded_half_up, "quantize_dequantize", "From halfway you always round up"),
    (never_an_int8, "quantize_dequantize", "not stored as int8"),
    (one_scale_for_all, "choose_scale", "All rows share the scale"),
    (scale_plus_a_little, "choose_scale", "gets the scale 0, or nearly 0"),
    (kept_above_a_threshold, "magnitude_mask", "all that are equal to it go"),
    (row_after_row, "magnitude_mask", "Every row loses the same share"),
    (divergence_by_torch, "distillation_loss", "This is the KL divergence: "),
    (no_square, "distillation_loss", "The factor T^2 is missing"),
    (half_of_the_rank, "rank_for_budget", "You take a share of the full rank"),
    (floor_division, "rank_for_budget", "Add 1e-9 first"),
]

(
    test_all_exercises_are_there,
    test_other_right_answers_pass,
    test_sly_wrong_answers_do_not_pass,
    test_a_mistake_written_in_another_way_is_recognised,
    test_references_agree_with_other_right_answers,
) = judging(compression.EXERCISES, RIGHT, SLY, MISTAKES, {})


def test_the_judges_say_what_they_see() -> None:
    wide = check.quantize_dequantize(lambda v, scale, bits: (np.full(v.shape, 300), v))
    assert wide.message.startswith("With 8 bits the integers go from -127 to 127; yours go from 300 to 300."), wide
    off = check.quantize_dequantize(lambda v, scale, bits: (np.full(v.shape, 1), v))
    assert off.message.startswith("Position 1 holds the integer 1; it should hold -2."), off
    back = check.quantize_dequantize(lambda v, scale, bits: (quantized_in_loops(v, scale, bits)[0], 0 * v + 0.5))
    assert back.message.startswith("The integers are right. Position 1 of the values back is 0.5; it should be -1."), (
        back
    )
    whole = check.quantize_dequantize(lambda v, scale, bits: (quantized_in_loops(v, scale, bits)[0].astype(int), 0 * v))
    assert whole.message.startswith("The integers are right, but they come as int64."), whole
    flat = check.quantize_dequantize(lambda v, scale, bits: [[1, 2], v])
    assert flat.message.startswith("The integers: The result should be numbers in the shape (3,)"), flat
    wrong = check.choose_scale(lambda weight, bits: np.ones((len(weight), 1)))
    assert wrong.message.startswith("Row 0 reaches to 1.27, so its scale is 0.01. Yours is 1."), wrong
    below = check.choose_scale(lambda weight, bits: -reference.choose_scale(weight, bits))
    assert "has to be above 0" in below.message
    count = check.magnitude_mask(lambda weight, sparsity: np.ones(weight.shape, dtype=bool))
    assert count.message.startswith("Of 4 weights round(0.5 * 4) = 2 should go; 0 do."), count
    place = check.magnitude_mask(lambda weight, sparsity: mask_by_torch(weight[::-1].copy(), sparsity))
    assert "a weight of the size" in place.message, place
    low = check.distillation_loss(lambda student, teacher, temperature=1.0: 0.1)
    assert low.message.startswith("No student can have less than 0.562335 here"), low
    twice = check.distillation_loss(lambda student, teacher, temperature=1.0: 2 * loss_in_loops(student, teacher))
    assert twice.message.startswith("The loss is 2 times what it should be."), twice
    much = check.rank_for_budget(lambda out, inputs, share: (3, 48))
    assert much.message.startswith("With rank 3 the factors hold 48 weights; that is more than 0.5 * 48."), much
    little = check.rank_for_budget(lambda out, inputs, share: (1, 16))
    assert little.message.startswith("With rank 1 the factors hold 16 weights; a larger rank fits in 0.5 * 64."), little
    none = check.rank_for_budget(lambda out, inputs, share: (0, 0))
    assert none.message.startswith("A matrix of 4 by 12 has a rank from 1 to 4; yours is 0."), none


# ---------------------------------------------------------------- references against the library and torch

SEEDS = st.integers(0, 10**6)


@given(st.integers(1, 5), st.integers(1, 7), st.integers(2, 8), SEEDS)
@settings(deadline=None, max_examples=40)
def test_scales_and_integers_are_those_of_the_library(out: int, inputs: int, bits: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    weight = random.normal(size=(out, inputs)).astype(np.float32)
    weight[random.random(out) < 0.3] = 0  # some rows of zeros
    grid = fit_qparams(torch.from_numpy(weight), bits, axis=0)
    scale = reference.choose_scale(weight.astype(np.float64), bits).astype(np.float32)  # found in float64, rounded once
    np.testing.assert_array_equal(scale, grid.scale.numpy())
    more = (2 * weight).astype(np.float32)  # half of them lie outside
    integers, back = reference.quantize_dequantize(more, scale, bits)
    theirs = grid.quantize(torch.from_numpy(more))
    assert integers.dtype == np.int8
    assert integers.tolist() == theirs.tolist()
    np.testing.assert_array_equal(back, grid.dequantize(theirs).numpy())


@given(st.integers(2, 8), SEEDS)
@settings(deadline=None, max_examples=40)
def test_ties_are_those_of_the_library(bits: int, seed: int) -> None:
    halves = np.random.default_rng(seed).integers(-300, 300, size=20) / 4  # with a scale of 1/2 many lie halfway
    grid = QuantParams(torch.tensor(0.5), torch.tensor(0, dtype=torch.int32), bits)
    integers, _ = reference.quantize_dequantize(halves, 0.5, bits)
    assert integers.tolist() == grid.quantize(torch.from_numpy(halves)).tolist()


@given(st.integers(1, 4), st.integers(1, 8), st.floats(0, 1), SEEDS)
@settings(deadline=None, max_examples=40)
def test_the_mask_is_that_of_the_library(rows: int, columns: int, sparsity: float, seed: int) -> None:
    weight = np.random.default_rng(seed).integers(-3, 4, size=(rows, columns)).astype(float)  # many ties
    mask = reference.magnitude_mask(weight, sparsity)
    assert mask.tolist() == pruning.magnitude_mask(torch.from_numpy(weight), sparsity).tolist()
    assert int((~mask).sum()) == round(sparsity * weight.size)


@given(st.integers(1, 5), st.integers(2, 4), st.floats(0.3, 20), st.sampled_from([1.0, 300.0]), SEEDS)
@settings(deadline=None, max_examples=40)
def test_the_loss_is_that_of_the_library(batch: int, classes: int, temperature: float, size: float, seed: int) -> None:
    student, teacher = np.random.default_rng(seed).normal(scale=size, size=(2, batch, classes))
    theirs = distillation_loss(torch.from_numpy(student), torch.from_numpy(teacher), temperature)
    assert reference.distillation_loss(student, teacher, temperature) == pytest.approx(theirs.item(), rel=1e-9)


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 300))
@settings(deadline=None, max_examples=40)
def test_the_rank_is_that_of_the_library(out: int, inputs: int, per_cent: int) -> None:
    share = per_cent / 100
    rank, count = reference.rank_for_budget(out, inputs, share)
    exact = max(1, min(per_cent * out * inputs // (100 * (out + inputs)), out, inputs))
    assert (rank, count) == (exact, exact * (out + inputs))
    if per_cent * out * inputs >= 100 * (out + inputs):
        assert rank == rank_within((out, inputs), share * out * inputs)


# ---------------------------------------------------------------- what the texts say


def test_the_worked_examples_of_the_tasks() -> None:
    integers, back = reference.quantize_dequantize(np.array([0.3, 0.75, -100.0]), 0.5, 8)
    assert integers.tolist() == [1, 2, -127]
    assert back.tolist() == [0.5, 1.0, -63.5]
    scales = reference.choose_scale(np.array([[1.27, -0.5], [0.2, -2.54]]), 8)
    np.testing.assert_allclose(scales, [[0.01], [0.02]])
    assert reference.magnitude_mask(np.array([[0.5, -2], [1, -0.1]]), 0.5).tolist() == [[False, True], [True, False]]
    assert reference.magnitude_mask(np.array([1, -1, 1, 1]), 0.5).tolist() == [True, True, False, False]
    third = np.log(3)
    assert round(reference.distillation_loss(np.array([[0, third]]), np.array([[third, 0]])), 3) == 1.112
    assert reference.rank_for_budget(8, 8, 0.5) == (2, 32)
    assert reference.rank_for_budget(4, 12, 0.5) == (1, 16)
    assert 2 * (4 + 12) == 32 > 0.5 * 4 * 12 == 24
    assert 192 * (384 + 384) == 384 * 384 < int(0.9 * 384) * (384 + 384)
    assert 0.57 * 200 * 200 / 400 == 56.99999999999999
    assert 0.29 * 100 == 28.999999999999996


def test_the_numbers_of_the_quiz() -> None:
    shared, own = 8 / 127, 0.02 / 127
    assert round(0.02 / shared) == 0, "with one scale the small row is lost"
    assert round(0.02 / own) == 127
    assert round(shared, 3) == 0.063
    assert 100 * 1.96 * math.sqrt(0.88 * 0.12 / 2000) == pytest.approx(1.4, abs=0.05)
    models = {"A": (90, 12, -88.0), "B": (23, 4, -87.8), "C": (23, 6, -87.2), "D": (12, 5, -87.0)}  # less is better
    beaten = [
        name
        for name, one in models.items()
        if any(all(x <= y for x, y in zip(other, one, strict=True)) and other != one for other in models.values())
    ]
    assert beaten == ["C"]
