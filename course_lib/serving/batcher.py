"""Dynamic batching: the rows that wait when the model becomes free are computed together, by similar length.

There is no timer. A row that meets a free model starts at once, and under load batches form by themselves.
`RowQueue` decides what is computed and when; it knows neither threads nor asyncio. `Batcher` runs it beside the event
loop.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ids = tuple[int, ...]
Logits = NDArray[np.float32]
_ADMITTED = 0.5  # largest expected wait of a new row, as a fraction of its timeout: waits vary, and so does the model
Take = Callable[[Sequence[int], int], list[int]]  # (lengths, max_tokens) -> positions of the next batch


class Model(Protocol):
    """What a batcher needs of a model."""

    def logits(self, ids: Sequence[Sequence[int]]) -> Logits:
        """The output before softmax of one batch, (batch, classes)."""
        ...


class QueueFull(Exception):
    """There is no room for more rows."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the queue is full")
        self.retry_after = retry_after  # seconds until the rows that wait now will have been computed, about


class DeadlineExceeded(TimeoutError):
    """The row's deadline passed while it waited."""


class ModelFailed(RuntimeError):
    """The model failed on this row."""


def take_batch(lengths: Sequence[int], max_tokens: int, max_padding: float = math.inf) -> list[int]:
    """The rows of the next batch: the oldest, then those nearest to it in length while the padded batch fits.

    Args:
        lengths: tokens of each waiting row, oldest first.
        max_tokens: rows times the longest of them, at most. The oldest row is taken even if it is longer.
        max_padding: tokens of the batch that are padding, at most. On a CPU they cost as much as others, so where few
            rows wait, a smaller batch with less padding is computed in less time.

    Returns:
        Positions in `lengths`, the oldest first. Among rows equally near in length, the older one comes first.
    """
    if not lengths:
        return []
    taken, longest, tokens = [0], lengths[0], lengths[0]
    for row in sorted(range(1, len(lengths)), key=lambda row: (abs(lengths[row] - lengths[0]), row)):
        with_row = max(longest, lengths[row])
        padded = (len(taken) + 1) * with_row
        if padded <= max_tokens and padded - tokens - lengths[row] <= max_padding:
            taken.append(row)
            longest, tokens = with_row, tokens + lengths[row]
    return taken


@dataclass(eq=False)
class Row:
    """One text that waits for one model."""

    model: Model
    ids: Ids
    deadline: float  # by the clock of `now`
    future: Any  # of asyncio or of concurrent.futures: gets the logits, (classes,), or an exception

    @property
    def key(self) -> Hashable:
        """Equal for rows that have the same result."""
        return id(self.model), self.ids


Group = list[Row]  # rows with the same key: computed once
Batch = list[Group]


class RowQueue:
    """The rows that wait, in order of arrival. Equal rows wait together and take one place.

    Args:
        max_tokens: of a padded batch. On a CPU a few hundred are enough: larger batches cost latency and gain nothing.
        max_waiting: places. More rows are refused at once, so that those accepted still meet their deadline.
        take: chooses the next batch from the lengths of the rows, oldest first.
    """

    def __init__(self, max_tokens: int = 256, max_waiting: int = 256, take: Take = take_batch) -> None:
        self.max_tokens, self.max_waiting, self.take = max_tokens, max_waiting, take
        self._waiting: dict[Hashable, Group] = {}

    def __len__(self) -> int:
        """Places that are taken."""
        return len(self._waiting)

    def put(self, rows: Sequence[Row], now: float) -> bool:
        """Drops the unwanted rows. Then it accepts all rows or, if there is no room for all, none (False)."""
        self.drop_unwanted(now)
        new = {row.key for row in rows if row.key not in self._waiting}
        if len(self._waiting) + len(new) > self.max_waiting:
            return False
        for row in rows:
            self._waiting.setdefault(row.key, []).append(row)
        return True

    def drop_unwanted(self, now: float) -> None:
        """Removes rows whose clients have gone, and those whose deadline has passed: they get `DeadlineExceeded`."""
        for key, group in list(self._waiting.items()):
            wanted = [row for row in group if row.deadline > now and not row.future.done()]
            if len(wanted) == len(group):
                continue
            for row in group:
                if row.deadline <= now and not row.future.done():
                    row.future.set_exception(DeadlineExceeded())
            self._waiting[key] = wanted
            if not wanted:
                del self._waiting[key]

    def next_batch(self, now: float) -> Batch:
        """Removes the rows of the next batch, all for the model of the oldest, and returns them in groups."""
        self.drop_unwanted(now)
        if not self._waiting:
            return []
        model = next(iter(self._waiting.values()))[0].model
        groups = [group for group in self._waiting.values() if group[0].model is model]
        taken = self.take([len(group[0].ids) for group in groups], self.max_tokens)
        return [self._waiting.pop(groups[place][0].key) for place in taken]

    def compute(self, batch: Batch) -> list[Logits | Exception]:
        """The logits of each group, or why there are none. If the model fails on the batch, each is computed alone."""
        model, ids = batch[0][0].model, [group[0].ids for group in batch]
        try:
            return list(_finite_logits(model, ids))
        except Exception as error:
            if len(batch) == 1:
                return [ModelFailed(type(error).__name__)]
            return [self.compute([group])[0] for group in batch]

    def deliver(self, batch: Batch, results: Sequence[Logits | Exception]) -> None:
        """Gives each result to all who still wait for it: a future that is cancelled cannot take one."""
        for group, result in zip(batch, results, strict=True):
            for future in (row.future for row in group if not row.future.done()):
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)


def _finite_logits(model: Model, ids: Sequence[Ids]) -> Logits:
    logits = model.logits(ids)
    if len(logits) != len(ids) or not np.isfinite(logits).all():
        raise ValueError("the model gave no finite output for each row")
    return logits


class Batcher:
    """Computes rows from many requests in batches, one batch at a time, in a thread beside the event loop.

    Args:
        queue: of the rows that wait, or another object with its methods.
        on_batch: called after each batch with the number of rows and the seconds it took.
    """

    def __init__(
        self, queue: RowQueue | None = None, on_batch: Callable[[int, float], None] = lambda rows, seconds: None
    ) -> None:
        self._queue = RowQueue() if queue is None else queue
        self._on_batch = on_batch
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._seconds_per_row = 0.01  # running mean
        self._loop: asyncio.Task[None] | None = None
        self._batch: Batch = []  # that is being computed
        self._started = math.inf  # when it began

    @property
    def waiting(self) -> int:
        """Rows in the queue."""
        return len(self._queue)

    @property
    def retry_after(self) -> float:
        """Seconds until the rows that wait now will have been computed, about."""
        return self.waiting * self._seconds_per_row

    @property
    def busy_seconds(self) -> float:
        """How long the present batch has been computed so far; infinite if the batcher has failed."""
        has_failed = self._loop is not None and self._loop.done()
        return math.inf if has_failed else max(0.0, time.monotonic() - self._started)

    def start(self) -> None:
        """Begins to compute, in the running event loop."""
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends. Rows without a result are cancelled: let the requests finish first."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        waiting = iter(lambda: self._queue.next_batch(-math.inf), [])  # at this time no deadline has passed
        for row in (row for batch in (self._batch, *waiting) for group in batch for row in group):
            row.future.cancel()
        self._thread.shutdown(wait=False)  # the model may hang

    def submit(self, model: Model, rows: Sequence[Ids], timeout: float) -> list[asyncio.Future[Logits]]:
        """Puts rows for one model into the queue: all of them or none. See `submit_rows`."""
        return self.submit_rows([(model, ids) for ids in rows], timeout)

    def submit_rows(self, rows: Sequence[tuple[Model, Ids]], timeout: float) -> list[asyncio.Future[Logits]]:
        """Puts rows into the queue: all of them or none.

        Args:
            rows: of each the model that computes it, and its token ids.
            timeout: seconds after which a row that still waits is given up.

        Returns:
            For each row a future of its logits, (classes,), which raises `DeadlineExceeded` or `ModelFailed`.

        Raises:
            QueueFull: there is no room, or the expected wait is above half of the timeout.
        """
        if self.retry_after > _ADMITTED * timeout:
            raise QueueFull(self.retry_after)
        loop, now = asyncio.get_running_loop(), time.monotonic()
        futures: list[asyncio.Future[Logits]] = [loop.create_future() for _ in rows]
        new = [Row(*row, now + timeout, future) for row, future in zip(rows, futures, strict=True)]
        if not self._queue.put(new, now):
            raise QueueFull(self.retry_after)
        self._arrived.set()
        return futures

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            self._batch, self._started = self._queue.next_batch(time.monotonic()), time.monotonic()
            if not self._batch:
                self._arrived.clear()
                self._started = math.inf
                continue
            results = await loop.run_in_executor(self._thread, self._queue.compute, self._batch)
            self._queue.deliver(self._batch, results)
            seconds, rows = time.monotonic() - self._started, len(self._batch)
            self._seconds_per_row += 0.1 * (seconds / rows - self._seconds_per_row)
            self._on_batch(rows, seconds)
