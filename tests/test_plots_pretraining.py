"""The figures of notebooks 01 and 02 draw what they were given (titles, axes and greys: see test_plots.py)."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import plots
from course_lib.errors import BadInput

mpl.use("Agg")

TOKENS = ["[CLS]", "the", "cat", "sat"]
POINTS = pd.DataFrame(
    {"parameters": [1e6, 1e6, 4e6], "tokens": [2e6, 8e6, 8e6], "flops": [1.2e13, 4.8e13, 1.9e14], "loss": [5, 4, 3.5]}
)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def rows(losses: list[float], column: str = "loss") -> list[dict[str, float]]:
    return [{"tokens": 1000.0 * (k + 1), column: loss} for k, loss in enumerate(losses)]


# ---------------------------------------------------------------- attention and positions


def test_attention_map_shades_and_writes_the_given_shares():
    weights = np.array([[0.7, 0.1, 0.1, 0.1], [0, 1, 0, 0], [0.25] * 4, [0.5, 0, 0.5, 0]])
    ax = plots.attention_map(weights, TOKENS)
    np.testing.assert_array_equal(ax.images[0].get_array(), weights)
    assert texts(ax) == [f"{100 * share:.0f}" for share in weights.ravel()]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == TOKENS
    assert '"sat" puts 50% of its attention on "[CLS]"' in ax.get_title(loc="left").replace("\n", " ")


def test_attention_map_of_many_tokens_has_no_numbers():
    assert texts(plots.attention_map(np.full((20, 20), 0.05), ["w"] * 20)) == []


def test_attention_map_of_one_token():
    assert "100%" in plots.attention_map([[1.0]], ["[CLS]"]).get_title(loc="left")


def test_positional_encoding_shows_the_table_as_it_is():
    table = np.sin(np.arange(12).reshape(4, 3))
    ax = plots.positional_encoding(table)
    np.testing.assert_array_equal(ax.images[0].get_array(), table)
    assert ax.images[0].get_clim() == (-1, 1)


def test_cosines_in_the_title_are_those_of_the_rows():
    table = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]])
    title = plots.positional_encoding(table).get_title(loc="left")
    neighbours, apart = np.mean([0.6, 0.8, 0.0]), np.mean([0.0, -0.6])
    assert title == f"Cosine of neighbours: {neighbours:.2f}; of places 2 apart: {apart:.2f}"


# ---------------------------------------------------------------- masks


def test_every_mask_type_has_its_own_style_and_the_predicted_word():
    masked, labels = ["[CLS]", "[MASK]", "dog", "sat"], np.array([-100, 7, 8, 9])
    ax = plots.mask_picture(TOKENS, masked, labels)
    places = [round(box.get_x() + 0.47) for box in ax.patches]
    assert places == [1, 2, 3]
    assert len({(box.get_hatch(), box.get_facecolor()) for box in ax.patches}) == 3
    bold = [text.get_text() for text in ax.texts if text.get_fontweight() == "bold"]
    assert bold == ["the", "cat", "sat"]


@given(st.lists(st.booleans(), min_size=1, max_size=40))
@settings(deadline=None, max_examples=10)
def test_the_picture_counts_what_is_predicted(asked):
    tokens = [f"w{k}" for k in range(len(asked))]
    masked = ["[MASK]" if one else token for one, token in zip(asked, tokens, strict=True)]
    ax = plots.mask_picture(tokens, masked, [5 if one else -100 for one in asked])
    assert ax.get_title(loc="left").startswith(f"{sum(asked)} of {len(asked)} ordinary tokens are predicted")
    assert len(ax.patches) == sum(asked) and len(ax.texts) == 2 * len(asked) + sum(asked)
    plt.close("all")


# ---------------------------------------------------------------- losses


def test_few_rows_are_drawn_as_they_are_and_gaps_left_out():
    ax = plots.loss_curves({"run": rows([5.0, np.nan, 4.0, np.inf, 3.0])})
    assert ax.lines[0].get_xdata().tolist() == [1000, 3000, 5000]
    assert ax.lines[0].get_ydata().tolist() == [5, 4, 3] and "rolling" not in ax.get_ylabel()


def test_many_rows_are_averaged_and_the_axis_says_so():
    ax = plots.loss_curves({"run": rows([4.0, 6.0] * 100)})
    assert np.ptp(ax.lines[0].get_ydata()[20:]) < 0.5 and "rolling mean" in ax.get_ylabel()


def test_the_unigram_entropy_is_a_line_with_its_number():
    ax = plots.loss_curves({"run": rows([7.0, 5.0])}, unigram_entropy=6.25)
    assert set(ax.lines[1].get_ydata()) == {6.25} and "word frequencies alone (6.25 nats)" in texts(ax)[0]


def test_only_the_chosen_run_has_a_colour():
    ax = plots.loss_curves({"a": rows([5.0, 4.0]), "b": rows([6.0, 3.0])}, chosen="a")
    assert [line.get_color() == "#bdbdbd" for line in ax.lines[:2]] == [False, True]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "the other runs"]


def test_held_out_losses_are_called_so():
    runs = {"a": pd.DataFrame(rows([5.0, 4.0], "validation_loss"))}
    assert plots.loss_curves(runs, value="validation_loss").get_ylabel() == "loss on held-out text (nats a token)"


# ---------------------------------------------------------------- scaling and memory


def test_scaling_draws_every_run():
    ax = plots.scaling_runs(POINTS)
    drawn = np.concatenate([line.get_xydata() for line in ax.lines])
    assert sorted(map(tuple, drawn)) == sorted(zip(POINTS["flops"], POINTS["loss"], strict=True))
    sizes = plots.scaling_runs(POINTS, x="parameters").get_xticklabels()
    assert [tick.get_text() for tick in sizes] == ["1M", "4M"]


def test_bars_are_as_long_as_their_bytes():
    layouts = {"one": {"weights": 2e6, "activations": 6e6}, "two": {"weights": 2e6}}
    ax = plots.memory_bars(layouts)
    assert [bar.get_width() for bar in ax.patches] == [2, 2, 6, 0] and ax.get_xlabel() == "memory (MB)"
    assert texts(ax) == [" 8 MB", " 2 MB"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: plots.attention_map(np.eye(3), TOKENS), r"shape \(3, 3\), and there are 4 tokens"),
        (lambda: plots.attention_map(np.eye(4) / 2, TOKENS), "rows sum to"),
        (lambda: plots.attention_map([], []), "0 tokens"),
        (lambda: plots.positional_encoding(np.ones(4)), r"shape \(4,\)"),
        (lambda: plots.positional_encoding(np.full((3, 2), 4.0)), "numbers up to 4"),
        (lambda: plots.positional_encoding(np.full((3, 2), np.nan)), "numbers up to nan"),
        (lambda: plots.mask_picture(TOKENS, TOKENS, [-100]), "4 tokens, 4 masked ones and 1 labels"),
        (lambda: plots.mask_picture([], [], []), "0 tokens"),
        (lambda: plots.loss_curves({}), "the runs are"),
        (lambda: plots.loss_curves({"a": rows([1.0])}, chosen="b"), "chosen is 'b'"),
        (lambda: plots.loss_curves({"a": [{"step": 1, "loss": 2.0}]}), "no column 'tokens'"),
        (lambda: plots.loss_curves({"a": rows([np.nan])}), "no rows"),
        (lambda: plots.scaling_runs(POINTS, x="layers"), "x is 'layers'"),
        (lambda: plots.scaling_runs(POINTS.assign(loss=0)), "loss is 0"),
        (lambda: plots.scaling_runs(POINTS.drop(columns="tokens")), "no column 'tokens'"),
        (lambda: plots.memory_bars({}), "layouts are {}"),
        (lambda: plots.memory_bars({"a": {"weights": -1.0}}), "-1.0"),
    ],
)
def test_bad_input_is_named(call, said):
    with pytest.raises(BadInput, match=said) as caught:
        call()
    assert caught.value.fix
