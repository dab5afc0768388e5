"""HTTP with deadlines: no client can hold a connection by sending or reading slowly."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import ClassVar

import h11
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.h11_impl import H11Protocol

from course_lib.serving.balance import EvenLoop

_DRAIN_SECONDS = 1.0  # that an idle connection stays open when the worker stops: a request may be on its way


def _response(status: HTTPStatus, error: str, fix: str, header: str = "") -> bytes:
    """A whole response, after which the connection is closed."""
    body = json.dumps({"error": error, "fix": fix}).encode()
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n{header}"
        f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body


_LATE = _response(HTTPStatus.REQUEST_TIMEOUT, "the request did not arrive in time", "send it faster")
_INVALID = _response(HTTPStatus.BAD_REQUEST, "this is not a valid HTTP request", "see the page at /")
_BUSY = _response(HTTPStatus.SERVICE_UNAVAILABLE, "too many open connections", "try again", "retry-after: 1\r\n")


class DeadlineProtocol(H11Protocol):
    """uvicorn's protocol, with a limit for everything that a client can make the server wait for.

    - A request must be complete `request_seconds` after the connection's beginning, or after its own first byte.
      uvicorn itself only closes connections that are idle after a response.
    - A client that does not read its response is disconnected after the same time.
    - More than `max_connections` get 503, more than twice as many are closed at once.
    - When the worker stops, idle connections stay open for a second, so that requests on their way are answered.
    """

    request_seconds: ClassVar[float] = 10.0
    max_connections: ClassVar[int] = 512
    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None
    _has_received = False
    _is_draining = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the clock, or refuses the connection."""
        super().connection_made(transport)
        self._count()
        if len(self.connections) > 2 * self.max_connections:
            transport.abort()
        elif len(self.connections) > self.max_connections:
            transport.write(_BUSY)
            self._close()
        else:
            self._start()

    def data_received(self, data: bytes) -> None:
        """Reads; the clock runs as long as a request is incomplete."""
        self._has_received = True
        super().data_received(data)
        self._set_clock()

    def handle_events(self) -> None:
        """Handles what was read. A worker that stops announces that the response is the connection's last."""
        super().handle_events()
        if self._is_draining:
            self._make_last()

    def on_response_complete(self) -> None:
        """Goes on with the next request, which may have arrived in part already."""
        super().on_response_complete()
        self._set_clock()
        if self.transport.is_closing():
            self._limit_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the clocks."""
        self._stop()
        self.resume_writing()
        super().connection_lost(exc)
        self._count()

    def pause_writing(self) -> None:
        """Starts a clock: the client does not read."""
        super().pause_writing()
        self._limit_writing()

    def resume_writing(self) -> None:
        """Stops it."""
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def timeout_keep_alive_handler(self) -> None:
        """Closes a connection that is idle after a response."""
        super().timeout_keep_alive_handler()
        self._limit_writing()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is not HTTP, unless a response has begun already."""
        if self._may_respond():
            self.transport.write(_INVALID)
        self._close()

    def shutdown(self) -> None:
        """Called when the worker stops."""
        self._is_draining = True
        if self._is_idle():
            self.loop.call_later(_DRAIN_SECONDS, self._close_idle)
        self._make_last()

    def _count(self) -> None:
        if EvenLoop.counts is not None:
            EvenLoop.counts.set(len(self.connections))

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _may_respond(self) -> bool:
        return self.conn.our_state is h11.IDLE or self.conn.our_state is h11.SEND_RESPONSE

    def _make_last(self) -> None:
        if not self._is_idle():
            self.cycle.keep_alive = False
            if CLOSE_HEADER not in self.headers:
                self.headers.append(CLOSE_HEADER)  # uvicorn repeats it in the response

    def _close_idle(self) -> None:
        if self._is_idle():
            self._close()

    def _set_clock(self) -> None:
        state = self.conn.their_state
        if state is h11.SEND_BODY or (state is h11.IDLE and self.conn.trailing_data[0]):
            if self._deadline is None:
                self._start()
        else:
            self._stop()

    def _start(self) -> None:
        self._deadline = self.loop.call_later(self.request_seconds, self._give_up)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if self._has_received and self._may_respond() and not self.transport.is_closing():
            self.transport.write(_LATE)
        self._close()

    def _close(self) -> None:
        self.transport.close()
        self._limit_writing()

    def _limit_writing(self) -> None:
        """Disconnects a client that has not read its response in time."""
        if self._write_deadline is None and self.transport.get_write_buffer_size():
            self._write_deadline = self.loop.call_later(self.request_seconds, self.transport.abort)
