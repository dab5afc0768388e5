"""Texts without some of their words, and what a classifier predicts for them."""

from __future__ import annotations

import json
import re
import tracemalloc
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lime.lime_text import IndexedString
from toy_classifiers import RATINGS, TEXTS, fitted, tiny
from toy_games import Three, Toy, additive

from course_lib.errors import BadInput
from course_lib.explain import Attribution, MaskableText, MaskedModel, Word, explain, masked_model
from course_lib.explain.masked_model import mask_string

ODD = "Don't! A very, very good_film -- 好; naïve\tend."


@pytest.mark.parametrize("text", [ODD, "one", "a a  a", "...", "", " x ", "a\n"])
@pytest.mark.parametrize(("bow", "mask"), [(False, "UNKWORDZ"), (False, ""), (True, "")])
def test_the_same_pieces_go_as_in_lime(text: str, bow: bool, mask: str) -> None:
    if not text.strip(" ."):
        assert len(MaskableText.of(text)) == 0  # the package cannot hold a text without words
        return
    theirs, ours = IndexedString(text, bow=bow, mask_string=mask), MaskableText.of(text, replacement=mask, bow=bow)
    assert [word.text for word in ours.words] == theirs.inverse_vocab
    random = np.random.default_rng(0)
    for _ in range(20):
        kept = random.random(len(ours)) < 0.5
        gone = np.flatnonzero(~kept)
        wanted = theirs.inverse_removing(gone) if len(gone) else text
        assert ours.mask(kept[None]) == [wanted]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40), st.booleans())
def test_all_words_give_the_text_and_none_gives_no_word(text: str, bow: bool) -> None:
    masked = MaskableText.of(text, bow=bow)
    whole, nothing = masked.mask(np.stack([np.ones(len(masked), bool), np.zeros(len(masked), bool)]))
    assert whole == text and nothing == "".join(masked.document.gaps)
    for word in masked.words:
        assert all(text[start:end] == word.text for start, end in word.spans)


def test_emoji_are_words() -> None:
    thumbs, family, flag = "👍🏽", "👩‍👧", "🇩🇪"
    masked = MaskableText.of(f"good 😀😀{thumbs} {family}{flag}♥️!")
    assert [word.text for word in masked.words] == ["good", "😀", "😀", thumbs, family, flag, "♥️"]
    assert masked.mask(np.array([[1, 0, 1, 1, 0, 1, 1]], bool)) == [f"good 😀{thumbs} {flag}♥️!"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (unicodedata.normalize("NFD", "très bien, café"), ["tre\u0300s", "bien", "cafe\u0301"]),
        ("हिन्दी फिल्म", ["हिन्दी", "फिल्म"]),
        ("won\u00adder\u00adful zero\u200bwidth \u200dx\u200d", ["won\u00adder\u00adful", "zero\u200bwidth", "x"]),
        ("\u0301a 1\ufe0f\u20e3", ["a", "1\ufe0f\u20e3"]),
        ("⭐⭐ ⏰ ⬆️ good⭐", ["⭐", "⭐", "⏰", "⬆️", "good", "⭐"]),
        ("a\u0301" * 3000 + "!", ["a\u0301" * 3000]),
        ("我喜欢这部电影。", list("我喜欢这部电影")),
        ("iPhone手机 2台😀", ["iPhone", "手", "机", "2", "台", "😀"]),
        ("映画が好きだ", list("映画が好きだ")),
        ("กิ่งไม้", ["กิ่", "ง", "ไ", "ม้"]),
    ],
    ids=["accents", "hindi", "unseen", "marks", "signs", "long", "chinese", "mixed", "japanese", "thai"],
)
def test_marks_and_what_is_not_seen_stand_within_a_word(text: str, words: list[str]) -> None:
    assert [word.text for word in MaskableText.of(text).words] == words


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(max_codepoint=0x2FF, exclude_characters="\u00ad"), max_size=30))
def test_latin_texts_are_cut_at_all_that_is_no_letter(text: str) -> None:
    assert [word.text for word in MaskableText.of(text).words] == re.findall(r"\w+", text)


def test_equal_words_alone_and_together() -> None:
    alone, together = MaskableText.of("so so good"), MaskableText.of("so so good", bow=True)
    assert alone.words == (Word("so", ((0, 2),)), Word("so", ((3, 5),)), Word("good", ((6, 10),)))
    assert together.words == (Word("so", ((0, 2), (3, 5))), Word("good", ((6, 10),)))
    assert together.mask(np.array([[False, True]])) == ["  good"]
    assert together.word_of_characters().tolist() == [0, 0, -1, 0, 0, -1, 1, 1, 1, 1, -1]


def test_what_stands_for_a_word() -> None:
    assert mask_string(fitted(), "mask") == "[MASK]" and mask_string(additive(), "delete") == ""
    with pytest.raises(BadInput, match="a Toy has no mask token"):
        mask_string(additive(), "mask")
    with pytest.raises(BadInput, match="removal is 'blur'"):
        mask_string(fitted(), "blur")


# ---- the model ---------------------------------------------------------------------------------------------------


def test_values_are_the_models_own() -> None:
    model = MaskedModel(fitted(), ["a good film", "an awful film"], target=1)
    wanted = fitted().predict_proba(["a good film", "a  film", "a [MASK] film"])[:, 1]
    first, second = model.evaluate([np.array([[1, 1, 1], [1, 0, 1]], bool), np.zeros((0, 3), bool)])
    assert np.allclose(first, wanted[:2], atol=1e-6) and second.shape == (0,)
    masked = MaskedModel(fitted(), ["a good film"], target=1, removal="mask")
    assert np.allclose(masked.evaluate([np.array([[1, 0, 1]], bool)])[0], wanted[2], atol=1e-6)
    assert model.predict([np.array([[1, 1, 1]], bool), np.array([[1, 1, 1]], bool)]) == [[1], [0]]


def test_log_odds() -> None:
    text = ["a good film"]
    odds = MaskedModel(fitted(), text, target=1, output="log-odds").full_outputs
    logits = fitted().decision_logits(text)[0].astype(float)
    assert odds[0] == pytest.approx(logits[1] - logits[0])
    log_odds = MaskedModel(additive(), text, target="yes", output="log-odds").full_outputs
    assert log_odds[0] == pytest.approx(np.log(0.75 / 0.25))
    alone = Rows([[1.0]])
    alone.classes_ = np.array(["only"])
    assert MaskedModel(alone, text).full_outputs.tolist() == [1.0]
    with pytest.raises(BadInput, match="has one class"):
        MaskedModel(alone, text, output="log-odds")
    sure = Toy(lambda words: 1.0)
    assert np.isfinite(MaskedModel(sure, text, output="log-odds").full_outputs).all()


def test_equal_texts_are_queried_once_and_never_too_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_model, "TEXTS_AT_ONCE", 8)
    classifier, random = additive(), np.random.default_rng(0)
    texts = ["a b c d e", "", "a b good"]
    model = MaskedModel(classifier, texts, target="yes")
    assert len(model.full_outputs) == 3
    classifier.asked.clear()
    coalitions = [random.random((100, len(one))) < 0.5 for one in model.texts]
    found = model.evaluate(coalitions)
    for one, rows, values in zip(model.texts, coalitions, found, strict=True):
        assert np.allclose(values, additive().predict_proba(one.mask(rows))[:, 1])
    queried = [text for part in classifier.asked for text in part]
    assert max(len(part) for part in classifier.asked) <= 8
    different = [set(one.mask(rows)) for one, rows in zip(model.texts, coalitions, strict=True)]
    assert len(queried) == len(set(queried)) == len(set().union(*different))
    assert model.queries.tolist() == [1 + len(one) for one in different]


class Lengths:
    """A classifier that keeps nothing."""

    classes_ = np.array([0, 1])

    def predict_proba(self, texts: list[str]) -> np.ndarray:
        p = np.array([len(text) / 1000 for text in texts])
        return np.column_stack([1 - p, p])


@pytest.mark.parametrize("texts", [1, 20])
def test_memory_does_not_grow_with_masked_texts(texts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A masked text takes 400 bytes; for each coalition less than a third of that is held."""
    monkeypatch.setattr(masked_model, "TEXTS_AT_ONCE", 64)
    monkeypatch.setattr(masked_model, "CHARACTERS_AT_ONCE", 64 * 400)
    text, peaks = " ".join(f"word{i}" for i in range(50)), {}
    for rows in (2_000, 20_000):
        model = MaskedModel(Lengths(), [text] * texts, target=1)
        coalitions = [np.random.default_rng(i).random((rows // texts, 50)) < 0.5 for i in range(texts)]
        tracemalloc.start()
        model.evaluate(coalitions)
        peaks[rows] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks[20_000] - peaks[2_000] < 18_000 * 130


class Rows:
    """A classifier that answers with what it is given."""

    classes_ = np.array([0, 1])

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def predict_proba(self, texts: list[str]) -> object:
        return self.answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [([0.5, 0.5], r"shape \(2,\)"), ([[1.0, 0.0]] * 3, r"shape \(3, 2\)"), ([[0.2, 0.3, 0.5]], r"shape \(1, 3\)"),
     ([[np.nan, 0.5]], "not finite")],
    ids=["flat", "rows", "columns", "nan"],
)  # fmt: skip
def test_wrong_answers(answer: object, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        _ = MaskedModel(Rows(answer), ["a"]).full_outputs


def test_bad_questions() -> None:
    with pytest.raises(BadInput, match="without predict_proba"):
        MaskedModel(object(), ["a"])
    with pytest.raises(BadInput, match="without predict_proba"):
        MaskedModel(tiny(head="regression").fit(TEXTS, RATINGS), ["a"])
    with pytest.raises(BadInput, match="without predict_proba"):
        explain(object(), ["a"], "lime", target=["yes"])
    with pytest.raises(BadInput, match="not fitted"):
        MaskedModel(tiny(), ["a"])
    with pytest.raises(BadInput, match="single str"):
        MaskedModel(additive(), "a")
    with pytest.raises(BadInput, match=r"texts\[1\] is 3"):
        MaskedModel(additive(), ["a", 3])  # type: ignore[list-item]
    with pytest.raises(BadInput, match="output is 'logits'"):
        MaskedModel(additive(), ["a"], output="logits")
    for target in ("maybe", ["yes", "maybe"]):
        with pytest.raises(BadInput, match="target holds 'maybe'"):
            MaskedModel(additive(), ["a", "b"], target=target)
    with pytest.raises(BadInput, match="target has the shape"):
        MaskedModel(additive(), ["a"], target=["yes", "no"])
    with pytest.raises(BadInput, match=r"coalitions of shape \(1, 2\)"):
        MaskedModel(additive(), ["a"]).evaluate([np.ones((1, 2), bool)])
    with pytest.raises(BadInput, match="seed is -1"):
        MaskedModel(additive(), ["a"]).random(0, -1)


def test_targets() -> None:
    texts = ["a b b", "c", "a"]
    assert [one.target for one in explain(Three(), texts, "occlusion")] == ["b", "c", "a"]
    assert [one.target for one in explain(Three(), texts, "occlusion", target="c")] == ["c"] * 3
    assert [one.target for one in explain(Three(), texts, "occlusion", target=["c", "a", "b"])] == ["c", "a", "b"]
    assert MaskedModel(Three(), [], target="b").columns.shape == (0,)


# ---- the answer --------------------------------------------------------------------------------------------------


def test_attribution() -> None:
    words = MaskableText.of("so so good").words
    one = Attribution("so so good", words, np.array([0.1, -0.4, 0.1]), 0.5, 0.4, np.int64(1), "m", spread=np.zeros(3))
    assert one.top(2) == [("so", -0.4), ("so", 0.1)] and one.top(0) == [] and len(one.top(9)) == 3
    assert one.gap == pytest.approx(0.1)
    said = json.loads(json.dumps(one.to_dict(), allow_nan=False))
    assert said["tokens"] == ["so", "so", "good"] and said["spans"] == [[[0, 2]], [[3, 5]], [[6, 10]]]
    assert (
        said["gap"] == pytest.approx(0.1)
        and said["error"] is None
        and said["scores"] == [0.1, -0.4, 0.1]
        and said["target"] == 1
    )
    odd = replace(one, scores=np.array([np.nan, np.inf, 0.1]), error=np.inf)
    said = json.loads(json.dumps(odd.to_dict(), allow_nan=False))
    assert said["scores"] == [None, None, 0.1] and said["error"] is None and said["gap"] is None
    with pytest.raises(BadInput, match="k is -1"):
        one.top(-1)
