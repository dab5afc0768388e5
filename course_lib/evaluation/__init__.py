"""How good is a model, how sure are we of that, and where does it fail?

Everything here works on arrays: probabilities, labels, ratings. It does not matter which model made them, and it does
not need torch. Six modules: `intervals` (how sure), `scores` (how good), `calibration` (is a model that is 90 % sure
right nine times in ten), `mistakes` (where it fails), `drift` (whether the texts have changed since), `rollout`
(whether a new version is as good).
"""

from course_lib.evaluation.calibration import Calibration, calibration, fit_temperature, temper
from course_lib.evaluation.intervals import Interval, bootstrap, over_seeds, paired_bootstrap, wilson_interval
from course_lib.evaluation.mistakes import SLICES, by_rating, by_slice, hardest
from course_lib.evaluation.scores import Evaluation, comparison, evaluate

__all__ = [
    "SLICES",
    "Calibration",
    "Evaluation",
    "Interval",
    "bootstrap",
    "by_rating",
    "by_slice",
    "calibration",
    "comparison",
    "evaluate",
    "fit_temperature",
    "hardest",
    "over_seeds",
    "paired_bootstrap",
    "temper",
    "wilson_interval",
]
