"""Figures of attacks, defenses and augmentation: right numbers in the title, fit their frame, readable in grey."""

from io import BytesIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Circle
from PIL import Image

from course_lib import plots
from course_lib.attacks.pgd import LossSurface
from course_lib.errors import BadInput
from course_lib.evaluation import wilson_interval
from course_lib.plots import attacks, augmentation_gains, label_agreement, robustness, text_movement

mpl.use("Agg")

NAMES = ["deepwordbug", "textfooler", "bert_attack", "hotflip", "pwws", "genetic"]
UNDER = pd.DataFrame({"attack": NAMES, "n": 200, "before": 0.88, "under": [0.31, 0.09, 0.125, 0.26, 0.145, 0.33]})
COST = pd.DataFrame(
    {"attack": NAMES, "queries": [38, 92, 61, 3.2, 121, 1840], "success": [0.65, 0.9, 0.86, 0.7, 0.84, 0.63], "n": 177}
)
DEFENCES = pd.DataFrame(
    [
        (defence, attack, accuracy)
        for defence, row in (("no defence", (0.9, 0.2, 0.3)), ("adversarial training", (0.8, 0.6, 0.5)))
        for attack, accuracy in zip(("none", "hotflip", "pwws"), row, strict=True)
    ],
    columns=["defence", "attack", "accuracy"],
)
TRANSFER = pd.DataFrame(
    [
        ("BERT", "BERT", 0.9),
        ("BERT", "logistic regression", 0.3),
        ("logistic regression", "logistic regression", 1.0),
        ("logistic regression", "BERT", 0.1),
    ],
    columns=["made_against", "read_by", "success"],
)
GAINS = pd.DataFrame({"promised": [-0.1, 0.0, 0.1, 0.2], "true": [-0.2, 0.3, 0.1, 1.5]})
CURVES = {
    "perplexity": ([0, 0.05, 0.1, 0.5, 1], [0, 0.4, 0.6, 0.9, 1]),
    "confidence": ([0, 0.2, 1], [0, 0.3, 1]),
}
ROBUST = pd.DataFrame(
    [
        (method, eps, 0.9 * 0.5 ** (speed * eps), 300)
        for method, speed in (("FGSM", 2), ("PGD", 6))
        for eps in (0, 0.5, 1)
    ],
    columns=["method", "epsilon", "accuracy", "n"],
)
AXIS = np.linspace(-1, 1, 21)
LOSS = 0.5 + np.maximum(0, AXIS[:, None]) + np.cos(AXIS[None, :])
SURFACE = LossSurface(AXIS, AXIS, LOSS)
PATH = np.array([[0, 0], [0.3, 0.1], [0.5, 0]])

BY_METHOD = pd.DataFrame(
    [
        (100, "none", 0.0, 0.0, 0.0), (100, "eda", 1.5, 0.5, 2.5), (100, "typo", -0.5, -1.0, 0.0),
        (2000, "none", 0.0, 0.0, 0.0), (2000, "typo", 0.25, np.nan, np.nan),
    ],
    columns=["labels", "method", "gain", "low", "high"],
)  # fmt: skip
LOST = BY_METHOD.assign(gain=BY_METHOD["gain"] - 2, low=BY_METHOD["low"] - 2, high=BY_METHOD["high"] - 2)
MOVED = pd.DataFrame(
    [("aeda", 0.0, 0.96), ("typo", 0.1, 0.88), ("swap", 0.2, 0.95)], columns=["operation", "words_changed", "cosine"]
)
for _name in ("words_changed", "cosine"):
    MOVED[f"{_name}_low"], MOVED[f"{_name}_high"] = MOVED[_name] - 0.01, MOVED[_name] + 0.02
KEPT = pd.DataFrame(
    [("deletion", 0.5, 0.6), ("deletion", 0.1, 0.84), ("typo", 0.1, 0.85), ("typo", 0.5, 0.7)],
    columns=["operation", "alpha", "agreement"],
).assign(agreement_before=0.875)
KEPT["agreement_low"], KEPT["agreement_high"] = KEPT["agreement"] - 0.04, KEPT["agreement"] + 0.03

FIGURES = {  # name -> (draw, what the title must say)
    "under_attack": (lambda ax=None: attacks.under_attack(UNDER, ax=ax), "textfooler hurts most: from 88.0% to 9.0%"),
    "one_attack": (lambda ax=None: attacks.under_attack(UNDER.head(1), ax=ax), "deepwordbug hurts most"),
    "cost_of_success": (
        lambda ax=None: attacks.cost_of_success(COST, ax=ax),
        "textfooler succeeds most often (90.0%), for 92 queries a text",
    ),
    "cost_of_one": (lambda ax=None: attacks.cost_of_success(COST.drop(columns="n").head(1), ax=ax), "deepwordbug"),
    "first_order": (
        lambda ax=None: attacks.first_order(GAINS, ax=ax),
        "A rough order: rank correlation 0.80",
    ),
    "transfer": (
        lambda ax=None: attacks.transfer(TRANSFER, ax=ax),
        "20.0% of the texts also fool another model (their own: 95.0%)",
    ),
    "defences": (
        lambda ax=None: robustness.defences(DEFENCES, ax=ax),
        "adversarial training keeps most under attack: 55.0% on average",
    ),
    "roc": (lambda ax=None: robustness.roc(CURVES, ax=ax), "perplexity finds 60.0% at 10% false alarms"),
    "robustness_curve": (lambda ax=None: robustness.robustness_curve(ROBUST, ax=ax), "PGD leaves 1.4% at epsilon 1"),
    "loss_surface": (
        lambda ax=None: robustness.loss_surface(SURFACE, 0.5, PATH, ax=ax),
        "Epsilon 0.5: loss 1.50 to 2.00 nats",
    ),
    "loss_surface_without_a_ball": (
        lambda ax=None: robustness.loss_surface(SURFACE, 0, ax=ax),
        "Epsilon 0: loss 1.50 to 1.50 nats",
    ),
    "augmentation_gains": (
        lambda ax=None: augmentation_gains(BY_METHOD, ax),
        "Largest gain: +1.5 points by eda with 100 labels; 1 of 3 clearly above 0",
    ),
    "no_augmentation_gains": (
        lambda ax=None: augmentation_gains(
            BY_METHOD.assign(gain=BY_METHOD["gain"] - 2, high=BY_METHOD["high"] - 2), ax
        ),
        "No gain: at best -0.5 points by eda with 100 labels; 1 of 3 clearly below 0",
    ),
    "text_movement": (
        lambda ax=None: text_movement(MOVED, ax),
        "typo moves texts farthest: cosine 0.88, 10% other words",
    ),
    "label_agreement": (
        lambda ax=None: label_agreement(KEPT, ax),
        "After deletion of 50% of the words the judge finds 60% of the labels, 88% before",
    ),
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("name", FIGURES)
def test_title_axes_and_frame(name):
    draw, said = FIGURES[name]
    ax = draw()
    assert said in ax.get_title(loc="left").replace("\n", " ")
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


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_bars_stand_in_pairs_and_whiskers_are_the_intervals():
    ax = attacks.under_attack(UNDER)
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == [0.88] * 6 + UNDER["under"].tolist()
    assert texts(ax)[:2] == ["88.0% before", "88.0% before"] and texts(ax)[6] == "31.0% under attack"
    ends = ax.collections[1].get_segments()[1][:, 0]
    assert ends.tolist() == pytest.approx([wilson_interval(18, 200).low, wilson_interval(18, 200).high])
    assert {bar.get_hatch() for bar in ax.patches} == {"", "///"}  # told apart without colour


def test_rows_may_share_an_index():
    table = pd.concat([UNDER.head(1), UNDER.iloc[[1]].set_axis([0])])
    assert "textfooler hurts most" in attacks.under_attack(table).get_title(loc="left")


def test_every_point_has_its_name_and_no_two_names_meet():
    crowd = COST.assign(queries=[90, 92, 94, 96, 98, 100], success=[0.9, 0.9, 0.88, 0.91, 0.9, 0.89])
    for table in (COST, crowd):
        ax = attacks.cost_of_success(table)
        ax.figure.canvas.draw()
        assert sorted(texts(ax)) == sorted(NAMES)
        boxes = [text.get_window_extent() for text in ax.texts]
        assert not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])
    assert next(line.get_xdata()[0] for line in ax.lines if line.get_marker() not in "_|") == 90


def test_cells_show_their_numbers():
    assert texts(robustness.defences(DEFENCES)) == ["90.0%", "20.0%", "30.0%", "80.0%", "60.0%", "50.0%"]
    ax = attacks.transfer(TRANSFER)
    assert texts(ax) == ["90.0%", "30.0%", "10.0%", "100.0%"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["BERT", "logistic regression"]


def test_titles_where_there_is_nothing_to_compare():
    clean = DEFENCES[DEFENCES["attack"] == "none"]
    assert robustness.defences(clean).get_title(loc="left") == "Accuracy without an attack"
    own = TRANSFER[TRANSFER["made_against"] == TRANSFER["read_by"]]
    assert attacks.transfer(own).get_title(loc="left") == "Only models' own texts (their own: 95.0%)"
    others = TRANSFER[TRANSFER["made_against"] != TRANSFER["read_by"]]
    assert attacks.transfer(others).get_title(loc="left") == "20.0% of the texts also fool another model"


def test_the_legend_gives_the_area_under_each_curve():
    names = [text.get_text() for text in robustness.roc(CURVES).get_legend().get_texts()]
    assert names == ["guessing (area 0.50)", "perplexity (area 0.81)", "confidence (area 0.55)"]


def test_curves_go_through_the_measured_points_in_order():
    ax = robustness.robustness_curve(ROBUST.iloc[::-1])
    assert [line.get_label() for line in ax.lines] == ["PGD", "FGSM"]
    assert ax.lines[1].get_xdata().tolist() == [0, 0.5, 1] and ax.lines[1].get_ydata().tolist() == [0.9, 0.45, 0.225]
    assert len(ax.collections) == 2 and not robustness.robustness_curve(ROBUST.drop(columns="n")).collections


def test_the_ball_the_start_and_the_top_stand_where_they_should():
    ax = robustness.loss_surface(SURFACE, 0.5, PATH)
    assert {patch.radius for patch in ax.patches if isinstance(patch, Circle)} == {0.5}
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert lines["the text"] == [[0, 0]] and lines["the attack's path"] == PATH.tolist()
    assert lines["highest in the ball"] == pytest.approx(np.array([[0.5, 0]]))


def test_the_loss_is_drawn_along_and_across_not_the_other_way_round():
    steep = LossSurface(AXIS, AXIS[::2], np.tile(AXIS[:, None], 11))
    ax = robustness.loss_surface(steep, 0.5)
    ax.figure.canvas.draw()
    picture = np.asarray(ax.figure.canvas.buffer_rgba())[..., :3].sum(axis=2)
    (left, right), y = ax.transData.transform([(-0.9, 0.8), (0.9, 0.8)])[:, 0], ax.transData.transform((0, 0.8))[1]
    row = picture[len(picture) - int(y)]
    assert row[int(left)] > row[int(right)] + 200  # darker to the right: there the loss is higher


def test_a_flat_loss_can_be_drawn():
    flat = LossSurface(AXIS, AXIS, np.ones((21, 21)))
    assert "loss 1.00 to 1.00" in robustness.loss_surface(flat, 0.5).get_title(loc="left")


def points(ax) -> dict[str, list[list[float]]]:
    return {bar.get_label(): bar[0].get_xydata().tolist() for bar in ax.containers}


def test_gains_are_side_by_side_at_their_size_and_none_is_the_line():
    ax = augmentation_gains(BY_METHOD)
    drawn = points(ax)
    assert list(drawn) == ["eda", "typo"] and ax.lines[0].get_ydata() == [0, 0]
    assert [y for _, y in drawn["typo"]] == [-0.5, 0.25]
    assert [round(x) for x, _ in drawn["typo"]] == [0, 1] and drawn["eda"][0][0] < 0 < drawn["typo"][0][0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["100", "2,000"]


def test_whiskers_are_the_intervals_and_one_seed_has_none():
    eda, typo = augmentation_gains(BY_METHOD).containers
    assert eda[2][0].get_segments()[0][:, 1].tolist() == pytest.approx([0.5, 2.5])
    assert typo[2][0].get_segments()[1][:, 1].tolist() == pytest.approx([0.25, 0.25])


def test_movement_draws_every_operation_with_both_intervals():
    ax = text_movement(MOVED)
    assert points(ax) == {"aeda": [[0.0, 0.96]], "typo": [[0.1, 0.88]], "swap": [[0.2, 0.95]]}
    across, up = (lines.get_segments()[0] for lines in ax.containers[1][2])
    assert across[:, 0].tolist() == pytest.approx([0.09, 0.12]) and up[:, 1].tolist() == pytest.approx([0.87, 0.90])


def test_agreement_is_a_line_an_operation_by_strength_below_that_of_the_originals():
    ax = label_agreement(KEPT)
    before = ax.lines[0]
    assert before.get_ydata() == [0.875, 0.875] and before.get_label() == "the originals"
    drawn = points(ax)
    assert drawn["deletion"] == [pytest.approx([0.096, 0.84]), pytest.approx([0.496, 0.6])]
    assert drawn["typo"] == [pytest.approx([0.104, 0.85]), pytest.approx([0.504, 0.7])]
    assert len({(bar[0].get_marker(), str(bar[0].get_linestyle())) for bar in ax.containers}) == 2
    ends = [end for segment in ax.containers[0][2][0].get_segments() for end in segment[:, 1]]
    assert (min(ends), max(ends)) == pytest.approx((0.56, 0.87))


def test_more_series_than_looks_can_still_be_told_apart():
    many = pd.concat([MOVED.head(1).assign(operation=f"op {number}") for number in range(10)])
    looks = [(bar[0].get_marker(), bar[0].get_markerfacecolor()) for bar in text_movement(many).containers]
    assert len(set(looks)) == 10


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: attacks.under_attack(UNDER.drop(columns="n")), "no column 'n'"),
        (lambda: attacks.under_attack(UNDER.assign(under=88.0)), "under is 88.0"),
        (lambda: attacks.cost_of_success(COST.head(0)), "no rows"),
        (lambda: attacks.first_order(GAINS.head(1)), "two or more exchanges"),
        (lambda: attacks.first_order(GAINS.assign(true=np.nan)), "without gaps"),
        (lambda: attacks.first_order(GAINS.drop(columns="true")), "true"),
        (lambda: attacks.cost_of_success(COST.assign(success=np.nan)), "success is nan"),
        (lambda: attacks.cost_of_success(COST.assign(queries=0)), "queries are"),
        (lambda: attacks.transfer(TRANSFER.drop(columns="read_by")), "no column 'read_by'"),
        (lambda: robustness.defences(DEFENCES.assign(accuracy=-0.1)), "accuracy is -0.1"),
        (lambda: robustness.roc({}), "no curve"),
        (lambda: robustness.roc({"a": ([0, 1], [0, 0.5, 1])}), "curve of 'a'"),
        (lambda: robustness.roc({"a": ([0, 0.5, 0.4], [0, 0.5, 1])}), "curve of 'a'"),
        (lambda: robustness.roc({"a": ([0, 2], [0, 1])}), "curve of 'a'"),
        (lambda: robustness.robustness_curve(ROBUST.drop(columns="method")), "no column 'method'"),
        (lambda: robustness.loss_surface(SURFACE, -1), "epsilon is -1"),
        (lambda: robustness.loss_surface(SURFACE, 1, [1, 2, 3]), "path has the shape"),
        (lambda: augmentation_gains(BY_METHOD.drop(columns="low")), "no column 'low'"),
        (lambda: augmentation_gains(BY_METHOD[BY_METHOD["method"] == "none"]), "no rows"),
        (lambda: text_movement(MOVED.drop(columns="cosine_high")), "no column 'cosine_high'"),
        (lambda: label_agreement(KEPT.drop(columns="alpha")), "no column 'alpha'"),
        (lambda: label_agreement(KEPT.head(0)), "no rows"),
        (lambda: text_movement(pd.concat([MOVED, MOVED])), "'aeda' occurs twice"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(BadInput, match=said) as caught:
        call()
    assert caught.value.fix
