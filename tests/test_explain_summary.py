"""Words over many explained texts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_classifiers import BAD, GOOD, TEXTS, fitted
from toy_games import WEIGHTS, Three, additive

from course_lib.errors import BadInput
from course_lib.evaluation import over_seeds
from course_lib.explain import Attribution, explain
from course_lib.explain.summary import important_words


def scored(text: str, *scores: float, target: str = "yes") -> Attribution:
    return replace(explain(additive(), [text], "occlusion", target=target)[0], scores=np.array(scores))


MANY = [
    scored("Good film", 0.3, 0.1),
    scored("good good film", 0.1, 0.2, 0.0),  # 0.15 for good
    scored("a good thing", 0.0, 0.6, -0.1),
    scored("film", 0.4, target="no"),
    scored("", target="no"),
]


def test_means_counts_and_intervals_by_hand() -> None:
    table = important_words(MANY, least=1).set_index(["class", "word"])
    assert list(table.columns) == ["texts", "mean", "low", "high"]
    good, film = table.loc[("yes", "good")], table.loc[("yes", "film")]
    assert (good["texts"], film["texts"]) == (3, 2)
    assert (good["mean"], film["mean"]) == (pytest.approx(0.35), pytest.approx(0.05))
    by_reference = over_seeds([0.3, 0.15, 0.6])
    assert (good["low"], good["high"]) == (pytest.approx(by_reference.low), pytest.approx(by_reference.high))
    assert np.isnan(table.loc[("yes", "thing"), "low"]) and table.loc[("no", "film"), "mean"] == pytest.approx(0.4)


def test_order_and_what_is_left_out() -> None:
    table = important_words(MANY, least=1)
    assert table["class"].tolist() == ["no", "yes", "yes", "yes", "yes"]
    assert table["word"].tolist() == ["film", "good", "film", "a", "thing"]
    assert important_words(MANY, least=2)["word"].tolist() == ["good", "film"]
    assert important_words(MANY).empty and important_words([]).empty
    assert list(important_words([]).columns) == ["class", "word", "texts", "mean", "low", "high"]


def test_the_words_of_a_model_that_is_known() -> None:
    """An additive model's means are its weights; the toy classifier's eight words lead the tables of their classes."""
    added = important_words(explain(additive(), ["very good film", "bad film", "film"], "exact", target="yes"), least=1)
    assert dict(zip(added["word"], added["mean"], strict=True)) == pytest.approx(WEIGHTS)
    film = added.set_index("word").loc["film"]
    assert film["texts"] == 3 and film["low"] == pytest.approx(0.05) == film["high"]
    found = explain(fitted(), TEXTS, "shap", output="log-odds")
    table = important_words(found, least=4)
    for label, words in ((1, GOOD), (0, BAD)):
        of_class = table[table["class"] == label].set_index("word")
        assert len(set(of_class.index[:4]) & set(words)) >= 3
    three = important_words(explain(Three(), ["ant bat", "ant cat ant", "bee ant"], "exact", target="a"), least=2)
    assert three["word"].tolist() == ["ant"]


def test_what_cannot_be_summed_up() -> None:
    with pytest.raises(BadInput, match="least is 0"):
        important_words(MANY, least=0)
    with pytest.raises(BadInput, match="several methods: lime, occlusion"):
        important_words([MANY[0], replace(MANY[1], method="lime")])
    with pytest.raises(BadInput, match="several outputs: log-odds, probability"):
        important_words([MANY[0], replace(MANY[1], output="log-odds")])
