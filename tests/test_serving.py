"""The service inside this process: routes, limits, damaged requests, versions, explanations, batches."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import logging
import math
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_probes import CANARY, copy_version, damage, damaged_request, tiny_export, versions_folder, wait_until
from starlette.testclient import TestClient
from toy_classifiers import TEXTS

from course_lib.commands import main
from course_lib.errors import BadInput, CorruptAsset, CourseError
from course_lib.onnx_model import OnnxModel, softmax
from course_lib.serving import (
    Batcher,
    DeadlineExceeded,
    Deployment,
    Limits,
    ModelFailed,
    QueueFull,
    RateLimiter,
    RowQueue,
    Settings,
    Versions,
    create_app,
    servable_folder,
    serve,
    start_server,
    write_deployment,
)
from course_lib.serving import app as app_module
from course_lib.serving import batcher as batcher_module
from course_lib.serving import versions as versions_module
from course_lib.serving.explanations import shapley_values
from course_lib.serving.limits import HttpError, check_token

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_export(tmp_path_factory.mktemp("serving"))


def opened(folder: Path, token: str | None = None, **limits: Any) -> TestClient:
    """A client of a service inside this process."""
    app = create_app(Settings(folder, Limits(**{"rate": 1e6} | limits), token))
    return TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(export: Path) -> Iterator[TestClient]:
    with opened(export) as made:
        yield made


@pytest.fixture
def versions(export: Path, tmp_path: Path) -> Path:
    return versions_folder(export, tmp_path)


# ---- predictions --------------------------------------------------------------------------------------------


def test_predictions_are_those_of_the_model(client: TestClient, export: Path) -> None:
    model, texts = OnnxModel(export), [*TEXTS[:9], "", "好 \ud800 \0", "a good film", "a good film"]
    answers = [row.ids for row in model.encode([text.replace("\ud800", "\ufffd") for text in texts])]
    expected = [softmax(model.logits([ids]))[0] for ids in answers]
    together = client.post("/predict", content=json.dumps({"texts": texts}), headers=JSON).json()["predictions"]
    for text, row, one in zip(texts, expected, together, strict=True):
        alone = client.post("/predict", content=json.dumps({"text": text}), headers=JSON).json()
        for found in (alone, one):
            assert found["label"] == model.class_names[row.argmax()]
            assert list(found["probabilities"].values()) == pytest.approx(row.tolist(), abs=2e-6)
            assert (found["truncated"], found["version"]) == (False, export.name)


def test_a_list_has_so_many_tokens_and_says_what_was_truncated(client: TestClient, export: Path) -> None:
    text, limit = "a good film and so on " * 150, OnnxModel(export).max_length
    fits = Limits().request_tokens // limit
    response = client.post("/predict", json={"texts": [text] * fits})
    assert response.status_code == 200
    assert [row["truncated"] for row in response.json()["predictions"]] == [True] * fits
    response = client.post("/predict", json={"texts": [text] * (fits + 1)})
    assert response.status_code == 413 and "tokens" in response.json()["error"]


def test_a_page_lists_every_limit_and_route(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    for what in (*Limits().described().values(), "/predict", "/explain", "/health", "/ready", "/version", "/metrics"):
        assert what in page.text


# ---- what is refused ----------------------------------------------------------------------------------------

MALFORMED: dict[str, tuple[int, bytes]] = {
    "empty": (400, b""),
    "not JSON": (400, b"text=" + CANARY.encode()),
    "bad UTF-8": (400, b'{"text": "\xff' + CANARY.encode() + b'"}'),
    "NaN": (400, b'{"text": NaN}'),
    "infinite": (400, b'{"text": -Infinity}'),
    "depth 100,000": (400, b"[" * 100_000),
    "deep object": (400, b'{"text":' * 30_000),
    "5,000 digits": (400, b'{"text": ' + b"1" * 5000 + b"}"),
    "20 MB": (413, b'{"text": "' + CANARY.encode() * 2_300_000 + b'"}'),
    "a list": (400, b'["text"]'),
    "a string": (400, b'"text"'),
    "null": (422, b'{"text": null}'),
    "a number": (422, b'{"text": 1e999}'),
    "a list as text": (422, b'{"text": ["a"]}'),
    "a text as list": (422, b'{"texts": "abc"}'),
    "nested lists": (422, b'{"texts": [["a"]]}'),
    "no texts": (422, b'{"texts": []}'),
    "no field": (422, b"{}"),
    "both fields": (422, b'{"text": "a", "texts": ["a"]}'),
    "unknown field": (422, b'{"text": "a", "' + CANARY.encode() + b'": 1}'),
    "too many texts": (413, json.dumps({"texts": ["a"] * 65}).encode()),
    "a text too long": (413, json.dumps({"text": CANARY * 1200}).encode()),
    "lone surrogate": (200, b'{"text": "\\ud800"}'),
    "NUL": (200, b'{"text": "\\u0000"}'),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_bodies(kind: str, client: TestClient) -> None:
    status, body = MALFORMED[kind]
    response = client.post("/predict", content=body, headers=JSON)
    assert response.status_code == status
    assert CANARY not in response.text
    if status != 200:
        assert set(response.json()) == {"error", "fix"} and len(response.content) < 300


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/predict", {}, 415),
        ("POST", "/predict", {"content-type": "text/plain"}, 415),
        ("POST", "/predict", JSON | {"host": "evil.com"}, 400),
        ("POST", "/predict", JSON | {"host": "127.0.0.1.evil.com"}, 400),
        ("POST", "/predict", JSON | {"host": "[::1]:8000"}, 200),
        ("GET", f"/{CANARY}?{CANARY}", {}, 404),
        ("GET", "/predict/", {}, 404),
        ("GET", "/predict", {}, 405),
        ("DELETE", "/version", {}, 405),
        ("HEAD", "/health", {}, 200),
    ],
)
def test_wrong_requests(method: str, path: str, headers: dict[str, str], status: int, client: TestClient) -> None:
    response = client.request(method, path, content=b'{"text": "a"}', headers=headers, follow_redirects=False)
    assert response.status_code == status
    assert CANARY not in response.text + str(response.headers)
    assert ("allow" in response.headers) == (status == 405)


def test_a_thousand_damaged_requests(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """No 500, and nothing of a request comes back, but for the words of an explanation."""
    caplog.set_level(logging.DEBUG)
    found, chance = [], random.Random(0)
    for _ in range(1000):
        method, path, body, headers = damaged_request(chance)
        response = client.request(method, path, content=body, headers=headers)
        found.append(response.status_code)
        is_explanation = path.startswith("/explain") and response.status_code == 200
        assert is_explanation or CANARY not in response.text + str(response.headers)
    assert max(found) < 500
    assert {200, 400, 404, 405, 415, 422} - set(found) == set()
    assert client.get("/ready").status_code == 200
    assert CANARY not in client.get("/metrics").text
    ours = [
        record.getMessage()
        for record in caplog.records
        if record.name.split(".")[0] not in ("httpx", "httpx2", "httpcore")
    ]
    assert CANARY not in "".join(ours)


def test_a_token_is_needed(export: Path) -> None:
    with opened(export, token="s3cret") as client:
        body: dict[str, Any] = {"json": {"text": "a"}}
        for sent in (None, "s3cret", "Bearer", "Bearer S3CRET", "Bearer s3cret2", "Basic s3cret", "Bearer s3cre\xe9"):
            headers = {} if sent is None else {"authorization": sent.encode("latin-1")}
            response = client.post("/predict", **body, headers=headers)
            assert response.status_code == 401 and "s3cret" not in response.text
            assert response.headers["www-authenticate"] == "Bearer"
        right = {"authorization": "Bearer s3cret"}
        assert client.post("/predict", **body, headers=right | {"host": "any.name"}).status_code == 200
        closed = [path for path in ("/", "/health", "/ready", "/version", "/metrics") if client.get(path).is_error]
        assert closed == ["/version", "/metrics"]


def test_the_rate_counts_texts(export: Path) -> None:
    with opened(export, rate=10.0) as client:
        assert client.post("/predict", json={"texts": ["a"] * 8}).status_code == 200
        refused = client.post("/predict", json={"texts": ["a"] * 8})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert client.post("/explain", json={"text": "a", "budget": 50}).status_code == 429
        assert client.get("/health").status_code == 200


@given(st.floats(0.1, 50), st.lists(st.tuples(st.floats(0, 3), st.integers(1, 70)), min_size=1, max_size=40))
def test_nobody_gets_more_than_their_rate(rate: float, steps: list[tuple[float, int]]) -> None:
    limiter, now, accepted, largest = RateLimiter(rate), 0.0, 0, 0
    for pause, texts in steps:
        now += pause
        try:
            limiter.check("one", texts, now)
        except HttpError as error:
            wait = float(error.headers["retry-after"])
            assert wait >= 1
            now += wait
            limiter.check("one", texts, now)  # who waits as long as told gets through
        accepted, largest = accepted + texts, max(largest, texts)
        assert accepted <= rate * now + max(rate, 1.0) + largest + 1e-6
    limiter.check("another", 1, now)


def test_clients_are_forgotten_not_collected() -> None:
    limiter = RateLimiter(1)
    for client in range(10_500):
        limiter.check(str(client), 1, 0.0)
    assert len(limiter._buckets) == 10_000


@pytest.mark.parametrize("name", ["body_bytes", "rate", "deadline", "waiting"])
@pytest.mark.parametrize("value", [0, -1, math.nan, "1", None])
def test_limits_are_positive(name: str, value: Any) -> None:
    with pytest.raises(BadInput, match=name):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("settings", "host", "message"),
    [
        ({"workers": 0}, "127.0.0.1", "workers"),
        ({"max_tokens": 0}, "127.0.0.1", "max_tokens"),
        ({"token": ""}, "127.0.0.1", "token"),
        ({}, "0.0.0.0", "can be reached"),
        ({"token": "two words"}, "0.0.0.0", "token"),
        ({}, "127.0.0.1", "model.onnx"),
    ],
)
def test_a_server_that_cannot_start_says_why(settings: dict[str, Any], host: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=message):
        serve(Settings(tmp_path, **settings), host, 0)


def test_the_command_refuses_bad_settings_before_it_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("course_lib.serving.servable_folder", lambda *_: pytest.fail("it exports"))
    for wrong in (["--batch-tokens", "0"], ["--workers", "0"], ["--host", "0.0.0.0"], ["--waiting", "0"]):
        assert main(["serve", *wrong]) == 1


def test_a_server_whose_command_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="did not become ready"):
        start_server(tmp_path / "nothing")


def test_a_token_of_other_letters_is_compared_as_bytes() -> None:
    from starlette.datastructures import Headers

    check_token(Headers(raw=[(b"authorization", "Bearer é".encode())]), "é")


# ---- a model that is slow, hangs or fails -------------------------------------------------------------------


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """While the event is not set, the model hangs."""
    event, logits = threading.Event(), OnnxModel.logits

    def hanging(self: OnnxModel, ids: Sequence[Sequence[int]]) -> Any:
        assert event.wait(20)
        return logits(self, ids)

    event.set()
    monkeypatch.setattr(OnnxModel, "logits", hanging)
    yield event
    event.set()


def in_background(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    return thread, results


def test_a_full_queue_refuses_and_a_hanging_model_is_not_ready(export: Path, held: threading.Event) -> None:
    with opened(export, waiting=2, deadline=0.3) as client:
        batcher = client.app.state.service.batcher  # type: ignore[attr-defined]
        held.clear()
        under_way, first = in_background(lambda: client.post("/predict", json={"text": "first"}))
        wait_until(lambda: batcher.busy_seconds > 0)
        waiting, late = in_background(lambda: client.post("/predict", json={"texts": ["b", "c"]}))
        wait_until(lambda: batcher.waiting == 2)
        full = client.post("/predict", json={"texts": ["d", "e"]})
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert client.post("/predict", json={"texts": ["a"] * 3}).status_code == 503  # equal rows, but no room
        assert client.get("/health").status_code == 200
        time.sleep(0.3)  # what waits has expired, so that there is room for the row of /ready
        assert client.get("/ready").status_code == 504
        held.set()
        under_way.join()
        waiting.join()
        assert (first[0].status_code, late[0].status_code) == (200, 504)
        assert client.get("/ready").status_code == 200


def test_asking_whether_it_is_ready_costs_next_to_nothing(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "_STAYS_READY", 60.0)
    with opened(export, token="s3cret") as client:
        assert {client.get("/ready").status_code for _ in range(50)} == {200}
        assert client.app.state.service.metrics.rows._value.get() == 1  # type: ignore[attr-defined]


def test_a_failing_row_fails_alone_and_its_text_is_not_logged(
    export: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logits, bad = OnnxModel.logits, OnnxModel(export).encode([CANARY])[0].ids

    def failing(self: OnnxModel, ids: Sequence[Sequence[int]]) -> Any:
        if bad in ids:
            raise ValueError(f"cannot compute {CANARY}")
        return logits(self, ids)

    with opened(export) as client:
        monkeypatch.setattr(OnnxModel, "logits", failing)
        response = client.post("/predict", json={"texts": ["a", CANARY]})
        assert response.status_code == 500 and CANARY not in response.text
        assert client.post("/predict", json={"text": "a"}).status_code == 200
    assert "ModelFailed at" in caplog.text and CANARY not in caplog.text


def test_nothing_is_computed_for_a_client_that_has_gone(
    export: Path, held: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Settings(export))
    body = [{"type": "http.request", "body": b'{"text": "gone"}', "more_body": False}]

    async def main() -> tuple[list[Any], int]:
        async with app.router.lifespan_context(app):
            batcher, sent = app.state.service.batcher, []
            held.clear()
            first = batcher.submit(app.state.service.versions.stable.model, [(1, 2)], 10)[0]
            while not batcher.busy_seconds:
                await asyncio.sleep(0)

            async def receive() -> Any:
                if body:
                    return body.pop()
                while not batcher.waiting:
                    await asyncio.sleep(0)
                return {"type": "http.disconnect"}

            async def note(message: Any) -> None:
                sent.append(message)

            scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "root_path": "",
                     "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")]}  # fmt: skip
            await app(scope, receive, note)
            held.set()
            await first
            await asyncio.sleep(0.05)
            return sent, app.state.service.metrics.rows._value.get()

    sent, rows = asyncio.run(main())
    assert sent[0]["status"] == 499
    assert rows == 1
    gc.collect()
    assert "never retrieved" not in caplog.text  # a line of asyncio for each such client


class Supervisor:
    """In the place of the parent of a worker."""

    def is_alive(self) -> bool:
        return True


def test_a_worker_whose_model_hangs_ends(
    export: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(app_module, "_HANGING_SECONDS", 0.1)
    monkeypatch.setattr(app_module, "_STOP_SECONDS", 0.1)
    monkeypatch.setattr(app_module.multiprocessing, "parent_process", Supervisor)
    monkeypatch.setattr(app_module.os, "_exit", codes.append)
    with opened(export) as client:
        held.clear()
        thread, _ = in_background(lambda: client.post("/predict", json={"text": "a"}))
        wait_until(lambda: codes == [1])
        held.set()
        thread.join()
    assert "the model hangs" in caplog.text
    wait_until(lambda: codes == [1, 1])  # what still runs after the end of the worker is not waited for


# ---- batches ------------------------------------------------------------------------------------------------


class Recorder:
    """A model that notes its batches. Its output for a row says which row it was; rows with a 0 fail."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, ...]]] = []

    def logits(self, ids: Sequence[Sequence[int]]) -> Any:
        self.batches.append([tuple(row) for row in ids])
        if any(0 in row for row in ids):
            raise ValueError
        return np.array([[len(row), sum(row)] for row in ids], np.float32)


class Clock:
    """In the place of the module `time`."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


ROWS = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=9).map(tuple), min_size=1, max_size=12)


@settings(max_examples=50)
@given(st.lists(st.tuples(ROWS, st.sampled_from(["keep", "cancel", "expire"])), max_size=12), st.integers(1, 40))
def test_what_is_accepted_is_answered_once(requests: list[tuple[list[tuple[int, ...]], str]], budget: int) -> None:
    model, bound, clock = Recorder(), 20, Clock()

    async def main() -> None:
        batcher, kept, dropped, expired = Batcher(RowQueue(budget, bound)), [], [], []
        for rows, fate in requests:
            try:
                futures = batcher.submit(model, rows, 1.0 if fate == "expire" else 60.0)
            except QueueFull:
                assert batcher.waiting + len(set(rows)) > bound
                continue
            {"keep": kept, "cancel": dropped, "expire": expired}[fate].extend(zip(rows, futures, strict=True))
            assert batcher.waiting <= bound
        for _, future in dropped:
            future.cancel()
        clock.now += 2
        batcher.start()
        for row, future in kept:
            if 0 in row:
                with pytest.raises(ModelFailed):
                    await future
            else:
                assert (await future).tolist() == [len(row), sum(row)]
        for _, future in expired:
            with pytest.raises(DeadlineExceeded):
                await future
        await batcher.stop()
        computed = [row for batch in model.batches for row in batch if not any(0 in each for each in batch)]
        assert sorted(computed) == sorted({row for row, _ in kept if 0 not in row} & set(computed))
        assert {row for row, _ in kept} == {row for batch in model.batches for row in batch}
        assert all(len(batch) * max(map(len, batch)) <= budget or len(batch) == 1 for batch in model.batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batcher_module, "time", clock)
        asyncio.run(main())


def test_the_oldest_row_is_in_the_next_batch() -> None:
    model = Recorder()

    async def main() -> None:
        batcher = Batcher(RowQueue(8))
        futures = batcher.submit(model, [(1,) * n for n in (7, 1, 2, 1, 8)] + [(2,)], 60)
        batcher.start()
        await asyncio.gather(*futures)
        await batcher.stop()

    asyncio.run(main())
    assert len(model.batches[0][0]) == 7
    assert (1,) in model.batches[1] and (2,) in model.batches[1]


def test_a_batcher_that_fails_says_so() -> None:
    async def main() -> float:
        batcher = Batcher(on_batch=lambda rows, seconds: 1 / 0)  # type: ignore[arg-type, return-value]
        batcher.start()
        await batcher.submit(Recorder(), [(1,)], 60)[0]
        await asyncio.sleep(0)
        found = batcher.busy_seconds
        await batcher.stop()
        return found

    assert asyncio.run(main()) == math.inf


# ---- explanations -------------------------------------------------------------------------------------------


def explained(text: str, budget: int, predict: Callable[[Sequence[str]], Any]) -> tuple[Any, int]:
    """The explanation and how many texts were predicted for it."""
    count = 0

    async def counted(texts: Sequence[str]) -> Any:
        nonlocal count
        count += len(texts)
        return predict(texts)

    return asyncio.run(shapley_values(counted, text, budget)), count


def by_words(texts: Sequence[str]) -> Any:
    """Probabilities with interactions between words."""
    scores = np.array([text.count("a") + 2 * ("b" in text and "c" in text) - text.count("d") for text in texts])
    return np.stack([1 / (1 + np.exp(scores)), 1 / (1 + np.exp(-scores))], 1)


@pytest.mark.parametrize("budget", [8, 100])
def test_values_of_three_words_are_exact(budget: int) -> None:
    found, count = explained("aa  b\nc", budget, by_words)
    words, value = ["aa", "b", "c"], lambda kept: float(by_words([" ".join(kept)])[0, 1])
    for place, word in enumerate(found.words):
        gain = 0.0
        others = [other for other in range(3) if other != place]
        for size in range(3):
            for before in itertools.combinations(others, size):
                weight = math.factorial(size) * math.factorial(2 - size) / 6
                with_word = [words[i] for i in sorted((*before, place))]
                gain += weight * (value(with_word) - value([words[i] for i in before]))
        assert word.value == pytest.approx(gain, abs=1e-12) and word.standard_error == 0
    assert count == found.rows == 8 and found.column == 1
    assert [("aa  b\nc"[each.start : each.end]) for each in found.words] == words


@pytest.mark.parametrize(("words", "budget"), [(1, 2), (2, 3), (7, 8), (12, 13), (12, 100), (30, 256)])
def test_the_budget_is_kept_and_the_values_add_up(words: int, budget: int) -> None:
    found, count = explained(" ".join(random.Random(words).choices("abcd", k=words)), budget, by_words)
    assert count == found.rows <= budget
    assert found.base + sum(each.value for each in found.words) == pytest.approx(found.probability, abs=1e-9)


def test_standard_errors_are_of_the_right_size() -> None:
    """Over many seeds the values spread as their standard errors say, around the exact ones."""
    text = "a b c d a b"
    exact, _ = explained(text, 64, by_words)
    found = [asyncio.run(shapley_values(immediately, text, 63, seed)) for seed in range(200)]
    values = np.array([[word.value for word in each.words] for each in found])
    errors = np.array([[word.standard_error for word in each.words] for each in found], float)
    spread = values.std(0, ddof=1)
    assert np.sqrt((errors**2).mean(0)) == pytest.approx(spread, rel=0.3)
    assert (np.abs(values.mean(0) - [word.value for word in exact.words]) < 4 * spread / 200**0.5 + 1e-12).all()


async def immediately(texts: Sequence[str]) -> Any:
    return by_words(texts)


def test_an_explanation_over_http(client: TestClient) -> None:
    found = client.post("/explain", json={"text": "a good film", "budget": 60}).json()
    predicted = client.post("/predict", json={"text": "a good film"}).json()
    assert found["label"] == predicted["label"]
    assert found["probability"] == pytest.approx(predicted["probabilities"][found["label"]], abs=2e-6)
    assert found["base"] + sum(word["value"] for word in found["words"]) == pytest.approx(found["probability"])
    assert max(found["words"], key=lambda word: word["value"])["word"] == "good"
    assert (found["rows"], found["truncated"]) == (8, False)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"text": "a b c", "budget": 3}, 422),
        ({"text": " \n"}, 422),
        ({"text": "a", "budget": 257}, 422),
        ({"text": "a", "budget": True}, 422),
        ({"text": "a", "budget": 2.5}, 422),
        ({"budget": 10}, 422),
        ({"texts": ["a"]}, 422),
        ({"text": "a b c", "budget": 4}, 200),
    ],
)
def test_explanations_that_are_refused(body: dict[str, Any], status: int, client: TestClient) -> None:
    assert client.post("/explain", json=body).status_code == status


# ---- versions -----------------------------------------------------------------------------------------------


def test_a_canary_keeps_its_texts(versions: Path) -> None:
    write_deployment(versions, Deployment("v1", "v2", "canary", 0.3))
    texts = [f"{text} {number}" for number in range(8) for text in TEXTS]
    with opened(versions) as one, opened(versions) as another:
        alone = [one.post("/predict", json={"text": text}).json()["version"] for text in texts]
        together = [
            row["version"]
            for start in range(0, len(texts), 64)
            for row in another.post("/predict", json={"texts": texts[start : start + 64]}).json()["predictions"]
        ]
        metrics = one.get("/metrics").text
    assert alone == together
    counts = re.findall(r'course_predictions_total{.*version="v2"} (\S+)', metrics)
    assert sum(map(float, counts)) == alone.count("v2")
    assert abs(alone.count("v2") / len(texts) - 0.3) < 4 * math.sqrt(0.3 * 0.7 / len(texts))


def test_a_shadow_answers_nothing_and_waits_for_no_one(versions: Path, held: threading.Event) -> None:
    write_deployment(versions, Deployment("v1", "v2", "shadow", 1.0))
    with opened(versions) as client:
        shadow = client.app.state.service.metrics.shadow  # type: ignore[attr-defined]
        for text in TEXTS[:5]:
            assert client.post("/predict", json={"text": text}).json()["version"] == "v1"
            wait_until(lambda: client.app.state.service._shadow_task.done())  # type: ignore[attr-defined]
        assert shadow.labels("v2", "true")._value.get() == 5
        client.post("/predict", json={"text": "a"})
        client.portal.call(asyncio.sleep, 0)  # type: ignore[union-attr]
        counts = {labels: child._value.get() for labels, child in shadow._metrics.items()}
        assert sum(counts.values()) <= 6 and set(counts) <= {("v2", "true"), ("v2", "skipped")}


@pytest.mark.parametrize(
    "note",
    [b"", b"\xff", b"[]", b"null", b"[" * 100_000, b'{"stable": 5}', b'{"stable": ""}', b'{"stable": ".."}',
     b'{"stable": "v1/../v2"}', b'{"stable": "v1\\u0000"}', b'{"stable": "v1", "fraction": NaN, "candidate": "v2"}',
     b'{"stable": "v1", "candidate": "v2", "fraction": 2}', b'{"stable": "v1", "mode": "x"}', b'{"stable": "v3"}',
     b'{"stable": "v1", "more": 1}'],
    ids=lambda note: note.decode("latin-1")[:24] or "empty",
)  # fmt: skip
def test_a_garbage_deployment_is_refused(note: bytes, versions: Path) -> None:
    changes: list[str] = []
    found = Versions(versions, on_change=changes.append)
    (versions / "deployment.json").write_bytes(note)
    asyncio.run(watched(found, lambda: bool(changes)))
    assert (changes, found.stable.name) == (["refused"], "v1") and found.refused is not None
    write_deployment(versions, Deployment("v2"))
    asyncio.run(watched(found, lambda: len(changes) > 1))
    assert (changes[1], found.stable.name, found.refused) == ("accepted", "v2", None)


async def watched(versions: Versions, until: Callable[[], bool]) -> None:
    """Watches the files until something has happened."""
    task = asyncio.create_task(versions.watch(0.02))
    end = time.monotonic() + 10
    while not until():
        assert not task.done() and time.monotonic() < end
        await asyncio.sleep(0.01)
    task.cancel()


def test_the_command_deploy_writes_what_servers_read(versions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["deploy", "--json", "--folder", str(versions), "--stable", "v2"]
    assert main([*command, "--shadow", "v1", "--fraction", "0.5"]) == 0
    assert json.loads(capsys.readouterr().out)["candidate"] == "v1"
    assert Versions(versions).deployment == Deployment("v2", "v1", "shadow", 0.5)
    for wrong in (["--canary", ""], ["--canary", "v9"], ["--shadow", "v1", "--fraction", "2"]):
        assert main([*command, *wrong]) == 1
    assert main(command) == 0
    assert Versions(versions).deployment == Deployment("v2")


@pytest.mark.parametrize(
    "kind", ["truncated", "wrong hash", "other classes", "missing file", "wrong length", "garbage note"]
)
def test_a_damaged_version_is_refused(kind: str, versions: Path) -> None:
    changes: list[str] = []
    found = Versions(versions, on_change=changes.append)
    damage(versions / "v2", kind)
    before = (versions / "deployment.json").read_bytes()
    with pytest.raises(CourseError):
        write_deployment(versions, Deployment("v1", "v2"))
    assert (versions / "deployment.json").read_bytes() == before
    (versions / "deployment.json").write_text('{"stable": "v2"}')
    asyncio.run(watched(found, lambda: bool(changes)))
    assert (changes, found.stable.name) == (["refused"], "v1") and found.refused is not None


def test_a_late_worker_uses_the_copy_while_the_files_are_damaged(versions: Path, tmp_path: Path) -> None:
    spare = tmp_path / "spare"
    spare.mkdir()
    write_deployment(versions, Deployment("v1", "v2", "canary", 0.5))
    first = Versions(versions, spare)
    damage(versions / "v1", "truncated")
    with pytest.raises(CorruptAsset):
        Versions(versions)
    late = Versions(versions, spare)
    assert (late.deployment, late.stable.digest) == (first.deployment, first.stable.digest)
    assert late.refused == "CorruptAsset"
    changes: list[str] = []
    late._on_change = changes.append
    copy_version(versions / "v2", versions / "v4")
    write_deployment(versions, Deployment("v4"))
    asyncio.run(watched(late, lambda: bool(changes)))
    assert (late.stable.name, late.refused) == ("v4", None)


def test_two_servers_that_start_at_once_export_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exports: list[str] = []

    def slow(name: str, target: Path) -> None:
        exports.append(name)
        time.sleep(0.2)
        target.mkdir(parents=True)
        (target / "model.onnx").touch()

    monkeypatch.setattr(versions_module, "_export", slow)
    monkeypatch.setattr(versions_module, "cache_folder", lambda: tmp_path / "cache")
    source = tmp_path / "model"
    source.mkdir()
    both = [in_background(lambda: servable_folder(source)) for _ in range(2)]
    for thread, _ in both:
        thread.join()
    assert exports == [str(source)]
    assert both[0][1] == both[1][1] and servable_folder(both[0][1][0]) == both[0][1][0]


# ---- what is imported ---------------------------------------------------------------------------------------


def test_the_service_imports_no_torch() -> None:
    heavy = "{'torch', 'transformers', 'pandas', 'scipy', 'sklearn', 'matplotlib'}"
    ours = "course_lib.costs, course_lib.onnx_model, course_lib.serving.simulation"
    code = f"import sys, {ours}; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
