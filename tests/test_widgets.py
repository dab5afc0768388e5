"""Widgets are moved by setting their values, and answer in their HTML and pictures."""

import re
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from course_lib import widgets
from course_lib.errors import BadInput, CourseError
from course_lib.exercises.catalogue import NOTEBOOKS, questions_of
from course_lib.exercises.markdown import to_inline_html


class Counter:
    """A classifier of the third kind: positive is the share of the letter o."""

    classes_ = np.array([0, 1])

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        share = np.array([text.count("o") / len(text) for text in texts])
        return np.stack([1 - share, share], axis=1).astype(np.float32)


class Failing(Counter):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        raise self.error


def label(html: str) -> str:
    found = re.findall(r'<span class="prediction-label">(.*?)</span>', html)
    assert len(found) == 1
    return found[0]


def test_the_prediction_follows_every_letter():
    box = widgets.watch_prediction(Counter(), "abc")
    line, answer = box.children
    assert isinstance(box, ipywidgets.Widget) and "watch-prediction" in box._dom_classes
    assert line.description == "Your sentence" and line.continuous_update
    assert label(answer.value) == "negative (1.00)"
    line.value = "oooa"
    assert label(answer.value) == "positive (0.75)"
    assert re.findall(r"width:(\d+\.\d)%", answer.value) == ["25.0", "75.0"]


@pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
def test_without_a_sentence_it_asks_for_one(blank):
    line, answer = widgets.watch_prediction(Counter()).children
    line.value = blank
    assert label(answer.value) == "type a sentence"


def test_own_names_and_other_classes():
    assert label(widgets.watch_prediction(Counter(), "a", {0: "No", 1: "Yes"}).children[1].value) == "No (1.00)"
    model = Counter()
    model.classes_ = np.array(["spam", "ham"])
    assert label(widgets.watch_prediction(model, "a").children[1].value) == "spam (1.00)"


def test_names_are_text_not_html():
    answer = widgets.watch_prediction(Counter(), "a", {0: "<b>bad</b>"}).children[1].value
    assert "<b>" not in answer and "&lt;b&gt;bad" in answer


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (BadInput("the text is <too> long", "cut it"), "the text is &lt;too&gt; long<br>To fix it: cut it"),
        (CourseError("no model", "train one"), "no model<br>To fix it: train one"),
        (ValueError("wrong shape"), "ValueError: wrong shape"),
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
    ],
)
def test_what_goes_wrong_is_shown_not_raised(error, said):
    line, answer = widgets.watch_prediction(Failing(error), "a").children
    assert label(answer.value) == "no prediction" and said in answer.value
    line.value = ""
    assert label(answer.value) == "type a sentence"


def test_a_model_that_was_not_trained_is_named():
    class Untrained:
        pass

    answer = widgets.watch_prediction(Untrained(), "a").children[1].value
    assert "this Untrained has not been trained yet" in answer


def test_of_many_classes_the_ten_likeliest_are_shown():
    class Many:
        classes_ = np.arange(30)

        def predict_proba(self, texts):
            return np.arange(30.0)[None] / 435

    answer = widgets.watch_prediction(Many(), "a").children[1].value
    assert label(answer) == "29 (0.07)" and answer.count("height:1em") == 10


def run(rate: float, epochs: int, losses: list[float], accuracies: list[float]) -> list[dict[str, float]]:
    """A run of ten steps an epoch, with the accuracy at the end of each epoch."""
    rows = []
    for step in range(1, 10 * epochs + 1):
        place = step / (10 * epochs)
        row = {"learning_rate": rate, "epochs": epochs, "step": step, "validation_accuracy": np.nan}
        row["train_loss"] = float(np.interp(place, np.linspace(0, 1, len(losses)), losses))
        if step % 10 == 0:
            row["validation_accuracy"] = accuracies[step // 10 - 1]
        rows.append(row)
    return rows


CURVES = pd.DataFrame(
    [
        *run(1e-5, 1, [0.7, 0.69], [0.55]),
        *run(1e-5, 2, [0.7, 0.5], [0.6, 0.7]),
        *run(1e-4, 1, [0.7, 0.4], [0.83]),
        *run(1e-4, 2, [0.7, 0.2], [0.84, 0.87]),
        *run(5e-4, 2, [0.7, 0.05], [0.85, 0.81]),
        *run(1e-3, 1, [0.7, 0.72], [0.5]),
        *run(1e-3, 2, [0.7, 0.3], [0.8, 0.82]),
        *run(1e-2, 1, [0.7, 0.7, np.inf], [np.nan]),
    ]
)

DIAGNOSES = {
    (1e-4, 2): "87.0% of the validation sentences are right. This is among the best",
    (1e-4, 1): "The best run has 87.0%, with the learning rate 0.0001 and 2 epochs: train longer",
    (1e-5, 1): "The loss did not fall: most likely the steps are too small",
    (
        1e-5,
        2,
    ): "The best run has 87.0%, with the learning rate 0.0001 and 2 epochs: raise the rate",
    (1e-3, 1): "The loss did not fall: most likely the steps are so large",
    (1e-3, 2): "epochs: lower the rate",
    (5e-4, 2): "Earlier it was 85.0%: the model overfits",
    (1e-2, 1): "it diverged",
    (1e-2, 2): "no such run was stored",
}


@pytest.mark.parametrize(("rate", "epochs"), DIAGNOSES)
def test_each_run_gets_its_own_diagnosis(rate, epochs):
    assert DIAGNOSES[rate, epochs] in widgets.diagnose(CURVES, rate, epochs)


def test_an_interrupted_run_is_named():
    broken = CURVES[(CURVES["learning_rate"] == 1e-2) & np.isfinite(CURVES["train_loss"])]
    assert "interrupted at step" in widgets.diagnose(broken, 1e-2, 1)


def test_sliders_choose_the_run():
    box = widgets.compare_runs(CURVES)
    rate, epochs, words, picture = box.children
    assert "compare-runs" in box._dom_classes
    assert [value for _, value in rate.options] == [1e-5, 1e-4, 5e-4, 1e-3, 1e-2]
    rate.value, epochs.value = 1e-4, 2
    before = picture.value
    assert "Learning rate 0.0001, 2 epochs: 87.0%" in words.value and "alt=" in before
    rate.value = 1e-5
    assert "Learning rate 1e-05, 2 epochs: 70.0%" in words.value and picture.value != before
    assert not plt.get_fignums()


def test_every_pair_of_sliders_answers(monkeypatch):
    monkeypatch.setattr("course_lib.plots.to_html", lambda axes: plt.close(axes.figure) or "")
    rate, epochs, words, _ = widgets.compare_runs(CURVES).children
    answers = set()
    for _, one in rate.options:
        for _, two in epochs.options:
            rate.value, epochs.value = one, two
            answers.add(words.value)
    assert len(answers) == 10


@pytest.mark.parametrize("curves", [CURVES.drop(columns="step"), CURVES.head(0)])
def test_curves_that_cannot_be_shown_are_named(curves):
    with pytest.raises(BadInput, match="rows and the columns"):
        widgets.compare_runs(curves)


def sure_model() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a model that is right with its true chance, sharpened by a temperature of 0.5."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.02, 0.98, 2000)
    sharp = p**2 / (p**2 + (1 - p) ** 2)
    return np.stack([1 - sharp, sharp], axis=1), (rng.random(2000) < p).astype(int)


def test_the_browser_gets_one_child_more_which_names_the_controls():
    box = widgets.compare_runs(CURVES)
    sent = box.get_state()["children"]
    assert sent == [f"IPY_MODEL_{one.model_id}" for one in (*box.children, box.names)]
    assert "aria-label" in box.names._esm and box.names.layout.display == "none"
    box.set_state({"children": sent})
    assert len(box.children) == 4


def test_the_picture_of_a_widget_has_a_text_alternative_that_follows_it():
    box = widgets.calibration_explorer(*sure_model())
    first = re.search('alt="(.*?)"', box.children[2].value)
    box.children[0].value = 2.0
    second = re.search('alt="(.*?)"', box.children[2].value)
    assert first and second and first[1] != second[1] and "accuracy" in second[1]


def told(box: ipywidgets.VBox) -> tuple[float, float, str]:
    """ECE, log loss, accuracy as the words say."""
    found = re.search(r"ECE (\S+), log loss (\S+) nats. Accuracy (\S+),", box.children[1].value)
    assert found
    return float(found[1]), float(found[2]), found[3]


def test_the_right_temperature_mends_the_calibration_and_no_prediction():
    box = widgets.calibration_explorer(*sure_model())
    before, picture = told(box), box.children[2].value
    box.children[0].value = 2.0
    after = told(box)
    assert "temperature-explorer" in box._dom_classes
    assert after[0] < 0.4 * before[0] and after[1] < before[1] and after[2] == before[2]
    assert box.children[2].value != picture and not plt.get_fignums()


def test_the_explorer_names_bad_input():
    with pytest.raises(BadInput, match="2 labels"):
        widgets.calibration_explorer([[0.5, 0.5]], [0, 1])


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_the_quiz_holds_every_word_of_its_text(notebook: str):
    form, questions = widgets.quiz(notebook), questions_of(notebook)
    assert [len(one["options"]) for one in form.questions] == [len(question.options) for question in questions]
    for shown, question in zip(form.questions, questions, strict=True):
        assert [option["right"] for option in shown["options"]] == [option.right for option in question.options]
        assert shown["options"][0]["text"] == to_inline_html(question.options[0].text)
        words = shown["text"] + "".join(option["text"] + option["because"] for option in shown["options"])
        assert "$" not in words and "`" not in words and "<li>" not in words  # formulas, code, "1." as a list


def test_the_quiz_is_readable_without_a_kernel():
    bundle, _ = widgets.quiz("03")._repr_mimebundle_()
    assert bundle["text/plain"] == "Quiz of notebook 03: 5 questions"
    assert bundle["text/markdown"].count("<details><summary>Answer</summary>") == 5
    with pytest.raises(BadInput, match="'99'"):
        widgets.quiz("99")


def test_answers_to_the_quiz_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.jsonl"))
    form = widgets.quiz("03")
    form.answers = {"2": "b"}
    form.answers = {"2": "ba", "5": "c"}
    assert widgets.quiz("03").answers == {"2": "ba", "5": "c"} and widgets.quiz("04").answers == {}
