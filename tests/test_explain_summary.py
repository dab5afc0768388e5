"""Words over many explained texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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
    narrow = important_words(MANY, least=1, confidence=0.5).set_index(["class", "word"])
    assert good["low"] < narrow.loc[("yes", "good"), "low"] < good["mean"]


def test_order_and_what_is_left_out() -> None:
    table = important_words(MANY, least=1)
    assert table["class"].tolist() == ["no", "yes", "yes", "yes", "yes"]
    assert table["word"].tolist() == ["film", "good", "film", "a", "thing"]
    assert important_words(MANY, least=2)["word"].tolist() == ["good", "film"]
    assert important_words(MANY, least=1, top=1)["word"].tolist() == ["film", "good"]
    assert important_words(MANY).empty and important_words([]).empty
    assert list(important_words([]).columns) == ["class", "word", "texts", "mean", "low", "high"]


def test_groups_are_counted_apart() -> None:
    table = important_words(MANY, groups=["x", "y", "x", "x", "y"], least=1)
    assert table.columns.tolist() == ["class", "group", "word", "texts", "mean", "low", "high"]
    good = table[table["word"] == "good"].set_index("group")
    assert good["texts"].to_dict() == {"x": 2, "y": 1}
    assert good["mean"].to_dict() == {"x": pytest.approx(0.45), "y": pytest.approx(0.15)}
    assert important_words(MANY, groups=list("xyxxy"), least=1, top=1).groupby(["class", "group"]).size().max() == 1


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": ["x"]}, "1 groups for 5 explanations"),
        ({"groups": ["x", None, "x", np.nan, "y"]}, "2 of 5 groups are missing"),
        ({"groups": ["x", "y", "x", np.nan, "y"]}, "1 of 5 groups are missing"),
        ({"least": 0}, "least is 0"),
        ({"top": 0}, "top is 0"),
        ({"confidence": 1.0}, "confidence is 1.0"),
    ],
    ids=["groups", "None", "nan", "least", "top", "confidence"],
)
def test_what_cannot_be_summed_up(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        important_words(MANY, **changes)


def test_methods_and_outputs_do_not_mix() -> None:
    with pytest.raises(BadInput, match="several methods: lime, occlusion"):
        important_words([MANY[0], replace(MANY[1], method="lime")])
    with pytest.raises(BadInput, match="several outputs: log-odds, probability"):
        important_words([MANY[0], replace(MANY[1], output="log-odds")])
