"""Dynamic batching: the rows that wait when the model becomes free are computed together, by similar length.

There is no timer. A row that meets a free model starts at once, and under load batches form by themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Ids = tuple[int, ...]


class Model(Protocol):
    """What a batcher needs of a model."""

    def logits(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """The output before softmax of one batch, (batch, classes)."""
        ...


class QueueFull(Exception):
    """There is no room for more rows."""

    def __init__(self, retry_after: float) -> None:
        super().__init__("the queue is full")
        self.retry_after = retry_after  # seconds until the rows that wait now will have been computed, about


class DeadlineExceeded(Exception):
    """The row's deadline passed while it waited."""


class ModelFailed(Exception):
    """The model failed on this row."""


def take_batch(lengths: Sequence[int], max_tokens: int) -> list[int]:
    """The rows of the next batch: the oldest, then those nearest to it in length while the padded batch fits.

    Args:
        lengths: tokens of each waiting row, oldest first.
        max_tokens: rows times the longest of them, at most. The oldest row is taken even if it is longer.

    Returns:
        Positions in `lengths`, the oldest first. Among rows equally near in length, the older one comes first.
    """
    if not lengths:
        return []
    taken, longest = [0], lengths[0]
    for row in sorted(range(1, len(lengths)), key=lambda row: (abs(lengths[row] - lengths[0]), row)):
        with_row = max(longest, lengths[row])
        if (len(taken) + 1) * with_row <= max_tokens:
            taken.append(row)
            longest = with_row
    return taken


@dataclass(eq=False)
class _Row:
    """One text that waits for one model; equal texts wait together."""

    model: Model
    ids: Ids
    deadline: float  # by `time.monotonic`
    futures: list[asyncio.Future[NDArray[np.float32]]] = field(default_factory=list)

    @property
    def is_wanted(self) -> bool:
        return any(not future.done() for future in self.futures)

    def finish(self, result: NDArray[np.float32] | Exception) -> None:
        """Gives the result to all who still wait: a future that is cancelled already cannot take one."""
        for future in self.futures:
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


class Batcher:
    """Computes rows from many requests in batches, one batch at a time, in a thread beside the event loop.

    Args:
        max_tokens: of a padded batch. On a CPU a few hundred are enough: larger batches cost latency and gain nothing.
        max_waiting: rows in the queue. More are refused at once, so that those accepted still meet their deadline.
        on_batch: called after each batch with the number of rows and the seconds it took.
    """

    def __init__(
        self,
        max_tokens: int = 256,
        max_waiting: int = 256,
        on_batch: Callable[[int, float], None] = lambda rows, seconds: None,
    ) -> None:
        self.max_tokens, self.max_waiting, self._on_batch = max_tokens, max_waiting, on_batch
        self._waiting: dict[tuple[int, Ids], _Row] = {}  # in order of arrival
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._seconds_per_row = 0.01  # running mean
        self._loop: asyncio.Task[None] | None = None
        self._batch: list[_Row] = []  # that is being computed

    @property
    def waiting(self) -> int:
        """Rows in the queue."""
        return len(self._waiting)

    @property
    def retry_after(self) -> float:
        """Seconds until the rows that wait now will have been computed, about."""
        return self.waiting * self._seconds_per_row

    def start(self) -> None:
        """Begins to compute, in the running event loop."""
        self._loop = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends. Rows without a result are cancelled: let the requests finish first."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        for future in (future for row in (*self._batch, *self._waiting.values()) for future in row.futures):
            future.cancel()
        self._waiting.clear()
        self._thread.shutdown()

    def submit(self, model: Model, rows: Sequence[Ids], timeout: float) -> list[asyncio.Future[NDArray[np.float32]]]:
        """Puts rows into the queue: all of them or none.

        Args:
            model: that computes them.
            rows: token ids.
            timeout: seconds after which a row that still waits is given up.

        Returns:
            For each row a future of its logits, (classes,), which raises `DeadlineExceeded` or `ModelFailed`.

        Raises:
            QueueFull: there is no room.
        """
        new = {ids for ids in rows if (id(model), ids) not in self._waiting}
        if len(new) + self.waiting > self.max_waiting:
            self._drop_unwanted()
            if len(new) + self.waiting > self.max_waiting:
                raise QueueFull(self.retry_after)
        loop, deadline = asyncio.get_running_loop(), time.monotonic() + timeout
        futures = []
        for ids in rows:
            row = self._waiting.setdefault((id(model), ids), _Row(model, ids, deadline))
            row.deadline = max(row.deadline, deadline)
            row.futures.append(loop.create_future())
            futures.append(row.futures[-1])
        self._arrived.set()
        return futures

    def _drop_unwanted(self) -> None:
        """Removes rows whose clients have gone or whose deadline has passed."""
        now = time.monotonic()
        for key, row in list(self._waiting.items()):
            if not row.is_wanted:
                del self._waiting[key]
            elif row.deadline <= now:
                del self._waiting[key]
                row.finish(DeadlineExceeded())

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._drop_unwanted()
            if not self._waiting:
                self._arrived.clear()
                continue
            self._batch = self._next_batch()
            await self._compute(self._batch)

    def _next_batch(self) -> list[_Row]:
        """Takes the next batch from the queue. All its rows are for the model of the oldest."""
        oldest = next(iter(self._waiting.values()))
        rows = [row for row in self._waiting.values() if row.model is oldest.model]
        batch = [rows[place] for place in take_batch([len(row.ids) for row in rows], self.max_tokens)]
        for row in batch:
            del self._waiting[id(row.model), row.ids]
        return batch

    async def _compute(self, batch: list[_Row]) -> None:
        """Computes a batch. If the model fails on it, each row is computed alone, so that only the bad ones fail."""
        started = time.monotonic()
        try:
            results: Sequence[NDArray[np.float32] | Exception] = list(await self._in_thread(batch))
        except Exception as error:
            if len(batch) > 1:
                for row in batch:
                    await self._compute([row])
                return
            results = [ModelFailed(type(error).__name__)]
        seconds = time.monotonic() - started
        for row, result in zip(batch, results, strict=True):
            row.finish(result)
        self._seconds_per_row += 0.1 * (seconds / len(batch) - self._seconds_per_row)
        self._on_batch(len(batch), seconds)

    async def _in_thread(self, batch: list[_Row]) -> NDArray[np.float32]:
        loop = asyncio.get_running_loop()
        logits = await loop.run_in_executor(self._thread, batch[0].model.logits, [row.ids for row in batch])
        if len(logits) != len(batch) or not np.isfinite(logits).all():
            raise ValueError("the model gave no finite output for each row")
        return logits
