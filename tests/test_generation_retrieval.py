"""Retrieval: the ranking of both retrievers, the measures, the grounded prompt and the answer's source."""

from __future__ import annotations

import numpy as np
import pytest

from course_lib.errors import BadInput
from course_lib.generation import BM25, Passage, Retriever, grounded_messages
from course_lib.generation.retrieval import answer, mean_reciprocal_rank, recall_at_k, wikipedia_passages

PASSAGES = [
    Passage("Volcano", "A volcano is an opening from which lava, ash and gases escape."),
    Passage("Bakery", "A bakery makes and sells bread, cakes and other baked food."),
    Passage("Violin", "The violin is a wooden string instrument that is played with a bow."),
    Passage("Bread", "Bread is made from a dough of flour and water, usually by baking."),
]
TITLES = [passage.title for passage in PASSAGES]


@pytest.fixture(scope="module", params=[Retriever, BM25])
def retriever(request):
    return request.param(PASSAGES)


def test_each_title_finds_its_passage(retriever):
    assert retriever.ranks(TITLES, TITLES).tolist() == [1, 1, 1, 1]
    hits = retriever.search("Which instrument has a bow?", k=4)
    assert hits[0].passage.title == "Violin"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_the_encoder_finds_what_shares_no_word_with_the_query():
    query = "Where can somebody purchase loaves?"
    assert Retriever(PASSAGES).search(query, 1)[0].passage.title == "Bakery"
    assert {hit.score for hit in BM25(PASSAGES).search(query, 4)} == {0.0}


def test_bm25_is_the_published_formula():
    a, b = Passage("x", "owl owl fox"), Passage("y", "fox")  # with the titles 4 and 2 words, 3 in the mean
    owl = BM25([a, b]).scores(["owl"])[0]
    idf = np.log(1 + (2 - 1 + 0.5) / (1 + 0.5))
    assert owl == pytest.approx([idf * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 4 / 3)), 0.0], rel=1e-6)


def test_ranks_agree_with_search(retriever):
    query = "dough in the oven"
    found = [hit.passage.title for hit in retriever.search(query, 4)]
    assert retriever.ranks([query] * 4, found).tolist() == [1, 2, 3, 4]


def test_measures_of_a_ranking():
    assert [recall_at_k([1, 2, 4, 9], k) for k in (1, 3, 10)] == [0.25, 0.5, 1.0]
    assert mean_reciprocal_rank([1, 2, 4]) == pytest.approx((1 + 0.5 + 0.25) / 3)


def test_wikipedia_passages_are_cut():
    passages = wikipedia_passages()
    assert len(passages) == len({passage.title for passage in passages}) == 10_032
    assert max(len(passage.text.split()) for passage in passages) == 64


def test_the_prompt_has_the_passages_and_the_question():
    (message,) = grounded_messages("What is {bread}?", PASSAGES[:2])
    assert message["role"] == "user" and "What is {bread}?" in message["content"]
    assert all(passage.text in message["content"] for passage in PASSAGES[:2])


@pytest.mark.parametrize(
    "call",
    [
        lambda: BM25([]),
        lambda: BM25(PASSAGES).search(" "),
        lambda: BM25(PASSAGES).search("bread", k=5),
        lambda: BM25(PASSAGES).search("bread", k=0),
        lambda: BM25(PASSAGES).ranks(["bread"], ["Stone"]),
        lambda: BM25(PASSAGES).ranks(["bread"], []),
        lambda: recall_at_k([0, 1], 1),
        lambda: mean_reciprocal_rank([]),
        lambda: grounded_messages("Why?", []),
        lambda: grounded_messages("", PASSAGES),
    ],
)
def test_bad_input_is_refused(call):
    with pytest.raises(BadInput):
        call()


@pytest.fixture(scope="module")
def lm():
    from course_lib.generation import CausalLM

    return CausalLM.from_pretrained()


def test_an_answer_names_its_source(lm):
    found = answer(lm, BM25(PASSAGES), "What is the violin played with?")
    assert found.sources == ("Violin",) and "bow" in found.text
