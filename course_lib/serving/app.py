"""The service as an ASGI application: routes, what each answers, and what it never does.

It never repeats a request in an error, a log or a metric. Rows of a client that has gone are dropped from the queue.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from course_lib.errors import BadInput
from course_lib.onnx_model import Tokens, softmax
from course_lib.serving.batcher import Batcher, DeadlineExceeded, QueueFull, RowQueue, take_batch
from course_lib.serving.explanations import TooManyWords, shapley_values
from course_lib.serving.limits import (
    HttpError,
    Limits,
    RateLimiter,
    budget_of,
    check_fields,
    check_host,
    check_token,
    read_json,
    texts_of,
)
from course_lib.serving.metrics import FOLDER, Metrics, forget_dead_workers
from course_lib.serving.page import render_page
from course_lib.serving.versions import Version, Versions

_MAX_PADDING = 16  # tokens of a batch; where 4 rows wait, 11 to 18 % more rows per CPU-second than without this limit
_READY_SECONDS = 1.0
_STAYS_READY = 0.2  # seconds: however often it is requested, the model computes five such rows a second
_MODEL_SECONDS = 5.0  # for the batch of a row whose wait is over
_HANGING_SECONDS = 30.0  # of one batch; then the worker ends itself, and its supervisor starts another
_STOP_SECONDS = 5.0  # for what still runs when everything else of the worker has ended
_TOKEN = re.compile("[!-~]+")
_log = logging.getLogger(__name__)
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Settings:
    """What a worker needs to know. Raises BadInput for a number under 1, or a token that no header can carry."""

    folder: Path  # an export, or a folder of versions
    limits: Limits = field(default_factory=Limits)
    token: str | None = None  # without one, only clients on this machine are served
    max_tokens: int = 256  # of a padded batch
    workers: int = 1  # of the server; they divide the rate limit
    log_requests: bool = False
    spare: Path | None = None  # for copies of the versions in use

    def __post_init__(self) -> None:
        if min(self.workers, self.max_tokens) < 1:
            raise BadInput(f"workers is {self.workers}, max_tokens {self.max_tokens}", "use 1 or more for both")
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise BadInput("the token is empty, or has a space or a letter that is not ASCII", "use letters and digits")


class Service:
    """One worker: a model, a batcher, and an endpoint for each route."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.metrics = Metrics()
        self.versions = Versions(settings.folder, settings.spare, self.metrics.deployment_changed)
        queue = RowQueue(settings.max_tokens, self.limits.waiting, partial(take_batch, max_padding=_MAX_PADDING))
        self.batcher = Batcher(queue, self.metrics.batch_done)
        self._rate = RateLimiter(self.limits.rate / settings.workers)
        self._explaining = asyncio.Semaphore(1)
        self._explanations = 0
        self._ready_until = 0.0
        self._shadow_task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """From the worker's start to its end."""
        self.batcher.start()
        tasks = [asyncio.create_task(self.versions.watch()), asyncio.create_task(self._watch())]
        _log.info("a worker is ready")
        try:
            yield
        finally:
            for task in (*tasks, *([self._shadow_task] if self._shadow_task else [])):
                task.cancel()
            await self.batcher.stop()
            if multiprocessing.parent_process() is not None:  # Python waits for threads, and the model's may hang
                timer = threading.Timer(_STOP_SECONDS, os._exit, [1])
                timer.daemon = True
                timer.start()

    async def _watch(self) -> None:
        """Once a second: ends this worker when its supervisor is gone or its model hangs; keeps the figures current."""
        supervisor = multiprocessing.parent_process()
        while True:
            await asyncio.sleep(1)
            self.metrics.waiting.set(self.batcher.waiting)
            forget_dead_workers()
            if supervisor is not None and not supervisor.is_alive():
                self._remove_files()
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if supervisor is not None and self.batcher.busy_seconds > _HANGING_SECONDS:
                _log.error("the model hangs: this worker ends")
                os._exit(1)

    def _remove_files(self) -> None:
        """Removes what a killed supervisor has left: the copies of versions and the figures."""
        if self.settings.spare is not None:
            shutil.rmtree(self.settings.spare, ignore_errors=True)
            shutil.rmtree(os.environ[FOLDER], ignore_errors=True)
            with suppress(OSError):
                self.settings.spare.parent.rmdir()

    async def predict(self, request: Request) -> Response:
        """`POST /predict`: label and probabilities of one text, or of each of several."""
        body = await read_json(request, self.limits)
        texts = texts_of(body, self.limits)
        self._rate.check(client_of(request), len(texts))
        versions = [self.versions.version_for(text) for text in texts]
        tokens = await encode(versions, texts)
        if sum(len(row.ids) for row in tokens) > self.limits.request_tokens:  # too many to meet their deadline
            message = f"the texts have more than {self.limits.request_tokens} tokens together"
            raise HttpError(413, message, "send them in several requests")
        logits = await self._logits(request, versions, tokens)
        predictions = [self._prediction(*row) for row in zip(versions, tokens, logits, strict=True)]
        self._start_shadow(texts, [row["label"] for row in predictions])
        return JSONResponse(predictions[0] if "text" in body else {"predictions": predictions})

    async def _logits(
        self, request: Request, versions: Sequence[Version], tokens: Sequence[Tokens]
    ) -> list[NDArray[np.float32]]:
        rows = [(version.model, row.ids) for version, row in zip(versions, tokens, strict=True)]
        futures = self.batcher.submit_rows(rows, self.limits.deadline)
        return await results(request, futures, self.limits.deadline + _MODEL_SECONDS)

    def _prediction(self, version: Version, tokens: Tokens, logits: NDArray[np.float32]) -> dict[str, Any]:
        names, probabilities = version.model.class_names, softmax(logits)
        label = names[int(probabilities.argmax())]
        self.metrics.predictions.labels(version.name, label).inc()
        return {
            "label": label,
            "probabilities": {name: round(float(value), 6) for name, value in zip(names, probabilities, strict=True)},
            "truncated": tokens.truncated,
            "version": version.name,
        }

    def _start_shadow(self, texts: Sequence[str], labels: Sequence[str]) -> None:
        """Lets the shadow predict its fraction of the texts after the response, if nobody waits for the model."""
        chosen = [(text, label) for text, label in zip(texts, labels, strict=True) if self.versions.shadow_for(text)]
        version = self.versions.candidate
        if not chosen or version is None:
            return
        if self.batcher.waiting or (self._shadow_task is not None and not self._shadow_task.done()):
            self.metrics.shadow.labels(version.name, "skipped").inc(len(chosen))
            return
        self._shadow_task = asyncio.create_task(self._shadow(version, chosen))

    async def _shadow(self, version: Version, chosen: Sequence[tuple[str, str]]) -> None:
        try:
            tokens = await encode([version] * len(chosen), [text for text, _ in chosen])
            futures = self.batcher.submit(version.model, [row.ids for row in tokens], self.limits.deadline)
            columns = np.stack(await asyncio.gather(*futures)).argmax(1)
        except Exception as error:
            self.metrics.shadow.labels(version.name, type(error).__name__).inc(len(chosen))
            return
        for column, (_, label) in zip(columns, chosen, strict=True):
            self.metrics.shadow.labels(version.name, str(version.model.class_names[column] == label).lower()).inc()

    async def explain(self, request: Request) -> Response:
        """`POST /explain`: the Shapley value of each word of a text."""
        body = await read_json(request, self.limits)
        check_fields(body, {"text", "budget"})
        text, budget = texts_of({"text": body.get("text")}, self.limits)[0], budget_of(body, self.limits)
        if not text.split():
            raise HttpError(422, "the text has no word", "send a text with at least one word")
        self._rate.check(client_of(request), budget)
        if self._explanations >= self.limits.explanations:
            raise HttpError(503, "too many explanations wait", "try again", {"retry-after": "1"})
        self._explanations += 1
        try:
            async with self._explaining:
                return JSONResponse(await self._explained(request, text, budget))
        except TooManyWords as error:
            fix = f"send a budget of {error.words + 1} or more (at most {self.limits.explain_rows}), or a shorter text"
            raise HttpError(422, f"the text has {error.words} words, too many for the budget", fix) from error
        finally:
            self._explanations -= 1

    async def _explained(self, request: Request, text: str, budget: int) -> dict[str, Any]:
        version = self.versions.version_for(text)

        async def predict(texts: Sequence[str]) -> NDArray[np.float64]:
            versions = [version] * len(texts)
            logits = await self._logits(request, versions, await encode(versions, texts))
            return softmax(np.stack(logits)).astype(np.float64)

        found = asdict(await shapley_values(predict, text, budget))
        label = version.model.class_names[found.pop("column")]
        (tokens,) = await encode([version], [text])
        return {"label": label, **found, "truncated": tokens.truncated, "version": version.name}

    async def ready(self, _: Request) -> Response:
        """`GET /ready`: whether a row gets through the model now, or got through it a moment ago."""
        if time.monotonic() < self._ready_until:
            return JSONResponse({"ready": True})
        model = self.versions.stable.model
        futures = self.batcher.submit(model, [model.encode(["ready"])[0].ids], _READY_SECONDS)
        await asyncio.wait_for(futures[0], _READY_SECONDS)  # the model may hang
        self._ready_until = time.monotonic() + _STAYS_READY
        return JSONResponse({"ready": True})

    async def health(self, _: Request) -> Response:
        """`GET /health`: whether this worker answers at all."""
        return JSONResponse({"healthy": True})

    async def version(self, _: Request) -> Response:
        """`GET /version`: what is served."""
        stable, candidate = self.versions.stable, self.versions.candidate
        return JSONResponse(
            {
                "stable": {"name": stable.name, "sha256": stable.digest, "classes": stable.model.class_names},
                "candidate": candidate and {"name": candidate.name, "sha256": candidate.digest},
                "mode": self.versions.deployment.mode,
                "fraction": self.versions.deployment.fraction,
                "refused": self.versions.refused,
                "worker": os.getpid(),
            }
        )

    async def show_metrics(self, _: Request) -> Response:
        """`GET /metrics`: figures of all workers for Prometheus."""
        self.metrics.waiting.set(self.batcher.waiting)
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def no_such_route(self, _: Request, error: Exception) -> Response:
        """Any other route or method."""
        assert isinstance(error, HTTPException)
        self.metrics.requests.labels("other", error.status_code).inc()
        message = "there is no such route or method"
        return error_response(HttpError(error.status_code, message, "see the page at /", error.headers))

    async def index(self, _: Request) -> Response:
        """`GET /`: a page to try it, with all limits."""
        needs_token, length = self.settings.token is not None, self.versions.stable.model.max_length
        return HTMLResponse(render_page(self.limits, length, needs_token, self.settings.workers))

    def route(self, path: str, method: str, endpoint: Endpoint, needs_token: bool = True) -> Route:
        """A route whose errors are JSON and repeat nothing of the request."""

        async def answer(request: Request) -> Response:
            started = time.monotonic()
            response = await self._guarded(request, endpoint, needs_token)
            seconds = time.monotonic() - started
            self.metrics.requests.labels(path, response.status_code).inc()
            self.metrics.seconds.labels(path).observe(seconds)
            if self.settings.log_requests:
                _log.info("%s %s %d %.1f ms", method, path, response.status_code, 1000 * seconds)
            return response

        return Route(path, answer, methods=[method])

    async def _guarded(self, request: Request, endpoint: Endpoint, needs_token: bool) -> Response:
        try:
            if self.settings.token is None:
                check_host(request.headers)
            elif needs_token:
                check_token(request.headers, self.settings.token)
            return await endpoint(request)
        except HttpError as error:
            return error_response(error)
        except (QueueFull, TimeoutError, DeadlineExceeded) as error:
            late = not isinstance(error, QueueFull)
            retry = {"retry-after": str(max(1, round(self.batcher.retry_after)))}
            message = "no result before the deadline" if late else "too many texts wait"
            return error_response(HttpError(504 if late else 503, message, "try again later", retry))
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it; the number is nginx's
        except Exception as error:
            trace = error.__traceback__
            while trace and trace.tb_next:
                trace = trace.tb_next
            where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
            _log.error("%s at %s", type(error).__name__, where)  # its message may contain the text
            return error_response(HttpError(500, "the server failed on this request", "please report it"))


def client_of(request: Request) -> str:
    """The address that a request comes from."""
    return request.client.host if request.client else ""


async def encode(versions: Sequence[Version], texts: Sequence[str]) -> list[Tokens]:
    """The tokens of each text for its version. Long texts are done in a thread, so that others need not wait."""

    def all_of_them() -> list[Tokens]:
        return [version.model.encode([text])[0] for version, text in zip(versions, texts, strict=True)]

    return all_of_them() if sum(map(len, texts)) < 2000 else await asyncio.to_thread(all_of_them)


async def results(request: Request, futures: Sequence[asyncio.Future[Any]], timeout: float) -> list[Any]:
    """The results of all futures. If one fails, or the client goes, the others are cancelled.

    Raises:
        ClientDisconnect: the client has gone.
        TimeoutError: there is none after `timeout` seconds, because the model hangs.
        DeadlineExceeded, ModelFailed: of a row.
    """
    gone = asyncio.create_task(_disconnected(request))
    everything = asyncio.gather(*futures)
    everything.add_done_callback(lambda done: done.cancelled() or done.exception())  # else asyncio logs it
    try:
        await asyncio.wait((everything, gone), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if not everything.done():
            raise ClientDisconnect if gone.done() else TimeoutError
        return everything.result()
    finally:
        gone.cancel()
        everything.cancel()
        for future in futures:
            future.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def error_response(error: HttpError) -> Response:
    """The JSON of an error."""
    return JSONResponse({"error": error.message, "fix": error.fix}, error.status, error.headers)


def create_app(settings: Settings) -> Starlette:
    """The application of one worker.

    Raises:
        CourseError: the model cannot be used.
    """
    service = Service(settings)
    app = Starlette(
        routes=[
            service.route("/", "GET", service.index, needs_token=False),
            service.route("/predict", "POST", service.predict),
            service.route("/explain", "POST", service.explain),
            service.route("/health", "GET", service.health, needs_token=False),
            service.route("/ready", "GET", service.ready, needs_token=False),
            service.route("/version", "GET", service.version),
            service.route("/metrics", "GET", service.show_metrics),
        ],
        exception_handlers={HTTPException: service.no_such_route},
        lifespan=service.lifespan,
    )
    app.router.redirect_slashes = False  # a redirect would repeat the address
    app.state.service = service
    return app
