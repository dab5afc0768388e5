"""How sure must a model be to answer? A slider for the coverage, and how many answers are wrong in each group."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import ipywidgets
import numpy as np
from numpy.typing import ArrayLike

from course_lib.errors import BadInput
from course_lib.evaluation import threshold_for_coverage, wilson_interval
from course_lib.evaluation.inputs import numbers
from course_lib.widgets.base import bar, control_style, live_box, message

Group = tuple[ArrayLike, ArrayLike]  # of n rows: confidence, and whether the prediction is right


def abstention_slider(validation: Group, groups: Mapping[str, Group], coverage: float = 0.9) -> ipywidgets.VBox:
    """A slider for the fraction of the validation rows that is answered, and what follows from it elsewhere.

    Args:
        validation: confidence and correctness of the rows on which the threshold is chosen.
        groups: name -> the same of other rows.
        coverage: to begin with, from 0.05 to 1.

    Returns:
        A box of the class `abstention-slider`: slider (children[0]) and counts (children[1], HTML).

    Raises:
        BadInput: a coverage outside of that range, a confidence that is no number from 0 to 1, or a group whose two
            lists differ in length.
    """
    if not 0.05 <= coverage <= 1:
        raise BadInput(f"coverage is {coverage}", "use a fraction from 0.05 to 1")
    everyone = {
        name: (numbers(sure, f"confidence of {name}"), np.asarray(right, dtype=bool))
        for name, (sure, right) in {"validation": validation, **groups}.items()
    }
    for name, (sure, right) in everyone.items():
        if len(sure) != len(right):
            raise BadInput(f"{name} has {len(sure)} confidences and {len(right)} results", "give one of each for a row")
        if not (sure.min() >= 0 and sure.max() <= 1):
            raise BadInput(
                f"confidences of {name} go from {sure.min():g} to {sure.max():g}", "give fractions of 0 to 1"
            )
    slider = ipywidgets.FloatSlider(
        value=coverage, min=0.05, max=1.0, step=0.05, readout_format=".0%", description="Answered (validation)",
        **control_style(),
    )  # fmt: skip
    counts = ipywidgets.HTML()

    def show(_: object = None) -> None:
        threshold = threshold_for_coverage(everyone["validation"][0], slider.value)
        rows = "".join(_row(name, *group, threshold) for name, group in everyone.items())
        counts.value = message(f"The model answers if its confidence is at least {threshold:.3f}.") + rows

    return live_box("abstention-slider", [slider], [counts], show)


def _row(name: str, sure: np.ndarray, right: np.ndarray, threshold: float) -> str:
    """Bars of one group: the fraction that is answered, and the fraction of the answers that is wrong."""
    answered = sure >= threshold
    n, wrong = int(answered.sum()), int((answered & ~right).sum())
    head = f'<p style="margin:0.8em 0 0"><b>{escape(name)}</b>: {n:,} of {len(sure):,} answered, {wrong:,} wrong'
    if not n:
        return f"{head}.</p>"
    rate = wilson_interval(wrong, n)
    bars = bar("answered", n / len(sure), f"{n / len(sure):.0%}") + bar(
        "wrong", wrong / n, f"{wrong / n:.0%}", colour="#a3322b"
    )
    return f"{head} (95 % interval of the error rate: {rate.low:.1%} to {rate.high:.1%}).</p>{bars}"
