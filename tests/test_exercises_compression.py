"""Compression: other right answers pass, sly ones do not, references agree with torch and the library."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from answers import SEED, SIZES, Answer, Edit, Mistakes, judged
from hypothesis import given
from hypothesis import strategies as st

from course_lib.compression import pruning
from course_lib.compression.distillation import distillation_loss
from course_lib.compression.low_rank import rank_within
from course_lib.compression.quantization import QuantParams, fit_qparams
from course_lib.exercises import reference
from course_lib.exercises.topics import compression

# ---------------------------------------------------------------- other right answers


def quantized_by_torch(values: np.ndarray, scale: Any, bits: int) -> list[torch.Tensor]:
    high, step = 2 ** (bits - 1) - 1, torch.as_tensor(scale)
    integers = (torch.from_numpy(values) / step).round().clamp(-high, high).to(torch.int8)
    return [integers, integers.double() * step]


def scale_by_both_ends(weight: np.ndarray, bits: int) -> Any:
    rows = torch.from_numpy(weight)
    scale = torch.maximum(rows.amax(1), -rows.amin(1))[:, None] / (2 ** (bits - 1) - 1)
    return torch.where(scale == 0, torch.ones_like(scale), scale).float()


def mask_by_torch(weight: np.ndarray, sparsity: float) -> torch.Tensor:
    sizes = torch.from_numpy(weight).abs().flatten()
    mask = torch.ones(len(sizes), dtype=torch.bool)
    worst_first = sizes.flip(0).argsort(stable=True)[: round(sparsity * len(sizes))]
    mask[len(sizes) - 1 - worst_first] = False
    return mask.view(weight.shape)


def mask_of_the_library(weight: np.ndarray, sparsity: float) -> torch.Tensor:
    return pruning.magnitude_mask(torch.from_numpy(weight), sparsity)


def loss_of_the_library(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> torch.Tensor:
    return distillation_loss(torch.from_numpy(student), torch.from_numpy(teacher), temperature)


def rank_by_floor(out: int, inputs: int, share: float) -> Any:
    rank = np.clip(np.floor(share / (1 / out + 1 / inputs) + 1e-9), 1, min(out, inputs)).astype(int)
    return np.array([rank, rank * (out + inputs)])


RIGHT: dict[str, list[Answer]] = {
    "quantize_dequantize": [quantized_by_torch],
    "choose_scale": [scale_by_both_ends],
    "magnitude_mask": [mask_by_torch, mask_of_the_library],
    "rank_for_budget": [rank_by_floor],
    "distillation_loss": [loss_of_the_library],
}
BITS = st.integers(2, 8)


def drawn_weight(random: np.random.Generator, out: int, inputs: int) -> np.ndarray:
    return random.normal(size=(out, inputs)) * (random.random((out, 1)) > 0.3)  # some rows of zeros


DRAWN = {
    "quantize_dequantize": st.builds(  # with a scale of 1/2 many lie halfway
        lambda random, n, bits: (random.integers(-300, 300, size=(2, n)) / 4, 0.5, bits), SEED, SIZES, BITS
    ),
    "choose_scale": st.tuples(st.builds(drawn_weight, SEED, SIZES, SIZES), BITS),
    "magnitude_mask": st.builds(  # with many ties
        lambda random, rows, columns, sparsity: (random.integers(-3, 4, (rows, columns)).astype(float), sparsity),
        *(SEED, SIZES, SIZES, st.floats(0, 1)),
    ),
    "rank_for_budget": st.tuples(st.integers(1, 400), st.integers(1, 400), st.integers(1, 300).map(lambda n: n / 100)),
    "distillation_loss": st.builds(
        lambda random, batch, classes, size, t: (*random.normal(scale=size, size=(2, batch, classes)), t),
        *(SEED, SIZES, st.integers(2, 4), st.sampled_from([1.0, 300.0]), st.floats(0.3, 20)),
    ),
}

# ---------------------------------------------------------------- sly answers, right on most cases

PAIR = "return integers, integers * scale"
SLY: dict[str, list[Answer | Edit]] = {
    "quantize_dequantize": [
        (PAIR, "return integers.astype(np.int32), integers * scale"),
        (PAIR, "return integers.astype(np.float32), integers * scale"),
        (PAIR, "return integers.tolist(), integers * scale"),
        lambda values, scale, bits: reference.quantize_dequantize(values, float(np.ravel(scale)[0]), bits),
        lambda values, scale, bits: reference.quantize_dequantize(values, scale, min(bits, 7)),
        lambda values, scale, bits: reference.quantize_dequantize(values, scale, max(bits, 4)),
        lambda values, scale, bits: reference.quantize_dequantize(values + 1e-9, scale, bits),
        lambda values, scale, bits: reference.quantize_dequantize(values - 1e-9, scale, bits),
    ],
    "choose_scale": [
        ("return scale", "return np.maximum(scale, 1e-6)"),
        lambda weight, bits: reference.choose_scale(weight, min(bits, 7)),
        lambda weight, bits: reference.choose_scale(weight, max(bits, 3)),
        lambda weight, bits: reference.choose_scale(weight[:, :4], bits),
        ("/ high, 1.0", "/ high, 2.0 / high"),
    ],
    "magnitude_mask": [
        lambda weight, sparsity: reference.magnitude_mask(weight, min(sparsity, 0.9)),
        lambda weight, sparsity: reference.magnitude_mask(weight.round(1), sparsity),
        lambda weight, sparsity: reference.magnitude_mask(np.abs(weight) + 1e-9 * weight, sparsity),
        lambda weight, sparsity: reference.magnitude_mask(weight.T, sparsity).T,
        ("return mask", "return mask.astype(float)"),
        ("return mask", "return (mask & (sizes != 0))"),
    ],
    "rank_for_budget": [
        lambda out, inputs, share: reference.rank_for_budget(out, inputs, min(share, 1.0)),
        lambda out, inputs, share: reference.rank_for_budget(out, inputs, max(share, 0.25)),
        lambda out, inputs, share: reference.rank_for_budget(out, inputs, round(share, 1)),
        ("return rank, rank * (out + inputs)", "return rank, rank"),
    ],
    "distillation_loss": [
        ("temperature: float = 1.0", "temperature: float = 2.0"),
        lambda student, teacher, temperature=1.0: reference.distillation_loss(student[:2], teacher[:2], temperature),
        lambda student, teacher, temperature=1.0: reference.distillation_loss(
            student[:, :2], teacher[:, :2], temperature
        ),
        lambda student, teacher, temperature=1.0: reference.distillation_loss(student, teacher, max(temperature, 1.0)),
        lambda student, teacher, temperature=1.0: reference.distillation_loss(
            np.clip(student, -700, 700), teacher, temperature
        ),
    ],
}

# ---------------------------------------------------------------- mistakes in other words than the stored ones


def scale_plus_a_little(weight: np.ndarray, bits: int) -> Any:
    return torch.from_numpy(weight).abs().amax(1, keepdim=True).clamp(min=1e-9) / (2 ** (bits - 1) - 1)


def divergence_by_torch(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> Any:
    mine, theirs = (torch.from_numpy(one) / temperature for one in (student, teacher))
    kl = torch.nn.functional.kl_div(mine.log_softmax(-1), theirs.softmax(-1), reduction="batchmean")
    return kl * temperature**2


def ones(shape: tuple[int, ...]) -> np.ndarray:
    return np.ones(shape, dtype=bool)


MISTAKES: Mistakes = {
    "quantize_dequantize": [
        (lambda v, scale, bits: (np.full(v.shape, 300), v), "from -127 to 127; yours go from 300 to 300"),
        (lambda v, scale, bits: (np.full(v.shape, 1), v), "Position 1 holds the integer 1; it should"),
        ((PAIR, "return integers, 0 * values + 0.5"), "Position 1 of the"),
        ((PAIR, "return integers.astype(int), 0 * values"), "come as int64."),
        (lambda v, scale, bits: [[1, 2], v], "The integers: The result should be numbers in the shape"),
    ],
    "choose_scale": [
        (scale_plus_a_little, "gets the scale 0, or nearly 0"),
        (lambda weight, bits: np.ones((len(weight), 1)), "Row 0 reaches to 1.27, so its scale is 0.01."),
        (("return scale", "return -scale"), "has to be above 0"),
    ],
    "magnitude_mask": [
        (lambda weight, sparsity: ones(weight.shape), "Of 4 weights round(0.5 * 4) = 2 should go; 0 do."),
        (lambda weight, sparsity: mask_by_torch(weight[::-1].copy(), sparsity), "a weight of the size"),
    ],
    "rank_for_budget": [
        (lambda out, inputs, share: (3, 48), "factors hold 48 weights; that is more than 0.5 * 48."),
        (lambda out, inputs, share: (1, 16), "16 weights; a larger rank fits in 0.5 * 64."),
        (lambda out, inputs, share: (0, 0), "A matrix of 4 by 12 has a rank from 1 to 4; yours is 0."),
    ],
    "distillation_loss": [
        (divergence_by_torch, "This is the KL divergence: "),
        (lambda student, teacher, temperature=1.0: 0.1, "No student can have less than 0.562335 here"),
        (lambda s, t, temperature=1.0: 2 * reference.distillation_loss(s, t), "is 2 times what it should be."),
    ],
}

TestExercises = judged(compression.EXERCISES, RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- references against the library


@given(DRAWN["choose_scale"])
def test_scales_and_integers_are_those_of_the_library(drawn: tuple[np.ndarray, int]) -> None:
    weight, bits = drawn[0].astype(np.float32), drawn[1]
    grid = fit_qparams(torch.from_numpy(weight), bits, axis=0)
    scale = reference.choose_scale(weight.astype(np.float64), bits).astype(np.float32)  # found in float64, rounded once
    np.testing.assert_array_equal(scale, grid.scale.numpy())
    more = (2 * weight).astype(np.float32)  # half of them lie outside
    integers, back = reference.quantize_dequantize(more, scale, bits)
    theirs = grid.quantize(torch.from_numpy(more))
    assert integers.dtype == np.int8
    assert integers.tolist() == theirs.tolist()
    np.testing.assert_array_equal(back, grid.dequantize(theirs).numpy())


@given(DRAWN["quantize_dequantize"])
def test_ties_are_those_of_the_library(drawn: tuple[np.ndarray, float, int]) -> None:
    halves, _, bits = drawn
    grid = QuantParams(torch.tensor(0.5), torch.tensor(0, dtype=torch.int32), bits)
    integers, _ = reference.quantize_dequantize(halves, 0.5, bits)
    assert integers.tolist() == grid.quantize(torch.from_numpy(halves)).tolist()


@given(DRAWN["rank_for_budget"])
def test_the_rank_is_that_of_the_library(drawn: tuple[int, int, float]) -> None:
    out, inputs, share = drawn
    per_cent = round(100 * share)
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
