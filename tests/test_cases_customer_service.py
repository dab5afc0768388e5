"""Customer service: templates, splits, what a split hides, and scores that say "not our job"."""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from course_lib import assets, corpora
from course_lib.baselines import tfidf_logistic
from course_lib.cases import customer_service as cases
from course_lib.classifier import sentence_vectors
from course_lib.corpora.templates import Grammar, parse
from course_lib.errors import BadInput, CourseError
from course_lib.evaluation import nearest_similarity, threshold_for_coverage
from course_lib.exercises import reference
from course_lib.generation.question_answering import answerable, question_passages
from course_lib.generation.retrieval import BM25, Passage, RankFusion

SLOTS = {"area": ["kitchen", "attic"], "n": ["2", "10"]}
GRAMMAR = Grammar({"turn": "(turn|switch)", "the": "(the|my)"}, SLOTS)

# ---------------------------------------------------------------- templates


@pytest.mark.parametrize(
    "template",
    [
        "hello",
        "turn (on|off)",
        "lights on [please]",
        "[set] timer[s] for {n}( |-)minute[s] [in the {area}]",
        "(a|[b]) c",
    ],
)
def test_drawing_gives_the_sentences_of_the_complete_expansion(template: str) -> None:
    rng = random.Random(0)
    drawn = {GRAMMAR.draw(template, rng) for _ in range(1000)}
    assert sorted(drawn) == reference.expand_template(template, SLOTS)


def test_rules_roles_and_parts_in_any_order() -> None:
    rng = random.Random(0)
    drawn = {GRAMMAR.draw("<turn> (off;[<the>] {area:place})", rng) for _ in range(2000)}
    places = [f"{the}{area}" for the in ("", "the ", "my ") for area in SLOTS["area"]]
    expected = {f"{turn} {part}" for turn in ("turn", "switch") for p in places for part in (f"off {p}", f"{p} off")}
    assert drawn == expected


def test_the_same_sentences_every_time_and_no_more_than_asked_for() -> None:
    found = GRAMMAR.sentences("<turn> (on|off) [<the>] {area}", 5)
    assert found == GRAMMAR.sentences("<turn> (on|off) [<the>] {area}", 5)
    assert len(set(found)) == len(found) == 5
    assert GRAMMAR.sentences("turn (on|off)", 9) in (["turn on", "turn off"], ["turn off", "turn on"])


@pytest.mark.parametrize("template", ["(a", "a)", "[a)", "(a]", "[", "a ( b ] c )"])
def test_brackets_that_do_not_match(template: str) -> None:
    with pytest.raises(BadInput, match=re.escape(repr(template))):
        parse(template)


@pytest.mark.parametrize("template", ["{room}", "<unknown> on"])
def test_names_without_a_meaning(template: str) -> None:
    with pytest.raises(BadInput, match="has no meaning"):
        GRAMMAR.draw(template, random.Random(0))


# ---------------------------------------------------------------- data


def _card(name: str) -> str:
    return (assets.data_folder() / "cards" / f"{name}.md").read_text(encoding="utf-8").replace(",", "")


def test_the_cards_count_what_is_there() -> None:
    frame, (grammar, templates) = cases.commands(), cases.voice_grammar()
    voice = _card("voice_commands")
    counts = {
        "intents": frame["intent"].nunique(),
        "templates": len(templates),
        "different templates": templates["template"].nunique(),
        "wordings (templates without their slots and units of time)": frame["wording"].nunique(),
        "sentences that the course draws at most 8 per template": len(frame),
    }
    for name, count in counts.items():
        assert f"| {name} | {count} |" in voice
    per_intent = templates["intent"].value_counts()
    assert [(per_intent == n).sum() for n in (1, 2)] == [3, 8] and per_intent.max() == 122
    assert len(grammar.rules) == 30
    conversations = json.loads((assets.path("chitchat") / "dataset.json").read_text(encoding="utf-8"))
    messages = [one["text"] for talk in conversations.values() for turn in talk["messages"] for one in turn]
    short = sum(3 <= len(text.split()) <= 12 for text in messages)
    for count in (len(conversations), len(messages), len(set(messages)), short):
        assert f"| {count} |" in _card("chitchat")
    reviews, raw = cases.clothing_reviews(), corpora.read_table("clothing_reviews", ["Review Text", "Clothing ID"])
    for count in (len(raw), int(raw["Review Text"].isna().sum()), len(reviews), reviews["department"].nunique()):
        assert f"| {count} |" in _card("clothing_reviews")


def test_our_own_sentences() -> None:
    written, outside = cases.written_commands(), cases.written_texts()["outside"]
    assert (len(written), len(outside)) == (44, 30)
    assert set(cases.commands()["intent"]) - set(written["intent"]) == {"Respond"}
    assert set(written["intent"]) <= set(cases.commands()["intent"])
    assert not {*written["text"], *outside} & set(cases.commands()["text"]), "none is a sentence of a template"


def test_a_frame_may_be_changed() -> None:
    frame = cases.commands(2)
    frame["intent"] = "none"
    assert "none" not in set(cases.commands(2)["intent"])


@pytest.mark.parametrize("column", ["text", "template", "wording"])
def test_a_split_keeps_rows_of_a_group_together(column: str) -> None:
    frame = cases.commands(2)
    parts = cases.split_by(frame, column)
    assert (frame.assign(part=parts).groupby(column)["part"].nunique() == 1).all()
    assert np.mean(parts == "test") == pytest.approx(0.2, abs=0.01)
    assert np.mean(parts == "validation") == pytest.approx(0.2, abs=0.01)
    assert not set(frame["text"][parts == "train"]) & set(frame["text"][parts == "test"])
    assert (parts == cases.split_by(frame, column)).all() and (parts != cases.split_by(frame, column, seed=1)).any()


def test_bad_input() -> None:
    with pytest.raises(BadInput, match="no column 'room'"):
        cases.split_by(cases.commands(), "room")
    with pytest.raises(BadInput, match="3 different values of 'text'"):
        cases.split_by(cases.commands(1)[:3], "text")
    with pytest.raises(BadInput, match="1 without intent"):
        frame = cases.commands(1)[:9]
        cases.split_by(frame.assign(intent=frame["intent"].where(frame.index > 0)), "text")
    with pytest.raises(BadInput, match="'size' with 9 labels"):
        cases.review_study.run({"task": "size", "model": "words", "labels": 9}, fresh=True, show=False)
    for function in (cases.command_vectors, cases.with_typos):
        with pytest.raises(BadInput, match="single str"):
            function("turn on the light")
    for most in (0, -1, 2.5, "8"):
        with pytest.raises(BadInput, match=re.escape(repr(most))):
            cases.commands(most)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="'bert'"):
        cases.intent_pipeline("bert")
    with pytest.raises(BadInput, match="different passages"):
        RankFusion([BM25([Passage("a", "b")]), BM25([Passage("a", "c")])])
    with pytest.raises(BadInput, match="no passages"):
        RankFusion([])


def test_typos_change_one_word_or_all_long_words() -> None:
    texts = ["turn on the kitchen light", "all off"]
    one, every = cases.with_typos(texts), cases.with_typos(texts, every_word=True)
    changed = [a for a, b in zip(one[0].split(), texts[0].split(), strict=True) if a != b]
    assert len(changed) <= 1 and sorted("".join(one)) == sorted("".join(texts))
    assert one[1] == every[1] == "all off" and every[0].split()[1:3] == ["on", "the"]


# ---------------------------------------------------------------- the lessons, on fresh seeds


def test_a_random_split_hides_what_other_wordings_cost() -> None:
    """With TF-IDF: on a fresh seed, by text, by wording, and on our own sentences."""
    frame, written = cases.commands(), cases.written_commands()
    accuracy = {}
    for column in ("text", "wording"):
        parts = cases.split_by(frame, column, seed=11)
        train, test = frame[parts == "train"], frame[parts == "test"]
        model = tfidf_logistic().fit(train["text"], train["intent"])
        accuracy[column] = model.score(test["text"], test["intent"])
    assert accuracy["text"] > accuracy["wording"] + 0.01
    assert model.score(written["text"], written["intent"]) < accuracy["text"] - 0.4


def test_distance_rejects_chat_that_a_confident_model_accepts() -> None:
    """On a fresh, smaller draw: a sentence of every other template, and 100 sentences of chat that no study scores."""
    frame = cases.commands(1)[::2]
    parts = cases.split_by(frame, "wording", seed=21)
    vectors = sentence_vectors(frame["text"].tolist())
    train, validation = vectors[parts == "train"], vectors[parts == "validation"]
    chat = sentence_vectors(cases.chat_sentences()[1][:100])
    model = LogisticRegression(C=8.0, max_iter=1000).fit(train, frame["intent"][parts == "train"])
    accepted = {}
    for name, score in (
        ("probability", lambda v: model.predict_proba(v).max(1)),
        ("similarity", lambda v: nearest_similarity(v, train)),
    ):
        accepted[name] = np.mean(score(chat) >= threshold_for_coverage(score(validation), 0.95))
    assert accepted["similarity"] < 0.1 < 0.2 < accepted["probability"]


# ---------------------------------------------------------------- retrieval


def test_our_bm25_ranks_as_the_library_bm25s_does() -> None:
    pytest.importorskip("bm25s")
    passages, asked = question_passages(400), answerable()
    queries, titles = [one.question for one in asked], [str(one.title) for one in asked]
    np.testing.assert_array_equal(cases._bm25s(passages).ranks(queries, titles), BM25(passages).ranks(queries, titles))


def test_a_missing_peer_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bm25s", None)
    with pytest.raises(CourseError, match="bm25s") as raised:
        cases._bm25s([Passage("a", "b")])
    assert raised.value.fix == "pip install bm25s"


def test_fusion_by_hand() -> None:
    passages = [Passage(name, text) for name, text in (("a", "x"), ("b", "x y"), ("c", "y y z"))]
    ranker = BM25(passages)
    order = np.argsort(-ranker.scores(["x"])[0], kind="stable")
    expected = np.zeros(3)
    expected[order] = 2 / np.array([61, 62, 63])
    np.testing.assert_allclose(RankFusion([ranker, ranker]).scores(["x"])[0], expected, rtol=1e-6)


def test_bm25_of_the_exercise_is_the_librarys() -> None:
    passages = question_passages(400)[:50]
    words = [re.findall(r"\w+", str(passage).lower()) for passage in passages]
    query = "which city is the capital"
    np.testing.assert_allclose(
        reference.bm25_scores(query.split(), words), BM25(passages).scores([query])[0], rtol=1e-4, atol=1e-5
    )
