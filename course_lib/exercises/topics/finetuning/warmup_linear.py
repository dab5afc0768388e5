"""Exercise: a learning rate that rises, then falls, both in a straight line."""

from __future__ import annotations

from typing import Any

from course_lib.exercises.exercise import Case, Exercise, WrongFunction
from course_lib.exercises.values import array_problem, same


def warmup_linear(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    """The learning rate of one step, 0 <= step < total_steps: `peak` at step `warmup_steps`, never 0."""
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (total_steps - step) / (total_steps - warmup_steps)


def _cases() -> list[Case]:
    whole_run = [(step, 10, 4, 1.0) for step in (0, 3, 4, 5, 9)]
    others = [(0, 5, 0, 0.5), (4, 5, 0, 0.5), (1, 100, 10, 2e-2), (10, 100, 10, 2e-2), (55, 100, 10, 2e-2)]
    edges = [(0, 1, 0, 3.0), (0, 2, 1, 1.0), (1, 2, 1, 1.0), (6, 8, 7, 2.0), (7, 8, 7, 2.0), (999, 1000, 1, 1.0)]
    names = ("step", "total_steps", "warmup_steps", "peak")
    return [dict(zip(names, values, strict=True)) for values in (*whole_run, *others, *edges)]


def _judge(case: Case, expected: Any, got: Any) -> str | None:
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


def _first_step_zero(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * step / warmup_steps
    return peak * (total_steps - step) / (total_steps - warmup_steps)


def _peak_too_early(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    return peak * (total_steps - step) / (total_steps - warmup_steps)


def _last_step_zero(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (total_steps - 1 - step) / max(1, total_steps - 1 - warmup_steps)


def _falls_one_early(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (total_steps - step - 1) / (total_steps - warmup_steps)


def _falls_from_the_start(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (total_steps - step) / total_steps


def _stays(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    return peak * min(1.0, (step + 1) / (warmup_steps + 1))


def _no_warmup(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    return peak * (total_steps - step) / total_steps


def _no_peak(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    return warmup_linear(step, total_steps, warmup_steps, 1.0)


def _share_done(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    return peak * (step - warmup_steps) / (total_steps - warmup_steps)


def _whole_division(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * ((step + 1) // (warmup_steps + 1))
    return peak * ((total_steps - step) // (total_steps - warmup_steps))


def _rises_over_all(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    if step < warmup_steps:
        return peak * (step + 1) / total_steps
    return peak * (total_steps - step) / (total_steps - warmup_steps)


def _divides_by_warmup(step: int, total_steps: int, warmup_steps: int, peak: float) -> float:
    rising = step / warmup_steps
    return peak * min(rising, (total_steps - step) / (total_steps - warmup_steps))


EXERCISE = Exercise(
    reference=warmup_linear,
    cases=_cases,
    judge=_judge,
    wrong=(
        WrongFunction(
            _first_step_zero,
            "Step 0 has rate 0, so it is computed for nothing. After step 0 one stride is done: count step + 1.",
        ),
        WrongFunction(
            _peak_too_early,
            "The peak comes one step too early and stands for two steps. Up to it there are warmup_steps + 1 strides.",
        ),
        WrongFunction(
            _last_step_zero,
            "The last step has rate 0, so it is computed for nothing. 0 would come one step later.",
        ),
        WrongFunction(
            _falls_one_early,
            "The fall begins one step too early: step warmup_steps should have the whole peak.",
        ),
        WrongFunction(
            _falls_from_the_start,
            "The rate drops at the end of the warm-up. The falling line has total_steps - warmup_steps strides.",
        ),
        WrongFunction(_stays, "The rate rises and then stays. It should fall towards 0."),
        WrongFunction(_no_warmup, "The rate falls from the start. In the first warmup_steps steps it should rise."),
        WrongFunction(_no_peak, "The peak is always 1. Multiply by `peak`."),
        WrongFunction(
            _share_done,
            "After the warm-up the rate begins at 0 and rises again. Count the steps left, not the steps done.",
        ),
        WrongFunction(_whole_division, "`//` cuts off everything behind the point. Divide with `/`."),
        WrongFunction(_rises_over_all, "While rising you divide by total_steps. The peak is reached at warmup_steps."),
        WrongFunction(
            _divides_by_warmup,
            "You divide by warmup_steps, which may be 0. Count the strides up to the peak: warmup_steps + 1.",
        ),
    ),
)
