"""Take bits away from a matrix of weights and see what rounding does to them and, if asked, to the accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import ipywidgets
from torch import Tensor

from course_lib import plots
from course_lib.compression.quantization import BITS, QuantParams, check_finite, fit_qparams, quantization_error
from course_lib.errors import BadInput
from course_lib.widgets.base import control_style, error_message, live_box, message, picture

GROUP = 32  # neighbours in a row
LAYOUTS: dict[str, tuple[str, dict[str, Any]]] = {  # name -> what it is called, and the arguments of `fit_qparams`
    "all": ("one scale for all", {}),
    "row": ("one scale a row", {"axis": 0}),
    "group": (f"one scale a group of {GROUP}", {"group_size": GROUP}),
}
START = 4  # bits
_FLOAT = 4  # bytes of a weight or a scale in float32

Evaluate = Callable[[int, str], float]


def bits_slider(weight: Tensor, evaluate: Evaluate | None = None, method: str = "minmax") -> ipywidgets.VBox:
    """A slider for the bits, a choice of scales, what both do to the weights in numbers, and their histogram.

    What goes wrong in `evaluate` is shown in place of the accuracy, and asked again next time.

    Args:
        weight: a matrix (out, in), finite.
        evaluate: (bits, "all", "row" or "group") -> accuracy from 0 to 1 of a model rounded so. Each setting is asked
            once, when it is first chosen; then the slider reacts only when it is released.
        method: as in `fit_qparams`: `minmax` clips nothing, `mse` as much as makes the squared error least.

    Returns:
        A box of the class `bits-slider`: slider (children[0]), dropdown (children[1]), words (children[2], HTML) and
        the picture.

    Raises:
        BadInput: no matrix of finite numbers, or another method.
    """
    if check_finite(weight, "weights").ndim != 2:
        raise BadInput(f"the weight has the shape {tuple(weight.shape)}", "give a matrix (out, in)")
    fit_qparams(weight[:1, :1], method=method)  # names a wrong method before anything is drawn
    bits, layout = _controls(evaluate is None)
    words, shown = ipywidgets.HTML(), picture()
    drawn: dict[tuple[int, str], tuple[str, bytes]] = {}
    accuracies: dict[tuple[int, str], float] = {}

    def show(_: object = None) -> None:
        chosen = (bits.value, layout.value)
        if chosen not in drawn:
            qparams = fit_qparams(weight, chosen[0], method=method, **LAYOUTS[chosen[1]][1])
            drawn[chosen] = (
                what_rounding_does(weight, qparams, chosen[1]),
                plots.to_png(plots.weight_histogram(weight, qparams)[0]),
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


def what_rounding_does(weight: Tensor, qparams: QuantParams, layout: str) -> str:
    """Errors and bytes of a rounded weight, in words; the integers are counted as packed without gaps."""
    lost, n = quantization_error(weight, qparams), weight.numel()
    integers, scales, before = math.ceil(n * qparams.bits / 8), _FLOAT * qparams.scale.numel(), _FLOAT * n
    return (
        f"{qparams.bits} bits, {LAYOUTS[layout][0]}: a weight moves by {lost.max_abs:.3g} at most, "
        f"by {lost.mean_abs:.3g} on average. {integers + scales:,} bytes ({integers:,} of weights, "
        f"{scales:,} of scales) in place of {before:,} in float32: {before / (integers + scales):.1f} times smaller."
    )


def _controls(at_once: bool) -> tuple[ipywidgets.IntSlider, ipywidgets.Dropdown]:
    """The slider and the dropdown; where an evaluation takes time, the slider waits until it is released."""
    look = control_style("4em")
    slider = ipywidgets.IntSlider(
        value=START, min=BITS[0], max=BITS[1], description="Bits", continuous_update=at_once, **look
    )
    options = [(called, name) for name, (called, _) in LAYOUTS.items()]
    return slider, ipywidgets.Dropdown(options=options, value="all", description="Scales", **look)
