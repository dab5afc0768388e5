"""Figures of models that write: what is drawn is what was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from test_plots import check_figure, points

from course_lib import plots
from course_lib.errors import BadInput
from course_lib.evaluation import wilson_interval
from course_lib.generation import DecoderConfig

mpl.use("Agg")
CACHE = pd.DataFrame({
    "method": ["with cache"] * 3 + ["without"] * 3, "tokens": [16, 64, 256] * 2, "seconds": [0.3, 1.1, 4.5, 1.0, 6, 60],
})  # fmt: skip
METHODS = pd.DataFrame({
    "method": ["prompt, zero-shot", "prompt, 8 examples", "frozen embeddings", "LoRA on the decoder", "BERT"],
    "seconds": [60, 140, 45, 50, 2.5], "accuracy": [0.72, 0.75, 0.8, 0.86, 0.866], "n": [500] * 5,
})  # fmt: skip


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (plots.plot_cache, (CACHE, DecoderConfig())),
        (plots.plot_accuracy_cost, (METHODS,)),
        (plots.plot_accuracy_cost, (METHODS.head(1),)),
    ],
)
def test_a_figure_states_its_title_and_can_be_read(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    check_figure(function, (*arguments, "What is found"), "What is found")


def test_the_lines_are_the_given_seconds_and_the_memory_follows_the_formula() -> None:
    left, right = plots.plot_cache(CACHE, DecoderConfig())
    drawn = {str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in left.lines}
    assert drawn == {"with cache": [0.3, 1.1, 4.5], "without": [1.0, 6, 60]}
    tokens, megabytes = right.lines[0].get_data()
    assert tokens[-1] == 256 and megabytes[-1] == pytest.approx(2 * 30 * 3 * 64 * 4 * 256 / 1e6)


def test_methods_are_at_their_seconds_and_accuracy_with_their_intervals() -> None:
    ax = plots.plot_accuracy_cost(METHODS)
    found = points(ax)
    assert found["on the front"] == [[2.5, 0.866]] and len(found["dominated"]) == 4
    one = wilson_interval(433, 500)
    given = METHODS.assign(low=METHODS["accuracy"], high=METHODS["accuracy"])
    given.loc[4, ["low", "high"]] = one.low, one.high
    ends = [part.get_segments() for part in plots.plot_accuracy_cost(given.tail(1)).collections]
    np.testing.assert_allclose(ends[0][0][:, 1], [one.low, one.high])


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (plots.plot_cache, (CACHE.drop(columns="tokens"), DecoderConfig()), "no column 'tokens'"),
        (plots.plot_cache, (CACHE.assign(seconds=0), DecoderConfig()), "seconds are"),
        (plots.plot_accuracy_cost, (METHODS.drop(columns="n"),), "no column 'n'"),
        (plots.plot_accuracy_cost, (METHODS.head(0),), "no rows"),
        (plots.plot_accuracy_cost, (METHODS.assign(seconds=np.inf),), "seconds are"),
        (plots.plot_accuracy_cost, (METHODS.assign(accuracy=72, low=0, high=1),), "accuracy is 72"),
    ],
)
def test_bad_input_is_named(function: Callable[..., Any], arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        function(*arguments)
