"""Move sliders over runs that were computed before, and see how each ended.

It says in words what went wrong with a learning rate or a number of epochs.
"""

from __future__ import annotations

from html import escape
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from course_lib import plots
from course_lib.errors import BadInput
from course_lib.widgets.base import control_style, live_box, message

CLOSE = 0.01  # within one point of the best run: too small a difference to mention on small validation sets
STUCK = 0.95  # a loss that ends above this fraction of its start did not fall
COLUMNS = ("learning_rate", "epochs", "step", "train_loss", "validation_accuracy")


def compare_runs(curves: pd.DataFrame) -> ipywidgets.VBox:
    """Two sliders, learning rate and epochs, over stored runs; the chosen one stands out of all the others.

    Args:
        curves: learning_rate, epochs, step, train_loss (nats), validation_accuracy; a run is one pair of the
            first two, a row one step of it. Loss and accuracy may have gaps.

    Returns:
        A box of the class `compare-runs`: sliders (children[0] and [1]), words (children[2], HTML) and the
        picture.

    Raises:
        BadInput: a column is missing, or there is no run.
    """
    missing = [name for name in COLUMNS if name not in curves]
    if missing or curves.empty:
        raise BadInput(
            f"the curves have {len(curves)} rows and the columns {[str(name) for name in curves]}",
            f"pass at least one run, with the columns {list(COLUMNS)}",
        )
    rate = _slider("Learning rate", curves["learning_rate"])
    epochs = _slider("Epochs", curves["epochs"])
    words, shown = ipywidgets.HTML(), ipywidgets.HTML()

    def show(_: object = None) -> None:
        chosen = {"learning_rate": rate.value, "epochs": epochs.value}
        words.value = message(escape(diagnose(curves, **chosen)))
        shown.value = plots.to_html(plots.stored_curves(curves, chosen)[0])

    return live_box("compare-runs", [rate, epochs], [words, shown], show)


def diagnose(curves: pd.DataFrame, learning_rate: float, epochs: float) -> str:
    """How a run ended and, where it went wrong, why: it diverged, did not learn, or overfitted.

    Args:
        curves: as for `compare_runs`.
        learning_rate: of the run.
        epochs: of the run.
    """
    run = _run(curves, learning_rate, epochs)
    name = f"Learning rate {learning_rate:g}, {epochs:g} {'epoch' if epochs == 1 else 'epochs'}"
    if run.empty:
        return f"{name}: no such run was stored. Move a slider to one that was."
    lost = run[np.isinf(run["train_loss"])]["step"]
    if len(lost):
        return f"{name}: it diverged. From step {lost.min():.0f} on the loss is infinite: the rate is far too high."
    accuracy = run["validation_accuracy"].dropna()
    if accuracy.empty:
        last = run["step"].max()
        return f"{name}: it was interrupted at step {last:.0f}, before any validation. A diverging loss does that."
    return f"{name}: {accuracy.iloc[-1]:.1%} of the validation sentences are right. {_why(curves, run, accuracy)}"


def _why(curves: pd.DataFrame, run: pd.DataFrame, accuracy: pd.Series[Any]) -> str:
    best, best_rate, best_epochs = _best(curves)
    rate, final = run["learning_rate"].iloc[0], accuracy.iloc[-1]
    loss = run["train_loss"].dropna()
    if len(loss) > 1 and _end(loss) > STUCK * loss.iloc[0]:
        reason = "so large that each one undoes the last" if rate > best_rate else "too small"
        return f"The loss did not fall: most likely the steps are {reason}. The best run has the rate {best_rate:g}."
    if accuracy.max() - final >= CLOSE:
        return (
            f"Earlier it was {accuracy.max():.1%}: the model overfits, that is, it memorizes the training sentences. "
            "Stop earlier."
        )
    if best - final < CLOSE:
        return "This is among the best of these runs."
    advice = "lower the rate" if rate > best_rate else "raise the rate"
    if rate == best_rate:
        advice = "train longer" if run["epochs"].iloc[0] < best_epochs else "train for fewer epochs"
    return f"The best run has {best:.1%}, with the learning rate {best_rate:g} and {best_epochs:g} epochs: {advice}."


def _best(curves: pd.DataFrame) -> tuple[float, float, float]:
    """Best final accuracy of all runs, and the learning rate and epochs that gave it."""
    finals = curves.dropna(subset=["validation_accuracy"]).sort_values("step").groupby(["learning_rate", "epochs"])
    last = finals["validation_accuracy"].last()
    rate, epochs = last.idxmax()
    return float(last.max()), float(rate), float(epochs)


def _end(loss: pd.Series[Any]) -> float:
    """Mean of the last tenth: single rows are noisy."""
    return float(loss.iloc[-max(1, len(loss) // 10) :].mean())


def _run(curves: pd.DataFrame, learning_rate: float, epochs: float) -> pd.DataFrame:
    mine = (curves["learning_rate"] == learning_rate) & (curves["epochs"] == epochs)
    return curves[mine].sort_values("step")


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _slider(name: str, values: pd.Series[Any]) -> ipywidgets.SelectionSlider:
    options = [(_text(value), value) for value in sorted(values.unique().tolist())]
    return ipywidgets.SelectionSlider(
        options=options, value=options[len(options) // 2][1], description=name, **control_style("7em")
    )
