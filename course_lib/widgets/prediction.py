"""Type a sentence and watch the prediction change; move the temperature and see the calibration change."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import ipywidgets
import numpy as np
from numpy.typing import ArrayLike

from course_lib import corpora, evaluation, plots
from course_lib.errors import BadInput
from course_lib.text.classifiers import Classifier
from course_lib.widgets.base import bar, control_style, error_message, live_box, message, sentence_line

MOST_BARS = 10
BEST, OTHER = "#2f6fb0", "#9fcbe8"  # colours of the bars
SENTIMENT = dict(enumerate(corpora.CLASSES))


def watch_prediction(
    classifier: Classifier, text: str = "I like the movie", names: Mapping[Any, str] | None = None
) -> ipywidgets.VBox:
    """A line to type in, and the model's probabilities, new after every letter.

    It never raises: what goes wrong is shown in place of the prediction. The shown label is
    `<span class="prediction-label">positive (0.97)</span>`.

    Args:
        classifier: has `predict_proba(list of texts)` and `classes_`.
        text: the sentence to begin with.
        names: class -> what to call it; left out, the classes 0 and 1 are called negative and positive.

    Returns:
        A box of the class `watch-prediction`: the line (children[0]) and the answer (children[1], HTML).
    """
    line = sentence_line(text)
    answer = ipywidgets.HTML(layout={"width": "min(100%, 640px)"})

    def show(_: object = None) -> None:
        answer.value = answer_to(line.value, classifier, names)

    return live_box("watch-prediction", [line], [answer], show)


def answer_to(text: str, classifier: Classifier, names: Mapping[Any, str] | None = None) -> str:
    """The HTML that answers to a sentence: label and bars, a request to type, or what went wrong."""
    if not text.strip():
        return _label("type a sentence")
    try:
        probabilities, called = _predict(text, classifier, names)
    except Exception as error:  # of any model, even an unfinished one: shown, not hidden
        return _label("no prediction") + error_message(error)
    best = int(probabilities.argmax())
    order = [int(i) for i in np.argsort(-probabilities, kind="stable")[:MOST_BARS]]
    bars = "".join(
        bar(called[i], float(probabilities[i]), f"{probabilities[i]:.1%}", colour=BEST if i == best else OTHER)
        for i in sorted(order)
    )
    return _label(f"{called[best]} ({probabilities[best]:.2f})") + bars


def class_names(classifier: Any, names: Mapping[Any, str] | None = None) -> dict[Any, str]:
    """What each class is called, in the model's order; without names, 0 and 1 are negative and positive.

    Raises:
        BadInput: the classifier was not trained.
    """
    if not hasattr(classifier, "classes_"):
        raise BadInput(f"this {type(classifier).__name__} has not been trained yet", "call its fit first")
    classes = [name.item() if isinstance(name, np.generic) else name for name in classifier.classes_]
    known = names if names is not None else SENTIMENT if classes == [0, 1] else {}
    return {name: str(known.get(name, name)) for name in classes}


def _predict(text: str, classifier: Classifier, names: Mapping[Any, str] | None) -> tuple[Any, list[str]]:
    """Probabilities (classes,) and what the classes are called."""
    called = list(class_names(classifier, names).values())
    return np.asarray(classifier.predict_proba([text]), dtype=np.float64)[0], called


def _label(words: str) -> str:
    return (
        '<div aria-live="polite" style="font-size:1.3em;margin:0.3em 0">'
        f'<span class="prediction-label">{escape(words)}</span></div>'
    )


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
    words, shown = ipywidgets.HTML(), ipywidgets.HTML()

    def show(_: object = None) -> None:
        tempered = evaluation.temper(probabilities, slider.value)
        found = evaluation.evaluate(tempered, labels)
        words.value = message(
            f"Temperature {slider.value:.2f}: ECE {found.ece:.3f}, log loss {found.log_loss:.3f} nats. "
            f"Accuracy {found.accuracy.estimate:.1%}, at every temperature."
        )
        shown.value = plots.to_html(plots.reliability(evaluation.calibration(tempered, labels)))

    return live_box("temperature-explorer", [slider], [words, shown], show)
