"""Delete words in the order of an explanation and watch whether the model follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
import numpy as np
from numpy.typing import NDArray

from course_lib.errors import BadInput
from course_lib.explain import Attribution, MaskableText, word_ranks
from course_lib.text.classifiers import Classifier
from course_lib.widgets.base import control_style, error_message, live_box, message
from course_lib.widgets.prediction import class_names

ORDERS = {
    "for": "highest score first",
    "against": "lowest score first",
    "random": "random order",
}


@dataclass(frozen=True)
class _Fall:
    """The predictions after 0, 1, ..., n deletions: probability of the target, and the most probable class."""

    place: NDArray[np.int64]  # (n,), when each word goes
    probabilities: list[float]
    predicted: list[str]


def delete_words(
    classifier: Classifier, attribution: Attribution, names: Mapping[Any, str] | None = None, seed: int = 0
) -> ipywidgets.VBox:
    """A slider that deletes words in the order of their scores, the text with them struck out, and the probability.

    All steps of an order are predicted at once, when it is first chosen. If the scores are faithful, the probability
    falls faster than in the random order. An error is shown in place of the text; the prediction is tried again later.

    Args:
        classifier: the one that was explained.
        attribution: of one text.
        names: class -> what to call it; left out, the classes 0 and 1 are called negative and positive.
        seed: of the random order.

    Returns:
        A box of the class `delete-words`: slider (children[0]), order (children[1], a dropdown), the text
        (children[2], HTML).

    Raises:
        BadInput: a text without words, or scores that are not those of its words.
    """
    bow = any(len(word.spans) > 1 for word in attribution.tokens)
    masked, n = MaskableText.of(attribution.text, bow=bow), len(attribution.tokens)
    if not n:
        raise BadInput("the text has no words", "explain a text that has words")
    if masked.words != attribution.tokens or len(attribution.scores) != n:
        raise BadInput(
            f"the scores of {attribution.text[:50]!r} are not those of its words", "take them from explain(...)"
        )
    slider = ipywidgets.IntSlider(min=0, max=n, description="Words deleted", **control_style())
    order = ipywidgets.Dropdown(
        options=[(called, name) for name, called in ORDERS.items()], description="Order", **control_style()
    )
    answer, falls = ipywidgets.HTML(layout={"width": "min(100%, 720px)"}), dict[str, _Fall]()

    def show(_: object = None) -> None:
        try:
            called = class_names(classifier, names)
            if order.value not in falls:
                place = _order(attribution, order.value, seed)
                falls[order.value] = _fall(classifier, attribution, masked, place, list(called.values()))
            answer.value = _picture(masked, falls[order.value], slider.value, called[_plain(attribution.target)])
        except Exception as error:  # of any model, even an unfinished one: shown, not hidden
            answer.value = message("There is no probability to show.") + error_message(error)

    return live_box("delete-words", [slider, order], [answer], show)


def _plain(target: Any) -> Any:
    return target.item() if isinstance(target, np.generic) else target


def _order(attribution: Attribution, order: str, seed: int) -> NDArray[np.int64]:
    """(n,), when each word goes: 0 for the first."""
    n = len(attribution.scores)
    if order == "random":
        return np.asarray(np.random.default_rng(seed).permutation(n))
    place = word_ranks(attribution)
    return place if order == "for" else n - 1 - place


def _fall(
    classifier: Classifier, attribution: Attribution, masked: MaskableText, place: NDArray[np.int64], called: list[str]
) -> _Fall:
    classes, target = [_plain(one) for one in classifier.classes_], _plain(attribution.target)
    if target not in classes:
        raise BadInput(f"the explained class {target!r} is not one of {classes}", "give the model that was explained")
    texts = masked.mask(place[None] >= np.arange(len(place) + 1)[:, None])
    rows = np.asarray(classifier.predict_proba(texts), dtype=np.float64)
    if rows.shape != (len(texts), len(classes)) or not np.isfinite(rows).all():
        raise BadInput(
            f"predict_proba gave the shape {rows.shape}, or numbers that are not finite",
            f"let it give ({len(texts)}, {len(classes)}): one row a text, one column a class",
        )
    return _Fall(place, rows[:, classes.index(target)].tolist(), [called[at] for at in rows.argmax(1)])


def _picture(masked: MaskableText, fall: _Fall, gone: int, name: str) -> str:
    """The prediction, the text, and the probability as a bar with a mark where it began."""
    n, now, first = len(fall.place), fall.probabilities[gone], fall.probabilities[0]
    text = f"{gone} of {n} word{'s' if n > 1 else ''} deleted: the probability of {name} is {now:.1%}"
    if gone:
        text += f", from {first:.1%}"
    still = "still " if gone and fall.predicted[gone] == fall.predicted[0] else "now " if gone else ""
    text += f". The model {still}predicts {fall.predicted[gone]}."
    flips = [step for step, word in enumerate(fall.predicted) if word != fall.predicted[0]]
    end = " In this order the prediction never changes."
    if flips:
        end = f" In this order the prediction changes after {flips[0]} deletion{'s' if flips[0] > 1 else ''}."
    return (
        f"{message(escape(text + end))}"
        f'<p class="deleted-text" style="font-size:1.15em;line-height:1.8;overflow-wrap:anywhere">'
        f"{_struck_out(masked, fall.place < gone)}</p>"
        f'<div aria-hidden="true" style="position:relative;max-width:480px;height:1.1em;'
        f'background:rgba(128,128,128,0.18)"><span style="display:block;height:100%;width:{100 * now:.1f}%;'
        f'background:#2f6fb0"></span><span style="position:absolute;top:-3px;bottom:-3px;left:{100 * first:.1f}%;'
        f'border-left:2px solid currentColor"></span></div>'
    )


def _struck_out(masked: MaskableText, gone: NDArray[np.bool_]) -> str:
    """The text as HTML, deleted words struck out and pale."""
    parts = [escape(masked.document.gaps[0])]
    for piece, number, gap in zip(masked.document.words, masked.word_of, masked.document.gaps[1:], strict=True):
        word = escape(piece)
        if gone[number]:
            word = f'<del style="opacity:0.7">{word}</del>'
        parts.append(word + escape(gap))
    return "".join(parts)
