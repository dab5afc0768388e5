"""The widgets of the case studies are moved by values, and show what the functions behind them compute."""

from __future__ import annotations

import re
from html import unescape

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from course_lib import widgets
from course_lib.cases.images import Digits
from course_lib.cases.recommendation import ease, markov_chain
from course_lib.errors import BadInput
from course_lib.evaluation import risk_coverage
from course_lib.widgets.digits import centred


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


# ---------------------------------------------------------------- notebook 16: draw a digit, attack it


class TopOrBottom(nn.Module):
    """Class 0 for ink in the upper half, 1 for ink in the lower half."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1).unflatten(1, (2, 392)).mean(-1) * 5


def test_a_drawn_digit_is_read_and_attacked() -> None:
    images = torch.zeros(2, 28, 28)
    images[0, 4:18, 8:20] = 1.0  # after centring, a little more ink is in the lower half
    images[1, 10:14, 3:9] = 0.5
    box = widgets.draw_digit({"toy": TopOrBottom()}, Digits(images, torch.tensor([0, 1])))
    pad, buttons, model, epsilon, words, shown = box.children
    assert model.value == "toy" and len(pad.pixels) == 784
    epsilon.value = 0.0
    first, png = plain(words.value), shown.value
    assert first.count("0 (") + first.count("1 (") == 2, "without a change both readings are the same"
    epsilon.value = 0.3
    assert plain(words.value) != first and shown.value != png
    buttons.children[0].click()
    assert max(pad.pixels) == 0.5
    buttons.children[1].click()
    assert "canvas is empty" in plain(words.value) and sum(pad.pixels) == 0
    pad.pixels = images[0].flatten().tolist()
    assert "The model reads" in plain(words.value)


def test_ink_is_centred() -> None:
    image = torch.zeros(1, 28, 28)
    image[0, 2:4, 20:22] = 1.0
    where = centred(image)[0].nonzero()
    assert where.amin(0).tolist() == [13, 13] and where.amax(0).tolist() == [14, 14]
    assert torch.equal(centred(torch.zeros(1, 28, 28)), torch.zeros(1, 28, 28))


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


# ---------------------------------------------------------------- notebook 15: a model that may decline


def test_the_abstention_slider_counts_answers_and_mistakes() -> None:
    random = np.random.default_rng(0)
    sure = random.random(400)
    right = random.random(400) < sure
    box = widgets.abstention_slider((sure, right), {"new <branches>": (sure / 2, right)}, coverage=0.5)
    slider, counts = box.children
    expected = risk_coverage(sure, right, 0.5).iloc[0]
    wrong = round(200 * (1 - expected["accuracy"]))
    assert f"validation : 200 of 400 answered, {wrong} wrong" in plain(counts.value)
    assert f"at least {expected['threshold']:.3f}" in plain(counts.value)
    assert "new <branches> : 0 of 400 answered, 0 wrong." in plain(counts.value) and "<branches>" not in counts.value
    slider.value = 1.0
    assert "validation : 400 of 400 answered" in plain(counts.value)


def test_the_abstention_slider_rejects_what_it_cannot_count() -> None:
    with pytest.raises(BadInput, match="coverage is 0"):
        widgets.abstention_slider(([0.5], [True]), {}, coverage=0)
    with pytest.raises(BadInput, match="2 confidences and 1 results"):
        widgets.abstention_slider(([0.5], [True]), {"new": ([0.5, 0.6], [True])})
    with pytest.raises(BadInput, match="confidences of new go from 50 to 621"):
        widgets.abstention_slider(([0.5], [True]), {"new": ([50, 621], [True, False])})


# ---------------------------------------------------------------- notebook 13: act, or ask a human


class Switches:
    """TurnOn where the text has the word "on"; its vectors count three words."""

    classes_ = np.array(["TurnOff", "TurnOn"])

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        return np.array([[0.2, 0.8] if " on " in f" {text} " else [0.9, 0.1] for text in texts])

    def vectors(self, texts: list[str]) -> np.ndarray:
        return np.array([[0.1 + text.split().count(word) for word in ("on", "off", "lamp")] for text in texts])


def test_the_assistant_acts_above_the_threshold_and_asks_below() -> None:
    model = Switches()
    box = widgets.act_or_ask(model, model.vectors, ["lamp on", "lamp off"], threshold=0.99, text="lamp on")
    line, slider, decision = box.children
    assert "The assistant acts: TurnOn" in plain(decision.value) and "similarity 1.00" in plain(decision.value)
    line.value = "on on on"
    assert "asks a human" in plain(decision.value) and "Nearest training sentence: lamp on" in plain(decision.value)
    slider.value = 0.2
    assert "The assistant acts: TurnOn" in plain(decision.value)
    line.value = "   "
    assert "Type a sentence" in plain(decision.value)
    line.value = "<b>off</b>"
    assert "&lt;b&gt;" not in plain(decision.value)  # no vector has the length 0: the decision is shown
    with pytest.raises(BadInput, match="0 training sentences"):
        widgets.act_or_ask(model, model.vectors, [])


def test_a_failing_model_is_shown_and_not_raised() -> None:
    box = widgets.act_or_ask(Switches(), lambda texts: np.zeros((len(texts), 2)), ["lamp on"], text="lamp")
    assert "There is no decision" in plain(box.children[2].value) and "length 0" in plain(box.children[2].value)


# ---------------------------------------------------------------- credit risk


def test_the_threshold_and_the_cost_change_words_and_curve():
    risk, bad = np.array([0.1, 0.3, 0.6, 0.9]), np.array([0, 1, 0, 1])
    box = widgets.credit_threshold(risk, bad, cost_default=4)
    cost, threshold, words, curve = box.children
    assert "credit-threshold" in box._dom_classes and (cost.value, threshold.value) == (4, 0.5)
    assert "50% of the clients are refused. The cost is 1.250 per client" in words.value
    assert "20.0%" in words.value and "alt=" in curve.value and "aria-live" in words.value
    before = words.value, curve.value
    threshold.value = 0.2
    assert "75% of the clients are refused. The cost is 0.250" in words.value and curve.value != before[1]
    cost.value = 1
    assert "50.0%" in words.value and not plt.get_fignums()
    threshold.value = 0.01
    assert "none default" in words.value


def test_the_threshold_widget_refuses_bad_input():
    with pytest.raises(BadInput, match=r"a cost of 0\.5"):
        widgets.credit_threshold([0.1], [0], cost_default=0.5)
    with pytest.raises(BadInput, match="2 risks and 1 outcomes"):
        widgets.credit_threshold([0.1, 0.2], [0])
