"""Every method over every family of models, over threads, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import families
import numpy as np
import pytest
from toy_classifiers import TEXTS, fitted
from toy_games import Toy

from course_lib.classifier import TextClassifier
from course_lib.errors import BadInput
from course_lib.explain import METHODS, explain

FEW: dict[str, dict[str, Any]] = {
    "lime": {"samples": 30}, "lime-package": {"samples": 30}, "shap": {"samples": 30},
    "shap-package": {"samples": 60}, "smoothgrad": {"samples": 2},
    "ig": {"steps": 8, "most_steps": 64, "tolerance": 0.05},
}  # fmt: skip
SENTENCES = ["An awful story, not funny!", "é 好看 film", ""]
WORDS = [["An", "awful", "story", "not", "funny"], ["é", "好", "看", "film"], []]
ADDS_UP = ("shap", "exact", "shap-package")


@pytest.fixture(scope="module", params=families.FAMILIES)
def classifier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TextClassifier:
    family = families.FAMILIES[request.param]
    return TextClassifier.from_pretrained(families.folder_of(family, tmp_path_factory.mktemp(request.param)))


@pytest.mark.parametrize("method", METHODS)
def test_every_family_is_explained_or_refused_before_any_query(
    method: str, classifier: TextClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"target": "glad", "output": "log-odds", **FEW.get(method, {})}
    if METHODS[method].needs == "attention" and not hasattr(classifier.module_, "bert"):
        monkeypatch.setattr(TextClassifier, "decision_logits", lambda *_: pytest.fail("the model was queried"))
        with pytest.raises(BadInput, match="without a BERT"):
            explain(classifier, SENTENCES, method, **settings)
        return
    if method == "ig" and classifier.tokenizer_.pad_token_id is None:
        with pytest.raises(BadInput, match="no pad token"):
            explain(classifier, SENTENCES, method, **settings)
        settings["baseline"] = "zero"
    found = explain(classifier, SENTENCES, method, **settings)
    wanted = classifier.decision_logits(SENTENCES).astype(float)
    values = wanted[:, 1] - np.logaddexp(wanted[:, 0], wanted[:, 2])
    for one, words, value in zip(found, WORDS, values, strict=True):
        assert one.words == words and one.value == pytest.approx(value, rel=1e-3, abs=1e-3)
        assert all(one.text[start:end] == token.text for token in one.tokens for start, end in token.spans)
        assert np.isfinite(one.scores).all() and len(one.scores) == len(words)
        if METHODS[method].needs != "predictions":
            assert (one.scores != 0).all()  # every word has tokens
        if method in ADDS_UP:
            assert one.gap == pytest.approx(0, abs=1e-4)
        if method == "ig":
            assert abs(one.gap) <= max(0.05 * abs(one.value - one.base_value), 1e-3) or one.queries > 100


def test_threads_do_not_see_each_other() -> None:
    calls = [(method, text) for text in TEXTS[:2] for method in METHODS if method != "lime-package"]

    def scores(call: tuple[str, str]) -> list[float]:
        return explain(fitted(), [call[1]], call[0], target=1, **FEW.get(call[0], {}))[0].scores.tolist()

    alone = [scores(call) for call in calls]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(scores, calls)) == alone


def test_classes_may_be_in_any_order() -> None:
    class Reversed(Toy):
        def predict_proba(self, texts: Any) -> np.ndarray:
            return super().predict_proba(texts)[:, ::-1]

    usual, other = (made(lambda words: 0.4 + 0.3 * ("good" in words)) for made in (Toy, Reversed))
    other.classes_ = np.array(["yes", "no"])
    for target in ("yes", "no", ["no"]):
        one, same = (explain(toy, ["good film"], "exact", target=target)[0] for toy in (usual, other))
        assert one.scores.tolist() == same.scores.tolist() and one.target == same.target


def test_texts_that_are_cut_are_counted_by_every_kind_of_method() -> None:
    text = "good film " * 106
    for method, settings in (("lime", {"samples": 4}), ("gradient", {})):
        with pytest.warns(UserWarning, match="86 words of 1 of 2 texts are beyond the 128 tokens"):
            explain(fitted(), [text, "a good film"], method, **settings)


def test_importing_explain_loads_few_modules() -> None:
    code = ("import sys; from course_lib.explain import explain; "
            "print(len([name for name in sys.modules if name.split('.')[0] == 'course_lib']))")  # fmt: skip
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert ran.returncode == 0 and int(ran.stdout) <= 60, ran.stderr
