"""Compression: take bits away from a matrix of weights; say how much accuracy you can lose and see what is left."""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets
import pandas as pd
from torch import Tensor

from course_lib import plots
from course_lib.compression.quantization import BITS, QuantParams, check_finite, fit_qparams, quantization_error
from course_lib.errors import BadInput
from course_lib.plots.compression import amount, measure_of
from course_lib.plots.style import check_columns, check_fractions
from course_lib.widgets.base import control_style, error_message, live_box, message

GROUP = 32  # neighbours in a row
LAYOUTS: dict[str, tuple[str, dict[str, Any]]] = {  # name -> what it is called, and the arguments of `fit_qparams`
    "all": ("one scale for the matrix", {}),
    "row": ("one scale for each row", {"axis": 0}),
    "group": (f"one scale for each group of {GROUP}", {"group_size": GROUP}),
}
START_BITS = 4
_FLOAT = 4  # bytes of a weight or a scale in float32

Evaluate = Callable[[int, str], float]


def bits_slider(weight: Tensor, evaluate: Evaluate | None = None) -> ipywidgets.VBox:
    """A slider for the bits, a choice of scales, what both do to the weights in numbers, and their histogram.

    An error in `evaluate` is shown instead of the accuracy; the setting is evaluated again when it is next chosen.

    Args:
        weight: a matrix (out, in), finite.
        evaluate: (bits, "all", "row" or "group") -> accuracy, from 0 to 1, of a model quantized like that. Each
            setting is evaluated once, when it is first chosen. With it, the slider reacts only when it is released.

    Returns:
        A box of the class `bits-slider`: slider (children[0]), dropdown (children[1]), words (children[2], HTML) and
        the picture.

    Raises:
        BadInput: no matrix of finite numbers.
    """
    if check_finite(weight, "weights").ndim != 2:
        raise BadInput(f"the weight has the shape {tuple(weight.shape)}", "give a matrix (out, in)")
    bits, layout = _controls(evaluate is None)
    words, shown = ipywidgets.HTML(), ipywidgets.HTML()
    drawn: dict[tuple[int, str], tuple[str, str]] = {}
    accuracies: dict[tuple[int, str], float] = {}

    def show(_: object = None) -> None:
        chosen = (bits.value, layout.value)
        if chosen not in drawn:
            qparams = fit_qparams(weight, chosen[0], **LAYOUTS[chosen[1]][1])
            drawn[chosen] = (
                what_rounding_does(weight, qparams, chosen[1]),
                plots.to_html(plots.weight_histogram(weight, qparams)[0]),
            )
        sentence, shown.value = drawn[chosen]
        if evaluate is not None and chosen not in accuracies:
            words.value = message(f"{sentence} The accuracy is being computed …")
            try:
                accuracies[chosen] = float(evaluate(*chosen))
            except Exception as trouble:  # of any model, even an unfinished one: shown, not hidden
                words.value = message(f"{sentence} There is no accuracy to show.") + error_message(trouble)
                return
        words.value = message(sentence + (f" Accuracy: {accuracies[chosen]:.1%}." if chosen in accuracies else ""))

    return live_box("bits-slider", [bits, layout], [words, shown], show)


def what_rounding_does(weight: Tensor, qparams: QuantParams, layout: str) -> str:
    """Errors and bytes of a rounded weight, in words; the integers are counted as packed without gaps."""
    lost, n = quantization_error(weight, qparams), weight.numel()
    integers, scales, before = math.ceil(n * qparams.bits / 8), _FLOAT * qparams.scale.numel(), _FLOAT * n
    return (
        f"{qparams.bits} bits, {LAYOUTS[layout][0]}: a weight moves by at most {lost.max_abs:.3g}, and by "
        f"{lost.mean_abs:.3g} on average. The matrix takes {integers + scales:,} bytes ({integers:,} for the weights, "
        f"{scales:,} for the scales) instead of {before:,}, which is {before / (integers + scales):.1f} times smaller."
    )


def _controls(at_once: bool) -> tuple[ipywidgets.IntSlider, ipywidgets.Dropdown]:
    """The slider and the dropdown; where an evaluation takes time, the slider waits until it is released."""
    look = control_style("4em")
    slider = ipywidgets.IntSlider(
        value=START_BITS, min=BITS[0], max=BITS[1], description="Bits", continuous_update=at_once, **look
    )
    options = [(called, name) for name, (called, _) in LAYOUTS.items()]
    return slider, ipywidgets.Dropdown(options=options, value="all", description="Scales", **look)


# ---- the Pareto front -----------------------------------------------------------------------------------------

X_AXES = {  # column -> what the dropdown calls it
    "megabytes": "megabytes",
    "median_ms": "latency (ms a text)",
    "texts_a_second": "texts a second",
}
START_LOSS = 1.0  # of accuracy
STEP = 0.1
_CLOSE = 1e-7  # points: a loss that is so near to the limit is within it


def pareto_explorer(table: pd.DataFrame, parent: str | None = None) -> ipywidgets.VBox:
    """A choice of the x axis, a slider for the accuracy to lose, what is left in words, and all models in a picture.

    Args:
        table: model, accuracy (0 to 1), megabytes, and median_ms or texts_a_second or both; accuracy's interval where
            it is known, as low and high. A row for each model.
        parent: the model whose accuracy is what can be lost; left out, the most accurate one.

    Returns:
        A box of the class `pareto-explorer`: dropdown (children[0]), slider (children[1]), words (children[2], HTML)
        and the picture.

    Raises:
        BadInput: no rows, a column is missing, two models of one name, a parent that is not there, an accuracy that is
            not from 0 to 1, or a size or time that is not above 0.
    """
    axes = _checked(table)
    top = _accuracy_of(table, parent)
    most = max(START_LOSS, float(math.ceil(round(100 * (top - float(table["accuracy"].min())), 6))))
    look = control_style()
    x = ipywidgets.Dropdown(options=[(X_AXES[axis], axis) for axis in axes], description="Compare by", **look)
    points = ipywidgets.FloatSlider(
        value=START_LOSS, min=0.0, max=most, step=STEP, readout_format=".1f",
        description="Points of accuracy that I can lose", **look,
    )  # fmt: skip
    words, shown = ipywidgets.HTML(), ipywidgets.HTML()

    def show(_: object = None) -> None:
        floor = top - points.value / 100
        sentence = what_is_left(table, points.value, top, x.value)
        words.value = message(escape(sentence))
        shown.value = plots.to_html(plots.pareto(table, x.value, floor=floor))

    return live_box("pareto-explorer", [x, points], [words, shown], show)


def what_is_left(table: pd.DataFrame, points: float, top: float, x: str = "megabytes") -> str:
    """The smallest and the fastest of the models that lose no more than so many points, in one sentence.

    Args:
        table: as for `pareto_explorer`.
        points: of accuracy that may be lost.
        top: the accuracy that they are counted from.
        x: with `texts_a_second` the fastest on many texts is named; else the fastest on one, where that is known.
    """
    left = table[100 * (top - table["accuracy"]) <= points + _CLOSE]
    allowed = f"{points:.1f} {'point' if f'{points:.1f}' == '1.0' else 'points'}"
    if left.empty:
        return f"None of {len(table)} models loses {allowed} or less."
    speed = "median_ms" if "median_ms" in table and x != "texts_a_second" else "texts_a_second"
    smallest, fastest = (_best(left, column) for column in ("megabytes", speed))
    some = f"{len(left)} of {len(table)} models {'loses' if len(left) == 1 else 'lose'} {allowed} or less"
    size, time = amount("megabytes", smallest["megabytes"]), amount(speed, fastest[speed])
    if smallest["model"] == fastest["model"]:
        return f"{some}: {smallest['model']} is the smallest ({size}) and the fastest ({time}), {_right(smallest)}."
    return (
        f"{some}: the smallest is {smallest['model']} ({size}, {_right(smallest)}), "
        f"the fastest is {fastest['model']} ({time}, {_right(fastest)})."
    )


def _best(rows: pd.DataFrame, column: str) -> pd.Series:
    """The row at the good end of a column; of equal ones the most accurate."""
    ordered = rows.sort_values([column, "accuracy"], ascending=[measure_of(column).better == "low", False])
    return ordered.iloc[0]


def _right(row: pd.Series) -> str:
    return f"accuracy {row['accuracy']:.1%}"


def _checked(table: pd.DataFrame) -> list[str]:
    """The x axes that the table has."""
    check_fractions(check_columns(table, "model", "accuracy", "megabytes"), "accuracy")
    axes = [column for column in X_AXES if column in table]
    if len(axes) < 2:
        raise BadInput("the table does not say how fast the models are", "add the column median_ms or texts_a_second")
    if table["model"].duplicated().any():
        twice = table["model"][table["model"].duplicated()].iloc[0]
        raise BadInput(f"model {twice!r} occurs twice", "give each model a name of its own")
    for column in axes:
        if not ((table[column] > 0) & (table[column] < math.inf)).all():
            raise BadInput(f"{column} is {table[column].tolist()}", "pass numbers above 0, without gaps")
    return axes


def _accuracy_of(table: pd.DataFrame, parent: str | None) -> float:
    if parent is None:
        return float(table["accuracy"].max())
    found = table[table["model"] == parent]["accuracy"]
    if found.empty:
        raise BadInput(f"there is no model {parent!r}", f"name one of {table['model'].tolist()}")
    return float(found.iloc[0])
