"""The course's questions, the measures of answers, and the study of them on a tiny decoder."""

from __future__ import annotations

import pytest

from course_lib import assets
from course_lib.errors import BadInput
from course_lib.generation import question_answering as qa
from course_lib.generation.retrieval import Passage, wikipedia_passages

JOHN_SNOW = Passage("John Snow", "John Snow was an English physician who traced cholera to a pump in London in 1854.")


@pytest.fixture(scope="module")
def passages():
    return {passage.title: passage for passage in wikipedia_passages()}


def test_the_questions_are_those_of_the_card():
    rows = qa.course_data("questions")
    card = (assets.data_folder() / "cards" / "questions.md").read_text(encoding="utf-8")
    assert f"{len(rows)} questions in English" in card
    for kind in {row["kind"] for row in rows}:
        assert f"| {kind} | {sum(row['kind'] == kind for row in rows)} |" in card
    counts = [
        len(questions) for part in ("validation", "test") for questions in (qa.questions(part), qa.answerable(part))
    ]
    assert "{} questions ({} with an answer)".format(*counts[:2]) in card.replace("\n", " ")
    assert "{} ({} with an answer)".format(*counts[2:]) in card.replace("\n", " ")


def test_the_parts_share_no_question():
    parts = [one.question for part in ("validation", "test") for one in qa.questions(part)]
    assert len(set(parts)) == len(parts)


def test_each_accepted_answer_is_in_its_passage_and_not_in_its_question(passages):
    for one in (*qa.answerable("validation"), *qa.answerable()):
        assert one.answers and all(qa.contains_answer(passages[one.title].text, [a]) for a in one.answers), one
        assert not qa.contains_answer(one.question, one.answers), one


def test_an_unanswerable_question_has_no_answer():
    assert all(one.answers == () and one.kind in ("absent", "false premise") for one in qa.unanswerable())


@pytest.mark.parametrize(
    ("text", "answers", "found"),
    [
        ("It is Kampala.", ["Kampala"], True),
        ("the poet KALIDASA", ["Kālidāsa"], True),
        ("It has 150 moons.", ["15"], False),
        ("a white dwarf", ["white dwarfs"], True),
        ("The New York Tribune", ["New-York Tribune"], True),
        ("dwarf, white", ["white dwarf"], False),
    ],
)
def test_contains_answer(text, answers, found):
    assert qa.contains_answer(text, answers) is found


@pytest.mark.parametrize(
    "text", ["I don't know.", "I don\u2019t know.", "The passage does not say.", "", "It is unknown."]
)
def test_refusals(text):
    assert qa.is_refusal(text)


@pytest.mark.parametrize("text", ["Norway and its notable knights", "The river does not run through Peru."])
def test_answers_are_no_refusals(text):
    assert not qa.is_refusal(text)


def test_an_invention_is_neither_a_refusal_nor_a_denial():
    assert qa.is_invention("Napoleon became king of Japan in 1805.")
    assert not qa.is_invention("Napoleon was never king of Japan.") and not qa.is_invention("I don't know.")


def test_unsupported_words():
    question = "Which doctor traced an illness?"
    assert qa.unsupported_words("This doctor was always the English physician John Snow.", [JOHN_SNOW], question) == []
    assert qa.unsupported_words("Snow traces cholera in 1855 in Paris.", [JOHN_SNOW], question) == ["1855", "pari"]
    assert qa.unsupported_words("He had 3 pumps.", [JOHN_SNOW]) == ["3"]
    asked = qa.Question(question, "keywords", "John Snow", ("John Snow",))
    assert qa.is_unsupported("It was Pasteur.", [JOHN_SNOW], asked)
    assert not qa.is_unsupported("I do not know Pasteur.", [JOHN_SNOW], asked)


def test_a_collection_has_the_passages_of_the_questions():
    small, large = (qa.question_passages(n) for n in (300, 500))
    assert len(small) == 300 and {one.title for one in small} < {one.title for one in large}
    assert {one.title for one in (*qa.answerable(), *qa.answerable("validation"))} <= {one.title for one in small}


@pytest.mark.parametrize("call", [lambda: qa.questions("train"), lambda: qa.question_passages(10)])
def test_bad_input_is_refused(call):
    with pytest.raises(BadInput):
        call()


@pytest.mark.parametrize("config", qa.ANSWER_RUNS, ids=lambda config: f"{config['context']}-{config['k']}")
def test_the_study_gives_each_question_its_passages(config, passages, monkeypatch):
    """A decoder that writes out the first passage: correct with the gold passage, never with another question's."""
    seen = []

    def write(lm, asked, given):
        seen.extend(given)
        return [found[0].text if found else "I don't know." for found in given]

    monkeypatch.setattr(qa.CausalLM, "from_pretrained", lambda: None)
    monkeypatch.setattr(qa, "_write", write)
    monkeypatch.setattr(qa, "_RETRIEVERS", {"bm25": qa.BM25, "encoder": qa.BM25})
    found = qa.grounded_answer_study(config, None)
    expected = {"none": 0.0, "gold": 1.0, "unrelated": 0.0}
    assert all(len(one) == config["k"] for one in seen)
    assert found["accuracy"] == expected.get(config["context"], found["accuracy"])
    assert len(found["correct"]) == len(found["unsupported_answers"]) == len(qa.studied_questions())
    assert found["unsupported"] == 0.0 and (config["context"] != "none" or found["refused"] == 1.0)
    assert len(found["inventions"]) in (0, len(qa.unanswerable()))


def test_a_retrieval_run_is_the_ranking():
    found = qa.retrieval_study({"retriever": "bm25", "passages": 300}, None)
    assert len(found["ranks"]) == len(qa.answerable())
    assert found["recall_at_1"] == sum(rank == 1 for rank in found["ranks"]) / len(found["ranks"])
    assert found["recall_at_1"] <= found["recall_at_3"] <= found["recall_at_10"]
