"""Pictures of smaller models say their finding with the right number, fit their frame, and can be read in grey."""

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
from PIL import Image

from course_lib import plots
from course_lib.compression.quantization import fake_quantize, fit_qparams, qparams_of_range, quantization_error
from course_lib.errors import BadInput
from course_lib.plots import compression

mpl.use("Agg")

NAMES = ["BERT", "float32", "8 bits", "8 bits, fewer words", "4 bits", "small", "fast", "pruned, 50 %"]
MODELS = pd.DataFrame(
    {
        "model": NAMES,
        "megabytes": [46.2, 45.9, 12.1, 9.2, 7.4, 3.9, 8.1, 46.0],
        "median_ms": [6.1, 3.2, 1.4, 1.41, 1.9, 1.95, 0.62, 6.2],
        "texts_a_second": [310, 520, 1250, 1260, 980, 990, 2900, 305],
        "accuracy": [0.8812, 0.8812, 0.8803, 0.8797, 0.8781, 0.8748, 0.8655, 0.8695],
    }
)
WITH_ENDS = MODELS.assign(low=MODELS["accuracy"] - 0.013, high=MODELS["accuracy"] + 0.012)
ON_FRONT = {
    "megabytes": ["small", "4 bits", "8 bits, fewer words", "8 bits", "float32"],
    "median_ms": ["fast", "8 bits", "float32"],
    "texts_a_second": ["float32", "8 bits", "8 bits, fewer words", "fast"],
}
WEIGHTS = torch.randn(40, 64, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.01, 0.1, 40)[:, None]
MATRICES = ["query", "key", "value", "attention_output", "expand", "contract"]
ERRORS = pd.DataFrame(
    [(layer, name, (column + 1) / (50 * (layer + 1))) for layer in (2, 0, 1) for column, name in enumerate(MATRICES)],
    columns=["layer", "matrix", "error"],
)
DAMAGE = pd.DataFrame(
    {
        "slice": ["all sentences", "negation (not, n't, never)", "lexicon agrees", "lexicon disagrees"],
        "n": [2000, 412, 1200, 250],
        "before": [0.88, 0.845, 0.95, 0.66],
        "after": [0.865, 0.792, 0.95, 0.68],
    }
)

FIGURES = {  # name -> (draw, what the title must say)
    "pareto": (lambda ax=None: plots.pareto(WITH_ENDS, ax=ax), "5 of 8 on the front; smallest: small (3.9 MB, 87.5%)"),
    "pareto_of_latency": (
        lambda ax=None: plots.pareto(MODELS, "median_ms", floor=0.87, ax=ax),
        "2 of 8 on the front; fastest: 8 bits (1.4 ms, 88.0%)",
    ),
    "pareto_of_throughput": (
        lambda ax=None: plots.pareto(WITH_ENDS, "texts_a_second", ax=ax),
        "4 of 8 on the front; fastest: fast (2,900 texts a second, 86.6%)",
    ),
    "pareto_of_one": (lambda ax=None: plots.pareto(MODELS.head(1), ax=ax), "1 of 1 on the front; smallest: BERT"),
    "pareto_of_none": (lambda ax=None: plots.pareto(MODELS, floor=0.9, ax=ax), "No model has accuracy 90.0% or more"),
    "weight_histogram": (
        lambda ax=None: plots.weight_histogram(WEIGHTS, fit_qparams(WEIGHTS, 4), ax=ax),
        "4 bits, one scale: largest error 0.0",
    ),
    "weight_histogram_of_rows": (
        lambda ax=None: plots.weight_histogram(WEIGHTS, fit_qparams(WEIGHTS, 8, axis=0), ax=ax),
        "8 bits, 40 scales: largest error 0.00",
    ),
    "weight_histogram_clipped": (
        lambda ax=None: plots.weight_histogram(WEIGHTS, fit_qparams(WEIGHTS, 2, method="mse"), ax=ax),
        "2 bits, one scale: largest error 0.",
    ),
    "sensitivity": (lambda ax=None: plots.sensitivity(ERRORS, ax=ax), "Most sensitive: contract of layer 0 (0.12)"),
    "damage": (
        lambda ax=None: plots.accuracy_by_slice(DAMAGE, ax=ax),
        "Largest loss: 5.3 points, negation (not, n't, never)",
    ),
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def title(ax) -> str:
    return ax.get_title(loc="left").replace("\n", " ")


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def drawn(ax) -> dict[str, list[list[float]]]:
    """Points by the name of their series."""
    return {
        str(one.get_label()): one.lines[0].get_xydata().tolist()
        for one in ax.containers
        if hasattr(one, "has_yerr")
    }  # fmt: skip


def no_two_meet(ax) -> bool:
    ax.figure.canvas.draw()
    boxes = [mpl.text.Text.get_window_extent(text) for text in ax.texts]  # without the line that leads there
    return not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])


@pytest.mark.parametrize("name", FIGURES)
def test_title_axes_and_frame(name):
    draw, said = FIGURES[name]
    ax = draw()
    assert said in title(ax)
    assert ax.get_xlabel() and (ax.get_ylabel() or ax.get_yticklabels()[0].get_text())
    figure = ax.figure
    figure.canvas.draw()
    frame, ink = figure.bbox, figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    assert ink.x0 >= frame.x0 - 2 and ink.x1 <= frame.x1 + 2 and ink.y0 >= frame.y0 - 2 and ink.y1 <= frame.y1 + 2


@pytest.mark.parametrize("name", FIGURES)
def test_the_picture_is_small_and_can_be_read_in_grey(name):
    before = dict(mpl.rcParams)
    png = plots.to_png(FIGURES[name][0]())
    grey = np.asarray(Image.open(BytesIO(png)).convert("L"))
    assert len(png) < 25_000 and not plt.get_fignums() and dict(mpl.rcParams) == before
    assert grey.min() < 60 and (grey > 250).mean() > 0.2  # dark ink on a white page


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_can_stand_in_a_users_own_axes(name):
    mine = plt.subplots(1, 2)[1][1]
    assert FIGURES[name][0](mine) is mine and len(plt.get_fignums()) == 1


# ---------------------------------------------------------------- the front


@pytest.mark.parametrize("x", ON_FRONT)
def test_the_front_is_what_no_other_model_beats(x):
    ax = plots.pareto(MODELS, x)
    expected = MODELS.set_index("model").loc[ON_FRONT[x], [x, "accuracy"]].to_numpy().tolist()
    assert drawn(ax)["on the front"] == expected
    assert len(drawn(ax)["dominated by another model"]) == 8 - len(expected)


@pytest.mark.parametrize(("x", "better"), [("megabytes", "low"), ("texts_a_second", "high")])
def test_the_steps_are_the_best_accuracy_for_so_much(x, better):
    ax = plots.pareto(MODELS, x)
    corners = ax.lines[0].get_xydata()
    for (left, before), (right, after) in pairwise(corners):
        assert left == right or before == after
        middle = (left + right) / 2
        fits = MODELS[x] <= middle if better == "low" else MODELS[x] >= middle
        if left < right:
            assert before == MODELS["accuracy"][fits].max()
    assert corners[0].tolist() == drawn(ax)["on the front"][0] and corners[-1].tolist() == drawn(ax)["on the front"][-1]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), min_size=1, max_size=12), st.booleans())
@settings(deadline=None, max_examples=60)
def test_the_front_by_its_definition(points, high):
    xs, ys = (np.array(side, float) for side in zip(*points, strict=True))
    mine = compression.front_of(xs, ys, "high" if high else "low", np.full(len(xs), True))
    sign = -1 if high else 1
    for k, (x, y) in enumerate(points):
        rivals = [(a, b) for a, b in points if sign * a <= sign * x and b >= y and (a, b) != (x, y)]
        assert mine[k] == (not rivals)


def test_better_says_which_end_of_an_unknown_column_is_good():
    table = MODELS.rename(columns={"texts_a_second": "rows"})
    assert "lowest: pruned, 50 % (305 rows, 87.0%)" in title(plots.pareto(table, "rows"))
    ax = plots.pareto(table, "rows", better="high")
    assert "highest: fast (2,900 rows, 86.6%)" in title(ax) and ax.get_xlabel() == "rows (log scale)"
    assert len(drawn(ax)["on the front"]) == 4


def test_whiskers_are_the_intervals():
    def whiskers(ax):
        segments = [one.get_segments() for one in ax.collections if hasattr(one, "get_segments")]
        return {
            round(float(part[0][0]), 6): part[:, 1].tolist()
            for found in segments
            for part in found
            if part[0][1] != part[1][1]
        }

    ends = whiskers(plots.pareto(WITH_ENDS))
    assert ends[3.9] == pytest.approx([0.8618, 0.8868]) and len(ends) == 8
    assert whiskers(plots.pareto(MODELS)) == {}
    renamed = WITH_ENDS.rename(columns={"low": "from", "high": "to"})
    assert whiskers(plots.pareto(renamed)) == {}
    assert whiskers(plots.pareto(renamed, low="from", high="to")) == ends
    caps = [line for line in plots.pareto(MODELS).lines if line.get_marker() in "_|" and line.get_markersize()]
    assert not caps  # where nothing is known, no bar crosses the point
    agreement = WITH_ENDS.rename(columns={"accuracy": "agreement"})  # low and high would be those of accuracy
    assert whiskers(plots.pareto(agreement, y="agreement")) == {}


def test_below_the_floor_there_is_no_front():
    ax = plots.pareto(MODELS, floor=0.8748)
    series = drawn(ax)
    assert [3.9, 0.8748] in series["on the front"]  # exactly on the floor
    assert series["loses too much"] == [[8.1, 0.8655], [46.0, 0.8695]]
    assert "at least 87.5%" in [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert "loses too much" not in drawn(plots.pareto(MODELS, floor=0.5))


def test_kinds_differ_in_marker_and_dominated_models_are_hollow():
    kinds = {one.get_label(): one.lines[0] for one in plots.pareto(MODELS, floor=0.8748).containers}
    assert len({line.get_marker() for line in kinds.values()}) == 3
    assert kinds["dominated by another model"].get_markerfacecolor() == "white"
    assert kinds["on the front"].get_markerfacecolor() == kinds["on the front"].get_markeredgecolor()


@pytest.mark.parametrize("x", ON_FRONT)
def test_every_model_has_its_name_and_no_two_names_meet(x):
    crowd = WITH_ENDS.assign(**{x: np.linspace(10, 11, 8)}, accuracy=np.linspace(0.87, 0.88, 8))
    for table in (WITH_ENDS, MODELS, crowd):
        ax = plots.pareto(table, x)
        assert sorted(texts(ax)) == sorted(NAMES) and no_two_meet(ax)
        frame = ax.get_window_extent()
        for text in ax.texts:
            box = mpl.text.Text.get_window_extent(text)
            assert box.x0 >= frame.x0 - 2 and box.x1 <= frame.x1 + 2


@pytest.mark.parametrize(
    ("sizes", "ticks"),
    [
        ([3.9, 46], ["5", "10", "20", "50"]),
        ([10, 11], ["8", "9", "10", "11", "12", "13"]),
        ([0.002, 900], ["0.001", "0.01", "0.1", "1", "10", "100", "1,000"]),
    ],
)
def test_the_log_axis_has_plain_numbers(sizes, ticks):
    ax = plots.pareto(MODELS.head(2).assign(megabytes=sizes))
    ax.figure.canvas.draw()
    low, high = ax.get_xlim()
    places = [place for place in ax.get_xticks() if low <= place <= high]
    said = [ax.xaxis.get_major_formatter()(place) for place in places]
    assert ax.get_xscale() == "log" and set(said) <= set(ticks) and len(said) >= 3
    assert ax.get_xlabel() == "size of the model file (MB, log scale)" and ax.get_ylabel() == "accuracy"


def test_rows_may_share_an_index():
    ax = plots.pareto(MODELS.set_axis([0] * 8))
    assert sorted(texts(ax)) == sorted(NAMES) and "smallest: small" in title(ax)


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


# ---------------------------------------------------------------- weights and grids


def bars(ax, name: str) -> dict[float, float]:
    """Left edge -> count."""
    found = next((one for one in ax.containers if str(one.get_label()).startswith(name)), [])
    return {round(bar.get_x(), 6): round(bar.get_y() + bar.get_height(), 6) for bar in found}


def grid_lines(ax) -> list[list[float]]:
    return [line.get_xdata().tolist() for line in ax.lines if line.get_marker() == "|"]


def test_bars_count_the_weights():
    weights = torch.tensor([[0.0, 0.0, 0.0, 1.0], [1.0, -1.0, 0.5, 0.0]])
    ax = plots.weight_histogram(weights, fit_qparams(weights, 3))
    assert sorted(bars(ax, "weights").values()) == [1, 1, 2, 4]
    assert ax.get_yscale() == "log" and [tick.get_text() for tick in ax.get_yticklabels()] == ["1"]
    assert ax.get_ylabel() == "weights (log scale)"


def test_the_points_below_are_those_of_the_grid():
    for grid in (fit_qparams(WEIGHTS, 3), fit_qparams(WEIGHTS.abs() + 0.01, 4, symmetric=False)):
        ax = plots.weight_histogram(WEIGHTS, grid)
        points = grid.dequantize(torch.arange(grid.low, grid.high + 1)).tolist()
        assert grid_lines(ax) == [pytest.approx(points, abs=1e-6)] and texts(ax) == [f"{len(points)} points"]


def test_of_many_grids_the_narrowest_the_median_and_the_widest_are_drawn():
    ax = plots.weight_histogram(WEIGHTS, fit_qparams(WEIGHTS, 4, axis=0))
    tops = WEIGHTS.abs().amax(1).sort().values.tolist()
    assert [line[-1] for line in grid_lines(ax)] == pytest.approx([tops[0], tops[19], tops[-1]], rel=1e-5)
    assert texts(ax) == ["narrowest", "median", "widest"] and all(len(line) == 15 for line in grid_lines(ax))


def test_a_row_of_zeros_does_not_stretch_the_picture():
    weights = WEIGHTS.clone()
    weights[3] = 0  # its scale is 1: so its grid would reach to 127
    ax = plots.weight_histogram(weights, fit_qparams(weights, 8, axis=0))
    assert grid_lines(ax)[-1][-1] == pytest.approx(float(WEIGHTS.abs().max()), rel=1e-5) and ax.get_xlim()[1] < 1
    zeros = torch.zeros(2, 3)
    assert "nothing lost" in title(plots.weight_histogram(zeros, fit_qparams(zeros)))


@pytest.mark.parametrize("layout", [{}, {"axis": 0}, {"group_size": 16}])
def test_what_is_clipped_is_marked_and_counted(layout):
    grid = fit_qparams(WEIGHTS, 3, method="mse", **layout)
    moved = (fake_quantize(WEIGHTS, grid) - WEIGHTS).abs()
    half = grid.scale if "group_size" not in layout else grid.scale.repeat_interleave(16, -1)
    clipped = moved > 0.5001 * half
    assert clipped.any()
    ax = plots.weight_histogram(WEIGHTS, grid)
    assert sum(bars(ax, "clipped").values()) == int(clipped.sum())
    legend = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert f"clipped: {clipped.float().mean():.1%} of them" in legend


@pytest.mark.parametrize("full", [False, True])
def test_the_whole_range_clips_nothing(full):
    ax = plots.weight_histogram(WEIGHTS, fit_qparams(WEIGHTS, 4, narrow_range=not full, axis=0))
    assert not bars(ax, "clipped") and not ax.figure.legends


def test_the_range_beyond_the_grid_is_hatched():
    grid = qparams_of_range(torch.tensor(-0.1), torch.tensor(0.1), 4)
    ax = plots.weight_histogram(WEIGHTS, grid)
    beyond = [patch for patch in ax.patches if patch.get_hatch() == "\\\\"]
    edges = sorted(value for patch in beyond for value in (patch.get_x(), patch.get_x() + patch.get_width()))
    assert edges[1:3] == pytest.approx([-0.1 * 7.5 / 7, 0.1 * 7.5 / 7])
    assert (edges[0], edges[3]) == pytest.approx(ax.get_xlim())


def test_the_title_tells_the_errors_of_the_grid():
    grid = fit_qparams(WEIGHTS, 5, group_size=16)
    lost = quantization_error(WEIGHTS, grid)
    assert title(plots.weight_histogram(WEIGHTS, grid)) == (
        f"5 bits, 160 scales: largest error {lost.max_abs:.3g}, SQNR {lost.sqnr_db:.1f} dB"
    )


# ---------------------------------------------------------------- where it hurts


def test_cells_show_their_numbers_and_layers_ascend():
    ax = plots.sensitivity(ERRORS, unit="points of accuracy")
    assert texts(ax)[:6] == ["0.02", "0.04", "0.06", "0.08", "0.10", "0.12"] and texts(ax)[6] == "0.01"
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["0", "1", "2"]
    assert [tick.get_text() for tick in ax.get_xticklabels()][3] == "attention\noutput"
    colour_bar = next(one for one in ax.figure.axes if one is not ax)
    assert colour_bar.get_ylabel() == "points of accuracy"
    cells = np.asarray(ax.images[0].get_array())
    assert cells[0, 5] == cells.max() and cells[2, 0] == cells.min()


def test_the_darker_the_more():
    shades = plots.sensitivity(ERRORS).images[0]
    light = shades.cmap(shades.norm([0.0, 0.03, 0.06, 0.09, 0.12]))[:, :3].sum(axis=1)
    assert (np.diff(light) < 0).all()


def test_a_missing_matrix_is_an_empty_cell_and_rows_may_share_an_index():
    table = ERRORS[1:].set_axis([0] * 17)  # layer 2 without its query, and so the columns begin with its key
    ax = plots.sensitivity(table)
    assert len(ax.texts) == 17 and "contract of layer 0" in title(ax)
    assert [tick.get_text() for tick in ax.get_xticklabels()][-1] == "query"
    assert (5, 2) not in {text.get_position() for text in ax.texts} and (5, 1) in {t.get_position() for t in ax.texts}


def test_the_largest_loss_stands_on_top():
    ax = plots.accuracy_by_slice(DAMAGE.iloc[::-1])
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names[0] == "negation (not, n't, never) (n=412)" and names[-1] == "lexicon disagrees (n=250)"
    assert names[1] == "all sentences (n=2,000)"
    assert texts(ax) == ["−5.3 points", "−1.5 points", "no change", "+2.0 points"]
    top, bottom = ax.get_ylim()[::-1]
    assert top < 0 < 3 < bottom
    before, after = ({line.get_label(): line for line in ax.lines}[name] for name in ("before", "after"))
    assert before.get_xdata().tolist() == [0.845, 0.88, 0.95, 0.66]
    assert after.get_xdata().tolist() == [0.792, 0.865, 0.95, 0.68]
    assert before.get_marker() != after.get_marker() and before.get_markerfacecolor() == "white"
    assert no_two_meet(ax)


def test_without_a_loss_the_title_says_so():
    assert title(plots.accuracy_by_slice(DAMAGE.assign(after=DAMAGE["before"]))) == "No kind of sentence loses accuracy"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: plots.pareto(MODELS.head(0)), "no rows"),
        (lambda: plots.pareto(MODELS.drop(columns="megabytes")), "no column 'megabytes'"),
        (lambda: plots.pareto(MODELS, label="name"), "no column 'name'"),
        (lambda: plots.pareto(MODELS, low="low", high="high"), "no column 'low'"),
        (lambda: plots.pareto(WITH_ENDS, low="low"), "low is 'low', high is None"),
        (lambda: plots.pareto(MODELS.assign(accuracy=88.0)), "accuracy is 88.0"),
        (lambda: plots.pareto(WITH_ENDS.assign(high=np.nan)), "high is nan"),
        (lambda: plots.pareto(MODELS.assign(megabytes=0)), "megabytes is"),
        (lambda: plots.pareto(MODELS.assign(megabytes=np.nan)), "megabytes is"),
        (lambda: plots.pareto(MODELS.assign(megabytes=np.inf)), "megabytes is"),
        (lambda: plots.pareto(MODELS, better="small"), "better is 'small'"),
        (lambda: plots.weight_histogram([1.0], fit_qparams(WEIGHTS)), "values are list"),
        (lambda: plots.weight_histogram(WEIGHTS[:3], fit_qparams(WEIGHTS, axis=0)), "do not fit scales"),
        (lambda: plots.sensitivity(ERRORS.head(0)), "no rows"),
        (lambda: plots.sensitivity(ERRORS, "lost"), "no column 'lost'"),
        (lambda: plots.sensitivity(ERRORS.assign(error=np.nan)), "error has gaps"),
        (lambda: plots.sensitivity(pd.concat([ERRORS, ERRORS])), "layer 2, 'query' occurs twice"),
        (lambda: plots.accuracy_by_slice(DAMAGE.head(0)), "no rows"),
        (lambda: plots.accuracy_by_slice(DAMAGE.drop(columns="n")), "no column 'n'"),
        (lambda: plots.accuracy_by_slice(DAMAGE.assign(after=-0.1)), "after is -0.1"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(BadInput, match=said) as caught:
        call()
    assert caught.value.fix
