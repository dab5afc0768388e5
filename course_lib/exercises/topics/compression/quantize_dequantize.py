"""Exercise: real numbers become small integers, and come back nearly the same.

Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
equation 1 (arXiv:1712.05877), with a zero point of 0. The library's version: `course_lib.compression.uniform.Grid`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, as_numbers, kind, same

Pair = tuple[np.ndarray, np.ndarray]
Scale = float | np.ndarray


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


def _case(values: Any, scale: Any, bits: int) -> Case:
    return {"values": np.array(values), "scale": scale, "bits": bits}


def _cases() -> list[Case]:
    random = np.random.default_rng(1)
    return [
        _case([0.3, -1.0, 0.7], 0.5, 8),
        _case([0.25, 0.75, 1.25, -0.25, -0.75, -1.75], 0.5, 8),  # halfway between two integers
        _case([100.0, -100.0, 63.5, 64.0, -64.0, -63.4], 0.5, 8),  # 200 has no room in an int8
        _case([[-8.0, -7.4, 7.4], [20.0, 3.0, -0.5]], 1.0, 4),
        _case([-3.0, -1.0, 0.4, 0.6, 1.5, -0.5], 1.0, 2),
        _case([[1.3, -0.8, 0.4], [1.3, -0.8, 9.0]], np.array([[0.5], [2.0]]), 8),  # each row has a scale
        _case(random.normal(size=(3, 4)), 0.03, 8),
        _case(random.normal(size=(4, 5)), 0.2, 4),
        _case(random.normal(size=(2, 2, 3)), 0.125, 5),
        _case([[0.0]], 0.1, 8),
    ]


def _at(wrong: Any) -> str:
    """The first place where an array of truth values is True, as one would write it."""
    place = [int(i) for i in np.argwhere(wrong)[0]]
    return f"Position {place[0] if len(place) == 1 else tuple(place)}"


def _number(numbers: Any, wrong: Any) -> float:
    """The number in that place."""
    return float(np.asarray(numbers)[wrong][0])


def _judge(case: Case, expected: Any, got: Any) -> str | None:
    if not isinstance(got, tuple | list) or len(got) != 2:
        return f"The result should be a pair, the integers and the values back, but it is {kind(got)}."
    for name, wanted, part in zip(("The integers", "The values back"), expected, got, strict=True):
        if problem := array_problem(wanted, part):
            return f"{name}: {problem}"
    steps, back = as_numbers(got[0]), as_numbers(got[1])
    assert steps is not None and back is not None
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


def _cut(steps: Any, low: int, high: int) -> Any:
    """Clipped, then cast by way of int64: a number without room in an int8 comes round at the other end."""
    return np.clip(steps, low, high).astype(np.int64).astype(np.int8)


def _high(bits: int) -> int:
    return int(2 ** (bits - 1) - 1)


def _rounding(rounded: Answer) -> Answer:
    """An answer that rounds in another way."""

    def answer(values: np.ndarray, scale: Scale, bits: int) -> Pair:
        integers = _cut(rounded(values / scale), -_high(bits), _high(bits))
        return integers, integers * scale

    return answer


def _ending(ends: Answer) -> Answer:
    """An answer whose grid has other ends: `ends` gives (lowest, highest) for bits."""

    def answer(values: np.ndarray, scale: Scale, bits: int) -> Pair:
        integers = _cut(np.round(values / scale), *ends(bits))
        return integers, integers * scale

    return answer


def _coming_back(back: Answer) -> Answer:
    """An answer with the right integers; `back` makes the values of (values, integers, scale)."""

    def answer(values: np.ndarray, scale: Scale, bits: int) -> Any:
        integers = quantize_dequantize(values, scale, bits)[0]
        return integers, back(values, integers, scale)

    return answer


_half_up = _rounding(lambda steps: np.floor(steps + 0.5))
_half_away = _rounding(lambda steps: np.sign(steps) * np.floor(np.abs(steps) + 0.5))
_towards_zero = _rounding(np.trunc)
_downwards = _rounding(np.floor)
_not_clipped = _ending(lambda bits: (-(2**40), 2**40))
_lowest_used = _ending(lambda bits: (-_high(bits) - 1, _high(bits)))
_one_too_far = _ending(lambda bits: (-_high(bits) - 1, _high(bits) + 1))
_sign_forgotten = _ending(lambda bits: (-(2**bits - 1), 2**bits - 1))
_always_eight = _ending(lambda bits: (-127, 127))
_unsigned = _ending(lambda bits: (0, 2**bits - 1))
_only_positive = _ending(lambda bits: (0, _high(bits)))
_values_unchanged = _coming_back(lambda values, integers, scale: values)
_scale_forgotten = _coming_back(lambda values, integers, scale: integers.astype(float))
_divided_again = _coming_back(lambda values, integers, scale: integers / scale)
_not_cut_back = _coming_back(lambda values, integers, scale: np.round(values / scale) * scale)
_lost = _coming_back(lambda values, integers, scale: values - integers * scale)


def _multiplied(values: np.ndarray, scale: Scale, bits: int) -> Any:
    integers = _cut(np.round(values * scale), -_high(bits), _high(bits))
    return integers, integers / scale


def _cast_first(values: np.ndarray, scale: Scale, bits: int) -> Any:
    wrapped = np.round(values / scale).astype(np.int64).astype(np.int8)
    integers = np.clip(wrapped, -_high(bits), _high(bits))
    return integers, integers * scale


def _values_clipped(values: np.ndarray, scale: Scale, bits: int) -> Any:
    kept = np.clip(values, -_high(bits), _high(bits))
    integers = np.round(kept / scale).astype(np.int64).astype(np.int8)
    return integers, integers * scale


def _exchanged(values: np.ndarray, scale: Scale, bits: int) -> Any:
    return quantize_dequantize(values, scale, bits)[::-1]


def _integers_alone(values: np.ndarray, scale: Scale, bits: int) -> Any:
    return quantize_dequantize(values, scale, bits)[0]


def _back_alone(values: np.ndarray, scale: Scale, bits: int) -> Any:
    return quantize_dequantize(values, scale, bits)[1]


def _as_floats(values: np.ndarray, scale: Scale, bits: int) -> Any:
    integers, back = quantize_dequantize(values, scale, bits)
    return integers.astype(float), back


EXERCISE = Exercise(
    reference=quantize_dequantize,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(_half_up, "From halfway you always round up. Go to the even integer, as np.round does."),
        WrongFunction(_half_away, "From halfway you round away from zero. Go to the even integer, as np.round does."),
        WrongFunction(_towards_zero, "You cut off what stands behind the point. Round to the nearest integer first."),
        WrongFunction(_downwards, "You round down. The nearest integer may be the one above."),
        WrongFunction(_not_clipped, "Nothing is clipped. A value beyond the grid goes to its end."),
        WrongFunction(
            _cast_first,
            "You make it an int8 before you clip. By then 200 has become -56, and clipping comes too late.",
        ),
        WrongFunction(_values_clipped, "You clip the values. Clip the integers, after the division by the scale."),
        WrongFunction(
            _lowest_used,
            "The lowest integer is one too low. On a symmetric grid there are as many below zero as above.",
        ),
        WrongFunction(_one_too_far, "Both ends are one too far. The highest integer is 2^(bits-1) - 1."),
        WrongFunction(_sign_forgotten, "The ends are those of 2^bits - 1. One bit is needed for the sign."),
        WrongFunction(_always_eight, "The ends are always -127 and 127. They depend on bits."),
        WrongFunction(_unsigned, "The integers begin at 0 and go up to 2^bits - 1. This grid has negative ones too."),
        WrongFunction(_only_positive, "Negative values become 0. The lowest integer is -high."),
        WrongFunction(_multiplied, "You multiply by the scale and divide on the way back. It is the other way round."),
        WrongFunction(_values_unchanged, "The values back are the ones you were given. Make them from the integers."),
        WrongFunction(_scale_forgotten, "The values back are still integers. Multiply them by the scale."),
        WrongFunction(_divided_again, "On the way back you divide by the scale again. Multiply by it."),
        WrongFunction(
            _not_cut_back, "The values back know nothing of the clipping. Make them from the clipped integers."
        ),
        WrongFunction(_lost, "The second part is what was lost. Give the values back themselves."),
        WrongFunction(_exchanged, "The pair is the wrong way round. The integers come first."),
        WrongFunction(_integers_alone, "These are the integers alone. Give the values back as well, as a pair."),
        WrongFunction(_back_alone, "These are the values back alone. The integers come first, as a pair."),
        WrongFunction(
            _as_floats,
            "The integers are right, but they are not stored as int8. That is where the memory is saved.",
        ),
    ),
)
