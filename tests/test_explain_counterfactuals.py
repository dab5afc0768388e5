"""The nearest text with another answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from toy_classifiers import TEXTS, fitted
from toy_games import Three, Toy, additive

from course_lib.errors import BadInput
from course_lib.explain import Attribution, explain, masked_model
from course_lib.explain.contrastive import contrast
from course_lib.explain.counterfactuals import minimal_deletions


def scored(toy: Toy, text: str, *scores: float) -> Attribution:
    return replace(explain(toy, [text], "occlusion")[0], scores=np.array(scores))


def test_the_set_by_hand() -> None:
    """0.4 + 0.3 + 0.1 + 0.05 says yes; without `good` it is 0.55, without `very` too 0.45."""
    (found,) = minimal_deletions(additive(), explain(additive(), ["very good film"], "exact"))
    assert found is not None
    assert (found.words, found.positions, found.rest) == (("very", "good"), (0, 1), "  film")
    assert (found.before, found.after) == ("yes", "no")
    assert found.queries == 1 + 3 + 2


def test_words_that_are_not_needed_come_back() -> None:
    """The order is wrong: `film` and `thing` go first, and come back."""
    toy = additive({"good": 0.3}, 0.4)
    (found,) = minimal_deletions(toy, [scored(toy, "good film thing", 0.0, 2.0, 1.0)])
    assert found is not None and found.words == ("good",)
    (masked,) = minimal_deletions(toy, [scored(toy, "film good good", 0.0, 2.0, 1.0)])
    assert masked is not None and masked.positions == (1, 2)


def test_every_set_turns_the_answer_and_none_of_its_words_can_be_spared() -> None:
    wave = Toy(lambda words: 0.5 + 0.4 * float(np.sin(1.7 * sum(len(word) for word in words) + len(words))))
    texts = ["a long and winding road", "so far so good", "what a day", "to be or not to be that is"]
    found = minimal_deletions(wave, explain(wave, texts, "shap"))
    assert any(one is not None and len(one.positions) > 1 for one in found)
    for text, one in zip(texts, found, strict=True):
        assert one is not None and one.text == text
        before, after = wave.predict_proba([text, one.rest]).argmax(1)
        assert before != after and wave.classes_[after] == one.after and wave.classes_[before] == one.before
        words = text.split(" ")
        for less in combinations(one.positions, len(one.positions) - 1):
            spared = " ".join("" if i in less else word for i, word in enumerate(words))
            assert wave.predict_proba([spared]).argmax(1)[0] == before


def test_answers_that_no_removal_turns() -> None:
    stubborn = Toy(lambda words: 0.9)
    assert minimal_deletions(stubborn, explain(stubborn, ["good film", ""], "occlusion")) == [None, None]
    assert minimal_deletions(stubborn, []) == []


def test_three_classes_and_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["ant ant bee", "cat bee ant cat cat", "bee"]
    whole = minimal_deletions(Three(), explain(Three(), texts, "occlusion"))
    assert [one and one.before for one in whole] == ["a", "c", "b"]
    assert whole[0] is not None and whole[0].after == "b" and whole[0].words == ("ant", "ant")
    monkeypatch.setattr(masked_model, "TEXTS_AT_ONCE", 2)
    assert minimal_deletions(Three(), explain(Three(), texts, "occlusion")) == whole


def test_words_may_be_masked() -> None:
    texts = [text for text in TEXTS[:8] if fitted().predict([text])[0] == 1]
    found = minimal_deletions(fitted(), explain(fitted(), texts, "shap", removal="mask"), removal="mask")
    turned = [one for one in found if one is not None]
    assert turned and all(one.rest.count("[MASK]") == len(one.positions) for one in turned)
    assert fitted().predict([one.rest for one in turned]).tolist() == [0] * len(turned)


def test_explanations_of_another_class() -> None:
    with pytest.raises(BadInput, match="is explained for 'no', but 'yes' is predicted"):
        minimal_deletions(additive(), explain(additive(), ["very good film"], "exact", target="no"))
    with pytest.raises(BadInput, match="are not those of its words"):
        minimal_deletions(additive(), [replace(scored(additive(), "good film", 1.0, 0.0), text="so")])


class Shy(Toy):
    """Has no answer to a text without words, but one of a wrong shape or none that is a number."""

    def __init__(self, answer: object) -> None:
        super().__init__(lambda words: 0.9)
        self.answer = answer

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        return super().predict_proba(texts) if texts[0].strip() else np.asarray(self.answer)


@pytest.mark.parametrize(("answer", "says"), [([[np.nan, np.nan]], "not finite"), ([[0.1, 0.2, 0.7]], "the shape")])
def test_an_answer_that_is_none_turns_nothing(answer: object, says: str) -> None:
    with pytest.raises(BadInput, match=f"Shy .*{says}"):
        minimal_deletions(Shy(answer), explain(Toy(lambda words: 0.9), ["film"], "exact"))


def test_contrasts_name_the_words_too() -> None:
    (found,) = minimal_deletions(Three(), contrast(Three(), ["ant bee cat cat"], "c", "b", method="exact"))
    assert found is not None and (found.words, found.before, found.after) == (("cat",), "c", "a")
    with pytest.raises(BadInput, match="is explained for 'b', but 'c' is predicted"):
        minimal_deletions(Three(), contrast(Three(), ["ant bee cat cat"], "b", "c", method="exact"))
