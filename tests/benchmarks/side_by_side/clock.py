"""Wall time: a clock that stands still while something else is looked at, and contenders that take turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch


def now() -> float:
    """Seconds; on a card, after all that was asked of it is done."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


class Clock:
    """Adds up the seconds during which it runs. It starts running when it is made."""

    def __init__(self, read: Callable[[], float] = now) -> None:
        self._read = read
        self._sum = 0.0
        self._since: float | None = read()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._sum + (self._read() - self._since if self._since is not None else 0.0)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The clock stands still inside the block."""
        self._sum, self._since = self.seconds, None
        try:
            yield
        finally:
            self._since = self._read()


def take_turns(
    contenders: Mapping[str, Callable[[], object]], rounds: int, read: Callable[[], float] = now
) -> dict[str, list[float]]:
    """Seconds of each contender in each round.

    All run in every round, so that a slow minute of the machine hits all; each round begins with another one.
    """
    names = list(contenders)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            started = read()
            contenders[name]()
            seconds[name].append(read() - started)
    return seconds
