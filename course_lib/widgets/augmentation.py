"""Type a sentence, rewrite it, and see whether its label is still true."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
import numpy as np

from course_lib.attacks.difference import inline
from course_lib.augmentation import Operation, movement
from course_lib.classifier import sentence_vectors
from course_lib.errors import BadInput
from course_lib.text.classifiers import Classifier, check_classifier
from course_lib.widgets.base import CourseBox, error_message, sentence_line
from course_lib.widgets.prediction import SENTIMENT

REWRITES = 4  # of a sentence, shown together
MAX_SEED = 20  # of the slider
_WIDE = {"description_width": "initial"}
_GRID = "display:grid;grid-template-columns:1fr 5em 5em 11em;gap:0.2em 1em;align-items:baseline;line-height:1.6"

Vectors = Callable[[Sequence[str]], Any]


@dataclass(frozen=True)
class Row:
    """A text and its measurements.

    Args:
        text: the original or a rewrite.
        changed: fraction of the words, 0 to 1.
        cosine: of the sentence vectors before and after.
        label: predicted by the judge, with its probability; "" without a judge.
        flipped: whether the judge predicts another label than for the original.
    """

    text: str
    changed: float
    cosine: float
    label: str
    flipped: bool


def watch_augmentation(
    operations: Mapping[str, Callable[[float], Operation]],
    text: str = "I like this movie because the actors are good.",
    judge: Classifier | None = None,
    vectors: Vectors = sentence_vectors,
) -> ipywidgets.VBox:
    """A line to type in, an operation, a slider for its strength and one for the seed; below them four rewrites.

    In each rewrite what was left out is struck through and what was put in is underlined. Beside it are the fraction of
    the words that changed, the cosine of the sentence vectors, and the judge's label, with a note where it changed. A
    typed sentence is rewritten at Enter, a moved slider when it is released: some operations take a second. It never
    raises: errors are shown in place of the rewrites.

    Args:
        operations: name -> a function from a fraction of the words to an operation, such as `augmentation.eda` or
            `augmentation.SynonymReplacement`.
        text: the sentence to begin with.
        judge: has `predict_proba(list of texts)` and `classes_`; None shows no labels.
        vectors: maps texts to sentence vectors, (n, size).

    Returns:
        A box of the class `watch-augmentation`: the line (children[0]), the operation (children[1]), the sliders for
        strength and seed (children[2], a box) and the answer (children[3], HTML).
    """
    line, answer = sentence_line(text), ipywidgets.HTML(layout={"width": "min(100%, 760px)"})
    line.continuous_update = False
    choice = ipywidgets.Dropdown(options=list(operations), description="Operation", style=_WIDE)
    strength = ipywidgets.FloatSlider(
        value=0.1, min=0.05, max=1.0, step=0.05, readout_format=".0%", description="Fraction of the words", style=_WIDE,
        layout={"width": "min(100%, 380px)"}, continuous_update=False,
    )  # fmt: skip
    seed = ipywidgets.IntSlider(
        max=MAX_SEED, description="Seed", style=_WIDE, layout={"width": "min(100%, 300px)"}, continuous_update=False
    )

    def show(_: object = None) -> None:
        if not line.value.strip():
            answer.value = "<p>Type a sentence.</p>"
            return
        try:
            if choice.value is None:
                raise BadInput("there is no operation to choose", "pass at least one")
            operation = operations[choice.value](strength.value)
            rows = _rows(operation, line.value, _seeds(seed.value), judge, vectors)
            answer.value = _table(operation, line.value, rows, seed.value)
        except Exception as error:  # of any operation or judge, even an unfinished one: shown, not hidden
            answer.value = f"<p>There is no rewrite to show.</p>{error_message(error)}"

    for control in (line, choice, strength, seed):
        control.observe(show, names="value")
    show()
    sliders = ipywidgets.HBox([strength, seed], layout={"flex_flow": "row wrap"})
    return CourseBox("watch-augmentation", [line, choice, sliders, answer])


def _seeds(first: int) -> range:
    """The operation's seeds at one position of the slider: no two positions have one in common."""
    return range(first * REWRITES, (first + 1) * REWRITES)


def _rows(
    operation: Operation,
    text: str,
    seeds: range,
    judge: Classifier | None,
    vectors: Vectors,
) -> list[Row]:
    """The original, then its rewrites."""
    texts = [text, *(operation([text], seed)[0] for seed in seeds)]
    moved = movement([text] * len(texts), texts, vectors)
    labels, columns = _labels(texts, judge)
    return [
        Row(one, float(changed), float(cosine), label, column != columns[0])
        for one, changed, cosine, label, column in zip(
            texts, moved["words_changed"], moved["cosine"], labels, columns, strict=True
        )
    ]


def _labels(texts: list[str], judge: Classifier | None) -> tuple[list[str], list[int]]:
    """The judge's label of each text, with its probability, and that label's column.

    Raises:
        BadInput: the judge is not fitted.
    """
    if judge is None:
        return [""] * len(texts), [0] * len(texts)
    check_classifier(judge, "the judge")
    rows, classes = np.asarray(judge.predict_proba(texts), dtype=np.float64), judge.classes_.tolist()
    known = SENTIMENT if classes == [0, 1] else {}
    columns = [int(column) for column in rows.argmax(1)]
    called = [str(known.get(classes[column], classes[column])) for column in columns]
    return [f"{name} ({row.max():.2f})" for name, row in zip(called, rows, strict=True)], columns


def _table(operation: Operation, text: str, rows: Sequence[Row], seed: int) -> str:
    """The HTML of the original and its rewrites."""
    new = rows[1:]
    flipped, same = sum(row.flipped for row in new), sum(row.text == text for row in new)
    sentence = f"{len(new)} rewrites by {operation} (seed {seed})."
    sentence += (
        f" For {flipped} of them the judge predicts another label than for the original." if rows[0].label else ""
    )
    sentence += f" {same} of them are unchanged: no word could be changed, or none was drawn." if same else ""
    heads = ("rewrite", "words", "cosine", "judge's label" if rows[0].label else "")
    head = "".join(f"<b>{name}</b>" for name in heads)
    first = (
        f"<span><i>original:</i> {escape(text)}</span><span></span><span></span><span>{escape(rows[0].label)}</span>"
    )
    body = "".join(_line(text, row) for row in new)
    return (
        f'<p class="augmentation-told" aria-live="polite">{escape(sentence)}</p>'
        f'<div class="augmentation-rewrites" style="{_GRID}">{head}{first}{body}</div>'
    )


def _line(text: str, row: Row) -> str:
    label = f"<b>{escape(row.label)}, changed</b>" if row.flipped else escape(row.label)
    return (
        f'<span style="font-size:1.08em">{inline(text, row.text)}</span><span>{row.changed:.0%}</span>'
        f"<span>{row.cosine:.2f}</span><span>{label}</span>"
    )
