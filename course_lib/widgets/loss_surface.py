"""Widen the ball around a text and see how high the loss can climb in it."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets
import numpy as np

from course_lib import plots
from course_lib.attacks.pgd import LossSurface
from course_lib.errors import BadInput
from course_lib.widgets.base import control_style, live_box, message, picture

RADII = 21  # positions of the slider where none are given


def loss_surface_explorer(surface: LossSurface, epsilons: Sequence[float] | None = None) -> ipywidgets.VBox:
    """A slider for epsilon, the picture of the loss with the ball of that radius, and what is highest in it, in words.

    Args:
        surface: loss and probability around a text.
        epsilons: the slider's positions; left out, some from 0 to the grid's reach.

    Returns:
        A box of the class `loss-surface`: slider (children[0]), words (children[1], HTML) and the picture.

    Raises:
        BadInput: an epsilon that is negative or no number, or fewer than two of them.
    """
    radii = _radii(surface, epsilons)
    slider = ipywidgets.SelectionSlider(
        options=[(f"{radius:.3g}", radius) for radius in radii], value=radii[len(radii) // 2], description="Epsilon",
        **control_style(),
    )  # fmt: skip
    words, shown = ipywidgets.HTML(), picture()

    def show(_: object = None) -> None:
        words.value = message(in_the_ball(surface, slider.value))
        shown.value = plots.to_png(plots.loss_surface(surface, slider.value))

    return live_box("loss-surface", [slider], [words, shown], show)


def in_the_ball(surface: LossSurface, epsilon: float) -> str:
    """The loss and the probability at the text and at the highest point of the ball, in words."""
    start, top = surface.start, surface.highest(epsilon)
    here = f"loss {surface.loss[start]:.2f} nats, the true class has {surface.probability[start]:.1%}"
    if top == start:
        return f"Epsilon {epsilon:.3g}: nothing in the ball is higher than the text itself ({here})."
    along, across = surface.position(top)
    return (
        f"Epsilon {epsilon:.3g}: from the text itself ({here}) the loss can climb to {surface.loss[top]:.2f} nats, "
        f"where the true class has {surface.probability[top]:.1%}; that is {along:.3g} along the gradient, "
        f"{across:.3g} across."
    )


def _radii(surface: LossSurface, epsilons: Sequence[float] | None) -> list[float]:
    radii = sorted(set(np.linspace(0, surface.reach, RADII).tolist() if epsilons is None else epsilons))
    if len(radii) < 2 or not all(0 <= radius < np.inf for radius in radii):
        raise BadInput(f"the epsilons are {radii}", "pass two or more, none below 0")
    return radii
