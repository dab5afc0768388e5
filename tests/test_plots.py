"""Every figure is drawn, says its finding with the right number, fits its frame, and can be read in grey."""

from io import BytesIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from nbclient import NotebookClient
from PIL import Image

from course_lib import evaluation, plots
from course_lib.errors import BadInput
from course_lib.plots import style, training

mpl.use("Agg")


def history(steps: int = 40, until: int | None = None) -> list[dict[str, float]]:
    """Two epochs: the loss falls from 1.0 by 0.01 a step, the accuracy is 0.8, then 0.9."""
    rows = []
    for step in range(1, (until or steps) + 1):
        common = {"step": step, "total_steps": steps, "epoch": 2 * step / steps, "seconds": 0.5 * step}
        rows.append({**common, "loss": 1.01 - 0.01 * step, "learning_rate": 1e-4})
        if step in (steps // 2, steps):
            rows.append({**common, "validation_loss": 0.7, "validation_accuracy": 0.8 if step < steps else 0.9})
    return rows


def stored() -> pd.DataFrame:
    rows = [
        {
            "learning_rate": rate,
            "epochs": epochs,
            "step": step,
            "train_loss": 0.7 / step,
            "validation_accuracy": accuracy,
        }
        for rate, accuracy in ((1e-5, 0.7), (1e-4, 0.86))
        for epochs in (1, 2)
        for step in range(1, 10 * epochs)
    ]
    return pd.DataFrame(rows)


def accuracies(**names: list[str]) -> pd.DataFrame:
    """Two rows, 80 and 60 %, the first named column first."""
    return pd.DataFrame(
        {**names, "n": [400, 20], "accuracy": [0.8, 0.6], "low": [0.75, 0.38], "high": [0.84, 0.8]},
    )


P = np.random.default_rng(0).dirichlet([1, 1], 500)
LABELS = (np.random.default_rng(1).random(500) < P[:, 1]).astype(int)
EFFICIENCY = pd.DataFrame(
    [
        (n, m, a, a - 0.02, a + 0.02)
        for m, one, two in (("tuned", 0.7, 0.8), ("probe", 0.6, 0.7))
        for n, a in ((100, one), (1000, two))
    ],
    columns=["labels", "method", "accuracy", "low", "high"],
)
TRANSFER = pd.DataFrame(
    [(a, b, 0.9 if a == b else 0.7) for a in ("movie_reviews", "news") for b in ("movie_reviews", "news")],
    columns=["train", "test", "accuracy"],
)
RATINGS = pd.DataFrame({"rating": [-3.0, -2.5, -0.2, 0.4, 1.0, 2.0, 3.0, 3.5]})
TOKENS = ["[CLS]", "the", "cat", "sat", "[SEP]"]
WEIGHTS = 0.05 + 0.75 * np.eye(5)[[1, 2, 3, 1, 0]]  # "sat" (row 3) puts 80 % on "the" (column 1), as "[CLS]" does
MASKED, ASKED = ["[CLS]", "[MASK]", "dog", "sat", "[SEP]"], [-100, 11, 12, 13, -100]
WAVES = np.cos(np.arange(20)[:, None] / 4.0 ** np.arange(4) + np.tile([0, np.pi / 2], 2))
PRETRAINED = {
    name: [{"step": k, "tokens": 1e4 * k, "loss": end + 5 / k} for k in range(1, 101)]
    for name, end in (("masked", 4.0), ("causal", 3.0))
}
SCALED = pd.DataFrame(
    [(n, d, 6 * n * d, 2 + 40 * n**-0.25 + 30 * d**-0.25) for n in (3e5, 1e6, 3e6) for d in (1e6, 4e6, 16e6)],
    columns=["parameters", "tokens", "flops", "loss"],
)
MEMORY = {
    "float32": {"weights": 1e8, "gradients": 1e8, "optimiser": 2e8, "activations": 1.6e9},
    "bfloat16": {"weights": 1e8, "gradients": 1e8, "optimiser": 2e8, "activations": 8e8},
}
OPPOSED = pd.DataFrame({"low": [0, 0.5, 1], "high": [0.5, 1, 2], "n": [5, 9, 0], "opposed": [0.28, 0.1, np.nan]})

FIGURES = {  # name -> (draw, what the first axes' title must say)
    "learning_curve": (lambda: plots.learning_curve(history()), "Best validation accuracy 90.0%, after step 40 of 40"),
    "learning_curve_halfway": (
        lambda: plots.learning_curve(history(until=20)),
        "Step 20 of 40: loss 0.810, about 10 s",
    ),
    "schedule": (lambda: plots.schedule(lambda step: 1e-4 / (1 + abs(step - 5)), 50), "peaks at 0.0001 in step 5"),
    "stored_curves": (lambda: plots.stored_curves(stored(), {"learning_rate": 1e-4, "epochs": 2}), "of 4 runs"),
    "length_histogram": (
        lambda: plots.length_histogram([3, 4, 5, 9, 30], {"padded": 150, "bucketed": 55}),
        "Half have 5 tokens or fewer",
    ),
    "reliability": (lambda: plots.reliability(evaluation.calibration(P, LABELS)), "% right (ECE 0.0"),
    "confusion": (
        lambda: plots.confusion([[8, 2], [1, 9]], ["bad", "good"]),
        "85.0% are right; most often bad is taken for good (2 times)",
    ),
    "intervals": (lambda: plots.intervals(accuracies(model=["tuned", "lexicon"])), "tuned leads with 80.0%"),
    "errors_by_words": (
        lambda: plots.errors_by(accuracies(words=["1-5", "6-10"]), "words"),
        "Most often wrong (40%): 6-10 words",
    ),
    "errors_by_slice": (
        lambda: plots.errors_by(accuracies(slice=["all sentences", "negation (not, n't, never)"]), "slice"),
        "Most often wrong (40%): negation",
    ),
    "label_efficiency": (lambda: plots.label_efficiency(EFFICIENCY), "With 100 labels, tuned leads: 70.0%"),
    "transfer_matrix": (lambda: plots.transfer_matrix(TRANSFER), "At home 90.0%, away 70.0% on average"),
    "rating_histogram": (lambda: plots.rating_histogram(RATINGS), "3 negative, 5 positive; 25% are within 0.5 of 0"),
    "disagreement": (lambda: plots.disagreement(OPPOSED), "within 0.5 of 0: 28% of the raters say the opposite"),
    "attention_map": (lambda: plots.attention_map(WEIGHTS, TOKENS), '"[CLS]" puts 80% of its attention on'),
    "positional_encoding": (lambda: plots.positional_encoding(WAVES), "Cosine of neighbours: 0.8"),
    "mask_picture": (
        lambda: plots.mask_picture(TOKENS, MASKED, ASKED),
        "3 of 3 ordinary tokens are predicted (100%): 1 masked, 1 random, 1 kept",
    ),
    "mask_picture_of_many": (
        lambda: plots.mask_picture(TOKENS * 9, MASKED + TOKENS * 8, ASKED + [-100] * 40),
        "3 of 27 ordinary tokens are predicted (11%): 1 masked, 1 random, 1 kept",
    ),
    "loss_curves": (
        lambda: plots.loss_curves(PRETRAINED, unigram_entropy=6.0),
        "causal ends lowest: 3.05 nats after 1M tokens",
    ),
    "loss_curves_chosen": (
        lambda: plots.loss_curves(PRETRAINED, chosen="masked"),
        "masked ends: 4.05 nats after 1M tokens",
    ),
    "scaling_runs": (
        lambda: plots.scaling_runs(SCALED),
        "9 runs, 1.8T to 288T FLOPs: loss from 4.66 to 3.44",
    ),
    "memory_bars": (lambda: plots.memory_bars(MEMORY), "float32: 2 GB, of which 80% activations"),
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def first(drawn: Axes | tuple[Axes, ...]) -> Axes:
    return drawn[0] if isinstance(drawn, tuple) else drawn


@pytest.mark.parametrize("name", FIGURES)
def test_the_title_states_the_finding_axes_are_named_and_nothing_is_cut_off(name):
    draw, said = FIGURES[name]
    before, drawn = dict(mpl.rcParams), draw()
    assert dict(mpl.rcParams) == before  # the user's own settings stay
    assert said in first(drawn).get_title(loc="left")
    axes = drawn if isinstance(drawn, tuple) else (drawn,)
    assert axes[-1].get_xlabel()
    assert all(ax.get_ylabel() or ax.get_yticklabels()[0].get_text() for ax in axes)
    figure = first(drawn).figure
    figure.canvas.draw()
    frame, ink = figure.bbox, figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert ink.x0 >= frame.x0 - 2 and ink.x1 <= frame.x1 + 2 and ink.y0 >= frame.y0 - 2 and ink.y1 <= frame.y1 + 2


@pytest.mark.parametrize("name", FIGURES)
def test_the_picture_is_small_its_figure_closed_and_it_can_be_read_in_grey(name):
    png = plots.to_png(first(FIGURES[name][0]()))
    assert png.startswith(b"\x89PNG") and len(png) < 25_000
    assert not plt.get_fignums()
    grey = np.asarray(Image.open(BytesIO(png)).convert("L"))
    assert grey.min() < 60 and (grey > 250).mean() > 0.2  # dark ink on a white page


def lightness(colour: str) -> float:
    """CIELAB's L*, 0 to 100, from sRGB (IEC 61966-2-1)."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16)


def test_series_differ_in_lightness_marker_line_and_hatch():
    assert (np.diff([lightness(look.colour) for look in style.LOOKS]) > 10).all()
    for part in ("marker", "line", "hatch"):
        assert len({getattr(look, part) for look in style.LOOKS}) == len(style.LOOKS)


@pytest.mark.parametrize(
    "draw",
    [
        lambda ax: plots.schedule([(0, 0.0), (1, 1.0)], ax=ax),
        lambda ax: plots.reliability(evaluation.calibration(P, LABELS), ax=ax),
        lambda ax: plots.confusion([[1, 0], [0, 1]], ["a", "b"], ax=ax),
        lambda ax: plots.intervals(accuracies(model=["a", "b"]), ax=ax),
        lambda ax: plots.errors_by(accuracies(words=["1-5", "6-10"]), "words", ax=ax),
        lambda ax: plots.label_efficiency(EFFICIENCY, ax=ax),
        lambda ax: plots.transfer_matrix(TRANSFER, ax=ax),
        lambda ax: plots.rating_histogram(RATINGS, ax=ax),
        lambda ax: plots.disagreement(OPPOSED, ax=ax),
        lambda ax: plots.attention_map(WEIGHTS, TOKENS, ax=ax),
        lambda ax: plots.positional_encoding(WAVES, ax=ax),
        lambda ax: plots.mask_picture(TOKENS, MASKED, ASKED, ax=ax),
        lambda ax: plots.loss_curves(PRETRAINED, ax=ax),
        lambda ax: plots.scaling_runs(SCALED, ax=ax),
        lambda ax: plots.memory_bars(MEMORY, ax=ax),
    ],
)
def test_a_figure_can_stand_in_a_users_own_axes(draw):
    mine = plt.subplots(1, 2)[1][1]
    assert draw(mine) is mine and len(plt.get_fignums()) == 1


def test_drawn_values_are_the_given_ones():
    curve = plots.learning_curve(history())[1].lines[0]
    assert curve.get_ydata().tolist() == [0.8, 0.9] and curve.get_xdata().tolist() == [20, 40]
    bars = plots.errors_by(accuracies(words=["1-5", "6-10"]), "words").patches
    assert [bar.get_height() for bar in bars] == pytest.approx([0.2, 0.4])
    counts = [bar.get_height() for bar in plots.rating_histogram(RATINGS).patches]
    assert sum(counts) == len(RATINGS)


def test_learning_curve_takes_every_form_of_a_history():
    rows = history()

    class History:
        pass

    History.rows = rows
    for form in (rows, pd.DataFrame(rows), {"rows": rows, "seconds": 3.0}, History()):
        assert len(plots.learning_curve(form)) == 2


def test_one_row_and_no_validation_are_enough():
    assert (
        plots.learning_curve([{"step": 1, "loss": 0.5}])[0].get_title(loc="left").startswith("The loss fell from 0.500")
    )


def test_schedule_takes_pairs():
    line = plots.schedule([(0, 0.0), (10, 3e-5), (20, 0.0)]).lines[0]
    assert line.get_ydata().tolist() == [0, 3e-5, 0]


def test_the_best_model_is_on_top_and_whiskers_are_the_intervals():
    ax = plots.intervals(accuracies(model=["tuned", "lexicon"]).iloc[::-1])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["lexicon", "tuned"]
    ends = ax.containers[0][2][0].get_segments()[1][:, 0]
    assert ends.tolist() == pytest.approx([0.75, 0.84])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: plots.learning_curve([]), "no column 'step'"),
        (lambda: plots.schedule(lambda step: 1.0), "total_steps is None"),
        (lambda: plots.schedule([]), "no step"),
        (lambda: plots.stored_curves(stored().drop(columns="epochs")), "no column 'epochs'"),
        (lambda: plots.length_histogram([]), "no lengths"),
        (lambda: plots.confusion([[1, 2]], ["a", "b"]), r"shape \(1, 2\)"),
        (lambda: plots.confusion([[0, 0], [0, 0]], ["a", "b"]), "sum 0"),
        (lambda: plots.intervals(accuracies(name=["a", "b"])), "no column 'model'"),
        (lambda: plots.errors_by(accuracies(words=["a", "b"]).head(0), "words"), "no rows"),
        (lambda: plots.rating_histogram(pd.DataFrame({"rating": [1.0, np.nan]})), "1 ratings are not in"),
        (lambda: plots.disagreement(OPPOSED.assign(n=0)), "no rows"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(BadInput, match=said) as caught:
        call()
    assert caught.value.fix


def test_the_small_picture_looks_the_same():
    buffer = BytesIO()
    plots.learning_curve(history(until=30))[0].figure.savefig(buffer, format="png")
    big, small = buffer.getvalue(), plots.small_png(buffer.getvalue())
    dots = [np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int) for png in (big, small)]
    assert len(small) < 0.5 * len(big)
    assert np.abs(dots[0] - dots[1]).max() < 20  # of 255: no marker loses its colour
    assert plots.small_png(small) == small


def test_a_grey_picture_is_made_small_once():
    buffer = BytesIO()
    plots.positional_encoding(np.sin(np.arange(3200.0).reshape(50, 64))).figure.savefig(buffer, format="png")
    once = plots.small_png(buffer.getvalue())
    assert len(once) < len(buffer.getvalue()) and plots.small_png(once) == once


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
    live = plots.LiveCurve(every=2.0)
    for row in history():  # 42 rows, half a second apart
        live(row)
        clock[0] += 0.5
    assert screen.shown.count("new") == 1
    # Every 2 s in 20 s, and the two validations, the last step: not 42.
    assert 8 <= len(screen.shown) == live.drawings <= 15
    assert len(live.rows) == 42


def test_live_curve_draws_validation_at_once_since_a_run_may_stop_there(screen, clock):
    live = plots.LiveCurve(every=1000.0)
    for row in history(until=20):
        live(row)
    assert live.drawings == 2  # the first row, the validation


def test_live_curve_spends_at_most_3_percent_on_drawing(screen, clock, monkeypatch):
    live = plots.LiveCurve(every=0.0)

    def slow(self):
        clock[0] += 0.3
        return b"\x89PNG"

    monkeypatch.setattr(plots.LiveCurve, "png", slow)
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
    monkeypatch.setattr(training, "png_of", lambda figure: drawn.append(figure.axes[0]) or b"")
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
live = plots.LiveCurve(every=0)
for step in range(1, 5):
    live({"step": step, "total_steps": 4, "loss": 1 / step})
print(live.drawings)
""",
    "plots.to_png(plots.schedule([(0, 0.0), (1, 1.0)]))[1:4]",  # pyplot's first figure, made and closed
    "plots.schedule([(0, 0.0), (10, 3e-5), (20, 0.0)]);",
]


@pytest.mark.slow
def test_in_a_real_notebook_each_figure_is_shown_once():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in NOTEBOOK])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    live, bytes_only, shown = ([o for o in cell.outputs if "data" in o] for cell in notebook.cells)
    assert ["image/png" in output.data for output in live] == [True]
    assert ["image/png" in output.data for output in shown] == [True]
    assert [output.data["text/plain"] for output in bytes_only] == ["b'PNG'"]
