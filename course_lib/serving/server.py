"""Starts a server: in this process for the command line, or as a child of a notebook."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors.multiprocess import Multiprocess

from course_lib.errors import BadInput, CourseError
from course_lib.serving import metrics
from course_lib.serving.app import Settings, create_app
from course_lib.serving.balance import ConnectionCounts, EvenLoop
from course_lib.serving.limits import Limits, check_address
from course_lib.serving.protocol import DeadlineProtocol
from course_lib.serving.versions import Versions

_SETTINGS = "COURSE_SERVE_SETTINGS"  # environment variable: how a worker gets its settings
_STARTED_BY = "COURSE_SERVE_STARTED_BY"  # environment variable: the process with which a server ends
_READY_LINE = "serving on "
_KEEP_ALIVE = 20  # seconds; clients must give up an idle connection before the server does (httpx: after 5)
_WORKER_LINE = "a worker is ready"
_GRACE = 10  # seconds that requests under way have when the server stops
_START = 20  # seconds that a new worker has, and that one which answers no signal of its supervisor lives


def serve(settings: Settings, host: str = "127.0.0.1", port: int = 8000) -> None:
    """Serves until SIGTERM or Ctrl-C. SIGHUP replaces the workers one by one.

    Args:
        settings: model, limits, token, workers.
        host: another address than this machine's own needs a token.
        port: 0 takes a free one; the line on standard error names it.

    Raises:
        BadInput: an address without a token, or one that is in use.
        CourseError: the model cannot be used, or the workers do not start.
    """
    check_address(host, settings.token)
    with _bound(host, port) as listening, tempfile.TemporaryDirectory(prefix="course-serve-") as temporary:
        spare, figures = Path(temporary, "versions"), Path(temporary, "figures")
        spare.mkdir()
        figures.mkdir()
        Versions(settings.folder, spare)  # fails here, with its reason, and not in each worker
        values = asdict(settings) | {"folder": str(settings.folder.absolute()), "spare": str(spare)}
        os.environ |= {_SETTINGS: json.dumps(values), metrics.FOLDER: str(figures), "OMP_NUM_THREADS": "1"}
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        config = uvicorn.Config(
            "course_lib.serving.server:worker", factory=True, workers=settings.workers, http=DeadlineProtocol,
            ws="none", lifespan="on", loop="course_lib.serving.balance:EvenLoop", log_config=_logging(),
            access_log=False, proxy_headers=False, server_header=False, timeout_graceful_shutdown=_GRACE,
            timeout_worker_healthcheck=_START, timeout_keep_alive=_KEEP_ALIVE,
        )  # fmt: skip
        shown = f"[{host}]" if ":" in host else host
        print(f"{_READY_LINE}http://{shown}:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
        if _STARTED_BY in os.environ:
            threading.Thread(target=_stop_after, args=[int(os.environ[_STARTED_BY])], daemon=True).start()
        supervisor = Multiprocess(config, sockets=[listening])
        supervisor.run()
        if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
            raise CourseError("a worker could not start", "see the lines above")


def worker() -> Starlette:
    """The application, made by a worker from the settings in its environment."""
    # How long the model's thread waits for the GIL while the event loop computes. 5 ms would be a fifth of a batch.
    sys.setswitchinterval(0.0005)
    values = json.loads(os.environ[_SETTINGS])
    limits = Limits(**values.pop("limits"))
    DeadlineProtocol.request_seconds, DeadlineProtocol.max_connections = limits.request_seconds, limits.connections
    EvenLoop.counts = ConnectionCounts(Path(os.environ[metrics.FOLDER], "connections"))
    folders = {name: Path(values[name]) for name in ("folder", "spare")}
    return create_app(Settings(**values | folders, limits=limits))


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, which all workers share. Raises BadInput where there can be none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With another protocol number asyncio leaves Nagle's algorithm on, which delays each response by 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        try:
            if os.name == "posix":
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host.strip("[]"), port))
            listening.listen(2048)
        except (OSError, OverflowError) as error:
            raise BadInput(f"cannot listen on {host}, port {port}: {error}", "give another --host or --port") from error
        yield listening


def _stop_after(parent: int) -> None:
    """Ends this server when the process that has started it is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


def _logging() -> dict[str, Any]:
    """Plain lines on standard error: the course's own, and uvicorn's errors. uvicorn warns of faults of clients."""
    levels = {"course_lib": "INFO", "uvicorn": "ERROR"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(asctime)s %(process)d %(levelname)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "plain"}},
        "loggers": {name: {"handlers": ["stderr"], "level": level} for name, level in levels.items()},
    }


@dataclass
class RunningServer:
    """A server that runs as a child of this process; `stop()`, or the end of a `with` block, ends it.

    Attributes:
        url: where it answers.
        process: of its supervisor, the parent of the workers.
        log: file with its standard error.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def workers(self) -> list[int]:
        """Process numbers of the workers that live."""
        with suppress(psutil.NoSuchProcess):
            return sorted(child.pid for child in psutil.Process(self.process.pid).children() if _is_worker(child))
        return []

    def stop(self) -> None:
        """Ends it: SIGTERM, and SIGKILL for what is left after its grace period."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_GRACE + 5)
        if os.name == "posix":
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        self.log.unlink(missing_ok=True)

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):  # or a zombie, which is one, too
        return "spawn_main" in " ".join(process.cmdline())
    return False


def start_server(
    model: str | os.PathLike[str], workers: int = 1, arguments: Sequence[str] = (), timeout: float = 60
) -> RunningServer:
    """Starts `python -m course_lib serve` on a free port of this machine and waits until all its workers are ready.

    Args:
        model: an export, or a folder of versions; or a model that the command exports first.
        workers: processes that predict.
        arguments: further options of the command, such as `["--waiting", "64"]`.
        timeout: seconds to wait.

    Raises:
        CourseError: it has ended, or is not ready in time; the message has the last line of its log.
    """
    command = [sys.executable, "-m", "course_lib", "serve", "--model", os.fspath(model), "--port", "0"]
    descriptor, log = tempfile.mkstemp(prefix="course-serve-", suffix=".log")
    with open(descriptor, "wb") as file:
        process = subprocess.Popen(
            [*command, "--workers", str(workers), *arguments], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            start_new_session=True, env=os.environ | {_STARTED_BY: str(os.getpid())},
        )  # fmt: skip
    server, end = RunningServer("", process, Path(log)), time.monotonic() + timeout
    try:
        while time.monotonic() < end and process.poll() is None:
            lines = server.log.read_text(encoding="utf-8", errors="replace").splitlines()
            server.url = next((line.removeprefix(_READY_LINE) for line in lines if line.startswith(_READY_LINE)), "")
            if server.url and sum(_WORKER_LINE in line for line in lines) >= workers:
                return server
            time.sleep(0.05)
        last = (server.log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no message"])[-1]
    except BaseException:
        server.stop()
        raise
    server.stop()
    raise CourseError(f"the server did not become ready: {last[:300]}", "see the message")
