"""The widgets of notebooks 08 and 09 are moved by values, and answer in words, heat maps and pictures."""

import re
from dataclasses import replace
from html import unescape

import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import pytest
from toy_classifiers import fitted
from toy_games import Three, Toy, additive, tangled

from course_lib import widgets
from course_lib.errors import BadInput
from course_lib.explain import explain
from course_lib.widgets import samples
from course_lib.widgets.deletion import ORDERS

TEXT = "very good <b> bad film"
NAMES = {"yes": "liked", "no": "not <liked>"}


def plain(html: str) -> str:
    return unescape(re.sub(r"<style>.*?</style>|<[^>]*>", "", html))


class Broken:
    """Raises as long as it has troubles; then says that all is well."""

    classes_ = np.array([0, 1])

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = list(troubles)

    def predict_proba(self, texts):
        if self.troubles:
            raise self.troubles[0]
        return np.tile([0.25, 0.75], (len(texts), 1))


TROUBLES = [
    (BadInput("a <long> text", "cut it"), "a <long> textTo fix it: cut it"),
    (RuntimeError("out of memory"), "RuntimeError: out of memory"),
]

# ---------------------------------------------------------------- explain a text


def parts(box) -> tuple:
    """Line, button, ticks by method, words, heat map."""
    (line, button), ticks = box.children[0].children, box.children[1].children
    return line, button, {tick.description: tick for tick in ticks}, box.children[2], box.children[3]


def rows(html: str) -> list[str]:
    return re.findall(r'<th scope="row">([\w-]+)', html)


def test_each_method_has_a_row_and_says_its_strongest_word_error_and_queries():
    box = widgets.explain_text(additive(), ("exact", "occlusion"), TEXT, NAMES)
    _, button, ticks, words, picture = parts(box)
    assert "explain-text" in box._dom_classes and rows(picture.value) == ["exact", "occlusion"]
    assert list(ticks) == ["exact", "occlusion"] and button.description == "explain" and not button.disabled
    found = explain(additive(), [TEXT], "exact")[0]
    assert plain(words.value) == (
        "The probability of liked is 65.0%. exact: “good” +0.30 is strongest, no sampling error, "
        f"{found.queries} queries. occlusion: “good” +0.30 is strongest, efficiency gap 0%, 7 queries."
    )
    assert "aria-live" in words.value and "probability of liked" in plain(picture.value)


def test_enter_and_the_button_explain_a_new_text_and_each_text_is_asked_once():
    model = additive()
    line, button, ticks, words, picture = parts(widgets.explain_text(model, ["occlusion", "shap"], "good film"))
    assert not line.continuous_update  # so that its value is new on Enter, or when it is left
    line.value = "bad film"
    assert "“bad”" in words.value and ">bad<" in picture.value and "good" not in picture.value
    asked = len(model.asked)
    button.click()
    line.value = "good film"
    ticks["shap"].value = False
    assert rows(picture.value) == ["occlusion"] and "shap" not in words.value
    ticks["shap"].value = True
    assert rows(picture.value) == ["occlusion", "shap"] and len(model.asked) == asked


def test_only_ticked_methods_are_asked():
    model = additive()
    line, _, ticks, words, picture = parts(widgets.explain_text(model, ["occlusion", "shap"], "good film"))
    ticks["shap"].value = False
    before = len(model.asked)
    line.value = "very bad film"
    alone = len(model.asked) - before
    ticks["shap"].value = True
    assert alone > 0 and len(model.asked) > before + alone
    ticks["shap"].value = ticks["occlusion"].value = False
    assert plain(words.value) == "Tick a method." and picture.value == ""


@pytest.mark.parametrize(("text", "said"), [("", "Type a sentence."), ("  ", "Type a sentence."), ("...", "no words")])
def test_texts_without_words(text, said):
    *_, words, _ = parts(widgets.explain_text(additive(), ["shap"], text))
    assert said in plain(words.value)


def test_methods_take_settings_and_other_outputs():
    methods = {"lime": {"samples": 20, "repeats": 2}, "exact": {"output": "log-odds", "target": "no"}}
    *_, words, picture = parts(widgets.explain_text(additive(), methods, "good bad film"))
    assert "spread over seeds" in picture.value and "log-odds of no" in picture.value
    log_odds = {"exact": {"output": "log-odds"}}
    *_, words, _ = parts(widgets.explain_text(additive(), log_odds, "good film"))
    assert f"The log-odds of yes is {np.log(0.75 / 0.25):+.2f}." in plain(words.value)


def test_gradients_of_a_course_model_and_its_classes_in_words():
    *_, words, picture = parts(widgets.explain_text(fitted(), ["ig", "attention"], "a good film"))
    assert rows(picture.value) == ["ig", "attention"] and "probability of positive" in plain(words.value)
    assert "completeness gap" in words.value and "no error stated" in words.value


def test_a_method_that_cannot_says_why_beside_those_that_can():
    *_, words, picture = parts(widgets.explain_text(additive(), ["occlusion", "ig"], "good film"))
    assert rows(picture.value) == ["occlusion"] and "<b>ig</b>" in words.value and "To fix it" in words.value


@pytest.mark.parametrize(("trouble", "said"), TROUBLES)
def test_what_goes_wrong_is_shown_and_asked_again(trouble, said):
    model = Broken(trouble)
    _, button, _, words, picture = parts(widgets.explain_text(model, ["occlusion"], "good film"))
    assert "There is no explanation to show." in plain(words.value) and said in plain(words.value)
    assert "<long>" not in words.value and picture.value == "" and not button.disabled
    model.troubles.clear()
    button.click()
    assert "probability of positive is 75.0%" in plain(words.value) and rows(picture.value) == ["occlusion"]


def test_a_model_without_training_is_named():
    *_, words, _ = parts(widgets.explain_text(object(), ["shap"], "good film"))
    assert "has not been trained" in plain(words.value)


def test_while_it_computes_the_button_says_so():
    class Watched(Toy):
        def predict_proba(self, texts):
            if seen:
                states.append((seen[0].description, seen[0].disabled))
            return super().predict_proba(texts)

    seen: list[ipywidgets.Button] = []
    states: list[tuple[str, bool]] = []
    line, button, *_ = parts(widgets.explain_text(Watched(lambda words: 0.5), ["occlusion"], "good film"))
    seen.append(button)
    line.value = "bad film"
    assert set(states) == {("explaining …", True)} and (button.description, button.disabled) == ("explain", False)


# ---------------------------------------------------------------- samples


def sampler(model=None, text="one two three four five six", **more):
    box = widgets.sampling(model or tangled(), text, **{"counts": (20, 60, 200), "seeds": 4} | more)
    return box, *box.children


def test_more_samples_move_scores_less_and_the_picture_changes():
    box, slider, method, words, picture = sampler()
    assert "explanation-sampling" in box._dom_classes and slider.description == "Samples"
    assert slider.options == (("20", 20), ("60", 60), ("200", 200)) and method.options == (
        ("LIME", "lime"), ("SHAP", "shap")
    )  # fmt: skip
    assert not slider.continuous_update
    seen, moves = set(), []
    for slider.value in (20, 60, 200):
        seen.add(picture.value)
        moves.append(float(re.search(r"score is ([\d.e-]+) on average", words.value)[1]))
        assert plain(words.value).startswith(f"With {slider.value} samples and 4 seeds") and "1 − R²" in words.value
    assert len(seen) == 3 and moves[2] < moves[0] and not plt.get_fignums() and "aria-live" in words.value
    assert all("alt=" in html for html in seen)


def test_the_words_are_those_of_the_runs():
    *_, words, _ = sampler()
    runs = [explain(tangled(), ["one two three four five six"], "lime", samples=20, seed=seed)[0] for seed in range(4)]
    spread = np.std([run.scores for run in runs], axis=0, ddof=1)
    assert f"score is {spread.mean():.2g} on average and {spread.max():.2g} at most" in words.value
    firsts = [run.top(1)[0][0] for run in runs]
    first = max(firsts, key=firsts.count)
    assert f"“{first}” is strongest with {firsts.count(first)} of 4 seeds" in words.value


def test_each_setting_is_computed_once_and_each_text_asked_once(monkeypatch):
    model = tangled()
    asked = []

    def noted(*args, **kwargs):
        asked.append((args[2], kwargs["samples"], kwargs["seed"]))
        return explain(*args, **kwargs)

    monkeypatch.setattr("course_lib.widgets.samples.explain", noted)
    _, slider, method, *_ = sampler(model)
    for slider.value in (60, 20, 60):
        pass
    method.value = "shap"
    method.value = "lime"
    lime = [("lime", count, seed) for count in (20, 60) for seed in range(4)]
    assert asked[:8] == lime and len(asked) == len(set(asked)) and {name for name, *_ in asked} == {"lime", "shap"}
    texts = [text for batch in model.asked for text in batch]
    assert len(texts) == len(set(texts))


def test_all_pictures_of_a_method_have_the_axis_and_words_of_the_fewest_samples(monkeypatch):
    drawn = []

    def noted(runs, limits, words, names):
        drawn.append((limits, tuple(words), names))
        return plt.subplots()[1]

    monkeypatch.setattr("course_lib.plots.seed_spread", noted)
    _, slider, *_ = sampler(names=NAMES)
    slider.value = 200
    runs = [explain(tangled(), ["one two three four five six"], "lime", samples=20, seed=seed)[0] for seed in range(4)]
    scores = np.array([run.scores for run in runs])
    assert (
        len(drawn) == 2 and drawn[0] == drawn[1] and drawn[0][1] == (0, 1, 2, 3, 4, 5) and drawn[0][2]["yes"] == "liked"
    )
    assert drawn[0][0][0] < scores.min() and scores.max() < drawn[0][0][1]


def test_too_few_samples_for_a_method_are_named_and_the_next_setting_works():
    _, slider, _, words, picture = sampler(text=" ".join(["word"] * 15), counts=(20, 60), methods=("shap",))
    assert "The scores of 20 samples cannot be shown." in plain(words.value) and "use 30 or more" in plain(words.value)
    assert picture.layout.display == "none"
    slider.value = 60
    assert plain(words.value).startswith("With 60 samples") and picture.layout.display == "" and picture.value


@pytest.mark.parametrize(("trouble", "said"), TROUBLES)
def test_troubles_while_sampling_are_shown_and_asked_again(trouble, said):
    model = Broken(trouble)
    _, slider, _, words, picture = sampler(model)
    assert said in plain(words.value) and picture.layout.display == "none"
    model.troubles.clear()
    slider.value = 60
    assert "60 samples" in words.value and picture.value


def test_an_answer_that_cannot_be_used_is_not_remembered():
    class Nan(Broken):
        def predict_proba(self, texts):
            return super().predict_proba(texts) * (np.nan if self.answers_nan else 1)

        answers_nan = True

    model = Nan()
    _, slider, _, words, picture = sampler(model)
    assert "Nan returned numbers that are not finite" in plain(words.value) and picture.layout.display == "none"
    model.answers_nan = False
    slider.value = 60
    assert "60 samples" in words.value and picture.value
    slider.value = 20
    assert "20 samples" in words.value and not picture.layout.display


def test_an_error_of_a_seed_that_is_not_known_is_not_passed_over():
    runs = explain(tangled(), ["one two three"], "lime", samples=30) * 3
    runs = [
        replace(one, error=error, error_kind="standard error")
        for one, error in zip(runs, (0.1, np.nan, 0.2), strict=True)
    ]
    assert "standard error not known" in samples.describe_seeds(runs, 30)


@pytest.mark.parametrize("answer", [np.zeros((1, 2)), np.zeros(3), 1.0])
def test_answers_of_a_wrong_shape_are_named(answer):
    class Wrong(Broken):
        def predict_proba(self, texts):
            return answer

    _, _, _, words, _ = sampler(Wrong())
    assert "cannot be shown" in words.value and ("shape" in words.value or "Error" in words.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"counts": (50,)}, "counts are"),
        ({"counts": (100, 50)}, "counts are"),
        ({"counts": (0, 50)}, "counts are"),
        ({"seeds": 1}, "seeds is 1"),
        ({"methods": ("occlusion",)}, "methods are"),
        ({"methods": ("smoothgrad",)}, "methods are"),
        ({"methods": ("magic",)}, "methods are"),
        ({"methods": ()}, "methods are"),
    ],
)
def test_settings_that_cannot_be_sampled_are_named(more, said):
    with pytest.raises(BadInput, match=said) as caught:
        sampler(**more)
    assert caught.value.fix


# ---------------------------------------------------------------- delete words


def deleter(model=None, text=TEXT, method="occlusion", **more):
    model = model or additive()
    return widgets.delete_words(
        model, explain(model, [text], method, target=more.pop("target", None))[0], NAMES, **more
    )


def struck(html: str) -> list[str]:
    return [unescape(word) for word in re.findall(r"<del[^>]*>([^<]*)</del>", html)]


def test_words_go_in_the_order_of_their_scores():
    box = deleter()
    slider, order, answer = box.children
    assert "delete-words" in box._dom_classes and (slider.min, slider.max, slider.value) == (0, 5, 0)
    assert [name for _, name in order.options] == list(ORDERS) and "aria-live" in answer.value
    seen = []
    for slider.value in range(1, 6):
        seen.append((struck(answer.value), re.search(r"liked is ([\d.]+%)", plain(answer.value))[1]))
    assert seen == [
        (["good"], "35.0%"),
        (["very", "good"], "25.0%"),
        (["very", "good", "film"], "20.0%"),
        (["very", "good", "b", "film"], "20.0%"),
        (["very", "good", "b", "bad", "film"], "40.0%"),
    ]
    assert "<b>" in plain(answer.value)  # the text's own signs are kept, escaped


def test_the_words_tell_the_fall_and_the_flip():
    slider, _, answer = deleter().children
    assert plain(answer.value).startswith(
        "0 of 5 words deleted: the probability of liked is 65.0%. The model predicts liked. "
        "In this order the prediction changes after 1 deletion."
    )
    slider.value = 1
    assert (
        "1 of 5 words deleted: the probability of liked is 35.0%, from 65.0%. The model now predicts not <liked>."
        in plain(answer.value)
    )
    assert "width:35.0%" in answer.value and "left:65.0%" in answer.value
    steady = widgets.delete_words(Broken(), explain(Broken(), ["good film"], "occlusion")[0]).children
    assert "In this order the prediction never changes." in plain(steady[2].value)


def test_other_orders_go_the_other_way_or_at_random():
    slider, order, answer = deleter().children
    slider.value = 1
    order.value = "against"
    assert struck(answer.value) == ["bad"] and "85.0%" in answer.value and "still predicts liked" in answer.value
    order.value = "random"
    slider.value = 3
    first = struck(answer.value)
    others = {tuple(struck(move(deleter(seed=seed)))) for seed in range(6)}
    assert len(first) == 3 and tuple(first) in others and len(others) > 1


def move(box) -> str:
    slider, order, answer = box.children
    order.value, slider.value = "random", 3
    return answer.value


def test_all_steps_of_an_order_are_asked_at_once():
    model = additive()
    found = explain(model, [TEXT], "occlusion")[0]
    before = len(model.asked)
    slider, order, _ = widgets.delete_words(model, found).children
    for slider.value in range(6):
        pass
    assert [len(batch) for batch in model.asked[before:]] == [6]
    order.value = "against"
    order.value = "for"
    assert [len(batch) for batch in model.asked[before:]] == [6, 6]


def test_equal_words_that_are_one_player_go_together():
    model = additive()
    found = explain(model, ["good film, good end"], "occlusion", bow=True)[0]
    slider, _, answer = widgets.delete_words(model, found).children
    slider.value = 1
    assert slider.max == 3 and struck(answer.value) == ["good", "good"]


def test_another_class_than_the_likeliest():
    slider, _, answer = deleter(target="no").children
    assert "probability of not <liked> is 35.0%. The model predicts liked." in plain(answer.value)
    slider.value = 1
    assert struck(answer.value) == ["bad"]


@pytest.mark.parametrize(("trouble", "said"), TROUBLES)
def test_troubles_while_deleting_are_shown_and_asked_again(trouble, said):
    model = Broken()
    found = explain(model, ["good film"], "occlusion")[0]
    model.troubles.append(trouble)
    slider, _, answer = widgets.delete_words(model, found).children
    assert "There is no probability to show." in plain(answer.value) and said in plain(answer.value)
    model.troubles.clear()
    slider.value = 1
    assert "75.0%" in answer.value


def test_another_model_or_a_wrong_shape_is_named():
    found = explain(additive(), ["good film"], "occlusion")[0]
    answer = widgets.delete_words(Three(), found).children[2]
    assert "the explained class 'yes' is not one of ['a', 'b', 'c']" in plain(answer.value)

    class Wrong(Toy):
        def predict_proba(self, texts):
            return np.zeros((1, 2))

    assert "gave the shape (1, 2)" in plain(widgets.delete_words(Wrong(lambda words: 0), found).children[2].value)


def test_explanations_that_cannot_be_deleted_are_named():
    empty = explain(additive(), ["..."], "occlusion")[0]
    with pytest.raises(BadInput, match="no words"):
        widgets.delete_words(additive(), empty)
    found = explain(additive(), ["good film"], "occlusion")[0]
    for wrong in ({"text": "a good film"}, {"scores": np.ones(1)}):
        with pytest.raises(BadInput, match="are not those of its words"):
            widgets.delete_words(additive(), replace(found, **wrong))


@pytest.mark.parametrize("methods", [(), ("magic",), {"shap": {}, "magic": {}}])
def test_methods_that_do_not_exist_are_named(methods):
    with pytest.raises(BadInput, match="methods are"):
        widgets.explain_text(additive(), methods)
