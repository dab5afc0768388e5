"""A text as players, and the game that asks a classifier about some of them."""

from __future__ import annotations

import json
import re
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
from course_lib.explain import Attribution, Game, Players, Word, explain
from course_lib.explain import game as game_module
from course_lib.explain.words import replacement_for

ODD = "Don't! A very, very good_film -- 好电影; naïve\tend."


@pytest.mark.parametrize("text", [ODD, "one", "a a  a", "...", "", " x ", "a\n"])
@pytest.mark.parametrize(("bow", "mask"), [(False, "UNKWORDZ"), (False, ""), (True, "")])
def test_the_same_pieces_go_as_in_lime(text: str, bow: bool, mask: str) -> None:
    if not text.strip(" ."):
        assert len(Players.of(text)) == 0  # the package cannot hold a text without words
        return
    theirs, ours = IndexedString(text, bow=bow, mask_string=mask), Players.of(text, replacement=mask, together=bow)
    assert [word.text for word in ours.words] == theirs.inverse_vocab
    random = np.random.default_rng(0)
    for _ in range(20):
        kept = random.random(len(ours)) < 0.5
        gone = np.flatnonzero(~kept)
        wanted = theirs.inverse_removing(gone) if len(gone) else text
        assert ours.render(kept[None]) == [wanted]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40), st.booleans())
def test_all_words_give_the_text_and_none_gives_no_word(text: str, together: bool) -> None:
    players = Players.of(text, together=together)
    whole, nothing = players.render(np.stack([np.ones(len(players), bool), np.zeros(len(players), bool)]))
    assert whole == text and nothing == "".join(players.gaps)
    for word in players.words:
        assert all(text[start:end] == word.text for start, end in word.spans)


def test_emoji_are_words() -> None:
    thumbs, family, flag = "👍🏽", "👩‍👧", "🇩🇪"
    players = Players.of(f"good 😀😀{thumbs} {family}{flag}♥️!")
    assert [word.text for word in players.words] == ["good", "😀", "😀", thumbs, family, flag, "♥️"]
    assert players.render(np.array([[1, 0, 1, 1, 0, 1, 1]], bool)) == [f"good 😀{thumbs} {flag}♥️!"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (unicodedata.normalize("NFD", "très bien, café"), ["tre\u0300s", "bien", "cafe\u0301"]),
        ("हिन्दी फिल्म", ["हिन्दी", "फिल्म"]),
        ("won\u00adder\u00adful zero\u200bwidth \u200dx\u200d", ["won\u00adder\u00adful", "zero\u200bwidth", "x"]),
        ("\u0301a 1\ufe0f\u20e3", ["a", "1\ufe0f\u20e3"]),
        ("⭐⭐ ⏰ ⬆️ good⭐", ["⭐", "⭐", "⏰", "⬆️", "good", "⭐"]),
        ("a\u0301" * 3000 + "!", ["a\u0301" * 3000]),
    ],
    ids=["accents", "hindi", "unseen", "marks", "signs", "long"],
)
def test_marks_and_what_is_not_seen_stand_within_a_word(text: str, words: list[str]) -> None:
    assert [word.text for word in Players.of(text).words] == words


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(max_codepoint=0x2FF, exclude_characters="\u00ad"), max_size=30))
def test_latin_texts_are_cut_at_all_that_is_no_letter(text: str) -> None:
    assert [word.text for word in Players.of(text).words] == re.findall(r"\w+", text)


def test_equal_words_alone_and_together() -> None:
    alone, together = Players.of("so so good"), Players.of("so so good", together=True)
    assert alone.words == (Word("so", ((0, 2),)), Word("so", ((3, 5),)), Word("good", ((6, 10),)))
    assert together.words == (Word("so", ((0, 2), (3, 5))), Word("good", ((6, 10),)))
    assert together.render(np.array([[False, True]])) == ["  good"]
    assert together.owner_of_characters().tolist() == [0, 0, -1, 0, 0, -1, 1, 1, 1, 1, -1]


def test_what_stands_for_a_word() -> None:
    assert replacement_for(fitted(), "mask") == "[MASK]" and replacement_for(additive(), "delete") == ""
    with pytest.raises(BadInput, match="a Toy has no mask token"):
        replacement_for(additive(), "mask")
    with pytest.raises(BadInput, match="removal is 'blur'"):
        replacement_for(fitted(), "blur")


# ---- the game ----------------------------------------------------------------------------------------------------


def test_values_are_the_models_own() -> None:
    game = Game(fitted(), ["a good film", "an awful film"], target=1)
    wanted = fitted().predict_proba(["a good film", "a  film", "a [MASK] film"])[:, 1]
    answers = list(game.answer([(0, np.array([[1, 1, 1], [1, 0, 1]], bool)), (1, np.zeros((0, 3), bool))]))
    assert np.allclose(answers[0][2], wanted[:2], atol=1e-6) and answers[1][2].shape == (0,)
    masked = Game(fitted(), ["a good film"], target=1, removal="mask")
    assert np.allclose(next(masked.answer([(0, np.array([[1, 0, 1]], bool))]))[2], wanted[2], atol=1e-6)


def test_log_odds() -> None:
    text = ["a good film"]
    odds = Game(fitted(), text, target=1, output="log-odds").full
    logits = fitted().decision_logits(text)[0].astype(float)
    assert odds[0] == pytest.approx(logits[1] - logits[0])
    assert Game(additive(), text, target="yes", output="log-odds").full[0] == pytest.approx(np.log(0.75 / 0.25))
    alone = Rows([[1.0]])
    alone.classes_ = np.array(["only"])
    assert Game(alone, text).full.tolist() == [1.0]
    with pytest.raises(BadInput, match="knows one class"):
        Game(alone, text, output="log-odds")
    sure = Toy(lambda words: 1.0)
    assert np.isfinite(Game(sure, text, output="log-odds").full).all()


def test_a_model_is_asked_once_for_equal_texts_and_never_for_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(game_module, "ROWS_AT_ONCE", 8)
    model = additive()
    game = Game(model, ["a b c d e"], target="yes")
    model.asked.clear()
    random = np.random.default_rng(0)
    jobs = [(0, random.random((5, 5)) < 0.5) for _ in range(20)]
    wanted = additive().predict_proba(game.players[0].render(np.concatenate([rows for _, rows in jobs])))[:, 1]
    assert np.allclose(np.concatenate([values for _, _, values in game.answer(jobs)]), wanted)
    assert max(len(part) for part in model.asked) <= 8
    assert all(len(set(part)) == len(part) for part in model.asked)
    assert sum(len(part) for part in model.asked) <= game.queries[0] - 1 <= 100


def test_jobs_are_drawn_as_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """So memory does not grow with the number of samples."""
    monkeypatch.setattr(game_module, "ROWS_AT_ONCE", 10)
    game, drawn = Game(additive(), ["good film"]), 0

    def jobs():  # type: ignore[no-untyped-def]
        nonlocal drawn
        for _ in range(100):
            drawn += 1
            yield 0, np.ones((5, 2), bool)

    answers = game.answer(jobs())
    next(answers)
    assert drawn == 2


def test_long_texts_make_small_jobs() -> None:
    game = Game(additive(), ["word " * 5000, "a"])
    assert game.rows_at_once(0) < 100 and game.rows_at_once(1) == game_module.ROWS_AT_ONCE
    cut = list(game.cut(0, np.ones((200, 5000), bool)))
    assert sum(len(rows) for _, rows in cut) == 200 and max(len(rows) for _, rows in cut) == game.rows_at_once(0)


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
        Game(Rows(answer), ["a"])


def test_bad_questions() -> None:
    with pytest.raises(BadInput, match="without predict_proba"):
        Game(object(), ["a"])
    with pytest.raises(BadInput, match="without predict_proba"):
        Game(tiny(head="regression").fit(TEXTS, RATINGS), ["a"])
    with pytest.raises(BadInput, match="without predict_proba"):
        explain(object(), ["a"], "lime", target=["yes"])
    with pytest.raises(BadInput, match="not fitted"):
        Game(tiny(), ["a"])
    with pytest.raises(BadInput, match="single str"):
        Game(additive(), "a")
    with pytest.raises(BadInput, match=r"texts\[1\] is 3"):
        Game(additive(), ["a", 3])  # type: ignore[list-item]
    with pytest.raises(BadInput, match="output is 'logits'"):
        Game(additive(), ["a"], output="logits")
    for target in ("maybe", ["yes", "maybe"]):
        with pytest.raises(BadInput, match="target is 'maybe'"):
            Game(additive(), ["a", "b"], target=target)
    with pytest.raises(BadInput, match="2 classes for 1 texts"):
        Game(additive(), ["a"], target=["yes", "no"])
    with pytest.raises(BadInput, match=r"coalitions of shape \(1, 2\)"):
        list(Game(additive(), ["a"]).answer([(0, np.ones((1, 2), bool))]))
    with pytest.raises(BadInput, match="seed is -1"):
        Game(additive(), ["a"]).random(0, -1)


def test_targets() -> None:
    texts = ["a b b", "c", "a"]
    assert [one.target for one in explain(Three(), texts, "occlusion")] == ["b", "c", "a"]
    assert [one.target for one in explain(Three(), texts, "occlusion", target="c")] == ["c"] * 3
    assert [one.target for one in explain(Three(), texts, "occlusion", target=["c", "a", "b"])] == ["c", "a", "b"]
    assert Game(Three(), [], target="b").columns.shape == (0,)


# ---- the answer --------------------------------------------------------------------------------------------------


def test_attribution() -> None:
    words = Players.of("so so good").words
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
