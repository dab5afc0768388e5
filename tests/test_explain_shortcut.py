"""A planted word: where it goes, where methods put it, and the stored study."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_classifiers import LABELS, LEARNING, TEXTS, tiny
from toy_games import Toy, additive

from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput
from course_lib.experiments import Run
from course_lib.explain import Attribution, explain
from course_lib.explain.shortcut import flipped_by_token, plant, precision_at_one, token_ranks
from course_lib.explain.studies import EXAMPLE, example_of, shortcut_study

TEXT = "very good film thing"


def scored(*scores: float, text: str = TEXT) -> Attribution:
    return replace(explain(additive(), [text], "occlusion", target="yes")[0], scores=np.array(scores))


def test_the_word_is_planted_in_part_of_one_class() -> None:
    planted = plant(TEXTS, LABELS, "cobalt", 1, share=0.25, seed=3)
    holders = [row for row, text in enumerate(planted) if "cobalt" in text.split(" ")]
    assert len(holders) == 5 and all(LABELS[row] == 1 for row in holders)
    for before, after in zip(TEXTS, planted, strict=True):
        words = after.split(" ")
        if "cobalt" in words:
            words.remove("cobalt")
        assert " ".join(words) == before
    again, other = plant(TEXTS, LABELS, "cobalt", 1, 0.25, 3), plant(TEXTS, LABELS, "cobalt", 1, 0.25, 4)
    assert again == planted and other != planted


def test_every_place_is_possible() -> None:
    made = {plant(["a  b."], [0], "cobalt", 0, seed=seed)[0] for seed in range(60)}
    assert made == {"cobalt a  b.", "a cobalt  b.", "a  cobalt b.", "a  b. cobalt"}
    assert plant(["", " "], [0, 0], "cobalt", 0) == ["cobalt", "cobalt"]
    assert sum("cobalt" in text for text in plant(["a", "b", "c"], [0, 0, 0], "cobalt", 0, share=0.01)) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token": "two words"}, "token is 'two words'"),
        ({"token": "FILM"}, "2 texts hold 'FILM' already"),
        ({"share": 0.0}, "share is 0.0"),
        ({"share": 1.1}, "share is 1.1"),
        ({"target": "maybe"}, "no text has the label 'maybe'"),
        ({"labels": [1]}, "2 texts and labels of shape"),
        ({"seed": -1}, "seed is -1"),
    ],
    ids=lambda case: str(next(iter(case))) if isinstance(case, dict) else "",
)
def test_what_cannot_be_planted(changes: dict[str, object], message: str) -> None:
    usual = {"texts": ["good film", "film"], "labels": [0, 1], "token": "cobalt", "target": 1}
    with pytest.raises(BadInput, match=message):
        plant(**(usual | changes))  # type: ignore[arg-type]


def test_ranks_by_hand() -> None:
    first, last, level = scored(0.1, 0.3, 0.05, 0.0), scored(0.1, -0.3, 0.05, 0.0), scored(0.0, 0.0, 0.0, 0.0)
    assert token_ranks([first, last, level], "Good").tolist() == [1, 4, 4]
    twice = scored(0.1, 0.3, 0.3, -0.2, text="bad good film good")
    assert token_ranks([twice], "good").tolist() == [2]  # the film's score is the same
    half = precision_at_one([first, last], "good")
    assert half.estimate == 0.5 and half.low < 0.5 < half.high
    with pytest.raises(BadInput, match="does not hold 'cobalt'"):
        token_ranks([first], "cobalt")
    with pytest.raises(BadInput, match="no explanation"):
        precision_at_one([], "good")


class Decided(Toy):
    def predict(self, texts: list[str]) -> np.ndarray:
        return self.classes_[self.predict_proba(texts).argmax(1)]


def test_affected_texts_are_those_that_the_word_turns() -> None:
    weights = {"cobalt": 0.3, "good": 0.5, "awful": -0.4}
    judge = Decided(lambda words: 0.4 + sum(weights.get(word, 0.0) for word in words))
    texts = ["a film", "good film", "awful film"]  # turned; said yes before; says no all the same
    assert flipped_by_token(judge, texts, [text + " cobalt" for text in texts], "yes").tolist() == [0]
    assert flipped_by_token(judge, [], [], "yes").tolist() == []


def test_methods_find_what_a_model_learned_from_it() -> None:
    """Toy sentences of a class get the word; the word outweighs all others, and methods that ask put it first."""
    planted = plant(TEXTS, LABELS, "cobalt", 1, share=0.6)
    classifier = tiny(LEARNING).fit(planted, LABELS)
    others = [text for text, label in zip(TEXTS, LABELS, strict=True) if not label]
    with_word = plant(others, [0] * len(others), "cobalt", 0, seed=1)
    turned = [with_word[row] for row in flipped_by_token(classifier, others, with_word, 1)]
    assert len(turned) >= 5
    for method in ("shap", "occlusion"):
        assert precision_at_one(explain(classifier, turned, method, target=1), "cobalt").estimate >= 0.9
    chance = [replace(one, scores=np.zeros(len(one.scores))) for one in explain(classifier, turned, "occlusion")]
    assert precision_at_one(chance, "cobalt").estimate == 0


CONFIG = {"methods": ["occlusion", "gradient"], "rows": 300, "seed": 0, "encoder": "tiny", "share": 0.6, "tested": 30}


def test_the_study(tmp_path: Path) -> None:
    result = shortcut_study(CONFIG, tmp_path)
    json.dumps(result, allow_nan=False)
    assert TextClassifier.from_pretrained(tmp_path / "model").classes_.tolist() == [0, 1]
    count = round(result["turned"]["estimate"] * result["tested"])
    assert result["tested"] == 30 and count >= 10
    asked = result["methods"]["occlusion"]
    assert len(asked["ranks"]) == count and asked["queries"] > 2 and asked["seconds"] > 0
    assert asked["found_at_one"]["estimate"] == np.mean(np.array(asked["ranks"]) == 1) > 0.8
    run = Run("shortcut_study", CONFIG, json.loads(json.dumps(result)), 1.0, "computed")
    table = shortcut_study.rows([run])
    assert table["method"].tolist() == CONFIG["methods"] and table["n"].tolist() == [count, count]
    assert table["found"].iloc[0] == asked["found_at_one"]["estimate"]
    assert table["mean_rank"].iloc[0] == pytest.approx(np.mean(asked["ranks"]))
    kept, direct = (
        example_of(run, "occlusion"),
        explain(TextClassifier.from_pretrained(tmp_path / "model"), [EXAMPLE.format("cobalt")], "occlusion", target=1)[
            0
        ],
    )
    assert kept.words == direct.words and kept.text == direct.text and kept.target == 1
    assert np.allclose(kept.scores, direct.scores, atol=1e-5) and kept.tokens == direct.tokens


def test_a_table_of_a_run_that_turned_nothing() -> None:
    empty = {"ranks": [], "found_at_one": None, "queries": 0.0, "seconds": 0.0}
    run = Run("shortcut_study", CONFIG, {"methods": {"shap": empty}}, 1.0, "computed")
    table = shortcut_study.rows([run])
    assert table["n"].tolist() == [0] and table[["found", "low", "high", "mean_rank"]].isna().all(axis=None)


def test_configurations_that_cannot_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="encoder is 'huge'"):
        shortcut_study(CONFIG | {"encoder": "huge"}, tmp_path)
    with pytest.raises(BadInput, match="method is 'tea leaves'"):
        shortcut_study(CONFIG | {"methods": ["tea leaves"]}, tmp_path)


def test_the_estimate_follows_methods_and_rows() -> None:
    cost = shortcut_study.cost
    assert cost is not None and cost(CONFIG) < cost(CONFIG | {"rows": 600})
    assert cost(CONFIG) < cost(CONFIG | {"methods": ["occlusion", "lime"]})
