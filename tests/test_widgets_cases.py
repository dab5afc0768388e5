"""The widgets of the case studies are moved by values, and show what the functions behind them compute."""

from __future__ import annotations

import numpy as np
import pytest

from course_lib import widgets
from course_lib.cases.recommendation import ease, markov_chain
from course_lib.errors import BadInput

# ---------------------------------------------------------------- notebook 17: films

TITLES = ["Alien", "Brazil", "Casino", "Diva", "Evita", "Fargo", "Brazil"]
HISTORIES = [np.array(films) for films in ([0, 1, 5], [1, 0, 3], [4, 1, 5], [0, 3, 4])]


def test_films_are_recommended_by_order_or_without_it() -> None:
    made = {"EASE": ease(HISTORIES, 7, l2=1.0), "Markov chain": markov_chain(HISTORIES, 7)}
    box = widgets.recommend_films(TITLES, made, ["Alien", "Brazil"])
    first, second, turned, shown = box.children

    def lists() -> tuple[str, str]:
        return tuple(shown.value.split("<ol>")[1:])  # type: ignore[return-value]

    one, other = lists()
    assert "latest film is Brazil" in shown.value and other.startswith("<li>Fargo")
    turned.value = True
    assert "latest film is Alien" in shown.value
    assert lists()[0] == one and lists()[1].startswith("<li>Diva"), "only one of the two reads the order"
    second.value = "Evita"
    assert lists()[0] != one and "<li>Evita" not in shown.value
    first.value = "Gigli <b>"
    assert "There is no film “Gigli &lt;b&gt;”" in shown.value


def test_films_that_do_not_exist_are_named() -> None:
    with pytest.raises(BadInput, match="there is no film 'Gigli'"):
        widgets.recommend_films(TITLES, {"EASE": ease(HISTORIES, 7)}, ["Gigli"])
    with pytest.raises(BadInput, match="no recommender"):
        widgets.recommend_films(TITLES, {}, ["Alien"])
