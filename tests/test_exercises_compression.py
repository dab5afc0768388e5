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
from course_lib.compression.quantization import QuantParams, fit_qparams
from course_lib.exercises import reference
from course_lib.exercises.topics import compression
from course_lib.exercises.topics.compression import pack_weight

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


# ---------------------------------------------------------------- the same for the stages of the build


def packed_by_shifts(weight: np.ndarray, bits: int, block: int) -> Any:
    """Each row as one large whole number."""
    high, packed, scales = 2 ** (bits - 1) - 1, [], []
    for row in weight:
        number, row_scales = 0, []
        for start in range(0, len(row), block):
            part = row[start : start + block].astype(np.float64)
            scale = np.float16(abs(part).max() / high or 1.0)
            row_scales.append(scale)
            for place, value in enumerate(part, start):
                code = int(np.clip(np.rint(np.float32(value) / np.float32(scale)), -high, high)) + high
                number |= code << (bits * place)
        packed.append(list(number.to_bytes(math.ceil(bits * len(row) / 8), "little")))
        scales.append(row_scales)
    return np.array(packed, np.uint8), np.array(scales, np.float16)


def unpacked_by_shifts(packed: np.ndarray, scales: np.ndarray, bits: int, block: int) -> Any:
    rows = [int.from_bytes(row.tobytes(), "little") for row in packed]
    places = range(scales.shape[1] * block)
    codes = [[(row >> (bits * place)) % 2**bits - (2 ** (bits - 1) - 1) for place in places] for row in rows]
    blocks = torch.tensor(codes, dtype=torch.float32).unflatten(1, (-1, block))
    return (blocks * torch.from_numpy(scales).float()[..., None]).flatten(1)


def bytes_of_empty_arrays(shapes: dict[str, tuple[int, ...]], plan: dict[str, int], block: int) -> int:
    arrays = [np.empty(shape, np.float32) for name, shape in shapes.items() if name not in plan]
    for name, bits in plan.items():
        arrays += pack_weight(np.ones(shapes[name], np.float32), bits, block)
    return sum(array.nbytes for array in arrays)


def bits_by_recursion(shapes: Any, damage: Any, budget: int, block: int, plan: dict[str, int] | None = None) -> Any:
    plan = plan or {name: sorted(choices)[-1] for name, choices in damage.items()}
    size = reference.plan_bytes(shapes, plan, block)
    if size <= budget:
        return plan
    best, least = None, math.inf
    for name in damage:
        below = sorted(damage[name])[: sorted(damage[name]).index(plan[name])]
        if below:
            other = plan | {name: below[-1]}
            added = damage[name][below[-1]] - damage[name][plan[name]]
            price = added / (size - reference.plan_bytes(shapes, other, block))
            if price < least:
                best, least = other, price
    if best is None:
        raise ValueError
    return bits_by_recursion(shapes, damage, budget, block, best)


def applied_in_two_passes(weights: Any, plan: dict[str, int], block: int) -> Any:
    pairs = {name: pack_weight(weights[name], bits, block) for name, bits in plan.items()}
    stored = {name: weight for name, weight in weights.items() if name not in plan}
    for name, pair in pairs.items():
        stored |= dict(zip((f"{name}.packed", f"{name}.scales"), pair, strict=True))
    read = {name: np.asarray(unpacked_by_shifts(*pair, plan[name], block)) for name, pair in pairs.items()}
    return stored, {name: read.get(name, weight) for name, weight in weights.items()}


RIGHT: dict[str, list[Answer]] = {
    "quantize_dequantize": [quantized_by_torch],
    "choose_scale": [scale_by_both_ends],
    "magnitude_mask": [mask_by_torch, mask_of_the_library],
    "distillation_loss": [loss_of_the_library],
    "pack_weight": [packed_by_shifts],
    "unpack_weight": [unpacked_by_shifts],
    "plan_bytes": [bytes_of_empty_arrays],
    "choose_bits": [bits_by_recursion],
    "apply_plan": [applied_in_two_passes],
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
    "distillation_loss": st.builds(
        lambda random, batch, classes, size, t: (*random.normal(scale=size, size=(2, batch, classes)), t),
        *(SEED, SIZES, st.integers(2, 4), st.sampled_from([1.0, 300.0]), st.floats(0.3, 20)),
    ),
    "unpack_weight": st.builds(
        lambda random, rows, blocks, block, bits: (
            *pack_weight(random.normal(size=(rows, blocks * block)).astype(np.float32), bits, block), bits, block,
        ),
        *(SEED, SIZES, SIZES, SIZES, BITS),
    ),
    "plan_bytes": st.builds(
        lambda rows, blocks, block, bits: ({"a": (rows, blocks * block), "b": (rows,)}, {"a": bits}, block),
        *(SIZES, SIZES, SIZES, BITS),
    ),
    "choose_bits": st.builds(
        lambda random, rows, budget: (
            shapes := {f"m{number}": (count, 8) for number, count in enumerate(rows)},
            {name: dict(zip((3, 4, 6, 8), sorted(random.random(4))[::-1], strict=True)) for name in shapes},
            budget,
            4,
        ),
        *(SEED, st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 500)),
    ),
}  # fmt: skip

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
    "pack_weight": [
        lambda weight, bits, block: reference.pack_weight(weight, min(bits, 7), block),
        ("scales.astype(np.float32), bits)", "scales.astype(np.float32) * 1.001, bits)"),
        ("return packed,", "return packed.astype(np.int64),"),
    ],
    "unpack_weight": [
        lambda packed, scales, bits, block: reference.unpack_weight(packed, scales[:, :1], bits, block),
        ("steps).astype(np.float32)", "steps)"),
        ("(integers * steps)", "(integers * steps).round(3)"),
    ],
    "plan_bytes": [
        lambda shapes, plan, block: reference.plan_bytes(shapes, plan, 4),
        ("return total", "return max(total, 17)"),
        ("math.prod(shape)", "shape[0] * (shape[1] if len(shape) > 1 else 1)"),
    ],
    "choose_bits": [
        ("> budget", "> budget + 1"),
        lambda shapes, damage, budget, block: reference.choose_bits(shapes, damage, max(budget, 160), block),
        lambda shapes, damage, budget, block: reference.choose_bits(
            dict(list(shapes.items())[:2]), damage, budget, block
        ),
    ],
    "apply_plan": [
        ("restored[name] = weight.astype(np.float32)", "restored[name] = weight.astype(np.float64)"),
        (
            "unpack_weight(packed, scales, plan[name], block)",
            "unpack_weight(packed, scales, plan[name], block).round(2)",
        ),
        ("if name in plan:", "if plan.get(name, 8) < 8:"),
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
        ((PAIR, "return integers, 0 * values + 0.5"), "Position 1 of the numbers"),
        ((PAIR, "return integers.astype(int), 0 * values"), "their type is int64."),
        (lambda v, scale, bits: [[1, 2], v], "The integers: The result should be numbers in the shape"),
    ],
    "choose_scale": [
        (scale_plus_a_little, "gets a scale of 0 or nearly 0"),
        (lambda weight, bits: np.ones((len(weight), 1)), "The largest size in row 0 is 1.27, so its scale is 0.01."),
        (("return scale", "return -scale"), "has to be above 0"),
    ],
    "magnitude_mask": [
        (lambda weight, sparsity: ones(weight.shape), "round(0.5 * 4) = 2 weights should be removed; you remove 0."),
        (lambda weight, sparsity: mask_by_torch(weight[::-1].copy(), sparsity), "you keep a weight of size"),
    ],
    "distillation_loss": [
        (divergence_by_torch, "You return the KL divergence, "),
        (lambda student, teacher, temperature=1.0: 0.1, "No student has a loss below 0.562335 here"),
        (lambda s, t, temperature=1.0: 2 * reference.distillation_loss(s, t), "is 2 times what it should be."),
    ],
    "pack_weight": [
        (
            lambda weight, bits, block: (weight.astype(np.uint8), weight),
            "The packed array: The result should be numbers",
        ),
        (("& 1", "& 0"), "Byte 0 of row 0 is 00000000 in binary; it should be 00001110."),
        (
            ("choose_scale(blocks, bits)", "(2 * choose_scale(blocks, bits))"),
            "The scale of block 0 of row 0 should be 1.",
        ),
    ],
    "unpack_weight": [(("integers * steps", "integers * steps + 1"), "Weight (0, 0) should be 7; yours is 8.")],
    "plan_bytes": [(lambda shapes, plan, block: 10, "You count 6 bytes too few.")],
    "choose_bits": [
        (lambda shapes, damage, budget, block: dict.fromkeys(damage, 5), "'a' gets 5 bits; the choices are [3, 4, 8]."),
        (lambda shapes, damage, budget, block: dict.fromkeys(damage, 8), "the budget is 319."),
        (lambda shapes, damage, budget, block: {}, "a dictionary with a number for each"),
        (lambda shapes, damage, budget, block: dict.fromkeys(damage, 3), "'a' should get 8 bits; yours gets 3."),
    ],
    "apply_plan": [
        (lambda weights, plan, block: 3, "should be a pair of dictionaries, but it is an int"),
        (lambda weights, plan, block: (weights, weights), "The stored arrays should have the names"),
        (("pack_weight(weight,", "pack_weight(2 * weight,"), "'query.scales' of the stored arrays does not hold"),
    ],
}

TestExercises = judged((*compression.EXERCISES, *compression.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

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


def test_a_weight_moves_by_half_a_step_and_the_float16_scale() -> None:
    weight = np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)
    for bits in (2, 3, 4, 5, 6, 8):
        packed, scales = pack_weight(weight, bits, 16)
        back = reference.unpack_weight(packed, scales, bits, 16)
        high = 2 ** (bits - 1) - 1
        assert (np.abs(back - weight) <= np.repeat(scales.astype(np.float64), 16, axis=1) * (0.5 + high / 2048)).all()
        assert packed.nbytes + scales.nbytes == reference.plan_bytes({"a": weight.shape}, {"a": bits}, 16)


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
    assert reference.plan_bytes({"a": (2, 8)}, {"a": 4}, 4) == 16
    packed, scales = pack_weight(np.array([[7, -7, 0, 3]], np.float32), 4, 4)
    assert packed.tolist() == [[14, 167]] and scales.tolist() == [[1.0]] and 167 == 7 + 16 * 10
    assert 0.29 * 100 == 28.999999999999996


def test_the_numbers_of_the_quiz() -> None:
    shared, own = 8 / 127, 0.02 / 127
    assert round(0.02 / shared) == 0, "with one scale the small row is lost"
    assert round(0.02 / own) == 127
    assert round(shared, 3) == 0.063
    assert 100 * 1.96 * math.sqrt(0.87 * 0.13 / 2000) == pytest.approx(1.5, abs=0.05)
