"""How much traffic shows that a new version is worse, and how many users see its predictions until then?"""

from __future__ import annotations

import ipywidgets
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from course_lib import plots
from course_lib.errors import BadInput
from course_lib.evaluation import wilson_interval
from course_lib.evaluation.rollout import POWER, Rollout, paired_difference, plan_rollout, unpaired_difference
from course_lib.widgets.base import control_style, live_box, message

FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
HOURS = (1, 2, 4, 8, 24, 72, 168)
LOOK_FOR = (
    "Compare the widths: on as many texts, the interval of a shadow is narrower, since both versions predict them."
)


def canary_slider(
    stable: ArrayLike, candidate: ArrayLike, labels: ArrayLike, texts_per_hour: int = 1000, seed: int = 0
) -> ipywidgets.VBox:
    """Sliders for the candidate's fraction of the traffic and the hours, and what a canary and a shadow then show.

    Each interval is shown twice: as the formula expects it, and from real predictions, of which as many are drawn with
    replacement as the trial would see. All texts of the trial count as labelled.

    Args:
        stable: (n,) predictions of the version in use on a labelled test set.
        candidate: (n,) predictions of the new version on the same texts.
        labels: (n,) the correct ones.
        texts_per_hour: of the service.
        seed: of the draws.

    Returns:
        A box of the class `canary-slider`: fraction (children[0]), hours (children[1]), words (children[2], HTML) and
        the picture (children[3]).

    Raises:
        BadInput: arrays that are empty or of different lengths, or no traffic.
    """
    trial = _Trial(stable, candidate, labels, texts_per_hour, seed)
    fraction = ipywidgets.SelectionSlider(
        options=[(f"{one:.0%}", one) for one in FRACTIONS], value=0.1, description="Traffic of the candidate",
        **control_style(),
    )  # fmt: skip
    hours = ipywidgets.SelectionSlider(options=HOURS, value=8, description="Hours", **control_style())
    words, shown = ipywidgets.HTML(layout={"width": "min(100%, 760px)"}), ipywidgets.HTML()

    def show(_: object = None) -> None:
        table = trial.intervals(fraction.value, hours.value)
        words.value = trial.words(fraction.value, hours.value)
        title = f"Candidate minus stable after {hours.value} hours at {fraction.value:.0%} of the traffic"
        shown.value = plots.to_html(plots.forest(table, "difference of accuracy (percentage points)", title))

    return live_box("canary-slider", [fraction, hours], [words, shown], show)


class _Trial:
    """The predictions of two versions, and what a trial of the second one finds."""

    def __init__(
        self, stable: ArrayLike, candidate: ArrayLike, labels: ArrayLike, texts_per_hour: int, seed: int
    ) -> None:
        old, new, truth = (np.asarray(values) for values in (stable, candidate, labels))
        if not len(truth) or not old.shape == new.shape == truth.shape == (len(truth),) or texts_per_hour < 1:
            raise BadInput(
                f"predictions of the shapes {old.shape} and {new.shape} for {truth.shape} labels, {texts_per_hour} "
                "texts an hour", "pass as many predictions of both versions as labels, and traffic",
            )  # fmt: skip
        self.old: NDArray[np.bool_] = old == truth
        self.new: NDArray[np.bool_] = new == truth
        self.agree: NDArray[np.bool_] = old == new
        self.texts_per_hour, self.seed = texts_per_hour, seed

    def plan(self, fraction: float, hours: float, shadow: bool) -> Rollout:
        """What the formula expects."""
        return plan_rollout(
            float(np.mean(self.old & self.new)), float(np.mean(self.old & ~self.new)),
            float(np.mean(~self.old & self.new)), self.texts_per_hour, fraction, hours,
            "shadow" if shadow else "canary",
        )  # fmt: skip

    def intervals(self, fraction: float, hours: float) -> pd.DataFrame:
        """Name, estimate, low and high in percentage points: canary and shadow, by formula and drawn."""
        draw, rows = np.random.default_rng(self.seed), []
        difference = float(self.new.mean() - self.old.mean())
        for shadow in (False, True):
            half, name = self.plan(fraction, hours, shadow).half_width, "shadow" if shadow else "canary"
            rows.append((f"{name}, by the formula", difference, difference - half, difference + half))
            n = max(1, round(self.texts_per_hour * fraction * hours))
            mine = draw.integers(0, len(self.new), n)
            if shadow:
                only_new, only_old = self.new[mine] & ~self.old[mine], self.old[mine] & ~self.new[mine]
                found = paired_difference(int(only_new.sum()), int(only_old.sum()), n)
            else:
                rest = draw.integers(0, len(self.old), max(1, round(self.texts_per_hour * hours) - n))
                found = unpaired_difference(int(self.new[mine].sum()), n, int(self.old[rest].sum()), len(rest))
            rows.append((f"{name}, real predictions", found.estimate, found.low, found.high))
        table = pd.DataFrame(rows, columns=["name", "estimate", "low", "high"])
        table[["estimate", "low", "high"]] *= 100
        return table

    def words(self, fraction: float, hours: float) -> str:
        """Texts, users and hours, as HTML."""
        canary, shadow = (self.plan(fraction, hours, shadow) for shadow in (False, True))
        agree = wilson_interval(int(self.agree.sum()), len(self.agree))
        difference = 100 * float(self.new.mean() - self.old.mean())
        noticed = (
            f"To notice {abs(difference):.1f} percentage points with a probability of {POWER:.0%}, the canary takes "
            f"{_hours(canary.hours_to_notice)} and {canary.users_until_noticed:,.0f} users get its predictions; the "
            f"shadow takes {_hours(shadow.hours_to_notice)}, and no user gets them."
            if difference
            else "Both versions have the same accuracy on the test set: there is no difference to notice."
        )
        return (
            message(f"The candidate predicts {canary.texts:,.0f} texts. {noticed}")
            + f"<p>{LOOK_FOR} Without labels, a shadow still shows how often the versions agree: on "
            f"{agree.estimate:.1%} of the test set (95 % interval {agree.low:.1%} to {agree.high:.1%}).</p>"
        )


def _hours(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours < 48 else f"{hours / 24:,.0f} days"
