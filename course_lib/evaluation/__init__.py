"""How good is a model, how sure are we of that, and where does it fail?

Everything here works on arrays: probabilities, labels, ratings. It does not matter which model made them, and it does
not need torch. Its modules: `intervals` (how sure), `scores` (how good), `calibration` (is a model that is 90 % sure
right nine times in ten), `mistakes` (where it fails), `drift` (whether the texts have changed since), `rollout`
(whether a new version is as good), `selective` (which inputs a model should decline),
`detection` (boxes around objects), `roc` (how well scores separate two classes).
"""

from course_lib.evaluation.calibration import (
    Calibration,
    calibration,
    correct_prior,
    event_calibration,
    fit_temperature,
    temper,
)
from course_lib.evaluation.detection import box_iou, count_detections, non_max_suppression
from course_lib.evaluation.intervals import (
    Interval,
    bootstrap,
    cluster_bootstrap,
    over_seeds,
    paired_bootstrap,
    wilson_interval,
)
from course_lib.evaluation.mistakes import SLICES, by_rating, by_slice, hardest
from course_lib.evaluation.roc import auc, paired_auc
from course_lib.evaluation.scores import Evaluation, comparison, evaluate
from course_lib.evaluation.selective import nearest_similarity, risk_coverage, threshold_for_coverage

__all__ = [
    "SLICES",
    "Calibration",
    "Evaluation",
    "Interval",
    "auc",
    "bootstrap",
    "box_iou",
    "by_rating",
    "by_slice",
    "calibration",
    "cluster_bootstrap",
    "comparison",
    "correct_prior",
    "count_detections",
    "evaluate",
    "event_calibration",
    "fit_temperature",
    "hardest",
    "nearest_similarity",
    "non_max_suppression",
    "over_seeds",
    "paired_auc",
    "paired_bootstrap",
    "risk_coverage",
    "temper",
    "threshold_for_coverage",
    "wilson_interval",
]
