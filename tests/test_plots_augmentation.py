"""The figures of data augmentation: what they draw, that they fit their frame and are readable in grey."""

from io import BytesIO

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from course_lib.errors import BadInput
from course_lib.plots import style
from course_lib.plots.augmentation import augmentation_gains, label_agreement, text_movement

mpl.use("Agg")

GAINS = pd.DataFrame(
    [
        (100, "none", 0.0, 0.0, 0.0), (100, "eda", 1.5, 0.5, 2.5), (100, "typo", -0.5, -1.0, 0.0),
        (2000, "none", 0.0, 0.0, 0.0), (2000, "typo", 0.25, np.nan, np.nan),
    ],
    columns=["labels", "method", "gain", "low", "high"],
)  # fmt: skip
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
DRAWN = {
    "gains": lambda ax=None: augmentation_gains(GAINS, ax),
    "moved": lambda ax=None: text_movement(MOVED, ax),
    "kept": lambda ax=None: label_agreement(KEPT, ax),
}


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def points(ax) -> dict[str, list[list[float]]]:
    return {bar.get_label(): bar[0].get_xydata().tolist() for bar in ax.containers}


def test_titles_state_the_finding():
    title = augmentation_gains(GAINS).get_title(loc="left").replace("\n", " ")
    assert title == "Largest gain: +1.5 points by eda with 100 labels; 1 of 3 clearly above 0"
    lost = GAINS.assign(gain=GAINS["gain"] - 2, low=GAINS["low"] - 2, high=GAINS["high"] - 2)
    title = augmentation_gains(lost).get_title(loc="left").replace("\n", " ")
    assert title == "No gain: at best -0.5 points by eda with 100 labels; 1 of 3 clearly below 0"
    title = text_movement(MOVED).get_title(loc="left").replace("\n", " ")
    assert title == "typo moves texts farthest: cosine 0.88, 10% other words"
    title = label_agreement(KEPT).get_title(loc="left").replace("\n", " ")
    assert title == "After deletion of 50% of the words the judge finds 60% of the labels, 88% before"


def test_gains_are_side_by_side_at_their_size_and_none_is_the_line():
    ax = augmentation_gains(GAINS)
    drawn = points(ax)
    assert list(drawn) == ["eda", "typo"] and ax.lines[0].get_ydata() == [0, 0]
    assert [y for _, y in drawn["typo"]] == [-0.5, 0.25]
    assert [round(x) for x, _ in drawn["typo"]] == [0, 1] and drawn["eda"][0][0] < 0 < drawn["typo"][0][0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["100", "2,000"]


def test_whiskers_are_the_intervals_and_one_seed_has_none():
    eda, typo = augmentation_gains(GAINS).containers
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


@pytest.mark.parametrize("name", DRAWN)
def test_it_fits_its_frame_and_can_be_read_in_grey(name):
    ax = DRAWN[name]()
    ax.figure.canvas.draw()
    frame, ink = ax.figure.bbox, ax.figure.get_tightbbox().transformed(ax.figure.dpi_scale_trans)
    assert ink.x0 >= frame.x0 - 2 and ink.x1 <= frame.x1 + 2 and ink.y0 >= frame.y0 - 2 and ink.y1 <= frame.y1 + 2
    assert ax.get_xlabel() and ax.get_ylabel()
    png = style.to_png(ax)
    grey = np.asarray(Image.open(BytesIO(png)).convert("L"))
    assert len(png) < 25_000 and grey.min() < 60 and (grey > 250).mean() > 0.2


@pytest.mark.parametrize("name", DRAWN)
def test_it_draws_into_the_users_own_axes(name):
    mine = plt.subplots(1, 2)[1][1]
    assert DRAWN[name](mine) is mine and len(plt.get_fignums()) == 1


def test_more_series_than_looks_can_still_be_told_apart():
    many = pd.concat([MOVED.head(1).assign(operation=f"op {number}") for number in range(10)])
    looks = [(bar[0].get_marker(), bar[0].get_markerfacecolor()) for bar in text_movement(many).containers]
    assert len(set(looks)) == 10


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: augmentation_gains(GAINS.drop(columns="low")), "no column 'low'"),
        (lambda: augmentation_gains(GAINS[GAINS["method"] == "none"]), "no rows"),
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
