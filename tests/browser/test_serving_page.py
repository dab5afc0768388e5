"""The page of a running service, its two buttons pressed in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from serving_probes import tiny_export

from course_lib.serving import RunningServer, start_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with start_server(tiny_export(tmp_path_factory.mktemp("export"))) as running:
        yield running


def test_the_page_predicts_and_explains(server: RunningServer, browser: Browser) -> None:
    page, complaints = browser.new_page(), list[str]()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(server.url)
    assert server.url in page.locator("pre").inner_text()
    page.get_by_label("Text").fill("a good film")
    page.get_by_role("button", name="Predict").click()
    page.locator("#label", has_text="%").wait_for()
    predicted = page.locator("#label").inner_text()
    page.get_by_role("button", name="Explain").click()
    page.locator("#words li").nth(2).wait_for()
    assert page.locator("#label").inner_text() == predicted
    words = [text.split("\n")[0] for text in page.locator("#words li").all_inner_texts()]
    assert words == ["a", "good", "film"]
    assert complaints == []
    page.screenshot(path=Path(__file__).parent / "artefacts" / "serving_page.png", full_page=True)
    page.get_by_label("Text").fill(" ")
    page.get_by_role("button", name="Explain").click()
    page.locator("#label", has_text="Error 422").wait_for()
    page.close()
