"""Scale and cost: the gradient of several processes, the price of a million requests, replicas, checkpoints."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_lib.exercises.exercise import Arguments, Case, Exercise
from course_lib.exercises.values import array_problem, as_whole_numbers, judge_array, kind, numbers_of, same


def _judge_number(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    return None if same(expected, got) else f"The result should be {expected:.6g}, not {float(numbers_of(got)):.6g}."


# ---------------- data parallelism: one gradient from several processes
# Li et al. 2020, PyTorch Distributed, section 3 (arXiv:2006.15704). The library's version is in `course_lib.scaling`.


def average_gradients(gradients: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Gradient of the mean loss over all rows, from those of processes that have counts (processes,) rows."""
    with_rows = counts > 0
    weights = counts[with_rows] / counts.sum()
    return np.asarray(weights @ gradients[with_rows])


def _gradients_cases() -> list[Arguments]:
    random = np.random.default_rng(0)
    return [
        ([[1.0, 4.0], [3.0, 0.0]], [3, 1]),
        ([[1.0, 4.0], [3.0, 0.0]], [8, 8]),
        ([[2.0, -1.0], [1e300, -1e300]], [5, 0]),  # a process without rows has whatever was in its memory
        ([[0.5], [2.0], [4.0]], [4, 4, 1]),
        (random.normal(size=(4, 6)), [32, 32, 32, 7]),
        (random.normal(size=(3, 5)), [0, 9, 3]),
        ([[1.5, -2.5, 0.0]], [16]),
    ]


# ---------------- money: a million requests
# The library's version: `course_lib.costs.cost_per_million`.


def cost_per_million(requests_per_second: float, usd_per_hour: float, utilization: float) -> float:
    """US dollars for a million requests, on a machine that is busy a fraction `utilization` of its time."""
    requests_per_hour = requests_per_second * 3600 * utilization
    return usd_per_hour / requests_per_hour * 1_000_000


def _cost_cases() -> list[Arguments]:
    return [
        (100.0, 0.36, 1.0),
        (100.0, 0.36, 0.25),
        (250.0, 0.0425, 0.5),
        (8.0, 0.17, 0.9),
        (3000.0, 1.2, 0.05),
        (40.0, 0.0, 0.3),
    ]


# ---------------- waiting: how many replicas
# Erlang 1917; Cooper 1981, Introduction to Queueing Theory, section 3.5. The library's version:
# `course_lib.costs.replicas_for`.


def replicas_for(arrival_rate: float, service_rate: float, wait_seconds: float, quantile: float) -> int:
    """Fewest replicas with which this fraction of the requests waits at most wait_seconds (M/M/c)."""
    load = arrival_rate / service_rate
    blocked, replicas = 1.0, 0
    while True:
        replicas += 1
        blocked = load * blocked / (replicas + load * blocked)  # Erlang B
        spare = replicas * service_rate - arrival_rate
        if spare <= 0:
            continue
        waits = blocked / (1 - load / replicas * (1 - blocked))  # Erlang C
        late = waits * np.exp(-spare * wait_seconds)
        if late <= 1 - quantile:
            return replicas


def _skips_the_small_numbers(arrival_rate: float, service_rate: float, wait_seconds: float, quantile: float) -> int:
    load, blocked, replicas = arrival_rate / service_rate, 1.0, 0
    while True:
        replicas += 1
        spare = replicas * service_rate - arrival_rate
        if spare <= 0:
            continue
        blocked = load * blocked / (replicas + load * blocked)
        waits = blocked / (1 - load / replicas * (1 - blocked))
        if waits * np.exp(-spare * wait_seconds) <= 1 - quantile:
            return replicas


def _replicas_cases() -> list[Arguments]:
    return [
        (50.0, 100.0, 0.05, 0.9),
        (90.0, 100.0, 0.05, 0.99),
        (200.0, 100.0, 0.1, 0.95),
        (500.0, 100.0, 0.02, 0.99),
        (990.0, 100.0, 0.5, 0.9),
        (4.0, 2.0, 0.0, 0.5),
        (1000.0, 20.0, 0.25, 0.999),
        (15.0, 10.0, 3.0, 0.99),
        (30.0, 10.0, 0.25, 0.9),
        (500.0, 100.0, 0.001, 0.99),
        (1900.0, 20.0, 0.1, 0.99),
        (90.0, 100.0, 0.0, 0.2),
    ]


def _judge_replicas(case: Case, expected: Any, got: Any) -> str | None:
    if as_whole_numbers([got]) is None and not isinstance(got, np.integer):
        return f"The result should be a whole number, but it is {kind(got)}."
    return None if got == expected else f"The result should be {expected}, not {got}."


# ---------------- machines that can be taken away: how often to write a checkpoint
# Young 1974, A First Order Approximation to the Optimum Checkpoint Interval (CACM 17:530). The library's version:
# `course_lib.costs.checkpoint_interval`, which has Daly's correction as well.


def checkpoint_interval(checkpoint_seconds: float, hours_between_failures: float, machines: int) -> float:
    """Young's interval between checkpoints in seconds; the hours are those of one machine."""
    seconds_between_failures = hours_between_failures * 3600 / machines
    return float(np.sqrt(2 * checkpoint_seconds * seconds_between_failures))


def _checkpoint_cases() -> list[Arguments]:
    return [
        (50.0, 1.0, 1),
        (50.0, 1.0, 4),
        (2.0, 0.25, 1),
        (30.0, 24.0, 8),
        (300.0, 720.0, 64),
        (0.5, 12.0, 2),
    ]


EXERCISES = (
    Exercise(average_gradients, _gradients_cases, judge_array),
    Exercise(cost_per_million, _cost_cases, _judge_number),
    Exercise(replicas_for, _replicas_cases, _judge_replicas),
    Exercise(checkpoint_interval, _checkpoint_cases, _judge_number),
)
