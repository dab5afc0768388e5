"""Simulated queues: what waiting does to latency, without a server.

Time is simulated, so a run does not depend on the machine, and its seed makes it the same everywhere. All times are in
seconds.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.costs import mmc_wait_quantile, replicas_for
from course_lib.errors import BadInput
from course_lib.serving.batcher import take_batch

Floats = NDArray[np.float64]
Policy = Literal["arrival", "timer", "length"]
POLICIES: tuple[Policy, ...] = ("arrival", "timer", "length")
SCALING = ("fixed", "reactive", "planned")
MINUTES = 5  # of one interval of a day's trace
DONE, REJECTED, EXPIRED = "done", "rejected", "expired"


@dataclass(frozen=True)
class RequestRun:
    """What became of requests to a simulated queue or a real server.

    Attributes:
        arrivals: (n,) seconds until each request came, in order.
        latency: (n,) seconds from then until it left, with or without its result; NaN where nobody knows.
        status: (n,) equal to `SERVED` where it got its result.
    """

    SERVED: ClassVar[Any]

    arrivals: Floats
    latency: Floats
    status: NDArray[Any]

    @property
    def served(self) -> Floats:
        """Latencies of the requests that got their result, in seconds."""
        return np.asarray(self.latency[self.status == self.SERVED])

    @property
    def seconds(self) -> float:
        """From the first request until the last one has left, or has come if nobody knows when it left."""
        return float((self.arrivals + np.nan_to_num(self.latency)).max() - self.arrivals[0])

    def quantile(self, q: float) -> float:
        """Latency that a fraction q of the served requests did not exceed, in seconds; NaN where none was served."""
        return float(np.quantile(self.served, q)) if len(self.served) else math.nan

    def goodput(self, within: float = math.inf) -> float:
        """Results per second that came within this time (s) of their request; later ones are of no use to anyone."""
        return float(np.sum(self.served <= within)) / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class QueueRun(RequestRun):
    """What became of each simulated request.

    Attributes:
        arrivals: (n,) seconds.
        latency: (n,) seconds until its result, or until it left.
        status: (n,) "done", "rejected" (the queue was full) or "expired" (it waited longer than its timeout).
        wait: (n,) seconds until service began; until the request left where it was not served.
        batch: (n,) number of the batch that it was computed in; its own number where requests are served singly.
    """

    SERVED = DONE

    wait: Floats
    batch: NDArray[np.int64]

    def rate(self, status: str) -> float:
        """Fraction of the requests with this status."""
        return float(np.mean(self.status == status))


def poisson_arrivals(rate: float, seconds: float, seed: int) -> Floats:
    """Arrival times of an open loop: exponential gaps, as many independent users make them.

    Args:
        rate: mean requests per second.
        seconds: length of the trace.
        seed: of the gaps.

    Returns:
        (n,) increasing; n varies with the seed around rate * seconds.

    Raises:
        BadInput: a number that is not above 0, or over 10 million arrivals.
    """
    if not (rate > 0 and seconds > 0 and rate * seconds <= 1e7):
        raise BadInput(f"rate {rate} for {seconds} s", "use numbers above 0, and fewer than 10 million arrivals")
    draw = np.random.default_rng(seed)
    return np.sort(draw.uniform(0, seconds, draw.poisson(rate * seconds)))


def simulate_queue(
    arrivals: ArrayLike,
    service_seconds: ArrayLike,
    servers: int = 1,
    max_waiting: int | None = None,
    timeout: float | None = None,
) -> QueueRun:
    """First in, first out, by one or more equal servers, one request at a time.

    Args:
        arrivals: (n,) seconds, not decreasing.
        service_seconds: (n,), or one number for all.
        servers: how many work at once.
        max_waiting: requests that may wait; one that arrives when the queue is full is rejected. None for no bound.
        timeout: seconds after which a request that still waits leaves the queue, uncomputed. None for never.

    Raises:
        BadInput: arrivals that are empty or decrease; a number that is negative or not finite; fewer than one server.
    """
    times = _times(arrivals)
    service = _numbers(service_seconds, "service_seconds", len(times))
    room = math.inf if max_waiting is None else max_waiting
    patience = math.inf if timeout is None else timeout
    if not (_is_count(servers) and room >= 0 and patience >= 0):
        raise BadInput(
            f"servers {servers}, max_waiting {max_waiting}, timeout {timeout}",
            "use at least one server, and no negative numbers",
        )
    free, leaving = [float(times[0])] * servers, deque[float]()
    wait, status = np.zeros(len(times)), np.full(len(times), DONE, dtype="<U8")
    for i, now in enumerate(times.tolist()):
        while leaving and leaving[0] <= now:
            leaving.popleft()
        start = max(now, free[0])
        if start > now and len(leaving) >= room:
            status[i] = REJECTED
            continue
        if start - now > patience:
            status[i], wait[i] = EXPIRED, patience
        else:
            wait[i] = start - now
            heapq.heapreplace(free, start + service[i])
        leaving.append(now + wait[i])
    latency = wait + np.where(status == DONE, service, 0.0)
    return QueueRun(times, latency, status, wait, np.arange(len(times)))


def simulate_batches(
    arrivals: ArrayLike,
    lengths: Sequence[int],
    seconds_of: Callable[[int, int], float],
    policy: Policy = "length",
    max_tokens: int = 256,
    max_rows: int = 32,
    timer: float = 0.005,
) -> QueueRun:
    """One server that computes the waiting rows in batches, padded to their longest.

    "arrival" takes the oldest rows as soon as the server is free. "timer" does, too, but first waits for more rows
    until the oldest has waited `timer` seconds or the batch is full. "length" takes what
    `course_lib.serving.batcher.take_batch` chooses: the oldest row and rows of similar length.

    Args:
        arrivals: (n,) seconds, not decreasing.
        lengths: (n,) tokens of each row.
        seconds_of: (rows, longest) -> seconds of computing such a batch, measured or assumed.
        policy: see above.
        max_tokens: of a batch with its padding, for the policy "length".
        max_rows: of a batch.
        timer: seconds, for the policy "timer".

    Raises:
        BadInput: another policy, not one length for each arrival, or a number outside its range.
    """
    times = _times(arrivals)
    limits = _is_count(max_rows) and max_tokens >= 1 and timer >= 0
    if policy not in POLICIES or len(lengths) != len(times) or min(lengths) < 1 or not limits:
        raise BadInput(
            f"policy {policy!r}, {len(lengths)} lengths for {len(times)} arrivals, max_rows {max_rows}, max_tokens "
            f"{max_tokens}, timer {timer}",
            f"use one of {', '.join(POLICIES)}, one length for each arrival, and limits of at least 1",
        )
    wait, latency, batch = np.zeros(len(times)), np.zeros(len(times)), np.zeros(len(times), dtype=np.int64)
    waiting: list[int] = []
    upcoming, now, number = 0, float(times[0]), 0
    while waiting or upcoming < len(times):
        now = max(now, times[waiting[0] if waiting else upcoming])
        if policy == "timer":
            now = max(now, _timer_end(times, waiting[0] if waiting else upcoming, max_rows, timer))
        while upcoming < len(times) and times[upcoming] <= now:
            waiting.append(upcoming)
            upcoming += 1
        taken = _take(waiting, lengths, policy, max_tokens, max_rows)
        finish = now + seconds_of(len(taken), max(lengths[row] for row in taken))
        if not now <= finish < math.inf:
            raise BadInput(f"seconds_of gave {finish - now} s for {len(taken)} rows", "return seconds, not negative")
        wait[taken], latency[taken], batch[taken] = now - times[taken], finish - times[taken], number
        chosen = set(taken)
        waiting, now, number = [row for row in waiting if row not in chosen], finish, number + 1
    return QueueRun(times, latency, np.full(len(times), DONE), wait, batch)


def _timer_end(times: Floats, oldest: int, max_rows: int, timer: float) -> float:
    """When a batch that begins with the oldest row is sent off: it is full, or the oldest has waited long enough."""
    full = times[oldest + max_rows - 1] if oldest + max_rows <= len(times) else math.inf
    return float(min(times[oldest] + timer, full))


def _take(waiting: list[int], lengths: Sequence[int], policy: Policy, max_tokens: int, max_rows: int) -> list[int]:
    if policy != "length":
        return waiting[:max_rows]
    return [waiting[place] for place in take_batch([lengths[row] for row in waiting], max_tokens)[:max_rows]]


def closed_loop(
    clients: int, think_seconds: float, service_seconds: ArrayLike, servers: int = 1, seed: int = 0
) -> QueueRun:
    """A load test in which each client sends its next request only after the last one's result.

    While the server stalls, every client waits and sends nothing, so the many requests that real users would have sent
    then are missing from the measurement, and with them the tail (coordinated omission; Schroeder, Wierman &
    Harchol-Balter 2006, Open versus closed: a cautionary tale, NSDI). Compare with `simulate_queue` on
    `poisson_arrivals` of the same mean rate.

    Args:
        clients: how many send requests.
        think_seconds: mean of the exponential time from a result to the client's next request; 0 for none.
        service_seconds: (n,) of each request, in the order of their arrival; the run ends after n requests.
        servers: how many work at once.
        seed: of the thinking times.

    Raises:
        BadInput: fewer than one client or server, or a negative time.
    """
    service = _numbers(service_seconds, "service_seconds")
    if not (_is_count(clients) and _is_count(servers)) or not 0 <= think_seconds < math.inf:
        raise BadInput(
            f"clients {clients}, servers {servers}, think_seconds {think_seconds}",
            "use at least one client and one server, and a time that is not negative",
        )
    draw = np.random.default_rng(seed)
    sending = sorted(draw.exponential(think_seconds, clients).tolist())  # when each client sends next
    free = [0.0] * servers
    arrivals, wait = np.zeros(len(service)), np.zeros(len(service))
    for i, seconds in enumerate(service.tolist()):
        now = sending[0]
        start = max(now, free[0])
        arrivals[i], wait[i] = now, start - now
        heapq.heapreplace(free, start + seconds)
        heapq.heapreplace(sending, start + seconds + draw.exponential(think_seconds))
    return QueueRun(arrivals, wait + service, np.full(len(service), DONE), wait, np.arange(len(service)))


# A day


@dataclass(frozen=True)
class ScalingRun:
    """How a way of choosing replicas did over a trace.

    Attributes:
        policy: its name.
        replicas: (intervals,) in service.
        violated: (intervals,) whether the tail of the waits was longer than the SLO allows.
        replica_hours: paid for.
        violation_rate: fraction of all requests that arrived in a violated interval.
    """

    policy: str
    replicas: NDArray[np.int64]
    violated: NDArray[np.bool_]
    replica_hours: float
    violation_rate: float


def day_trace(seed: int, peak: float = 100.0) -> Floats:
    """A synthetic day of traffic: two peaks, at 11:00 and at 20:00, a quiet night and noise.

    Args:
        seed: of the noise: 10 % from interval to interval, and one burst of 20 minutes at a random time.
        peak: requests per second at the higher peak, before noise.

    Returns:
        (288,) mean requests per second of each 5 minutes.
    """
    if not 0 < peak < math.inf:
        raise BadInput(f"peak is {peak}", "use requests per second, above 0")
    draw = np.random.default_rng(seed)
    hour = np.arange(24 * 60 // MINUTES) * MINUTES / 60
    shape = 0.1 + 0.6 * np.exp(-(((hour - 11) / 2.5) ** 2)) + 0.9 * np.exp(-(((hour - 20) / 2) ** 2))
    burst = draw.integers(0, len(hour) - 4)
    shape[burst : burst + 4] += 0.25
    return np.asarray(peak * shape * draw.lognormal(0, 0.1, len(hour)))


def autoscale(
    rates: ArrayLike,
    service_rate: float,
    wait_seconds: float,
    policy: str,
    forecast: ArrayLike | None = None,
    margin: float = 1.25,
    startup: int = 1,
    target: float = 0.6,
    quantile: float = 0.99,
) -> ScalingRun:
    """Replicas for each 5 minutes of a trace, their price in hours, and how often the SLO was missed.

    "fixed" takes `replicas_for` the highest rate of the forecast, all day. "planned" takes `replicas_for` the forecast
    of each interval and the one after it. "reactive" sees the rate of the interval before and takes as many replicas
    as bring their utilization to `target` (the rule of Kubernetes' HorizontalPodAutoscaler); they are ready `startup`
    intervals later. Each interval is an M/M/c queue in equilibrium: an overloaded one leaves no backlog to the next.

    Args:
        rates: (intervals,) requests per second that came.
        service_rate: requests per second that one replica completes.
        wait_seconds: the SLO: a fraction `quantile` of the requests waits at most so long.
        policy: one of `SCALING`.
        forecast: (intervals,) requests per second that were expected, such as those of the day before, for "fixed" and
            "planned". None for the trace itself: perfect foresight, which nobody has.
        margin: factor on the forecast.
        startup: intervals from the decision to a replica that serves.
        target: utilization that "reactive" aims at, in (0, 1).
        quantile: of the SLO.

    Raises:
        BadInput: another policy, a forecast of another length, or a number outside its range.
    """
    came = _numbers(rates, "rates")
    expected = came if forecast is None else _numbers(forecast, "forecast", len(came))
    numbers_fit = 0 < target < 1 and startup >= 0 and margin > 0 and service_rate > 0
    if policy not in SCALING or not numbers_fit:
        raise BadInput(
            f"policy {policy!r}, target {target}, startup {startup}, margin {margin}, service_rate {service_rate}",
            f"use one of {', '.join(SCALING)}, a target between 0 and 1, and no negative numbers",
        )
    if policy == "reactive":
        seen = np.concatenate([np.repeat(came[:1], 1 + startup), came])[: len(came)]
        replicas = np.maximum(1, np.ceil(seen / (service_rate * target))).astype(np.int64)
    else:
        needed = [replicas_for(rate, service_rate, wait_seconds, quantile) for rate in expected * margin]
        ahead = np.maximum(needed, [*needed[1:], needed[-1]])
        replicas = np.full(len(came), max(needed)) if policy == "fixed" else np.asarray(ahead)
    tails = [mmc_wait_quantile(rate, service_rate, int(c), quantile) for rate, c in zip(came, replicas, strict=True)]
    violated = np.asarray(tails) > wait_seconds
    hours = float(replicas.sum()) * MINUTES / 60
    return ScalingRun(policy, replicas, violated, hours, float(came[violated].sum() / max(came.sum(), 1e-9)))


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) >= 1


def _numbers(values: ArrayLike, name: str, n: int | None = None) -> Floats:
    """(n,) numbers; with n, one number counts for all. Raises BadInput unless they are finite and not negative."""
    found: Any = np.asarray(values, dtype=np.float64)
    if n is not None and found.ndim == 0:
        found = np.full(n, found)
    is_vector = found.ndim == 1 and len(found) > 0 and n in (None, len(found))
    if not is_vector or not ((found >= 0) & (found < math.inf)).all():
        raise BadInput(
            f"{name} has the shape {found.shape}, or a wrong number", "pass finite numbers that are not negative"
        )
    return np.asarray(found)


def _times(arrivals: ArrayLike) -> Floats:
    times = _numbers(arrivals, "arrivals")
    if (np.diff(times) < 0).any():
        raise BadInput("the arrivals decrease", "pass the times in seconds in order of arrival")
    return times
