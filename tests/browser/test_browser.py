"""Each notebook as a learner meets it: opened in JupyterLab, in a real browser, its widgets moved.

Two notebooks are run whole. Of the others, which `run_notebooks.py` runs whole, only the cells that the widgets need.
Needs Chromium (found on the PATH, or named by the variable CHROMIUM). Screenshots are left in `artefacts/`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from needed_cells import RUN_WHOLE, cells_to_run
from notebook_cells import ROOT, Picture, find, may_raise, put_widget_pictures, read
from run_notebooks import replace, without_own_runs

from course_lib.commands.lab import EXTENSIONS
from course_lib.exercises.catalogue import questions_of
from course_lib.exercises.texts import LETTERS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Request

ARTEFACTS = Path(__file__).parent / "artefacts"
NOTEBOOKS = find()
DIGITS = [path for path in NOTEBOOKS if path.stem == "16_images"]
RUN_SECONDS = 600
MOST_WORDS = 400  # characters of a text alternative
FIRST_ANSWER_SECONDS = 60  # 30 on a machine that does nothing else
SETTINGS = {
    # Every cell stands in the page, also those out of sight.
    "notebook-extension/tracker": {"windowingMode": "none", "scrollPastEnd": False},
    # The file that git tracks must not be written by a test.
    "docmanager-extension/plugin": {"autosave": False},
    "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
}
CELLS = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .map((cell, number) => ({cell, number}))
    .filter(({cell}) => cell.model.type === 'code')
    .map(({cell, number}) => ({number, source: cell.model.sharedModel.source, count: cell.model.executionCount,
                   tags: cell.model.getMetadata('tags') || [],
                   errors: cell.model.outputs.toJSON().filter(output => output.output_type === 'error')}))"""
IS_IDLE = "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"
# Selects the cells of these numbers, which need not be neighbours, and runs them as Ctrl-Enter does.
RUN_CELLS = """numbers => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = numbers[0];
    notebook.deselectAll();
    numbers.forEach(number => notebook.select(notebook.widgets[number]));
    window.jupyterapp.commands.execute('notebook:run-cell');
}"""
# Makes a cell the active one, in command mode, with the keyboard's focus.
ACTIVATE = """number => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = number;
    notebook.mode = 'command';
    notebook.node.focus();
    notebook.widgets[number].node.focus();
}"""
# What a widget says: its words, what is typed into it and the alternatives of its pictures.
WORDS = """widget => [...widget.querySelectorAll('input[type=text], textarea, select')].map(input => input.value)
    .concat(widget.innerText, [...widget.querySelectorAll('img')].map(image => image.alt)).join(' ')"""
# What a widget shows besides its own controls.
SHOWN = """widget => {
    const copy = widget.cloneNode(true);
    copy.querySelectorAll('.widget-slider, .widget-hslider, .widget-dropdown').forEach(control => control.remove());
    return copy.textContent + [...copy.querySelectorAll('img')].map(image => image.src).join();
}"""

WIDGET_OUTPUT = ".jp-OutputArea-output:has(.jupyter-widgets)"
WIDGET_NAME = f"""selector => document.querySelector(selector).closest('{WIDGET_OUTPUT}')
    .querySelector('.jupyter-widgets').className.split(' ').pop()"""
AXE_RULES = {
    "JupyterLab Dark": {"type": "rule", "values": ["color-contrast"]},
    "JupyterLab Light": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
}


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab."""

    address: str
    token: str

    def status(self, token: str = "") -> int:
        """HTTP status of the server's own status page; 0 while it does not listen."""
        request = urllib.request.Request(f"{self.address}/api/status")
        if token:
            request.add_header("Authorization", f"token {token}")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lab_environment(folder: Path) -> dict[str, str]:
    """Variables that keep the user's own JupyterLab settings and stored runs out, and SETTINGS in."""
    for plugin, values in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    folders = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    found = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    own = {name: str(folder / sub) for name, sub in folders.items()}
    return {**os.environ, **own, **without_own_runs(), "PYTHONPATH": found}


def lab_command(port: int, token: str, folder: Path) -> list[str]:
    """The command line of a JupyterLab on 127.0.0.1, as `make lab` starts it, without opening a browser."""
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": ROOT,
        "ServerApp.open_browser": False,
        "IdentityProvider.token": token,
        "FileCheckpoints.checkpoint_dir": folder / "checkpoints",
        "LabApp.expose_app_in_browser": True,
        "LabApp.extra_labextensions_path": EXTENSIONS,
    }
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return [sys.executable, "-m", "jupyterlab", *as_root, *(f"--{name}={value}" for name, value in options.items())]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab that answers."""
    ARTEFACTS.mkdir(exist_ok=True)
    folder, port, token = tmp_path_factory.mktemp("lab"), free_port(), secrets.token_hex(16)
    server = Lab(f"http://127.0.0.1:{port}", token)
    name = f"jupyterlab-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.log"
    with (ARTEFACTS / name).open("w") as log:
        process = subprocess.Popen(
            lab_command(port, token, folder), cwd=ROOT, env=lab_environment(folder), stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 90
            while server.status(token) != 200:
                assert process.poll() is None, f"JupyterLab stopped: see {ARTEFACTS.name}/{name}"
                assert time.monotonic() < deadline, "JupyterLab did not answer within 90 s"
                time.sleep(0.3)
            yield server
        finally:
            process.terminate()  # it ends its kernels first
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()


@dataclass
class Opened:
    """A notebook in the browser, of which these cells (numbers among all its cells) have been run."""

    path: Path
    page: Page
    cells: list[int]
    before: bytes  # the file's content before it was opened
    started: float = field(default_factory=time.monotonic)
    done: dict[int, float] = field(default_factory=dict)  # cell -> seconds from the opening to its end
    hosts: set[str] = field(default_factory=set)  # all that the page asked something of

    def note_host(self, request: Request) -> None:
        """Keeps the host of a request that goes over the network."""
        address = urllib.parse.urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss"):
            self.hosts.add(str(address.hostname))

    def photograph(self, name: str, what: Locator | None = None) -> None:
        """Keeps a screenshot of a part of the page, or of all that is in sight."""
        (what or self.page).screenshot(path=ARTEFACTS / f"{self.path.stem}-{name}.png")


def menu(page: Page, *names: str) -> None:
    """Clicks through a menu of JupyterLab."""
    page.locator("#jp-MainMenu").get_by_role("menuitem", name=names[0], exact=True).click()
    for name in names[1:]:
        page.locator(".lm-Menu").get_by_text(name, exact=True).click()


def run(opened: Opened) -> None:
    """Clears the outputs, runs the cells, waits for the end (or for the first error that is not meant)."""
    page, cells = opened.page, opened.cells
    menu(page, "Edit", "Clear Outputs of All Cells")
    page.wait_for_function(IS_IDLE, timeout=60_000)
    if opened.path.stem in RUN_WHOLE:
        menu(page, "Run", "Run All Cells")
    else:
        page.evaluate(RUN_CELLS, cells)
    deadline = time.monotonic() + RUN_SECONDS
    while True:
        state = page.evaluate(CELLS)
        for cell in state:
            if cell["count"] is not None:
                opened.done.setdefault(cell["number"], time.monotonic() - opened.started)
        if unmeant_errors(state) or (len(opened.done) == len(cells) and page.evaluate(IS_IDLE)):
            return
        assert time.monotonic() < deadline, f"{len(opened.done)} of {len(cells)} cells ran within {RUN_SECONDS} s"
        page.wait_for_timeout(300)


def unmeant_errors(state: list[dict[str, Any]]) -> list[str]:
    """Errors of cells that are not tagged as raising."""
    return [
        f"{error['ename']}: {error['evalue']} in {cell['source'][:80]!r}"
        for cell in state
        for error in cell["errors"]
        if "raises-exception" not in cell["tags"]
    ]


def open_notebook(page: Page, lab: Lab, name: str) -> None:
    """Opens a notebook of the course and waits until its kernel is ready."""
    page.goto(f"{lab.address}/lab/tree/notebooks/{name}?reset&token={lab.token}")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    page.wait_for_function(IS_IDLE, timeout=60_000)


def close_notebook(page: Page) -> None:
    """Ends the kernel and closes the page."""
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    page.close()


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def opened(request: pytest.FixtureRequest, lab: Lab, browser: Browser) -> Iterator[Opened]:
    """One notebook after the other, opened and run."""
    path: Path = request.param
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    notebook = Opened(path, page, cells_to_run(path), path.read_bytes())
    page.on("request", notebook.note_host)
    open_notebook(page, lab, path.name)
    run(notebook)
    yield notebook
    close_notebook(page)


def test_the_course_has_notebooks() -> None:
    assert {"00_start_here", "03_finetuning_bert"} <= {path.stem for path in NOTEBOOKS}


def test_the_token_is_asked_for(lab: Lab) -> None:
    assert lab.status() == 403
    assert lab.status(lab.token) == 200


def test_no_cell_fails(opened: Opened) -> None:
    state = opened.page.evaluate(CELLS)
    photograph_whole(opened)
    assert unmeant_errors(state) == []
    counts = {cell["number"]: cell["count"] for cell in state if cell["count"] is not None}
    assert counts == {number: count for count, number in enumerate(opened.cells, start=1)}


def test_meant_errors_come(opened: Opened) -> None:
    cells = read(opened.path).cells
    meant = [number for number in opened.cells if may_raise(cells[number])]
    assert [cell["number"] for cell in opened.page.evaluate(CELLS) if cell["errors"]] == meant


@pytest.mark.parametrize("opened", NOTEBOOKS[:1], ids=lambda path: path.stem, indirect=True)
def test_the_first_answer_comes_soon(opened: Opened, record_property: Callable[[str, object], None]) -> None:
    """From opening the first notebook, its kernel not yet started, to the first prediction of the model.

    The seconds are in the JUnit report.
    """
    sources = [cell.source for cell in read(opened.path).cells]
    first = next(number for number in opened.cells if "classifier.predict" in sources[number])
    record_property("seconds_to_the_first_answer", round(opened.done[first], 1))
    assert opened.done[first] < FIRST_ANSWER_SECONDS


def test_widgets_are_shown(opened: Opened) -> None:
    opened.page.wait_for_selector(".jp-Notebook .jupyter-widgets", timeout=30_000)
    assert opened.page.get_by_text("Error displaying widget").count() == 0


def test_pictures_of_widgets(opened: Opened) -> None:
    """Each widget before it is moved. With STORE_PICTURES (`make pictures`), the notebook keeps them for readers."""
    taken = {number: photograph_widgets(opened, number) for number in opened.cells}
    assert any(taken.values())
    if os.environ.get("STORE_PICTURES"):
        notebook = read(opened.path)
        pictures = {notebook.cells[number].source: some for number, some in taken.items()}
        replace(opened.path, put_widget_pictures(notebook, pictures))
        opened.before = opened.path.read_bytes()


def photograph_widgets(opened: Opened, number: int) -> list[Picture]:
    """Pictures of the widgets below one cell, each with the widget's words as its text alternative."""
    cell = opened.page.locator(".jp-Notebook .jp-Cell").nth(number)
    found = []
    for order, widget in enumerate(cell.locator(".jp-OutputArea-output:has(.jupyter-widgets)").all()):
        opened.page.set_viewport_size({"width": 1280, "height": 1800})  # taller than any widget
        widget.scroll_into_view_if_needed()
        opened.photograph(f"widget-{number}-{order}", widget)
        opened.page.set_viewport_size({"width": 1280, "height": 1000})
        png = (ARTEFACTS / f"{opened.path.stem}-widget-{number}-{order}.png").read_bytes()
        words = textwrap.shorten(f"Widget: {widget.evaluate(WORDS)}", MOST_WORDS, placeholder=" …")
        found.append((base64.b64encode(png).decode(), words))
    return found


def test_nothing_leaves_this_machine(opened: Opened) -> None:
    assert opened.hosts == {"127.0.0.1"}


def photograph_whole(opened: Opened) -> None:
    """Keeps one picture of the whole notebook: the window is made as tall as the notebook for it."""
    page = opened.page
    height = page.evaluate("() => document.querySelector('.jp-WindowedPanel-outer').scrollHeight")
    page.set_viewport_size({"width": 1280, "height": min(16_000, height + 200)})
    page.wait_for_timeout(1000)
    opened.photograph("whole")
    page.set_viewport_size({"width": 1280, "height": 1000})


def type_a_sentence(opened: Opened) -> None:
    """Typing into `watch_prediction` changes what it predicts; the link of `show_progress` stays in JupyterLab."""
    box = opened.page.locator(".widget-text:has-text('Your sentence') input, input[placeholder='Your sentence']").first
    label = opened.page.locator(".prediction-label").first
    box.scroll_into_view_if_needed()
    for word, sentence in {"negative": "I hate this dull movie", "positive": "I love this wonderful movie"}.items():
        box.fill("")
        box.press_sequentially(sentence, delay=20)
        box.press("Enter")
        wait_until(
            lambda word=word: label.inner_text().startswith(word), opened.page, f"{sentence!r} was not called {word}"
        )
        opened.photograph(f"typed-{word}")
    link = opened.page.locator(".show-progress a")  # to this notebook, since nothing is recorded here
    link.click()
    opened.page.wait_for_timeout(1000)
    assert link.is_visible() and len(opened.page.context.pages) == 1, "JupyterLab did not open the link itself"


def move_the_sliders(opened: Opened) -> None:
    """Moving each slider of `compare_runs`, and of every other widget, changes the curve or words beside it."""
    assert opened.page.locator(".compare-runs .noUi-handle").count() >= 2, "compare_runs shows no two sliders"
    boxes = opened.page.locator(".jp-OutputArea-output > .widget-vbox:has(.noUi-handle), .compare-runs")
    for box in boxes.all():
        box.scroll_into_view_if_needed()
        for handle in box.locator(".noUi-handle").all():
            at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
            moved(box, partial(press, handle, "ArrowLeft" if at_end else "ArrowRight"), opened.page, "the old curve")
    for number, box in enumerate(boxes.all()):
        opened.photograph(f"sliders-{number}", box)


def switch_the_mask(opened: Opened) -> None:
    """The attention map follows the sentence and the switch between both directions and one."""
    box = opened.page.locator(".watch-attention").first
    box.scroll_into_view_if_needed()
    opened.photograph("attention", box)
    line, causal = box.locator("input[type=text]").first, box.get_by_role("button", name="causal")
    moved(box, lambda: write(line, "A poet reads a poem."), opened.page, "the map of the old sentence")
    moved(box, causal.click, opened.page, "the map of both directions")
    opened.photograph("attention-causal", box)


def mask_a_word(opened: Opened) -> None:
    """Clicking a word masks it and shows candidates."""
    box = opened.page.locator(".watch-mask").first
    box.scroll_into_view_if_needed()
    box.get_by_role("button", name="States").click()
    wait_until(lambda: "Click on a word" not in box.evaluate(SHOWN), opened.page, "no candidates are shown")
    opened.photograph("masked", box)


def rewrite_a_sentence(opened: Opened) -> None:
    """Another sentence, another operation, and each slider of `watch_augmentation` bring other rewrites."""
    box = opened.page.locator(".watch-augmentation").first
    box.scroll_into_view_if_needed()
    opened.photograph("rewrites", box)
    line, choice = box.locator("input[type=text]").first, box.locator("select").first
    strength, seed = box.locator(".noUi-handle").all()
    for move in (
        lambda: write(line, "A clever story with good actors."),
        lambda: choice.select_option("deletion"),
        lambda: press(strength, "ArrowRight", 8),
        lambda: press(seed, "ArrowRight"),
    ):
        moved(box, move, opened.page, "the old rewrites")
    opened.photograph("rewrites-moved", box)


def break_a_sentence(opened: Opened) -> None:
    """The attack is walked through, another sentence attacked in another way, the ball widened, a question shown."""
    box = opened.page.locator(".watch-attack").first
    box.scroll_into_view_if_needed()
    line, step = box.locator("input[type=text]").first, box.locator(".noUi-handle").first
    moved(box, lambda: press(step, "ArrowRight"), opened.page, "the first step")
    for move in (
        lambda: write(line, "A dull film, badly made."),
        lambda: box.locator("select").first.select_option("gradient-synonyms"),
    ):
        move()
        wait_until(lambda: "Press" in box.inner_text(), opened.page, "the old attack is still shown")
        box.get_by_role("button", name="attack").click()
        wait_until(lambda: "Queries so far" in box.inner_text(), opened.page, "no attack is shown")
    opened.photograph("attacked", box)
    votes = opened.page.locator(".vote-on-attacks").first  # looked at only: a vote given here would be a reader's
    votes.scroll_into_view_if_needed()
    assert re.search(r"Text \d+ of \d+|last text", votes.inner_text())
    opened.photograph("votes", votes)


def defend_a_sentence(opened: Opened) -> None:
    """Another sentence changes what the defense reads, and the predictions."""
    box = opened.page.locator(".watch-defense").first
    box.scroll_into_view_if_needed()
    line = box.locator("input[type=text]").first
    moved(box, lambda: write(line, "A dlul film, bdaly made."), opened.page, "the old sentence")
    assert "A dull film" in box.inner_text()
    opened.photograph("defended", box)


def take_bits_away(opened: Opened) -> None:
    """A bit less and another layout bring another histogram and accuracy; the front answers to axis and slider."""
    box = opened.page.locator(".bits-slider").first
    box.scroll_into_view_if_needed()
    handle = box.locator(".noUi-handle").first
    for move in (
        lambda: press(handle, "ArrowLeft"),
        lambda: box.locator("select").first.select_option(index=1),
    ):
        moved(box, move, opened.page, "the old histogram")
        wait_until(lambda: "Accuracy:" in box.inner_text(), opened.page, "there is no accuracy")
    opened.photograph("bits", box)
    front = opened.page.locator(".pareto-explorer").first
    front.scroll_into_view_if_needed()
    points = front.locator(".noUi-handle").first
    moved(front, lambda: front.locator("select").first.select_option(index=1), opened.page, "the old axis")
    moved(front, lambda: press(points, "ArrowLeft", 8), opened.page, "models that the slider takes out")
    opened.photograph("front", front)


def ask_for_reasons(opened: Opened) -> None:
    """More samples bring another picture, and another sentence other words."""
    samples = opened.page.locator(".explanation-sampling").first
    samples.scroll_into_view_if_needed()
    moved(samples, lambda: press(samples.locator(".noUi-handle").first, "ArrowRight"), opened.page, "50 samples")
    wait_until(
        lambda: "100 samples" in samples.inner_text() and "being drawn" not in samples.inner_text(),
        opened.page,
        "nothing is said of 100 samples",
    )
    opened.photograph("samples", samples)
    box = opened.page.locator(".explain-text").first
    box.scroll_into_view_if_needed()
    line = box.locator("input[type=text]").first
    write(line, "Not a bad film 🙂, but not a good one.")
    heat = box.locator(".heat-map")
    wait_until(lambda: heat.count() == 1 and "🙂" in heat.inner_text(), opened.page, "the old sentence is still there")
    rows = heat.locator("tbody tr").count()
    box.locator("input[type=checkbox]").last.uncheck()
    wait_until(lambda: heat.locator("tbody tr").count() == rows - 1, opened.page, "the row has not gone")
    opened.photograph("reasons", box)


def delete_the_words(opened: Opened) -> None:
    """The slider deletes words in the order of their scores; another order deletes other words."""
    falling = opened.page.locator(".delete-words").first
    falling.scroll_into_view_if_needed()
    words, order = falling.locator(".noUi-handle").first, falling.locator("select").first
    moved(falling, lambda: press(words, "ArrowRight", 3), opened.page, "all words")
    moved(falling, lambda: order.select_option(index=2), opened.page, "the old order")
    opened.photograph("deleted", falling)


def draw_tokens(opened: Opened) -> None:
    """Top-p takes tokens away, a button appends a token that was drawn, and another text has other next tokens."""
    box = opened.page.locator(".watch-next-token").first
    box.scroll_into_view_if_needed()
    top_p = box.locator(".noUi-handle").nth(1)
    moved(box, lambda: press(top_p, "ArrowLeft", 6), opened.page, "all tokens")
    wait_until(lambda: "removed" in box.inner_text(), opened.page, "no token is removed")
    text = box.locator("textarea")
    before = text.input_value()
    box.get_by_role("button", name="Draw a token").press("Enter")
    wait_until(lambda: len(text.input_value()) > len(before), opened.page, "no token was drawn")
    moved(box, lambda: text.fill("The capital of France is"), opened.page, "the old text")
    wait_until(lambda: "Paris" in box.inner_text(), opened.page, "Paris is not among the next tokens")
    opened.photograph("tokens", box)


def serve_requests(opened: Opened) -> None:
    """The queue takes its next batch, the server gets more requests, and a longer trial has a narrower interval."""
    queue = opened.page.locator(".queue-replay").first
    queue.scroll_into_view_if_needed()
    moved(queue, lambda: press(queue.locator(".noUi-handle").first, "ArrowRight"), opened.page, "the old batch")
    opened.photograph("queue", queue)
    traffic = opened.page.locator(".live-traffic").first
    traffic.scroll_into_view_if_needed()
    moved(traffic, lambda: press(traffic.locator(".noUi-handle").first, "PageUp"), opened.page, "the old rate")
    wait_until(lambda: "served" in traffic.inner_text(), opened.page, "no load was sent")
    opened.photograph("traffic", traffic)
    canary = opened.page.locator(".canary-slider").first
    canary.scroll_into_view_if_needed()
    moved(canary, lambda: press(canary.locator(".noUi-handle").nth(1), "ArrowRight"), opened.page, "the old trial")
    opened.photograph("canary", canary)


def price_a_model(opened: Opened) -> None:
    """More parameters cost more, another machine has another price, and the ring takes its next step."""
    prices = opened.page.locator(".price-sliders").first
    prices.scroll_into_view_if_needed()
    moved(prices, lambda: press(prices.locator(".noUi-handle").first, "ArrowRight"), opened.page, "the old costs")
    moved(prices, lambda: prices.locator("select").first.select_option(index=1), opened.page, "the old machine")
    opened.photograph("prices", prices)
    ring = opened.page.locator(".ring-all-reduce").first
    ring.scroll_into_view_if_needed()
    moved(ring, lambda: press(ring.locator(".noUi-handle").nth(1), "ArrowRight"), opened.page, "the old step")
    opened.photograph("ring", ring)


def recommend_other_films(opened: Opened) -> None:
    """The order of the films counts for one of the recommenders, and another film gives other lists."""
    box = opened.page.locator(".recommend-films").first
    box.scroll_into_view_if_needed()
    moved(box, lambda: box.locator("input[type=checkbox]").click(), opened.page, "the old order")
    moved(box, lambda: write(box.locator("input[type=text]").nth(1), "Star Wars (1977)"), opened.page, "the old films")
    opened.photograph("films", box)


def answer_less(opened: Opened) -> None:
    """With a lower coverage fewer definitions are answered, in every group."""
    box = opened.page.locator(".abstention-slider").first
    box.scroll_into_view_if_needed()
    moved(box, lambda: press(box.locator(".noUi-handle").first, "ArrowLeft", 4), opened.page, "the old coverage")
    opened.photograph("abstention", box)


def command_an_assistant(opened: Opened) -> None:
    """Small talk goes to a human, and with a threshold of 0 the assistant acts on everything."""
    box = opened.page.locator(".act-or-ask").first
    box.scroll_into_view_if_needed()
    line = box.locator("input[type=text]").first
    moved(box, lambda: line.fill("that was a lovely evening with your parents"), opened.page, "the old decision")
    wait_until(lambda: "asks a human" in box.inner_text(), opened.page, "the assistant acts on small talk")
    moved(box, lambda: press(box.locator(".noUi-handle").first, "Home"), opened.page, "the old threshold")
    wait_until(lambda: "acts" in box.inner_text(), opened.page, "the assistant still asks")
    opened.photograph("commands", box)


def move_the_threshold(opened: Opened) -> None:
    """Another cost of a default, and another threshold, change the words."""
    box = opened.page.locator(".credit-threshold").first
    box.scroll_into_view_if_needed()
    for place, name in enumerate(("the old cost", "the old threshold")):
        moved(
            box, lambda place=place: press(box.locator(".noUi-handle").nth(place), "ArrowRight", 3), opened.page, name
        )
    opened.photograph("threshold", box)


def press(handle: Locator, key: str, times: int = 1) -> None:
    """Moves a slider by its keys."""
    handle.focus()
    for _ in range(times):
        handle.press(key)


def write(line: Locator, text: str) -> None:
    """Puts a text into an input and sends it."""
    line.fill(text)
    line.press("Enter")


def draw_a_digit(opened: Opened) -> None:
    """A stroke on the canvas, the button with an example and the slider of epsilon each change what is read."""
    box = opened.page.locator(".draw-digit").first
    box.scroll_into_view_if_needed()
    canvas = box.get_by_role("img", name="Draw a digit here")
    moved(box, box.get_by_role("button", name="Example digit").click, opened.page, "the old digit")
    moved(box, partial(press, box.locator(".noUi-handle").first, "ArrowRight"), opened.page, "the old epsilon")
    opened.photograph("digit", box)
    box.get_by_role("button", name="Clear").click()
    wait_until(lambda: "empty" in box.text_content(), opened.page, "the canvas was not cleared")
    frame = canvas.bounding_box()
    assert frame is not None
    opened.page.mouse.move(frame["x"] + 140, frame["y"] + 60)
    opened.page.mouse.down()
    opened.page.mouse.move(frame["x"] + 130, frame["y"] + 220, steps=8)
    moved(box, opened.page.mouse.up, opened.page, "the empty canvas")
    opened.photograph("drawn", box)


def moved(widget: Locator, move: Callable[[], object], page: Page, old: str) -> None:
    """Makes a move, and waits until the widget shows something else than before."""
    before = widget.evaluate(SHOWN)
    move()
    wait_until(lambda: widget.evaluate(SHOWN) != before, page, f"{old} is still shown: {before[:200]!r}")


def wait_until(true: Callable[[], bool], page: Page, otherwise: str) -> None:
    """Waits up to 30 s."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, otherwise
        page.wait_for_timeout(200)


# How the widgets of each notebook are moved. A new notebook gets its line here.
MOVES: dict[str, Callable[[Opened], None]] = {
    "00_start_here": type_a_sentence,
    "01_transformer_from_scratch": switch_the_mask,
    "02_pretraining": mask_a_word,
    "03_finetuning_bert": move_the_sliders,
    "04_data_augmentation": rewrite_a_sentence,
    "05_adversarial_examples": break_a_sentence,
    "06_defenses": defend_a_sentence,
    "07_compression": take_bits_away,
    "08_explaining_predictions": ask_for_reasons,
    "09_faithful_explanations": delete_the_words,
    "10_language_models_that_write": draw_tokens,
    "11_deployment": serve_requests,
    "12_scale_and_cost": price_a_model,
    "13_customer_service": command_an_assistant,
    "14_credit_risk": move_the_threshold,
    "15_medicine": answer_less,
    "16_images": draw_a_digit,
    "17_recommendation": recommend_other_films,
}


def test_widgets_answer(opened: Opened) -> None:
    assert opened.path.stem in MOVES, "say in MOVES how the widgets of this notebook are moved"
    MOVES[opened.path.stem](opened)


IN_QUIZ = "() => document.activeElement.closest('.course-quiz') !== null"


def press_until(page: Page, key: str, true: str) -> None:
    """Presses a key until a condition on the page is true; 40 times at most."""
    for _ in range(40):
        page.keyboard.press(key)
        if page.evaluate(true):
            return
    pytest.fail(f"after 40 times {key} this is not true: {true}")


def test_the_quiz_is_answered_by_keyboard(opened: Opened) -> None:
    """From the code cell with Tab into the quiz; Enter and Space choose, each option gives its reason."""
    page, questions = opened.page, questions_of(opened.path.name[:2])
    quiz = page.locator(".course-quiz")
    quiz.scroll_into_view_if_needed()
    number = next(number for number, cell in enumerate(read(opened.path).cells) if "quiz(" in cell.source)
    page.evaluate(ACTIVATE, number)
    press_until(page, "Tab", IN_QUIZ)
    for place, question in enumerate(questions):
        said = quiz.get_by_role("group").nth(place).get_by_role("status")
        for letter, option, key in zip(LETTERS, question.options, ("Enter", "Space") * 2, strict=False):
            page.keyboard.press(key)
            begin = f"{letter}) {'✓ Right' if option.right else '✗ Wrong'}: "
            wait_until(lambda s=said, b=begin: s.text_content().startswith(b), page, f"no reason for {option.text}")
            page.keyboard.press("Tab")
    first = sum(question.right == "a" for question in questions)
    assert quiz.locator("> p").text_content() == f"5 of 5 questions answered, {first} right at the first answer."
    opened.photograph("quiz", quiz)


FOCUSED_NAME = """name => {
    const one = document.activeElement;
    return (one.getAttribute('aria-label') || one.labels?.[0]?.textContent || one.textContent) === name;
}"""


@pytest.mark.parametrize("opened", DIGITS, ids=lambda path: path.stem, indirect=True)
def test_a_widget_is_operated_by_keyboard_alone(opened: Opened) -> None:
    """With Tab from the cell to a button, a list and a slider: their keys change the answer and move no cell."""
    page, box = opened.page, opened.page.locator(".draw-digit").first
    number = next(number for number, cell in enumerate(read(opened.path).cells) if "draw_digit(" in cell.source)
    page.evaluate(ACTIVATE, number)
    for name, key in (("Example digit", "Space"), ("Model", "ArrowDown"), ("Epsilon", "ArrowUp")):
        press_until(page, "Tab", f"() => ({FOCUSED_NAME})({name!r})")
        moved(box, partial(page.keyboard.press, key), page, f"what was there before {key} on {name}")
    value = box.locator(".noUi-handle").get_attribute("aria-valuetext")
    assert value == box.locator(".widget-readout").inner_text() != "0.10"
    assert page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex") == number


def test_figures_have_text_alternatives(opened: Opened) -> None:
    figures = opened.page.locator(".jp-RenderedImage img").all()
    assert [figure for figure in figures if not figure.get_attribute("alt")] == []
    assert figures or opened.path.stem not in RUN_WHOLE


def test_widgets_are_accessible(opened: Opened) -> None:
    """axe-core finds no serious or critical fault in the widgets; their contrast is enough in the dark theme, too."""
    found = []
    for theme, rules in AXE_RULES.items():
        opened.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        opened.page.wait_for_function("theme => document.body.dataset.jpThemeName === theme", arg=theme)
        found += [f"{theme}: {fault}" for fault in axe_faults(opened.page, rules)]
    assert found == []


def axe_faults(page: Page, rules: dict[str, Any]) -> list[str]:
    """What axe-core finds in the widgets: the rule, the widget and the element."""
    options = {"runOnly": rules, "resultTypes": ["violations"]}
    results = Axe().run(page, {"include": [[WIDGET_OUTPUT]]}, options)
    return [
        f"{rule['id']} ({rule['impact']}) in {page.evaluate(WIDGET_NAME, node['target'][0])}: {node['html'][:200]}"
        for rule in results.response["violations"]
        for node in rule["nodes"]
        if node["impact"] in ("serious", "critical")
    ]


def test_the_file_is_left_as_it_was(opened: Opened) -> None:
    assert opened.path.read_bytes() == opened.before
