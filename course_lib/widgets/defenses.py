"""Type an attacked text and see what a model and its defended versions predict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets

from course_lib.errors import BadInput
from course_lib.text.classifiers import Classifier
from course_lib.widgets.base import bar, error_message, live_box, message, sentence_line
from course_lib.widgets.prediction import class_names


def watch_defense(
    models: Mapping[str, Classifier],
    normalize: Callable[[Sequence[str]], Sequence[str]],
    text: str = "The actign is resh and the sttory is Xonest.",
    names: Mapping[Any, str] | None = None,
) -> ipywidgets.VBox:
    """A line to type an attacked text in, the text as a defense reads it, and the prediction of each model.

    It never raises while somebody types: an error is shown in place of the predictions.

    Args:
        models: name -> a classifier of two classes with `predict_proba(list of texts)` and `classes_`.
        normalize: what the defense does to texts before its model reads them.
        text: the text to begin with.
        names: class -> its name; left out, the classes 0 and 1 are called negative and positive.

    Returns:
        A box of the class `watch-defense`: the line (children[0]) and the answer (children[1], HTML).

    Raises:
        BadInput: no model, or one that does not have two classes.
    """
    if not models or any(len(model.classes_) != 2 for model in models.values()):
        raise BadInput(f"the models are {list(models)}", "pass at least one model, each of two classes")
    line, answer = sentence_line(text), ipywidgets.HTML(layout={"width": "min(100%, 640px)"})
    last = list(class_names(next(iter(models.values())), names).values())[-1]

    def show(change: object = None) -> None:
        try:
            read = normalize([line.value])[0]
            rows = [(name, float(model.predict_proba([line.value])[0, 1])) for name, model in models.items()]
        except Exception as error:
            answer.value = error_message(error)
            return
        bars = "".join(bar(name, chance, f"{chance:.0%}") for name, chance in rows)
        answer.value = message(f"The defense reads: <b>{escape(read)}</b>") + f"<p>Probability of {last}:</p>{bars}"

    return live_box("watch-defense", [line], [answer], show)
