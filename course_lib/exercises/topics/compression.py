"""Quantization, pruning and distillation; the build is a plan of bits for a file of 7.5 MB."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Arguments, Case, Exercise, Refused
from course_lib.exercises.values import array_problem, as_numbers, kind, numbers_of, pair_problem, plain, same

# ---------------- real numbers become small integers, and come back nearly the same
# Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
# equation 1 (arXiv:1712.05877), with a zero point of 0. The library's version: `course_lib.compression.QuantParams`.


def quantize_dequantize(
    values: np.ndarray,
    scale: float | np.ndarray,
    bits: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The int8 integers of values on a symmetric grid of `bits` bits, and the numbers that they represent."""
    high = 2 ** (bits - 1) - 1
    steps = np.round(values / scale)  # halfway values go to the even integer
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
        return f"The result should be a pair, the integers and their numbers, but it is {kind(got)}."
    for name, wanted, part in zip(("The integers", "The numbers"), expected, got, strict=True):
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
        return f"The integers are right, but their type is {getattr(got[0], 'dtype', kind(got[0]))}."
    if not same(expected[1], back):
        off = ~np.isclose(back, expected[1], rtol=1e-5, atol=1e-6)
        found = f"{_number(back, off):.6g}; it should be {_number(expected[1], off):.6g}"
        return f"The integers are right. {_at(off)} of the numbers is {found}."
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
        return problem + (" What happens to a row of zeros?" if "nan" in problem else "")
    scales = numbers_of(got)
    if (scales <= 0).any():
        row = int(np.argwhere(scales <= 0)[0][0])
        return f"The scale of row {row} is {scales[row, 0]:g}. The values are divided by it, so it has to be above 0."
    for row, (wanted, found) in enumerate(zip(expected[:, 0], scales[:, 0], strict=True)):
        if not np.isclose(found, wanted, rtol=1e-5, atol=0):
            largest = np.abs(case["weight"][row]).max()
            return (
                f"The largest size in row {row} is {largest:.6g}, so its scale is {wanted:.6g}. Yours is {found:.6g}."
            )
    return None


# ---------------- which weights stay when the smallest go
# Han et al. 2015, Learning both Weights and Connections for Efficient Neural Networks, section 3 (arXiv:1506.02626).
# The library's version: `course_lib.compression.magnitude_mask`.


def magnitude_mask(weight: np.ndarray, sparsity: float) -> np.ndarray:
    """True where a weight is kept. The round(sparsity * n) weights nearest to zero are removed."""
    sizes = np.abs(weight).ravel()
    kept = sizes.size - round(sparsity * sizes.size)
    order = np.argsort(-sizes, kind="stable")  # the largest first; equal weights keep their order
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
        return f"round({case['sparsity']:g} * {mask.size}) = {wanted} weights should be removed; you remove {gone}."
    if (mask == expected.ravel()).all():
        return None
    stays, goes = sizes[mask].min(), sizes[~mask].max()
    if stays < goes:
        return f"The number is right, but you keep a weight of size {stays:.6g} and remove one of size {goes:.6g}."
    return f"The number is right, but of the weights of size {stays:.6g} you should keep the first."


def _rows(weight: np.ndarray, sparsity: float) -> Any:
    rows = weight.reshape(-1, weight.shape[-1])
    return np.stack([magnitude_mask(row, sparsity) for row in rows]).reshape(weight.shape)


# ---------------- how far a student's answers are from its teacher's
# Hinton, Vinyals and Dean 2015, Distilling the Knowledge in a Neural Network, section 2 (arXiv:1503.02531). The
# library's version: `course_lib.compression.distillation_loss`, in torch. Whether a gradient reaches the
# teacher cannot be seen in numbers alone, so the task says it.


def distillation_loss(student: np.ndarray, teacher: np.ndarray, temperature: float = 1.0) -> float:
    """T^2 times the mean cross-entropy of student and teacher at temperature T; logits (batch, classes)."""
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
        return problem + (" Did exp() overflow, or did you take the logarithm of 0?" if "nan" in problem else "")
    number = numbers_of(got)
    if same(expected, got):
        return None
    if float(number) < 0:
        return f"A cross-entropy is a mean of -ln q, and no q is above 1. Yours is {float(number):.6g}, below 0."
    least = distillation_loss(case["teacher"], case["teacher"], case.get("temperature", 1.0))
    if float(number) < least * (1 - 1e-6):
        return f"No student has a loss below {least:.6g} here, which is the loss of the teacher itself."
    return f"The loss is {float(number) / expected:.6g} times what it should be."


# ---------------- the build: a plan that gives each matrix its number of bits, and the file that follows from it
# Symmetric integers with one scale a block are the layout of ONNX Runtime's MatMulNBits and, with float16, of GGUF's
# Q4_0 (with other details). The library's version, for 4 and 8 bits: `course_lib.compression.export_onnx`.


def pack_weight(weight: np.ndarray, bits: int, block: int) -> tuple[np.ndarray, np.ndarray]:
    """Integers of `bits` bits, packed row by row (uint8), and one float16 scale for each block of a row."""
    rows, inputs = weight.shape
    blocks = weight.reshape(-1, block)
    scales = choose_scale(blocks, bits).astype(np.float16)
    integers, _ = quantize_dequantize(blocks, scales.astype(np.float32), bits)
    codes = integers.astype(np.int16) + (2 ** (bits - 1) - 1)  # from 0 to 2^bits - 2
    stream = (codes.reshape(rows, inputs, 1) >> np.arange(bits)) & 1  # the lowest bit first
    packed = np.packbits(stream.reshape(rows, -1).astype(np.uint8), axis=1, bitorder="little")
    return packed, scales.reshape(rows, -1)


def _use_pack_weight(answer: Answer, weight: np.ndarray, bits: int, block: int) -> Any:
    """The types of the arrays are a part of the result: they decide the size of the file."""
    return answer(weight, bits, block)


def _normal(rows: int, inputs: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, inputs)).astype(np.float32)


def _pack_weight_cases() -> list[Arguments]:
    return [
        (np.array([[7.0, -7.0, 0.0, 3.0]], np.float32), 4, 4),
        (np.array([[-3.0, 2.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]], np.float32), 3, 4),  # a block of zeros; 12 bits a row
        (np.array([[127.0, -1.0, 2.0, 64.0]], np.float32), 8, 2),
        (_normal(2, 8, 1), 4, 4),
        (_normal(3, 12, 2) * np.array([[1.0], [0.01], [30.0]], np.float32), 3, 4),
        (_normal(3, 6, 3), 5, 3),
        (_normal(2, 16, 22), 8, 8),  # the float16 scales move an integer
        (0.37 * _normal(4, 32, 5), 6, 8),
    ]


def _judge_pack_weight(case: Case, expected: Any, got: Any) -> str | None:
    if problem := pair_problem(("The packed array", "The scales"), expected, got):
        return problem
    for name, wanted, part in zip(("packed array", "scales"), expected, got, strict=True):
        if (found := str(getattr(part, "dtype", kind(part)))) != str(wanted.dtype):
            return f"The {name} should have the type {wanted.dtype}, but the type is {found}."
    packed, scales = map(numbers_of, got)
    if not np.allclose(scales, numbers_of(expected[1]), rtol=2e-3):
        row, column = map(int, np.argwhere(~np.isclose(scales, numbers_of(expected[1]), rtol=2e-3))[0])
        return f"The scale of block {column} of row {row} should be {expected[1][row, column]:.6g}."
    if (off := packed != expected[0]).any():
        row, column = map(int, np.argwhere(off)[0])
        byte, wanted = int(packed[row, column]), int(expected[0][row, column])
        return f"The scales are right. Byte {column} of row {row} is {byte:08b} in binary; it should be {wanted:08b}."
    return None


def unpack_weight(packed: np.ndarray, scales: np.ndarray, bits: int, block: int) -> np.ndarray:
    """The float32 weight (rows, inputs) that `pack_weight` has packed."""
    rows, inputs = len(scales), scales.shape[1] * block
    stream = np.unpackbits(packed, axis=1, count=inputs * bits, bitorder="little")
    codes = (stream.reshape(rows, inputs, bits).astype(np.int32) << np.arange(bits)).sum(axis=2)
    integers = codes - (2 ** (bits - 1) - 1)
    steps = np.repeat(scales.astype(np.float32), block, axis=1)
    weight: np.ndarray = (integers * steps).astype(np.float32)
    return weight


def _use_unpack_weight(answer: Answer, packed: np.ndarray, scales: np.ndarray, bits: int, block: int) -> Any:
    """The type of the weights is a part of the result: the model computes in float32."""
    return answer(packed, scales, bits, block)


def _unpack_weight_cases() -> list[Arguments]:
    return [(*pack_weight(weight, bits, block), bits, block) for weight, bits, block in _pack_weight_cases()]


def _judge_unpack_weight(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if (found := str(getattr(got, "dtype", kind(got))).split(".")[-1]) != "float32":
        return f"The numbers are to be float32, but their type is {found}."
    numbers = numbers_of(got)
    if same(expected, got):
        return None
    row, column = map(int, np.argwhere(~np.isclose(numbers, expected, rtol=1e-5, atol=1e-6))[0])
    return f"Weight ({row}, {column}) should be {expected[row, column]:.6g}; yours is {numbers[row, column]:.6g}."


def plan_bytes(shapes: dict[str, tuple[int, ...]], plan: dict[str, int], block: int) -> int:
    """Bytes of all arrays when those in the plan are packed and the others are stored in float32."""
    total = 0
    for name, shape in shapes.items():
        if name in plan:
            rows, inputs = shape
            packed = rows * math.ceil(inputs * plan[name] / 8)
            scales = 2 * rows * (inputs // block)
            total += packed + scales
        else:
            total += 4 * math.prod(shape)
    return total


def _plan_bytes_cases() -> list[Arguments]:
    return [
        ({"a": (2, 8)}, {"a": 4}, 4),
        ({"a": (2, 8)}, {}, 4),
        ({"a": (3, 12), "b": (12,)}, {"a": 3}, 4),  # 36 bits a row: 5 bytes
        ({"a": (4, 32), "b": (32, 4), "c": (2, 3, 5)}, {"b": 8}, 4),
        ({"a": (384, 384), "b": (1536, 384), "c": (1536,)}, {"a": 8, "b": 4}, 64),
        ({"a": (5, 6), "b": (7, 6)}, {"a": 3, "b": 5}, 3),
    ]


def _judge_plan_bytes(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    if same(expected, got):
        return None
    more = float(numbers_of(got)) - expected
    return f"You count {abs(more):g} bytes too {'many' if more > 0 else 'few'}."


def choose_bits(
    shapes: dict[str, tuple[int, ...]], damage: dict[str, dict[int, float]], budget: int, block: int
) -> dict[str, int]:
    """The number of bits for each matrix, so that all arrays together take no more than `budget` bytes."""
    plan = {name: max(choices) for name, choices in damage.items()}
    while plan_bytes(shapes, plan, block) > budget:
        steps = []
        for number, (name, bits) in enumerate(plan.items()):
            fewer = max((other for other in damage[name] if other < bits), default=None)
            if fewer is not None:
                saved = plan_bytes(shapes, plan, block) - plan_bytes(shapes, plan | {name: fewer}, block)
                added = damage[name][fewer] - damage[name][bits]
                steps.append((added / saved, number, name, fewer))
        if not steps:
            raise ValueError("the budget is too small")
        _, _, name, fewer = min(steps)
        plan[name] = fewer
    return plan


def _use_choose_bits(
    answer: Answer, shapes: dict[str, tuple[int, ...]], damage: dict[str, dict[int, float]], budget: int, block: int
) -> Any:
    try:
        return answer(shapes, damage, budget, block)
    except ValueError:
        return "ValueError"


def _choose_bits_cases() -> list[Arguments]:
    alike = {"a": (8, 16), "b": (8, 16)}
    one = {"a": {8: 0.1, 4: 1.0, 3: 3.0}, "b": {8: 0.4, 4: 0.9, 3: 1.3}}
    uneven = {"small": (4, 8), "large": (32, 32), "bias": (32,)}
    two = {"small": {8: 0.0, 4: 0.1}, "large": {8: 0.0, 4: 0.5}}
    random = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        f"m{number}": (int(rows), 16) for number, rows in enumerate(random.integers(2, 30, 5))
    }
    drawn = {
        name: dict(zip((3, 4, 6, 8), (4.0, 1.0, 0.2, 0.05) * random.gamma(2, size=()), strict=True)) for name in shapes
    }
    half = {"a": {8: 0.0, 4: 0.5}, "b": {8: 0.0, 4: 0.5}}
    return [
        (alike, one, 330, 8),  # both keep 8 bits: 320 bytes
        (alike, one, 320, 8),  # exactly the budget
        (alike, one, 319, 8),  # one step
        (alike, one, 200, 8),
        (alike, one, 161, 8),
        (alike, {"a": {8: 0.0, 4: 0.8}, "b": {8: 0.5, 4: 1.0}}, 260, 8),  # b: its step adds less
        (alike, half, 260, 8),  # two steps of the same price: the first
        (uneven, two, 1200, 8),
        (alike, {"b": one["b"]}, 620, 8),  # "a" stays in float32
        (shapes, drawn, plan_bytes(shapes, dict.fromkeys(shapes, 4), 8), 8),
        (shapes, drawn, plan_bytes(shapes, dict.fromkeys(shapes, 6), 8), 8),
        (alike, one, 100, 8),  # no plan is small enough
    ]


def _judge_choose_bits(case: Case, expected: Any, got: Any) -> str | None:
    if expected == "ValueError":
        return None if got == expected else "No plan fits into this budget, so the function should raise a ValueError."
    if got == "ValueError":
        return "Your function raises a ValueError, but a plan fits into this budget."
    if not isinstance(got, dict) or set(got) != set(case["damage"]):
        return f"The result should be a dictionary with a number for each of {list(case['damage'])}."
    for name, bits in got.items():
        if bits not in case["damage"][name]:
            return f"{name!r} gets {bits!r} bits; the choices are {sorted(case['damage'][name])}."
    size = plan_bytes(case["shapes"], got, case["block"])
    if size > case["budget"]:
        return f"Your plan takes {size} bytes; the budget is {case['budget']}."
    off = next((name for name in expected if expected[name] != got[name]), None)
    return None if off is None else f"{off!r} should get {expected[off]} bits; yours gets {got[off]}."


def apply_plan(
    weights: dict[str, np.ndarray], plan: dict[str, int], block: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What goes into the file, and the weights that a reader computes from it, by name."""
    stored: dict[str, np.ndarray] = {}
    restored: dict[str, np.ndarray] = {}
    for name, weight in weights.items():
        if name in plan:
            packed, scales = pack_weight(weight, plan[name], block)
            stored[f"{name}.packed"], stored[f"{name}.scales"] = packed, scales
            restored[name] = unpack_weight(packed, scales, plan[name], block)
        else:
            stored[name] = restored[name] = weight.astype(np.float32)
    return stored, restored


def _use_apply_plan(
    answer: Answer, query: np.ndarray, table: np.ndarray, bias: np.ndarray, query_bits: int, table_bits: int
) -> Any:
    """Two matrices and a bias; 0 bits stand for a matrix that is not in the plan. Returns names and arrays in turn."""
    plan = {name: bits for name, bits in (("query", query_bits), ("table", table_bits)) if bits}
    pair = answer({"query": query, "table": table, "bias": bias}, plan, 4)
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(isinstance(one, dict) for one in pair):
        raise Refused(f"The result should be a pair of dictionaries, but it is {kind(pair)}.")
    return [[[name, np.asarray(one[name])] for name in sorted(one)] for one in pair]


def _apply_plan_cases() -> list[Arguments]:
    small = np.array([[7.0, -7.0, 0.4, 3.0]], np.float32)
    return [
        (small, np.array([[1.0, 2.0, 3.0, -3.2]], np.float32), np.array([0.5], np.float32), 4, 0),
        (_normal(4, 4, 1), _normal(6, 4, 2), np.ones(4, np.float32), 4, 8),
        (_normal(4, 8, 3), _normal(3, 8, 4), np.zeros(4, np.float32), 3, 6),
        (_normal(2, 4, 5), _normal(2, 4, 6), np.ones(2, np.float32), 0, 0),
    ]


def _judge_apply_plan(case: Case, expected: Any, got: Any) -> str | None:
    for what, wanted, found in zip(("stored arrays", "restored weights"), expected, got, strict=True):
        names, theirs = [[name for name, _ in one] for one in (wanted, found)]
        if names != theirs:
            return f"The {what} should have the names {names}; yours have {theirs}."
        for (name, right), (_, mine) in zip(wanted, found, strict=True):
            if right.dtype != mine.dtype:
                return f"{name!r} of the {what} should have the type {right.dtype}, but it has {mine.dtype}."
            if not same(right, mine):
                return f"{name!r} of the {what} does not hold the right numbers."
    return None


EXERCISES = (
    Exercise(quantize_dequantize, _quantize_dequantize_cases, _judge_quantize_dequantize),
    Exercise(choose_scale, _choose_scale_cases, _judge_choose_scale),
    Exercise(magnitude_mask, _magnitude_mask_cases, _judge_magnitude_mask),
    Exercise(distillation_loss, _distillation_loss_cases, _judge_distillation_loss),
)
BUILD = (
    Exercise(pack_weight, _pack_weight_cases, _judge_pack_weight, run=_use_pack_weight),
    Exercise(unpack_weight, _unpack_weight_cases, _judge_unpack_weight, run=_use_unpack_weight),
    Exercise(plan_bytes, _plan_bytes_cases, _judge_plan_bytes),
    Exercise(choose_bits, _choose_bits_cases, _judge_choose_bits, run=_use_choose_bits),
    Exercise(apply_plan, _apply_plan_cases, _judge_apply_plan, run=_use_apply_plan),
)
