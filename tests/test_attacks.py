"""Documents, typing errors, constraints, the greedy search and the engine."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import TextClassifier, commands
from course_lib.attacks import (
    RECIPES,
    Attack,
    Characters,
    ConfidenceReduction,
    Document,
    Greedy,
    KeepWords,
    MaxEditDistance,
    MaxWordsChanged,
    Targeted,
    Untargeted,
    recipe,
)
from course_lib.attacks.document import edit_distance
from course_lib.errors import BadInput
from course_lib.training import TrainingConfig

TEXTS = ["a good film", "truly great, and good", "a bad film", "awful; it was bad"]
SENTENCE = st.text(alphabet="abgod .,'-é\n[]", max_size=40)


class Words:
    """Stands for a classifier: good words against bad ones, letter by letter as they are written."""

    head = "classification"

    def __init__(self, classes: Sequence[Any] = (0, 1)) -> None:
        self.classes_ = np.array(list(classes))
        self.asked: list[str] = []

    def predict_proba(self, texts: Sequence[str]) -> Any:
        self.asked += texts
        weight = {"good": 1.0, "great": 2.0, "bad": -1.0, "awful": -2.0}
        score = np.array([sum(weight.get(word, 0) for word in Document.of(text).words) for text in texts])
        right = 1 / (1 + np.exp(-score - 0.1))
        rest = [np.full(len(score), 1e-3)] * (len(self.classes_) - 2)
        return np.stack([1 - right, right, *rest], axis=1).reshape(len(texts), len(self.classes_)).astype(np.float32)

    def predict(self, texts: Sequence[str]) -> Any:
        return self.classes_[self.predict_proba(texts).argmax(1)]


@pytest.fixture(scope="module")
def tiny() -> TextClassifier:
    texts = [f"{word} {noun}" for word in ("good", "great", "bad", "awful") for noun in ("film", "plot", "cast", "end")]
    labels = [1] * 8 + [0] * 8
    return TextClassifier("tiny", dropout=0.0, training=TrainingConfig(epochs=30, learning_rate=3e-3)).fit(
        texts, labels
    )


# ---- documents -------------------------------------------------------------------------------------------------


@given(SENTENCE)
def test_a_document_gives_its_text_back(text: str) -> None:
    assert Document.of(text).text == text


def test_words_are_those_of_the_literature() -> None:
    assert Document.of(" 'tis a well-made, don't_miss film (1999)!").words == (
        "tis", "a", "well-made", "don't_miss", "film", "1999",
    )  # fmt: skip


def test_one_word_changes_and_nothing_else() -> None:
    document = Document.of("A good, good film.")
    assert document.replace(2, "god").text == "A good, god film."
    assert document.replace(2, "god").changed == {2}
    assert document.without(1).text == "A good film."


@pytest.mark.parametrize(("left", "right", "distance"), [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3)])
def test_edit_distance(left: str, right: str, distance: int) -> None:
    assert edit_distance(left, right) == edit_distance(right, left) == distance


# ---- transformations -------------------------------------------------------------------------------------------


@given(st.text(alphabet="abcdé'1", min_size=1, max_size=12), st.integers(0, 1000))
def test_a_typo_is_one_typo(word: str, seed: int) -> None:
    made = Characters().candidates(word, random.Random(seed))
    assert word not in made
    assert len(set(made)) == len(made) <= 4
    assert all(1 <= edit_distance(word, new) <= 2 and new for new in made)  # a swap is two substitutions


@pytest.mark.parametrize(("kind", "length"), [("swap", 4), ("substitute", 4), ("delete", 3), ("insert", 5)])
def test_each_kind_does_what_it_says(kind: str, length: int) -> None:
    made = [Characters((kind,)).candidates("film", random.Random(seed)) for seed in range(50)]
    assert {len(word) for words in made for word in words} == {length}
    assert len({word for words in made for word in words}) > 2


def test_a_word_of_one_letter_is_neither_swapped_nor_deleted() -> None:
    assert Characters(("swap", "delete")).candidates("a", random.Random(0)) == []


# ---- the engine ------------------------------------------------------------------------------------------------


@given(st.lists(SENTENCE, max_size=4), st.integers(0, 50), st.integers(1, 6), st.sampled_from([0.1, 0.5]))
@settings(max_examples=60)
def test_no_returned_text_breaks_a_constraint(texts: list[str], seed: int, distance: int, share: float) -> None:
    rules = (KeepWords(frozenset({"a", "god"})), MaxEditDistance(distance), MaxWordsChanged(share))
    attack = Attack("test", Untargeted(), Characters(), Greedy(), rules)
    for label in (0, 1):
        for result in attack.run(Words(), texts, [label] * len(texts), seed).results:  # type: ignore[arg-type]
            assert edit_distance(result.text, result.adversarial) <= distance
            words = Document.of(result.text).words
            assert len(result.changed) <= max(1, int(share * len(words)))
            assert not {words[i].lower() for i in result.changed} & {"a", "god"}
            assert (result.text != result.adversarial) == (result.status == "succeeded")


@pytest.mark.parametrize("name", RECIPES)
def test_a_success_turns_the_answer_and_a_failure_does_not(name: str, tiny: TextClassifier) -> None:
    texts = [f"{word} {noun}" for word in ("good", "great", "bad", "awful") for noun in ("film", "plot", "cast", "end")]
    report = recipe(name).run(tiny, texts, tiny.predict(texts))
    assert report.count("succeeded") >= 1
    again = tiny.predict([result.adversarial for result in report.results])
    for result, answer in zip(report.results, again, strict=True):
        assert answer == result.after
        assert (answer == result.label) == (result.status == "failed")


@pytest.mark.parametrize("name", RECIPES)
def test_a_seed_gives_its_texts_whatever_stands_beside_them(name: str, tiny: TextClassifier) -> None:
    whole = recipe(name).run(tiny, TEXTS, [1, 1, 0, 0], seed=3).results
    alone = tuple(recipe(name).run(tiny, [t], [y], seed=3).results[0] for t, y in zip(TEXTS, [1, 1, 0, 0], strict=True))
    assert whole == alone
    assert whole != recipe(name).run(tiny, TEXTS, [1, 1, 0, 0], seed=4).results


@pytest.mark.parametrize("text", ["", " ", "...", "a", "the", "good " * 600])
def test_texts_at_the_edge(text: str, tiny: TextClassifier) -> None:
    label = tiny.predict([text])[0]
    result = recipe("deepwordbug").run(tiny, [text], [label]).results[0]
    assert result.text == text
    assert result.status in ("succeeded", "failed")
    assert result.queries >= 1


def test_no_text_at_all(tiny: TextClassifier) -> None:
    report = recipe("deepwordbug").run(tiny, [], [])
    assert report.results == ()
    assert math.isnan(report.success_rate) and math.isnan(report.accuracy)


def test_what_is_wrong_already_is_left_alone() -> None:
    model = Words()
    result = recipe("deepwordbug").run(model, ["a bad film"], [1]).results[0]  # type: ignore[arg-type]
    assert (result.status, result.queries, result.adversarial) == ("skipped", 1, "a bad film")


def test_queries_are_counted_as_the_literature_counts() -> None:
    """The text, its masked forms, and each word's candidates until the answer turns."""
    result = recipe("deepwordbug").run(Words(), ["a good dull film"], [1]).results[0]  # type: ignore[arg-type]
    assert result.status == "failed"  # "good" broken leaves 0.1 for the class 1
    assert 1 + 3 + 3 * 2 <= result.queries <= 1 + 3 + 3 * 4


def test_the_most_important_word_goes_first() -> None:
    attack = Attack("test", ConfidenceReduction(0.9), Characters(("delete",)), Greedy())
    result = attack.run(Words(), ["good great day"], [1]).results[0]  # type: ignore[arg-type]
    assert result.changed == (1,)
    assert result.queries == 1 + 3 + 1


def test_deletion_asks_for_the_text_without_the_word() -> None:
    model = Words()
    Attack("test", Untargeted(), Characters(), Greedy("deletion")).run(model, ["good old film"], [1])  # type: ignore[arg-type]
    assert {"old film", "good film", "good old "} <= set(model.asked)


def test_a_target_is_reached_or_the_attack_fails() -> None:
    attack = Attack("test", Targeted(0), Characters(), Greedy())
    won = attack.run(Words(), ["good but bad"], [1])  # type: ignore[arg-type]
    assert won.results[0].status == "succeeded" and won.results[0].after == 0
    lost = Attack("test", Targeted(2), Characters(), Greedy()).run(Words("xyz"), ["a good film"], ["y"])  # type: ignore[arg-type]
    assert lost.results[0].status == "failed"


def test_a_model_of_three_classes() -> None:
    report = recipe("deepwordbug").run(Words("xyz"), ["good but bad", "a bad film"], ["y", "z"])  # type: ignore[arg-type]
    assert [result.status for result in report.results] == ["succeeded", "skipped"]
    assert report.results[0].label == "y" and report.results[0].after == "x"


@pytest.mark.parametrize("budget", [1, 3, 6])
def test_a_budget_is_kept(budget: int) -> None:
    attack = Attack("test", Untargeted(), Characters(), Greedy(), query_budget=budget)
    result = attack.run(Words(), ["good great film of the year"], [1]).results[0]  # type: ignore[arg-type]
    assert result.queries <= budget and result.status == "failed"


@pytest.mark.parametrize(
    ("texts", "labels", "says"),
    [
        (["x"], [0, 1], r"1 texts, but labels has shape \(2,\)"),
        (["x"], [7], "label 7"),
        ([], [0], "0 texts, but labels"),
        ("x", [0], "single str"),
        ([3], [0], "not a string"),
    ],
)
def test_bad_input(texts: list[str], labels: list[int], says: str, tiny: TextClassifier) -> None:
    with pytest.raises(BadInput, match=says):
        recipe("deepwordbug").run(tiny, texts, labels)


def test_bad_settings(tiny: TextClassifier) -> None:
    with pytest.raises(BadInput, match="query_budget is 0"):
        Attack("test", Untargeted(), Characters(), Greedy(), query_budget=0).run(tiny, ["x"], [0])
    with pytest.raises(BadInput, match="no recipe 'none'"):
        recipe("none")


@pytest.mark.parametrize(
    ("part", "setting", "says"),
    [
        (Greedy, "gradients", "importance is 'gradients'"),
        (Characters, ("swap", "rhyme"), "rhyme"),
        (Characters, (), "kinds is"),
        (MaxEditDistance, -1, "distance is -1"),
        (MaxWordsChanged, 1.5, "share is 1.5"),
        (ConfidenceReduction, 0.0, "below is 0.0"),
    ],
)
def test_bad_parts(part: Any, setting: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        part(setting)


@pytest.mark.parametrize("target", [-1, 2])
def test_a_target_that_the_model_has_not(target: int) -> None:
    with pytest.raises(BadInput, match=f"column {target}"):
        Attack("test", Targeted(target), Characters(), Greedy()).run(Words(), ["a good film"], [1])  # type: ignore[arg-type]


@pytest.mark.parametrize("goal", [ConfidenceReduction(0.9), Targeted(1)])
def test_a_goal_reached_before_is_no_success(goal: Any) -> None:
    report = Attack("test", goal, Characters(), Greedy()).run(Words(), ["a good film", ""], [1, 1])  # type: ignore[arg-type]
    assert [result.status for result in report.results] == ["skipped", "skipped"]
    assert report.accuracy == report.accuracy_under_attack == 1
    assert math.isnan(report.success_rate) and math.isnan(report.words_changed)


def test_less_confidence_is_not_less_accuracy() -> None:
    attack = Attack("test", ConfidenceReduction(0.9), Characters(("delete",)), Greedy())
    report = attack.run(Words(), ["good great day"], [1])  # type: ignore[arg-type]
    assert (report.success_rate, report.accuracy_under_attack) == (1, 1)


def test_an_attack_prints_its_parts() -> None:
    shown = str(recipe("deepwordbug"))
    for part in ("goal", "Untargeted", "transformation", "swap", "search", "Greedy", "constraints", "distance=30"):
        assert part in shown


# ---- the command -----------------------------------------------------------------------------------------------


def test_the_command_names_the_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.main(["attack", "--recipe", "none"]) == 1
    assert all(name in capsys.readouterr().err for name in RECIPES)


def test_the_command_gives_its_figures(tiny: TextClassifier, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    tiny.save(tmp_path / "model")
    assert commands.main(["attack", "--model", str(tmp_path / "model"), "--n", "6", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["n"] == len(answer["texts"]) == 6
    attacked = [text for text in answer["texts"] if text["status"] != "skipped"]
    failed = sum(text["status"] == "failed" for text in attacked)
    assert answer["accuracy_under_attack"] == pytest.approx(failed / 6, abs=1e-4)
    assert answer["queries_per_text"] == pytest.approx(np.mean([text["queries"] for text in attacked]), abs=1e-4)
    assert answer["seconds"] >= answer["model_seconds"] > 0
    assert commands.main(["attack", "--model", str(tmp_path / "model"), "--n", "0"]) == 1
