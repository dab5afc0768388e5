"""How well scores rank: the area under the ROC curve with its interval, and the difference of two models."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from course_lib.errors import BadInput
from course_lib.evaluation.drift import auc_shift, placements
from course_lib.evaluation.inputs import Floats, numbers, same_length
from course_lib.evaluation.intervals import Interval

_Z = float(stats.norm.ppf(0.975))


def auc(scores: ArrayLike, labels: ArrayLike) -> Interval:
    """Area under the ROC curve with DeLong's 95 % interval: the chance that a positive has the higher score.

    Args:
        scores: (n,) higher for what is more probably positive.
        labels: (n,) 1 for a positive, 0 for a negative; at least two of each.

    Raises:
        BadInput: other labels, fewer than two of a class, different lengths, or a score that is not finite.
    """
    values, positive = _checked(scores, labels)
    return auc_shift(values[~positive], values[positive])


def paired_auc(scores_a: ArrayLike, scores_b: ArrayLike, labels: ArrayLike) -> Interval:
    """AUC of `a` minus AUC of `b` on the same rows, with the 95 % interval of DeLong et al. (1988, Biometrics 44:837).

    It is narrower than two single intervals, because both models find the same rows hard. Arguments and errors are
    those of `auc`.
    """
    a, positive = _checked(scores_a, labels)
    b, _ = _checked(scores_b, labels)
    of_a, of_b = placements(a[~positive], a[positive]), placements(b[~positive], b[positive])
    for_positives, for_negatives = of_a[0] - of_b[0], of_a[1] - of_b[1]
    difference = float(for_positives.mean())
    variance = for_positives.var(ddof=1) / len(for_positives) + for_negatives.var(ddof=1) / len(for_negatives)
    half = _Z * float(np.sqrt(variance))
    return Interval(difference, difference - half, difference + half)


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    values, truth = numbers(scores, "scores"), numbers(labels, "labels")
    same_length(len(values), truth)
    if not np.isin(truth, (0, 1)).all():
        raise BadInput(
            f"labels hold {truth[~np.isin(truth, (0, 1))][0]:g}", "use 1 for a positive and 0 for a negative"
        )
    if min(truth.sum(), len(truth) - truth.sum()) < 2:
        raise BadInput(f"{int(truth.sum())} of {len(truth)} labels are positive", "pass at least two of each class")
    return values, truth == 1
