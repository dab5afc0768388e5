"""Type a text and see which words several methods hold responsible for what the model says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets
import numpy as np

from course_lib import plots
from course_lib.errors import BadInput
from course_lib.explain import METHODS, Attribution, explain
from course_lib.plots.scored_text import decimals, describe_error, format_score
from course_lib.text.classifiers import Classifier
from course_lib.widgets.base import CourseBox, error_message, message
from course_lib.widgets.prediction import class_names

Settings = Mapping[str, Any]
Outcome = Attribution | Exception  # the explanation of a method, or its error


def explain_text(
    classifier: Classifier,
    methods: Sequence[str] | Mapping[str, Settings] = ("lime", "shap", "occlusion"),
    text: str = "I like this movie because the actors are good.",
    names: Mapping[Any, str] | None = None,
) -> ipywidgets.VBox:
    """A line to type in, a box to tick for each method, a button, and a heat map of the words by each ticked method.

    The text is explained when Enter is pressed in the line, when the line is left, or by the button. Each method runs
    once for each text; ticking shows and hides. The error of a method that fails is shown below the others.

    Args:
        classifier: has `predict_proba(list of texts)` and `classes_`; gradients and attention need a `TextClassifier`.
        methods: names of `explain.METHODS`, or each with its settings, as for `explain.explain`.
        text: to begin with; it is explained at once.
        names: class -> what to call it; left out, the classes 0 and 1 are called negative and positive.

    Returns:
        A box of the class `explain-text`: the line and the button (children[0], a box), the ticks (children[1], a box),
        the prediction and the explanations in words (children[2], HTML) and the heat map (children[3], HTML).

    Raises:
        BadInput: no method, or one that does not exist.
    """
    settings = {name: dict(methods[name]) if isinstance(methods, Mapping) else {} for name in methods}
    unknown = [name for name in settings if name not in METHODS]
    if unknown or not settings:
        raise BadInput(f"methods are {list(settings)}", f"choose from {', '.join(METHODS)}")
    return _Explainer(classifier, settings, text, names).box


class _Explainer:
    """The controls, and the outcomes so far: (text, method) -> outcome."""

    def __init__(
        self, classifier: Classifier, methods: Mapping[str, Settings], text: str, names: Mapping[Any, str] | None
    ) -> None:
        self.classifier, self.methods, self.names = classifier, methods, names
        self.known: dict[tuple[str, str], Outcome] = {}
        self.line = ipywidgets.Text(
            value=text, description="Your sentence", placeholder="type a sentence, then press Enter",
            continuous_update=False, style={"description_width": "initial"}, layout={"width": "min(100%, 640px)"},
        )  # fmt: skip
        self.button = ipywidgets.Button(
            description="explain", button_style="primary", tooltip="explain the typed text", layout={"width": "auto"}
        )
        self.ticks = [
            ipywidgets.Checkbox(value=True, description=name, indent=False, tooltip=METHODS[name].what,
                                layout={"width": "auto", "margin": "0 1.2em 0 0"})
            for name in methods
        ]  # fmt: skip
        self.words, self.picture = ipywidgets.HTML(), ipywidgets.HTML(layout={"width": "min(100%, 960px)"})
        wrap = {"flex_flow": "row wrap"}
        self.box = CourseBox("explain-text", [
            ipywidgets.HBox([self.line, self.button], layout=wrap), ipywidgets.HBox(self.ticks, layout=wrap),
            self.words, self.picture,
        ])  # fmt: skip
        self.button.on_click(self.show)
        for control in (self.line, *self.ticks):
            control.observe(self.show, names="value")
        self.show()

    def show(self, _: object = None) -> None:
        """Runs the ticked methods that have not explained this text yet, and shows the outcomes of all ticked ones."""
        text, chosen = self.line.value, [tick.description for tick in self.ticks if tick.value]
        if not text.strip() or not chosen:
            self.picture.value = ""
            self.words.value = message("Tick a method." if text.strip() else "Type a sentence.")
            return
        if any((text, name) not in self.known for name in chosen):
            self._explain_all(text, chosen)
        outcomes = {name: self.known[text, name] for name in chosen}
        found = [one for one in outcomes.values() if isinstance(one, Attribution)]
        errors = {name: one for name, one in outcomes.items() if isinstance(one, Exception)}
        self.picture.value = plots.heat_map(found, self._names()).html if found else ""
        summary = escape(self._in_words(found)) if found else "There is no explanation to show."
        failed = "".join(f"<div><b>{escape(name)}</b>{error_message(error)}</div>" for name, error in errors.items())
        self.words.value = message(summary) + failed
        for name in errors:
            del self.known[text, name]  # may be corrected in the meantime: tried again next time

    def _explain_all(self, text: str, chosen: list[str]) -> None:
        self.button.disabled, self.button.description = True, "explaining …"
        self.words.value = message("The text is being explained …")
        try:
            for name in chosen:
                if (text, name) not in self.known:
                    self.known[text, name] = self._explain(text, name)
        finally:
            self.button.disabled, self.button.description = False, "explain"

    def _explain(self, text: str, name: str) -> Outcome:
        try:
            class_names(self.classifier)
            found = explain(self.classifier, [text], name, **self.methods[name])[0]
            plots.heat_map(found)  # finds scores that cannot be shown
            return found
        except Exception as error:  # of any model, even an unfinished one: shown, not hidden
            return error

    def _names(self) -> dict[Any, str]:
        return class_names(self.classifier, self.names)

    def _in_words(self, found: Sequence[Attribution]) -> str:
        """The prediction, and each method's strongest word."""
        called = self._names()
        first = found[0]
        target = first.target.item() if isinstance(first.target, np.generic) else first.target
        text = f"The {first.output} of {called[target]} is {_number(first)}."
        if not first.tokens:
            return f"{text} The text has no words."
        return " ".join([text, *(f"{one.method}: {_first(one)}, {one.queries:,} queries." for one in found)])


def _number(one: Attribution) -> str:
    return f"{one.value:.1%}" if one.output == "probability" else f"{one.value:+.2f}"


def _first(one: Attribution) -> str:
    """The strongest word, with the method's own error."""
    word, score = one.top(1)[0]
    return f"“{word}” {format_score(one, score, decimals(one.scores))} is strongest, {describe_error(one)}"
