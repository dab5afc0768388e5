"""Step through the queries and changes of an attack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

import ipywidgets
import numpy as np

from course_lib.attacks.difference import inline
from course_lib.errors import BadInput
from course_lib.text.classifiers import Classifier
from course_lib.text.document import Document
from course_lib.widgets.base import CourseBox, bar, control_style, error_message, sentence_line
from course_lib.widgets.prediction import class_names

MOST_WEIGHTS = 12  # bars; of more words the most important are shown
MILLISECONDS = 1500  # between two steps when they play by themselves


class Step(Protocol):
    """One query of an attack, and the best text after it; `course_lib.attacks.Step` is one."""

    @property
    def note(self) -> str: ...
    @property
    def queries(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def reached(self) -> bool: ...
    @property
    def weights(self) -> Sequence[tuple[int, float]]: ...


class Attack(Protocol):
    """An attack with steps; `course_lib.attacks.Attack` is one."""

    def steps(self, classifier: Any, text: str, label: Any, seed: int = 0) -> Sequence[Step]: ...


@dataclass(frozen=True)
class Frame:
    """One picture of the film.

    Args:
        note: what was queried.
        step_queries: texts in this step.
        queries: texts so far.
        text: the best so far.
        probability: of the true class, for that text.
        predicted: the class that the model predicts for that text.
        reached: whether the attack has its goal.
        weights: of the words by position, as last measured; empty before.
    """

    note: str
    step_queries: int
    queries: int
    text: str
    probability: float
    predicted: str
    reached: bool
    weights: dict[int, float]


@dataclass(frozen=True)
class Film:
    """An attack from the typed text (the first frame) to the last step, and what the true class is called."""

    truth: str
    frames: list[Frame]


def watch_attack(
    classifier: Classifier,
    attacks: Mapping[str, Attack],
    text: str = "I like this movie because the actors are good.",
    names: Mapping[Any, str] | None = None,
    seed: int = 0,
) -> ipywidgets.VBox:
    """A line to type a review in, a recipe, a button that attacks, and a slider through the attack's steps.

    The model's prediction for the typed text is taken as its true class. The first text is attacked at once, a new one
    when the button is pressed. The slider moves with the arrow keys too, or plays by itself. It never raises: what
    goes wrong is shown in place of the attack.

    Args:
        classifier: has `predict_proba(list of texts)` and `classes_`.
        attacks: name -> an attack with `steps(classifier, text, label, seed)`.
        text: the review to begin with.
        names: class -> what to call it; left out, the classes 0 and 1 are called negative and positive.
        seed: of the attack's draws.

    Returns:
        A box of the class `watch-attack`: the line (children[0]), recipe and button (children[1], a box), the player
        and the slider over the steps (children[2], a box) and the answer (children[3], HTML).
    """
    line, answer = sentence_line(text), ipywidgets.HTML(layout={"width": "min(100%, 640px)"})
    recipe = ipywidgets.Dropdown(options=list(attacks), description="Attack", style={"description_width": "initial"})
    button = ipywidgets.Button(description="attack", button_style="primary", tooltip="attack the typed text")
    player, shown = _Player(), list[Film]()  # the film, or none

    def show(_: object = None) -> None:
        answer.value = _picture(shown[0], player.slider.value) if shown else _request(line.value)

    def put_in(*film: Film) -> None:
        shown.clear()  # while the player is wound back there is nothing to show
        player.wind(len(film[0].frames) - 1 if film else 0)
        shown.extend(film)
        show()

    def attack(_: object = None) -> None:
        button.disabled, button.description = True, "attacking …"
        try:
            put_in(_film(classifier, attacks, recipe.value, line.value, names, seed))
        except Exception as error:  # of any model or attack, even an unfinished one: shown, not hidden
            put_in()
            answer.value = f"<p>There is no attack to show.</p>{error_message(error)}"
        finally:
            button.disabled, button.description = False, "attack"

    button.on_click(attack)
    for control in (line, recipe):
        control.observe(lambda _: put_in(), names="value")
    player.slider.observe(show, names="value")
    (attack if line.value.strip() else put_in)()
    return CourseBox("watch-attack", [line, ipywidgets.HBox([recipe, button]), player.box, answer])


class _Player:
    """A player and a slider that move together."""

    def __init__(self) -> None:
        self.play = ipywidgets.Play(min=0, max=1, interval=MILLISECONDS, show_repeat=False)
        self.slider = ipywidgets.IntSlider(min=0, max=1, description="Step", **control_style(width="400px"))
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        self.box = ipywidgets.HBox([self.play, self.slider], layout={"flex_flow": "row wrap"})

    def wind(self, last: int) -> None:
        """Back to step 0 of `last`; where there is no other, nothing can be moved."""
        self.play.playing = False
        self.play.value = self.slider.value = 0
        self.play.max = self.slider.max = max(1, last)
        self.box.layout.display = "" if last else "none"


def _film(
    classifier: Classifier,
    attacks: Mapping[str, Attack],
    recipe: str | None,
    text: str,
    names: Mapping[Any, str] | None,
    seed: int,
) -> Film:
    """The attack on a text.

    Raises:
        BadInput: no text, no attack, or a classifier that was not trained.
    """
    if not text.strip():
        raise BadInput("the line is empty", "type a sentence")
    if recipe is None:
        raise BadInput("there is no attack to choose", "pass at least one")
    called_by_class = class_names(classifier, names)
    classes, called = list(called_by_class), list(called_by_class.values())
    truth = int(np.asarray(classifier.predict_proba([text]))[0].argmax())
    steps = attacks[recipe].steps(classifier, text, classes[truth], seed)
    if not steps or steps[0].text != text:
        raise BadInput(
            f"the first step of {recipe!r} is not the typed text", "let `steps` begin with the text as it is"
        )
    return Film(called[truth], _frames(classifier, steps, truth, called))


def _frames(classifier: Classifier, steps: Sequence[Step], truth: int, called: Sequence[str]) -> list[Frame]:
    """A frame for each step; the model predicts the texts of all of them once more, together."""
    words = len(Document.of(steps[0].text).words)
    rows = np.asarray(classifier.predict_proba([step.text for step in steps]), dtype=np.float64)
    queries, weights, frames = 0, dict[int, float](), []
    for step, row in zip(steps, rows, strict=True):
        queries += step.queries
        # A word that was not queried any more, since the budget was spent, has the weight minus infinity.
        new = {int(at): float(weight) for at, weight in step.weights if np.isfinite(weight)}
        if not all(0 <= at < words for at in new):
            raise BadInput(f"weights are of the positions {sorted(new)}", f"use those of the {words} words")
        weights = new or weights
        predicted, probability = called[int(row.argmax())], float(row[truth])
        frames.append(
            Frame(step.note, step.queries, queries, step.text, probability, predicted, bool(step.reached), weights)
        )
    return frames


def _request(text: str) -> str:
    return "<p>Press “attack”.</p>" if text.strip() else "<p>Type a sentence.</p>"


def _picture(film: Film, number: int) -> str:
    """The HTML of one frame: what was queried, the text, the probability, the weights."""
    frame, last = film.frames[number], len(film.frames) - 1
    cost = "1 text" if frame.step_queries == 1 else f"{frame.step_queries:,} texts"
    sentence = f"Step {number} of {last}: {frame.note} ({cost}). Queries so far: {frame.queries:,}."
    text = inline(film.frames[0].text, frame.text)
    return (
        f'<p class="attack-step" aria-live="polite">{escape(sentence)}</p>'
        f'<p class="attack-text" style="font-size:1.15em;line-height:1.7">{text}</p>'
        f'<p class="attack-said">{escape(_prediction(film, number))}</p>'
        f"{bar(f'p({film.truth})', frame.probability, f'{frame.probability:.1%}')}{_weights(film, frame)}"
    )


def _prediction(film: Film, number: int) -> str:
    """What the model predicts now, and whether the attack is at its end."""
    frame, last = film.frames[number], len(film.frames) - 1
    sentence = f"The model {'still ' if number and frame.predicted == film.truth else ''}predicts {frame.predicted}"
    sentence += "." if number else ". This is taken as the true class."
    if frame.reached:
        return f"{sentence} The attack has reached its goal."
    if number == last:
        return f"{sentence} The attack {'ends here without success' if number else 'may change nothing in this text'}."
    return sentence


def _weights(film: Film, frame: Frame) -> str:
    """The words' weights as bars, in the order of the text; changed words show what they became."""
    if not frame.weights:
        return ""
    old, new = Document.of(film.frames[0].text).words, Document.of(frame.text).words
    kept = sorted(sorted(frame.weights, key=lambda at: -frame.weights[at])[:MOST_WEIGHTS])
    most = max(max(frame.weights.values()), 0.0) or 1.0
    called = _names(old, new)
    bars = "".join(
        bar(called(at), max(0.0, frame.weights[at]) / most, f"{frame.weights[at]:.2g}", bold=called(at) != old[at])
        for at in kept
    )
    more = f" (the {len(kept)} most important of {len(frame.weights)})" if len(kept) < len(frame.weights) else ""
    return f'<p style="margin-bottom:0">Importance of each word{more}:</p><div class="attack-weights">{bars}</div>'


def _names(old: Sequence[str], new: Sequence[str]) -> Callable[[int], str]:
    """What a bar is called: the word, and what became of it where both texts have equally many words."""

    def called(at: int) -> str:
        changed = len(old) == len(new) and old[at] != new[at]
        return f"{old[at]} → {new[at]}" if changed else old[at]

    return called
