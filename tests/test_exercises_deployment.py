"""Deployment: other right answers pass, sly ones do not, and the library's queue has the properties of the build."""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from answers import SEED, SIZES, Answer, Edit, Mistakes, judged
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.evaluation import wilson_interval
from course_lib.exercises import reference
from course_lib.exercises.topics import deployment
from course_lib.exercises.topics.deployment import ALL_HOLD, Step, replay
from course_lib.serving import Batcher, QueueFull, RowQueue, take_batch
from course_lib.serving.simulation import simulate_queue

# ---------------------------------------------------------------- other right answers


def batch_by_selection(lengths: list[int], max_tokens: int) -> Any:
    batch, left = [0], list(range(1, len(lengths)))
    while left:
        nearest = min(left, key=lambda row: abs(lengths[row] - lengths[0]))  # the first of equal ones
        left.remove(nearest)
        longest = max(lengths[row] for row in [*batch, nearest])
        if longest * (len(batch) + 1) <= max_tokens:
            batch.append(nearest)
    return np.array(batch)


def percentile_by_rank(arrivals: Any, service: Any, failed: Any, timeout: float, q: float) -> float:
    latencies, before = [], -math.inf
    for arrival, seconds, fails in zip(arrivals.tolist(), service.tolist(), failed.tolist(), strict=True):
        before = (arrival if arrival > before else before) + seconds
        latencies.append(timeout if fails else before - arrival)
    return sorted(latencies)[math.ceil(q * len(latencies) - 1e-9) - 1]


def shed_by_backlog(arrivals: list[float], service: list[float], max_wait: float) -> tuple[int, ...]:
    backlog, last, accepted = 0.0, 0.0, []
    for number, (arrival, seconds) in enumerate(zip(arrivals, service, strict=True)):
        backlog = max(0.0, backlog - (arrival - last))
        last = arrival
        if backlog < max_wait + 1e-9:
            accepted.append(number)
            backlog += seconds
    return tuple(accepted)


def admit_with_a_copy(waiting: dict[Any, list[Any]], rows: list[Any], max_waiting: int) -> bool:
    changed = {key: list(group) for key, group in waiting.items()}
    for row in rows:
        changed[row.key] = [*changed.get(row.key, []), row]
    if len(changed) <= max_waiting:
        waiting.update(changed)
    return len(changed) <= max_waiting


def drop_row_by_row(waiting: dict[Any, list[Any]], now: float) -> None:
    for row in [row for group in waiting.values() for row in group]:
        if not row.future.done():
            if now < row.deadline:
                continue
            row.future.set_exception(TimeoutError("too late"))
        waiting[row.key].remove(row)
        if not waiting[row.key]:
            waiting.pop(row.key)


def batch_in_a_loop(waiting: dict[Any, list[Any]], max_tokens: int, take: Any = take_batch) -> Any:
    groups: dict[Any, list[list[Any]]] = defaultdict(list)
    for group in waiting.values():
        groups[id(group[0].model)].append(group)
    if not groups:
        return ()
    mine = next(iter(groups.values()))
    chosen = tuple(mine[place] for place in sorted(take([len(group[0].ids) for group in mine], max_tokens)))
    for group in chosen:
        del waiting[group[0].key]
    return chosen


def compute_by_halves(batch: list[list[Any]]) -> list[Any]:
    try:
        found = batch[0][0].model.logits([group[0].ids for group in batch])
        if found.shape[:1] == (len(batch),) and not np.isnan(found).any():
            return found.tolist()
    except ValueError as error:
        if len(batch) == 1:
            return [error]
    if len(batch) == 1:
        return [ArithmeticError()]
    return [result for group in batch for result in compute_by_halves([group])]


def deliver_in_one_loop(batch: list[list[Any]], results: list[Any]) -> None:
    for row, result in [(row, result) for group, result in zip(batch, results, strict=True) for row in group]:
        if not row.future.done():
            (row.future.set_exception if isinstance(result, BaseException) else row.future.set_result)(result)


RIGHT: dict[str, list[Answer]] = {
    "take_batch": [batch_by_selection, take_batch],
    "open_loop_percentile": [percentile_by_rank],
    "shed_load": [shed_by_backlog],
    "admit": [admit_with_a_copy],
    "drop_unwanted": [drop_row_by_row],
    "next_batch": [batch_in_a_loop],
    "compute_batch": [compute_by_halves],
    "deliver": [deliver_in_one_loop],
    "RowQueue": [RowQueue],
}
DRAWN = {
    "take_batch": st.tuples(st.lists(st.integers(1, 40), min_size=1, max_size=20), st.integers(1, 200)),
    "shed_load": st.builds(
        lambda random, n, wait: (np.cumsum(random.random(5 * n)).tolist(), random.exponential(1, 5 * n).tolist(), wait),
        *(SEED, SIZES, st.floats(0, 3)),
    ),
}

# ---------------------------------------------------------------- sly answers, right on most cases

SLY: dict[str, list[Answer | Edit]] = {
    "take_batch": [("return taken", "return taken[:8]"), ("range(1, len(lengths))", "range(1, min(9, len(lengths)))")],
    "open_loop_percentile": [('"inverted_cdf"', '"higher"'), ("= timeout", "= latencies.max()")],
    "shed_load": [("<= max_wait", "<= max(0.1, max_wait)"), ("return accepted", "return accepted[:20]")],
    "admit": [("> max_waiting", "> max(3, max_waiting)"), (".append(row)", ".insert(0, row)")],
    "drop_unwanted": [("set_exception(TimeoutError())", "cancel()"), ("= wanted", "= wanted[:1]")],
    "next_batch": [("is model]", "is model][:2]"), ("max_tokens)", "max(max_tokens, 20))")],
    "compute_batch": [("isfinite(logits)", "isfinite(logits[:1])"), ("[RuntimeError(type(error).__name__)]", "[None]")],
    "deliver": [("in group:", "in dict.fromkeys(group[:2]):"), ("set_exception(result)", "cancel()")],
    "RowQueue": [("self.take)\n", "self.take)[:3]\n"), ("max_waiting, take\n", "max(2, max_waiting), take\n")],
}  # fmt: skip


def gives_nothing(waiting: Any, rows: Any, max_waiting: int) -> None:
    reference.admit(waiting, rows, max_waiting)


def rows_instead_of_groups(waiting: Any, max_tokens: int, take: Any = take_batch) -> list[Any]:
    return [group[0] for group in reference.next_batch(waiting, max_tokens, take)]


MISTAKES: Mistakes = {
    "take_batch": [(lambda lengths, most: [0, 0], "twice"), (lambda lengths, most: [99], "Positions are 0 to 0")],
    "admit": [(gives_nothing, "Return True if the rows were accepted")],
    "next_batch": [(rows_instead_of_groups, "a list of groups"), (lambda *given: [["x"]], "as they were given")],
    "compute_batch": [
        (lambda batch: 5, "a list with one entry"),
        (lambda batch: [0.0] * 9, "1 groups in the batch"),
    ],
}
TestExercises = judged((*deployment.EXERCISES, *deployment.BUILD), RIGHT, SLY, MISTAKES, DRAWN)

# ---------------------------------------------------------------- the library's queue has the properties of the build

ROW = st.tuples(
    st.sampled_from("aab"), st.lists(st.integers(1, 20), min_size=1, max_size=4), st.sampled_from([0.5, 1.0, 9.0])
)
STEP = st.one_of(
    st.tuples(st.just("put"), st.lists(ROW, max_size=4)),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("wait"), st.sampled_from([0.25, 0.5, 1.0])),
    st.tuples(st.just("work")),
)


@given(
    script=st.lists(STEP, max_size=25),
    max_tokens=st.integers(1, 20),
    max_waiting=st.integers(1, 6),
    policy=st.sampled_from(["take_batch", "newest"]),
)
@settings(max_examples=300, deadline=None)
def test_no_order_of_events_breaks_a_property(
    script: list[Step], max_tokens: int, max_waiting: int, policy: str
) -> None:
    """Bounded, all or none, oldest first, nothing computed in vain, everyone gets one result, a bad row fails alone."""
    for queue in (RowQueue, reference.RowQueue):
        assert replay(queue, max_tokens, max_waiting, policy, script)[0] == ALL_HOLD


class Model:
    """Its logits are the sum of a row and its length; it fails on 13. `batches` are the sizes of its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def logits(self, ids: Any) -> Any:
        self.batches.append(len(ids))
        if any(13 in row for row in ids):
            raise ValueError("13")
        return np.array([[sum(row), len(row)] for row in ids], np.float32)


@pytest.mark.parametrize("queue", [RowQueue, reference.RowQueue], ids=["library", "build"])
def test_the_batcher_runs_either_queue(queue: Answer) -> None:
    model = Model()

    async def serve() -> list[Any]:
        batcher = Batcher(queue=queue(max_tokens=30, max_waiting=5))
        batcher.start()
        futures = batcher.submit(model, [(4, 5), (13,), (4, 5), (6, 7)], timeout=60)
        with pytest.raises(QueueFull):
            batcher.submit(model, [(1,), (2,), (3,)], timeout=60)
        futures[-1].cancel()
        found = await asyncio.gather(*futures, return_exceptions=True)
        unfinished = batcher.submit(model, [(9,)], timeout=60)
        await batcher.stop()
        return [*found, *await asyncio.gather(*unfinished, return_exceptions=True)]

    first, bad, equal, gone, stopped = asyncio.run(serve())
    assert first.tolist() == equal.tolist() == [9, 2]
    assert isinstance(bad, RuntimeError) and "ValueError" in str(bad)
    assert isinstance(gone, asyncio.CancelledError) and isinstance(stopped, asyncio.CancelledError)
    assert model.batches == [2, 1, 1], "the equal rows once; the two groups together, and then each alone"


# ---------------------------------------------------------------- texts


def test_percentiles_are_those_of_the_simulation() -> None:
    random = np.random.default_rng(0)
    arrivals, service = np.cumsum(random.exponential(0.1, 200)), random.exponential(0.08, 200)
    run = simulate_queue(arrivals, service)
    expected = np.quantile(run.latency, 0.95, method="inverted_cdf")
    found = reference.open_loop_percentile(arrivals, service, np.zeros(200, dtype=bool), 9.0, 0.95)
    assert found == pytest.approx(expected)


def test_the_worked_examples_of_the_tasks() -> None:
    assert reference.take_batch([10, 40, 11, 9], 30) == [0, 2]
    times = np.arange(4.0), np.array([3.0, 0.5, 0.5, 0.5]), np.zeros(4, dtype=bool)
    assert [reference.open_loop_percentile(*times, 9.0, q) for q in (0.25, 0.5, 0.75, 1.0)] == [1.5, 2.0, 2.5, 3.0]
    assert reference.shed_load([0.0] * 3, [1.0] * 3, 1.0) == [0, 1]


def test_the_numbers_of_the_quiz() -> None:
    waits = [load / (1 - load) for load in (0.5, 0.9)]
    assert waits[1] / waits[0] == pytest.approx(9)
    interval = wilson_interval(30, 1000)
    assert (round(100 * interval.low, 1), round(100 * interval.high, 1)) == (2.1, 4.3)
    assert 2 * 100 / (20 * 100) == 0.1, "users who meet a stall of 2 s among those of 20 s"


def test_the_overload_of_the_quiz() -> None:
    """300 arrivals a second at a capacity of 100, clients wait 2 s: without a bound nearly nobody is served in time."""
    arrivals = np.arange(9000) / 300
    useful = []
    for accepted in (range(9000), reference.shed_load(arrivals.tolist(), [0.01] * 9000, 1.9)):
        free, in_time = 0.0, 0
        for number in accepted:
            free = max(free, arrivals[number]) + 0.01
            in_time += free - arrivals[number] <= 2 and arrivals[number] > 10
        useful.append(in_time / 20)
    assert useful[0] == 0 and useful[1] == pytest.approx(100, rel=0.05)
