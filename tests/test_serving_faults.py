"""Real servers: what a connection can do wrong, workers that are killed, versions that change, and what is left."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from serving_probes import (
    CANARY,
    ask,
    copy_version,
    damage,
    fuzz,
    request_bytes,
    send,
    statuses,
    tiny_export,
    versions_folder,
    wait_until,
)

from course_lib.serving import Deployment, RunningServer, start_server, write_deployment
from course_lib.serving.server import _bound

BODY = b'{"text": "a good film"}'
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return versions_folder(tiny_export(tmp_path_factory.mktemp("export")), tmp_path_factory.mktemp("versions"))


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    """Two workers; requests must be complete within a second."""
    options = ["--request-seconds", "1", "--rate", "1e6", "--log-requests"]
    with start_server(folder, workers=2, arguments=options) as running:
        yield running
    assert not psutil.pid_exists(running.process.pid)


def is_closed(url: str) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((urlsplit(url).hostname, urlsplit(url).port)) != 0


# ---- connections --------------------------------------------------------------------------------------------

CHUNKED = (
    "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
)
HALF = request_bytes(BODY)[:-5]
CONNECTIONS: dict[str, tuple[list[int], bytes]] = {
    "nothing": ([], b""),
    "half a header": ([408], b"POST /predict HTTP/1.1\r\nHost: local"),
    "half a body": ([408], HALF),
    "a header of 1 MB": ([400], request_bytes(BODY, "POST /predict HTTP/1.1", f"X-Secret: {CANARY * 120_000}")),
    "no header at all": ([400], b"POST /predict HTTP/1.1\r\n\r\n" + BODY),
    "not HTTP": ([400], CANARY.encode() + b"\r\n\r\n"),
    "TLS": ([400], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\n\n"),
    "HTTP/2": ([404, 400], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "no content type": ([415], b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"),
    "chunks without end": ([408], f"{CHUNKED}\r\n".encode() + b"5\r\n{\"tex\r\n"),
    "bad chunks": ([400], f"{CHUNKED}\r\n{CANARY}\r\n".encode()),
    "both lengths": ([400], f"{CHUNKED}Content-Length: 5\r\n\r\n0\r\n\r\n".encode()),
    "two lengths": ([400], request_bytes(BODY, "POST /predict HTTP/1.1", "Content-Length: 3")),
    "negative length": ([400], request_bytes(BODY).replace(b"Length: ", b"Length: -")),
    "length too small": ([400, 408], request_bytes(BODY).replace(b"Length: 23", b"Length: 10")),
    "two in one packet": ([200, 200], request_bytes(BODY) * 2),
    "one and a half": ([200, 408], request_bytes(BODY) + HALF),
    "one and half a header": ([200, 408], request_bytes(BODY) + b"POST /pre"),
    "HEAD": ([200], request_bytes(b"", "HEAD /health HTTP/1.1")),
    "HEAD of a secret": ([404], request_bytes(b"", f"HEAD /{CANARY} HTTP/1.1")),
    "HTTP/1.0": ([200], request_bytes(BODY, "POST /predict HTTP/1.0")),
    "WebSocket": ([404], request_bytes(b"", f"GET /{CANARY} HTTP/1.1", "Connection: Upgrade", "Upgrade: websocket")),
    "wrong host": ([400], request_bytes(BODY).replace(b"127.0.0.1", CANARY.encode())),
    "absolute address": ([404], request_bytes(b"", f"GET http://{CANARY}/ HTTP/1.1")),
}  # fmt: skip


@pytest.fixture(scope="module")
def responses(server: RunningServer) -> dict[str, bytes]:
    """What each connection got, all at the same time."""
    found: dict[str, bytes] = {}
    threads = [
        threading.Thread(target=lambda name=name, data=data: found.update({name: send(server.url, data, 3)}))
        for name, (_, data) in CONNECTIONS.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("kind", CONNECTIONS)
def test_connections(kind: str, responses: dict[str, bytes], server: RunningServer) -> None:
    assert statuses(responses[kind]) == CONNECTIONS[kind][0]
    assert CANARY.encode() not in responses[kind]
    for body in responses[kind].split(b"\r\n\r\n")[1:]:
        error = body.partition(b"HTTP/1.1")[0]
        assert not error or "error" in json.loads(error) or "label" in json.loads(error)


def test_bad_chunks_after_the_response_end_the_connection(server: RunningServer) -> None:
    with socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port), timeout=5) as connection:
        connection.sendall(CHUNKED.replace("json", "x").encode() + b"\r\n2\r\n{}\r\n")
        response = b""
        while not response.endswith(b"}"):  # header and body may arrive apart
            response += connection.recv(65536)
        assert statuses(response) == [415]
        connection.sendall(b"zz\r\n")
        assert connection.recv(65536) == b""
    assert "Traceback" not in server.log.read_text()


def test_a_client_that_never_reads_is_disconnected(server: RunningServer) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((urlsplit(server.url).hostname, urlsplit(server.url).port))
        connection.settimeout(10)
        page = request_bytes(b"", "GET / HTTP/1.1")
        with pytest.raises(ConnectionError):  # and not TimeoutError
            for _ in range(100_000):
                connection.sendall(page)


def test_damaged_bytes(server: RunningServer) -> None:
    """No 500, no worker lost, nothing of a request in a response, in the log or in a metric."""
    workers = server.workers()
    found, leaks = fuzz(server.url, 200, seed=1)
    assert leaks == 0
    assert max(found) < 500 and found[400] > 20 and found[200] > 0
    assert server.workers() == workers
    assert CANARY not in server.log.read_text() + httpx.get(f"{server.url}/metrics").text
    assert " INFO POST /predict 4" in server.log.read_text()


def counted(server: RunningServer) -> float:
    text = httpx.get(f"{server.url}/metrics").text
    return sum(map(float, re.findall(r'course_requests_total{route="/predict",status="200"} (\S+)', text)))


def test_nagles_algorithm_is_off() -> None:
    """asyncio sets TCP_NODELAY only for sockets with this number; without it each response takes 40 ms longer."""
    with _bound("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_connections_that_come_at_once_are_divided_among_the_workers(server: RunningServer) -> None:
    async def workers_of(connections: int) -> Counter[int]:
        async with httpx.AsyncClient(base_url=server.url) as client:
            answers = await asyncio.gather(*[client.get("/version") for _ in range(connections)])
        return Counter(answer.json()["worker"] for answer in answers)

    tries = [asyncio.run(workers_of(24)) for _ in range(5)]  # one may fail where a worker gets no processor time
    assert any(len(counted) == 2 and min(counted.values()) >= 8 for counted in tries), tries


def test_figures_of_the_workers_add_up(server: RunningServer) -> None:
    before, answered, sent = counted(server), set(), 0
    # Each request has a connection of its own, and the system chooses the worker: wait until both got some.
    while sent < 40 or (answered != set(server.workers()) and sent < 1000):
        assert ask(server.url, "/predict", {"text": "a"})[0] == 200
        answered.add(ask(server.url, "/version")[1]["worker"])
        sent += 1
    assert answered == set(server.workers())
    assert counted(server) - before == sent


# ---- faults under load --------------------------------------------------------------------------------------


class Load(threading.Thread):
    """Sends a request each 10 ms, whether or not earlier ones are answered, each on a connection of its own."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.ends, self.found = url, threading.Event(), list[tuple[float, str]]()

    def run(self) -> None:
        threads = []
        while not self.ends.wait(0.01):
            threads.append(threading.Thread(target=self.one))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def one(self) -> None:
        started = time.monotonic()
        try:
            status, found = ask(self.url, "/predict", {"text": "a good film"})
            result = found["version"] if status == 200 else str(status)
        except (OSError, HTTPException) as error:
            result = type(error).__name__
        self.found.append((started, result))

    def lost(self, since: float = 0.0) -> list[str]:
        """What became of the requests without a prediction, of those sent since a moment."""
        return [result for started, result in self.found if started > since and not result.startswith("v")]


@contextmanager
def load(url: str) -> Iterator[Load]:
    running = Load(url)
    running.start()
    try:
        time.sleep(0.3)
        yield running
        time.sleep(0.3)
    finally:
        running.ends.set()
        running.join()
    assert len(running.found) > 20


def test_faults_under_load(server: RunningServer, folder: Path) -> None:
    """One after the other on one server: each leaves it as it was."""
    with load(server.url) as swapped:
        write_deployment(folder, Deployment("v2"))
        wait_until(lambda: served(server) == {"v2"})
    assert swapped.lost() == []
    assert {result for _, result in swapped.found} == {"v1", "v2"}

    first, second = server.workers()
    ready = server.log.read_text().count("a worker is ready")
    with load(server.url) as killed:
        os.kill(first, signal.SIGKILL)
        moment = time.monotonic()
        wait_until(lambda: server.log.read_text().count("a worker is ready") > ready)
    assert second in server.workers() and first not in server.workers() and len(server.workers()) == 2
    assert killed.lost(since=moment) == []  # only what was in flight

    before = server.workers()
    with load(server.url) as restarted:
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(server.workers()) == 2 and not set(server.workers()) & set(before))
    assert restarted.lost() == []

    copy_version(folder / "v2", folder / "v3")
    damage(folder / "v3", "truncated")
    with load(server.url) as damaged:
        (folder / "deployment.json").write_text('{"stable": "v3"}')
        wait_until(lambda: refused(server) == {"CorruptAsset"})
        ready = server.log.read_text().count("a worker is ready")
        os.kill(server.workers()[0], signal.SIGKILL)  # the next one finds damaged files
        moment = time.monotonic()
        wait_until(lambda: server.log.read_text().count("a worker is ready") > ready)
    assert damaged.lost(since=moment) == []
    assert served(server) == {"v2"} and refused(server) == {"CorruptAsset"}


def of_all_workers(server: RunningServer) -> list[dict[str, object]]:
    found = {}
    while set(found) < set(server.workers()):
        version = ask(server.url, "/version")[1]
        found[version["worker"]] = version
    return list(found.values())


def served(server: RunningServer) -> set[str]:
    return {version["stable"]["name"] for version in of_all_workers(server)}  # type: ignore[index]


def refused(server: RunningServer) -> set[object]:
    return {version["refused"] for version in of_all_workers(server)}


def test_a_stop_under_load_loses_nothing_that_was_accepted(folder: Path) -> None:
    write_deployment(folder, Deployment("v1"))
    with start_server(folder, workers=2) as running:
        children = psutil.Process(running.process.pid).children(recursive=True)
        with httpx.Client(base_url=running.url) as kept, load(running.url) as stopped:
            kept.get("/health")
            moment = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            assert kept.post("/predict", json={"text": "a"}).status_code == 200  # on a connection that was idle
            assert running.process.wait(20) == 0
        lost = [result for started, result in stopped.found if started < moment - 0.05 and not result.startswith("v")]
        assert lost == []
        assert psutil.wait_procs(children, timeout=5)[1] == []
        assert is_closed(running.url)


def test_a_worker_has_so_many_connections_and_ends_when_its_supervisor_is_killed(folder: Path) -> None:
    with start_server(folder, arguments=["--token", "secret", "--connections", "2"]) as running:
        address = (urlsplit(running.url).hostname, urlsplit(running.url).port)
        idle = [socket.create_connection(address, timeout=5) for _ in range(2)]
        assert statuses(send(running.url, request_bytes(BODY))) == [503]
        for connection in idle:
            connection.close()
        wait_until(lambda: ask(running.url, "/version")[0] == 401)
        children = psutil.Process(running.process.pid).children(recursive=True)
        files = Path(psutil.Process(running.workers()[0]).environ()["PROMETHEUS_MULTIPROC_DIR"]).parent
        assert (files / "versions").is_dir()
        running.process.kill()
        assert psutil.wait_procs(children, timeout=20)[1] == []
        assert not files.exists()
        assert is_closed(running.url)


def test_a_server_ends_with_the_process_that_started_it(folder: Path) -> None:
    code = "import sys, time; from course_lib.serving import start_server; s = start_server(sys.argv[1]); "
    code += "print(s.url, s.process.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        url, supervisor = starter.stdout.readline().split()
        processes = [psutil.Process(int(supervisor))]
        processes += processes[0].children(recursive=True)
        starter.kill()
    try:
        assert psutil.wait_procs(processes, timeout=20)[1] == []
        assert is_closed(url)
    finally:
        for process in processes:
            if process.is_running():
                process.kill()


def test_ctrl_c_ends_the_command_without_a_traceback(folder: Path) -> None:
    command = [sys.executable, "-m", "course_lib", "serve", "--model", str(folder), "--port", "0", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
        assert "a worker is ready" in lines[1]
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
        out, rest = process.communicate(timeout=20)
    finally:
        with_children = psutil.pid_exists(process.pid)
        if with_children:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0
    assert json.loads(out)["stopped"] is True
    assert "Traceback" not in rest
