"""Stored attacks, transfer between models, and attacks on models of scikit-learn."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toy_classifiers

from course_lib import TextClassifier, baselines, corpora
from course_lib.attacks import (
    PGD,
    Document,
    Neighbours,
    Untargeted,
    VictimModel,
    exchange_gains,
    fgsm,
    recipe,
    studies,
    transfer_table,
)
from course_lib.attacks.report import AttackResult
from course_lib.errors import BadInput
from course_lib.experiments import Experiment, Run
from course_lib.text.modules import input_embeddings

TEXTS, LABELS = toy_classifiers.TEXTS[:16], toy_classifiers.LABELS[:16]


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Toy sentences and models in place of the course's."""
    frame = pd.DataFrame({"text": TEXTS, "label": LABELS})
    monkeypatch.setattr(corpora, "part", lambda name, split, limit=None: frame.head(limit or len(frame)))
    monkeypatch.setitem(studies.MODELS, "sentiment", toy_classifiers.fitted)
    monkeypatch.setattr(studies, "_sentiment", toy_classifiers.fitted)
    yield


def stored(function: Any, config: dict[str, Any]) -> Run:
    """A run as it comes back from the disk."""
    result = json.loads(json.dumps(function(config, Path("nowhere"))))
    return Run(function.name, json.loads(json.dumps(config)), result, 1.0, "stored")


CONFIG = {"recipe": "deepwordbug", "n": 12, "seed": 3, "model": "sentiment"}


@pytest.mark.usefixtures("toys")
def test_a_stored_attack_is_the_attack() -> None:
    report = studies.report_of(stored(studies.attack_study, CONFIG))
    direct = recipe("deepwordbug").run(toy_classifiers.fitted(), TEXTS[:12], LABELS[:12], seed=3)
    assert report.results == direct.results
    assert report.count("succeeded") > 0
    assert (report.recipe, report.seed) == ("deepwordbug", 3)


@pytest.mark.usefixtures("toys")
def test_the_table_repeats_the_reports_figures() -> None:
    report = studies.report_of(stored(studies.attack_study, CONFIG))
    (row,) = studies.as_attacks({"typos": report}).to_dict("records")
    assert row["attack"] == "typos"
    assert (row["texts"], row["attacked"]) == (12, 12 - report.count("skipped"))
    assert (row["success"], row["queries"]) == (report.success_rate, report.queries_per_text)
    assert row["under"] == pytest.approx(row["before"] - report.count("succeeded") / 12)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("method", ["FGSM", "PGD"])
def test_the_accuracies_are_those_of_the_attack(method: str) -> None:
    config = {"method": method, "norm": "l2", "epsilons": [0.0, 0.5], "steps": 3, "n": 8, "seed": 1}
    curve = studies.embedding_attack_study.rows([stored(studies.embedding_attack_study, config)])
    attack = fgsm(0.5, "l2") if method == "FGSM" else PGD(0.5, "l2", 3)
    direct = attack.run(toy_classifiers.fitted(), TEXTS[:8], LABELS[:8], seed=1)
    assert curve["epsilon"].tolist() == [0.0, 0.5]
    assert curve["accuracy"].iloc[0] == direct.accuracy
    assert curve["accuracy"].iloc[1] == direct.accuracy_under_attack
    assert set(curve["method"]) == {method} and set(curve["n"]) == {8}


@pytest.mark.usefixtures("toys")
def test_odd_texts_are_those_that_were_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def lengths(model: Any, texts: list[str]) -> Any:
        asked.append(texts)
        return np.array([float(len(text)) for text in texts])

    monkeypatch.setattr(studies, "pseudo_perplexity", lengths)
    monkeypatch.setattr(studies.LanguageModel, "from_pretrained", lambda name: None)
    monkeypatch.setattr(Experiment, "run", lambda self, config, **_: stored(self, config))
    found = studies.perplexity_study(CONFIG, Path("nowhere"))
    won = [one for one in studies.report_of(stored(studies.attack_study, CONFIG)).results if one.status == "succeeded"]
    assert asked == [[one.text for one in won], [one.adversarial for one in won]]
    assert found["after"] == [len(one.adversarial) for one in won]
    (row,) = studies.perplexity_study.rows([stored(studies.perplexity_study, CONFIG)]).to_dict("records")
    ratios = np.array(found["after"]) / np.array(found["before"])
    assert row["texts"] == len(won) and row["times"] == np.median(ratios) and row["odder"] == np.mean(ratios > 1)


def test_longer_attacks_are_forecast_to_take_longer() -> None:
    few, many = ({**CONFIG, "n": n} for n in (8, 32))
    cost = studies.attack_study.cost
    assert cost is not None and cost(few) < cost(many)
    assert cost({**few, "model": "TF-IDF"}) < cost(few) < cost({**few, "recipe": "pwws"})
    one = {"method": "FGSM", "norm": "l2", "epsilons": [0.1], "steps": 5, "n": 8, "seed": 0}
    cost = studies.embedding_attack_study.cost
    assert cost is not None and cost(one) < cost({**one, "method": "PGD"})


@pytest.mark.usefixtures("toys")
def test_results_hold_no_text() -> None:
    result = studies.attack_study(CONFIG, Path("nowhere"))
    assert not [text for text in TEXTS if text in json.dumps(result)]


@pytest.mark.parametrize(
    ("text", "changed"),
    [("a good film", "a goood film"), ("a good film", "a film"), ("", "new"), ("ab", "ba"), ("a\nfilm", "a 🙂 film")],
)
def test_edits_turn_one_text_into_the_other(text: str, changed: str) -> None:
    assert studies.edited(text, json.loads(json.dumps(studies.edits(text, changed)))) == changed
    assert studies.edits(text, text) == []


# ---- transfer --------------------------------------------------------------------------------------------------


class Reader:
    """Says 1 of texts that hold a word, else 0."""

    def __init__(self, word: str) -> None:
        self.word = word

    def predict(self, texts: list[str]) -> Any:
        return np.array([int(self.word in text.split()) for text in texts])


def result(text: str, adversarial: str, status: str = "succeeded") -> AttackResult:
    return AttackResult(text, adversarial, status, 1, 1, 0, 2, 5, (0,))


MADE = [
    result("good film", "fine film"),
    result("good plot", "god plot"),
    result("nice plot", "mice plot"),  # a reader of `good` has the original wrong
    result("good cast", "good cast", "failed"),
]


def test_transfer_counts_texts_whose_original_is_read_rightly() -> None:
    table = transfer_table({"A": MADE}, {"good": Reader("good"), "plot": Reader("plot")}).set_index("read_by")
    assert table.loc["good", "n"] == 2 and table.loc["good", "success"] == 1.0
    assert table.loc["plot", "n"] == 2 and table.loc["plot", "success"] == 0.0
    assert table.loc["plot", "low"] == 0 and 0.5 < table.loc["plot", "high"] < 1


def test_a_models_own_texts_always_fool_it() -> None:
    model = toy_classifiers.fitted()
    made = recipe("deepwordbug").run(model, TEXTS, LABELS).results
    assert transfer_table({"own": made}, {"own": model})["success"].tolist() == [1.0]


@pytest.mark.parametrize("made", [[], [replace(MADE[2])]])
def test_transfer_of_nothing_is_refused(made: list[AttackResult]) -> None:
    with pytest.raises(BadInput, match="has no original right"):
        transfer_table({"A": made}, {"good": Reader("good")})


def test_configurations_of_several_recipes() -> None:
    first, second = studies.configurations("pwws", "bae", n=5)
    assert first == {"recipe": "pwws", "n": 5, "seed": 0, "model": "sentiment"} and second == first | {"recipe": "bae"}


# ---- predicted and true gains ----------------------------------------------------------------------------------


def test_gains_are_the_gradients_and_the_losses() -> None:
    model, text = toy_classifiers.fitted(), "a good film and so on"
    table = exchange_gains(model, text, 1)
    assert set(table["old"]) <= {"good", "film", "so"} and "good" in set(table["old"])
    document = Document.of(text)
    (gradient,) = VictimModel(model, Untargeted()).gradients([document], [1])
    wrong = model.predict_proba([text])[0, 0]  # d(-log p) = (1 - p) d(log-odds)
    for row in table.to_dict("records"):
        assert row["old"] == document.words[row["position"]]
        gain = float(gradient.gains(row["position"], row["old"], [row["new"]])[0])
        assert row["predicted"] == pytest.approx(wrong * gain, rel=1e-3)
        before, after = model.predict_proba([text, document.replace(row["position"], row["new"]).text])[:, 1]
        assert row["true"] == pytest.approx(np.log(before) - np.log(after), abs=1e-5)


def test_a_small_step_is_predicted_rightly() -> None:
    """Where the old and the new word lie close together the first order is nearly all there is."""
    model = toy_classifiers.tiny().fit(TEXTS, LABELS)
    table = input_embeddings(model.module_).weight.data
    good, fine = model.tokenizer_.convert_tokens_to_ids(["good", "fine"])
    table[fine] = table[good] + 0.02 * (table[fine] - table[good])
    row = exchange_gains(model, "a good film", 1, Neighbours(3, 0.99)).set_index("new").loc["fine"]
    assert row["true"] == pytest.approx(row["predicted"], rel=0.2)


@pytest.mark.parametrize(("text", "label"), [("a good film", 7), ("the", 1), ("", 1)])
def test_gains_of_nothing_are_refused(text: str, label: int) -> None:
    with pytest.raises(BadInput):
        exchange_gains(toy_classifiers.fitted(), text, label)


# ---- models of other libraries ---------------------------------------------------------------------------------


def test_a_scikit_learn_pipeline_can_be_attacked() -> None:
    model = baselines.tfidf_logistic().fit(TEXTS, LABELS)
    report = recipe("deepwordbug").run(model, TEXTS, LABELS)
    assert report.count("succeeded") > 0
    assert [one.after for one in report.results] == model.predict([one.adversarial for one in report.results]).tolist()
    untouched = recipe("deepwordbug").run(model, [TEXTS[0]], [1 - LABELS[0]])  # nothing to attack, nothing to ask
    assert untouched.count("skipped") == 1


def test_a_pipeline_that_is_not_fitted_says_so() -> None:
    for model in (baselines.tfidf_logistic(), TextClassifier("tiny")):
        with pytest.raises(BadInput, match="not fitted yet"):
            recipe("deepwordbug").run(model, TEXTS, LABELS)


def test_a_regression_model_is_refused() -> None:
    model = TextClassifier("tiny", head="regression").fit(TEXTS, np.linspace(-1, 1, len(TEXTS)))
    for attack in (recipe("deepwordbug"), PGD()):
        with pytest.raises(BadInput, match="predicts numbers"):
            attack.run(model, TEXTS, LABELS)


def test_gradients_of_a_pipeline_are_refused() -> None:
    model = baselines.tfidf_logistic().fit(TEXTS, LABELS)
    with pytest.raises(BadInput, match="has no gradients"):
        recipe("gradient-synonyms").run(model, TEXTS, LABELS)


def test_no_text_is_no_result() -> None:
    report = recipe("deepwordbug").run(baselines.tfidf_logistic().fit(TEXTS, LABELS), [], [])
    assert report.results == () and math.isnan(report.success_rate) and math.isnan(report.accuracy)
    assert asdict(report)["results"] == ()
