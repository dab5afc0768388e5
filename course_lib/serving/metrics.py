"""The figures that a server publishes for Prometheus: every worker gives the sums over all workers."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # environment variable: where the workers of a server keep their figures
_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)


class Metrics:
    """Counts requests, rows and batches. No label comes from a request."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "course_requests", "Requests by route and status", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "course_request_seconds", "Seconds from the request's header to the response", ("route",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.predictions = Counter(
            "course_predictions", "Predicted texts by version and label", ("version", "label"), registry=registry
        )
        self.shadow = Counter(
            "course_shadow", "Texts that a shadow predicted, by whether it gave the same label", ("version", "agrees"),
            registry=registry,
        )  # fmt: skip
        self.rows = Counter("course_rows", "Rows that the model computed", registry=registry)
        self.batches = Counter("course_batches", "Batches that the model computed", registry=registry)
        self.busy = Counter("course_model_seconds", "Seconds in which the model computed", registry=registry)
        self.waiting = Gauge("course_waiting_rows", "Rows that wait", multiprocess_mode="livesum", registry=registry)
        self.reloads = Counter("course_reloads", "Changed deployments by outcome", ("outcome",), registry=registry)

    def batch_done(self, rows: int, seconds: float) -> None:
        """Counts a batch."""
        self.rows.inc(rows)
        self.batches.inc()
        self.busy.inc(seconds)

    def deployment_changed(self, outcome: str) -> None:
        """Counts a change of the deployment."""
        self.reloads.labels(outcome).inc()

    def text(self) -> bytes:
        """All figures in Prometheus' text format, added up over the workers."""
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def forget_dead_workers() -> None:
    """Takes workers that were killed out of the gauges of live ones. Their counts stay in the sums."""
    for file in Path(os.environ[FOLDER]).glob("gauge_live*.db") if FOLDER in os.environ else ():
        pid = int(re.findall(r"\d+", file.stem)[-1])
        if not psutil.pid_exists(pid):
            with suppress(FileNotFoundError):  # a neighbour was first
                mark_process_dead(pid)  # type: ignore[no-untyped-call]
