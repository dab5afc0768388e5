"""What the gradient promises of every exchange of a word, beside what the exchange does."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pandas as pd

from course_lib.attacks.constraints import STOP_WORDS
from course_lib.attacks.document import Document
from course_lib.attacks.goals import Untargeted
from course_lib.attacks.transformations import Synonyms, Transformation
from course_lib.attacks.view import View
from course_lib.errors import BadInput


def exchange_gains(
    classifier: Any, text: str, label: Any, transformation: Transformation | None = None, seed: int = 0
) -> pd.DataFrame:
    """Every exchange of one word of a text: its first-order gain in loss, and its true one.

    The first costs one backward pass for all of them, the second a question for each.

    Args:
        classifier: a fitted `TextClassifier`.
        text: with at least one word that may be exchanged; stop words stay.
        label: the true one.
        transformation: makes the candidates; synonyms when left out.
        seed: of the transformation's draws.

    Returns:
        position, old, new, promised and true (both in nats), a row for each exchange.

    Raises:
        BadInput: a label that the classifier does not know, nothing to exchange, or a model without gradients.
    """
    view, document = View(classifier, Untargeted()), Document.of(text)
    if label not in classifier.classes_.tolist():
        raise BadInput(f"the model does not know the label {label!r}", f"use one of {classifier.classes_.tolist()}")
    column = int(np.searchsorted(classifier.classes_, label))
    (slope,) = view.slopes([document], [column])
    (substitutes,) = (transformation or Synonyms()).prepare(view, [document])
    draw, rows = random.Random(seed), list[tuple[int, str, str, float]]()
    for position, old in enumerate(document.words):
        if old.lower() not in STOP_WORDS:
            words, gains = substitutes.ranked(slope, document, position, draw)
            rows += [(position, old, new, float(gain)) for new, gain in zip(words, gains, strict=True)]
    if not rows:
        raise BadInput(f"no word of {text!r:.80} has a candidate", "give a text with more words")
    table = pd.DataFrame(rows, columns=["position", "old", "new", "promised"])
    changed = [document.replace(position, new).text for position, _, new, _ in rows]
    losses = -np.log(np.maximum(view.ask([text, *changed])[:, column].astype(np.float64), 1e-12))
    return table.assign(true=losses[1:] - losses[0])
