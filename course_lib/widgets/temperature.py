"""Move the temperature and see a model become more, or less, sure of itself."""

from __future__ import annotations

import ipywidgets
from numpy.typing import ArrayLike

from course_lib import evaluation, plots
from course_lib.widgets.base import control_style, live_box, message, picture


def calibration_explorer(probabilities: ArrayLike, labels: ArrayLike) -> ipywidgets.VBox:
    """A slider for the temperature, the reliability plot, and what the temperature does to ECE and log loss.

    Args:
        probabilities: (n, classes) of held-out sentences, rows sum to 1.
        labels: (n,) column numbers.

    Returns:
        A box of the class `temperature-explorer`: slider (children[0]), words (children[1], HTML) and the
        picture.

    Raises:
        BadInput: lengths differ, rows do not sum to 1, NaN, unknown labels, or nothing there.
    """
    slider = ipywidgets.FloatSlider(
        value=1.0, min=0.25, max=4.0, step=0.05, description="Temperature", **control_style()
    )  # fmt: skip
    words, shown = ipywidgets.HTML(), picture()

    def show(_: object = None) -> None:
        tempered = evaluation.temper(probabilities, slider.value)
        found = evaluation.evaluate(tempered, labels)
        words.value = message(
            f"Temperature {slider.value:.2f}: ECE {found.ece:.3f}, log loss {found.log_loss:.3f} nats. "
            f"Accuracy {found.accuracy.estimate:.1%}, at every temperature."
        )
        shown.value = plots.to_png(plots.reliability(evaluation.calibration(tempered, labels)))

    return live_box("temperature-explorer", [slider], [words, shown], show)
