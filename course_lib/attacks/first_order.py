"""The first-order gain of every word substitution, beside its true gain."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from course_lib.attacks.constraints import STOP_WORDS
from course_lib.attacks.goals import Untargeted
from course_lib.attacks.transformations import Synonyms, Transformation
from course_lib.attacks.victim import VictimModel
from course_lib.errors import BadInput
from course_lib.text.document import Document


def exchange_gains(
    classifier: Any, text: str, label: Any, transformation: Transformation | None = None, seed: int = 0
) -> pd.DataFrame:
    """First-order and true gain in loss of every substitution of one word.

    The first costs one backward pass for all of them, the second one query for each.

    Args:
        classifier: a fitted `TextClassifier`.
        text: with at least one word that may be replaced; stop words stay.
        label: the true one.
        transformation: makes the candidates; synonyms when left out.
        seed: of the transformation's draws.

    Returns:
        position, old, new, predicted and true (both in nats), a row for each substitution.

    Raises:
        BadInput: a label that is not a class of the model, no word that may be replaced, or a model without gradients.
    """
    victim, document = VictimModel(classifier, Untargeted()), Document.of(text)
    victim.check_gradients()
    (column,) = victim.columns([label], 1)
    (gradient,) = victim.gradients([document], [column])
    (substitutes,) = (transformation or Synonyms()).prepare(victim, [document])
    rng, rows = random.Random(seed), list[tuple[int, str, str, float]]()
    # -log p has the gradient of the log-odds times 1 - p.
    wrong = float(expit(gradient.log_odds))
    for position, old in enumerate(document.words):
        if old.lower() not in STOP_WORDS:
            words, gains = substitutes.ranked(gradient, document, position, rng)
            rows += [(position, old, new, wrong * float(gain)) for new, gain in zip(words, gains, strict=True)]
    if not rows:
        raise BadInput(f"no word of {text!r:.80} has a candidate", "give a text with more words")
    table = pd.DataFrame(rows, columns=["position", "old", "new", "predicted"])
    changed = [document.replace(position, new).text for position, _, new, _ in rows]
    losses = -np.log(np.maximum(victim.query([text, *changed])[:, column].astype(np.float64), 1e-12))
    return table.assign(true=losses[1:] - losses[0])
