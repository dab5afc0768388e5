"""The simulated queue against formulas and against cases worked out by hand."""

import math
from itertools import pairwise

import numpy as np
import pytest

from course_lib.costs import erlang_c, mg1_wait, mmc_wait, mmc_wait_quantile, replicas_for
from course_lib.errors import BadInput
from course_lib.serving import simulation
from course_lib.serving.simulation import (
    autoscale,
    closed_loop,
    day_trace,
    poisson_arrivals,
    simulate_batches,
    simulate_queue,
)


def mean_with_error(runs: list[float]) -> tuple[float, float]:
    return float(np.mean(runs)), float(np.std(runs, ddof=1) / math.sqrt(len(runs)))


def queue_runs(load: float, servers: int, scv: int, **limits: int) -> list[simulation.QueueRun]:
    """Twenty seeded runs at service rate 1 (exponential for scv 1, equal times for scv 0)."""
    runs = []
    for seed in range(20):
        arrivals = poisson_arrivals(load * servers, 3000, seed)
        draw = np.random.default_rng(1000 + seed)
        service = draw.exponential(1, len(arrivals)) if scv else np.ones(len(arrivals))
        runs.append(simulate_queue(arrivals, service, servers, **limits))
    return runs


@pytest.mark.parametrize(("load", "servers", "scv"), [(0.5, 1, 1), (0.8, 1, 0), (0.8, 1, 1), (0.7, 3, 1)])
def test_waits_are_those_of_the_formula(load: float, servers: int, scv: int) -> None:
    runs = queue_runs(load, servers, scv)
    mean, error = mean_with_error([float(run.wait.mean()) for run in runs])
    formula = mmc_wait(load * servers, 1, servers) if scv else mg1_wait(load, 1, 0)
    assert abs(mean - formula) < 4 * error and error < 0.1 * formula
    if scv:
        waited, error = mean_with_error([float((run.wait > 0).mean()) for run in runs])
        assert abs(waited - erlang_c(load * servers, 1, servers)) < 4 * error
        tail, error = mean_with_error([float(np.quantile(run.wait, 0.9)) for run in runs])
        assert abs(tail - mmc_wait_quantile(load * servers, 1, servers, 0.9)) < 4 * error


def test_rejections_without_a_queue_are_those_of_erlang_b() -> None:
    load, servers = 2.4, 3
    terms = [load**k / math.factorial(k) for k in range(servers + 1)]
    mean, error = mean_with_error(
        [run.rate("rejected") for run in queue_runs(load / servers, servers, 1, max_waiting=0)]
    )
    assert abs(mean - terms[-1] / sum(terms)) < 4 * error


def test_a_queue_by_hand() -> None:
    run = simulate_queue([0, 1, 1, 2, 10], 3.0, max_waiting=1, timeout=4.5)
    assert run.status.tolist() == ["done", "done", "rejected", "rejected", "done"]
    assert run.latency.tolist() == [3, 5, 0, 0, 3] and run.seconds == 13
    run = simulate_queue([0, 0, 0, 0], [3, 3, 3, 1], servers=2, timeout=2)
    assert run.status.tolist() == ["done", "done", "expired", "expired"]
    assert run.wait.tolist() == [0, 0, 2, 2] and run.latency.tolist() == [3, 3, 2, 2]
    assert run.goodput() == pytest.approx(2 / 3) and run.goodput(within=1) == 0
    assert run.quantile(1.0) == 3 and run.rate("expired") == 0.5


def test_shedding_keeps_the_goodput_under_overload() -> None:
    arrivals = poisson_arrivals(300, 20, seed=1)  # three times what one server can do
    patient = simulate_queue(arrivals, 0.01)
    shed = simulate_queue(arrivals, 0.01, max_waiting=20)
    assert patient.goodput(within=0.5) < 0.2 * 100 < 0.8 * 100 < shed.goodput(within=0.5)
    assert shed.latency.max() <= 0.01 * 22


def seconds_of(rows: int, longest: int) -> float:
    return 0.002 + 0.0001 * rows * longest


def test_batches_by_hand() -> None:
    alone = simulate_batches([0.0], [10], seconds_of, "arrival")
    assert alone.latency.tolist() == pytest.approx([0.003])
    timed = simulate_batches([0.0, 0.004], [10, 20], seconds_of, "timer")
    assert timed.wait.tolist() == pytest.approx([0.005, 0.001]) and timed.batch.tolist() == [0, 0]
    assert timed.latency.tolist() == pytest.approx([0.011, 0.007])
    full = simulate_batches([0.0, 0.001, 0.002], [10] * 3, seconds_of, "timer", max_rows=2)
    assert full.wait.tolist() == pytest.approx([0.001, 0.0, 0.005]) and full.batch.tolist() == [0, 0, 1]
    rows = simulate_batches([0.0, 0.001, 0.001, 0.001], [10, 10, 100, 12], seconds_of, "length", max_tokens=60)
    assert rows.batch[1] == rows.batch[3] != rows.batch[2]


@pytest.mark.parametrize("policy", simulation.POLICIES)
def test_every_row_is_computed_once_and_no_batch_overlaps(policy: simulation.Policy) -> None:
    arrivals = poisson_arrivals(150, 5, seed=3)
    lengths = np.random.default_rng(4).integers(5, 100, len(arrivals)).tolist()
    run = simulate_batches(arrivals, lengths, seconds_of, policy, max_rows=8)
    begin, end = run.arrivals + run.wait, run.arrivals + run.latency
    spans = []
    for batch in range(run.batch.max() + 1):
        rows = np.flatnonzero(run.batch == batch)
        assert 1 <= len(rows) <= 8 and np.ptp(begin[rows]) < 1e-9
        longest = max(lengths[row] for row in rows)
        assert end[rows[0]] - begin[rows[0]] == pytest.approx(seconds_of(len(rows), longest))
        assert policy != "length" or len(rows) == 1 or len(rows) * longest <= 256
        spans.append((begin[rows[0]], end[rows[0]]))
    assert all(now[0] >= before[1] - 1e-9 for before, now in pairwise(spans))
    assert (run.wait >= -1e-12).all() and (run.status == "done").all()


def test_batches_by_length_do_more_than_by_arrival_and_a_timer_costs_latency() -> None:
    busy, idle = poisson_arrivals(400, 5, seed=5), poisson_arrivals(10, 20, seed=6)
    lengths = np.random.default_rng(7).lognormal(3, 0.6, len(busy)).astype(int).clip(5, 128).tolist()
    work = {policy: simulate_batches(busy, lengths, seconds_of, policy).seconds for policy in simulation.POLICIES}
    assert work["length"] < 0.9 * work["arrival"]
    some = lengths[: len(idle)]
    plain, timed = (simulate_batches(idle, some, seconds_of, policy).quantile(0.5) for policy in ("arrival", "timer"))
    assert timed == pytest.approx(plain + 0.005, abs=1e-3)


def test_a_closed_loop_hides_the_tail() -> None:
    service = np.full(3000, 0.005)
    service[1000] = 2.0  # the server stalls once
    closed = closed_loop(4, 0.02, service, seed=1)
    assert closed.quantile(0.99) < 0.05  # three clients notice
    rate = len(service) / closed.seconds
    arrivals = poisson_arrivals(rate, len(service) / rate, seed=2)
    assert simulate_queue(arrivals, np.resize(service, len(arrivals))).quantile(0.99) > 1.0
    one = closed_loop(1, 0.0, [1.0, 2.0])
    assert one.arrivals.tolist() == [0, 1] and one.wait.tolist() == [0, 0] and one.latency.tolist() == [1, 2]
    assert closed_loop(5, 0.1, service, servers=5, seed=1).wait.max() == 0  # a server for each client


def test_scaling_over_a_day() -> None:
    yesterday, today = day_trace(1), day_trace(2)
    runs = {policy: autoscale(today, 10, 0.1, policy, yesterday) for policy in simulation.SCALING}
    assert runs["fixed"].replica_hours > 1.5 * max(runs["planned"].replica_hours, runs["reactive"].replica_hours)
    assert runs["planned"].violation_rate < runs["reactive"].violation_rate
    foresight = autoscale(today, 10, 0.1, "planned", margin=1.0)
    assert not foresight.violated.any()  # the formula, given the rates that came
    assert (foresight.replicas >= [replicas_for(rate, 10, 0.1) for rate in today]).all()
    steady = autoscale(np.full(12, 30.0), 10, 0.1, "reactive", target=0.5)
    assert steady.replicas.tolist() == [6] * 12 and steady.replica_hours == pytest.approx(6.0)
    step = autoscale([10.0, 100.0, 100.0, 100.0], 10, 0.1, "reactive", startup=1, target=0.25)
    assert step.replicas.tolist() == [4, 4, 4, 40] and step.violated.tolist() == [False, True, True, False]


def test_seeds_repeat() -> None:
    assert np.array_equal(day_trace(3), day_trace(3)) and not np.array_equal(day_trace(3), day_trace(4))
    assert np.array_equal(poisson_arrivals(5, 9, 1), poisson_arrivals(5, 9, 1))
    assert day_trace(1).shape == (288,) and day_trace(1, peak=50).max() < day_trace(1).max()


@pytest.mark.parametrize(
    "call",
    [
        lambda: poisson_arrivals(0, 1, 0),
        lambda: poisson_arrivals(1e9, 1e9, 0),
        lambda: simulate_queue([], 1),
        lambda: simulate_queue([2, 1], 1),
        lambda: simulate_queue([0, math.nan], 1),
        lambda: simulate_queue([0, 1], [1]),
        lambda: simulate_queue([0, 1], -1),
        lambda: simulate_queue([0, 1], math.inf),
        lambda: simulate_queue([0], 1, servers=0),
        lambda: simulate_queue([0], 1, servers=1.5),  # type: ignore[arg-type]
        lambda: simulate_queue([0], 1, max_waiting=-1),
        lambda: simulate_queue([0], 1, timeout=math.nan),
        lambda: simulate_batches([0], [1], seconds_of, "random"),  # type: ignore[arg-type]
        lambda: simulate_batches([0], [1, 2], seconds_of),
        lambda: simulate_batches([0], [0], seconds_of),
        lambda: simulate_batches([0], [1], lambda rows, longest: -1.0),
        lambda: simulate_batches([0], [1], seconds_of, max_rows=0),
        lambda: closed_loop(0, 1, [1]),
        lambda: closed_loop(1, -1, [1]),
        lambda: autoscale([1], 1, 1, "luck"),
        lambda: autoscale([1], 1, 1, "fixed", forecast=[1, 2]),
        lambda: autoscale([-1], 1, 1, "fixed"),
        lambda: autoscale([1], 1, 1, "reactive", target=1.0),
        lambda: autoscale([1], 0, 1, "reactive"),
        lambda: day_trace(1, peak=0),
    ],
)
def test_bad_input(call: object) -> None:
    with pytest.raises(BadInput):
        call()  # type: ignore[operator]
