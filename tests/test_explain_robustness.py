"""The same again, with other seeds and in other words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from toy_classifiers import TEXTS, fitted
from toy_games import additive, tangled

from course_lib.augmentation import PunctuationInsertion, TypoNoise
from course_lib.errors import BadInput
from course_lib.explain import explain
from course_lib.explain.robustness import on_shared_words, paraphrase_stability, seed_stability, shared_words

LONG = [f"{start} a long and winding road that leads nowhere at all" for start in ("this is", "there was", "so far")]
WEIGHTS = {"good": 0.3, "bad": -0.2, "film": 0.05, "very": 0.1}


def test_few_samples_waver_more_than_many() -> None:
    few = seed_stability(tangled(), LONG, "lime", seeds=3, samples=30)
    many = seed_stability(tangled(), LONG, "lime", seeds=3, samples=3000)
    assert few.correlation.estimate + 0.2 < many.correlation.estimate
    assert few.pairs == 3 * 3 and few.by_text.shape == (3,) and few.same == few.turned == 0
    assert few.correlation.estimate == pytest.approx(few.by_text.mean())
    everything = seed_stability(tangled(), ["a long road", "a long winding"], "shap", seeds=2, samples=64)
    assert everything.by_text == pytest.approx([1, 1])


def test_texts_without_ranks_are_nan() -> None:
    found = seed_stability(tangled(), [*LONG, "road", ""], "lime", seeds=2, samples=100)
    assert np.isnan(found.by_text).tolist() == [False, False, False, True, True] and found.pairs == 3


def test_words_are_aligned_by_hand() -> None:
    assert shared_words(["a", "Good", "old", "film"], ["good", "very", "film", "here"]) == [(1, 0), (3, 2)]
    assert shared_words([], ["a"]) == []
    one, other = (explain(additive(), [text], "exact", target="yes")[0]
                  for text in ("very good film thing", "VERY bad film good thing"))  # fmt: skip
    shifted = replace(other, scores=np.array([0.1, 9.0, 0.05, 0.3, 0.0]))
    assert [one.words[left] for left, _ in shared_words(one.words, other.words)] == ["very", "good", "thing"]
    assert on_shared_words(one, shifted) == pytest.approx(1)
    turned = replace(other, scores=np.array([0.3, 9.0, 0.05, 0.1, 0.0]))
    assert on_shared_words(one, turned) == pytest.approx(0.5)


def added(word: str) -> Any:
    """An operation that puts a word before every text that holds a film."""

    def rewrite(texts: Sequence[str], seed: int = 0, labels: Any = None) -> list[str]:
        return [f"{word} {text}" if "film" in text else text for text in texts]

    return rewrite


def test_an_additive_model_is_explained_alike() -> None:
    texts = ["very good film", "good film thing", "very good"]
    found = paraphrase_stability(additive(WEIGHTS, 0.3), texts, "exact", added("so"), copies=2)
    assert found.by_text[:2] == pytest.approx([1, 1]) and np.isnan(found.by_text[2])
    assert (found.pairs, found.same, found.turned) == (4, 2, 0)
    assert found.correlation.estimate == pytest.approx(1)


def test_rewrites_that_turn_the_answer_are_left_out() -> None:
    texts = ["very good film very", "good film", "very good film good"]  # 0.85, 0.65 and 1.05 of yes; bad takes 0.3
    found = paraphrase_stability(additive({**WEIGHTS, "bad": -0.3}, 0.3), texts, "exact", added("bad"), copies=1)
    assert (found.pairs, found.turned, found.same) == (2, 1, 0) and np.isnan(found.by_text[1])


def test_real_operations_on_a_trained_model() -> None:
    marks = paraphrase_stability(fitted(), TEXTS[8:24], "shap", PunctuationInsertion())
    typos = paraphrase_stability(fitted(), TEXTS[8:24], "shap", TypoNoise())
    assert -1 <= typos.correlation.estimate < 0.999 and typos.pairs > 16
    assert marks.pairs > 16 and marks.correlation.low < marks.correlation.estimate < marks.correlation.high
    again = paraphrase_stability(fitted(), TEXTS[8:24], "shap", TypoNoise())
    assert again.by_text == pytest.approx(typos.by_text, nan_ok=True)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(BadInput, match="seeds is 1"):
        seed_stability(tangled(), LONG, seeds=1)
    with pytest.raises(BadInput, match="'occlusion' draws nothing"):
        seed_stability(tangled(), LONG, "occlusion")
    with pytest.raises(BadInput, match="method is 'tea leaves'"):
        seed_stability(tangled(), LONG, "tea leaves")
    with pytest.raises(BadInput, match="scores of 1 of 2 texts"):
        seed_stability(tangled(), [LONG[0], "road"], "lime", seeds=2, samples=100)
    with pytest.raises(BadInput, match="copies is 0"):
        paraphrase_stability(tangled(), LONG, "shap", TypoNoise(), copies=0)
    with pytest.raises(BadInput, match="target is 'yes'"):
        paraphrase_stability(tangled(), LONG, "shap", TypoNoise(), target="yes")
    with pytest.raises(BadInput, match="scores of 0 of 3 texts"):
        paraphrase_stability(tangled(), LONG, "shap", added("so"))
