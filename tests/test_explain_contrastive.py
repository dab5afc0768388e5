"""Why this class and not that one, on models whose reasons are known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from toy_classifiers import LABELS, TEXTS, fitted, tiny
from toy_games import Three, additive

from course_lib.errors import BadInput
from course_lib.explain import MaskedModel, explain
from course_lib.explain.contrastive import contrast

TEXT = "ant bee bat cat"  # Three: logits are counts of first letters: 1, 2, 1


def test_a_word_of_neither_class_does_nothing() -> None:
    """The logits are counts of words, so each word's share of a difference is 1, -1 or 0, exactly."""
    (found,) = contrast(Three(), [TEXT], "b", "c", method="exact")
    assert (found.target, found.foil) == ("b", "c")
    assert found.scores == pytest.approx([0, 1, 1, -1], abs=1e-9)
    assert (found.value, found.base_value) == (pytest.approx(1), pytest.approx(0))
    against_all = explain(Three(), [TEXT], "exact", target="b", output="log-odds")[0]
    assert against_all.scores[0] < -0.1  # it does something where all other classes count


def test_the_usual_class_and_foil() -> None:
    texts = [TEXT, "cat cat bee", "ant"]
    found = contrast(Three(), texts)
    assert [one.target for one in found] == ["b", "c", "a"]
    assert found[0].foil in ("a", "c") and found[1].foil == "b"
    assert [one.text for one in found] == texts
    assert [one.foil for one in contrast(Three(), texts, ["a", "b", "b"])] == ["b", "c", "a"]
    assert [one.target for one in contrast(Three(), texts, why_not="b")] == ["a", "c", "a"]
    turned = contrast(Three(), [TEXT], "c", "b", method="exact")[0]
    assert turned.scores == pytest.approx(-contrast(Three(), [TEXT], "b", "c", method="exact")[0].scores)
    assert contrast(Three(), []) == []


def test_two_classes_are_the_log_odds() -> None:
    texts = TEXTS[:3]
    for method in ("shap", "occlusion", "gradient"):
        mine = contrast(fitted(), texts, 1, 0, method=method)
        usual = explain(fitted(), texts, method, target=1, output="log-odds")
        for one, other in zip(mine, usual, strict=True):
            assert one.scores == pytest.approx(other.scores, rel=1e-3, abs=1e-6)
            assert np.abs(one.scores).max() > (1e-4 if method == "gradient" else 1)


@pytest.mark.parametrize("training", [False, True])
def test_the_module_stays_in_its_mode(training: bool) -> None:
    """Dropout would be on in whatever the caller does with the module next."""
    classifier = tiny().fit(TEXTS, LABELS)
    classifier.module_.train(training)
    contrast(classifier, TEXTS[:1], 1, 0, method="ig")
    assert {part.training for part in classifier.module_.modules()} == {training}


def test_gradients_of_three_classes() -> None:
    classifier = tiny().fit(["ant", "bee", "cat"] * 4, ["a", "b", "c"] * 4)
    (found,) = contrast(classifier, ["ant bee"], "c", "a", method="ig")
    logits = classifier.decision_logits(["ant bee"])[0]
    assert found.value == pytest.approx(float(logits[2] - logits[0]), abs=1e-5)
    assert found.error < 0.05 and np.abs(found.scores).max() > 0
    (turned,) = contrast(classifier, ["ant bee"], "a", "c", method="ig")
    assert turned.scores == pytest.approx(-found.scores, abs=1e-6)


class Sure:
    """Three classes, two of them impossible."""

    classes_ = np.array(["a", "b", "c"])

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        return np.tile([1.0, 0.0, 0.0], (len(texts), 1))


def test_classes_that_are_next_to_impossible() -> None:
    model = MaskedModel(Sure(), ["x"], target="b", foil="c", output="log-odds")
    assert model.full_outputs.tolist() == [0.0]


def test_json_holds_the_foil() -> None:
    said = json.loads(json.dumps(contrast(fitted(), TEXTS[:1], 1, 0)[0].to_dict(), allow_nan=False))
    assert (said["target"], said["foil"], said["output"]) == (1, 0, "log-odds")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"why": "a", "why_not": "a"}, "both 'a'"),
        ({"why": "d"}, "why holds 'd'"),
        ({"why": ["a", "b"]}, "why has the shape"),
        ({"method": "attention"}, "speaks for no class"),
        ({"method": "tea leaves"}, "method is 'tea leaves'"),
        ({"output": "probability"}, "output is 'probability'"),
        ({"target": "a"}, "target is 'a'"),
    ],
    ids=lambda case: "-".join(case) if isinstance(case, dict) else "",
)
def test_what_cannot_be_contrasted(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        contrast(Three(), [TEXT], **changes)
    with pytest.raises(BadInput, match="output is 'probability' with a foil"):
        explain(additive(), [TEXT], "exact", target="yes", foil="no")
