"""Why this class and not that one. People ask so (Miller 2019, arXiv:1706.07269, section 2), and such an explanation
leaves out what speaks for both classes (Jacovi et al. 2021, arXiv:2103.01378).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from course_lib.batching import check_texts
from course_lib.errors import BadInput
from course_lib.explain.attribution import Attribution
from course_lib.explain.methods import explain
from course_lib.text.classifiers import check_classifier, check_scores, columns_of, predict_unique


def contrast(
    classifier: Any,
    texts: Sequence[str],
    why: Any = None,
    why_not: Any = None,
    *,
    method: str = "shap",
    **settings: Any,
) -> list[Attribution]:
    """Scores for each text how much each word contributes to one class rather than to another.

    The output is log p(why) - log p(why_not), the `log-odds` of why among the two; above 0 it is more probable.

    Args:
        classifier: as for `explain`; with probabilities alone, log p is cut off near 0 and 1 as in `explain`.
        texts: n strings.
        why: the class, a list of n of them, or None for the most probable class of each text.
        why_not: the foil in the same ways; None is the most probable of the others.
        method: of `METHODS`; attention speaks for no class.
        settings: as for `explain`, but for target and output.

    Raises:
        BadInput: the same class twice, a method that speaks for no class, and what `explain` raises.
    """
    for name in ("target", "foil", "output"):
        if name in settings:
            raise BadInput(f"{name} is {settings[name]!r}", f"leave {name} out: why and why_not say what is explained")
    check_classifier(classifier)
    rows = check_texts(texts)
    if len(classifier.classes_) < 2:
        raise BadInput("the classifier has one class", "contrast needs two")
    if not rows:
        return []
    columns = {name: columns_of(classifier.classes_, one, len(rows), name)
               for name, one in (("why", why), ("why_not", why_not)) if one is not None}  # fmt: skip
    if len(columns) < 2:
        scores = predict_unique(lambda part: check_scores(classifier, classifier.predict_proba(part), len(part)), rows)
        for named in columns.values():
            scores[np.arange(len(rows)), named] = -1
        most_probable = iter(np.argsort(-scores, axis=1, kind="stable").T)
        for name in ("why", "why_not"):
            if name not in columns:
                columns[name] = next(most_probable)
    target, foil = (classifier.classes_[columns[name]] for name in ("why", "why_not"))
    return explain(classifier, rows, method, target=target, foil=foil, output="log-odds", **settings)
