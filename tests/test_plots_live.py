"""The live curve of a training run is drawn often enough, seldom enough, and once."""

import matplotlib as mpl
import nbformat
import pytest
from nbclient import NotebookClient
from test_plots import history

from course_lib import plots
from course_lib.plots import training

mpl.use("Agg")


class Screen:
    """Stands in for a notebook: keeps what is displayed, and what replaces it."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, picture, display_id):
        self.shown.append("new")
        return self

    def update(self, picture):
        assert picture.data.startswith(b"\x89PNG")
        self.shown.append("replaced")


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(training, "in_notebook", lambda: True)
    monkeypatch.setattr(training, "display", screen.display)
    return screen


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves; drawing takes no time on it."""
    now = [100.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    return now


def test_live_curve_leaves_one_figure_and_draws_the_end(screen, clock, monkeypatch):
    monkeypatch.setattr(plots.LiveCurve, "png", lambda self: b"\x89PNG")
    live = plots.LiveCurve()
    for row in history():  # 42 rows, half a second apart
        live(row)
        clock[0] += 0.5
    assert screen.shown.count("new") == 1
    # Every 2 s in 20 s, and the two validations, the last step: not 42.
    assert 8 <= len(screen.shown) == live.drawings <= 15
    assert len(live.rows) == 42


def test_live_curve_draws_validation_at_once_since_a_run_may_stop_there(screen, clock):
    live = plots.LiveCurve()
    for row in history(until=20):
        live(row)
    assert live.drawings == 2  # the first row, the validation


def test_live_curve_spends_at_most_3_percent_on_drawing(screen, clock, monkeypatch):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_DRAWINGS", 0.0)
    live = plots.LiveCurve()

    def slow(figure):
        clock[0] += 0.3
        return "a curve"

    monkeypatch.setattr(training, "describe", slow)
    for step in range(1, 2001):
        live({"step": step, "total_steps": 10_000, "loss": 0.5})
        clock[0] += 0.05
    assert live.drawings > 5 and live.drawings * 0.3 / (clock[0] - 100) < 0.035


def test_live_curve_survives_rows_without_a_loss(screen, clock):
    live = plots.LiveCurve()
    live({"step": 0, "total_steps": 10, "validation_loss": 0.7, "validation_accuracy": 0.5})
    assert live.drawings == 0
    live({"step": 1, "total_steps": 10, "loss": 0.7})
    assert live.drawings == 1


def test_live_curve_of_a_language_model_shows_the_entropy_of_its_words(monkeypatch):
    drawn = []
    monkeypatch.setattr(training.style, "png_of", lambda figure: drawn.append(figure.axes[0]) or b"")
    live = plots.LiveCurve(unigram_entropy=6.7)
    for step in range(1, 11):
        live({"step": step, "total_steps": 10, "loss": 6.8 - 0.08 * step})
    live.png()
    low, high = drawn[0].get_ylim()
    assert 5.5 < low < 6.0 and 6.7 < high < 7.0
    assert "word frequencies alone (6.70)" in drawn[0].get_legend_handles_labels()[1]


def test_live_curve_is_silent_outside_a_notebook(capsys):
    live = plots.LiveCurve()
    for row in history():
        live(row)
    assert live.drawings == 0 and len(live.rows) == 42 and capsys.readouterr().out == ""
    assert live.png().startswith(b"\x89PNG")


NOTEBOOK = [
    """
from course_lib import plots
live = plots.LiveCurve()
for step in range(1, 5):
    live({"step": step, "total_steps": 4, "loss": 1 / step})
print(live.drawings)
""",
    "plots.to_png(plots.schedule(float, 2))[1:4]",  # pyplot's first figure, made and closed
    "plots.schedule(float, 20);",
]


@pytest.mark.slow
def test_in_a_real_notebook_each_figure_is_shown_once():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in NOTEBOOK])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    live, bytes_only, shown = ([o for o in cell.outputs if "data" in o] for cell in notebook.cells)
    assert ["image/png" in output.data for output in live] == [True]
    assert ["image/png" in output.data for output in shown] == [True]
    assert [output.data["text/plain"] for output in bytes_only] == ["b'PNG'"]
