"""Servers, the highest rate that one sustains, and the offline rate that it is held against."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from course_lib.onnx_model import OnnxModel
from course_lib.serving import LoadRun, closed_loop, open_loop, requests_for_quantile, take_batch

START_SECONDS = 120


@contextmanager
def peer_server(python: Path, name: str, folder: Path) -> Iterator[str]:
    """The server in `serving_<name>.py`; gives its address when it answers.

    Raises:
        RuntimeError: it does not answer in time.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    script = Path(__file__).with_name(f"serving_{name}.py")
    process = subprocess.Popen(
        [str(python), str(script), str(folder), str(port)], env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        end = time.monotonic() + START_SECONDS
        while closed_loop(url, ["ready"], 1, 0.01).failed:
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError(f"{name} does not answer")
            time.sleep(0.2)
        yield url
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def offline_rate(model: OnnxModel, texts: Sequence[str]) -> float:
    """Texts per second of one thread that has them all: tokenised, sorted by length, in batches of 256 tokens."""
    started = time.perf_counter()
    ids = sorted((row.ids for row in model.encode(texts)), key=len)
    while ids:
        count = len(take_batch([len(row) for row in ids[:64]], 256))
        model.logits(ids[:count])
        del ids[:count]
    return len(texts) / (time.perf_counter() - started)


def loaded(url: str, texts: Sequence[str], rate: float, seconds: float, seed: int) -> LoadRun:
    """An open loop that is long enough for a p99, on a server that has nothing left to do."""
    settle(url, texts)
    return open_loop(url, texts, rate, max(seconds, 1.1 * requests_for_quantile(0.99) / rate), seed)


def settle(url: str, texts: Sequence[str]) -> None:
    """Waits until a single request is answered quickly again."""
    for _ in range(100):
        run = closed_loop(url, texts, 1, 0.3)
        if run.failed == 0 and run.quantile(0.5) < 0.1:
            return
    raise RuntimeError("the server does not come to rest")


def highest_rate(
    url: str, texts: Sequence[str], p99: float, seconds: float, steps: int, seed: int
) -> tuple[float, list[dict[str, Any]]]:
    """The highest rate at which nothing fails and the p99 stays within a bound, by bisection; and all runs."""
    low, high = 0.0, 1.3 * closed_loop(url, texts, 32, 3).goodput()
    runs: list[dict[str, Any]] = []
    for step in range(steps):
        rate = (low + high) / 2
        run = loaded(url, texts, rate, seconds, seed + step)
        runs.append({"asked_rate": round(rate, 1)} | run.summary())
        low, high = (rate, high) if run.failed == 0 and run.quantile(0.99) <= p99 else (low, rate)
    return low, runs


def by_arrival(lengths: Sequence[int], max_tokens: int) -> list[int]:
    """The 32 oldest rows, whatever their length."""
    return list(range(min(32, len(lengths))))


def one_by_one(lengths: Sequence[int], max_tokens: int) -> list[int]:
    """The oldest row alone."""
    return [0] if lengths else []


POLICIES: dict[str, Callable[[Sequence[int], int], list[int]]] = {
    "one by one": one_by_one, "32 by arrival": by_arrival, "by length": take_batch,
    "by length, little padding": partial(take_batch, max_padding=16),
}  # fmt: skip


def rows_per_cpu_second(model: OnnxModel, ids: Sequence[tuple[int, ...]], policy: str, waiting: int) -> float:
    """Rows per second of processor time where `waiting` rows always wait."""
    queue, later, started = list(ids[:waiting]), iter(ids[waiting:]), time.process_time()
    while queue:
        taken = set(POLICIES[policy]([len(row) for row in queue], 256))
        model.logits([queue[place] for place in sorted(taken)])
        queue = [row for place, row in enumerate(queue) if place not in taken]
        queue += islice(later, len(taken))
    return len(ids) / (time.process_time() - started)
