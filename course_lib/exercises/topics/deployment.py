"""Deployment: batches, tails and load shedding; the build is the queue behind a real service.

`replay` runs a script of arrivals on any queue with the methods of `course_lib.serving.RowQueue`, and names the first
property that does not hold. The tests of the library use it as well.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course_lib.exercises.exercise import Answer, Arguments, Case, Exercise, Refused
from course_lib.exercises.values import array_problem, as_whole_numbers, brief, kind, numbers_of, same

# ---------------- dynamic batching: which rows are computed together
# The library's version: `course_lib.serving.take_batch`.


def take_batch(lengths: "list[int]", max_tokens: int) -> "list[int]":
    """Positions of the next batch: the oldest row, then those nearest to it in length that still fit."""
    taken, longest = [0], lengths[0]
    others = sorted(range(1, len(lengths)), key=lambda row: (abs(lengths[row] - lengths[0]), row))
    for row in others:
        new_longest = max(longest, lengths[row])
        if (len(taken) + 1) * new_longest > max_tokens:
            continue
        taken.append(row)
        longest = new_longest
    return taken


def _take_batch_cases() -> list[Arguments]:
    random = np.random.default_rng(0)
    drawn = [(random.integers(3, 60, size=n).tolist(), tokens) for n, tokens in ((12, 100), (20, 256), (30, 64))]
    return [
        ([7], 20),
        ([50, 3], 20),  # the oldest is taken even if it is too long
        ([10, 40, 11, 9], 30),
        ([5, 6, 4, 9], 18),  # the nearest are equally near
        ([10, 12, 5, 5, 5], 40),
        ([10, 14, 7, 5], 40),  # after a row that does not fit, a shorter one does
        *drawn,
        ([*range(12, 2, -1)] * 2, 256),
    ]


def _judge_positions(case: Case, expected: Any, got: Any) -> str | None:
    positions = as_whole_numbers(got)
    if positions is None:
        return f"The result should be a list of positions, but it is {kind(got)}."
    lengths = next(iter(case.values()))
    if any(not 0 <= position < len(lengths) for position in positions):
        return f"Positions are 0 to {len(lengths) - 1}."
    if len(set(positions)) < len(positions):
        return "A position is in the list twice."
    return None if positions == expected else f"The positions should be {brief(expected)}."


# ---------------- the tail: a percentile under open load
# Schroeder, Wierman and Harchol-Balter 2006, Open versus closed: a cautionary tale (NSDI).


def open_loop_percentile(
    arrivals: np.ndarray, service: np.ndarray, failed: np.ndarray, timeout: float, q: float
) -> float:
    """The q-quantile of the latencies at one server, first come, first served, in seconds."""
    latencies, free = np.zeros(len(arrivals)), 0.0  # free: when the server can begin the next request
    for number in range(len(arrivals)):
        free = max(arrivals[number], free) + service[number]
        latencies[number] = free - arrivals[number]
    latencies[failed] = timeout
    return float(np.quantile(latencies, q, method="inverted_cdf"))


def _percentile_cases() -> list[Arguments]:
    random = np.random.default_rng(1)
    none = [False] * 10
    cases: list[Arguments] = [
        ([0.0, 1.0, 2.0, 3.0], [3.0, 0.5, 0.5, 0.5], [False] * 4, 9.0, 0.5),
        ([1.0, 2.0, 9.0, 9.5], [1.5, 1.0, 1.0, 0.25], [False] * 4, 9.0, 0.75),
        (np.arange(10.0), [0.5] * 4 + [4.0] + [0.5] * 5, none, 30.0, 0.9),  # one stall
        (np.arange(10.0), [0.5] * 10, [True, *none[1:]], 30.0, 0.95),
        ([0.0, 0.5, 1.0], [2.0, 4.0, 1.0], [False, True, False], 5.5, 0.6),
    ]
    for rate, q in ((4.0, 0.5), (8.0, 0.95), (8.0, 0.99)):
        arrivals = np.cumsum(random.exponential(1 / rate, size=60))
        cases.append((arrivals, random.exponential(0.1, size=60), random.random(60) < 0.03, 5.0, q))
    return cases


def _judge_number(case: Case, expected: Any, got: Any) -> str | None:
    if problem := array_problem(expected, got):
        return problem
    return None if same(expected, got) else f"The result should be {expected:.6g}, not {float(numbers_of(got)):.6g}."


# ---------------- load shedding: whom to refuse


def shed_load(arrivals: "list[float]", service: "list[float]", max_wait: float) -> "list[int]":
    """Numbers of the accepted requests: those that wait at most max_wait seconds for their service."""
    accepted, free = [], 0.0  # free: when the server can begin the next request
    for number, arrival in enumerate(arrivals):
        start = max(arrival, free)
        if start - arrival <= max_wait:
            accepted.append(number)
            free = start + service[number]
    return accepted


def _shed_cases() -> list[Arguments]:
    random = np.random.default_rng(2)
    drawn = [
        (np.cumsum(random.exponential(0.1, 40)).tolist(), random.exponential(seconds, 40).tolist(), wait)
        for seconds, wait in ((0.3, 0.5), (0.1, 0.2))
    ]
    return [
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], 1.0),
        ([0.0, 1.0, 2.0], [2.5, 1.0, 1.0], 1.5),  # the wait is exactly the limit
        ([0.0, 0.0, 0.0, 2.0, 2.5], [2.0, 2.0, 2.0, 1.0, 1.0], 0.5),
        ([5.0, 5.25, 9.0], [1.0, 9.0, 1.0], 0.5),  # the server is idle in between
        ([0.0, 0.5, 1.0], [0.55, 0.5, 0.5], 0.0),
        *drawn,
    ]


def _stops_at_the_first(arrivals: list[float], service: list[float], max_wait: float) -> list[int]:
    accepted = shed_load(arrivals, service, max_wait)
    return [number for place, number in enumerate(accepted) if number == place]


EXERCISES = (
    Exercise(take_batch, _take_batch_cases, _judge_positions),
    Exercise(open_loop_percentile, _percentile_cases, _judge_number),
    Exercise(shed_load, _shed_cases, _judge_positions),
)


# ================ the build: the queue behind a service ================


class _ToyModel:
    """Its logits tell the rows apart. A row with token 13 makes it raise, with 17 gives nan, with 19 no output."""

    def __init__(self) -> None:
        self.calls: list[list[tuple[int, ...]]] = []

    def logits(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        rows = [tuple(row) for row in ids]
        self.calls.append(rows)
        if any(13 in row for row in rows):
            raise ValueError("token 13")
        kept = [row for row in rows if 19 not in row]
        return np.array([[float("nan") if 17 in row else sum(row), len(row)] for row in kept]).reshape(-1, 2)


class _Future(Future[Any]):
    """One whose errors read the same in every run."""

    def __repr__(self) -> str:
        return f"a future that is {self._state.lower()}"


@dataclass(eq=False)
class _Row:
    """What the stages use of `course_lib.serving.Row`."""

    number: int
    model: Any
    ids: tuple[int, ...]
    deadline: float
    future: _Future = field(default_factory=_Future)

    @property
    def key(self) -> Hashable:
        return id(self.model), self.ids

    @property
    def status(self) -> Any:
        """What its client has got: "nothing yet", "cancelled", "TimeoutError", "an error", or the logits."""
        if not self.future.done():
            return "nothing yet"
        if self.future.cancelled():
            return "cancelled"
        if (error := self.future.exception()) is not None:
            return "TimeoutError" if isinstance(error, TimeoutError) else "an error"
        result = self.future.result()
        return "an exception as its result" if isinstance(result, Exception) else np.asarray(result).tolist()


_Spec = Sequence[Any]  # of a row: (model "a" or "b", token ids, deadline, whether its client has gone)


def _rows(specs: Sequence[_Spec], models: dict[str, _ToyModel] | None = None, first: int = 0) -> list[_Row]:
    models = {"a": _ToyModel(), "b": _ToyModel()} if models is None else models
    rows = []
    for number, (model, ids, deadline, gone) in enumerate(specs, start=first):
        rows.append(_Row(number, models[model], tuple(ids), deadline))
        if gone:
            rows[-1].future.cancel()
    return rows


def _grouped(rows: Sequence[_Row]) -> dict[Hashable, list[_Row]]:
    groups: dict[Hashable, list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.key, []).append(row)
    return groups


def _numbers(groups: Any) -> list[list[int]]:
    """The numbers of the rows of each group. Raises Refused where these are no lists of rows."""
    if not isinstance(groups, list | tuple) or not all(isinstance(group, list | tuple) for group in groups):
        raise Refused("The result should be a list of groups, and each group a list of rows.")
    if not all(isinstance(row, _Row) for group in groups for row in group):
        raise Refused("A group should contain rows, as they were given.")
    return [[row.number for row in group] for group in groups]


def _judge_parts(*names: str) -> Callable[[Case, Any, Any], str | None]:
    """A judge of several results, each with its name."""

    def judge(case: Case, expected: Any, got: Any) -> str | None:
        for name, wanted, found in zip(names, expected, got, strict=True):
            if not same(wanted, found):
                return f"{name} should be {brief(wanted)}, but you get {brief(found)}."
        return None

    return judge


# ---------------- stage 1: who gets in


def admit(waiting: "dict[Any, list[Any]]", rows: "list[Any]", max_waiting: int) -> bool:
    """Put all rows into waiting (key -> rows with this key), or none if it has too few places."""
    places = waiting.keys() | {row.key for row in rows}
    if len(places) > max_waiting:
        return False
    for row in rows:
        waiting.setdefault(row.key, []).append(row)
    return True


def _admits_a_part(waiting: dict[Any, list[Any]], rows: list[Any], max_waiting: int) -> bool:
    return all([admit(waiting, [row], max_waiting) for row in rows])


def _run_admit(answer: Answer, before: list[_Spec], new: list[_Spec], max_waiting: int) -> tuple[bool, list[list[int]]]:
    rows = _rows([*before, *new])
    waiting = _grouped(rows[: len(before)])
    accepted = answer(waiting, rows[len(before) :], max_waiting)
    if not isinstance(accepted, bool):
        raise Refused("Return True if the rows were accepted, and False if not.")
    return accepted, _numbers(list(waiting.values()))


def _waits(*ids: int, model: str = "a", deadline: float = 9.0, gone: bool = False) -> _Spec:
    return (model, list(ids), deadline, gone)


def _admit_cases() -> list[Arguments]:
    return [
        ([], [_waits(5, 6)], 3),
        ([_waits(1), _waits(2)], [_waits(3)], 3),  # the last place
        ([_waits(1), _waits(2)], [_waits(3), _waits(4)], 3),  # one too many
        ([_waits(1), _waits(2)], [_waits(2), _waits(1)], 2),  # equal rows take no more places
        ([_waits(1), _waits(1), _waits(1)], [_waits(2), _waits(2)], 2),
        ([_waits(1)], [_waits(1, model="b"), _waits(1)], 2),  # the same text for another model
        ([], [_waits(1), _waits(2), _waits(3)], 2),
    ]


# ---------------- stage 2: rows that nobody waits for


def drop_unwanted(waiting: "dict[Any, list[Any]]", now: float) -> None:
    """Remove rows whose client has gone or whose deadline has passed; the latter get a TimeoutError."""
    for key, group in list(waiting.items()):
        for row in group:
            if row.deadline <= now and not row.future.done():
                row.future.set_exception(TimeoutError())
        wanted = [row for row in group if not row.future.done()]
        if wanted:
            waiting[key] = wanted
        else:
            del waiting[key]


def _drops_silently(waiting: dict[Any, list[Any]], now: float) -> None:
    for key, group in list(waiting.items()):
        waiting[key] = [row for row in group if row.deadline > now and not row.future.done()]
        if not waiting[key]:
            del waiting[key]


def _run_drop(answer: Answer, rows: list[_Spec], now: float) -> tuple[list[list[int]], list[Any]]:
    made = _rows(rows)
    waiting = _grouped(made)
    answer(waiting, now)
    return _numbers(list(waiting.values())), [row.status for row in made]


def _drop_cases() -> list[Arguments]:
    return [
        ([_waits(1, deadline=2.0), _waits(2, deadline=4.0)], 3.0),
        ([_waits(1, gone=True), _waits(2)], 3.0),
        ([_waits(1, deadline=3.0)], 3.0),  # the deadline is now
        ([_waits(1, deadline=1.0), _waits(1, deadline=5.0), _waits(2, deadline=0.5)], 3.0),
        ([_waits(1, gone=True), _waits(1), _waits(2, gone=True, deadline=1.0)], 3.0),
        ([_waits(4), _waits(3), _waits(4, gone=True), _waits(4)], 3.0),
    ]


# ---------------- stage 3: the next batch


def next_batch(waiting: "dict[Any, Any]", max_tokens: int, take: "Any" = take_batch) -> "list[list[Any]]":
    """Remove the next batch from waiting and return its groups; all are for the oldest row's model."""
    if not waiting:
        return []
    model = next(iter(waiting.values()))[0].model
    groups = [group for group in waiting.values() if group[0].model is model]
    positions = take([len(group[0].ids) for group in groups], max_tokens)
    return [waiting.pop(groups[position][0].key) for position in positions]


def _newest(lengths: Sequence[int], max_tokens: int) -> list[int]:
    """Another policy: the last row alone."""
    return [len(lengths) - 1] if max_tokens else []


def _run_next_batch(
    answer: Answer, rows: list[_Spec], max_tokens: int, policy: str
) -> tuple[list[list[int]], list[list[int]]]:
    waiting = _grouped(_rows(rows))
    found = _numbers(answer(waiting, max_tokens, _newest) if policy == "newest" else answer(waiting, max_tokens))
    return sorted(found), _numbers(list(waiting.values()))


def _next_batch_cases() -> list[Arguments]:
    long = list(range(30, 40))
    return [
        ([_waits(1, 2), _waits(3, 4)], 10, "take_batch"),
        ([_waits(1, 2), _waits(*long), _waits(3, 4), _waits(1, 2)], 10, "take_batch"),
        ([_waits(1), _waits(2, model="b"), _waits(3), _waits(4, model="b")], 10, "take_batch"),
        ([_waits(2, 3, model="b"), _waits(*long), _waits(4, 5), _waits(6, 7, model="b")], 10, "take_batch"),
        ([], 10, "take_batch"),
        ([_waits(*long), _waits(1), _waits(1), _waits(*long[1:]), _waits(2)], 20, "take_batch"),
        ([_waits(1, 2), _waits(3), _waits(4, 5), _waits(6)], 4, "take_batch"),
        ([_waits(1), _waits(2), _waits(3)], 10, "newest"),
    ]


# ---------------- stage 4: a batch that fails


def compute_batch(batch: "list[list[Any]]") -> "list[Any]":
    """One result for each group: its logits, or a RuntimeError if the model fails on this group alone."""
    model, ids = batch[0][0].model, [group[0].ids for group in batch]
    try:
        logits = model.logits(ids)
        if len(logits) != len(ids) or not np.isfinite(logits).all():
            raise ValueError("the model gave no finite output for each row")
        return list(logits)
    except Exception as error:
        if len(batch) == 1:
            return [RuntimeError(type(error).__name__)]
        return [compute_batch([group])[0] for group in batch]


def _run_compute(answer: Answer, rows: list[_Spec]) -> tuple[list[Any], int, int]:
    """What each group gets, calls of the model, and the rows that it read."""
    models = {"a": _ToyModel()}
    results = answer(list(_grouped(_rows(rows, models)).values()))
    if not isinstance(results, list | tuple | np.ndarray):
        raise Refused(f"The result should be a list with one entry for each group, but it is {kind(results)}.")
    shown = ["an error" if isinstance(one, Exception) else np.asarray(one).tolist() for one in results]
    calls = models["a"].calls
    return shown, len(calls), sum(map(len, calls))


def _compute_cases() -> list[Arguments]:
    return [
        ([_waits(1, 2)],),
        ([_waits(1, 2), _waits(3), _waits(1, 2)],),
        ([_waits(1), _waits(13), _waits(3, 4)],),  # one row on which the model raises
        ([_waits(1), _waits(2, 17), _waits(5)],),  # nan
        ([_waits(19, 1), _waits(2)],),  # one output is missing
        ([_waits(13, 1)],),
    ]


def _judge_compute(case: Case, expected: Any, got: Any) -> str | None:
    (wanted, calls, read), (found, calls_found, read_found) = expected, got
    if len(found) != len(wanted):
        return f"There are {len(wanted)} groups in the batch, but you return {len(found)} results."
    for number, (right, one) in enumerate(zip(wanted, found, strict=True)):
        if not same(right, one):
            return f"Group {number} should get {brief(right)}, but it gets {brief(one)}."
    if calls == 1 and (calls_found, read_found) != (1, read):
        return f"The model should be called once with {read} rows, but it is called {calls_found} times."
    return None if read_found <= 2 * read else f"The model reads {read_found} rows; {read} are enough."


# ---------------- stage 5: results for those who still wait


def deliver(batch: "list[list[Any]]", results: "list[Any]") -> None:
    """Give each group's result to all of its rows that still wait; a result may be an exception."""
    for group, result in zip(batch, results, strict=True):
        for row in group:
            if row.future.done():
                continue
            if isinstance(result, Exception):
                row.future.set_exception(result)
            else:
                row.future.set_result(result)


def _run_deliver(answer: Answer, rows: list[_Spec], results: list[Any]) -> list[Any]:
    """What each row gets; a result "error" becomes an exception."""
    made = _rows(rows)
    given = [ValueError("it failed") if one == "error" else np.array(one) for one in results]
    answer(list(_grouped(made).values()), given)
    return [row.status for row in made]


def _deliver_cases() -> list[Arguments]:
    return [
        ([_waits(1)], [[0.5, 2.0]]),
        ([_waits(1), _waits(2), _waits(1)], [[0.5, 2.0], [1.0, -1.0]]),
        ([_waits(1, gone=True), _waits(2)], [[0.5, 2.0], [1.0, -1.0]]),
        ([_waits(1), _waits(1, gone=True), _waits(1)], [[0.5, 2.0]]),
        ([_waits(1), _waits(2), _waits(2)], [[0.5, 2.0], "error"]),
        ([_waits(3, gone=True)], ["error"]),
    ]


def _judge_deliver(case: Case, expected: Any, got: Any) -> str | None:
    for number, (wanted, found) in enumerate(zip(expected, got, strict=True)):
        if not same(wanted, found):
            return f"Row {number} should have {brief(wanted)}, but it has {brief(found)}."
    return None


# ---------------- stage 6: the queue


class RowQueue:
    """The rows that wait, in order of arrival. A Batcher calls these methods; `now` is a time in seconds."""

    def __init__(self, max_tokens: int = 256, max_waiting: int = 256, take: "Any" = take_batch) -> None:
        """Begin with nobody waiting."""
        self.max_tokens, self.max_waiting, self.take = max_tokens, max_waiting, take
        self.waiting: dict[object, list[object]] = {}

    def __len__(self) -> int:
        """The number of places that are taken: one for each key."""
        return len(self.waiting)

    def put(self, rows: "list[Any]", now: float) -> bool:
        """Accept all rows (True) or none (False), after those that nobody wants have left their places."""
        drop_unwanted(self.waiting, now)
        return admit(self.waiting, rows, self.max_waiting)

    def next_batch(self, now: float) -> "list[list[Any]]":
        """Remove the next batch and return it, without rows that nobody wants; [] if nobody waits."""
        drop_unwanted(self.waiting, now)
        return next_batch(self.waiting, self.max_tokens, self.take)

    def compute(self, batch: "list[list[Any]]") -> "list[Any]":
        """One result for each group of the batch."""
        return compute_batch(batch)

    def deliver(self, batch: "list[list[Any]]", results: "list[Any]") -> None:
        """Give the results to those who still wait."""
        deliver(batch, results)


class _PutsWithoutDropping(RowQueue):
    def put(self, rows: list[Any], now: float) -> bool:
        return admit(self.waiting, rows, self.max_waiting)


class _TakesWithoutDropping(RowQueue):
    def next_batch(self, now: float) -> list[list[Any]]:
        return next_batch(self.waiting, self.max_tokens, self.take)


Step = tuple[Any, ...]  # ("put", rows of (model, ids, timeout)), ("cancel", a row), ("wait", seconds) or ("work",)


class _Replay:
    """A script of arrivals, cancellations and batches on one queue; `problem` is the first property that fails."""

    def __init__(self, queue: Any, max_tokens: int, max_waiting: int, take: Answer) -> None:
        self.queue, self.max_tokens, self.max_waiting, self.take = queue, max_tokens, max_waiting, take
        self.models = {"a": _ToyModel(), "b": _ToyModel()}
        self.now = 0.0
        self.rows: list[_Row] = []
        self.waiting: dict[Hashable, list[_Row]] = {}  # as they should be in the queue
        self.promised: set[int] = set()  # rows that were accepted
        self.trace: list[Any] = []

    def forget_unwanted(self) -> None:
        """Leaves the rows that somebody waits for; a group keeps its place."""
        for key, group in list(self.waiting.items()):
            self.waiting[key] = [row for row in group if not row.future.done() and row.deadline > self.now]
            if not self.waiting[key]:
                del self.waiting[key]

    def put(self, specs: Sequence[Sequence[Any]]) -> str | None:
        """Some rows arrive together."""
        timed = [(model, ids, self.now + timeout, False) for model, ids, timeout in specs]
        rows = _rows(timed, self.models, first=len(self.rows))
        self.rows += rows
        self.forget_unwanted()
        room = len(self.waiting.keys() | {row.key for row in rows}) <= self.max_waiting
        accepted = self.queue.put(rows, self.now)
        self.trace.append(accepted)
        if accepted is not room:
            return f"put gives {accepted!r}, but there is {'room' if room else 'no room'} for all rows."
        for row in rows if room else []:
            self.waiting.setdefault(row.key, []).append(row)
            self.promised.add(row.number)
        return self.length()

    def length(self) -> str | None:
        """The queue counts the keys that wait."""
        found, right = len(self.queue), len(self.waiting)
        return None if found == right else f"len(queue) is {found}, but {right} keys wait."

    def cancel(self, number: int) -> None:
        """A client goes."""
        if self.rows:
            self.rows[number % len(self.rows)].future.cancel()

    def work(self) -> str | None:
        """One batch, from the queue to the clients."""
        self.forget_unwanted()
        chosen = self.chosen()
        batch = self.queue.next_batch(self.now)
        self.trace.append(_numbers(batch))
        if sorted(_numbers(chosen)) != sorted(_numbers(batch)):
            return f"The batch should be {brief(_numbers(chosen))}, but it is {brief(_numbers(batch))}."
        for group in chosen:
            del self.waiting[group[0].key]
        return self.length() or (self.compute(batch) if batch else None)

    def chosen(self) -> list[list[_Row]]:
        """The batch that `take` chooses among the rows for the model of the oldest."""
        groups = list(self.waiting.values())
        groups = [group for group in groups if group[0].model is groups[0][0].model]
        positions = self.take([len(group[0].ids) for group in groups], self.max_tokens) if groups else []
        return [groups[place] for place in positions]

    def compute(self, batch: list[list[_Row]]) -> str | None:
        """Every client gets its own result, by one call of the model unless it fails."""
        model, rows = batch[0][0].model, [row for group in batch for row in group]
        before = len(model.calls)
        self.queue.deliver(batch, self.queue.compute(batch))
        calls = len(model.calls) - before
        self.trace.append(calls)
        if calls != 1 and not any(_FAILS & {*row.ids} for row in rows):
            return f"The model is called {calls} times for one batch without a failure."
        return next(filter(None, map(_answer_problem, rows)), None)

    def leftover(self) -> str | None:
        """At the end nobody waits for ever."""
        late = [row for row in self.rows if row.number in self.promised and not row.future.done()]
        return f"Row {late[0].number} never gets a result." if late else None


def _answer_problem(row: _Row) -> str | None:
    """Rows of a computed batch have what the model gives for them alone."""
    expected: Any = "an error" if _FAILS & {*row.ids} else [float(sum(row.ids)), float(len(row.ids))]
    if row.status == "cancelled" or same(row.status, expected):
        return None
    return f"Row {row.number} should have {brief(expected)}, but it has {brief(row.status)}."


_FAILS = {13, 17, 19}  # the tokens on which the model fails
ALL_HOLD = "All properties hold."
_POLICIES: dict[str, Answer] = {"take_batch": take_batch, "newest": _newest}


def replay(
    queue: Answer, max_tokens: int, max_waiting: int, policy: str, script: Sequence[Step]
) -> tuple[str, list[Any]]:
    """Replays a script on a queue and checks the properties that it has to have.

    Args:
        queue: a class with the methods of `course_lib.serving.RowQueue`.
        max_tokens: of a padded batch.
        max_waiting: places in the queue.
        policy: "take_batch", or "newest" for one that takes the newest row alone.
        script: of `Step`; at its end, batches are computed until nobody waits.

    Returns:
        `ALL_HOLD`, or the first property that does not hold; and what happened, step by step.
    """
    take = _POLICIES[policy]
    run = _Replay(queue(max_tokens, max_waiting, take), max_tokens, max_waiting, take)
    rows = sum(len(step[1]) for step in script if step[0] == "put")
    for name, *values in [*script, *[("work",)] * (rows + 1)]:
        if name == "wait":
            run.now += values[0]
        elif problem := getattr(run, name)(*values):
            return problem, run.trace
    run.trace.append([row.status for row in run.rows])
    return run.leftover() or ALL_HOLD, run.trace


def _drawn_script(seed: int, steps: int) -> list[Step]:
    random = np.random.default_rng([3, seed])
    script: list[Step] = []
    for _ in range(steps):
        step = random.choice(["put", "put", "cancel", "wait", "work"])
        if step == "put":
            sizes = random.integers(1, 5, size=random.integers(1, 4)).tolist()
            rows = [
                (str(random.choice(["a", "a", "b"])), random.integers(1, 20, size=n).tolist()[:1] * n) for n in sizes
            ]
            script.append(("put", [(model, ids, float(random.choice([0.5, 2.0, 9.0]))) for model, ids in rows]))
        elif step == "work":
            script.append(("work",))
        else:
            script.append((str(step), int(random.integers(0, 9)) if step == "cancel" else 0.5))
    return script


def _queue_cases() -> list[Arguments]:
    row, other = ("a", [1, 2], 1.0), ("a", [3], 5.0)
    return [
        (20, 1, "take_batch", [("put", [row]), ("put", [other])]),
        (20, 3, "take_batch", [("put", [row, other]), ("work",), ("put", [other])]),
        (20, 2, "take_batch", [("put", [row, other]), ("wait", 1.0), ("put", [("a", [5], 5.0)])]),
        (20, 2, "take_batch", [("put", [row, other, row]), ("put", [("b", [5], 5.0)]), ("work",)]),
        (20, 4, "take_batch", [("put", [row, other]), ("cancel", 1), ("wait", 1.0), ("work",), ("put", [row])]),
        (3, 4, "take_batch", [("put", [row, other, ("a", [4, 4], 5.0), ("a", [6], 5.0)])]),
        (20, 15, "take_batch", [("put", [("a", [token + 20] * (token % 4 + 1), 9.0) for token in range(15)])]),
        (20, 9, "newest", [("put", [row, other]), ("put", [("a", [13], 9.0), ("a", [5], 9.0)])]),
        (8, 4, "take_batch", _drawn_script(0, 15)),
        (12, 6, "take_batch", _drawn_script(1, 30)),
        (6, 5, "newest", _drawn_script(2, 30)),
    ]


def _judge_queue(case: Case, expected: Any, got: Any) -> str | None:
    return None if got[0] == ALL_HOLD else str(got[0])


BUILD = (
    Exercise(admit, _admit_cases, _judge_parts("The returned value", "The waiting rows"), run=_run_admit),
    Exercise(drop_unwanted, _drop_cases, _judge_parts("The waiting rows", "What the clients get"), run=_run_drop),
    Exercise(next_batch, _next_batch_cases, _judge_parts("The batch", "The rows that still wait"), run=_run_next_batch),
    Exercise(compute_batch, _compute_cases, _judge_compute, run=_run_compute),
    Exercise(deliver, _deliver_cases, _judge_deliver, run=_run_deliver),
    Exercise(RowQueue, _queue_cases, _judge_queue, run=replay),
)
