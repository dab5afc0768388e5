"""Type a sentence to a home assistant, and move the threshold below which it asks a human."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets
import numpy as np

from course_lib.batching import check_texts
from course_lib.errors import BadInput
from course_lib.evaluation import nearest_similarity
from course_lib.text.classifiers import Classifier
from course_lib.widgets.base import bar, control_style, error_message, live_box, message, sentence_line


def act_or_ask(
    classifier: Classifier,
    vectors: Callable[[Sequence[str]], np.ndarray],
    texts: Sequence[str],
    threshold: float = 0.8,
    text: str = "switch on the lamp in the kitchen",
) -> ipywidgets.VBox:
    """A sentence line and a slider for the threshold of similarity; below them, what the assistant would do.

    Args:
        classifier: of intents, with `predict_proba(list of texts)` and `classes_`.
        vectors: turns n texts into vectors (n, width).
        texts: the training sentences, among which the nearest is searched.
        threshold: cosine similarity to begin with, from 0 to 1.
        text: the sentence to begin with.

    Returns:
        A box of the class `act-or-ask`: the line (children[0]), the slider (children[1]) and the decision (children[2],
        HTML).

    Raises:
        BadInput: `texts` is no list of strings, or it is empty; the threshold is not a number between 0 and 1.
    """
    if not (texts := check_texts(texts)) or not isinstance(threshold, float | int) or not 0 <= threshold <= 1:
        what = f"{len(texts)} training sentences and the threshold {threshold!r}"
        raise BadInput(what, "give at least one sentence, and a number from 0 to 1")
    known = np.asarray(vectors(list(texts)))
    line = sentence_line(text)
    slider = ipywidgets.FloatSlider(
        value=threshold, min=0, max=1, step=0.01, description="Ask a human below", **control_style(width="640px")
    )
    decision = ipywidgets.HTML(layout={"width": "min(100%, 720px)"})

    def show(_: object = None) -> None:
        if not line.value.strip():
            decision.value = message("Type a sentence.")
            return
        try:
            decision.value = _decision(line.value, classifier, vectors, texts, known, slider.value)
        except Exception as error:  # of any model: shown, not hidden
            decision.value = message("There is no decision.") + error_message(error)

    return live_box("act-or-ask", [line, slider], [decision], show)


def _decision(text: str, classifier: Any, vectors: Any, texts: Any, known: np.ndarray, threshold: float) -> str:
    probabilities = np.asarray(classifier.predict_proba([text]))[0]
    best, vector = int(probabilities.argmax()), np.asarray(vectors([text]))
    intent, similarity = str(classifier.classes_[best]), float(nearest_similarity(vector, known)[0])
    unit = known / np.linalg.norm(known, axis=1, keepdims=True)
    nearest = texts[int((unit @ vector[0]).argmax())]
    acts = similarity >= threshold
    verdict = f"The assistant acts: <b>{escape(intent)}</b>." if acts else "The assistant asks a human."
    bars = bar(f"probability of {intent}", float(probabilities[best]), f"{probabilities[best]:.2f}")
    bars += bar("similarity", max(similarity, 0.0), f"{similarity:.2f}", bold=True)
    return f"{message(verdict)}{bars}<p>Nearest training sentence: {escape(nearest)}</p>"
