"""Every figure is drawn, states its finding with the right number, fits its frame, and can be read in grey."""

from html import escape
from io import BytesIO
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from PIL import Image

from course_lib import evaluation, plots
from course_lib.compression.quantization import fake_quantize, fit_qparams
from course_lib.errors import BadInput
from course_lib.evaluation import wilson_interval
from course_lib.plots import compression, quality, scatter, style
from course_lib.plots.description import describe_in_notebooks

mpl.use("Agg")


def table(columns: str, *rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def history(steps: int = 40, until: int | None = None) -> list[dict[str, float]]:
    """Two epochs: the loss falls from 1.0 by 0.01 a step, the accuracy is 0.8, then 0.9."""
    rows = []
    for step in range(1, (until or steps) + 1):
        common = {"step": step, "total_steps": steps, "epoch": 2 * step / steps, "seconds": 0.5 * step}
        rows.append({**common, "loss": 1.01 - 0.01 * step, "learning_rate": 1e-4})
        if step in (steps // 2, steps):
            rows.append({**common, "validation_loss": 0.7, "validation_accuracy": 0.8 if step < steps else 0.9})
    return rows


def losses(values: list[float], column: str = "loss") -> list[dict[str, float]]:
    return [{"tokens": 1000.0 * (k + 1), column: loss} for k, loss in enumerate(values)]


def accuracies(**names: list[str]) -> pd.DataFrame:
    """Two rows, 80 and 60 %, the first named column first."""
    return pd.DataFrame({**names, "n": [400, 20], "accuracy": [0.8, 0.6], "low": [0.75, 0.38], "high": [0.84, 0.8]})


MODELS = accuracies(model=["tuned", "lexicon"])
LENGTHS = accuracies(words=["1-5", "6-10"])
SLICES = accuracies(slice=["all sentences", "negation (not, n't, never)"])
STORED = table(
    "learning_rate epochs step train_loss validation_accuracy",
    *((rate, epochs, step, 0.7 / step, accuracy) for rate, accuracy in ((1e-5, 0.7), (1e-4, 0.86))
      for epochs in (1, 2) for step in range(1, 10 * epochs)),
)  # fmt: skip
CHOSEN = {"learning_rate": 1e-4, "epochs": 2}
P = np.random.default_rng(0).dirichlet([1, 1], 500)
LABELS = (np.random.default_rng(1).random(500) < P[:, 1]).astype(int)
CALIBRATION = evaluation.calibration(P, LABELS)
EFFICIENCY = table(
    "labels method accuracy low high",
    *((n, method, one, one - 0.02, one + 0.02) for method, pair in (("tuned", (0.7, 0.8)), ("probe", (0.6, 0.7)))
      for n, one in zip((100, 1000), pair, strict=True)),
)  # fmt: skip
NOISY = table(
    "method noise label_errors test_accuracy",
    ("probe", 0.0, 0.0, 0.8),
    ("probe", 0.4, 0.39, 0.68),
    ("probe", 0.4, 0.41, 0.7),
    ("tuned", 0.0, 0.0, 0.82),
    ("probe", "one rater", 0.05, 0.79),
)
RATINGS = table("rating", *((rating,) for rating in (-3.0, -2.5, -0.2, 0.4, 1.0, 2.0, 3.0, 3.5)))
OPPOSED = table("low high n opposed", (0, 0.5, 5, 0.28), (0.5, 1, 9, 0.1), (1, 2, 0, np.nan))
GAINS = table(
    "comparison gain", *(("eda", gain) for gain in (1.0, 2.0, 3.0)), *(("typo", gain) for gain in (-1.0, 0.0)),
)  # fmt: skip
MOVED = table("operation words_changed cosine", ("aeda", 0.0, 0.96), ("typo", 0.1, 0.88), ("swap", 0.2, 0.95))
for _name in ("words_changed", "cosine"):
    MOVED[f"{_name}_low"], MOVED[f"{_name}_high"] = MOVED[_name] - 0.01, MOVED[_name] + 0.02
KEPT = table(
    "operation alpha agreement", ("deletion", 0.5, 0.6), ("deletion", 0.1, 0.84), ("typo", 0.1, 0.85),
    ("typo", 0.5, 0.7),
).assign(agreement_before=0.875)  # fmt: skip
KEPT["agreement_low"], KEPT["agreement_high"] = KEPT["agreement"] - 0.04, KEPT["agreement"] + 0.03

TOKENS = ["[CLS]", "the", "cat", "sat", "[SEP]"]
WEIGHTS = 0.05 + 0.75 * np.eye(5)[[1, 2, 3, 1, 0]]  # "sat" (row 3) puts 80 % on "the" (column 1), as "[CLS]" does
MASKED, ASKED = ["[CLS]", "[MASK]", "dog", "sat", "[SEP]"], [-100, 11, 12, 13, -100]
PRETRAINED = {
    name: [{"step": k, "tokens": 1e4 * k, "loss": end + 5 / k} for k in range(1, 101)]
    for name, end in (("masked", 4.0), ("causal", 3.0))
}
DIFFERENCES = table(
    "setting seed difference low high",
    ("Muon", 0, 0.5, 0.4, 0.6),
    ("Muon", 1, 0.6, 0.5, 0.7),
    ("pre", 0, -0.1, -0.2, 0),
)

ATTACKS = ["deepwordbug", "textfooler", "bert_attack", "hotflip", "pwws", "genetic"]
COST = pd.DataFrame(
    {"attack": ATTACKS, "queries": [38, 92, 61, 3.2, 121, 1840], "n": 177,
     "success": [0.65, 0.9, 0.86, 0.7, 0.84, 0.63]}
)  # fmt: skip
FIRST_ORDER = pd.DataFrame({"predicted": [-0.1, 0.0, 0.1, 0.2], "true": [-0.2, 0.3, 0.1, 1.5]})
DEFENSES = table(
    "defence attack accuracy", ("no defence", "none", 0.9), ("no defence", "hotflip", 0.2), ("no defence", "pwws", 0.3),
    ("adversarial training", "none", 0.8), ("adversarial training", "hotflip", 0.6),
    ("adversarial training", "pwws", 0.5),
)  # fmt: skip
ROC = {"perplexity": ([0, 0.05, 0.1, 0.5, 1], [0, 0.4, 0.6, 0.9, 1]), "confidence": ([0, 0.2, 1], [0, 0.3, 1])}
ROBUST = table(
    "method epsilon accuracy n",
    *((name, eps, 0.9 * 0.5 ** (speed * eps), 300) for name, speed in (("FGSM", 2), ("PGD", 6)) for eps in (0, 0.5, 1)),
)

NAMES = ["BERT", "float32", "8 bits", "8 bits, fewer words", "4 bits", "small", "fast", "pruned, 50 %"]
COMPRESSED = pd.DataFrame(
    {
        "model": NAMES,
        "megabytes": [46.2, 45.9, 12.1, 9.2, 7.4, 3.9, 8.1, 46.0],
        "median_ms": [6.1, 3.2, 1.4, 1.41, 1.9, 1.95, 0.62, 6.2],
        "texts_a_second": [310, 520, 1250, 1260, 980, 990, 2900, 305],
        "accuracy": [0.8812, 0.8812, 0.8803, 0.8797, 0.8781, 0.8748, 0.8655, 0.8695],
    }
)
WITH_ENDS = COMPRESSED.assign(low=COMPRESSED["accuracy"] - 0.013, high=COMPRESSED["accuracy"] + 0.012)
MATRIX = torch.randn(40, 64, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.01, 0.1, 40)[:, None]
LAYERS = ["query", "key", "value", "attention_output", "expand", "contract"]
ERRORS = table(
    "layer matrix error",
    *((layer, name, (column + 1) / (50 * (layer + 1))) for layer in (2, 0, 1) for column, name in enumerate(LAYERS)),
)
DAMAGE = table(
    "slice n lost low high", ("all sentences", 2000, 1.5, 0.2, 2.9), ("negation (not, n't, never)", 412, 5.3, 1.0, 9.1),
    ("lexicon agrees", 1200, 0.0, -1.0, 1.0), ("lexicon disagrees", 250, -2.0, -7.0, 3.0),
)  # fmt: skip

# name of the case -> (function, its arguments, what the title of the first axes must say)
FIGURES = {
    "learning_curve": (plots.learning_curve, (history(),), "Loss by step"),
    "learning_one_row": (plots.learning_curve, ([{"step": 1, "loss": 0.5}], "One row"), "One row"),
    "schedule": (plots.schedule, (lambda step: 1e-4 / (1 + abs(step - 5)), 50), "Learning rate by step"),
    "stored_curves": (plots.stored_curves, (STORED, CHOSEN), "Training loss of 4 runs"),
    "reliability": (plots.reliability, (CALIBRATION, "Well calibrated"), "Well calibrated"),
    "credit_costs": (plots.credit_costs, ([0.1, 0.2, 0.5], [0.4, 0.3, 0.6], 0.5, 0.2), "Cost of the decisions"),
    "intervals": (plots.intervals, (MODELS, "Tuning helps"), "Tuning helps"),
    "errors_by_rating": (plots.errors_by, (LENGTHS.rename(columns={"words": "rating"}), "rating"), "Error rate"),
    "errors_by_slice": (plots.errors_by, (SLICES, "slice", "Negation is hard"), "Negation is hard"),
    "label_efficiency": (plots.label_efficiency, (EFFICIENCY, "Tuned leads"), "Tuned leads"),
    "label_noise": (plots.label_noise, (NOISY, "Noise costs accuracy"), "Noise costs accuracy"),
    "rating_histogram": (plots.rating_histogram, (RATINGS,), "Mean ratings of the sentences"),
    "disagreement": (plots.disagreement, (OPPOSED, "Raters disagree near 0"), "Raters disagree near 0"),
    "gains_by_seed": (plots.gains_by_seed, (GAINS, "EDA gains two points"), "EDA gains two points"),
    "text_movement": (plots.text_movement, (MOVED, "Typing errors move most"), "Typing errors move most"),
    "label_agreement": (plots.label_agreement, (KEPT, "Deletion costs labels"), "Deletion costs labels"),
    "attention_map": (plots.attention_map, (WEIGHTS, TOKENS, "One head"), "One head"),
    "attention_map_of_one": (plots.attention_map, ([[1.0]], ["[CLS]"], "One token"), "One token"),
    "mask_picture": (
        plots.mask_picture, (TOKENS, MASKED, ASKED),
        "3 of 3 ordinary tokens are predicted (100%): 1 masked, 1 random, 1 kept",
    ),
    "mask_picture_of_many": (
        plots.mask_picture, (TOKENS * 9, MASKED + TOKENS * 8, ASKED + [-100] * 40),
        "3 of 27 ordinary tokens are predicted (11%): 1 masked, 1 random, 1 kept",
    ),
    "loss_curves": (plots.loss_curves, (PRETRAINED, 6.0), "Loss by tokens seen"),
    "loss_differences": (plots.loss_differences, (DIFFERENCES, "Muon is worse"), "Muon is worse"),
    "loss_curves_titled": (plots.loss_curves, (PRETRAINED, None, "loss", "Both fall"), "Both fall"),
    "cost_of_success": (plots.cost_of_success, (COST, "Six attacks"), "Six attacks"),
    "cost_of_one": (plots.cost_of_success, (COST.head(1),), "Success rate and queries of each attack"),
    "first_order": (plots.first_order, (FIRST_ORDER, "Predicted and true"), "Predicted and true"),
    "defenses": (plots.defenses, (DEFENSES, "Training holds"), "Training holds"),
    "defenses_clean": (plots.defenses, (DEFENSES[DEFENSES["attack"] == "none"],), "Accuracy under attack"),
    "roc": (plots.roc, (ROC,), "perplexity finds 60.0% at 10% false positives"),
    "roc_titled": (plots.roc, (ROC, "Perplexity finds more"), "Perplexity finds more"),
    "robustness_curve": (plots.robustness_curve, (ROBUST, "units"), "Accuracy by the radius of the perturbation"),
    "pareto": (plots.pareto, (WITH_ENDS, "megabytes", None, "Small models"), "Small models"),
    "pareto_of_latency": (plots.pareto, (COMPRESSED, "median_ms", 0.87, "Fast models"), "Fast models"),
    "pareto_of_throughput": (plots.pareto, (WITH_ENDS, "texts_a_second", None, "Fast models"), "Fast models"),
    "pareto_of_one": (plots.pareto, (COMPRESSED.head(1), "megabytes", None, "One"), "One"),
    "pareto_of_none": (plots.pareto, (COMPRESSED, "megabytes", 0.9, "None"), "None"),
    "weight_histogram": (plots.weight_histogram, (MATRIX, fit_qparams(MATRIX, 4), "4 bits"), "4 bits"),
    "weight_histogram_of_rows": (
        plots.weight_histogram, (MATRIX, fit_qparams(MATRIX, 8, axis=0), "One scale a row"), "One scale a row"
    ),
    "weight_histogram_clipped": (
        plots.weight_histogram, (MATRIX, fit_qparams(MATRIX, 2, method="mse"), "Clipped"), "Clipped"
    ),
    "sensitivity": (plots.sensitivity, (ERRORS, "Layer 0 is sensitive"), "Layer 0 is sensitive"),
    "damage": (plots.accuracy_by_slice, (DAMAGE, "Negation loses most"), "Negation loses most"),
}  # fmt: skip


def title(drawn: Axes | tuple[Axes, ...]) -> str:
    ax = drawn[0] if isinstance(drawn, tuple) else drawn
    return ax.get_title(loc="left").replace("\n", " ")


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def ticks(axis) -> list[str]:
    return [tick.get_text() for tick in axis.get_ticklabels()]


def points(ax: Axes) -> dict[str, list[list[float]]]:
    """The points of each series with error bars."""
    return {str(one.get_label()): one[0].get_xydata().tolist() for one in ax.containers if hasattr(one, "has_yerr")}


def whisker_ends(ax: Axes, axis: int = 1) -> list[list[float]]:
    segments = [part for one in ax.collections if hasattr(one, "get_segments") for part in one.get_segments()]
    return [part[:, axis].tolist() for part in segments if part[0][axis] != part[1][axis]]


# ---------------------------------------------------------------- every figure


def check_figure(function, arguments: tuple, said: str) -> None:
    """The title says this, axes are named, nothing is cut off, and it can be read in grey."""
    before, drawn = dict(mpl.rcParams), function(*arguments)
    assert dict(mpl.rcParams) == before  # the user's own settings stay
    assert said in title(drawn)
    axes = drawn if isinstance(drawn, tuple) else (drawn,)
    assert axes[-1].get_xlabel() or any(ticks(axes[-1].xaxis))
    assert axes[0].get_ylabel() or any(ticks(axes[0].yaxis))
    figure = axes[0].figure
    words = plots.describe(figure)
    assert (
        len(words) <= 400
        and " ".join(title(drawn).split())[:60] in words
        and " ".join(axes[0].get_ylabel().split()) in words
    )
    figure.canvas.draw()
    frame, ink = figure.bbox, figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert ink.x0 >= frame.x0 - 2 and ink.x1 <= frame.x1 + 2 and ink.y0 >= frame.y0 - 2 and ink.y1 <= frame.y1 + 2
    png = plots.to_png(axes[0])
    assert png.startswith(b"\x89PNG") and len(png) < 60_000 and not plt.get_fignums()
    grey = np.asarray(Image.open(BytesIO(png)).convert("L"))
    assert grey.min() < 60 and (grey > 250).mean() > 0.2  # dark ink on a white page


@pytest.mark.parametrize("name", FIGURES)
def test_the_title_states_the_finding_and_the_figure_can_be_read(name):
    check_figure(*FIGURES[name])


def test_every_function_has_a_figure_here():
    tested = {function.__name__ for function, *_ in FIGURES.values()}
    elsewhere = {"agreement_map", "deletion_curves", "faithfulness_against_time", "forest", "sanity", "seed_spread",
                 "plot_accuracy_cost", "plot_cache", "latency_over_load", "latency_ecdf", "run_timeline",
                 "percentiles_over_rate", "autoscaling_day", "image_grid"}  # fmt: skip
    functions = {name for name in plots.__all__ if name.islower()} - {
        "describe",
        "heat_map",
        "small_png",
        "to_html",
        "to_png",
    }
    assert functions == tested | elsewhere


# ---------------------------------------------------------------- text alternatives


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("intervals", "Points with intervals: Tuning helps. x-axis: accuracy, with 95 % intervals. "
         "Values: tuned: 80%; lexicon: 60%."),
        ("disagreement", "Bar chart: Raters disagree near 0. x-axis: |mean human rating| (rating points); "
         "y-axis: raters on the other side. Values: 0-0.5 (n=5): 28%; 0.5-1 (n=9): 10%."),
        ("learning_curve", "Line chart: Loss by step. y-axis: loss (nats). training: 40 points, from 0.995 at 1 to "
         "0.615 at 40. validation: 0.7 at 20; 0.7 at 40. Points. x-axis: step; y-axis: validation accuracy. "
         "Values: 80% at 20; 90% at 40."),
        ("pareto_of_one", "Points with intervals: One. x-axis: size of the model file (MB, log scale); "
         "y-axis: accuracy. on the front: BERT: 88.1% at 46.2."),
        ("defenses", "Heat map: Training holds. x-axis: attack; y-axis: defense. Largest value: 90.0% in row "
         "no defence, column none. Rows: no defence, adversarial training. Columns: none, hotflip, pwws."),
    ],
)  # fmt: skip
def test_a_figure_in_words_names_kind_title_units_series_and_values(name, words):
    function, arguments, _ = FIGURES[name]
    drawn = function(*arguments)
    ax = drawn[0] if isinstance(drawn, tuple) else drawn
    assert plots.describe(ax.figure) == words
    assert f'<img alt="{escape(words)}" src="data:image/png;base64,' in plots.to_html(ax) and not plt.get_fignums()


def test_the_lowest_point_is_told_and_names_come_before_values_that_are_too_long():
    ax = plt.subplots()[1]
    ax.plot(range(21), [(x - 5) ** 2 for x in range(21)], label="cost")
    assert "cost: 21 points, from 25 at 0 to 225 at 20, lowest 0 at 5." in plots.describe(ax.figure)
    for number in range(9):
        ax.plot(range(8), range(8), label=f"a long name of a series {number}")
    assert "Series: cost, a long name of a series 0, " in plots.describe(ax.figure)


@pytest.mark.parametrize(
    "draw",
    [
        lambda figure: None,
        lambda figure: figure.subplots().pie([1, 2]),
        lambda figure: figure.subplots().boxplot([[1, 2, 3]]),
        lambda figure: figure.subplots().imshow(np.zeros((4, 4, 3))),
        lambda figure: figure.subplots().imshow(np.full((2, 2), np.nan)),
        lambda figure: figure.subplots().contourf(np.arange(9.0).reshape(3, 3)),
        lambda figure: figure.subplots().plot([], []),
        lambda figure: figure.subplots().bar([], []),
        lambda figure: figure.subplots().imshow([[True, False]]),
        lambda figure: figure.subplots().errorbar([1, 2], [np.nan, np.nan], [1, 1], label="none"),
        lambda figure: figure.subplots().hist([], label=["a"]),
        lambda figure: figure.subplots().violinplot([[1, 2, 3]]),
        lambda figure: figure.subplots().plot(pd.date_range("2026-01-01", periods=3), [1, np.nan, 3]),
        lambda figure: figure.subplots().bar(["a", "b"], [1, -2]),
        lambda figure: figure.subplots().scatter([1, 2], [3, 4]),
        lambda figure: figure.subplots(subplot_kw={"projection": "polar"}).plot([1, 2], [3, 4]),
        lambda figure: figure.add_subplot(projection="3d").plot([1, 2], [3, 4], [5, 6]),
        lambda figure: figure.subplots().set_title("word " * 200),
        lambda figure: [ax.plot([1, 2, 3], label="a") for ax in figure.subplots(5, 5).flat],
    ],
)
def test_any_figure_of_matplotlib_can_be_put_into_words(draw):
    figure = plt.figure()
    draw(figure)
    assert 0 < len(plots.describe(figure)) <= 400


def test_a_notebook_shows_a_figure_with_its_text_alternative(monkeypatch):
    shell = InteractiveShell()
    monkeypatch.setattr("course_lib.plots.description.get_ipython", lambda: shell)
    describe_in_notebooks()
    ax = plots.intervals(MODELS)
    data, metadata = shell.display_formatter.format(ax.figure)
    assert metadata == {"image/png": {"alt": plots.describe(ax.figure)}}
    assert data["text/plain"].startswith("<Figure size"), "nbval compares it: it must not vary with the values"


# ---------------------------------------------------------------- what is drawn


def test_images_are_drawn_with_their_captions_and_boxes():
    pixels = np.linspace(0, 1, 3 * 16).reshape(3, 4, 4)
    boxes = [[(0, 1, 2, 3, "seven")], [], []]
    ax = plots.image_grid(pixels, ["one", "two", "three"], columns=2, title="Digits", boxes=boxes)
    shown = ax.figure.axes
    assert [one.get_title() for one in shown] == ["one", "two", "three", ""]
    assert np.array_equal(shown[2].images[0].get_array(), pixels[2]) and not shown[3].images
    assert ax.patches[0].get_bbox().bounds == (1, 0, 2, 2) and ax.texts[0].get_text() == "seven"
    assert plots.to_png(ax).startswith(b"\x89PNG")
    with pytest.raises(BadInput, match="2 captions"):
        plots.image_grid(pixels, ["one", "two"])


def test_learning_curves_are_the_given_values_in_every_form_of_a_history():
    class History:
        rows = history()

    for form in (History.rows, pd.DataFrame(History.rows), {"rows": History.rows, "seconds": 3.0}, History()):
        curve = plots.learning_curve(form)[1].lines[0]
        assert curve.get_xydata().tolist() == [[20, 0.8], [40, 0.9]]


def test_bars_are_the_given_values():
    assert [bar.get_width() for bar in plots.errors_by(LENGTHS, "words").patches] == pytest.approx([0.2, 0.4])
    assert sum(bar.get_height() for bar in plots.rating_histogram(RATINGS).patches) == len(RATINGS)


def test_small_bins_of_a_calibration_are_merged_with_their_neighbour():
    columns = "low high confidence accuracy count"
    bins = table(columns, (0.5, 0.6, 0.55, 0.5, 4), (0.6, 0.7, 0.65, 0.8, 12), (0.7, 0.8, 0.75, 1.0, 9))
    merged = quality.merge_small_bins(bins)
    assert merged[["low", "high", "count"]].to_numpy().tolist() == [[0.5, 0.8, 25]]
    assert merged["confidence"][0] == pytest.approx((4 * 0.55 + 12 * 0.65 + 9 * 0.75) / 25)
    assert merged["accuracy"][0] == pytest.approx((4 * 0.5 + 12 * 0.8 + 9 * 1.0) / 25)
    assert quality.merge_small_bins(bins, 4).equals(bins)
    assert len(quality.merge_small_bins(bins.head(1))) == 1, "a single bin has no neighbour"


def test_the_best_model_is_on_top_and_whiskers_are_the_intervals():
    ax = plots.intervals(MODELS.iloc[::-1])
    assert ticks(ax.yaxis) == ["tuned", "lexicon"] and ax.yaxis_inverted()
    assert whisker_ends(ax, 0) == [pytest.approx([0.75, 0.84]), pytest.approx([0.38, 0.8])]


def test_gains_of_all_seeds_are_drawn_with_their_mean_and_interval():
    ax = plots.gains_by_seed(GAINS)
    assert ticks(ax.yaxis) == ["eda (3 seeds)", "typo (2 seeds)"] and ax.yaxis_inverted()
    means = [bar[0].get_xydata().tolist() for bar in ax.containers]
    assert means == [[[2.0, 0]], [[-0.5, 1]]] and ax.lines[0].get_xdata() == [0, 0]
    assert sorted(ax.lines[1].get_xdata()) == [1.0, 2.0, 3.0]
    assert whisker_ends(ax, 0)[0] == pytest.approx([2 - 4.3027 / 3**0.5, 2 + 4.3027 / 3**0.5], abs=1e-3)


def test_movement_draws_every_operation_with_both_intervals():
    words, cosine = plots.text_movement(MOVED)
    assert ticks(words.yaxis) == ["aeda", "typo", "swap"]
    drawn = [ax.containers[0][0].get_xdata().tolist() for ax in (words, cosine)]
    assert drawn == [[0.0, 0.1, 0.2], [0.96, 0.88, 0.95]]
    assert pytest.approx([0.09, 0.12]) in whisker_ends(words, 0) and pytest.approx([0.87, 0.90]) in whisker_ends(
        cosine, 0
    )


def test_agreement_is_a_line_for_each_operation_by_strength_below_that_of_the_originals():
    ax = plots.label_agreement(KEPT)
    assert ax.lines[0].get_ydata() == [0.875, 0.875] and ax.lines[0].get_label() == "the originals"
    drawn = points(ax)
    assert drawn["deletion"] == [pytest.approx([0.094, 0.84]), pytest.approx([0.494, 0.6])]
    assert drawn["typo"] == [pytest.approx([0.106, 0.85]), pytest.approx([0.506, 0.7])]
    ends = np.ravel(whisker_ends(ax))
    assert (ends.min(), ends.max()) == pytest.approx((0.56, 0.88))


def test_attention_map_shades_and_writes_the_given_weights():
    weights = np.array([[0.7, 0.1, 0.1, 0.1], [0, 1, 0, 0], [0.25] * 4, [0.5, 0, 0.5, 0]])
    ax = plots.attention_map(weights, TOKENS[:4], "A head")
    np.testing.assert_array_equal(ax.images[0].get_array(), weights)
    assert texts(ax) == [f"{100 * weight:.0f}" for weight in weights.ravel()] and ticks(ax.xaxis) == TOKENS[:4]
    assert title(ax) == "A head"
    assert texts(plots.attention_map(np.full((20, 20), 0.05), ["w"] * 20)) == []


def test_every_mask_type_has_its_own_style_and_the_predicted_word():
    ax = plots.mask_picture(TOKENS, MASKED, ASKED)
    assert [round(box.get_x() + 0.47) for box in ax.patches] == [1, 2, 3]
    assert len({(box.get_hatch(), box.get_facecolor()) for box in ax.patches}) == 3
    assert [text.get_text() for text in ax.texts if text.get_fontweight() == "bold"] == ["the", "cat", "sat"]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
@settings(deadline=None, max_examples=10)
def test_the_picture_counts_what_is_predicted(predicted):
    tokens = [f"w{k}" for k in range(len(predicted))]
    masked = ["[MASK]" if one else token for one, token in zip(predicted, tokens, strict=True)]
    ax = plots.mask_picture(tokens, masked, [5 if one else -100 for one in predicted])
    assert title(ax).startswith(f"{sum(predicted)} of {len(predicted)} ordinary tokens are predicted")
    assert len(ax.patches) == sum(predicted) and len(ax.texts) == 2 * len(predicted) + sum(predicted)
    plt.close("all")


def test_few_losses_are_drawn_as_they_are_and_many_are_averaged():
    ax = plots.loss_curves({"run": losses([5.0, np.nan, 4.0, np.inf, 3.0])}, unigram_entropy=6.25)
    assert ax.lines[0].get_xydata().tolist() == [[1000, 5], [3000, 4], [5000, 3]] and "rolling" not in ax.get_ylabel()
    assert set(ax.lines[1].get_ydata()) == {6.25} and "(6.25 nats)" in ax.lines[1].get_label()
    ax = plots.loss_curves({"run": losses([4.0, 6.0] * 100)})
    assert np.ptp(ax.lines[0].get_ydata()[20:]) < 0.5 and "rolling mean" in ax.get_ylabel()
    held_out = {"a": pd.DataFrame(losses([5.0, 4.0], "validation_loss"))}
    ax = plots.loss_curves(held_out, value="validation_loss")
    assert ax.get_ylabel() == "loss on held-out text (nats per token)"


def test_differences_have_a_point_and_an_interval_for_each_seed():
    ax = plots.loss_differences(DIFFERENCES, "")
    points = [tuple(container.lines[0].get_xdata()) for container in ax.containers]
    assert points == [(0.5, -0.1), (0.6,)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["seed 0", "seed 1"]


# ---------------------------------------------------------------- attacks and defenses


def test_cells_show_their_numbers():
    assert texts(plots.defenses(DEFENSES)) == ["90.0%", "20.0%", "30.0%", "80.0%", "60.0%", "50.0%"]


def test_the_legend_states_the_area_under_each_curve():
    names = [text.get_text() for text in plots.roc(ROC).get_legend().get_texts()]
    assert names == ["guessing (area 0.50)", "perplexity (area 0.81)", "confidence (area 0.55)"]


def test_lines_go_through_the_measured_points_in_order_with_their_intervals():
    ax = plots.robustness_curve(ROBUST.iloc[::-1], "units")
    assert [line.get_label() for line in ax.lines] == ["PGD", "FGSM"] and ax.get_xlabel() == "epsilon (units)"
    assert ax.lines[1].get_xydata().tolist() == [[0, 0.9], [0.5, 0.45], [1, 0.225]]
    band, interval = ax.collections[1].get_paths()[0].vertices, wilson_interval(135, 300)
    assert sorted(set(band[band[:, 0] == 0.5][:, 1])) == pytest.approx([interval.low, interval.high])


# ---------------------------------------------------------------- the front

ON_FRONT = {
    "megabytes": ["small", "4 bits", "8 bits, fewer words", "8 bits", "float32"],
    "median_ms": ["fast", "8 bits", "float32"],
    "texts_a_second": ["float32", "8 bits", "8 bits, fewer words", "fast"],
}


@pytest.mark.parametrize("x", ON_FRONT)
def test_the_front_is_what_no_other_model_beats_and_the_steps_go_through_it(x):
    ax = plots.pareto(COMPRESSED, x)
    expected = COMPRESSED.set_index("model").loc[ON_FRONT[x], [x, "accuracy"]].to_numpy().tolist()
    corners = ax.lines[0].get_xydata()
    assert points(ax)["on the front"] == expected
    assert expected[0] == corners[0].tolist() and expected[-1] == corners[-1].tolist()
    for (left, before), (right, after) in pairwise(corners):
        assert left == right or before == after
        middle = (left + right) / 2
        allowed = COMPRESSED[x] >= middle if x == "texts_a_second" else COMPRESSED[x] <= middle
        assert left == right or before == COMPRESSED["accuracy"][allowed].max()
    assert len(points(ax)["dominated"]) == 8 - len(expected)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), min_size=1, max_size=12), st.booleans())
@settings(deadline=None, max_examples=60)
def test_the_front_by_its_definition(pairs, high):
    xs, ys = (np.array(side, float) for side in zip(*pairs, strict=True))
    mine = scatter.pareto_front(xs, ys, "high" if high else "low", np.full(len(xs), True))
    sign = -1 if high else 1
    for k, (x, y) in enumerate(pairs):
        rivals = [(a, b) for a, b in pairs if sign * a <= sign * x and b >= y and (a, b) != (x, y)]
        assert mine[k] == (not rivals)


def test_whiskers_of_the_front_are_the_intervals_where_they_are_known():
    ends = whisker_ends(plots.pareto(WITH_ENDS))
    assert pytest.approx([0.8618, 0.8868]) in ends and len(ends) == 8
    ax = plots.pareto(COMPRESSED)
    assert not [line for line in ax.lines if line.get_marker() in ("_", "|")]  # no bar crosses the point


def test_below_the_floor_there_is_no_front():
    ax = plots.pareto(COMPRESSED, floor=0.8748)
    assert [3.9, 0.8748] in points(ax)["on the front"]  # exactly on the floor
    assert points(ax)["below the minimum"] == [[8.1, 0.8655], [46.0, 0.8695]]
    assert "at least 87.5%" in [text.get_text() for text in ax.figure.legends[0].get_texts()]
    kinds = {one.get_label(): one.lines[0] for one in ax.containers}
    assert len({line.get_marker() for line in kinds.values()}) == 3
    assert kinds["dominated"].get_markerfacecolor() == "white"
    assert "below the minimum" not in points(plots.pareto(COMPRESSED, floor=0.5))


def names_are_apart(ax: Axes) -> bool:
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    inside = all(ax.bbox.x0 - 2 <= box.x0 and box.x1 <= ax.bbox.x1 + 2 for box in boxes)
    return inside and not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])


@pytest.mark.parametrize("x", ON_FRONT)
def test_every_point_has_its_name_and_no_two_names_meet(x):
    crowd = WITH_ENDS.assign(**{x: np.linspace(10, 11, 8)}, accuracy=np.linspace(0.87, 0.88, 8))
    for models in (WITH_ENDS, COMPRESSED, crowd.assign(low=0.8, high=0.9), COMPRESSED.set_axis([0] * 8)):
        ax = plots.pareto(models, x)
        assert sorted(filter(None, texts(ax))) == sorted(NAMES) and names_are_apart(ax)
    near = COST.assign(queries=[90, 92, 94, 96, 98, 100], success=[0.9, 0.9, 0.88, 0.91, 0.9, 0.89])
    for attacks in (COST, near):
        ax = plots.cost_of_success(attacks)
        assert sorted(filter(None, texts(ax))) == sorted(ATTACKS) and names_are_apart(ax)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([3.9, 46], ["5", "10", "20", "50"]),
        ([10, 11], ["8", "9", "10", "11", "12", "13"]),
        ([0.002, 900], ["0.001", "0.01", "0.1", "1", "10", "100", "1,000"]),
    ],
)
def test_the_log_axis_has_plain_numbers(sizes, expected):
    ax = plots.pareto(COMPRESSED.head(2).assign(megabytes=sizes))
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    said = [ax.xaxis.get_major_formatter()(place) for place in ax.get_xticks() if low <= place <= high]
    assert ax.get_xscale() == "log" and set(said) <= set(expected) and len(said) >= 3


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("megabytes", 3.87, "3.87 MB"),
        ("median_ms", 0.6213, "0.621 ms"),
        ("texts_a_second", 2900.4, "2,900 texts a second"),
        ("joules_used", 5, "5 joules used"),
    ],
)
def test_amounts_have_their_unit(column, value, said):
    assert compression.amount(column, value) == said


# ---------------------------------------------------------------- weights, layers, slices


def test_histogram_counts_the_weights_and_the_points_below_are_those_of_the_grid():
    ax, _ = plots.weight_histogram(torch.tensor([[0.0, 0.0, 0.0, 1.0], [1.0, -1.0, 0.5, 0.0]]), fit_qparams(MATRIX, 3))
    assert sorted(bar.get_height() for bar in ax.containers[0] if bar.get_height()) == [1, 1, 2, 4]
    for grid in (fit_qparams(MATRIX, 3), fit_qparams(MATRIX.abs() + 0.01, 4, symmetric=False)):
        below = plots.weight_histogram(MATRIX, grid)[1]
        expected = grid.dequantize(torch.arange(grid.low, grid.high + 1)).tolist()
        assert below.lines[0].get_xdata().tolist() == pytest.approx(expected, abs=1e-6)
        assert ticks(below.yaxis) == [f"{len(expected)} grid points"]


def test_of_many_grids_the_narrowest_and_the_widest_are_drawn():
    weights = MATRIX.clone()
    weights[3] = 0  # its scale is 1: so its grid would reach to 7
    below = plots.weight_histogram(weights, fit_qparams(weights, 4, axis=0))[1]
    tops = MATRIX.abs().amax(1)[weights.any(1)]
    assert [line.get_xdata()[-1] for line in below.lines] == pytest.approx([float(tops.min()), float(tops.max())], 1e-5)
    assert ticks(below.yaxis) == ["narrowest grid", "widest grid"]
    zeros = torch.zeros(2, 3)
    assert len(plots.weight_histogram(zeros, fit_qparams(zeros))[1].lines) == 1


@pytest.mark.parametrize("layout", [{}, {"axis": 0}, {"group_size": 16}])
def test_clipped_weights_are_marked_and_counted(layout):
    grid = fit_qparams(MATRIX, 3, method="mse", **layout)
    step = grid.scale if "group_size" not in layout else grid.scale.repeat_interleave(16, -1)
    clipped = (fake_quantize(MATRIX, grid) - MATRIX).abs() > 0.5001 * step
    ax, _ = plots.weight_histogram(MATRIX, grid)
    assert clipped.any() and sum(bar.get_height() for bar in ax.containers[1]) == int(clipped.sum())
    legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert f"clipped: {clipped.float().mean():.2%} of the weights" in legend
    assert not plots.weight_histogram(MATRIX, fit_qparams(MATRIX, 4, **layout))[0].figure.legends


def test_layers_ascend_darker_is_worse_and_a_missing_matrix_is_an_empty_cell():
    ax = plots.sensitivity(ERRORS)
    assert texts(ax)[:7] == ["0.02", "0.04", "0.06", "0.08", "0.10", "0.12", "0.01"]
    assert ticks(ax.yaxis) == ["0", "1", "2"] and ticks(ax.xaxis)[3] == "attention\noutput"
    assert [one.get_ylabel() for one in ax.figure.axes if one is not ax] == ["mean change of a logit"]
    shades = ax.images[0]
    light = shades.cmap(shades.norm([0.0, 0.03, 0.06, 0.09, 0.12]))[:, :3].sum(axis=1)
    assert (np.diff(light) < 0).all()
    ax = plots.sensitivity(ERRORS[1:].set_axis([0] * 17))  # layer 2 without its query: the columns begin with its key
    assert {text.get_position() for text in ax.texts if not text.get_text()} == {(5, 2)}
    assert ticks(ax.xaxis)[-1] == "query"


def test_the_largest_loss_is_on_top():
    ax = plots.accuracy_by_slice(DAMAGE.iloc[::-1])
    names = ["negation (not, n't, never) (n=412)", "all sentences (n=2,000)", "lexicon agrees (n=1,200)"]
    assert ticks(ax.yaxis)[:3] == names and ax.yaxis_inverted()
    assert texts(ax) == ["5.3", "1.5", "0.0", "\u22122.0"] and names_are_apart(ax)
    assert np.array(whisker_ends(ax, 0)) == pytest.approx(np.array([[1, 9.1], [0.2, 2.9], [-1, 1], [-7, 3]]))


# ---------------------------------------------------------------- style


def lightness(colour: str) -> float:
    """CIELAB's L*, 0 to 100, from sRGB (IEC 61966-2-1)."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16)


def test_series_differ_in_lightness_marker_line_and_hatch():
    assert (np.diff([lightness(one.colour) for one in style.STYLES]) > 10).all()
    for part in ("marker", "line", "hatch"):
        assert len({getattr(one, part) for one in style.STYLES}) == len(style.STYLES)


# Machado, Oliveira and Fernandes (2009), severity 1: what linear RGB becomes.
BLINDNESS = {
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colour_blind_readers_tell_the_series_apart(kind):
    rgb = np.array([to_rgb(one.colour) for one in style.STYLES])
    linear = np.clip(
        np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ np.transpose(BLINDNESS[kind]), 0, 1
    )
    seen = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert (np.diff([lightness(tuple(colour)) for colour in seen]) > 7).all()


def test_markers_stand_out_from_the_page():
    for number in range(7):
        assert lightness(style.line_style(number)["markeredgecolor"]) < 61, "a contrast of 3 to 1 with white"


def test_the_small_picture_looks_the_same_and_is_made_once():
    buffer = BytesIO()
    plots.learning_curve(history(until=30))[0].figure.savefig(buffer, format="png")
    big, small = buffer.getvalue(), plots.small_png(buffer.getvalue())
    dots = [np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int) for png in (big, small)]
    assert len(small) < 0.5 * len(big)
    assert np.abs(dots[0] - dots[1]).max() < 20  # of 255: no marker loses its colour
    grey = BytesIO()
    plots.attention_map(np.eye(20) / 2 + 0.025, ["word"] * 20).figure.savefig(grey, format="png")
    for once in (small, plots.small_png(grey.getvalue())):
        assert plots.small_png(once) == once
    assert len(once) < len(grey.getvalue())


# ---------------------------------------------------------------- bad input


def one_curve(*curve: list[float]) -> tuple:
    return plots.roc, ({"a": curve},), "curve of 'a'"


BAD = [
    (plots.learning_curve, ([],), "no column 'step'"),
    (plots.schedule, (float, 0), "total_steps is 0"),
    (plots.stored_curves, (STORED.drop(columns="epochs"), CHOSEN), "no column 'epochs'"),
    (plots.intervals, (LENGTHS,), "no column 'model'"),
    (plots.errors_by, (LENGTHS.head(0), "words"), "no rows"),
    (plots.rating_histogram, (pd.DataFrame({"rating": [1.0, np.nan]}),), "1 ratings are not in"),
    (plots.disagreement, (OPPOSED.assign(n=0),), "no rows"),
    (plots.gains_by_seed, (GAINS.drop(columns="gain"),), "no column 'gain'"),
    (plots.gains_by_seed, (GAINS.head(1),), "one run has no spread"),
    (plots.text_movement, (MOVED.drop(columns="cosine_high"),), "no column 'cosine_high'"),
    (plots.text_movement, (pd.concat([MOVED, MOVED]),), "operation aeda occurs twice"),
    (plots.label_agreement, (KEPT.drop(columns="alpha"),), "no column 'alpha'"),
    (plots.label_agreement, (KEPT.head(0),), "no rows"),
    (plots.attention_map, (np.eye(3), TOKENS), r"shape \(3, 3\), and there are 5 tokens"),
    (plots.attention_map, (np.eye(5) / 2, TOKENS), "rows sum to"),
    (plots.attention_map, ([], []), "0 tokens"),
    (plots.mask_picture, (TOKENS, TOKENS, [-100]), "5 tokens, 5 masked ones and 1 labels"),
    (plots.mask_picture, ([], [], []), "0 tokens"),
    (plots.loss_differences, (DIFFERENCES.drop(columns="low"), ""), "no column 'low'"),
    (plots.loss_curves, ({},), "there is no run"),
    (plots.loss_curves, ({"a": [{"step": 1, "loss": 2.0}]},), "no column 'tokens'"),
    (plots.loss_curves, ({"a": losses([np.nan])},), "no rows"),
    (plots.cost_of_success, (COST.head(0),), "no rows"),
    (plots.cost_of_success, (COST.assign(success=np.nan),), "success is nan"),
    (plots.cost_of_success, (COST.assign(queries=0),), "queries are"),
    (plots.first_order, (FIRST_ORDER.head(1),), "two or more rows"),
    (plots.first_order, (FIRST_ORDER.assign(true=np.nan),), "without gaps"),
    (plots.first_order, (FIRST_ORDER.drop(columns="true"),), "true"),
    (plots.defenses, (DEFENSES.assign(accuracy=-0.1),), "accuracy is -0.1"),
    (plots.roc, ({},), "no curve"),
    one_curve([0, 1], [0, 0.5, 1]),
    one_curve([0, 0.5, 0.4], [0, 0.5, 1]),
    one_curve([0, 2], [0, 1]),
    (plots.robustness_curve, (ROBUST.drop(columns="method"), "units"), "no column 'method'"),
    (plots.pareto, (COMPRESSED.head(0),), "no rows"),
    (plots.pareto, (COMPRESSED.drop(columns="megabytes"),), "no column 'megabytes'"),
    (plots.pareto, (COMPRESSED.assign(accuracy=88.0),), "accuracy is 88.0"),
    (plots.pareto, (WITH_ENDS.assign(high=np.nan),), "high is nan"),
    *((plots.pareto, (COMPRESSED.assign(megabytes=size),), "megabytes is") for size in (0, np.nan, np.inf)),
    (plots.weight_histogram, ([1.0], fit_qparams(MATRIX)), "values are list"),
    (plots.weight_histogram, (MATRIX[:3], fit_qparams(MATRIX, axis=0)), "do not fit scales"),
    (plots.sensitivity, (ERRORS.head(0),), "no rows"),
    (plots.sensitivity, (ERRORS.assign(error=np.nan),), "error has gaps"),
    (plots.sensitivity, (pd.concat([ERRORS, ERRORS]),), "layer 2, matrix query occurs twice"),
    (plots.accuracy_by_slice, (DAMAGE.head(0),), "no rows"),
    (plots.accuracy_by_slice, (DAMAGE.drop(columns="n"),), "no column 'n'"),
    (plots.accuracy_by_slice, (DAMAGE.drop(columns="low"),), "no column 'low'"),
]


@pytest.mark.parametrize(("function", "arguments", "said"), BAD)
def test_bad_input_is_named(function, arguments, said):
    with pytest.raises(BadInput, match=said) as caught:
        function(*arguments)
    assert caught.value.fix
