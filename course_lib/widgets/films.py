"""Three films, in an order, and what recommenders make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import ipywidgets
import numpy as np

from course_lib.cases.recommendation import Recommender
from course_lib.errors import BadInput
from course_lib.widgets.base import control_style, live_box, message

SHOWN = 5  # films of each recommender


def recommend_films(
    titles: Sequence[str], recommenders: Mapping[str, Recommender], picks: Sequence[str]
) -> ipywidgets.VBox:
    """Films to choose, a switch that reverses their order, and below the first five films of each recommender.

    Args:
        titles: of all films; of equal ones the first counts.
        recommenders: name -> recommender of these films.
        picks: titles to begin with, the oldest first.

    Returns:
        A box of the class `recommend-films`: a line for each film (children[0], [1], ...), the switch, the lists.

    Raises:
        BadInput: a film to begin with that is no title, or no recommender.
    """
    numbers = {title: number for number, title in reversed(list(enumerate(titles)))}
    if unknown := [title for title in picks if title not in numbers]:
        raise BadInput(f"there is no film {unknown[0]!r}", 'use titles as in the list, such as "Fargo (1996)"')
    if not recommenders:
        raise BadInput("there is no recommender", "pass at least one: {'EASE': ease(histories, n_films)}")
    lines = [
        ipywidgets.Combobox(
            value=title, options=sorted(numbers), continuous_update=False, description=f"Film {place}",
            placeholder="type a part of a title", **control_style("4em"),
        )
        for place, title in enumerate(picks, start=1)
    ]  # fmt: skip
    turned = ipywidgets.Checkbox(value=False, description="Reverse the order", indent=False)
    shown = ipywidgets.HTML()

    def show(_: object = None) -> None:
        chosen = [line.value for line in lines]
        if unknown := [title for title in chosen if title not in numbers]:
            shown.value = message(f"There is no film “{escape(unknown[0])}”. Choose one from the list.")
            return
        history = np.array([numbers[title] for title in (chosen[::-1] if turned.value else chosen)])
        columns = [_column(name, one([history])[0], history, titles) for name, one in recommenders.items()]
        shown.value = (
            message(f"The latest film is {escape(titles[history[-1]])}.")
            + f'<div style="display:flex;flex-wrap:wrap;gap:2em">{"".join(columns)}</div>'
        )

    return live_box("recommend-films", [*lines, turned], [shown], show)


def _column(name: str, scores: np.ndarray, history: np.ndarray, titles: Sequence[str]) -> str:
    """The best films that are not in the history, as a list."""
    best = np.argsort(-np.where(np.isin(np.arange(len(scores)), history), -np.inf, scores), kind="stable")[:SHOWN]
    items = "".join(f"<li>{escape(titles[film])}</li>" for film in best)
    return f"<div><b>{escape(name)}</b><ol>{items}</ol></div>"
