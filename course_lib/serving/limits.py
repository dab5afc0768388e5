"""What a server accepts: sizes, rates and deadlines; and the checks that turn a body into texts.

No message repeats anything of the request: an error ends in logs and on screens of other people.
"""

from __future__ import annotations

import hmac
import json
import math
import re
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from starlette.datastructures import Headers
from starlette.requests import Request

from course_lib.errors import BadInput

_SURROGATE = re.compile("[\ud800-\udfff]")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
_LOCAL_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?", re.IGNORECASE)
_CLIENTS = 10_000  # whose rates are remembered; then the one unseen for longest is forgotten


@dataclass(frozen=True)
class Limits:
    """The limits of one worker. Raises BadInput for a value that is not above 0."""

    body_bytes: int = field(default=262_144, metadata={"help": "bytes of a body"})
    texts: int = field(default=64, metadata={"help": "texts in one request"})
    characters: int = field(default=10_000, metadata={"help": "characters of one text"})
    request_tokens: int = field(default=4096, metadata={"help": "tokens of all texts in one request"})
    rate: float = field(default=1000.0, metadata={"help": "texts a second from one address, after a burst of as many"})
    waiting: int = field(default=256, metadata={"help": "texts that wait in one worker; more get 503"})
    deadline: float = field(default=2.0, metadata={"help": "seconds until a text that still waits is given up (504)"})
    request_seconds: float = field(default=10.0, metadata={"help": "seconds for sending one whole request"})
    connections: int = field(default=512, metadata={"help": "open connections of one worker; more get 503"})
    explain_rows: int = field(default=256, metadata={"help": "largest budget of an explanation, in predictions"})
    explanations: int = field(default=4, metadata={"help": "explanations that are computed or wait in one worker"})

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if not isinstance(value, (int, float)) or not value > 0:
                raise BadInput(f"the limit {each.name} is {value!r}", "use a number above 0")

    def described(self) -> dict[str, str]:
        """What each limit is, in words, by its name."""
        return {each.name: each.metadata["help"] for each in fields(self)}


class HttpError(Exception):
    """A request that is refused: status, what is wrong, and what to do. None of it comes from the request."""

    def __init__(self, status: int, message: str, fix: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.fix, self.headers = status, message, fix, dict(headers or {})


async def read_json(request: Request, limits: Limits) -> dict[str, Any]:
    """The JSON object in a request's body.

    Raises:
        HttpError: another content type (415), a body that is too large (413), or not a JSON object (400).
    """
    # A page of another site may post text/plain to this machine without permission, JSON only with it (CORS).
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HttpError(415, "the body is not declared as JSON", "send the header Content-Type: application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limits.body_bytes:
            raise HttpError(413, f"the body is longer than {limits.body_bytes} bytes", "send fewer or shorter texts")
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise HttpError(400, "the body is not JSON in UTF-8", 'send an object such as {"text": "..."}') from error
    if not isinstance(value, dict):
        raise HttpError(400, "the body is not a JSON object", 'send an object such as {"text": "..."}')
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def texts_of(body: Mapping[str, Any], limits: Limits) -> list[str]:
    """The texts of a body `{"text": "..."}` or `{"texts": ["...", ...]}`.

    Unpaired surrogates, which no encoding can write, become the replacement character U+FFFD, as everywhere in the
    course.

    Raises:
        HttpError: another form (422), too many texts, or a text that is too long (413).
    """
    check_fields(body, {"text", "texts"})
    if len(body) != 1:
        raise HttpError(422, "the body needs exactly one of the fields text and texts", 'send {"text": "..."}')
    texts = body["texts"] if "texts" in body else [body["text"]]
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise HttpError(422, "text is not a string, or texts not a list of strings", 'send {"texts": ["...", "..."]}')
    if not texts:
        raise HttpError(422, "texts is empty", "send at least one text")
    if len(texts) > limits.texts:
        raise HttpError(413, f"there are more than {limits.texts} texts", "send them in several requests")
    if max(map(len, texts)) > limits.characters:
        raise HttpError(413, f"a text is longer than {limits.characters} characters", "shorten it")
    return [text if text.isascii() else _SURROGATE.sub("\ufffd", text) for text in texts]


def check_fields(body: Mapping[str, Any], known: set[str]) -> None:
    """Raises HttpError (422) if the body has another field."""
    if not body.keys() <= known:
        raise HttpError(422, "the body has an unknown field", f"the fields are {', '.join(sorted(known))}")


def budget_of(body: Mapping[str, Any], limits: Limits) -> int:
    """The budget of an explanation, 100 by default. Raises HttpError (422) unless it is a whole number in range."""
    budget = body.get("budget", min(100, limits.explain_rows))
    if not isinstance(budget, int) or isinstance(budget, bool) or not 2 <= budget <= limits.explain_rows:
        raise HttpError(422, "budget is out of range", f"send a whole number from 2 to {limits.explain_rows}")
    return budget


def check_address(host: str, token: str | None) -> None:
    """Raises BadInput if a server would listen on an address that others can reach, and has no token."""
    if host not in _LOOPBACK and not token:
        raise BadInput(f"{host} can be reached by others", "give a --token, or serve on 127.0.0.1")


def check_host(headers: Headers) -> None:
    """Raises HttpError (400) unless the request is addressed to this machine under one of its own names.

    A page of another site whose name has been made to point to this machine must not get responses (DNS rebinding).
    """
    if not _LOCAL_HOST.fullmatch(headers.get("host", "")):
        raise HttpError(400, "the Host header does not name this machine", "use the address that the server has shown")


def check_token(headers: Headers, token: str | None) -> None:
    """Raises HttpError (401) unless the request carries the server's token, if it has one."""
    sent = headers.get("authorization", "").encode("latin-1")  # as starlette has decoded it
    if token is not None and not hmac.compare_digest(sent, f"Bearer {token}".encode()):
        fix = "send the header Authorization: Bearer TOKEN with the token that the server was started with"
        raise HttpError(401, "the token is missing or wrong", fix, {"www-authenticate": "Bearer"})


class RateLimiter:
    """A token bucket for each client: `rate` texts a second, after a burst of one second's worth.

    A request with a list of texts counts as many texts. A worker that shares its clients with others gets its part.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> (texts left, when)

    def check(self, client: str, texts: int, now: float | None = None) -> None:
        """Takes `texts` from the client's bucket.

        Args:
            client: its address.
            texts: how many it sends. More than a full bucket holds pass only if the bucket is full.
            now: seconds on a monotonic clock.

        Raises:
            HttpError: too few are left (429, with Retry-After).
        """
        now = time.monotonic() if now is None else now
        capacity = max(self.rate, 1.0)
        left, then = self._buckets.pop(client, (capacity, now))
        left = min(capacity, left + (now - then) * self.rate)
        missing = min(texts, capacity) - left
        self._buckets[client] = (left if missing > 1e-9 else left - texts, now)
        if len(self._buckets) > _CLIENTS:
            self._buckets.popitem(last=False)
        if missing > 1e-9:
            fix = "wait as long as the header Retry-After says"
            retry = {"retry-after": str(max(1, math.ceil(missing / self.rate)))}
            raise HttpError(429, f"this address has sent more than {self.rate:g} texts a second", fix, retry)
