"""Load for a server, and the latencies that its clients see.

An open loop sends each request when it is due, as many independent users do, and counts latency from that moment. A
closed loop waits for a response before it sends the next request, so a server that stalls also stops the clock: few
requests notice it ("coordinated omission", Tene 2013, How NOT to measure latency).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
from collections import deque
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.errors import BadInput
from course_lib.serving.simulation import RequestRun, poisson_arrivals

NO_RESPONSE = 0  # as a status: the connection was lost, or the timeout came first
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class LoadRun(RequestRun):
    """What became of each request to a server.

    Attributes:
        arrivals: (n,) seconds from the start until the request was due.
        latency: (n,) seconds from then until the whole response was there; NaN without a response.
        status: (n,) of HTTP, or `NO_RESPONSE`.
        lateness: (n,) seconds that the client itself sent too late. Where they are not far below the latencies, the
            client was the bottleneck, and the run says little about the server.
        retries: requests that were sent again, since the server had closed a kept connection.
    """

    SERVED = 200

    lateness: NDArray[np.float64]
    retries: int = 0

    @property
    def failed(self) -> int:
        """Requests with another status than 200, or without a response."""
        return int(np.sum(self.status != self.SERVED))

    @property
    def rate(self) -> float:
        """Requests per second that were sent; NaN for a single one."""
        gaps = len(self.arrivals) - 1
        return gaps / max(float(np.ptp(self.arrivals)), 1e-9) if gaps else math.nan

    def summary(self) -> dict[str, float]:
        """The run in numbers, times in milliseconds. `p99_low` and `p99_high` are the ends of its 95 % interval."""
        low, high = quantile_interval(self.served, 0.99)
        times = {"p50": self.quantile(0.5), "p99": self.quantile(0.99), "p99_low": low, "p99_high": high}
        times["client_late_p99"] = float(np.quantile(self.lateness, 0.99))
        milliseconds = {f"{name}_ms": round(1000 * value, 2) for name, value in times.items()}
        counts = {"requests": len(self.status), "failed": self.failed, "retries": self.retries}
        return {"rate": round(self.rate, 1), "goodput": round(self.goodput(), 1), **counts, **milliseconds}


def open_loop(
    url: str, texts: Sequence[str], rate: float, seconds: float,
    seed: int = 0, timeout: float = 5.0, token: str | None = None,
) -> LoadRun:  # fmt: skip
    """Sends texts to `url`/predict at the times of a Poisson process, whether or not earlier ones are answered.

    Args:
        url: of the server, such as http://127.0.0.1:8000.
        texts: sent in turn, one in each request. Pass many: equal texts that wait are computed once.
        rate: mean requests per second.
        seconds: during which requests are sent.
        seed: of the times.
        timeout: seconds after which a request without a response is given up, counted from when it was due.
        token: that the server wants.

    Raises:
        BadInput: no texts, another address than http://, a number that is not above 0, or no request in the time.
    """
    target, arrivals = _target(url, texts, timeout, token), poisson_arrivals(rate, seconds, seed)
    if not len(arrivals):
        raise BadInput(f"no request is due in {seconds} s at {rate} requests per second", "raise one of the two")
    return _in_thread(_open(target, arrivals))


def closed_loop(
    url: str, texts: Sequence[str], clients: int, seconds: float, timeout: float = 5.0, token: str | None = None
) -> LoadRun:
    """The same with a fixed number of clients. Each waits for a response, and then sends its next request at once.

    Raises:
        BadInput: no texts, another address than http://, or a number that is not above 0.
    """
    if clients < 1 or not seconds > 0:
        raise BadInput(f"{clients} clients for {seconds} s", "use 1 client or more, and a time above 0")
    return _in_thread(_closed(_target(url, texts, timeout, token), clients, seconds))


def quantile_interval(values: ArrayLike, q: float, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the q-quantile from two of the sorted values, whatever their distribution.

    How many of n values lie below the true quantile is binomial(n, q); that gives the places of the two values
    (Conover 1999, Practical Nonparametric Statistics, section 3.2).

    Args:
        values: (n,) measurements that do not depend on each other. Latencies of neighbours in a queue do, so there
            the interval is too narrow.
        q: in (0, 1).
        confidence: fraction of such intervals that hold the true quantile.

    Returns:
        Lower and upper end; minus or plus infinity where n is too small for one (see `requests_for_quantile`).

    Raises:
        BadInput: q or confidence outside (0, 1).
    """
    _check_fractions(q, confidence)
    ordered = np.sort(np.asarray(values, np.float64))
    n, tail = len(ordered), (1 - confidence) / 2
    low, high = np.searchsorted(_binomial_cdf(n, q), [tail, 1 - tail])
    padded = np.concatenate([[-math.inf], ordered, [math.inf]])  # padded[k] is the k-th smallest value
    return float(padded[low]), float(padded[min(high + 1, n + 1)])


def requests_for_quantile(q: float = 0.99, confidence: float = 0.95) -> int:
    """The fewest requests whose interval of the q-quantile has an upper end: 368 for a p99.

    With fewer, even the slowest of them may lie below the true quantile: that has the probability q ** n.

    Raises:
        BadInput: q or confidence outside (0, 1).
    """
    _check_fractions(q, confidence)
    return math.ceil(math.log((1 - confidence) / 2) / math.log(q))


def _check_fractions(q: float, confidence: float) -> None:
    if not (0 < q < 1 and 0 < confidence < 1):
        raise BadInput(f"q is {q}, confidence {confidence}", "pass numbers between 0 and 1, such as 0.99 and 0.95")


def _binomial_cdf(n: int, q: float) -> NDArray[np.float64]:
    """P(at most k of n), (n + 1,) for k from 0."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    k = np.arange(n + 1)
    log_ways = log_factorial[n] - log_factorial - log_factorial[::-1]
    cdf: NDArray[np.float64] = np.cumsum(np.exp(log_ways + k * math.log(q) + (n - k) * math.log1p(-q)))
    return cdf


# ---- the client: HTTP/1.1 on asyncio's streams, a thirtieth of the processor time of httpx ----------------


@dataclass
class _Target:
    """A server, the requests that it will get, and the connections that are kept open."""

    host: str
    port: int
    requests: list[bytes]
    timeout: float
    idle: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=deque)
    retries: int = 0

    async def post(self, number: int, deadline: float) -> int:
        """Sends one request; its status, or `NO_RESPONSE`. `deadline` is a time of the event loop."""
        try:
            async with asyncio.timeout_at(deadline):
                return await self._post(self.requests[number % len(self.requests)])
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):  # TimeoutError is an OSError
            return NO_RESPONSE

    async def _post(self, request: bytes) -> int:
        """On a kept connection if there is one. If the server closes it first, the request is sent once more.

        A prediction changes nothing on the server, so it may be sent twice (RFC 9110, 9.2.2; RFC 9112, 9.3.1).
        """
        while self.idle:
            reader, writer = self.idle.popleft()  # the one unused for longest: load reaches every worker
            if reader.at_eof() or writer.is_closing():
                writer.close()
                continue
            try:
                return await self._exchange(reader, writer, request)
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                if getattr(error, "partial", b""):
                    raise
                self.retries += 1
                break
        return await self._exchange(*await asyncio.open_connection(self.host, self.port), request)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
        kept = False
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if length is None:
                raise ValueError("a response without Content-Length")
            await reader.readexactly(int(length[1]))
            kept = b"connection: close" not in head.lower()
            return int(head[9:12])  # after "HTTP/1.1 "
        finally:
            if kept:
                self.idle.append((reader, writer))
            else:
                writer.close()

    def close(self) -> None:
        """Closes the connections that are kept."""
        for _, writer in self.idle:
            writer.close()


def _target(url: str, texts: Sequence[str], timeout: float, token: str | None) -> _Target:
    address = urlsplit(url)
    if address.scheme != "http" or not address.hostname:
        raise BadInput(f"the address {url!r} cannot be used", "pass one such as http://127.0.0.1:8000")
    if not len(texts) or isinstance(texts, str):
        raise BadInput("there is no list of texts", "pass at least one text, better hundreds")
    if not timeout > 0:
        raise BadInput(f"timeout is {timeout}", "use seconds above 0")
    head = f"POST {address.path.rstrip('/')}/predict HTTP/1.1\r\nHost: {address.netloc}\r\n"
    head += "Content-Type: application/json\r\n" + (f"Authorization: Bearer {token}\r\n" if token else "")
    bodies = [json.dumps({"text": text}).encode() for text in texts]
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    return _Target(address.hostname, address.port or 80, requests, timeout)


def _in_thread(run: Coroutine[Any, Any, LoadRun]) -> LoadRun:
    """Runs it in an event loop of its own: Jupyter's loop runs already in this thread."""
    stop: list[Any] = []

    async def watched() -> LoadRun:
        task = asyncio.ensure_future(run)
        stop.extend([asyncio.get_running_loop().call_soon_threadsafe, task.cancel])
        return await task

    with ThreadPoolExecutor(1, thread_name_prefix="load") as thread:
        result = thread.submit(asyncio.run, watched())
        try:
            return result.result()
        except BaseException:
            if stop and not result.done():
                stop[0](stop[1])  # Ctrl-C ends the load too
            raise


async def _open(target: _Target, arrivals: NDArray[np.float64]) -> LoadRun:
    n = len(arrivals)
    latency, lateness, status = np.full(n, math.nan), np.zeros(n), np.full(n, NO_RESPONSE)
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def send(number: int, due: float) -> None:
        lateness[number] = loop.time() - due
        status[number] = await target.post(number, due + target.timeout)
        if status[number] != NO_RESPONSE:
            latency[number] = loop.time() - due

    async with asyncio.TaskGroup() as group:
        for number, seconds in enumerate(arrivals.tolist()):
            await asyncio.sleep(max(0.0, started + seconds - loop.time()))
            group.create_task(send(number, started + seconds))
    target.close()
    return LoadRun(arrivals, latency, status, lateness, target.retries)


async def _closed(target: _Target, clients: int, seconds: float) -> LoadRun:
    rows: list[tuple[float, float, int]] = []  # sent, latency, status
    numbers, loop = itertools.count(), asyncio.get_running_loop()
    started = loop.time()
    end = started + seconds

    async def client() -> None:
        while not rows or loop.time() < end:
            sent = loop.time()
            status = await target.post(next(numbers), sent + target.timeout)
            rows.append((sent - started, loop.time() - sent if status != NO_RESPONSE else math.nan, status))
            if status == NO_RESPONSE:
                await asyncio.sleep(0.01)  # a server that is gone refuses at once

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    target.close()
    arrivals, latency, status = (np.array(column) for column in zip(*sorted(rows), strict=True))
    return LoadRun(arrivals, latency, status.astype(np.int64), np.zeros(len(rows)), target.retries)
