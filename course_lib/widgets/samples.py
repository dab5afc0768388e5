"""Take more samples and watch how much less an explanation depends on its seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets
import numpy as np

from course_lib import plots
from course_lib.errors import BadInput
from course_lib.explain import METHODS, Attribution, explain
from course_lib.plots.explanations import strongest_words
from course_lib.plots.scored_text import describe_error
from course_lib.text.classifiers import Classifier, check_scores
from course_lib.widgets.base import control_style, error_message, live_box, message
from course_lib.widgets.prediction import class_names

COUNTS = (50, 100, 200, 500, 1000, 2000, 5000)
CALLED = {"lime": "LIME", "shap": "SHAP"}


def sampling(
    classifier: Classifier,
    text: str = "I like this movie because the actors are good.",
    counts: Sequence[int] = COUNTS,
    methods: Sequence[str] = ("lime", "shap"),
    seeds: int = 10,
    names: Mapping[Any, str] | None = None,
) -> ipywidgets.VBox:
    """A slider over numbers of samples, a choice of methods, and each word's scores over seeds as a picture.

    Each setting is computed once, when it is first chosen; the classifier predicts a text once, whatever the
    setting. All pictures of a method have the same axis and words, those of the fewest samples. What goes wrong is
    shown in place of the picture, and the setting is tried again next time.

    Args:
        classifier: has `predict_proba(list of texts)` and `classes_`.
        text: one with words; its most probable class is explained.
        counts: numbers of samples, ascending.
        methods: of `explain.METHODS`, that need predictions alone and have the settings `samples` and `seed`.
        seeds: explanations of each setting, at least 2.
        names: class -> what to call it; left out, the classes 0 and 1 are called negative and positive.

    Returns:
        A box of the class `explanation-sampling`: slider (children[0]), method (children[1], a dropdown), words
        (children[2], HTML) and the picture (children[3]).

    Raises:
        BadInput: fewer than 2 counts or seeds, counts that do not ascend, or a method that draws no samples.
    """
    counts = [int(count) for count in counts]
    if len(counts) < 2 or counts != sorted(set(counts)) or counts[0] < 1:
        raise BadInput(f"counts are {counts}", "pass at least two numbers of samples, ascending")
    if seeds < 2:
        raise BadInput(f"seeds is {seeds}", "use 2 or more")
    for name in methods or [""]:
        known = METHODS.get(name)
        if known is None or known.needs != "predictions" or not {"samples", "seed"} <= set(known.settings):
            raise BadInput(f"methods are {list(methods)}", "choose those that draw samples of texts, as lime and shap")
    return _Sampler(_CachedClassifier(classifier), text, counts, methods, seeds, names).box


class _CachedClassifier:
    """A classifier that predicts each text once, unless its scores cannot be used."""

    def __init__(self, classifier: Any) -> None:
        self.classifier, self.rows = classifier, dict[str, Any]()

    def __getattr__(self, name: str) -> Any:
        if name in ("classifier", "rows"):  # not there yet, while it is copied
            raise AttributeError(name)
        return getattr(self.classifier, name)

    def predict_proba(self, texts: Sequence[str]) -> Any:
        new = [text for text in dict.fromkeys(texts) if text not in self.rows]
        if new:
            rows = check_scores(self.classifier, self.classifier.predict_proba(new), len(new))
            self.rows.update(zip(new, rows, strict=True))
        return np.array([self.rows[text] for text in texts])


class _Sampler:
    """The controls, the runs of each setting, and the picture that each got."""

    def __init__(
        self, classifier: _CachedClassifier, text: str, counts: list[int], methods: Sequence[str], seeds: int,
        names: Mapping[Any, str] | None,
    ) -> None:  # fmt: skip
        self.classifier, self.text, self.counts, self.seeds, self.names = classifier, text, counts, seeds, names
        self.runs: dict[tuple[str, int], list[Attribution]] = {}
        self.pictures: dict[tuple[str, int], str] = {}
        wide = control_style("5em")
        self.slider = ipywidgets.SelectionSlider(
            options=[(f"{count:,}", count) for count in counts], description="Samples", continuous_update=False, **wide
        )
        options = [(CALLED.get(name, name), name) for name in methods]
        self.method = ipywidgets.Dropdown(options=options, description="Method", **wide)
        self.words = ipywidgets.HTML(layout={"width": "min(100%, 720px)"})
        self.picture = ipywidgets.HTML()
        self.box = live_box("explanation-sampling", [self.slider, self.method], [self.words, self.picture], self.show)

    def show(self, _: object = None) -> None:
        """The chosen setting, computed if it is new."""
        method, count = self.method.value, self.slider.value
        if (method, count) not in self.pictures:
            self.words.value = message(f"{count:,} samples with {self.seeds} seeds are being drawn …")
        try:
            self.picture.value = self._picture(method, count)
            self.words.value = message(escape(describe_seeds(self.runs[method, count], count)))
            self.picture.layout.display = ""
        except Exception as error:  # of any model, even an unfinished one: shown, not hidden
            self.picture.layout.display = "none"
            self.words.value = message(f"The scores of {count:,} samples cannot be shown.") + error_message(error)

    def _picture(self, method: str, count: int) -> str:
        if (method, count) not in self.pictures:
            runs, widest = self._runs(method, count), self._widest(method)
            axes = plots.seed_spread(
                runs, _limits(widest), strongest_words(widest), class_names(self.classifier, self.names)
            )
            self.pictures[method, count] = plots.to_html(axes)
        return self.pictures[method, count]

    def _runs(self, method: str, count: int) -> list[Attribution]:
        if (method, count) not in self.runs:
            class_names(self.classifier)  # says what is wrong with one that was not trained
            self.runs[method, count] = [
                explain(self.classifier, [self.text], method, samples=count, seed=seed)[0] for seed in range(self.seeds)
            ]
        return self.runs[method, count]

    def _widest(self, method: str) -> list[Attribution]:
        """The runs of the fewest samples that can be drawn at all: their axis has room for the others."""
        for count in self.counts:
            try:
                return self._runs(method, count)
            except BadInput:  # too few samples for so many words
                continue
        raise AssertionError("the chosen setting was drawn before")


def describe_seeds(runs: Sequence[Attribution], samples: int) -> str:
    """How far scores of several seeds lie apart, in words."""
    scores = np.array([one.scores for one in runs])
    spread, n = scores.std(0, ddof=1), len(runs)
    firsts = [one.top(1)[0][0] for one in runs]
    first = max(firsts, key=firsts.count)
    one = max(runs, key=lambda run: math.inf if math.isnan(run.error) else run.error)
    return (
        f"With {samples:,} samples and {n} seeds, the standard deviation of a score is {spread.mean():.2g} on average "
        f"and {spread.max():.2g} at most. “{first}” is strongest with {firsts.count(first)} of {n} seeds. "
        f"The largest error that the method states: {describe_error(one)}."
    )


def _limits(runs: Sequence[Attribution]) -> tuple[float, float]:
    """Of the scores' axis, 0 included, a little wider than the runs."""
    scores = np.array([one.scores for one in runs])
    low, high = min(0.0, float(scores.min())), max(0.0, float(scores.max()))
    room = 0.08 * ((high - low) or 1.0)
    return low - room, high + room
