"""Which clients to refuse: the cost of a default and the threshold, and what both come to on past clients."""

from __future__ import annotations

import ipywidgets
import numpy as np
from numpy.typing import ArrayLike

from course_lib.cases.credit import cost_per_client
from course_lib.errors import BadInput
from course_lib.evaluation.inputs import numbers
from course_lib.plots import credit_costs, to_html
from course_lib.widgets.base import control_style, live_box, message

THRESHOLDS = np.linspace(0.01, 0.99, 99)


def credit_threshold(risk: ArrayLike, defaulted: ArrayLike, cost_default: float = 5.0) -> ipywidgets.VBox:
    """Sliders for the cost of a default and the threshold; below them the decisions in words, and the cost curve.

    Args:
        risk: (n,) predicted probabilities of a default.
        defaulted: (n,) 1 for a default, else 0.
        cost_default: to begin with, from 1 to 20 times the cost of a refused client who would have repaid.

    Returns:
        A box of the class `credit-threshold`: the cost (children[0]), the threshold (children[1]), the words
        (children[2], HTML) and the curve (children[3], a picture).

    Raises:
        BadInput: another cost, no client, lengths that differ, or what `cost_per_client` raises.
    """
    probability, bad = (numbers(one, name, "one number for each client")
                        for one, name in ((risk, "risk"), (defaulted, "defaulted")))  # fmt: skip
    if not isinstance(cost_default, int | float) or not 1 <= cost_default <= 20 or probability.shape != bad.shape:
        raise BadInput(
            f"a cost of {cost_default!r}, {len(probability)} risks and {len(bad)} outcomes",
            "use a cost from 1 to 20, and one risk and outcome for each client",
        )
    look = control_style("16em", "620px")
    cost = ipywidgets.FloatSlider(
        value=cost_default, min=1, max=20, step=0.5, description="Default / refused good client", **look
    )
    threshold = ipywidgets.FloatSlider(
        value=0.5, min=0.01, max=0.99, step=0.01, description="Refuse above a risk of", readout_format=".0%", **look
    )
    words, curve = ipywidgets.HTML(), ipywidgets.HTML()

    def show(_: object = None) -> None:
        costs = [cost_per_client(probability, bad, at, cost.value) for at in THRESHOLDS]
        words.value = threshold_words(probability, bad, threshold.value, cost.value)
        curve.value = to_html(credit_costs(THRESHOLDS, costs, threshold.value, 1 / (1 + cost.value)))

    return live_box("credit-threshold", [cost, threshold], [words, curve], show)


def threshold_words(risk: ArrayLike, defaulted: ArrayLike, threshold: float, cost_default: float) -> str:
    """The decisions at a threshold as HTML: refusals, defaults among the approved, cost, and the best threshold."""
    refused, bad, best = np.asarray(risk) > threshold, np.asarray(defaulted) == 1, 1 / (1 + cost_default)
    here, there = (cost_per_client(risk, defaulted, at, cost_default) for at in (threshold, best))
    approved = f"{bad[~refused].mean():.1%}" if (~refused).any() else "none"
    return (
        message(f"{refused.mean():.0%} of the clients are refused. The cost is {here:.3f} per client.")
        + f"<p>{(refused & ~bad).sum():,} refused clients would have repaid; of the approved, {approved} default. "
        f"For calibrated risks the best threshold is 1 / (1 + {cost_default:g}) = {best:.1%}, which costs {there:.3f}."
        "</p>"
    )
