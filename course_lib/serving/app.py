"""The service as an ASGI application: routes, what each answers, and what it never does.

It never repeats a request in an error, a log or a metric, and it never computes for a client that has gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from course_lib.onnx_model import softmax
from course_lib.serving.batcher import Batcher, DeadlineExceeded, ModelFailed, QueueFull, RowQueue
from course_lib.serving.explanations import TooManyWords, shapley_values
from course_lib.serving.limits import (
    HttpError,
    Limits,
    RateLimiter,
    budget_of,
    check_fields,
    check_token,
    read_json,
    texts_of,
)
from course_lib.serving.metrics import Metrics, forget_dead_workers
from course_lib.serving.page import page
from course_lib.serving.versions import Version, Versions

LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
_READY_SECONDS = 1.0
_log = logging.getLogger(__name__)
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Settings:
    """What a worker needs to know."""

    folder: Path  # an export, or a folder of versions
    limits: Limits = field(default_factory=Limits)
    token: str | None = None  # without one, only this machine may ask
    max_tokens: int = 256  # of a padded batch
    workers: int = 1  # that share the clients
    log_requests: bool = False


class Service:
    """One worker: a model, a batcher, and an endpoint for each route."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.limits = settings, settings.limits
        self.versions = Versions(settings.folder)
        self.metrics = Metrics()
        queue = RowQueue(settings.max_tokens, self.limits.waiting)
        self.batcher = Batcher(queue, self.metrics.batch_done)
        self._rate = RateLimiter(self.limits.rate / settings.workers)
        self._explaining = asyncio.Semaphore(1)
        self._explanations = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """From the worker's start to its end."""
        self.batcher.start()
        watchers = [asyncio.create_task(self.versions.watch()), asyncio.create_task(self._watch_parent())]
        try:
            yield
        finally:
            for task in (*watchers, *self._tasks):
                task.cancel()
            await self.batcher.stop()

    async def _watch_parent(self) -> None:
        """Ends this worker when its supervisor has been killed, and notices killed neighbours."""
        parent = os.getppid()
        while True:
            await asyncio.sleep(1)
            forget_dead_workers()
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    async def predict(self, request: Request) -> Response:
        """`POST /predict`: label and probabilities of one text, or of each of several."""
        body = await read_json(request, self.limits)
        texts = texts_of(body, self.limits)
        self._rate.check(client_of(request), len(texts))
        version = self.versions.version_for(texts[0])
        predictions = await self._predictions(request, version, texts)
        self._start_shadow(texts, predictions)
        if "text" in body:
            return JSONResponse(predictions[0] | {"version": version.name})
        return JSONResponse({"predictions": predictions, "version": version.name})

    async def _predictions(self, request: Request, version: Version, texts: Sequence[str]) -> list[dict[str, Any]]:
        tokens = await self._encode(version, texts)
        futures = self.batcher.submit(version.model, [row.ids for row in tokens], self.limits.deadline)
        probabilities = softmax(np.stack(await results(request, futures)))
        names = version.model.class_names
        labels = [names[column] for column in probabilities.argmax(1)]
        for label in labels:
            self.metrics.predictions.labels(version.name, label).inc()
        return [
            {
                "label": label,
                "probabilities": {name: round(float(value), 6) for name, value in zip(names, row, strict=True)},
                "truncated": each.truncated,
            }
            for label, row, each in zip(labels, probabilities, tokens, strict=True)
        ]

    async def _encode(self, version: Version, texts: Sequence[str]) -> list[Any]:
        """Long texts are tokenised in a thread, so that others need not wait."""
        if sum(map(len, texts)) < 2000:
            return version.model.encode(texts)
        return await asyncio.to_thread(version.model.encode, texts)

    def _start_shadow(self, texts: Sequence[str], predictions: Sequence[dict[str, Any]]) -> None:
        """Lets the shadow predict the same texts after the response, if there is room."""
        version = self.versions.shadow_for(texts[0])
        if version is not None and self.batcher.waiting < self.limits.waiting / 2:
            task = asyncio.create_task(self._shadow(version, texts, [row["label"] for row in predictions]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _shadow(self, version: Version, texts: Sequence[str], labels: Sequence[str]) -> None:
        try:
            tokens = await self._encode(version, texts)
            futures = self.batcher.submit(version.model, [row.ids for row in tokens], self.limits.deadline)
            columns = np.stack(await asyncio.gather(*futures)).argmax(1)
        except (QueueFull, DeadlineExceeded, ModelFailed) as error:
            self.metrics.shadow.labels(version.name, type(error).__name__).inc(len(texts))
            return
        for column, label in zip(columns, labels, strict=True):
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

        async def probabilities(texts: Sequence[str]) -> NDArray[np.float64]:
            tokens = await self._encode(version, texts)
            futures = self.batcher.submit(version.model, [row.ids for row in tokens], self.limits.deadline)
            return softmax(np.stack(await results(request, futures))).astype(np.float64)

        column = int((await probabilities([text]))[0].argmax())

        async def value(texts: Sequence[str]) -> NDArray[np.float64]:
            found: NDArray[np.float64] = (await probabilities(texts))[:, column]
            return found

        label = version.model.class_names[column]
        return {"label": label, **asdict(await shapley_values(value, text, budget)), "version": version.name}

    async def ready(self, _: Request) -> Response:
        """`GET /ready`: whether a row gets through the model now."""
        model = self.versions.stable.model
        futures = self.batcher.submit(model, [model.encode(["ready"])[0].ids], _READY_SECONDS)
        await asyncio.wait_for(futures[0], _READY_SECONDS)
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

    async def index(self, _: Request) -> Response:
        """`GET /`: a page to try it, with all limits."""
        return HTMLResponse(page(self.limits, self.versions.stable.model.max_length, self.settings.token is not None))

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
            if needs_token:
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


async def results(request: Request, futures: Sequence[asyncio.Future[Any]]) -> list[Any]:
    """The results of all futures. If one fails, or the client goes, the others are cancelled.

    Raises:
        ClientDisconnect: the client has gone.
        DeadlineExceeded, ModelFailed: of a row.
    """
    gone = asyncio.create_task(_disconnected(request))
    everything = asyncio.gather(*futures)
    try:
        await asyncio.wait((everything, gone), return_when=asyncio.FIRST_COMPLETED)
        if not everything.done():
            raise ClientDisconnect
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


async def _no_such_route(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(HttpError(error.status_code, "there is no such route or method", "see the page at /"))


def create_app(settings: Settings) -> Starlette:
    """The application of one worker.

    Raises:
        CourseError: the model cannot be used.
    """
    service = Service(settings)
    # Without a token, a page of another site that has its name point to this machine must not get answers.
    hosts = [] if settings.token else [Middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "testserver"])]
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
        middleware=hosts,
        exception_handlers={HTTPException: _no_such_route},
        lifespan=service.lifespan,
    )
    app.router.redirect_slashes = False  # a redirect would repeat the address
    app.state.service = service
    return app
