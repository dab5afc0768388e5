"""Click on a word: it is masked, and the model shows which words fit in its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets

from course_lib.errors import BadInput
from course_lib.widgets.base import bar, error_message, live_box, sentence_line

MASK = "[MASK]"
MOST_BARS = 8
MOST_WORDS = 40
_WORD = re.compile(r"\[MASK\]|\w+(?:['’-]\w+)*")

Fill = Callable[[str], Sequence[Sequence[tuple[str, float]]]]


@dataclass(frozen=True)
class Word:
    """A word of the text and its position."""

    text: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    """The words that can be clicked: letters and digits, with apostrophes and hyphens inside; no signs."""
    return [Word(found[0], found.start(), found.end()) for found in _WORD.finditer(text)]


def watch_mask(fill: Fill, text: str = "I like this movie because the actors are good.") -> ipywidgets.VBox:
    """A sentence whose words are buttons: a click masks a word and shows the model's candidates for it.

    A second click on the word shows it again. `[MASK]` may also be typed. It never raises: what goes wrong is shown in
    place of the candidates.

    Args:
        fill: from a text with [MASK] to a list for each mask, of pairs (token, probability), the most likely first;
            `LanguageModel.fill` is one.
        text: the sentence to begin with; of more than MOST_WORDS words the first can be clicked.

    Returns:
        A box of the class `watch-mask`: the line (children[0]), the words (children[1], a box of buttons) and the
        answer (children[2], HTML).
    """
    line = sentence_line(text)
    buttons = ipywidgets.HBox(layout={"flex_flow": "row wrap", "width": "min(100%, 640px)"})
    answer = ipywidgets.HTML(layout={"width": "min(100%, 640px)"})
    chosen: list[Word] = []  # the masked word, or none

    def show() -> None:
        for button in buttons.children:
            masked = button.word in chosen
            button.description = MASK if masked else button.word.text
            button.button_style = "primary" if masked else ""
        answer.value = _answer(fill, line.value, chosen[0] if chosen else None)

    def click(button: Any) -> None:
        chosen[:] = [] if button.word in chosen else [button.word]
        show()

    def rebuild(_: object = None) -> None:
        chosen.clear()
        buttons.children = [_button(word, click) for word in words_of(line.value)[:MOST_WORDS]]
        show()

    return live_box("watch-mask", [line], [buttons, answer], rebuild)


def _button(word: Word, click: Callable[[Any], None]) -> ipywidgets.Button:
    button = ipywidgets.Button(description=word.text, tooltip=f"mask “{word.text}”", layout={"width": "auto"})
    button.word = word
    if word.text == MASK:
        button.disabled = True  # it is masked already
    button.on_click(click)
    return button


def _answer(fill: Fill, text: str, word: Word | None) -> str:
    """The HTML for a text and the word that is masked in it: candidates, a request, or what went wrong."""
    if not words_of(text):
        return "<p>Type a sentence.</p>"
    masked = text if word is None else text[: word.start] + MASK + text[word.end :]
    if MASK not in masked:
        more = f" Only the first {MOST_WORDS} can be clicked." if len(words_of(text)) > MOST_WORDS else ""
        return f"<p>Click on a word to mask it.{more}</p>"
    try:
        found = _checked(fill(masked), masked.count(MASK))
    except Exception as error:  # of any model, even an unfinished one: shown, not hidden
        return f"<p>There are no candidates.</p>{error_message(error)}"
    mine = -1 if word is None else masked[: word.start].count(MASK)
    parts = [
        _candidates(
            f"Mask {number + 1}: " if len(found) > 1 else "", pairs, word.text if word and number == mine else ""
        )
        for number, pairs in enumerate(found)
    ]
    shown = escape(masked).replace(MASK, f"<b>{MASK}</b>")
    return f"<p style='font-size:1.1em'>{shown}</p>{''.join(parts)}"


def _checked(found: Any, masks: int) -> list[list[tuple[str, float]]]:
    """What `fill` gave, as lists of pairs.

    Raises:
        BadInput: it has another form, or a number that is no probability.
    """
    try:
        lists = [[(str(token), float(p)) for token, p in pairs] for pairs in found]
    except (TypeError, ValueError):
        lists = []
    right = len(lists) == masks and all(pairs and all(0 <= p <= 1 for _, p in pairs) for pairs in lists)
    if not right:
        raise BadInput(
            f"fill gave {str(found)[:120]} for a text with {masks} {MASK}",
            "let it give a list for each mask, of pairs (token, probability from 0 to 1)",
        )
    return lists


def _candidates(name: str, pairs: list[tuple[str, float]], original: str) -> str:
    """The candidates of one mask as bars, and the rank of the original word among them."""
    order = sorted(pairs, key=lambda pair: -pair[1])
    sentence = f"{name}“{order[0][0]}” is the most likely word ({order[0][1]:.1%})."
    if original:
        places = [place for place, (token, _) in enumerate(order, start=1) if token.lower() == original.lower()]
        rank = f"number {places[0]} ({order[places[0] - 1][1]:.1%})" if places else f"not among the first {len(order)}"
        sentence += f" The original word “{original}” is {rank}."
    bars = "".join(bar(token, p, f"{p:.1%}", bold=token.lower() == original.lower()) for token, p in order[:MOST_BARS])
    return f'<p class="mask-candidates" aria-live="polite">{escape(sentence)}</p>{bars}'
