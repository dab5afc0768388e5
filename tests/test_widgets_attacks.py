"""The widgets of notebook 05 are moved by values and clicks, and answer in words and pictures."""

import json
import re
from dataclasses import dataclass
from html import unescape

import ipywidgets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_games import Spotter

from course_lib.attacks.human_evaluation import Vote, add_vote, read_votes
from course_lib.errors import BadInput
from course_lib.text.document import Document
from course_lib.widgets.attacks import MOST_WEIGHTS, watch_attack
from course_lib.widgets.judgement import LABEL, MEANING, vote_on_attacks

# ---------------------------------------------------------------- an attack, step by step


@dataclass(frozen=True)
class Step:
    note: str
    queries: int
    text: str
    score: float = 0.5
    reached: bool = False
    weights: tuple = ()


class Doubling:
    """Asks what each word weighs, tries in vain to change the last word, then writes "good" with an o more."""

    def __init__(self, weights=None) -> None:
        self.labels: list = []
        self.weights = weights

    def steps(self, classifier, text, label, seed=0):
        self.labels.append((label, seed))
        words = Document.of(text).words
        weights = self.weights or tuple((at, 0.65 * (word == "good")) for at, word in enumerate(words))
        way = [Step("the original text", 1, text), Step("importance of the words", len(words), text, weights=weights)]
        way.append(Step('candidates for "<last>"', 4, text))
        changed = text.replace("good", "goood")
        return [*way, Step('candidates for "good"', 4, changed, reached=changed != text)]


class Failing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def steps(self, classifier, text, label, seed=0):
        raise self.error


def attacked(text: str = "a good film", attack=None, **parameters) -> tuple[ipywidgets.VBox, ipywidgets.IntSlider]:
    box = watch_attack(Spotter(), {"doubling": attack or Doubling()}, text, **parameters)
    return box, box.children[2].children[1]


def plain(html: str) -> str:
    return unescape(re.sub(r"<style>.*?</style>|<[^>]*>", "", html))


def test_the_slider_walks_through_the_attack():
    box, slider = attacked()
    line, (recipe, button), answer = box.children[0], box.children[1].children, box.children[3]
    assert "watch-attack" in box._dom_classes and line.description == "Your sentence"
    assert recipe.options == ("doubling",) and button.description == "attack" and not button.disabled
    assert (slider.min, slider.max, slider.value) == (0, 3, 0) and box.children[2].layout.display == ""
    seen = []
    for slider.value in range(4):
        seen.append(plain(answer.value))
    assert "Step 0 of 3: the original text (1 text). Queries so far: 1." in seen[0]
    assert (
        "The model predicts positive. This is taken as the true class." in seen[0]
        and "Importance of each" not in seen[0]
    )
    assert "importance of the words (3 texts). Queries so far: 4." in seen[1] and "Importance of each word:" in seen[1]
    assert (
        'candidates for "<last>" (4 texts). Queries so far: 8.The' not in seen[2]
        and "still predicts positive." in seen[2]
    )
    assert "Queries so far: 12." in seen[3]
    assert "The model predicts negative. The attack has reached its goal." in seen[3]


def test_changes_probability_and_weights_are_shown():
    box, slider = attacked()
    slider.value = 1
    before = box.children[3].value
    assert re.findall(r"width:([\d.]+)%", before)[1:] == ["90.0", "0.0", "100.0", "0.0"]  # the first is the style's
    assert "p(positive)" in before and "90.0%" in before and "<del" not in re.sub("<style>.*?</style>", "", before)
    slider.value = 3
    after = box.children[3].value
    assert '<del title="“good” became “goood”">good</del><ins' in after and "25.0%" in after
    assert "<b>good → goood</b>" in after


def test_the_models_own_answer_is_the_true_class():
    attack = Doubling()
    box, _ = attacked("a bad film", attack, seed=7)
    assert attack.labels == [(0, 7)] and "p(negative)" in box.children[3].value
    slider = box.children[2].children[1]
    slider.value = 3
    assert "The model still predicts negative. The attack ends here without success." in plain(box.children[3].value)


def test_typing_attacks_nothing_and_the_button_does():
    attack, other = Doubling(), Doubling()
    box = watch_attack(Spotter(), {"one": attack, "other": other}, "a good film")
    line, (recipe, button) = box.children[0], box.children[1].children
    box.children[2].children[1].value = 2
    line.value = "so good"
    assert len(attack.labels) == 1 and plain(box.children[3].value) == "Press “attack”."
    assert box.children[2].layout.display == "none"
    recipe.value = "other"
    assert other.labels == []
    button.click()
    assert len(attack.labels) == 1 and len(other.labels) == 1
    slider = box.children[2].children[1]
    assert slider.value == 0 and "so good" in plain(box.children[3].value) and box.children[2].layout.display == ""
    line.value = " "
    assert plain(box.children[3].value) == "Type a sentence."
    button.click()
    assert "the line is empty" in box.children[3].value


def test_the_model_is_asked_twice_beside_the_attack():
    model = Spotter()
    watch_attack(model, {"doubling": Doubling()}, "a good film")
    assert [len(call) for call in model.calls] == [1, 4]


def test_own_names_are_text_not_html():
    answer = attacked(names={1: "<u>yes</u>", 0: "no"})[0].children[3].value
    assert "<u>" not in answer and "p(&lt;u&gt;yes" in answer
    box, slider = attacked("<u>x</u> good &amp; <i>")
    slider.value = 3
    assert "<u>" not in box.children[3].value and "<i>" not in box.children[3].value
    assert "<u>x</u> goodgoood &amp; <i>" in plain(box.children[3].value)


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (Failing(BadInput("a <long> text", "cut it")), "a &lt;long&gt; text<br>To fix it: cut it"),
        (Failing(KeyError("x")), "KeyError"),
        (Failing(RuntimeError("out of memory")), "RuntimeError: out of memory"),
        (object(), "AttributeError"),
        (Doubling(weights=((9, 1.0),)), "positions [9]"),
        (Doubling(weights=((-1, 1.0),)), "positions [-1]"),
        (type("Empty", (), {"steps": lambda *_: []})(), "not the typed text"),
        (type("Other", (), {"steps": lambda *_: [Step("x", 1, "else")]})(), "not the typed text"),
    ],
)
def test_what_goes_wrong_is_shown_not_raised(attack, said):
    box, _ = attacked(attack=attack)
    assert "There is no attack to show." in box.children[3].value and said in box.children[3].value
    assert box.children[2].layout.display == "none" and not box.children[1].children[1].disabled
    box.children[0].value = "new"
    assert plain(box.children[3].value) == "Press “attack”."


def test_models_and_recipes_that_are_not_there_are_named():
    untrained = type("Untrained", (), {})()
    assert "this Untrained has not been trained yet" in watch_attack(untrained, {"a": Doubling()}).children[3].value
    assert "no attack to choose" in watch_attack(Spotter(), {}).children[3].value


def test_an_attack_that_may_change_nothing_says_so():
    only = type("Only", (), {"steps": lambda self, model, text, label, seed: [Step("the original text", 1, text)]})()
    box, _ = attacked(attack=only)
    assert "The attack may change nothing in this text." in plain(box.children[3].value)
    assert box.children[2].layout.display == "none"


def test_of_many_words_the_heaviest_are_shown_in_their_order():
    words = [f"w{k}" for k in range(20)]
    weights = (*((at, at / 10) for at in range(19)), (19, -np.inf))
    box, slider = attacked(" ".join(words), Doubling(weights))
    slider.value = 1
    answer = box.children[3].value
    assert f"the {MOST_WEIGHTS} most important of 19" in answer
    assert re.findall(r'overflow-wrap:anywhere">(w\d+)<', answer) == words[7:19]


def test_negative_weights_have_no_bar_but_a_number():
    box, slider = attacked("a b", Doubling(((0, -0.3), (1, -0.1))))
    slider.value = 1
    assert re.findall(r"width:([\d.]+)%;b", box.children[3].value)[1:] == ["0.0", "0.0"]
    assert "<span>-0.3</span>" in box.children[3].value


@given(st.text(max_size=40))
@settings(deadline=None, max_examples=25)
def test_any_text_can_be_attacked(text):
    box, _ = attacked("good")
    box.children[0].value = text
    box.children[1].children[1].click()
    line = box.children[0].value
    assert box.children[2].layout.display == ("" if line.strip() else "none")
    assert ("Step 0 of 3" if line.strip() else "There is no attack to show") in box.children[3].value


# ---------------------------------------------------------------- the reader as a judge


@dataclass(frozen=True)
class Pair:
    text: str
    adversarial: str
    label: object = 1


PAIRS = [Pair("a good film", "a goood film"), Pair("a bad film", "a sad film", 0), Pair("so so", "so so", 0)]
NAMES = {0: "negative", 1: "positive"}


def buttons(box: ipywidgets.VBox) -> list[ipywidgets.Button]:
    """Those that can be seen."""
    return [button for row in box.children[3:] if row.layout.display != "none" for button in row.children]


def press(box: ipywidgets.VBox, name: str) -> None:
    next(button for button in buttons(box) if button.description == name).click()


def test_the_label_is_asked_before_the_original_is_shown(tmp_path):
    box = vote_on_attacks(PAIRS, tmp_path / "votes.json", NAMES)
    progress, text, question = box.children[:3]
    assert "vote-on-attacks" in box._dom_classes and "Text 1 of 3" in progress.value
    assert plain(text.value) == "a goood film" and LABEL in question.value
    assert [button.description for button in buttons(box)] == ["negative", "positive", "cannot tell"]
    press(box, "positive")
    assert "a good film" in plain(text.value) and "a goood film" in plain(text.value) and MEANING in question.value
    assert [button.description for button in buttons(box)] == ["yes", "no"]
    press(box, "yes")
    assert "Text 2 of 3" in progress.value and plain(text.value) == "a sad film"


def test_votes_are_stored_and_told_at_the_end(tmp_path):
    file = tmp_path / "votes.json"
    add_vote(file, Vote("of another notebook", "x", 1, 0, False))
    box = vote_on_attacks(PAIRS, file, NAMES)
    for name in ("positive", "yes", "cannot tell", "no", "negative"):
        press(box, name)
    assert "That was the last text" in box.children[0].value and buttons(box) == [] and not box.children[2].value
    assert "2 changed texts: 50%" in plain(box.children[1].value) and "unchanged texts, 100%" in box.children[1].value
    votes = read_votes(file).iloc[1:]
    assert votes["given"].tolist() == [1, None, 0] and votes["same"].tolist() == [True, False, True]


def test_after_a_restart_it_goes_on_where_it_stood(tmp_path):
    file = tmp_path / "votes.json"
    press(vote_on_attacks(PAIRS, file, NAMES), "positive")
    box = vote_on_attacks(PAIRS, file)
    assert MEANING in box.children[2].value
    press(box, "no")
    assert "Text 2 of 3" in vote_on_attacks(PAIRS, file).children[0].value
    assert read_votes(file)["given"].tolist() == [1]


def test_labels_take_their_names_from_the_reader_of_the_notebook(tmp_path):
    pairs = [Pair("a", "b", np.str_("spam")), Pair("c", "d", "ham")]
    names = [button.description for button in buttons(vote_on_attacks(pairs, tmp_path / "1.json"))]
    assert names == ["ham", "spam", "cannot tell"]
    names = [button.description for button in buttons(vote_on_attacks(PAIRS, tmp_path / "3.json"))]
    assert names == ["0", "1", "cannot tell"]  # of whatever task
    named = vote_on_attacks(pairs, tmp_path / "2.json", {"spam": "junk", "ham": "fine", "bulk": "bulk"})
    assert [button.description for button in buttons(named)] == ["junk", "fine", "bulk", "cannot tell"]
    press(named, "junk")
    assert read_votes(tmp_path / "2.json")["given"].tolist() == ["spam"]


def test_adversarial_texts_are_no_html(tmp_path):
    box = vote_on_attacks([Pair("<u>a</u>", "<u>b</u>")], tmp_path / "votes.json", NAMES)
    assert "<u>" not in box.children[1].value
    press(box, "positive")
    assert "<u>" not in box.children[1].value


def test_a_damaged_file_is_shown_and_kept(tmp_path):
    file = tmp_path / "votes.json"
    file.write_text("{")
    box = vote_on_attacks(PAIRS, file)
    assert "No vote can be taken" in box.children[0].value and "does not hold votes" in box.children[1].value
    assert buttons(box) == [] and file.read_text() == "{"


def test_a_vote_that_cannot_be_written_is_asked_again(tmp_path, monkeypatch):
    box = vote_on_attacks(PAIRS, tmp_path / "votes.json", NAMES)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("course_lib.attacks.human_evaluation.write_atomically", full)
        press(box, "positive")
    assert "No space left" in box.children[0].value and LABEL in box.children[2].value
    press(box, "positive")
    assert "No space left" not in box.children[0].value and MEANING in box.children[2].value
    assert len(json.loads((tmp_path / "votes.json").read_text())["votes"]) == 1


def test_without_pairs_there_is_nothing_to_vote_on(tmp_path):
    box = vote_on_attacks([], tmp_path / "votes.json")
    assert "0 votes" in box.children[1].value and buttons(box) == []
