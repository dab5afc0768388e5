"""The load generator against servers whose behaviour is known: delays, a stall, lost connections."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import pytest
import uvicorn
from scipy import stats

from course_lib.errors import BadInput
from course_lib.serving import Batcher, QueueFull, RowQueue, take_batch
from course_lib.serving.load import (
    NO_RESPONSE,
    LoadRun,
    closed_loop,
    open_loop,
    quantile_interval,
    requests_for_quantile,
)
from course_lib.serving.simulation import poisson_arrivals


class Stub:
    """An ASGI application: the text says how long to wait, and whether the whole server stalls."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.stalls = 0

    async def __call__(self, scope: dict[str, Any], receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        text = json.loads(body)["text"]
        self.texts.append(text)
        if len(self.texts) == self.stalls:
            time.sleep(0.5)  # in the event loop: nobody is answered meanwhile
        await asyncio.sleep(float(text))
        status = 200 if dict(scope["headers"]).get(b"authorization") in (None, b"Bearer right") else 401
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


@pytest.fixture
def stub() -> Iterator[tuple[Stub, str]]:
    application = Stub()
    config = uvicorn.Config(application, lifespan="off", log_level="error", ws="none")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()  # before the first client comes
        thread = threading.Thread(target=server.run, args=[[listening]])
        thread.start()
        yield application, f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@contextmanager
def raw_server(answers: int) -> Iterator[str]:
    """A server that gives each connection so many responses and closes it at the request after them."""

    def talk(client: socket.socket) -> None:
        with closing(client):
            for number in range(answers + 1):
                if not client.recv(65536) or number == answers:
                    return
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=[client], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def test_an_open_loop_sends_on_schedule_and_counts_from_it(stub: tuple[Stub, str]) -> None:
    server, url = stub
    run = open_loop(url, ["0.03", "0.2"], rate=60, seconds=1, seed=3)
    assert run.arrivals.tolist() == poisson_arrivals(60, 1, 3).tolist()
    assert len(server.texts) == len(run.status) and run.failed == 0 and run.retries == 0
    assert (run.latency[0::2] >= 0.03).all() and (run.latency[1::2] >= 0.2).all()  # texts are sent in turn
    # One client that waits needs 0.115 s a request; the open loop does not wait.
    assert run.seconds < 0.115 * len(run.status) / 2
    assert run.goodput(0.1) < run.goodput() <= run.rate * 1.5


def test_a_stall_shows_in_the_open_loop_and_hides_in_the_closed_one(stub: tuple[Stub, str]) -> None:
    server, url = stub
    server.stalls = 20
    opened = open_loop(url, ["0.005"], rate=100, seconds=1.5)
    server.texts.clear()
    closed = closed_loop(url, ["0.005"], clients=1, seconds=1.5)
    slow = [float(np.mean(run.latency > 0.1)) for run in (opened, closed)]
    assert slow[0] > 0.15 and slow[0] > 4 * slow[1]  # 0.4 s of 1.5 s, against one request
    assert closed.latency.max() >= 0.5


def test_a_request_on_a_connection_that_was_closed_is_sent_again() -> None:
    with raw_server(answers=3) as url:
        run = closed_loop(url, ["a"], clients=1, seconds=0.3)
    assert run.failed == 0 and 0 < run.retries <= len(run.status) / 3


def test_lost_connections_and_timeouts_have_no_latency() -> None:
    with raw_server(answers=0) as url:
        lost = open_loop(url, ["a"], rate=40, seconds=0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        late = open_loop(url, ["a"], rate=40, seconds=0.5, timeout=0.1)
    refused = closed_loop(url, ["a"], clients=2, seconds=0.1)
    for run in (lost, late, refused):
        assert (run.status == NO_RESPONSE).all() and np.isnan(run.latency).all() and run.failed == len(run.status) > 0
        assert np.isnan(run.quantile(0.5)) and run.goodput() == 0


def test_a_server_that_dies_has_no_goodput_for_the_time_after() -> None:
    latency = np.full(401, np.nan)
    latency[0] = 0.01
    run = LoadRun(np.linspace(0, 4, 401), latency, np.where(np.isnan(latency), NO_RESPONSE, 200), np.zeros(401))
    assert run.seconds == 4 and run.goodput() == 0.25 and run.failed == 400
    assert run.rate == 100  # 400 gaps in 4 s


def test_a_closed_loop_sends_at_least_one_request() -> None:
    with raw_server(answers=3) as url:
        assert len(closed_loop(url, ["a"], clients=1, seconds=1e-9).status) == 1


def test_it_runs_inside_an_event_loop_with_a_token(stub: tuple[Stub, str]) -> None:
    async def cell() -> tuple[LoadRun, LoadRun]:
        runs = [closed_loop(stub[1], ["0"], clients=3, seconds=0.1, token=token) for token in ("right", "wrong")]
        return runs[0], runs[1]

    right, wrong = asyncio.run(cell())
    assert right.failed == 0 and (wrong.status == 401).all() and len(wrong.served) == 0
    assert right.summary()["failed"] == 0 and wrong.summary()["failed"] == len(wrong.status)


@pytest.mark.parametrize(("n", "q"), [(50, 0.5), (400, 0.9), (2000, 0.99)])
def test_the_interval_of_a_quantile_covers_it(n: int, q: float) -> None:
    values = np.sort(np.random.default_rng(n).exponential(size=(400, n)), axis=1)
    ends = np.array([quantile_interval(row, q) for row in values])
    true = -np.log1p(-q)
    assert np.mean((ends[:, 0] <= true) & (true <= ends[:, 1])) >= 0.95 - 2 * np.sqrt(0.05 * 0.95 / 400)
    places = stats.binom.ppf([0.025, 0.975], n, q)  # of the values, from 1
    assert ends[0, 0] == values[0, int(places[0]) - 1] and ends[0, 1] == values[0, int(places[1])]


def test_a_p99_needs_368_requests() -> None:
    assert requests_for_quantile(0.99) == 368 and requests_for_quantile(0.5) == 6
    assert quantile_interval(np.arange(367.0), 0.99)[1] == np.inf
    assert quantile_interval(np.arange(368.0), 0.99)[1] == 367
    assert quantile_interval([], 0.99) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    "call",
    [
        lambda: open_loop("http://127.0.0.1:1", [], 10, 1),
        lambda: open_loop("http://127.0.0.1:1", "a text", 10, 1),
        lambda: open_loop("https://127.0.0.1:1", ["a"], 10, 1),
        lambda: open_loop("127.0.0.1:1", ["a"], 10, 1),
        lambda: open_loop("http://127.0.0.1:1", ["a"], 0, 1),
        lambda: open_loop("http://127.0.0.1:1", ["a"], 1e-9, 1),
        lambda: open_loop("http://127.0.0.1:1", ["a"], 10, float("nan")),
        lambda: open_loop("http://127.0.0.1:1", ["a"], 10, 1, timeout=0),
        lambda: closed_loop("http://127.0.0.1:1", ["a"], 0, 1),
        lambda: closed_loop("http://127.0.0.1:1", ["a"], 1, -1),
        lambda: quantile_interval([1.0], 1.0),
        lambda: requests_for_quantile(0.9, 1.0),
    ],
)
def test_bad_input_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises(BadInput):
        call()


class SlowModel:
    """20 ms for each row."""

    def logits(self, ids: Sequence[Sequence[int]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        time.sleep(0.02 * len(ids))
        return np.zeros((len(ids), 2), np.float32)


def test_rows_that_would_expire_in_the_queue_are_refused_at_once() -> None:
    async def run() -> tuple[int, int]:
        batcher, model = Batcher(RowQueue(max_tokens=4)), SlowModel()
        batcher.start()
        for number in range(20):  # it learns how long a row takes
            await batcher.submit(model, [(number,)], 10)[0]
        accepted, refused = [], 0
        for number in range(200):
            try:
                accepted += batcher.submit(model, [(number,)], 1.0)
            except QueueFull as error:
                assert error.retry_after > 0.5
                refused += 1
        results = await asyncio.gather(*accepted, return_exceptions=True)
        await batcher.stop()
        return sum(not isinstance(result, Exception) for result in results), refused

    served, refused = asyncio.run(run())
    assert refused > 150 and 15 < served <= 200 - refused  # half a second has room for about 25


def test_a_batch_holds_no_more_padding_than_allowed() -> None:
    lengths = [10, 30, 12, 9, 16]
    assert take_batch(lengths, 60) == [0, 3, 2]  # 4 x 16 tokens would be too many
    assert take_batch(lengths, 200) == [0, 3, 2, 4, 1]
    assert take_batch(lengths, 200, max_padding=5) == [0, 3, 2]  # 36 tokens, of which 5 are padding
    assert take_batch(lengths, 200, max_padding=4) == [0, 3]
    assert take_batch(lengths, 200, max_padding=0) == [0]
