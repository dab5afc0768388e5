"""Even work for the workers of one server, which accept connections from one shared socket.

Without it the worker that wakes first takes all connections that wait at this moment: of 16 clients that connect at
once, one worker gets 15, and the others have nothing to do as long as these connections are kept open.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
from pathlib import Path
from typing import Any, ClassVar

import psutil
from filelock import FileLock

_SLOT = struct.Struct("qq")  # process number, connections
_SLOTS = 256
_WAIT = 0.001  # seconds that a worker leaves to others with fewer connections


class ConnectionCounts:
    """How many connections each worker has, in a file that all of them have in memory.

    Args:
        file: made by the first worker. A worker that has died leaves its place to the next one.
    """

    def __init__(self, file: Path) -> None:
        with FileLock(f"{file}.lock"), open(file, "ab") as end:
            end.truncate(_SLOTS * _SLOT.size)
            with open(file, "r+b") as opened:
                self._memory = mmap.mmap(opened.fileno(), _SLOTS * _SLOT.size)
            pids = [pid for pid, _ in self._slots()]
            self._place = next(place for place, pid in enumerate(pids) if not pid or not psutil.pid_exists(pid))
            self.set(0)

    def set(self, connections: int) -> None:
        """Notes how many connections this worker has."""
        self._memory[self._place * _SLOT.size : (self._place + 1) * _SLOT.size] = _SLOT.pack(os.getpid(), connections)

    def has_more_than_another(self) -> bool:
        """Whether some other worker has fewer connections than this one."""
        counts = [count for pid, count in self._slots() if pid]
        return self._slots()[self._place][1] > min(counts)

    def _slots(self) -> list[tuple[int, int]]:
        return [(pid, count) for pid, count in _SLOT.iter_unpack(self._memory[:])]


class EvenLoop(asyncio.SelectorEventLoop):
    """An event loop that accepts one connection at a time, and first leaves it to workers that have fewer."""

    counts: ClassVar[ConnectionCounts | None] = None

    def _accept_connection(self, protocol_factory: Any, sock: Any, *rest: Any) -> None:
        """asyncio calls this when connections wait."""
        if self.counts is None or not self.counts.has_more_than_another():
            self._accept_one(protocol_factory, sock, *rest)
            return
        self.remove_reader(sock)
        self.call_later(_WAIT, self._accept_later, protocol_factory, sock, *rest)

    def _accept_later(self, protocol_factory: Any, sock: Any, *rest: Any) -> None:
        if sock.fileno() >= 0:  # else the worker has stopped listening
            self._accept_one(protocol_factory, sock, *rest)
            self._start_serving(protocol_factory, sock, *rest)  # type: ignore[attr-defined]

    def _accept_one(self, protocol_factory: Any, sock: Any, sslcontext: Any, server: Any, *_: Any) -> None:
        super()._accept_connection(protocol_factory, sock, sslcontext, server, 1)  # type: ignore[misc]
