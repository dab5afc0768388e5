"""Scale and cost: other right answers pass, sly ones do not, and the references are what the library computes."""

from __future__ import annotations

import math
from itertools import count
from typing import Any

import numpy as np
import pytest
from answers import SEED, SIZES, Answer, Edit, Mistakes, judged
from hypothesis import strategies as st

from course_lib import costs
from course_lib.exercises import reference
from course_lib.exercises.topics import scale

# ---------------------------------------------------------------- other right answers


def gradients_in_a_loop(gradients: np.ndarray, counts: np.ndarray) -> list[float]:
    total = [0.0] * gradients.shape[1]
    for gradient, rows in zip(gradients.tolist(), counts.tolist(), strict=True):
        for place, value in enumerate(gradient):
            total[place] += value * rows
    return [value / sum(counts.tolist()) for value in total]


def cost_by_seconds(requests_per_second: float, usd_per_hour: float, utilization: float) -> Any:
    seconds = 1e6 / requests_per_second / utilization
    return np.float64(seconds * (usd_per_hour / 60 / 60))


def replicas_by_sums(arrival_rate: float, service_rate: float, wait_seconds: float, quantile: float) -> Any:
    """Erlang C as in Erlang's paper, by sums of Poisson probabilities."""
    load = arrival_rate / service_rate
    for servers in count(int(load) + 1):
        logs = [n * math.log(load) - math.lgamma(n + 1) for n in range(servers + 1)]
        last = math.exp(logs[-1] - max(logs)) * servers / (servers - load)
        waits = last / (last + sum(math.exp(one - max(logs)) for one in logs[:-1]))
        if waits * math.exp((arrival_rate - servers * service_rate) * wait_seconds) <= 1 - quantile:
            return np.int64(servers)
    return None


def interval_by_power(checkpoint_seconds: float, hours_between_failures: float, machines: int) -> float:
    failures_per_second = machines / (hours_between_failures * 60 * 60)
    return (2 * checkpoint_seconds / failures_per_second) ** 0.5


RIGHT: dict[str, list[Answer]] = {
    "average_gradients": [gradients_in_a_loop],
    "cost_per_million": [cost_by_seconds, costs.cost_per_million],
    "replicas_for": [replicas_by_sums, costs.replicas_for],
    "checkpoint_interval": [interval_by_power],
}
RATE = st.floats(0.5, 500)
DRAWN = {
    "average_gradients": st.builds(
        lambda random, processes, size: (random.normal(size=(processes, size)), random.integers(1, 9, size=processes)),
        *(SEED, SIZES, SIZES),
    ),
    "cost_per_million": st.tuples(RATE, st.floats(0, 9), st.floats(0.01, 1)),
    "replicas_for": st.builds(
        lambda load, rate, wait, quantile: (load * rate, rate, wait, quantile),
        *(st.floats(0.1, 40), RATE, st.floats(0, 2), st.floats(0.3, 0.99)),
    ),
    "checkpoint_interval": st.tuples(RATE, RATE, st.integers(1, 64)),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "average_gradients": [("counts > 0", "counts > 4"), ("counts.sum()", "max(32, counts.sum())")],
    "cost_per_million": [("* utilization", "* max(0.1, utilization)"), ("* 1_000_000", "* 1_000_000 or 1.0")],
    "replicas_for": [("+= 1", "+= 1 + (replicas > 60)"), ("return replicas", "return min(replicas, 10)")],
    "checkpoint_interval": [("/ machines", "/ min(machines, 8)"), ("_failures * 3600", "_failures // 0.5 * 1800")],
}  # fmt: skip
MISTAKES: Mistakes = {
    "average_gradients": [(lambda gradients, counts: gradients.mean(0) + 1e-3, "The number at [0] should be")],
    "replicas_for": [(lambda *given: 1.5, "a whole number"), (lambda *given: "3", "a whole number, but it is a str")],
}
TestExercises = judged(scale.EXERCISES, RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- texts, and the library


def test_intervals_are_youngs() -> None:
    for seconds, hours, machines in ((50.0, 1.0, 4), (300.0, 720.0, 64)):
        expected = costs.checkpoint_interval(seconds, hours * 3600 / machines, "young")
        assert reference.checkpoint_interval(seconds, hours, machines) == pytest.approx(expected)


def test_unequal_processes_give_the_gradient_of_one_process() -> None:
    """On a least-squares problem, where the gradient of all rows is known."""
    random = np.random.default_rng(0)
    x, y, weights = random.normal(size=(40, 3)), random.normal(size=40), random.normal(size=3)

    def gradient(rows: slice) -> Any:
        return 2 * x[rows].T @ (x[rows] @ weights - y[rows]) / len(x[rows])

    parts = np.array([gradient(slice(30)), gradient(slice(30, 40))])
    np.testing.assert_allclose(reference.average_gradients(parts, np.array([30, 10])), gradient(slice(40)))
    assert not np.allclose(parts.mean(0), gradient(slice(40)), rtol=0.01), "the mean of the means is another gradient"


def test_the_worked_examples_of_the_tasks() -> None:
    assert reference.average_gradients(np.array([[1.0, 4.0], [3.0, 0.0]]), np.array([3, 1])).tolist() == [1.5, 3.0]
    assert [reference.cost_per_million(100, 0.36, u) for u in (1.0, 0.25)] == pytest.approx([1, 4])
    assert [reference.checkpoint_interval(50, 1, machines) for machines in (1, 4)] == pytest.approx([600, 300])


def test_the_numbers_of_the_quiz() -> None:
    weights = [0.5 / rows for rows in (30, 10)]
    assert weights[1] == pytest.approx(3 * weights[0])
    copy = 110e6 * (4 + 4 + 8) / 1e9
    assert (copy, copy / 4, 110e6 * 4 / 1e9, 110e6 / 1e9) == pytest.approx((1.76, 0.44, 0.44, 0.11))
    assert costs.break_even(300, 10) == pytest.approx(30e6)
    assert (300 / 50, 50 * 10) == (6, 500)
    assert [round(costs.erlang_c(8 * n, 1, 10 * n), 2) for n in (1, 2)] == [0.41, 0.26]
    assert costs.mmc_wait(16, 1, 20) < costs.mmc_wait(8, 1, 10)
    assert (5e9 * 100 / 2e12, 2e12 / 5e9) == (0.25, 400)
