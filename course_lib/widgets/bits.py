"""Take bits away from a matrix of weights and see what rounding does to them and, if asked, to the accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ipywidgets
from torch import Tensor

from course_lib import plots
from course_lib.compression.uniform import BITS, Grid, error, finite, grid_of
from course_lib.errors import BadInput
from course_lib.widgets.base import control_style, error_message, live_box, message, picture

GROUP = 32  # neighbours in a row
LAYOUTS: dict[str, tuple[str, dict[str, Any]]] = {  # name -> what it is called, and how `grid_of` is asked for it
    "all": ("one scale for all", {}),
    "row": ("one scale a row", {"axis": 0}),
    "group": (f"one scale a group of {GROUP}", {"group": GROUP}),
}
START = 4  # bits
_FLOAT = 4  # bytes of a weight or a scale in float32

Evaluate = Callable[[int, str], float]


def bits_slider(weight: Tensor, evaluate: Evaluate | None = None, range_: str = "minmax") -> ipywidgets.VBox:
    """A slider for the bits, a choice of scales, what both do to the weights in numbers, and their histogram.

    What goes wrong in `evaluate` is shown in place of the accuracy, and asked again next time.

    Args:
        weight: a matrix (out, in), finite.
        evaluate: (bits, "all", "row" or "group") -> accuracy from 0 to 1 of a model rounded so. Each setting is asked
            once, when it is first chosen; then the slider answers only when it is let go.
        range_: as in `grid_of`: `minmax` clips nothing, `mse` as much as makes the squared error least.

    Returns:
        A box of the class `bits-slider`: slider (children[0]), dropdown (children[1]), words (children[2], HTML) and
        the picture.

    Raises:
        BadInput: no matrix of finite numbers, or another range.
    """
    if finite(weight, "weights").ndim != 2:
        raise BadInput(f"the weight has the shape {tuple(weight.shape)}", "give a matrix (out, in)")
    grid_of(weight[:1, :1], range_=range_)  # names a wrong range before anything is drawn
    bits, layout = _controls(evaluate is None)
    words, shown = ipywidgets.HTML(), picture()
    drawn: dict[tuple[int, str], tuple[str, bytes]] = {}
    accuracies: dict[tuple[int, str], float] = {}

    def show(_: object = None) -> None:
        chosen = (bits.value, layout.value)
        if chosen not in drawn:
            grid = grid_of(weight, chosen[0], range_=range_, **LAYOUTS[chosen[1]][1])
            drawn[chosen] = (
                what_rounding_does(weight, grid, chosen[1]),
                plots.to_png(plots.weight_histogram(weight, grid)),
            )
        said, shown.value = drawn[chosen]
        if evaluate is not None and chosen not in accuracies:
            words.value = message(f"{said} The accuracy is being computed …")
            try:
                accuracies[chosen] = float(evaluate(*chosen))
            except Exception as trouble:  # of any model, even one half written: shown, not hidden
                words.value = message(f"{said} There is no accuracy to show.") + error_message(trouble)
                return
        words.value = message(said + (f" Accuracy: {accuracies[chosen]:.1%}." if chosen in accuracies else ""))

    return live_box("bits-slider", [bits, layout], [words, shown], show)


def what_rounding_does(weight: Tensor, grid: Grid, layout: str) -> str:
    """Errors and bytes of a rounded weight, in words; the integers are counted as packed without gaps."""
    lost, n = error(weight, grid), weight.numel()
    integers, scales, before = math.ceil(n * grid.bits / 8), _FLOAT * grid.scale.numel(), _FLOAT * n
    return (
        f"{grid.bits} bits, {LAYOUTS[layout][0]}: a weight moves by {lost.max_abs:.3g} at most, by {lost.mean_abs:.3g} "
        f"on average. {integers + scales:,} bytes ({integers:,} of weights, {scales:,} of scales) in place of "
        f"{before:,} in float32: {before / (integers + scales):.1f} times smaller."
    )


def _controls(at_once: bool) -> tuple[ipywidgets.IntSlider, ipywidgets.Dropdown]:
    """The slider and the dropdown; where an answer takes time, the slider waits until it is let go."""
    look = control_style("4em")
    slider = ipywidgets.IntSlider(
        value=START, min=BITS[0], max=BITS[1], description="Bits", continuous_update=at_once, **look
    )
    options = [(called, name) for name, (called, _) in LAYOUTS.items()]
    return slider, ipywidgets.Dropdown(options=options, value="all", description="Scales", **look)
