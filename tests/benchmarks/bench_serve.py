"""The service under load: its latencies at parts of the offline rate, against two peers, overload, start, batching.

python tests/benchmarks/bench_serve.py [--peers PYTHON] [--small FOLDER] [--parts load peers overload start batching]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from side_by_side.claims import Claim
from side_by_side.report import Report
from side_by_side.saved_models import course_model_folder
from side_by_side.serving_runs import (
    POLICIES,
    highest_rate,
    loaded,
    offline_rate,
    peer_server,
    rows_per_cpu_second,
    settle,
)
from side_by_side.surroundings import load

from course_lib import corpora
from course_lib.onnx_model import OnnxModel
from course_lib.serving import Batcher, closed_loop, open_loop, servable_folder, start_server

PARTS = ("load", "peers", "overload", "start", "batching")
NO_LIMIT = ["--rate", "1e9"]  # one address sends everything here
PROMISE = 1.0  # seconds within which a response is of use in the overload part
Row = dict[str, Any]


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--peers", type=Path, help="an interpreter with FastAPI, transformers and LitServe")
    parser.add_argument("--small", type=Path, help="export of `compress --recipe small`, for the parts start and load")
    parser.add_argument("--rounds", type=int, default=5, help="runs of the part load; the median counts")
    parser.add_argument("--peer-rounds", type=int, default=3, help="searches for each server of the part peers")
    parser.add_argument("--seconds", type=float, default=8, help="of one run")
    parser.add_argument("--peer-seconds", type=float, default=6, help="of one run of a search")
    parser.add_argument("--steps", type=int, default=5, help="of one search")
    return parser.parse_args(arguments)


def fractions_of_offline(folder: Path, texts: Sequence[str], asked: argparse.Namespace) -> Iterator[Row]:
    """In each round the offline rate, then latencies at 0.5 and 0.85 of it; of the float32 and the small model."""
    for name, place in (("float32", folder), ("small", asked.small)):
        if place is None:
            continue
        model = OnnxModel(place)
        offline_rate(model, texts[:200])
        with start_server(place, arguments=NO_LIMIT) as server:
            for turn in range(asked.rounds):
                settle(server.url, texts)
                rate = offline_rate(model, texts[:1000])
                for fraction in (0.5, 0.85):
                    run = loaded(server.url, texts, fraction * rate, asked.seconds, turn)
                    row = {"part": "load", "model": name, "fraction": fraction, "offline": rate, "load_1m": load()}
                    yield row | run.summary()


def against_peers(folder: Path, texts: Sequence[str], asked: argparse.Namespace) -> Iterator[Row]:
    """The highest rate of each server at a p99 of 100 ms. Each is started again in each round, in another order."""

    @contextmanager
    def ours() -> Iterator[str]:
        with start_server(folder, arguments=NO_LIMIT) as server:
            yield server.url

    servers: dict[str, Callable[[], Any]] = {"ours": ours}
    if asked.peers is not None:
        servers["fastapi"] = lambda: peer_server(asked.peers, "fastapi", course_model_folder())
        servers["litserve"] = lambda: peer_server(asked.peers, "litserve", folder)
    names = list(servers)
    for turn in range(asked.peer_rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            with servers[name]() as url:
                closed_loop(url, texts, 4, 2)
                rate, runs = highest_rate(url, texts, 0.1, asked.peer_seconds, asked.steps, 10 * turn)
            yield {"part": "peers", "server": name, "rate": rate, "runs": runs, "load_1m": load()}


def overload(folder: Path, texts: Sequence[str], asked: argparse.Namespace) -> Iterator[Row]:
    """Three times the capacity, with shedding and without. An operator who promises 1 s sets the deadline below it."""
    settings = {
        "shedding": ["--deadline", "0.8"],
        "no shedding": ["--deadline", "1000", "--waiting", "1000000", "--connections", "1000000"],
    }
    for name, arguments in settings.items():
        with start_server(folder, arguments=[*NO_LIMIT, *arguments]) as server:
            worker = psutil.Process(server.workers()[0])
            capacity = closed_loop(server.url, texts, 32, asked.seconds).goodput()
            open_loop(server.url, texts, 2 * capacity, 3)  # the queue has been full once
            settle(server.url, texts)
            before = worker.memory_info().rss
            run = open_loop(server.url, texts, 3 * capacity, 2 * asked.seconds)
            row = {"part": "overload", "server": name, "capacity": capacity, "goodput_1s": run.goodput(PROMISE)}
            growth = worker.memory_info().rss / before
            yield row | {"rss_mb": before / 1e6, "rss_growth": growth, "load_1m": load()} | run.summary()


def start(folder: Path, texts: Sequence[str], asked: argparse.Namespace) -> Iterator[Row]:
    """Seconds from the command until a worker is ready, its supervisor's start included, and its memory in use."""
    for _ in range(3):
        started = time.monotonic()
        with start_server(folder) as server:
            row = {"part": "start", "seconds": time.monotonic() - started}
            worker = psutil.Process(server.workers()[0])
            row["ready_mb"] = worker.memory_info().rss / 1e6
            closed_loop(server.url, texts, 8, 2)
            row["used_mb"] = worker.memory_info().rss / 1e6
        yield row | {"model_mb": (folder / "model.onnx").stat().st_size / 1e6, "load_1m": load()}


def batching(folder: Path, texts: Sequence[str], asked: argparse.Namespace) -> Iterator[Row]:
    """Rows per second of processor time of each policy, and what a timer of 5 ms costs a request that comes alone."""
    model = OnnxModel(folder)
    ids = [row.ids for row in model.encode(texts[:500])]
    names = list(POLICIES)
    for turn in range(asked.rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            rates = {waiting: rows_per_cpu_second(model, ids, name, waiting) for waiting in WAITING}
            yield {"part": "batching", "policy": name, "rows_per_cpu_second": rates, "load_1m": load()}
        alone = {name: asyncio.run(idle_median(model, ids[:200], timer)) for name, timer in TIMERS.items()}
        yield {"part": "batching", "idle_p50_ms": alone, "load_1m": load()}


WAITING = (8, 64)  # rows in the queue
TIMERS = {"no timer": 0.0, "timer of 5 ms": 0.005}


async def idle_median(model: OnnxModel, rows: Sequence[tuple[int, ...]], timer: float) -> float:
    """Milliseconds of a row that comes alone: a timer holds it back for its whole length, since no other comes."""
    batcher, times = Batcher(), []
    batcher.start()
    for row in rows:
        started = time.perf_counter()
        if timer:
            await asyncio.sleep(timer)
        await batcher.submit(model, [row], 10)[0]
        times.append(1000 * (time.perf_counter() - started))
    await batcher.stop()
    return median(times)


def claims(rows: Sequence[Row]) -> list[Claim]:
    """What the rows say about each goal; a part that was not measured has no claim."""
    return [
        claim
        for part, found in CLAIMS.items()
        if (of_part := [row for row in rows if row["part"] == part])
        for claim in found(of_part)
    ]


def load_claims(rows: Sequence[Row]) -> Iterator[Claim]:
    """Latency at parts of the offline rate."""
    for model in sorted({row["model"] for row in rows}):
        for fraction, goal in ((0.85, 100), (0.5, 20)):
            here = [row for row in rows if row["fraction"] == fraction and row["model"] == model]
            text = f"{model}: ms, p99 at {fraction:g} of the offline rate (median of {len(here)} runs)"
            yield Claim(text, goal, median(row["p99_ms"] for row in here), at_most=True)
    yield Claim("requests that failed at 0.5 and 0.85", 0, sum(row["failed"] for row in rows), at_most=True)


def peer_claims(rows: Sequence[Row]) -> Iterator[Claim]:
    """Rates at a p99 of 100 ms."""
    rate = {name: median(row["rate"] for row in rows if row["server"] == name) for name in {r["server"] for r in rows}}
    for name, text, goal in (("fastapi", "FastAPI + transformers.pipeline", 3), ("litserve", "LitServe", 1.5)):
        measured = rate["ours"] / rate[name] if rate.get(name) else None
        yield Claim(f"ours over {text}, requests/s at a p99 of 100 ms", goal, measured)


def overload_claims(rows: Sequence[Row]) -> Iterator[Claim]:
    """What is left at three times the capacity."""
    row = next(row for row in rows if row["server"] == "shedding")
    yield Claim(f"goodput within {PROMISE:g} s at 3 x, over capacity", 0.8, row["goodput_1s"] / row["capacity"])
    yield Claim("memory of the worker after overload, over that before", 1.1, row["rss_growth"], at_most=True)


def start_claims(rows: Sequence[Row]) -> Iterator[Claim]:
    """The small model's worker."""
    seconds = median(row["seconds"] for row in rows)
    yield Claim("s, from the command until a worker is ready, small model", 2, seconds, at_most=True)
    memory = max(row["used_mb"] for row in rows)
    yield Claim("MB of a worker in use, small model", 200, memory, at_most=True)


def batching_claims(rows: Sequence[Row]) -> Iterator[Claim]:
    """By length against one by one."""
    for waiting in WAITING:
        speed = policy_medians(rows, waiting)
        text = f"by length with little padding over one by one, {waiting} rows wait, rows per CPU-second"
        yield Claim(text, 1.15, speed["by length, little padding"] / speed["one by one"])


def policy_medians(rows: Sequence[Row], waiting: int) -> dict[str, float]:
    """Rows per CPU-second of each policy."""
    rates = {
        name: [row["rows_per_cpu_second"][waiting] for row in rows if row.get("policy") == name] for name in POLICIES
    }
    return {name: median(values) for name, values in rates.items() if values}


CLAIMS: dict[str, Callable[[Sequence[Row]], Iterator[Claim]]] = {
    "load": load_claims, "peers": peer_claims, "overload": overload_claims, "start": start_claims,
    "batching": batching_claims,
}  # fmt: skip


def main(asked: argparse.Namespace) -> None:
    """All parts, one after another."""
    lowest = {"rounds": 5, "peer_rounds": 3, "seconds": 8, "peer_seconds": 6, "steps": 5}
    trial = asked.parts != [*PARTS] or any(getattr(asked, name) < value for name, value in lowest.items())
    settings = {key: value for key, value in vars(asked).items() if key not in ("peers", "small")}
    report = Report("serve", settings, trial)
    folder = servable_folder("sentiment")
    texts = list(corpora.part("movie_reviews", "test")["text"])
    functions = (fractions_of_offline, against_peers, overload, start, batching)
    for part, function in zip(PARTS, functions, strict=True):
        if part not in asked.parts:
            continue
        if part == "start" and asked.small is None:
            print("start: left out, pass --small FOLDER")
            continue
        if part == "peers" and asked.peers is None:
            print("peers: only ours, pass --peers PYTHON")
        for row in function(asked.small if part == "start" else folder, texts, asked):
            report.add(row)
            print(
                {key: round(v, 3) if isinstance(v, float) else v for key, v in row.items() if key != "runs"}, flush=True
            )
    report.close(HEADING, [line(row) for row in report.rows if "p99_ms" in row], claims(report.rows))
    for waiting in WAITING:
        for name, speed in policy_medians(report.rows, waiting).items():
            print(f"{waiting} rows wait, {name}: {speed:.0f} rows per CPU-second")


HEADING = ("run", "requests/s", "p50 ms", "p99 ms", "its interval", "failed", "good/s")


def line(row: Row) -> tuple[str, ...]:
    """A row of the table."""
    name = (
        f"{row['model']}, {row['fraction']:g} of offline" if row["part"] == "load" else f"3 x capacity, {row['server']}"
    )
    interval = f"{row['p99_low_ms']:.0f} to {row['p99_high_ms']:.0f}"
    good = row["goodput_1s"] if row["part"] == "overload" else row["goodput"]
    return (name, f"{row['rate']:.0f}", f"{row['p50_ms']:.1f}", f"{row['p99_ms']:.1f}", interval, str(row["failed"]),
            f"{good:.0f}")  # fmt: skip


if __name__ == "__main__":
    main(options())
