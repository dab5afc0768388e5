"""Exports to serve, raw bytes to send, and damaged requests, shared by the tests of the service."""

from __future__ import annotations

import json
import random
import shutil
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from toy_classifiers import fitted

from course_lib.compression.onnx_export import export_onnx
from course_lib.serving import Deployment, write_deployment

CANARY = "zq7canary"  # in every damaged request; must never come back
_MADE: dict[str, Path] = {}


def tiny_export(folder: Path) -> Path:
    """An export of the toy classifier, made once in this process."""
    if "export" not in _MADE:
        _MADE["export"] = export_onnx(fitted(), folder / "toy").folder
    return _MADE["export"]


def copy_version(export: Path, target: Path, **changes: object) -> Path:
    """The same model as another version: its note differs, so its digest does."""
    shutil.copytree(export, target)
    note = json.loads((target / "classes.json").read_text()) | {"version": target.name} | changes
    (target / "classes.json").write_text(json.dumps(note))
    return target


def versions_folder(export: Path, folder: Path) -> Path:
    """A folder with the versions v1 and v2, of which v1 is used."""
    for name in ("v1", "v2"):
        copy_version(export, folder / name)
    write_deployment(folder, Deployment("v1"))
    return folder


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Fails if nothing has happened after so many seconds, which no machine should need."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def damage(version: Path, kind: str) -> None:
    """Makes a version unusable."""
    note = json.loads((version / "classes.json").read_text())
    if kind == "truncated":
        (version / "model.onnx").write_bytes((version / "model.onnx").read_bytes()[:1000])
    elif kind == "wrong hash":
        (version / "classes.json").write_text(json.dumps(note | {"sha256": {"model.onnx": "0" * 64}}))
    elif kind == "other classes":
        (version / "classes.json").write_text(json.dumps(note | {"names": ["red", "green"]}))
    elif kind == "missing file":
        (version / "tokenizer.json").unlink()
    elif kind == "wrong length":
        (version / "classes.json").write_text(json.dumps(note | {"max_length": -1}))
    elif kind == "garbage note":
        (version / "classes.json").write_bytes(b"\xff\x00[")
    else:
        raise ValueError(kind)


def request_bytes(body: bytes, head: str = "POST /predict HTTP/1.1", *headers: str) -> bytes:
    """A request with all its headers; further ones come last."""
    lines = [head, "Host: 127.0.0.1", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def send(url: str, data: bytes, seconds: float = 5.0) -> bytes:
    """What a server sends back, until it closes the connection or so many seconds have passed."""
    address = urlsplit(url)
    found = b""
    with socket.create_connection((address.hostname, address.port), timeout=seconds) as connection:
        with suppress(ConnectionError):
            connection.sendall(data)
        end = time.monotonic() + seconds
        with suppress(TimeoutError, ConnectionError):
            while time.monotonic() < end and (part := connection.recv(65536)):
                found += part
    return found


def ask(url: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a request on a connection of its own. Raises OSError or HTTPException if it is lost."""
    address = urlsplit(url)
    connection = HTTPConnection(str(address.hostname), address.port, timeout=20)
    try:
        if body is None:
            connection.request("GET", path)
        else:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def statuses(found: bytes) -> list[int]:
    """The status codes of all responses in some bytes."""
    return [int(part[:3]) for part in found.split(b"HTTP/1.1 ")[1:]]


def damaged_body(random_: random.Random) -> bytes:
    """A JSON body with the canary in it, valid or not."""
    text = random_.choice([CANARY, CANARY + "é" * 50, "\ud800" + CANARY, CANARY + "\0\u202e", f"{CANARY} " * 300, ""])
    value = random_.choice(
        [
            text,
            [text],
            [text, 1],
            {"text": text},
            None,
            True,
            1e308,
            -0.0,
            10**400,
            [[text]],
            [""] * 70,
            [text] * 3,
            text * 99,
        ]
    )
    name = random_.choice(["text", "text", "texts", "texts", "budget", CANARY, "text\0"])
    body = (
        {name: value}
        if random_.random() < 0.5
        else {name: value} | random_.choice([{}, {"text": text}, {"budget": value}, {CANARY: text}, {"texts": [text]}])
    )
    encoded = json.dumps(random_.choice([body, body, body, value])).encode()
    kind = random_.randrange(6)
    if kind == 0:  # some bytes differ
        damaged = bytearray(encoded)
        for _ in range(random_.randrange(1, 5)):
            damaged[random_.randrange(len(damaged))] = random_.randrange(256)
        return bytes(damaged)
    if kind == 1:
        return encoded[: random_.randrange(len(encoded) + 1)]
    if kind == 2:
        return random_.choice([b"[" * 5000, b'{"a":' * 5000, b"\xef\xbb\xbf", b"\xff\xfe", b"NaN"]) + encoded
    return encoded


def damaged_request(random_: random.Random) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, path, body and headers of a request that may be wrong anywhere."""
    method = random_.choice(["POST"] * 40 + ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
    routes = ["/predict"] * 16 + ["/explain"] * 8 + ["/", "/version", "/metrics", f"/{CANARY}", f"/predict/{CANARY}"]
    path = random_.choice(routes) + random_.choice([""] * 16 + [f"?{CANARY}=1", "/", "%00", "%ff"])
    kinds = ["application/json"] * 8 + ["text/plain", f"application/{CANARY}", "", "application/json; charset=latin-1"]
    headers = {"content-type": random_.choice(kinds)}
    if random_.random() < 0.1:
        headers[random_.choice(["authorization", "x-secret", "host", "origin", "cookie", "accept"])] = CANARY
    return method, path, damaged_body(random_), headers


def damaged_bytes(random_: random.Random) -> bytes:
    """The bytes of a request, damaged below HTTP, too."""
    method, path, body, headers = damaged_request(random_)
    data = bytearray(request_bytes(body, f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())))
    kind = random_.randrange(5)
    if kind == 0:
        for _ in range(random_.randrange(1, 6)):
            data[random_.randrange(len(data))] = random_.randrange(256)
    elif kind == 1:
        place = random_.randrange(len(data))
        data[place:place] = random_.choice(
            [b"\r\n", b"\0", b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"a" * 20_000]
        )
    elif kind == 2:
        data = data[: random_.randrange(1, len(data))]
    elif kind == 3:
        data = data * 2
    return bytes(data)


def fuzz(url: str, count: int, seed: int, seconds: float = 0.2) -> tuple[Counter[int], int]:
    """Sends so many damaged requests, 16 at a time: how often each status came back, and the canary."""
    chance = random.Random(seed)
    requests = [damaged_bytes(chance) for _ in range(count)]
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda data: send(url, data, seconds), requests))
    # An explanation has the words of the text.
    leaks = sum(CANARY.encode() in each and b'"words"' not in each for each in found)
    return Counter(status for each in found for status in statuses(each)), leaks
