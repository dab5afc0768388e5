"""The widgets of notebook 07 are moved by values, and answer in words and pictures."""

import re
from html import unescape

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from course_lib import widgets
from course_lib.compression.quantization import fit_qparams, quantization_error
from course_lib.errors import BadInput
from course_lib.widgets.compression import LAYOUTS, what_is_left

# ---------------------------------------------------------------- bits

WEIGHTS = torch.randn(12, 64, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.01, 0.1, 12)[:, None]


class Asked:
    """An accuracy that grows with the bits; it remembers what it was asked, and what the words said meanwhile."""

    def __init__(self) -> None:
        self.settings: list[tuple[int, str]] = []
        self.meanwhile: list[str] = []
        self.words: ipywidgets.HTML | None = None

    def __call__(self, bits: int, layout: str) -> float:
        self.settings.append((bits, layout))
        self.meanwhile.append(self.words.value if self.words else "")
        return 0.5 + bits / 20


def plain(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def test_the_bits_and_the_scales_choose_the_picture_and_the_words():
    box = widgets.bits_slider(WEIGHTS)
    bits, scales, words, picture = box.children
    assert "bits-slider" in box._dom_classes and (bits.min, bits.max, bits.value) == (2, 8, 4)
    assert bits.description == "Bits" and scales.description == "Scales" and bits.continuous_update
    assert [name for _, name in scales.options] == ["all", "row", "group"]
    seen = set()
    for scales.value in LAYOUTS:
        for bits.value in (2, 5, 8):
            seen.add((words.value, picture.value))
            assert "alt=" in picture.value and f"{bits.value} bits, one scale" in words.value
    assert len({said for said, _ in seen}) == len({png for _, png in seen}) == 9 and not plt.get_fignums()
    assert "Accuracy" not in words.value and "aria-live" in words.value


@pytest.mark.parametrize(
    ("bits", "name", "parameters", "integers", "scales"),
    [(4, "all", {}, 384, 4), (3, "row", {"axis": 0}, 288, 48), (8, "group", {"group_size": 32}, 768, 96)],
)
def test_errors_and_bytes_are_those_of_the_grid(bits, name, parameters, integers, scales):
    slider, dropdown, words, _ = widgets.bits_slider(WEIGHTS).children
    slider.value, dropdown.value = bits, name
    lost = quantization_error(WEIGHTS, fit_qparams(WEIGHTS, bits, **parameters))
    said = plain(words.value)
    assert f"moves by at most {lost.max_abs:.3g}, and by {lost.mean_abs:.3g} on average" in said
    assert f"{integers + scales:,} bytes ({integers} for the weights, {scales} for the scales) instead of 3,072" in said
    assert f"{3072 / (integers + scales):.1f} times smaller" in said


def test_each_setting_is_asked_once_and_then_remembered():
    asked = Asked()
    bits, scales, words, _ = widgets.bits_slider(WEIGHTS, asked).children
    assert not bits.continuous_update and asked.settings == [(4, "all")]
    for bits.value in (2, 4, 2, 8):
        pass
    scales.value = "row"
    scales.value = "all"
    assert asked.settings == [(4, "all"), (2, "all"), (8, "all"), (8, "row")]
    assert plain(words.value).endswith("Accuracy: 90.0%.")
    bits.value = 2
    assert plain(words.value).endswith("Accuracy: 60.0%.") and len(asked.settings) == 4


def test_while_it_computes_the_words_say_so():
    asked = Asked()
    bits, _, words, _ = widgets.bits_slider(WEIGHTS, asked).children
    asked.words = words
    bits.value = 3
    assert "3 bits" in asked.meanwhile[1] and "being computed" in asked.meanwhile[1]
    assert "being computed" not in words.value and "Accuracy: 65.0%" in words.value


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (BadInput("a <long> text", "cut it"), "a <long> textTo fix it: cut it"),
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
    ],
)
def test_what_goes_wrong_is_shown_and_asked_again(trouble, said):
    troubles = [trouble]

    def evaluate(bits: int, layout: str) -> float:
        if troubles:
            raise troubles.pop()
        return 0.75

    bits, _, words, picture = widgets.bits_slider(WEIGHTS, evaluate).children
    assert "There is no accuracy to show." in plain(words.value) and said in plain(words.value) and picture.value
    bits.value = 3
    bits.value = 4
    assert "Accuracy: 75.0%" in words.value and "no accuracy" not in words.value


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (WEIGHTS[0], "shape"),
        (torch.zeros(0, 3), "shape"),
        (torch.full((2, 2), torch.nan), "weights hold an infinity or a NaN"),
        ([[1.0]], "weights are list"),
    ],
)
def test_what_is_no_matrix_is_named(weight, said):
    with pytest.raises(BadInput, match=said):
        widgets.bits_slider(weight)


def test_a_weight_that_learns_stays_as_it_is():
    weight = torch.nn.Parameter(WEIGHTS.clone())
    widgets.bits_slider(weight).children[0].value = 2
    assert torch.equal(weight, WEIGHTS) and weight.requires_grad


# ---------------------------------------------------------------- the front

MODELS = pd.DataFrame(
    {
        "model": ["BERT", "8 bits", "<b>small</b>", "fast"],
        "megabytes": [46.0, 12.0, 3.9, 8.1],
        "median_ms": [6.1, 1.4, 1.95, 0.62],
        "texts_a_second": [310, 2500, 990, 2000],
        "accuracy": [0.88, 0.879, 0.87, 0.86],
    }
)


def test_the_slider_says_which_models_are_left():
    box = widgets.pareto_explorer(MODELS)
    x, points, words, picture = box.children
    assert "pareto-explorer" in box._dom_classes and x.description == "Compare by"
    assert [name for _, name in x.options] == ["megabytes", "median_ms", "texts_a_second"]
    assert (points.min, points.max, points.value) == (0.0, 2.0, 1.0) and "lose" in points.description
    assert plain(words.value) == (
        "3 of 4 models lose 1.0 point or less: the smallest is <b>small</b> (3.9 MB, accuracy 87.0%), "
        "the fastest is 8 bits (1.4 ms, accuracy 87.9%)."
    )
    assert "<b>" not in words.value and "aria-live" in words.value
    before = picture.value
    assert "alt=" in before
    points.value = 2.0
    assert "4 of 4 models" in words.value and "the fastest is fast (0.62 ms, accuracy 86.0%)" in words.value
    assert picture.value != before and not plt.get_fignums()
    points.value = 0.0
    assert plain(words.value) == (
        "1 of 4 models loses 0.0 points or less: BERT is the smallest (46 MB) and the fastest (6.1 ms), accuracy 88.0%."
    )


def test_throughput_has_a_fastest_of_its_own():
    x, points, words, picture = widgets.pareto_explorer(MODELS).children
    points.value, before = 2.0, picture.value
    x.value = "texts_a_second"
    assert "the fastest is 8 bits (2,500 texts a second, accuracy 87.9%)" in words.value and picture.value != before
    x.value = "median_ms"
    assert "the fastest is fast (0.62 ms" in words.value


def test_the_picture_is_that_of_the_models_that_are_left(monkeypatch):
    asked = []

    def noted(table, x, floor):
        asked.append((len(table), x, round(floor, 6)))
        return plt.subplots()[1]

    monkeypatch.setattr("course_lib.plots.pareto", noted)
    x, points, *_ = widgets.pareto_explorer(MODELS).children
    points.value = 0.5
    x.value = "median_ms"
    assert asked == [(4, "megabytes", 0.87), (4, "megabytes", 0.875), (4, "median_ms", 0.875)]


def test_points_are_counted_from_the_parent():
    _, points, words, _ = widgets.pareto_explorer(MODELS, parent="8 bits").children
    points.value = 0.9
    assert "3 of 4 models lose 0.9 points or less" in words.value and points.max == 2.0


def test_one_kind_of_speed_is_enough():
    for column in ("median_ms", "texts_a_second"):
        x, _, words, _ = widgets.pareto_explorer(MODELS.drop(columns=column)).children
        assert len(x.options) == 2 and "the fastest is 8 bits" in words.value


def test_a_loss_that_floats_round_up_is_within_the_limit():
    table = MODELS.assign(accuracy=[0.9, 0.9 - 0.003, 0.9 - 0.007, 0.8])
    assert "2 of 4" in what_is_left(table, 0.3, 0.9) and "3 of 4" in what_is_left(table, 0.1 * 7, 0.9)
    assert what_is_left(table, 0.5, 0.99) == "None of 4 models loses 0.5 points or less."


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: widgets.pareto_explorer(MODELS.head(0)), "no rows"),
        (lambda: widgets.pareto_explorer(MODELS.drop(columns="model")), "no column 'model'"),
        (lambda: widgets.pareto_explorer(MODELS.drop(columns="megabytes")), "no column 'megabytes'"),
        (lambda: widgets.pareto_explorer(MODELS.drop(columns=["median_ms", "texts_a_second"])), "how fast"),
        (lambda: widgets.pareto_explorer(MODELS.assign(accuracy=88.0)), "accuracy is 88.0"),
        (lambda: widgets.pareto_explorer(MODELS.assign(median_ms=np.nan)), "median_ms is"),
        (lambda: widgets.pareto_explorer(MODELS.assign(model="x")), "model 'x' occurs twice"),
        (lambda: widgets.pareto_explorer(MODELS, parent="y"), "no model 'y'"),
    ],
)
def test_tables_that_cannot_be_shown_are_named(call, said):
    with pytest.raises(BadInput, match=said) as caught:
        call()
    assert caught.value.fix
